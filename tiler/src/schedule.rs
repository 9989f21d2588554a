//! The cells and tiles to read for some windows, their order, and the last use of each. Pure: a schedule is
//! made before the first tile is touched.

use std::collections::BTreeMap;

use wsi_types::{Rgb, TileId, Window, WindowIndex};

use crate::{
    cells::{CellId, Cells},
    lattice::Lattice,
    resample::Resampler,
};

/// One cell to be made.
///
/// Windows come in *runs* of ascending index. Cells and tiles are shared within a run and dropped at its end:
/// an order that goes back (see [`reading_order`](crate::reading_order)) is there to need less memory, not
/// more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) run: u32,
    pub(crate) cell: CellId,
    /// The first and last place in the order whose window sees it.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// Windows that see it.
    pub(crate) uses: u32,
}

/// Windows in reading order, and the cells they are made of in order of first
/// use.
#[derive(Debug)]
pub(crate) struct Schedule {
    cells: Cells,
    order: Vec<Window>,
    runs: Vec<u32>,
    jobs: Vec<Job>,
    lookup: BTreeMap<(u32, CellId), u32>,
}

impl Schedule {
    /// Makes the schedule of windows of `lattice`, in the order given.
    pub(crate) fn new(lattice: &Lattice, order: Vec<Window>, resampler: Resampler) -> Self {
        let cells = Cells::new(lattice, resampler);
        let mut schedule = Self { cells, order, runs: Vec::new(), jobs: Vec::new(), lookup: BTreeMap::new() };
        for at in 0..schedule.order.len() {
            schedule.add(at);
        }
        schedule
    }

    /// Makes the schedule of some windows of a lattice; indices outside it are left out.
    pub(crate) fn from_wanted(lattice: &Lattice, wanted: &[WindowIndex], background: Rgb) -> Self {
        let windows = wanted.iter().filter_map(|index| lattice.windows.get(index.0 as usize));
        let resampler = Resampler::new(&lattice.sampling, lattice.tiles, background);
        Self::new(lattice, windows.copied().collect(), resampler)
    }

    /// Makes the schedule of all windows of a lattice, in their own order.
    pub(crate) fn whole(lattice: &Lattice) -> Self {
        // Pixels outside do not matter here, so any background will do.
        let resampler = Resampler::new(&lattice.sampling, lattice.tiles, [0; 3]);
        Self::new(lattice, lattice.windows.clone(), resampler)
    }

    fn add(&mut self, at: usize) {
        let window = self.order[at];
        debug_assert!(self.cells.fits(&window.rect), "a window of this lattice");
        let run = match at.checked_sub(1) {
            None => 0,
            Some(before) => self.runs[before] + u32::from(self.order[before].index >= window.index),
        };
        self.runs.push(run);
        for cell in self.cells.of_window(&window.rect) {
            let next = self.jobs.len() as u32;
            let job = *self.lookup.entry((run, cell)).or_insert(next);
            if job == next {
                self.jobs.push(Job { run, cell, first: at, last: at, uses: 0 });
            }
            let job = &mut self.jobs[job as usize];
            job.last = at;
            job.uses += 1;
        }
    }

    pub(crate) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Returns the windows in reading order.
    pub(crate) fn order(&self) -> &[Window] {
        &self.order
    }

    /// Returns the cells in order of first use.
    pub(crate) fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Returns the jobs of one place in the order, with their cells, row by row.
    pub(crate) fn jobs_of(&self, at: usize) -> impl Iterator<Item = (u32, CellId)> {
        let run = self.runs[at];
        self.cells.of_window(&self.order[at].rect).map(move |cell| (self.lookup[&(run, cell)], cell))
    }

    /// Returns the jobs of one run that a tile has a part in.
    pub(crate) fn jobs_of_tile(&self, run: u32, tile: TileId) -> impl Iterator<Item = u32> {
        self.cells.of_tile(tile).filter_map(move |cell| self.lookup.get(&(run, cell)).copied())
    }

    /// Returns every tile of every run, with the first and the last job that needs it.
    fn tiles(&self) -> impl Iterator<Item = (TileId, usize, usize)> {
        self.jobs.iter().enumerate().flat_map(move |(index, job)| {
            self.cells.tiles(job.cell).filter_map(move |tile| {
                let mut users = self.jobs_of_tile(job.run, tile).map(|job| job as usize);
                let first = users.next()?;
                let (first, last) =
                    users.fold((first, first), |(low, high), job| (low.min(job), high.max(job)));
                (first == index).then_some((tile, first, last))
            })
        })
    }

    /// Returns the tiles in the order in which they are read, each once in a run.
    pub(crate) fn tiles_in_order(&self) -> impl Iterator<Item = TileId> {
        self.tiles().map(|(tile, _, _)| tile)
    }

    /// Returns the number of different tiles that have a part in any window.
    pub(crate) fn tiles_needed(&self) -> u64 {
        if self.runs.last().is_none_or(|&run| run == 0) {
            return self.tiles().count() as u64;
        }
        let mut tiles: Vec<TileId> = self.tiles().map(|(tile, _, _)| tile).collect();
        tiles.sort_unstable();
        tiles.dedup();
        tiles.len() as u64
    }

    /// Returns the most bytes of cells and tiles that can be alive at once when no window later than `ahead`
    /// places after the next one is begun.
    ///
    /// It is an upper bound, whatever the threads do: a cell lives at most from `ahead` places before its
    /// first window until its last one, a tile until the first window of the last cell it has a part in.
    /// If grid px are stored px there are only tiles, which live as long as their cells.
    pub(crate) fn peak_bytes(&self, ahead: usize) -> u64 {
        let stored = self.cells.resampler().keeps_pixels();
        let cell_bytes = if stored { 0 } else { self.cells.largest_bytes() };
        let mut cells = Ledger::new(self.order.len());
        for job in &self.jobs {
            cells.hold(job.first.saturating_sub(ahead), job.last, cell_bytes);
        }
        let mut tiles = Ledger::new(self.order.len());
        let tile_bytes = self.cells.resampler().tile_bytes();
        for (tile, first, last) in self.tiles() {
            let run = self.jobs[first].run;
            let until = if stored {
                let users = self.jobs_of_tile(run, tile);
                users.map(|job| self.jobs[job as usize].last).max().unwrap_or(0)
            } else {
                self.jobs[last].first
            };
            tiles.hold(self.jobs[first].first.saturating_sub(ahead), until, tile_bytes);
        }
        // Each kind keeps its buffers for reuse, so their peaks add up.
        cells.peak() + tiles.peak()
    }
}

/// Bytes held over places in an order.
struct Ledger(Vec<i64>);

impl Ledger {
    fn new(places: usize) -> Self {
        Self(vec![0; places + 1])
    }

    /// Holds `bytes` from one place to another, both included.
    fn hold(&mut self, from: usize, until: usize, bytes: u64) {
        self.0[from] += bytes as i64;
        self.0[until + 1] -= bytes as i64;
    }

    fn peak(&self) -> u64 {
        let held = self.0.iter().scan(0i64, |held, change| {
            *held += change;
            Some(*held)
        });
        held.max().unwrap_or(0).max(0) as u64
    }
}
