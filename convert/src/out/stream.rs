//! Cells on their way out: part by part, on several threads, in the order of the table.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use merger::{CellRow, RowBatch};
use rayon::prelude::*;
use wsi_types::ClassId;

use super::request::{Settings, Source};
use crate::{
    error::Result,
    ring::{Fate, Grid, GridRing, on_grid, simplified, twice_area},
    source::SlideFacts,
    tally::Tally,
};

/// A cell on its way out: its ring lies on the format's grid and is simple.
pub(crate) struct Outlined {
    pub(crate) row: CellRow,
    pub(crate) ring: GridRing,
}

/// Cells that are worked on together.
pub(crate) struct Part<'a> {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// The place of the first among all that are taken.
    pub(crate) first: u64,
    pub(crate) cells: &'a [Outlined],
}

/// Turns cells into what a format holds, on several threads.
pub(crate) trait Maker: Sync {
    /// A part as the format holds it.
    type Made: Send;

    /// The grid of the format's coordinates.
    fn grid(&self) -> Grid;

    /// Turns cells into it.
    fn make(&self, part: &Part<'_>) -> Result<Self::Made>;
}

/// Parts that are made at once, however many cores there are.
const MOST_PARTS: usize = 4;

/// Hands all chosen cells to `maker`, at most `rows` at a time, and what it makes to `take`, in the order of the table.
/// While some parts are taken, on the caller's thread, the next are made: memory holds both.
pub(crate) fn stream<M: Maker>(
    source: &Source<'_>,
    settings: &Settings,
    rows: usize,
    maker: &M,
    mut take: impl FnMut(M::Made) -> Result<()>,
) -> Result<Tally> {
    const MADE_AHEAD: usize = 0;
    thread::scope(|scope| {
        let (hand_over, parts) = sync_channel(MADE_AHEAD);
        let making = scope.spawn(move || make(source, settings, rows, maker, &hand_over));
        // Where taking fails, the channel closes and no more are made.
        parts.into_iter().flatten().try_for_each(&mut take)?;
        making.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Makes all parts, on several threads, and hands them over as long as somebody takes them.
fn make<M: Maker>(
    source: &Source<'_>,
    settings: &Settings,
    rows: usize,
    maker: &M,
    hand_over: &SyncSender<Vec<M::Made>>,
) -> Result<Tally> {
    let grid = maker.grid();
    let at_once = rayon::current_num_threads().clamp(1, MOST_PARTS);
    let mut batches = source.cells.batches(source.choice, rows)?;
    let mut counts = Counts::default();
    let (mut first, mut index) = (0, 0);
    loop {
        let batch = batches.by_ref().take(at_once).collect::<Result<Vec<_>>>()?;
        if batch.is_empty() {
            return Ok(counts.tally(source.facts));
        }
        let parts: Vec<(Vec<Outlined>, Vec<Fate>)> =
            batch.par_iter().map(|batch| outlined(source, batch, grid, settings)).collect::<Result<_>>()?;
        let mut starts = Vec::with_capacity(parts.len());
        for (cells, fates) in &parts {
            starts.push((index, first));
            (index, first) = (index + 1, first + cells.len() as u64);
            counts.note(cells, fates, grid, settings);
        }
        let made = parts
            .par_iter()
            .zip(&starts)
            .map(|((cells, _), &(index, first))| maker.make(&Part { index, first, cells }))
            .collect::<Result<Vec<_>>>()?;
        drop(parts);
        if hand_over.send(made).is_err() {
            return Ok(counts.tally(source.facts));
        }
    }
}

/// The chosen cells of a batch, and what became of their outlines.
fn outlined(
    source: &Source<'_>,
    batch: &RowBatch<CellRow>,
    grid: Grid,
    settings: &Settings,
) -> Result<(Vec<Outlined>, Vec<Fate>)> {
    let rows = source.cells.rows_of(batch, source.choice)?;
    Ok(rows.into_iter().map(|row| outline(row, grid, settings)).unzip())
}

fn outline(mut row: CellRow, grid: Grid, settings: &Settings) -> (Outlined, Fate) {
    // The ring on the grid stands for it from here on.
    let drawn = std::mem::take(&mut row.outline);
    if settings.points {
        return (Outlined { row, ring: GridRing::new() }, Fate::Kept);
    }
    let (ring, fate) = match settings.simplify_px {
        Some(tolerance) => on_grid(&simplified(&drawn, tolerance), &row.bbox, grid),
        None => on_grid(&drawn, &row.bbox, grid),
    };
    (Outlined { row, ring }, fate)
}

/// Counts made on the way.
#[derive(Default)]
struct Counts {
    by_class: BTreeMap<ClassId, u64>,
    /// In px².
    area: f64,
    repaired: u64,
    boxed: u64,
}

impl Counts {
    fn note(&mut self, cells: &[Outlined], fates: &[Fate], grid: Grid, settings: &Settings) {
        for cell in cells {
            *self.by_class.entry(cell.row.class_id).or_default() += 1;
        }
        if settings.points {
            return;
        }
        let step = grid.px(1);
        let twice: f64 = cells.iter().map(|cell| twice_area(&cell.ring) as f64).sum();
        self.area += twice / 2.0 * step * step;
        self.repaired += count_of(fates, Fate::Repaired);
        self.boxed += count_of(fates, Fate::Boxed);
    }

    fn tally(self, facts: &SlideFacts) -> Tally {
        let mut by_class = BTreeMap::new();
        for (class, count) in self.by_class {
            *by_class.entry(facts.class_name(class)).or_insert(0) += count;
        }
        let um = facts.mpp.get();
        let (repaired, boxed) = (self.repaired, self.boxed);
        Tally { by_class, area_um2: self.area * um * um, repaired, boxed, ..Tally::default() }
    }
}

fn count_of(fates: &[Fate], wanted: Fate) -> u64 {
    fates.iter().filter(|&&fate| fate == wanted).count() as u64
}
