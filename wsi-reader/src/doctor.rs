//! A check of a slide before a night is spent on it: tiles that cannot be read, damage that decoding hides,
//! and the look of the slide.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde::Serialize;
use wsi_types::{LevelIndex, Rgb, RgbBuffer, TileGrid, TileId};

use crate::{
    overview::Overview,
    slide::{Slide, TileState},
};

/// Longest side of the overview that is judged, px.
const OVERVIEW_SIDE: u32 = 1024;
/// Level-0 tiles whose focus is measured.
const FOCUS_TILES: usize = 24;

/// Settings of a check.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// Number of reading threads; at least 1.
    pub threads: usize,
    /// Largest number of tiles checked per level, evenly spread; `None` checks all of them.
    pub tiles_per_level: Option<u64>,
}

impl CheckOptions {
    /// Makes settings that check every tile of every level.
    #[must_use]
    pub fn full(threads: usize) -> Self {
        Self { threads, tiles_per_level: None }
    }

    /// Makes settings that check a sample of each level.
    #[must_use]
    pub fn quick(threads: usize) -> Self {
        Self { threads, tiles_per_level: Some(200) }
    }
}

/// Result of a check.
#[derive(Debug, Clone, Serialize)]
pub struct Checkup {
    /// One per level, sharpest first.
    pub levels: Vec<LevelCheck>,
    /// Look of the slide.
    pub look: Look,
}

impl Checkup {
    /// Returns the number of tiles that cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.faults(FaultKind::Unreadable)
    }

    /// Returns the number of tiles that decode although their data is damaged: their pixels may be wrong.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.faults(FaultKind::Damaged)
    }

    fn faults(&self, kind: FaultKind) -> usize {
        self.levels.iter().flat_map(|level| &level.faults).filter(|fault| fault.kind == kind).count()
    }
}

/// The tiles of one level.
#[derive(Debug, Clone, Serialize)]
pub struct LevelCheck {
    /// The level.
    pub level: LevelIndex,
    /// Tiles in its grid.
    pub tiles: u64,
    /// Tiles that were checked.
    pub checked: u64,
    /// Tiles the file leaves out; they show as background.
    pub absent: u64,
    /// Tiles with something wrong, row by row.
    pub faults: Vec<TileFault>,
}

/// Something wrong with one tile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TileFault {
    /// The tile.
    pub tile: TileId,
    /// Severity of the fault.
    pub kind: FaultKind,
    /// The fault: what was found and what was expected.
    pub reason: String,
}

/// Severity of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// No pixels.
    Unreadable,
    /// Pixels, but the data shows damage: bit rot, a cut end.
    Damaged,
}

/// Look of the slide, judged on a small picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Look {
    /// Share of the overview that is coloured or dark as tissue is, 0 to 1.
    pub tissue_share: f64,
    /// `true` if nothing has any colour: a gray scan, or no stain.
    pub is_gray: bool,
    /// Share that is nearly black, 0 to 1. Above a half the slide is not a brightfield slide.
    pub dark_share: f64,
    /// Median sharpness of tissue tiles on level 0; `None` without tissue.
    /// See [`sharpness`].
    pub sharpness: Option<f64>,
}

impl Look {
    /// Sharpness below which a slide counts as blurred. Six sharp slides of H&E and Ki67 at 0.23 to 0.5 µm/px
    /// measured 0.29 to 0.63; blurred by a Gaussian of 1.5 px they measure 0.14 to 0.19, of 2 px 0.11 to
    /// 0.14.
    pub const BLURRED_BELOW: f64 = 0.15;

    /// `true` if the slide looks like fluorescence rather than stain on light.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.dark_share > 0.5
    }

    /// `true` if the tissue is out of focus.
    #[must_use]
    pub fn is_blurred(&self) -> bool {
        self.sharpness.is_some_and(|value| value < Self::BLURRED_BELOW)
    }
}

