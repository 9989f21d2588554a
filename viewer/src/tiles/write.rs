//! Writes a tile file in one pass over the cells.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use flate2::{Compression, write::DeflateEncoder};
use rayon::prelude::*;
use wsi_types::{ClassId, Level0Box, Level0Point};

use super::{
    ClassTotals, DENSITY_BIN, DENSITY_SIDE, Header, MAGIC, POINT_PARTS, POINT_PARTS_PER_OUTLINE_PART,
    SCORE_STEPS, TILE_SIDE, TableFacts, TileEntry, VERSION,
    columns::{put_signed, put_varint},
    score_step,
};
use crate::ViewError;

/// The facts of a cell that a tile file keeps.
#[derive(Debug, Clone, Copy)]
pub struct CellMark<'a> {
    /// Its class.
    pub class: ClassId,
    /// Its score, 0 to 1.
    pub score: f32,
    /// Its centroid, in level-0 px.
    pub centroid: Level0Point,
    /// Its box, in level-0 px.
    pub bbox: Level0Box,
    /// Its outline or the corners of its box, in level-0 px; the first point is not
    /// repeated.
    pub ring: &'a [Level0Point],
}

/// Bytes of unwritten tiles at which all of them are written. Rows lie along a Hilbert curve, so hardly any
/// tile is split by that; a table in any other order costs pieces, not memory.
const PENDING_BYTES: usize = 64 << 20;
/// Level of DEFLATE. Outlines are noise except for their first bits: a higher level gains little.
const DEFLATE_LEVEL: u32 = 5;
/// Number of classes that a byte can hold.
const MOST_CLASSES: usize = 256;

/// Writes a tile file, cell by cell in the order of the table's rows.
#[derive(Debug)]
pub struct TileWriter<W> {
    out: W,
    offset: u64,
    header: Header,
    pending: Pending,
    pending_limit: usize,
    sides_px: f64,
}

/// Tiles that are not yet written, by row and column.
#[derive(Debug, Default)]
struct Pending {
    bytes: usize,
    density: BTreeMap<(u32, u32), Vec<Binned>>,
    cells: BTreeMap<(u32, u32), CellTile>,
}

/// Bin, class and step of a cell; in the order in which they are stored.
type Binned = (u32, u8, u8);

/// Columns of a points tile and of its outlines.
#[derive(Debug, Default)]
struct CellTile {
    x: Vec<u16>,
    y: Vec<u16>,
    classes: Vec<u8>,
    steps: Vec<u8>,
    last_row: u64,
    rows: Vec<u8>,
    vertices: Vec<u8>,
    dx: Vec<u8>,
    dy: Vec<u8>,
}

impl<W: Write> TileWriter<W> {
    /// Begins a file for the cells of a slide of `size` level-0 px. `classes` are the
    /// names by class id; a class without one is called `class_<n>`.
    ///
    /// # Errors
    ///
    /// [`ViewError::Write`] when nothing can be written.
    pub fn new(mut out: W, table: TableFacts, size: [u32; 2], classes: &[String]) -> Result<Self, ViewError> {
        out.write_all(MAGIC).map_err(write_error)?;
        let classes = classes.iter().map(|name| ClassTotals { name: name.clone(), steps: no_cells() });
        Ok(Self {
            out,
            offset: MAGIC.len() as u64,
            header: Header {
                version: VERSION,
                table,
                size,
                rows: 0,
                outside: 0,
                classes: classes.collect(),
                reach_px: 0.0,
                typical_px: 0.0,
                outlined: false,
                density: Vec::new(),
                points: Vec::new(),
                outlines: Vec::new(),
            },
            pending: Pending::default(),
            pending_limit: PENDING_BYTES,
            sides_px: 0.0,
        })
    }

    /// Writes tiles at this many pending bytes instead of the usual number.
    #[must_use]
    pub fn with_pending_limit(self, bytes: usize) -> Self {
        Self { pending_limit: bytes, ..self }
    }

