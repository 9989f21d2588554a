//! Resampling, once, from one level to the grid at the model's mpp.
//!
//! Grid px (i, j) is the average of the level's px over the area `i·sx..(i+1)·sx` × `j·sy..(j+1)·sy`, every
//! px weighted by its share inside that area; `s` is [`Sampling::level_per_grid`]. Where the level has to be
//! enlarged (`s` < 1), it is interpolated linearly between the two nearest px centres instead. Parts of the
//! area past the level's edge do not count; grid px wholly past the edge are background. So a grid px is a
//! function of its own place, and all windows that see it see the same bytes.
//!
//! Rounding: whole factors give `(sum + n/2) / n` in integers, `n` the number of
//! px. Other factors are weighted in fixed point (15 bits per axis) and rounded
//! half up, which is within 1 of the exact average; where weights are whole
//! powers of two both ways give the same bytes.

use std::ops::Range;

use wsi_types::{GridRect, LevelIndex, LevelRect, Rgb, RgbBuffer, Sampling, TileGrid};

/// Distance from a px border within which a position lies on it: a sliver of rounding must not reach into the
/// next px, or the next tile.
const SLIVER: f64 = 1e-6;

/// 1.0 as a weight. Half of the range of `u16`, so that rows weighted in `u16` cannot overflow and a weight
/// of one needs no special case.
const ONE: u32 = 1 << 15;

/// Resampling of one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    /// Length of the level, px.
    level: i64,
    /// Length of the grid, px.
    grid: i64,
    /// Level px per grid px.
    scale: f64,
    /// The same, if it is a whole number.
    whole: Option<i64>,
}

impl Axis {
    fn new(level: u32, grid: u32, scale: f64) -> Self {
        let whole = (scale >= 1.0 && scale.fract() == 0.0 && scale <= 256.0).then_some(scale as i64);
        Self { level: i64::from(level), grid: i64::from(grid), scale, whole }
    }

    /// Returns the part of some grid px that is not past the edge.
    fn inside(&self, grid: &Range<i64>) -> Range<i64> {
        grid.start.clamp(0, self.grid)..grid.end.clamp(0, self.grid)
    }

    /// Returns the level px that have a weight in some grid px.
    pub(crate) fn footprint(&self, grid: Range<i64>) -> Range<i64> {
        let inside = self.inside(&grid);
        if inside.is_empty() { 0..0 } else { self.reach(inside.start).start..self.reach(inside.end - 1).end }
    }

    /// Returns the level px that have a weight in one grid px.
    fn reach(&self, at: i64) -> Range<i64> {
        let (start, end) = match self.whole {
            Some(n) => (at * n, (at + 1) * n),
            None if self.scale >= 1.0 => {
                let low = at as f64 * self.scale + SLIVER;
                let high = (at + 1) as f64 * self.scale - SLIVER;
                (low.floor() as i64, high.ceil() as i64)
            }
            None => {
                let left = self.centre(at).floor() as i64;
                (left, left + 2)
            }
        };
        start.clamp(0, self.level - 1)..end.clamp(1, self.level)
    }

    /// Returns the position of a grid px's centre between the centres of level px.
    fn centre(&self, at: i64) -> f64 {
        (at as f64 + 0.5) * self.scale - 0.5
    }

    /// Returns the share of one level px in one grid px, not yet divided by their sum.
    fn share(&self, at: i64, px: i64) -> f64 {
        if self.scale >= 1.0 {
            let (low, high) = (at as f64 * self.scale, (at + 1) as f64 * self.scale);
            (high.min((px + 1) as f64) - low.max(px as f64)).max(0.0)
        } else {
            (1.0 - (self.centre(at) - px as f64).abs()).max(0.0)
        }
    }

