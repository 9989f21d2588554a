//! A slide, or a part of it, as one small picture.
//!
//! Picture px (i, j) is the average of level px over the area it covers, each weighted by its share inside
//! that area; level px past the edge do not count, and a px wholly past it is background. Sums are whole
//! numbers, so neither the threads nor the order of tiles changes a byte. Where a whole number of level px
//! makes a picture px, that is `(sum + n / 2) / n`.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use wsi_types::{Level, Level0Box, LevelIndex, LevelRect, Pyramid, Rgb, RgbBuffer, TileId};

use crate::slide::{ReadError, Slide};

/// Longest side of a picture for which the caller names only that side, px.
const MAX_SIDE: u32 = 16_384;
/// Distance from a picture px's border, in level px, below which a level px ends there.
const SLIVER: f64 = 1e-6;

/// Settings of a picture: its area, its size and the reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverviewSettings {
    /// The area of level 0 that it shows; it may reach past the slide.
    pub area: Level0Box,
    /// Width and height of the picture, px; at least 1 each, and no larger than
    /// the area in level-0 px: nothing is enlarged.
    pub size: (u32, u32),
    /// Colour in place of a tile that cannot be read.
    pub unreadable: Rgb,
    /// Number of reading threads; at least 1. They change no byte.
    pub threads: usize,
}

impl OverviewSettings {
    /// Makes settings for the whole slide, its longer side at most `max_side` px (at most 16384) and never
    /// enlarged; one thread, background where a tile cannot be read.
    #[must_use]
    pub fn whole(slide: &dyn Slide, max_side: u32) -> Self {
        let info = slide.info();
        let base = info.pyramid.base();
        let (width, height) = (base.width(), base.height());
        let longer = width.max(height);
        let size = [width, height].map(|side| {
            let exact = u64::from(side) * u64::from(max_side.clamp(1, MAX_SIDE).min(longer));
            ((exact + u64::from(longer) / 2) / u64::from(longer)).max(1) as u32
        });
        Self {
            area: Level0Box::from_size(euclid::size2(f64::from(width), f64::from(height))),
            size: size.into(),
            unreadable: info.background,
            threads: 1,
        }
    }

    /// Returns level-0 px per picture px, per axis.
    #[must_use]
    pub fn downsample(&self) -> (f64, f64) {
        (self.area.width() / f64::from(self.size.0), self.area.height() / f64::from(self.size.1))
    }
}

/// A slide or a part of it, small.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Its pixels.
    pub pixels: RgbBuffer,
    /// Level-0 px per px of it, per axis.
    pub downsample: (f64, f64),
    /// The level it was made from.
    pub level: LevelIndex,
    /// Parts of it that show tiles which could not be read, row by row.
    pub faults: Vec<OverviewFault>,
}

/// A tile that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverviewFault {
    /// The tile, in the grid of the overview's level.
    pub tile: TileId,
    /// Columns and rows of the picture that the tile has a part in.
    pub px: (Range<usize>, Range<usize>),
    /// The reason.
    pub error: ReadError,
}

impl Overview {
    /// Reads the coarsest level that is at least as sharp as the picture, each tile once. Memory holds the
    /// picture, one tile per thread, and a band of sums as high as a tile.
    ///
    /// A broken tile leaves a hole that is named in [`Overview::faults`]: a picture
    /// with a hole is better than none.
    #[must_use]
    pub fn read(slide: &dyn Slide, settings: &OverviewSettings) -> Self {
        let pyramid = &slide.info().pyramid;
        let downsample = settings.downsample();
        let index = sharp_enough(pyramid, (downsample.0 * downsample.1).sqrt());
        let level = pyramid.level(index).unwrap_or(pyramid.base());
        let reading = Reading {
            slide,
            settings,
            index,
            level,
            x: Axis::new(settings.area.min.x, downsample.0, level.downsample.0, settings.size.0),
            y: Axis::new(settings.area.min.y, downsample.1, level.downsample.1, settings.size.1),
        };
        let (pixels, faults) = reading.all();
        Self { pixels, downsample, level: index, faults }
    }

    /// Reads the whole slide with the settings of [`OverviewSettings::whole`].
    #[must_use]
    pub fn whole(slide: &dyn Slide, max_side: u32) -> Self {
        Self::read(slide, &OverviewSettings::whole(slide, max_side))
    }
}