    /// Adds the next row of the table.
    ///
    /// # Errors
    ///
    /// [`ViewError::Write`], or [`ViewError::ManyClasses`] for a class id above 255.
    pub fn push(&mut self, cell: &CellMark<'_>) -> Result<(), ViewError> {
        let row = self.header.rows;
        self.header.rows += 1;
        let Some(point) = Place::of(cell.centroid, self.header.size) else {
            self.header.outside += 1;
            return Ok(());
        };
        let class = u8::try_from(cell.class.0).map_err(|_| ViewError::ManyClasses {
            found: usize::from(cell.class.0) + 1,
            most: MOST_CLASSES,
        })?;
        let step = score_step(cell.score);
        self.count(class, step);
        self.measure(cell);
        self.pending.push(&point, class, step, row, cell.ring);
        if self.pending.bytes >= self.pending_limit {
            self.flush()?;
        }
        Ok(())
    }

    fn count(&mut self, class: u8, step: u8) {
        let classes = &mut self.header.classes;
        while classes.len() <= usize::from(class) {
            classes.push(ClassTotals { name: format!("class_{}", classes.len()), steps: no_cells() });
        }
        classes[usize::from(class)].steps[usize::from(step)] += 1;
    }

    fn measure(&mut self, cell: &CellMark<'_>) {
        let distances = cell.ring.iter().map(|&point| {
            let away = point - cell.centroid;
            away.x.abs().max(away.y.abs())
        });
        self.header.reach_px = distances.fold(self.header.reach_px, f64::max);
        self.header.outlined |= cell.ring.len() != 4;
        self.sides_px += (cell.bbox.width() * cell.bbox.height()).max(0.0).sqrt();
    }

    /// Writes the pending tiles and the header.
    ///
    /// # Errors
    ///
    /// [`ViewError::Write`].
    pub fn finish(mut self) -> Result<Header, ViewError> {
        self.flush()?;
        let inside = self.header.rows - self.header.outside;
        self.header.typical_px = if inside == 0 { 0.0 } else { self.sides_px / inside as f64 };
        for tiles in [&mut self.header.density, &mut self.header.points, &mut self.header.outlines] {
            // Stable: the pieces of a tile stay in the order of their rows.
            tiles.sort_by_key(|tile| (tile.row, tile.column));
        }
        let header = serde_json::to_vec(&self.header).map_err(|error| write_error(error.into()))?;
        let length = u32::try_from(header.len())
            .map_err(|_| write_error(io::Error::other("its header has over 4 GiB")))?;
        self.put(&header)?;
        self.put(&length.to_le_bytes())?;
        self.put(MAGIC)?;
        self.out.flush().map_err(write_error)?;
        Ok(self.header)
    }

    fn flush(&mut self) -> Result<(), ViewError> {
        let Pending { density, cells, .. } = std::mem::take(&mut self.pending);
        let density: Vec<_> =
            density.into_par_iter().map(|(at, bins)| (at, bins.len(), density_tile(bins))).collect();
        for (at, cells, bytes) in density {
            let entry = self.put_tile(at, cells, &bytes)?;
            self.header.density.push(entry);
        }
        let cells: Vec<_> = cells
            .into_par_iter()
            .map(|(at, tile)| (at, tile.x.len(), deflated(&tile.points()), deflated(&tile.outlines())))
            .collect();
        for (at, count, points, outlines) in cells {
            let entry = self.put_tile(at, count, &points)?;
            self.header.points.push(entry);
            let entry = self.put_tile(at, count, &outlines)?;
            self.header.outlines.push(entry);
        }
        Ok(())
    }

