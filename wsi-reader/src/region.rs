//! Pixels of any rectangle, put together from tiles; and the whole slide small.

use wsi_types::{Level, LevelIndex, LevelRect, Rgb, RgbBuffer, TileId};

use crate::slide::{ReadError, Slide, TileState};

/// Longest side of an overview, px.
const MAX_OVERVIEW_SIDE: u32 = 16_384;

/// Reads a rectangle of one level, in px of that level, from whole tiles.
///
/// `out` takes its size. What lies outside the level, and tiles the file leaves
/// out, are [`SlideInfo::background`](crate::SlideInfo::background). Each tile is
/// decoded once per call and kept no longer: runs that read overlapping windows
/// go through the tiler's shared cache instead.
///
/// # Errors
///
/// [`ReadError`] of the first tile that cannot be read, row by row.
///
/// # Panics
///
/// When the rectangle has more pixels than memory can hold.
pub fn read_region(
    slide: &dyn Slide,
    level: LevelIndex,
    rect: LevelRect,
    out: &mut RgbBuffer,
) -> Result<(), ReadError> {
    let Some(grid) = slide.info().pyramid.level(level).map(|l| l.tiles) else {
        return Err(ReadError::NoSuchTile { tile: TileId { level, row: 0, column: 0 } });
    };
    out.fill(rect.width().max(0) as usize, rect.height().max(0) as usize, slide.info().background);
    let mut tile_pixels = RgbBuffer::default();
    for (column, row) in grid.tiles_in(&rect) {
        slide.read_tile(TileId { level, row, column }, &mut tile_pixels)?;
        let tile = grid.tile_rect(column, row);
        let Some(shared) = tile.intersection(&rect) else { continue };
        let from = ((shared.min_x() - tile.min_x()) as usize, (shared.min_y() - tile.min_y()) as usize);
        let to = ((shared.min_x() - rect.min_x()) as usize, (shared.min_y() - rect.min_y()) as usize);
        copy_rect(&tile_pixels, from, out, to);
    }
    Ok(())
}

/// Copies what both buffers hold from `at` in one to `to` in the other.
pub(crate) fn copy_rect(from: &RgbBuffer, at: (usize, usize), out: &mut RgbBuffer, to: (usize, usize)) {
    let width = from.width().saturating_sub(at.0).min(out.width().saturating_sub(to.0));
    let height = from.height().saturating_sub(at.1).min(out.height().saturating_sub(to.1));
    for y in 0..height {
        let source = &from.row(at.1 + y)[at.0 * 3..(at.0 + width) * 3];
        out.row_mut(to.1 + y)[to.0 * 3..(to.0 + width) * 3].copy_from_slice(source);
    }
}

/// The whole slide as one small picture.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Its pixels.
    pub pixels: RgbBuffer,
    /// Level-0 px per px of it, per axis.
    pub downsample: (f64, f64),
    /// The level it was made from.
    pub level: LevelIndex,
    /// Tiles of that level that could not be read and show as background.
    pub failed: Vec<ReadError>,
}

/// The whole slide, its longer side at most `max_side` px (at most 16384),
/// averaged over areas from the smallest level that is at least as sharp. Never
/// enlarged. Memory holds the result and one tile.
///
/// A broken tile leaves background and is named in [`Overview::failed`]: an
/// overview with a hole is better than none.
#[must_use]
pub fn overview(slide: &dyn Slide, max_side: u32) -> Overview {
    let max_side = max_side.clamp(1, MAX_OVERVIEW_SIDE);
    let pyramid = &slide.info().pyramid;
    let index = pyramid.overview(max_side);
    let level = pyramid.level(index).unwrap_or(pyramid.base());
    let (width, height) = fit(level, max_side);
    let mut sums = AreaAverage::new(level, width, height);
    let mut failed = Vec::new();
    let mut pixels = RgbBuffer::default();
    let grid = level.tiles;
    for row in 0..grid.rows() {
        for column in 0..grid.columns() {
            let rect = grid.tile_rect(column, row);
            let tile = TileId { level: index, row, column };
            // A header of a few bytes can claim a whole slide of nothing.
            if slide.tile_state(tile) == TileState::Absent {
                sums.add_flat(slide.info().background, &rect);
                continue;
            }
            if let Err(error) = slide.read_tile(tile, &mut pixels) {
                failed.push(error);
                pixels.fill(rect.width() as usize, rect.height() as usize, slide.info().background);
            }
            sums.add(&pixels, rect.min_x() as u32, rect.min_y() as u32);
        }
    }
    let base = pyramid.base();
    Overview {
        pixels: sums.finish(),
        downsample: (
            f64::from(base.width()) / f64::from(width),
            f64::from(base.height()) / f64::from(height),
        ),
        level: index,
        failed,
    }
}

