//! What is wrong with a slide, before a night is spent on it: tiles that cannot
//! be read, damage that decoding hides, and what the slide looks like.

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
    region::overview,
    slide::{Slide, TileState},
};

/// Longest side of the overview that is judged, px.
const OVERVIEW_SIDE: u32 = 1024;
/// Level-0 tiles whose focus is measured.
const FOCUS_TILES: usize = 24;

/// How thorough a check is.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// Threads that read; at least 1.
    pub threads: usize,
    /// At most this many tiles per level, evenly spread; all of them when `None`.
    pub tiles_per_level: Option<u64>,
}

impl CheckOptions {
    /// Every tile of every level.
    #[must_use]
    pub fn full(threads: usize) -> Self {
        Self { threads, tiles_per_level: None }
    }

    /// A sample of each level.
    #[must_use]
    pub fn quick(threads: usize) -> Self {
        Self { threads, tiles_per_level: Some(200) }
    }
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Checkup {
    /// One per level, sharpest first.
    pub levels: Vec<LevelCheck>,
    /// How the slide looks.
    pub look: Look,
}

impl Checkup {
    /// Tiles that cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.faults(FaultKind::Unreadable)
    }

    /// Tiles that decode although their data is damaged: their pixels may be
    /// wrong.
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
    /// Which.
    pub level: LevelIndex,
    /// Tiles in its grid.
    pub tiles: u64,
    /// Tiles looked at.
    pub checked: u64,
    /// Tiles the file leaves out; they show as background.
    pub absent: u64,
    /// Tiles with something wrong, row by row.
    pub faults: Vec<TileFault>,
}

/// Something wrong with one tile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TileFault {
    /// Where.
    pub tile: TileId,
    /// How bad.
    pub kind: FaultKind,
    /// What was found, what was expected.
    pub reason: String,
}

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// No pixels.
    Unreadable,
    /// Pixels, but the data shows damage: bit rot, a cut end.
    Damaged,
}

/// What the slide looks like, small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Look {
    /// Share of the overview that is coloured or dark as tissue is, 0 to 1.
    pub tissue_share: f64,
    /// Share in the colours of marker pens (green, blue, black), 0 to 1. Red pens
    /// look like eosin and are not told apart.
    pub pen_share: f64,
    /// Nothing has any colour: a gray scan, or no stain. Pens are not told apart
    /// there.
    pub is_gray: bool,
    /// Share that is nearly black, 0 to 1. Above a half the slide is no
    /// brightfield slide.
    pub dark_share: f64,
    /// Median sharpness of tissue tiles on level 0; `None` without tissue.
    /// See [`sharpness`].
    pub sharpness: Option<f64>,
}

impl Look {
    /// Below this, sharpness is taken for blur. A rough line: three sharp slides
    /// measured 0.20 to 0.58; blurred ones have not been measured yet.
    pub const BLURRED_BELOW: f64 = 0.02;

    /// Whether this looks like fluorescence rather than stain on light.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.dark_share > 0.5
    }

    /// Whether the tissue is out of focus.
    #[must_use]
    pub fn is_blurred(&self) -> bool {
        self.sharpness.is_some_and(|value| value < Self::BLURRED_BELOW)
    }
}

/// Reads tiles of every level and judges the overview.
///
/// `progress` is told after each tile how many are done and how many there are;
/// it may be called from any thread. The result does not depend on the number of
/// threads.
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

/// All tiles of a level, or `most` of them evenly spread, in row order.
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

/// Reads the tiles on several threads; gives the number left out by the file and
/// the faults in the order of `tiles`.
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
    let view = overview(slide, OVERVIEW_SIDE);
    let pixels = view.pixels.bytes().as_chunks::<3>().0;
    let share = |is: fn(Rgb) -> bool| {
        pixels.iter().filter(|&&pixel| is(pixel)).count() as f64 / pixels.len().max(1) as f64
    };
    let tissue: Vec<TileId> = tissue_tiles(slide, &view.pixels, view.downsample);
    let is_gray = share(is_coloured) < 0.001;
    Look {
        tissue_share: share(is_tissue),
        pen_share: if is_gray { 0.0 } else { share(is_pen) },
        is_gray,
        dark_share: share(is_dark),
        sharpness: median(tissue.iter().filter_map(|&tile| {
            let mut buffer = RgbBuffer::default();
            slide.read_tile(tile, &mut buffer).ok()?;
            sharpness(&buffer)
        })),
    }
}