/// Reads tiles of every level and judges the overview.
///
/// After each tile `progress` gets the number of tiles done and the number of all tiles; it may be called
/// from any thread. The result does not depend on the number of threads.
pub fn check(slide: &dyn Slide, options: &CheckOptions, progress: &(dyn Fn(u64, u64) + Sync)) -> Checkup {
    let picked: Vec<Vec<TileId>> = slide
        .info()
        .pyramid
        .levels()
        .iter()
        .enumerate()
        .map(|(index, level)| pick(LevelIndex(index as u16), &level.tiles, options.tiles_per_level))
        .collect();
    let total = picked.iter().map(|tiles| tiles.len() as u64).sum();
    let mut done = 0;
    let mut levels = Vec::new();
    for (level, tiles) in slide.info().pyramid.levels().iter().zip(&picked) {
        let before = done;
        let (absent, faults) =
            check_tiles(slide, tiles, options.threads, &|checked| progress(before + checked, total));
        done += tiles.len() as u64;
        levels.push(LevelCheck {
            level: LevelIndex(levels.len() as u16),
            tiles: u64::from(level.tiles.columns()) * u64::from(level.tiles.rows()),
            checked: tiles.len() as u64,
            absent,
            faults,
        });
    }
    Checkup { levels, look: look(slide) }
}

/// Returns all tiles of a level, or `most` of them evenly spread, in row order.
fn pick(level: LevelIndex, grid: &TileGrid, most: Option<u64>) -> Vec<TileId> {
    let columns = u64::from(grid.columns());
    let tiles = columns * u64::from(grid.rows());
    let wanted = most.unwrap_or(tiles).min(tiles);
    (0..wanted)
        .map(|i| {
            let place = (u128::from(i) * u128::from(tiles) / u128::from(wanted)) as u64;
            TileId { level, row: (place / columns) as u32, column: (place % columns) as u32 }
        })
        .collect()
}

/// Reads the tiles on several threads; returns the number that the file leaves out, and the faults in the
/// order of `tiles`.
fn check_tiles(
    slide: &dyn Slide,
    tiles: &[TileId],
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> (u64, Vec<TileFault>) {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Finding)>> = Mutex::default();
    let work = || {
        let mut pixels = RgbBuffer::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&tile) = tiles.get(index) else { break };
            let finding = examine(slide, tile, &mut pixels);
            if !matches!(finding, Finding::Sound) {
                found.lock().unwrap_or_else(PoisonError::into_inner).push((index, finding));
            }
            progress(index as u64 + 1);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(index, _)| *index);
    let mut absent = 0;
    let mut faults = Vec::new();
    for (_, finding) in found {
        match finding {
            Finding::Sound => {}
            Finding::Absent => absent += 1,
            Finding::Fault(fault) => faults.push(fault),
        }
    }
    (absent, faults)
}

enum Finding {
    Sound,
    Absent,
    Fault(TileFault),
}

fn examine(slide: &dyn Slide, tile: TileId, pixels: &mut RgbBuffer) -> Finding {
    let state = slide.tile_state(tile);
    if state == TileState::Absent {
        return Finding::Absent;
    }
    if let Err(error) = slide.read_tile(tile, pixels) {
        return Finding::Fault(TileFault { tile, kind: FaultKind::Unreadable, reason: error.reason() });
    }
    let mut defects = slide.verify_tile(tile);
    if let TileState::Stored { defects: shown, .. } = state {
        defects.extend(shown);
    }
    match defects.is_empty() {
        true => Finding::Sound,
        false => {
            let reason = defects.join("; ");
            Finding::Fault(TileFault { tile, kind: FaultKind::Damaged, reason })
        }
    }
}

/// Judges the overview, and the focus of some level-0 tiles that hold tissue.
#[must_use]
pub fn look(slide: &dyn Slide) -> Look {
    let view = Overview::whole(slide, OVERVIEW_SIDE);
    let pixels = view.pixels.bytes().as_chunks::<3>().0;
    let [tissue_share, coloured_share, dark_share] =
        [is_tissue, is_coloured, is_dark].map(|is: fn(Rgb) -> bool| {
            pixels.iter().filter(|&&pixel| is(pixel)).count() as f64 / pixels.len().max(1) as f64
        });
    let tissue: Vec<TileId> = tissue_tiles(slide, &view.pixels, view.downsample);
    Look {
        tissue_share,
        is_gray: coloured_share < 0.001,
        dark_share,
        sharpness: median(tissue.iter().filter_map(|&tile| {
            let mut buffer = RgbBuffer::default();
            slide.read_tile(tile, &mut buffer).ok()?;
            sharpness(&buffer)
        })),
    }
}