    /// Returns the weights of `reach(at)`, which sum to exactly [`ONE`].
    fn weights(&self, at: i64, reach: &Range<i64>) -> impl Iterator<Item = u16> {
        let shares: Vec<f64> = reach.clone().map(|px| self.share(at, px)).collect();
        let total: f64 = shares.iter().sum();
        // Running sums are rounded, not weights, so that the last one is exact.
        let mut sum = 0.0;
        let mut given = 0u32;
        let count = shares.len();
        shares.into_iter().enumerate().map(move |(index, share)| {
            sum += share;
            let until = if index + 1 == count { ONE } else { (sum / total * f64::from(ONE)).round() as u32 };
            let weight = until.saturating_sub(given);
            given = given.max(until);
            weight as u16
        })
    }

    /// Returns firsts (counted from `from`) and weights of the grid px `grid`, each padded to the same number
    /// of taps.
    fn taps(&self, grid: &Range<i64>, from: i64) -> Taps {
        let reaches: Vec<Range<i64>> = grid.clone().map(|at| self.reach(at)).collect();
        let count = reaches.iter().map(|reach| (reach.end - reach.start) as usize).max().unwrap_or(1);
        let mut taps = Taps { count, firsts: Vec::with_capacity(reaches.len()), weights: Vec::new() };
        for (at, reach) in grid.clone().zip(&reaches) {
            taps.firsts.push((reach.start - from) as usize);
            taps.weights.extend(self.weights(at, reach));
            taps.weights.resize(taps.firsts.len() * count, 0);
        }
        taps
    }
}

/// The weights of some grid px along one axis.
struct Taps {
    /// Taps per px.
    count: usize,
    /// First level px of each grid px.
    firsts: Vec<usize>,
    /// Weights, `count` for each grid px.
    weights: Vec<u16>,
}

/// Makes the pixels of a grid from the tiles of one level.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampler {
    x: Axis,
    y: Axis,
    level: LevelIndex,
    grid: TileGrid,
    background: Rgb,
}

impl Resampler {
    /// Makes a resampler for the grid `sampling`, read from a level cut into `tiles`; past its edges is
    /// `background`.
    #[must_use]
    pub fn new(sampling: &Sampling, tiles: TileGrid, background: Rgb) -> Self {
        let (sx, sy) = sampling.level_per_grid;
        Self {
            x: Axis::new(tiles.width, sampling.width, sx),
            y: Axis::new(tiles.height, sampling.height, sy),
            level: sampling.level,
            grid: tiles,
            background,
        }
    }

    pub(crate) fn axes(&self) -> (Axis, Axis) {
        (self.x, self.y)
    }

    pub(crate) fn level(&self) -> LevelIndex {
        self.level
    }

    /// Returns the bytes of a full tile.
    pub(crate) fn tile_bytes(&self) -> u64 {
        let TileGrid { width, height, tile_width, tile_height } = self.grid;
        u64::from(tile_width.min(width)) * u64::from(tile_height.min(height)) * 3
    }

    pub(crate) fn background(&self) -> Rgb {
        self.background
    }

    pub(crate) fn tiles(&self) -> &TileGrid {
        &self.grid
    }

    /// `true` if grid px are level px, as stored.
    pub(crate) fn keeps_pixels(&self) -> bool {
        (self.x.whole, self.y.whole) == (Some(1), Some(1))
    }

    /// Cuts grid rows along the borders of stored tiles, and at the level's edge. Only where
    /// [`keeps_pixels`](Self::keeps_pixels).
    pub(crate) fn bands(&self, ys: Range<i64>) -> impl Iterator<Item = Range<i64>> + use<> {
        let (edge, tile) = (self.y.grid, i64::from(self.grid.tile_height));
        let mut start = ys.start;
        std::iter::from_fn(move || {
            let next = if start < edge { edge.min((start / tile + 1) * tile) } else { ys.end };
            let band = start..next.min(ys.end);
            start = band.end;
            (!band.is_empty()).then_some(band)
        })
    }

    /// Returns the level px that have a weight in `rect`; empty if it lies past the edges.
    #[must_use]
    pub fn footprint(&self, rect: &GridRect) -> LevelRect {
        let x = self.x.footprint(rect.min_x()..rect.max_x());
        let y = self.y.footprint(rect.min_y()..rect.max_y());
        if x.is_empty() || y.is_empty() {
            return LevelRect::zero();
        }
        LevelRect::new(euclid::point2(x.start, y.start), euclid::size2(x.end - x.start, y.end - y.start))
    }