/// Returns the coarsest level with at most `downsample` level-0 px per px, up to the rounding of its size;
/// level 0 if none is that sharp.
fn sharp_enough(pyramid: &Pyramid, downsample: f64) -> LevelIndex {
    let mut levels = pyramid.levels().iter();
    let sharp = levels.rposition(|level| level.mean_downsample() <= downsample * 1.0001);
    LevelIndex(sharp.unwrap_or(0) as u16)
}

/// One picture that is being made.
struct Reading<'a> {
    slide: &'a dyn Slide,
    settings: &'a OverviewSettings,
    index: LevelIndex,
    level: &'a Level,
    x: Axis,
    y: Axis,
}

impl Reading<'_> {
    fn all(&self) -> (RgbBuffer, Vec<OverviewFault>) {
        let (width, height) = self.settings.size;
        let background = self.slide.info().background;
        let mut picture = RgbBuffer::filled(width as usize, height as usize, background);
        let mut band = Band { width: width as usize, first: 0, sums: Vec::new() };
        let mut faults = Vec::new();
        let grid = self.level.tiles;
        let tiles: Vec<(u32, u32)> = grid.tiles_in(&self.seen()).collect();
        let mut ids = tiles.iter().map(|&(column, row)| TileId { level: self.index, row, column });
        self.slide.will_read(&mut ids);
        for row_of_tiles in tiles.chunk_by(|a, b| a.1 == b.1) {
            let rows = grid.tile_rect(row_of_tiles[0].0, row_of_tiles[0].1).y_range();
            band.extend(self.y.touched(&rows).end);
            faults.extend(self.read_row(row_of_tiles, &mut band));
            band.finish(self.y.finished(rows.end), &mut picture);
        }
        band.finish(usize::MAX, &mut picture);
        (picture, faults)
    }

    /// Returns the level px that have a part in the picture, and perhaps a few more.
    fn seen(&self) -> LevelRect {
        let (x, y) = (self.x.level(), self.y.level());
        LevelRect::new(euclid::point2(x.start, y.start), euclid::size2(x.end - x.start, y.end - y.start))
    }

    /// Adds some tiles of one row of the grid; returns those that failed, in order.
    fn read_row(&self, tiles: &[(u32, u32)], band: &mut Band) -> Vec<OverviewFault> {
        let next = AtomicU32::new(0);
        let shared = Mutex::new((band, Vec::new()));
        let work = || {
            let mut pixels = RgbBuffer::default();
            let mut part = Part::default();
            while let Some(&(column, row)) = tiles.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                let tile = TileId { level: self.index, row, column };
                let fault = self.add_tile(tile, &mut pixels, &mut part);
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.0.add(&part);
                shared.1.extend(fault);
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.settings.threads.min(tiles.len()) {
                // If the system refuses a thread, there is one less.
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        let (_, mut faults) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        faults.sort_by_key(|fault: &OverviewFault| fault.tile);
        faults
    }

    /// Sums one tile up in `part`.
    fn add_tile(&self, tile: TileId, pixels: &mut RgbBuffer, part: &mut Part) -> Option<OverviewFault> {
        let rect = self.level.tiles.tile_rect(tile.column, tile.row);
        part.reset(self.x.spans(rect.x_range()), self.y.spans(rect.y_range()));
        // A header of a few bytes can claim a whole slide that holds nothing.
        if self.slide.is_absent(tile) {
            part.add_flat(self.slide.info().background);
            return None;
        }
        match self.slide.read_tile(tile, pixels) {
            Ok(()) => {
                part.add(pixels);
                None
            }
            Err(error) => {
                part.add_flat(self.settings.unreadable);
                let px = (self.x.touched(&rect.x_range()), self.y.touched(&rect.y_range()));
                Some(OverviewFault { tile, px, error })
            }
        }
    }
}

/// One axis: the positions of picture px on level px.
#[derive(Debug, Clone, Copy)]
struct Axis {
    /// Position of the picture's corner, level px.
    origin: f64,
    /// Level px per picture px.
    scale: f64,
    /// Size of the picture, px.
    size: usize,
    /// Weight of a whole level px, chosen so that the weights of a picture px sum to at most 2^24, and the
    /// products of two axes with a byte stay below 2^56.
    one: u32,
}

impl Axis {
    fn new(area_start: f64, downsample: f64, level_downsample: f64, size: u32) -> Self {
        let scale = downsample / level_downsample;
        let one = (f64::from(1 << 20) / scale.ceil().max(1.0)).clamp(1.0, 4096.0) as u32;
        Self { origin: area_start / level_downsample, scale, size: size as usize, one }
    }

    /// Returns the level px that the picture covers.
    fn level(&self) -> Range<i64> {
        let end = self.origin + self.scale * self.size as f64;
        (self.origin + SLIVER).floor() as i64..(end - SLIVER).ceil() as i64
    }

    /// Returns the picture px that some level px have a part in.
    fn touched(&self, level: &Range<i64>) -> Range<usize> {
        let [start, end] = [level.start, level.end].map(|at| (at as f64 - self.origin) / self.scale);
        let first = (start + SLIVER).floor().clamp(0.0, self.size as f64) as usize;
        let end = (end - SLIVER).ceil().clamp(0.0, self.size as f64) as usize;
        first..end.max(first)
    }

    /// Returns the picture px before which level px at `end` and after add nothing.
    fn finished(&self, end: i64) -> usize {
        self.touched(&(end..end + 1)).start
    }

    /// Returns the shares of level px in the picture px that they have a part in.
    fn spans(&self, level: Range<i64>) -> Vec<Span> {
        self.touched(&level).map(|px| self.span(px, &level)).collect()
    }

    fn span(&self, px: usize, level: &Range<i64>) -> Span {
        let low = (self.origin + self.scale * px as f64).max(level.start as f64);
        let high = (self.origin + self.scale * (px + 1) as f64).min(level.end as f64);
        let start = ((low + SLIVER).floor() as i64).clamp(level.start, level.end - 1);
        let end = ((high - SLIVER).ceil() as i64).clamp(start + 1, level.end);
        let [first, last] = [start, end - 1].map(|at| {
            let part = high.min((at + 1) as f64) - low.max(at as f64);
            ((part * f64::from(self.one)).round() as u32).clamp(1, self.one)
        });
        let inside = (start - level.start) as usize..(end - level.start) as usize;
        Span { px, inside, first, one: self.one, last }
    }
}

/// The part of one tile in one picture px along one axis.
#[derive(Debug, Clone)]
struct Span {
    px: usize,
    /// Px of the tile.
    inside: Range<usize>,
    /// Weight of the first of them, of those between, of the last.
    first: u32,
    one: u32,
    last: u32,
}

impl Span {
    fn weight(&self, at: usize) -> u32 {
        if at == self.inside.start {
            self.first
        } else if at + 1 == self.inside.end {
            self.last
        } else {
            self.one
        }
    }

    /// Returns the sum of the weights.
    fn total(&self) -> u64 {
        self.inside.clone().map(|at| u64::from(self.weight(at))).sum()
    }
}

/// Weighted red, green and blue, and the weights.
type Sums = [u64; 4];

fn added(sums: &mut Sums, more: &Sums) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(*more));
}