/// Returns the level-0 tiles at evenly spread tissue pixels of the overview.
fn tissue_tiles(slide: &dyn Slide, overview: &RgbBuffer, downsample: (f64, f64)) -> Vec<TileId> {
    let grid = slide.info().pyramid.base().tiles;
    let mut places = Vec::new();
    for y in 0..overview.height() {
        for (x, &pixel) in overview.row(y).as_chunks::<3>().0.iter().enumerate() {
            if is_tissue(pixel) {
                places.push((x, y));
            }
        }
    }
    let step = places.len().div_ceil(FOCUS_TILES).max(1);
    let spread = places.iter().skip(step / 2).step_by(step);
    let mut tiles: Vec<TileId> = spread
        .map(|&(x, y)| TileId {
            level: LevelIndex(0),
            row: (((y as f64 + 0.5) * downsample.1) as u32 / grid.tile_height).min(grid.rows() - 1),
            column: (((x as f64 + 0.5) * downsample.0) as u32 / grid.tile_width).min(grid.columns() - 1),
        })
        .collect();
    tiles.dedup();
    tiles
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Returns the sharpness of a picture: the variance of its Laplacian at half its size divided by that at a
/// quarter, the finer detail over the coarser. So neither contrast nor the kind of stain counts, nor does the
/// noise of the finest pixels. `None` for flat pictures (brightness within 4 grey levels), which tell nothing
/// about focus.
///
/// The variance of the Laplacian as a focus measure: Pech-Pacheco et al., ICPR
/// 2000.
#[must_use]
pub fn sharpness(picture: &RgbBuffer) -> Option<f64> {
    let half = Gray::of(picture).halved();
    let quarter = half.halved();
    if quarter.width < 3 || quarter.height() < 3 || variance(half.values.iter().copied()) <= 16.0 {
        return None;
    }
    let coarse = variance(quarter.laplacian());
    (coarse > 0.0).then(|| variance(half.laplacian()) / coarse)
}

/// Brightness, row by row.
struct Gray {
    width: usize,
    values: Vec<f64>,
}

impl Gray {
    /// Rec. 601 luma.
    fn of(picture: &RgbBuffer) -> Self {
        let pixels = picture.bytes().as_chunks::<3>().0.iter().map(|pixel| pixel.map(f64::from));
        let luma = pixels.map(|[r, g, b]| r * 0.299 + g * 0.587 + b * 0.114);
        Self { width: picture.width(), values: luma.collect() }
    }

    fn height(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    fn at(&self, x: usize, y: usize) -> f64 {
        self.values[y * self.width + x]
    }

    /// Means of two by two; an odd last row or column is dropped.
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height() / 2);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (2 * x, 2 * y)));
        let means = places.map(|(x, y)| {
            (self.at(x, y) + self.at(x + 1, y) + self.at(x, y + 1) + self.at(x + 1, y + 1)) / 4.0
        });
        Self { width, values: means.collect() }
    }

    fn laplacian(&self) -> impl Iterator<Item = f64> {
        let inner = (1..self.height() - 1).flat_map(|y| (1..self.width - 1).map(move |x| (x, y)));
        inner.map(|(x, y)| {
            let around = self.at(x - 1, y) + self.at(x + 1, y) + self.at(x, y - 1) + self.at(x, y + 1);
            around - 4.0 * self.at(x, y)
        })
    }
}

fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let off = value - mean;
        mean += off / count;
        squares += off * (value - mean);
    }
    if count > 0.0 { squares / count } else { 0.0 }
}

fn range(pixel: Rgb) -> (i32, i32) {
    let [r, g, b] = pixel.map(i32::from);
    (r.min(g).min(b), r.max(g).max(b))
}

/// `true` for a pixel that is coloured, or darker than glass.
fn is_tissue(pixel: Rgb) -> bool {
    let (low, high) = range(pixel);
    high >= 40 && (high - low > 18 || high < 200)
}

/// `true` for a pixel with more colour than a cast of the lamp.
fn is_coloured(pixel: Rgb) -> bool {
    let (low, high) = range(pixel);
    high - low > 12
}