    /// Writes the px of `rect` to `out` (height × width × 3), from tiles that
    /// cover its footprint.
    ///
    /// # Panics
    ///
    /// When `out` has another size or the tiles do not cover the footprint.
    pub fn fill(&self, rect: &GridRect, tiles: &Patch<'_>, out: &mut [u8]) {
        let width = rect.width() as usize;
        assert_eq!(out.len(), width * rect.height() as usize * 3, "a buffer of the rect's size");
        let xs = self.x.inside(&(rect.min_x()..rect.max_x()));
        let ys = self.y.inside(&(rect.min_y()..rect.max_y()));
        if rect.height() > ys.end - ys.start
            || rect.width() > xs.end - xs.start
            || ys.is_empty()
            || xs.is_empty()
        {
            out.as_chunks_mut::<3>().0.fill(self.background);
        }
        if xs.is_empty() || ys.is_empty() {
            return;
        }
        let mut rows = Rows::new(self, xs.clone(), tiles);
        let left = (xs.start - rect.min_x()) as usize * 3;
        let right = (xs.end - rect.min_x()) as usize * 3;
        for y in ys {
            let row = (y - rect.min_y()) as usize * width * 3;
            rows.write(y, &mut out[row + left..row + right]);
        }
    }
}

/// Neighbouring tiles of one level, row by row, as they come from the reader.
pub struct Patch<'a> {
    grid: &'a TileGrid,
    columns: Range<u32>,
    rows: Range<u32>,
    tiles: &'a [&'a RgbBuffer],
}

impl<'a> Patch<'a> {
    /// Takes the tiles of the given columns and rows, row by row; `None` if their number or their sizes are
    /// not those of the grid.
    #[must_use]
    pub fn new(
        grid: &'a TileGrid,
        columns: Range<u32>,
        rows: Range<u32>,
        tiles: &'a [&'a RgbBuffer],
    ) -> Option<Self> {
        let mut sizes =
            rows.clone().flat_map(|row| columns.clone().map(move |column| grid.tile_rect(column, row).size));
        let fits = tiles.iter().all(|tile| {
            sizes
                .next()
                .is_some_and(|size| (tile.width() as i64, tile.height() as i64) == (size.width, size.height))
        });
        (fits && sizes.next().is_none()).then_some(Self { grid, columns, rows, tiles })
    }

    /// Returns the bytes of level row `y` that lie in one tile column and in `xs`.
    fn part(&self, column: u32, y: i64, xs: &Range<i64>) -> &'a [u8] {
        let (tile_width, tile_height) = (i64::from(self.grid.tile_width), i64::from(self.grid.tile_height));
        let row = (y / tile_height) as usize - self.rows.start as usize;
        let across = self.columns.len();
        let tile = self.tiles[row * across + (column - self.columns.start) as usize];
        let left = i64::from(column) * tile_width;
        let start = (xs.start - left).max(0) as usize;
        let end = (xs.end - left).min(tile.width() as i64) as usize;
        &tile.row((y % tile_height) as usize)[start * 3..end * 3]
    }
}

/// Writes grid rows, one after the other.
struct Rows<'a> {
    of: &'a Resampler,
    tiles: &'a Patch<'a>,
    /// Level px across.
    xs: Range<i64>,
    method: Method,
    /// One row of level px, summed or averaged down the rows.
    down: Vec<u16>,
}

/// Method of averaging px; see the module's rounding rules.
enum Method {
    /// Stored px are used as they are.
    Copy,
    /// Sums of whole px, this many across.
    Whole(usize),
    /// Weighted sums.
    Weighted(Taps),
}