/// The size of a level brought down to `max_side`, at least 1 px each way.
fn fit(level: &Level, max_side: u32) -> (u32, u32) {
    let longer = level.width().max(level.height());
    if longer <= max_side {
        return (level.width(), level.height());
    }
    let scaled = |side: u32| {
        let exact = u64::from(side) * u64::from(max_side);
        ((exact + u64::from(longer) / 2) / u64::from(longer)).max(1) as u32
    };
    (scaled(level.width()), scaled(level.height()))
}

/// Sums of whole level pixels per overview pixel. A level pixel goes to the
/// overview pixel its centre lies in: at overview scale the slivers that exact
/// weights would move are below a grey level.
struct AreaAverage {
    width: u32,
    height: u32,
    level: (u32, u32),
    sums: Vec<[u32; 4]>,
}

impl AreaAverage {
    fn new(level: &Level, width: u32, height: u32) -> Self {
        let sums = vec![[0; 4]; width as usize * height as usize];
        Self { width, height, level: (level.width(), level.height()), sums }
    }

    /// Which overview column or row a level px belongs to.
    fn cell(px: u32, cells: u32, size: u32) -> usize {
        ((u64::from(px) * 2 + 1) * u64::from(cells) / (u64::from(size) * 2)) as usize
    }

    fn add(&mut self, tile: &RgbBuffer, left: u32, top: u32) {
        let columns: Vec<usize> =
            (0..tile.width() as u32).map(|x| Self::cell(left + x, self.width, self.level.0)).collect();
        for y in 0..tile.height() {
            let row = Self::cell(top + y as u32, self.height, self.level.1) * self.width as usize;
            for (&column, pixel) in columns.iter().zip(tile.row(y).as_chunks::<3>().0) {
                let [r, g, b, count] = &mut self.sums[row + column];
                *r = r.wrapping_add(u32::from(pixel[0]));
                *g = g.wrapping_add(u32::from(pixel[1]));
                *b = b.wrapping_add(u32::from(pixel[2]));
                *count = count.wrapping_add(1);
            }
        }
    }

    /// As [`AreaAverage::add`], for a rectangle of one colour.
    fn add_flat(&mut self, colour: Rgb, rect: &LevelRect) {
        let across = Self::runs(rect.min_x()..rect.max_x(), self.width, self.level.0);
        for (row, rows) in Self::runs(rect.min_y()..rect.max_y(), self.height, self.level.1) {
            for &(column, columns) in &across {
                let (sums, area) = (&mut self.sums[row * self.width as usize + column], columns * rows);
                for (sum, value) in sums.iter_mut().zip([colour[0], colour[1], colour[2], 1]) {
                    *sum = sum.wrapping_add(area.wrapping_mul(u32::from(value)));
                }
            }
        }
    }

    /// The overview columns or rows some level px belong to, and how many each.
    fn runs(px: std::ops::Range<i64>, cells: u32, size: u32) -> Vec<(usize, u32)> {
        let mut runs: Vec<(usize, u32)> = Vec::new();
        for at in px {
            let cell = Self::cell(at as u32, cells, size);
            match runs.last_mut() {
                Some((last, count)) if *last == cell => *count += 1,
                _ => runs.push((cell, 1)),
            }
        }
        runs
    }

    fn finish(self) -> RgbBuffer {
        let mut out = RgbBuffer::default();
        out.reset(self.width as usize, self.height as usize);
        for (pixel, [r, g, b, count]) in out.bytes_mut().as_chunks_mut::<3>().0.iter_mut().zip(self.sums) {
            let count = count.max(1);
            *pixel = [r, g, b].map(|sum| ((sum + count / 2) / count).min(255) as u8);
        }
        out
    }
}