/// Level-0 tiles at evenly spread tissue pixels of the overview.
fn tissue_tiles(slide: &dyn Slide, overview: &RgbBuffer, downsample: (f64, f64)) -> Vec<TileId> {
    let grid = slide.info().pyramid.base().tiles;
    let mut places = Vec::new();
    for y in 0..overview.height() {
        for (x, &pixel) in overview.row(y).as_chunks::<3>().0.iter().enumerate() {
            if is_tissue(pixel) && !is_pen(pixel) {
                places.push((x, y));
            }
        }
    }
    let step = places.len().div_ceil(FOCUS_TILES).max(1);
    let tile_at = |&(x, y): &(usize, usize)| TileId {
        level: LevelIndex(0),
        row: (((y as f64 + 0.5) * downsample.1) as u32 / grid.tile_height).min(grid.rows() - 1),
        column: (((x as f64 + 0.5) * downsample.0) as u32 / grid.tile_width).min(grid.columns() - 1),
    };
    let mut tiles: Vec<TileId> = places.iter().skip(step / 2).step_by(step).map(tile_at).collect();
    tiles.dedup();
    tiles
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// How sharp a picture is: the variance of its Laplacian over the variance of
/// its brightness, so that contrast and stain do not count. `None` for flat
/// pictures (brightness within 4 grey levels), which say nothing about focus.
///
/// The variance of the Laplacian as a focus measure: Pech-Pacheco et al., ICPR
/// 2000.
#[must_use]
pub fn sharpness(picture: &RgbBuffer) -> Option<f64> {
    let (width, height) = (picture.width(), picture.height());
    if width < 3 || height < 3 {
        return None;
    }
    // Rec. 601 luma in whole numbers.
    let gray: Vec<f64> = picture
        .bytes()
        .as_chunks::<3>()
        .0
        .iter()
        .map(|&[r, g, b]| f64::from(r) * 0.299 + f64::from(g) * 0.587 + f64::from(b) * 0.114)
        .collect();
    let at = |x: usize, y: usize| gray[y * width + x];
    let inner = (1..height - 1).flat_map(|y| (1..width - 1).map(move |x| (x, y)));
    let laplacian =
        inner.map(|(x, y)| at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y));
    let brightness = variance(gray.iter().copied());
    (brightness > 16.0).then(|| variance(laplacian) / brightness)
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

/// Coloured, or darker than glass.
fn is_tissue(pixel: Rgb) -> bool {
    let (low, high) = range(pixel);
    high >= 40 && (high - low > 18 || high < 200)
}

/// More than a cast of the lamp.
fn is_coloured(pixel: Rgb) -> bool {
    let (low, high) = range(pixel);
    high - low > 12
}

/// Nearly black.
fn is_dark(pixel: Rgb) -> bool {
    range(pixel).1 < 40
}

/// Colours that no common stain has: green, and blue without any red. Black ink
/// is dark and grey, which folded tissue never quite is.
fn is_pen(pixel: Rgb) -> bool {
    let [r, g, b] = pixel.map(i32::from);
    let green = g > r + 25 && g > b + 10;
    let blue = b > r + 70 && g > r + 10;
    let (low, high) = range(pixel);
    let black = (20..70).contains(&high) && high - low < 14;
    green || blue || black
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backend::memory::MemorySlide;

    fn at(level: u16, row: u32, column: u32) -> TileId {
        TileId { level: LevelIndex(level), row, column }
    }

    #[test]
    fn faults_are_named_whatever_the_threads() {
        let slide = || {
            MemorySlide::painted(&[(1000, 700), (500, 350)], (100, 100), None, |_, x, y| {
                if (x / 8 + y / 8) % 2 == 0 { [180, 60, 140] } else { [230, 180, 210] }
            })
            .unwrap()
            .with_failing([at(0, 3, 4), at(1, 0, 0)])
        };
        let one = check(&slide(), &CheckOptions::full(1), &|_, _| {});
        let many = check(&slide(), &CheckOptions::full(4), &|_, _| {});
        assert_eq!((one.unreadable(), one.damaged()), (2, 0));
        assert_eq!(one.levels[0].faults[0].tile, at(0, 3, 4));
        assert_eq!(one.levels[0].faults[0].reason, "painted to fail");
        assert_eq!((one.levels[0].tiles, one.levels[0].checked), (70, 70));
        assert_eq!(one.levels[1].faults, many.levels[1].faults);
        let quick = CheckOptions { threads: 2, tiles_per_level: Some(10) };
        let counter = std::sync::atomic::AtomicU64::new(0);
        let quick = check(&slide(), &quick, &|_, total| {
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
        assert!((look.pen_share - 0.125).abs() < 0.01, "{look:?}");
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
        assert!(look.is_gray && look.pen_share == 0.0, "{look:?}");
    }

    #[test]
    fn blur_lowers_sharpness() {
        let mut sharp = RgbBuffer::filled(64, 64, [200; 3]);
        let mut soft = sharp.clone();
        for y in 0..64 {
            for x in 0..64 {
                let edge = if (x / 4 + y / 4) % 2 == 0 { 90 } else { 210 };
                let wave = 150.0 + 60.0 * (x as f64 / 10.0).sin() * (y as f64 / 10.0).cos();
                sharp.row_mut(y)[x * 3..x * 3 + 3].fill(edge);
                soft.row_mut(y)[x * 3..x * 3 + 3].fill(wave as u8);
            }
        }
        assert!(sharpness(&sharp).unwrap() > 0.1);
        assert!(sharpness(&soft).unwrap() < Look::BLURRED_BELOW);
        assert_eq!(sharpness(&RgbBuffer::filled(64, 64, [9; 3])), None);
    }
}