impl<'a> Rows<'a> {
    fn new(of: &'a Resampler, grid: Range<i64>, tiles: &'a Patch<'a>) -> Self {
        let xs = of.x.footprint(grid.clone());
        let method = match (of.x.whole, of.y.whole) {
            (Some(1), Some(1)) => Method::Copy,
            (Some(across), Some(_)) => Method::Whole(across as usize),
            _ => Method::Weighted(of.x.taps(&grid, xs.start)),
        };
        let padding = if let Method::Weighted(taps) = &method { taps.count } else { 0 };
        let down = vec![0; ((xs.end - xs.start) as usize + padding) * 3];
        Self { of, tiles, xs, method, down }
    }

    /// Writes grid row `at` to `out`.
    fn write(&mut self, at: i64, out: &mut [u8]) {
        let reach = self.of.y.reach(at);
        match &self.method {
            Method::Copy => self.copy(reach.start, out),
            &Method::Whole(across) => {
                self.gather(&reach, sum_rows);
                sum_across(&self.down, across, (reach.end - reach.start) as u32, out);
            }
            Method::Weighted(_) => {
                let weights: Vec<u16> = self.of.y.weights(at, &reach).collect();
                self.gather(&reach, |rows, down| weigh_rows(rows, &weights, down));
                if let Method::Weighted(taps) = &self.method {
                    weigh_across(&self.down, taps, out);
                }
            }
        }
    }

    fn copy(&self, y: i64, out: &mut [u8]) {
        let mut out = out;
        for column in self.tiles.columns.clone() {
            let part = self.tiles.part(column, y, &self.xs);
            let (here, rest) = std::mem::take(&mut out).split_at_mut(part.len());
            here.copy_from_slice(part);
            out = rest;
        }
    }

    /// Combines the level rows `reach` in `down`, tile by tile.
    fn gather(&mut self, reach: &Range<i64>, together: impl Fn(&[&[u8]], &mut [u16])) {
        let mut rows: Vec<&[u8]> = Vec::with_capacity((reach.end - reach.start) as usize);
        let mut down = &mut self.down[..];
        for column in self.tiles.columns.clone() {
            rows.clear();
            rows.extend(reach.clone().map(|y| self.tiles.part(column, y, &self.xs)));
            let (here, rest) = down.split_at_mut(rows[0].len());
            together(&rows, here);
            down = rest;
        }
    }
}

/// Sums bytes of at most 256 rows, so that `u16` holds them.
fn sum_rows(rows: &[&[u8]], down: &mut [u16]) {
    match rows {
        [a, b] => sum_some([a, b], down),
        [a, b, c, d] => sum_some([a, b, c, d], down),
        rows => {
            down.fill(0);
            for row in rows {
                for (sum, &byte) in down.iter_mut().zip(*row) {
                    *sum = sum.wrapping_add(u16::from(byte));
                }
            }
        }
    }
}

fn sum_some<const N: usize>(rows: [&[u8]; N], down: &mut [u16]) {
    let rows = rows.map(|row| &row[..down.len()]);
    for (i, sum) in down.iter_mut().enumerate() {
        *sum = rows.iter().fold(0u16, |sum, row| sum.wrapping_add(u16::from(row[i])));
    }
}

/// Adds rows with weights that sum to [`ONE`]; the results are bytes times 2^7.
fn weigh_rows(rows: &[&[u8]], weights: &[u16], down: &mut [u16]) {
    match (rows, weights) {
        (&[a], &[u]) => weigh_some([a], [u], down),
        (&[a, b], &[u, v]) => weigh_some([a, b], [u, v], down),
        (&[a, b, c], &[u, v, w]) => weigh_some([a, b, c], [u, v, w], down),
        (rows, weights) => {
            down.fill(0);
            for (row, &weight) in rows.iter().zip(weights) {
                for (sum, &byte) in down.iter_mut().zip(*row) {
                    *sum = sum.wrapping_add(weighed(byte, weight));
                }
            }
        }
    }
}

fn weigh_some<const N: usize>(rows: [&[u8]; N], weights: [u16; N], down: &mut [u16]) {
    let rows = rows.map(|row| &row[..down.len()]);
    for (i, sum) in down.iter_mut().enumerate() {
        *sum = rows
            .iter()
            .zip(weights)
            .fold(0u16, |sum, (row, weight)| sum.wrapping_add(weighed(row[i], weight)));
    }
}