/// The part of one tile in the picture. Made to be reused.
#[derive(Default)]
struct Part {
    xs: Vec<Span>,
    ys: Vec<Span>,
    /// Sums by y, then x.
    sums: Vec<Sums>,
    /// Level rows weighted and added up.
    down: Vec<u32>,
}

impl Part {
    fn reset(&mut self, xs: Vec<Span>, ys: Vec<Span>) {
        self.sums.clear();
        self.sums.resize(xs.len() * ys.len(), [0; 4]);
        (self.xs, self.ys) = (xs, ys);
    }

    fn add(&mut self, tile: &RgbBuffer) {
        let Self { xs, ys, sums, down } = self;
        for (y, sums) in ys.iter().zip(sums.chunks_exact_mut(xs.len().max(1))) {
            down.clear();
            down.resize(tile.width() * 3, 0);
            for row in y.inside.clone() {
                let weight = y.weight(row);
                for (sum, &byte) in down.iter_mut().zip(tile.row(row)) {
                    *sum = sum.wrapping_add(weight.wrapping_mul(u32::from(byte)));
                }
            }
            let high = y.total();
            for (x, sums) in xs.iter().zip(sums) {
                add_across(x, &down.as_chunks::<3>().0[x.inside.clone()], high, sums);
            }
        }
    }