/// `true` for a pixel that is nearly black.
fn is_dark(pixel: Rgb) -> bool {
    range(pixel).1 < 40
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemorySlide;

    fn at(level: u16, row: u32, column: u32) -> TileId {
        TileId { level: LevelIndex(level), row, column }
    }

    #[test]
    fn faults_are_named_whatever_the_threads() {
        let slide = MemorySlide::painted(&[(1000, 700), (500, 350)], (100, 100), None, |_, x, y| {
            if (x / 8 + y / 8) % 2 == 0 { [180, 60, 140] } else { [230, 180, 210] }
        })
        .unwrap()
        .with_failing([at(0, 3, 4), at(1, 0, 0)]);
        let one = check(&slide, &CheckOptions::full(1), &|_, _| {});
        let many = check(&slide, &CheckOptions::full(4), &|_, _| {});
        assert_eq!((one.unreadable(), one.damaged()), (2, 0));
        assert_eq!(one.levels[0].faults[0].tile, at(0, 3, 4));
        assert_eq!(one.levels[0].faults[0].reason, "painted to fail");
        assert_eq!((one.levels[0].tiles, one.levels[0].checked), (70, 70));
        assert_eq!(one.levels[1].faults, many.levels[1].faults);
        let quick = CheckOptions { threads: 2, tiles_per_level: Some(10) };
        let counter = std::sync::atomic::AtomicU64::new(0);
        let quick = check(&slide, &quick, &|_, total| {
            counter.fetch_add(1, Ordering::Relaxed);
            assert_eq!(total, 20);
        });
        assert_eq!(quick.levels[0].checked, 10);
        assert_eq!(counter.into_inner(), 20);
    }

    #[test]
    fn the_look_of_a_slide_is_measured() {
        let half = MemorySlide::painted(&[(400, 400)], (100, 100), None, |_, x, y| match (x, y) {
            (0..200, _) => [245, 244, 246],
            (_, 0..100) => [30, 140, 60],
            _ => [170, 70, 130],
        })
        .unwrap();
        let look = look(&half);
        assert!((look.tissue_share - 0.5).abs() < 0.01, "{look:?}");
        assert!(!look.is_dark());
        let night = MemorySlide::painted(&[(400, 400)], (100, 100), None, |_, x, _| {
            if x < 20 { [0, 0, 250] } else { [2, 1, 4] }
        })
        .unwrap();
        assert!(super::look(&night).is_dark());
        let gray =
            MemorySlide::painted(
                &[(400, 400)],
                (100, 100),
                None,
                |_, x, _| {
                    if x < 200 { [40; 3] } else { [230; 3] }
                },
            )
            .unwrap();
        let look = super::look(&gray);
        assert!(look.is_gray, "{look:?}");
    }

    /// Nuclei of some px across, pale or black: stains differ by their contrast.
    fn nuclei(dark: u8) -> RgbBuffer {
        let mut picture = RgbBuffer::filled(256, 256, [215, 205, 220]);
        for (x, y) in (0..256).flat_map(|y| (0..256).map(move |x| (x, y))) {
            let (cell_x, cell_y) = (x / 20, y / 20);
            let reach = 3 + (cell_x * 7 + cell_y * 13) % 6;
            let (dx, dy) = ((x % 20) as i64 - 10, (y % 20) as i64 - 10);
            if dx * dx + dy * dy < (reach * reach) as i64 {
                let grain = (x * 37 + y * 101 + x * y * 3) % 23;
                picture.row_mut(y)[x * 3..x * 3 + 3].fill(dark + grain as u8);
            }
        }
        picture
    }

    /// Each px the mean of the square of `2 * reach + 1` px around it, twice.
    fn blurred(picture: &RgbBuffer, reach: usize) -> RgbBuffer {
        blurred_once(&blurred_once(picture, reach), reach)
    }

    /// Each pixel the mean of the square around it.
    fn blurred_once(from: &RgbBuffer, reach: usize) -> RgbBuffer {
        let mut out = from.clone();
        for (x, y) in (0..256).flat_map(|y| (0..256).map(move |x| (x, y))) {
            let [across, down] = [x, y].map(|at: usize| at.saturating_sub(reach)..(at + reach + 1).min(256));
            let pixels = across.len() * down.len();
            let square = down.flat_map(|v| across.clone().map(move |u| (u, v)));
            let sum: usize = square.map(|(u, v)| usize::from(from.pixel(u, v)[0])).sum();
            out.row_mut(y)[x * 3..x * 3 + 3].fill((sum / pixels) as u8);
        }
        out
    }

    #[test]
    fn blur_lowers_sharpness_whatever_the_stain() {
        for dark in [20, 90, 170] {
            let sharp = nuclei(dark);
            let soft = blurred(&sharp, 2);
            let (sharp, soft) = (sharpness(&sharp).unwrap(), sharpness(&soft).unwrap());
            assert!(sharp > Look::BLURRED_BELOW && soft < Look::BLURRED_BELOW, "{dark}: {sharp} and {soft}");
        }
        assert_eq!(sharpness(&RgbBuffer::filled(64, 64, [9; 3])), None);
        assert_eq!(sharpness(&RgbBuffer::filled(5, 200, [9; 3])), None);
        assert_eq!(sharpness(&RgbBuffer::default()), None);
    }
}