/// Returns byte × weight in units of 2^-7, cut off below. Written so that it compiles to one 16-bit multiply.
fn weighed(byte: u8, weight: u16) -> u16 {
    ((u32::from(byte) << 8).wrapping_mul(u32::from(weight)) >> 16) as u16
}

/// Averages `across` px at a time of sums over `rows` rows; the last px may be cut by the level's edge.
fn sum_across(down: &[u16], across: usize, rows: u32, out: &mut [u8]) {
    let (pixels, _) = out.as_chunks_mut::<3>();
    match (across, rows) {
        (2, 2) => sum_shift::<2, 6, 2>(down, pixels),
        (4, 4) => sum_shift::<4, 12, 4>(down, pixels),
        _ => {}
    }
    // The fast methods leave the px that is cut to the code below; the others leave all px to it.
    let done = if matches!((across, rows), (2, 2) | (4, 4)) { down.len() / (across * 3) } else { 0 };
    for (pixel, sums) in pixels[done..].iter_mut().zip(down[done * across * 3..].chunks(across * 3)) {
        let count = (sums.len() / 3) as u32 * rows;
        for (channel, byte) in pixel.iter_mut().enumerate() {
            let sum: u32 = sums[channel..].iter().step_by(3).map(|&sum| u32::from(sum)).sum();
            *byte = ((sum + count / 2) / count) as u8;
        }
    }
}

/// Averages `N` px at a time, `BYTES` = 3 · `N` sums, divided by 2^`SHIFT`.
fn sum_shift<const N: usize, const BYTES: usize, const SHIFT: u32>(down: &[u16], out: &mut [Rgb]) {
    for (pixel, sums) in out.iter_mut().zip(down.as_chunks::<BYTES>().0) {
        let mut total = [1u16 << (SHIFT - 1); 3];
        for px in sums.as_chunks::<3>().0 {
            for (total, &sum) in total.iter_mut().zip(px) {
                *total = total.wrapping_add(sum);
            }
        }
        *pixel = total.map(|total| (total >> SHIFT) as u8);
    }
}

/// Weighs px of averaged rows across.
fn weigh_across(down: &[u16], taps: &Taps, out: &mut [u8]) {
    match taps.count {
        1 => weigh_px::<1>(down, taps, out),
        2 => weigh_px::<2>(down, taps, out),
        3 => weigh_px::<3>(down, taps, out),
        4 => weigh_px::<4>(down, taps, out),
        5 => weigh_px::<5>(down, taps, out),
        count => {
            let pixels = out.as_chunks_mut::<3>().0.iter_mut();
            for ((pixel, &first), weights) in pixels.zip(&taps.firsts).zip(taps.weights.chunks(count)) {
                *pixel = weigh_one(&down[first * 3..][..count * 3], weights);
            }
        }
    }
}

fn weigh_px<const N: usize>(down: &[u16], taps: &Taps, out: &mut [u8]) {
    let pixels = out.as_chunks_mut::<3>().0.iter_mut();
    for ((pixel, &first), weights) in pixels.zip(&taps.firsts).zip(taps.weights.as_chunks::<N>().0) {
        *pixel = weigh_one(&down[first * 3..][..N * 3], weights);
    }
}