    fn add_flat(&mut self, colour: Rgb) {
        let Self { xs, ys, sums, .. } = self;
        for (y, sums) in ys.iter().zip(sums.chunks_exact_mut(xs.len().max(1))) {
            for (x, sums) in xs.iter().zip(sums) {
                let area = x.total().wrapping_mul(y.total());
                let [r, g, b] = colour.map(|value| u64::from(value).wrapping_mul(area));
                added(sums, &[r, g, b, area]);
            }
        }
    }
}

/// Adds `pixels` of one row, weighted across.
fn add_across(x: &Span, pixels: &[[u32; 3]], high: u64, sums: &mut Sums) {
    for (at, pixel) in x.inside.clone().zip(pixels) {
        let wide = u64::from(x.weight(at));
        let [r, g, b] = pixel.map(|value| u64::from(value).wrapping_mul(wide));
        added(sums, &[r, g, b, wide.wrapping_mul(high)]);
    }
}

/// The rows of the picture that are being summed.
struct Band {
    width: usize,
    /// The first of these rows in the picture.
    first: usize,
    sums: Vec<Sums>,
}

impl Band {
    /// Makes room up to picture row `end`.
    fn extend(&mut self, end: usize) {
        let rows = end.saturating_sub(self.first);
        self.sums.resize((rows * self.width).max(self.sums.len()), [0; 4]);
    }

    fn add(&mut self, part: &Part) {
        for (y, sums) in part.ys.iter().zip(part.sums.chunks_exact(part.xs.len().max(1))) {
            let row = &mut self.sums[(y.px - self.first) * self.width..][..self.width];
            for (x, more) in part.xs.iter().zip(sums) {
                added(&mut row[x.px], more);
            }
        }
    }

    /// Paints the rows before `end` and drops them.
    fn finish(&mut self, end: usize, picture: &mut RgbBuffer) {
        let rows = end.saturating_sub(self.first).min(self.sums.len() / self.width);
        for (row, sums) in self.sums.chunks_exact(self.width).take(rows).enumerate() {
            let line = picture.row_mut(self.first + row).as_chunks_mut::<3>().0;
            for (pixel, &[r, g, b, weight]) in line.iter_mut().zip(sums) {
                if weight > 0 {
                    *pixel = [r, g, b].map(|sum| (sum.wrapping_add(weight / 2) / weight).min(255) as u8);
                }
            }
        }
        self.sums.drain(..rows * self.width);
        self.first += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemorySlide;

    /// A slide of 8 px squares, light and dark; tiles of 64 px.
    fn chequered(width: u32, height: u32) -> MemorySlide {
        let slide = MemorySlide::painted(&[(width, height)], (64, 64), None, |_, x, y| {
            if (x / 8 + y / 8).is_multiple_of(2) { [200, 100, 50] } else { [0, 0, 0] }
        });
        slide.unwrap()
    }

    fn noisy(width: u32, height: u32) -> MemorySlide {
        let slide = MemorySlide::painted(&[(width, height)], (64, 48), None, |_, x, y| {
            let mix = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca6b);
            let [r, g, b, _] = (mix ^ (mix >> 15)).wrapping_mul(0x2c1b_3c6d).to_be_bytes();
            [r, g, b]
        });
        slide.unwrap()
    }

    fn settings(area: [f64; 4], size: (u32, u32)) -> OverviewSettings {
        let [x0, y0, x1, y1] = area;
        let area = Level0Box::new(euclid::point2(x0, y0), euclid::point2(x1, y1));
        OverviewSettings { area, size, unreadable: [128; 3], threads: 1 }
    }

    /// Returns the part of pixel `at` that lies between `low` and `high`.
    fn share(low: f64, high: f64, at: usize) -> f64 {
        (high.min(at as f64 + 1.0) - low.max(at as f64)).max(0.0)
    }

