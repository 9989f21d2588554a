//! Cells: the pieces that windows share.
//!
//! A cell is a rectangle of the resampled grid that is seen by one and the same set of windows, cut into
//! parts of at most [`CELL`] px so that threads can share the work. Where grid px are stored px, it is cut
//! along the borders of stored tiles, so that no copy is of a sliver. Windows are exact unions of cells, so a
//! cell is resampled once for all its windows, and nothing is resampled that no window sees.

use std::ops::Range;

use wsi_types::{GridRect, TileId};

use crate::{lattice::Lattice, resample::Resampler};

/// Longest side of a cell, in grid px: the tiles of one cell stay in a core's cache until they are pasted.
const CELL: i64 = 256;

/// Place of a cell on the lattice of cells; ordered row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CellId {
    pub(crate) row: u32,
    pub(crate) column: u32,
}

/// All cells of a lattice of windows: the product of its cuts along both axes.
#[derive(Debug)]
pub(crate) struct Cells {
    xs: Cuts,
    ys: Cuts,
    stride: i64,
    /// Width and height.
    window: (i64, i64),
    resampler: Resampler,
}

impl Cells {
    pub(crate) fn new(lattice: &Lattice, resampler: Resampler) -> Self {
        let stride = i64::from(lattice.stride);
        let window = (i64::from(lattice.window.0), i64::from(lattice.window.1));
        let (along_x, along_y) = resampler.axes();
        let tiles = lattice.tiles;
        let [seams_x, seams_y] = [tiles.tile_width, tiles.tile_height]
            .map(|tile| resampler.keeps_pixels().then(|| whole_tiles(i64::from(tile))));
        Self {
            xs: Cuts::new(lattice.columns, (stride, window.0), seams_x, |grid| {
                tile_span(along_x.footprint(grid), tiles.tile_width)
            }),
            ys: Cuts::new(lattice.rows, (stride, window.1), seams_y, |grid| {
                tile_span(along_y.footprint(grid), tiles.tile_height)
            }),
            stride,
            window,
            resampler,
        }
    }

    pub(crate) fn resampler(&self) -> &Resampler {
        &self.resampler
    }

    /// Returns the cells of one window, row by row.
    pub(crate) fn of_window(&self, rect: &GridRect) -> impl Iterator<Item = CellId> + use<> {
        let columns = self.xs.pieces(rect.min_x()..rect.max_x());
        let rows = self.ys.pieces(rect.min_y()..rect.max_y());
        product(rows, columns).map(|(row, column)| CellId { row, column })
    }

    /// Returns the grid px of one cell.
    pub(crate) fn rect(&self, cell: CellId) -> GridRect {
        let (x, y) = (self.xs.piece(cell.column), self.ys.piece(cell.row));
        GridRect::new(euclid::point2(x.start, y.start), euclid::size2(x.end - x.start, y.end - y.start))
    }

    /// Returns columns and rows of the stored tiles that a cell is made of; empty beyond the slide.
    pub(crate) fn tile_span(&self, cell: CellId) -> (Range<u32>, Range<u32>) {
        (self.xs.tiles[cell.column as usize].clone(), self.ys.tiles[cell.row as usize].clone())
    }

    /// Returns the stored tiles that a cell is made of, row by row.
    pub(crate) fn tiles(&self, cell: CellId) -> impl Iterator<Item = TileId> + use<> {
        let level = self.resampler.level();
        let (columns, rows) = self.tile_span(cell);
        product(rows, columns).map(move |(row, column)| TileId { level, row, column })
    }

    /// Returns the cells that one stored tile has a part in, row by row.
    pub(crate) fn of_tile(&self, tile: TileId) -> impl Iterator<Item = CellId> + use<> {
        product(self.ys.pieces_of_tile(tile.row), self.xs.pieces_of_tile(tile.column))
            .map(|(row, column)| CellId { row, column })
    }

    /// Returns the bytes of the largest possible cell.
    pub(crate) fn largest_bytes(&self) -> u64 {
        (self.xs.longest() * self.ys.longest() * 3) as u64
    }

    /// `true` if a window rect lies on this lattice.
    pub(crate) fn fits(&self, rect: &GridRect) -> bool {
        (rect.width(), rect.height()) == self.window
            && rect.min_x() % self.stride == 0
            && rect.min_y() % self.stride == 0
    }
}

/// Returns the px of whole tiles that a cell can hold; one tile, if tiles are larger.
fn whole_tiles(tile: i64) -> i64 {
    (CELL / tile).max(1) * tile
}

/// Cuts of one axis: at every window's start and end, and in between.
#[derive(Debug)]
struct Cuts {
    /// Piece `i` is grid px `edges[i]..edges[i + 1]`.
    edges: Vec<i64>,
    /// The tiles that each piece is made of. Starts and ends never decrease.
    tiles: Vec<Range<u32>>,
}

impl Cuts {
    /// Makes the cuts for windows of one length, each `stride` from the last; cut at multiples of `seams`
    /// too.
    fn new(
        windows: u32,
        (stride, window): (i64, i64),
        seams: Option<i64>,
        tiles: impl Fn(Range<i64>) -> Range<u32>,
    ) -> Self {
        let starts = (0..i64::from(windows)).map(|place| place * stride);
        let mut borders: Vec<i64> = starts.flat_map(|start| [start, start + window]).collect();
        let end = borders.iter().copied().max().unwrap_or(0);
        borders.extend(seams.into_iter().flat_map(|seams| (0..end).step_by(seams as usize)));
        borders.sort_unstable();
        borders.dedup();
        let mut edges = vec![0];
        for pair in borders.windows(2) {
            let (start, length) = (pair[0], pair[1] - pair[0]);
            let parts = (length + CELL - 1) / CELL;
            edges.extend((1..=parts).map(|part| start + length * part / parts));
        }
        let tiles = edges.windows(2).map(|pair| tiles(pair[0]..pair[1])).collect();
        Self { edges, tiles }
    }

    fn piece(&self, index: u32) -> Range<i64> {
        self.edges[index as usize]..self.edges[index as usize + 1]
    }

    /// Returns the pieces between two cuts.
    fn pieces(&self, grid: Range<i64>) -> Range<u32> {
        let [start, end] =
            [grid.start, grid.end].map(|at| self.edges.partition_point(|&edge| edge < at) as u32);
        start..end
    }

    fn pieces_of_tile(&self, tile: u32) -> Range<u32> {
        let start = self.tiles.partition_point(|span| span.end <= tile) as u32;
        let end = self.tiles.partition_point(|span| span.start <= tile) as u32;
        start..end.max(start)
    }

    fn longest(&self) -> i64 {
        self.edges.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }
}

/// Returns the tiles of `size` px that share a pixel with `px`. Empty spans lie past the last tile, so spans
/// stay sorted.
fn tile_span(px: Range<i64>, size: u32) -> Range<u32> {
    if px.is_empty() {
        return u32::MAX..u32::MAX;
    }
    let [first, last] = [px.start, px.end - 1].map(|at| (at / i64::from(size)) as u32);
    first..last + 1
}

fn product(rows: Range<u32>, columns: Range<u32>) -> impl Iterator<Item = (u32, u32)> {
    rows.flat_map(move |row| columns.clone().map(move |column| (row, column)))
}