#[inline(always)]
fn weigh_one(px: &[u16], weights: &[u16]) -> Rgb {
    // Bytes × 2^7 (down) × 2^15 (across).
    let mut total = [1u32 << 21; 3];
    for (px, &weight) in px.as_chunks::<3>().0.iter().zip(weights) {
        for (total, &value) in total.iter_mut().zip(px) {
            *total = total.wrapping_add(u32::from(value).wrapping_mul(u32::from(weight)));
        }
    }
    total.map(|total| (total >> 22) as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::noise;

    const GRID: TileGrid = TileGrid { width: 157, height: 131, tile_width: 40, tile_height: 24 };
    const BACKGROUND: Rgb = [9, 99, 199];

    fn resampler(scale: (f64, f64)) -> Resampler {
        let [width, height] = [(GRID.width, scale.0), (GRID.height, scale.1)]
            .map(|(size, scale)| ((f64::from(size) / scale - 1e-6).ceil() as u32).max(1));
        let sampling =
            Sampling { level: LevelIndex(0), level_per_grid: scale, level0_per_grid: scale, width, height };
        Resampler::new(&sampling, GRID, BACKGROUND)
    }

    fn rect(x: i64, y: i64, width: i64, height: i64) -> GridRect {
        GridRect::new(euclid::point2(x, y), euclid::size2(width, height))
    }

    /// Returns the range from the first to the last of some places.
    fn span(places: impl Iterator<Item = u32> + Clone) -> std::ops::Range<u32> {
        places.clone().min().unwrap_or(0)..places.max().map_or(0, |last| last + 1)
    }

    /// Reads exactly the tiles of the footprint.
    fn fill(resampler: &Resampler, rect: &GridRect) -> Vec<u8> {
        let foot = resampler.footprint(rect);
        let ids: Vec<(u32, u32)> = GRID.tiles_in(&foot).collect();
        let columns = span(ids.iter().map(|id| id.0));
        let rows = span(ids.iter().map(|id| id.1));
        let tiles: Vec<RgbBuffer> = ids.iter().map(|&(column, row)| tile(column, row)).collect();
        let tiles: Vec<&RgbBuffer> = tiles.iter().collect();
        let patch = Patch::new(&GRID, columns, rows, &tiles).unwrap();
        let mut out = vec![0; (rect.width() * rect.height() * 3) as usize];
        resampler.fill(rect, &patch, &mut out);
        out
    }

    fn tile(column: u32, row: u32) -> RgbBuffer {
        let rect = GRID.tile_rect(column, row);
        let mut buffer = RgbBuffer::filled(rect.width() as usize, rect.height() as usize, [0; 3]);
        for y in 0..rect.height() {
            for x in 0..rect.width() {
                let pixel = noise(0, (rect.min_x() + x) as u32, (rect.min_y() + y) as u32);
                buffer.row_mut(y as usize).as_chunks_mut::<3>().0[x as usize] = pixel;
            }
        }
        buffer
    }

    /// Returns the part that level px `px` has in grid px `at`.
    fn share(scale: f64, px: f64, at: f64) -> f64 {
        if scale >= 1.0 {
            let (low, high) = (at * scale, (at + 1.0) * scale);
            return (high.min(px + 1.0) - low.max(px)).max(0.0);
        }
        let centre = (at + 0.5) * scale - 0.5;
        (1.0 - (centre - px).abs()).max(0.0)
    }

    /// Returns the share of each level px in one grid px along one axis, slowly.
    fn shares(scale: f64, size: u32, at: i64) -> Vec<(u32, f64)> {
        let shares: Vec<(u32, f64)> = (0..size)
            .map(|px| (px, share(scale, f64::from(px), at as f64)))
            .filter(|(_, share)| *share > 1e-6)
            .collect();
        let total: f64 = shares.iter().map(|(_, share)| share).sum();
        shares.into_iter().map(|(px, share)| (px, share / total)).collect()
    }

    fn exact(scale: (f64, f64), x: i64, y: i64) -> [f64; 3] {
        let (across, down) = (shares(scale.0, GRID.width, x), shares(scale.1, GRID.height, y));
        let mut sum = [0.0; 3];
        for &(py, sy) in &down {
            for &(px, sx) in &across {
                let pixel = noise(0, px, py);
                (0..3).for_each(|c| sum[c] += f64::from(pixel[c]) * sx * sy);
            }
        }
        sum
    }

    fn scales() -> impl Strategy<Value = f64> {
        prop_oneof![
            0.5..1.0f64,
            1.0..2.5f64,
            2.5..9.0f64,
            Just(1.0),
            Just(2.0),
            Just(3.0),
            Just(4.0),
            Just(1.98)
        ]
    }

    proptest! {
        #[test]
        fn grid_px_are_area_averages(
            sx in scales(), sy in scales(), x in 0i64..200, y in 0i64..200, width in 1i64..20, height in 1i64..20,
        ) {
            let resampler = resampler((sx, sy));
            let out = fill(&resampler, &rect(x, y, width, height));
            for (place, pixel) in out.as_chunks::<3>().0.iter().enumerate() {
                let at = (x + place as i64 % width, y + place as i64 / width);
                if at.0 >= resampler.x.grid || at.1 >= resampler.y.grid {
                    prop_assert_eq!(*pixel, BACKGROUND);
                    continue;
                }
                let exact = exact((sx, sy), at.0, at.1);
                for c in 0..3 {
                    let whole = resampler.x.whole.is_some() && resampler.y.whole.is_some();
                    // Whole factors are exact (an exact half goes up); fixed
                    // point may cut 2^-7 per tap and round weights.
                    let slack = if whole { 0.5 + 1e-9 } else { 0.7 };
                    prop_assert!((f64::from(pixel[c]) - exact[c]).abs() <= slack, "{pixel:?} {exact:?} at {at:?}");
                }
            }
        }

        #[test]
        fn windows_agree_on_shared_px(sx in scales(), sy in scales(), x in 0i64..60, y in 0i64..60) {
            let resampler = resampler((sx, sy));
            let (all, part) = (fill(&resampler, &rect(0, 0, 80, 80)), fill(&resampler, &rect(x, y, 20, 20)));
            for row in 0..20 {
                let start = ((y as usize + row) * 80 + x as usize) * 3;
                prop_assert_eq!(&all[start..start + 60], &part[row * 60..][..60]);
            }
        }

        #[test]
        fn weights_sum_to_one(scale in scales(), at in 0i64..60) {
            let axis = Axis::new(157, 400, scale);
            prop_assume!((at as f64 + 1.0) * scale < 157.0);
            let reach = axis.reach(at);
            let weights: Vec<u16> = axis.weights(at, &reach).collect();
            prop_assert_eq!(weights.iter().map(|&w| u32::from(w)).sum::<u32>(), ONE);
            prop_assert_eq!(weights.len() as i64, reach.end - reach.start);
            prop_assert!(weights[0] > 0 || scale < 1.0);
        }
    }

    #[test]
    fn weighted_and_whole_ways_agree() {
        for factor in [1.0, 2.0, 4.0, 8.0] {
            let whole = resampler((factor, factor));
            let mut weighted = whole.clone();
            (weighted.x.whole, weighted.y.whole) = (None, None);
            // The last px, cut by the edge, has other weights: left out here.
            let inside = rect(0, 0, whole.x.grid - 1, whole.y.grid - 1);
            assert_eq!(fill(&whole, &inside), fill(&weighted, &inside), "factor {factor}");
        }
    }

    #[test]
    fn halves_round_up() {
        let mut out = [0; 3];
        sum_across(&[1, 2, 3, 1, 3, 4], 2, 2, &mut out);
        assert_eq!(out, [1, 1, 2]); // 2/4, 5/4, 7/4
        sum_across(&[3, 4, 5], 3, 2, &mut out);
        assert_eq!(out, [2, 2, 3]); // cut: 3/2, 4/2, 5/2
    }

    #[test]
    fn tiles_that_do_not_fit_are_refused() {
        let (whole, cut) = (tile(0, 0), tile(3, 0));
        assert!(Patch::new(&GRID, 0..1, 0..1, &[&whole]).is_some());
        assert!(Patch::new(&GRID, 3..4, 0..1, &[&cut]).is_some());
        assert!(Patch::new(&GRID, 0..1, 0..1, &[&cut]).is_none());
        assert!(Patch::new(&GRID, 0..2, 0..1, &[&whole]).is_none());
        assert!(Patch::new(&GRID, 0..1, 0..1, &[&whole, &whole]).is_none());
    }
}