    /// Makes the picture by the definition itself, px by px.
    fn slowly(slide: &MemorySlide, settings: &OverviewSettings) -> RgbBuffer {
        let base = slide.info().pyramid.base();
        let mut level = RgbBuffer::default();
        let size = euclid::size2(i64::from(base.width()), i64::from(base.height()));
        let whole = LevelRect::from_size(size);
        crate::read_region(slide, LevelIndex(0), whole, &mut level).unwrap();
        let (sx, sy) = settings.downsample();
        let (width, height) = (settings.size.0 as usize, settings.size.1 as usize);
        let mut picture = RgbBuffer::filled(width, height, slide.info().background);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (x0, y0) = (settings.area.min.x + sx * x as f64, settings.area.min.y + sy * y as f64);
            let (mut sums, mut weight) = ([0.0; 3], 0.0);
            for (v, u) in (0..level.height()).flat_map(|v| (0..level.width()).map(move |u| (v, u))) {
                let area = share(x0, x0 + sx, u) * share(y0, y0 + sy, v);
                weight += area;
                (0..3).for_each(|c| sums[c] += area * f64::from(level.pixel(u, v)[c]));
            }
            if weight > 1e-9 {
                picture.row_mut(y).as_chunks_mut::<3>().0[x] = sums.map(|sum| (sum / weight).round() as u8);
            }
        }
        picture
    }

    #[test]
    fn pixels_are_means_by_area_whatever_the_threads() {
        let slide = noisy(150, 110);
        for (area, size) in [
            ([0.0, 0.0, 150.0, 110.0], (15, 11)),
            ([0.0, 0.0, 150.0, 110.0], (37, 29)),
            ([0.0, 0.0, 154.0, 112.0], (7, 7)),
            ([20.5, 11.25, 131.75, 99.5], (80, 60)),
            ([-40.0, 70.0, 60.0, 170.0], (33, 33)),
            ([0.0, 0.0, 150.0, 110.0], (1, 1)),
        ] {
            let settings = settings(area, size);
            let expected = slowly(&slide, &settings);
            let one = Overview::read(&slide, &settings);
            let pairs = one.pixels.bytes().iter().zip(expected.bytes());
            let most = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(most <= 1, "{area:?} as {size:?}: {most} grey levels");
            let many = Overview::read(&slide, &OverviewSettings { threads: 3, ..settings });
            assert_eq!(one.pixels, many.pixels);
        }
    }

    #[test]
    fn at_full_size_pixels_are_as_stored() {
        let slide = noisy(200, 150);
        let shot = Overview::read(&slide, &settings([60.0, 40.0, 170.0, 120.0], (110, 80)));
        let mut stored = RgbBuffer::default();
        let rect = LevelRect::new(euclid::point2(60, 40), euclid::size2(110, 80));
        crate::read_region(&slide, LevelIndex(0), rect, &mut stored).unwrap();
        assert_eq!(shot.pixels, stored);
        assert_eq!(Overview::whole(&slide, 5000).pixels.width(), 200);
    }

    #[test]
    fn pictures_hold_means_not_samples() {
        let shot = Overview::whole(&chequered(192, 192), 12);
        assert!(shot.pixels.bytes().as_chunks::<3>().0.iter().all(|&pixel| pixel == [100, 50, 25]));
        assert_eq!((shot.downsample, shot.faults.len()), ((16.0, 16.0), 0));
    }

    #[test]
    fn past_the_slide_is_background() {
        let slide = chequered(70, 50);
        let picture = Overview::read(&slide, &settings([40.0, 20.0, 104.0, 84.0], (32, 32))).pixels;
        let background = slide.info().background;
        assert_eq!((picture.pixel(20, 3), picture.pixel(3, 20)), (background, background));
        // Level-0 pixels 40 to 48 and 24 to 32: square (5, 3), a light one.
        assert_eq!(picture.pixel(1, 3), [200, 100, 50]);
    }

    #[test]
    fn a_broken_tile_is_a_hole_that_is_named() {
        let broken = TileId { level: LevelIndex(0), row: 0, column: 1 };
        let slide = chequered(192, 64).with_failing([broken]);
        let shot = Overview::read(&slide, &settings([0.0, 0.0, 192.0, 64.0], (192, 64)));
        assert_eq!(shot.pixels.pixel(63, 0), [0, 0, 0]);
        assert_eq!((shot.pixels.pixel(64, 0), shot.pixels.pixel(127, 63)), ([128; 3], [128; 3]));
        assert_eq!(shot.pixels.pixel(128, 0), [200, 100, 50]);
        assert_eq!(shot.faults.len(), 1);
        assert_eq!((shot.faults[0].tile, &shot.faults[0].px), (broken, &(64..128, 0..64)));
    }
}