    fn put_tile(
        &mut self,
        (row, column): (u32, u32),
        cells: usize,
        bytes: &[u8],
    ) -> Result<TileEntry, ViewError> {
        // Both fit: pending tiles are limited in bytes.
        let entry =
            TileEntry { column, row, offset: self.offset, bytes: bytes.len() as u32, cells: cells as u32 };
        self.put(bytes)?;
        Ok(entry)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ViewError> {
        self.offset += bytes.len() as u64;
        self.out.write_all(bytes).map_err(write_error)
    }
}

fn no_cells() -> Vec<u64> {
    vec![0; usize::from(SCORE_STEPS) + 1]
}

fn write_error(source: io::Error) -> ViewError {
    ViewError::Write { source }
}

/// A centroid in 1/16 px, rounded down.
#[derive(Debug, Clone, Copy)]
struct Place {
    x: u64,
    y: u64,
}

impl Place {
    /// Returns the place of a point; `None` if it is not on the slide.
    fn of(point: Level0Point, size: [u32; 2]) -> Option<Self> {
        let [width, height] = size.map(f64::from);
        let is_inside = (0.0..width).contains(&point.x) && (0.0..height).contains(&point.y);
        let [x, y] = point.to_array().map(|value| (value * POINT_PARTS).floor() as u64);
        is_inside.then_some(Self { x, y })
    }

    /// Returns row and column of a tile of `side` level-0 px, and the rest of the place.
    fn within(self, side: u32) -> ((u32, u32), (u32, u32)) {
        let parts = u64::from(side) * POINT_PARTS as u64;
        (
            (((self.y / parts) as u32), (self.x / parts) as u32),
            ((self.x % parts) as u32, (self.y % parts) as u32),
        )
    }
}

impl Pending {
    fn push(&mut self, place: &Place, class: u8, step: u8, row: u64, ring: &[Level0Point]) {
        let (tile, (x, y)) = place.within(DENSITY_SIDE);
        let parts = DENSITY_BIN * POINT_PARTS as u32;
        let bin = (y / parts) * (DENSITY_SIDE / DENSITY_BIN) + x / parts;
        self.density.entry(tile).or_default().push((bin, class, step));
        let (tile, (x, y)) = place.within(TILE_SIDE);
        let tile = self.cells.entry(tile).or_default();
        // A tile is 65536 parts wide.
        tile.x.push(x as u16);
        tile.y.push(y as u16);
        tile.classes.push(class);
        tile.steps.push(step);
        let before = tile.dx.len() + tile.dy.len();
        tile.push_ring(place, row, ring);
        self.bytes += tile.dx.len() + tile.dy.len() - before + size_of::<Binned>() + 10;
    }
}

impl CellTile {
    fn push_ring(&mut self, place: &Place, row: u64, ring: &[Level0Point]) {
        put_varint(row - self.last_row, &mut self.rows);
        self.last_row = row;
        put_varint(ring.len() as u64, &mut self.vertices);
        let per_px = POINT_PARTS / POINT_PARTS_PER_OUTLINE_PART as f64;
        let [mut x, mut y] = [place.x, place.y].map(|parts| parts as i64 / POINT_PARTS_PER_OUTLINE_PART);
        for point in ring {
            let (next_x, next_y) = ((point.x * per_px).round() as i64, (point.y * per_px).round() as i64);
            put_signed(next_x.wrapping_sub(x), &mut self.dx);
            put_signed(next_y.wrapping_sub(y), &mut self.dy);
            (x, y) = (next_x, next_y);
        }
    }

    fn points(&self) -> Vec<u8> {
        let coordinates = self.x.iter().chain(&self.y).flat_map(|value| value.to_le_bytes());
        coordinates.chain(self.classes.iter().copied()).chain(self.steps.iter().copied()).collect()
    }

    fn outlines(&self) -> Vec<u8> {
        [&self.rows, &self.vertices, &self.dx, &self.dy].into_iter().flatten().copied().collect()
    }
}

fn density_tile(mut bins: Vec<Binned>) -> Vec<u8> {
    bins.sort_unstable();
    let mut columns = Vec::with_capacity(bins.len() * 4);
    let mut last = 0;
    for &(bin, _, _) in &bins {
        put_varint(u64::from(bin - last), &mut columns);
        last = bin;
    }
    columns.extend(bins.iter().map(|&(_, class, _)| class));
    columns.extend(bins.iter().map(|&(_, _, step)| step));
    deflated(&columns)
}

/// Packs bytes as a raw DEFLATE stream, which browsers unpack by themselves.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        DeflateEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::new(DEFLATE_LEVEL));
    // Writing to memory does not fail.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}
