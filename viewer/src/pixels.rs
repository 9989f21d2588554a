//! The pixels of a slide as JPEG tiles for a browser.
//!
//! Tiles that the file holds as JPEG are sent as they are. All others are decoded, averaged if a level lies
//! between stored ones, encoded, and kept for the next request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use wsi_reader::{Overview, OverviewSettings, ReadError, Slide};
use wsi_types::{Level, Level0Box, LevelIndex, Rgb, RgbBuffer, TileGrid, TileId};

/// Side of the tiles that we make, px.
const MADE_SIDE: u32 = 512;
/// Sides that a stored tile must have to be used as it is; others are cut again, px.
const USABLE_SIDES: std::ops::RangeInclusive<u32> = 128..=2048;
/// Factor between the sides of two levels above which one is added between them.
const WIDEST_STEP: f64 = 2.9;
/// Largest factor by which a level made by averaging may be coarser than the coarsest stored one: each of its
/// tiles reads the square of this many.
const MOST_REDUCED: f64 = 16.0;
const JPEG_QUALITY: u8 = 90;
/// Bytes of made tiles that are kept in memory.
const KEPT_BYTES: usize = 96 << 20;
/// Colour in place of a tile that cannot be read.
const UNREADABLE: Rgb = [128; 3];

/// A level for a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ViewLevel {
    /// Size, px of this level.
    pub width: u32,
    /// Size, px of this level.
    pub height: u32,
    /// Size of a tile, px of this level.
    pub tile_width: u32,
    /// Size of a tile, px of this level.
    pub tile_height: u32,
    /// Level-0 px per px, along x and y.
    #[serde(skip)]
    downsample: (f64, f64),
    /// The stored level whose tiles it passes on.
    #[serde(skip)]
    stored: Option<LevelIndex>,
}

/// The levels of a slide, and a cache of the tiles made for them.
pub struct Pixels {
    slide: Arc<dyn Slide>,
    levels: Vec<ViewLevel>,
    kept: Mutex<Kept>,
}

/// Level, column and row of a tile.
type TilePlace = (usize, u32, u32);

/// Made tiles, each with the time of its last request.
#[derive(Default)]
struct Kept {
    tiles: BTreeMap<TilePlace, (u64, Arc<Vec<u8>>)>,
    bytes: usize,
    uses: u64,
}

impl Pixels {
    /// Takes the levels of an open slide.
    #[must_use]
    pub fn new(slide: Arc<dyn Slide>) -> Self {
        let levels = levels_of(slide.as_ref());
        Self { slide, levels, kept: Mutex::default() }
    }

    /// Removes levels of fewer level-0 px per px than this; the coarsest one stays.
    #[must_use]
    pub fn without_sharper(mut self, downsample: f64) -> Self {
        let last = self.levels.len().saturating_sub(1);
        let left_out = self.levels.iter().take_while(|level| level.downsample.0 * 1.001 < downsample).count();
        self.levels.drain(..left_out.min(last));
        self
    }

    /// Returns the slide itself.
    #[must_use]
    pub fn slide(&self) -> &dyn Slide {
        self.slide.as_ref()
    }

    /// Returns its levels, sharpest first.
    #[must_use]
    pub fn levels(&self) -> &[ViewLevel] {
        &self.levels
    }

    /// Returns one tile as JPEG. If a part of a tile cannot be read, on a level between stored ones, that
    /// part is grey.
    ///
    /// # Errors
    ///
    /// [`ReadError`] for a tile that does not exist or cannot be read.
    pub fn tile(&self, level: usize, column: u32, row: u32) -> Result<Arc<Vec<u8>>, ReadError> {
        let tile = TileId { level: LevelIndex(level.min(usize::from(u16::MAX)) as u16), row, column };
        let missing = ReadError::NoSuchTile { tile };
        let view = *self.levels.get(level).ok_or(missing.clone())?;
        if column >= view.grid().columns() || row >= view.grid().rows() {
            return Err(missing);
        }
        if let Some(stored) = view.stored
            && let Some(stream) = self.slide.stored_jpeg(TileId { level: stored, ..tile })?
        {
            return Ok(Arc::new(stream));
        }
        if let Some(kept) = self.lock().take((level, column, row)) {
            return Ok(kept);
        }
        let made = Arc::new(encode(&self.made(&view, tile)?, tile)?);
        self.lock().keep((level, column, row), &made);
        Ok(made)
    }

    fn made(&self, view: &ViewLevel, tile: TileId) -> Result<RgbBuffer, ReadError> {
        if let Some(level) = view.stored {
            let mut pixels = RgbBuffer::default();
            self.slide.read_tile(TileId { level, ..tile }, &mut pixels)?;
            return Ok(pixels);
        }
        let rect = view.grid().tile_rect(tile.column, tile.row).to_f64().to_box2d();
        let (x, y) = view.downsample;
        let [min, max] = [rect.min, rect.max].map(|corner| euclid::point2(corner.x * x, corner.y * y));
        let settings = OverviewSettings {
            area: Level0Box::new(min, max),
            size: (rect.width() as u32, rect.height() as u32),
            unreadable: UNREADABLE,
            threads: 1,
        };
        Ok(Overview::read(self.slide(), &settings).pixels)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ViewLevel {
    /// Returns columns and rows of its tiles.
    #[must_use]
    pub fn tiles(&self) -> (u32, u32) {
        (self.grid().columns(), self.grid().rows())
    }

    fn grid(&self) -> TileGrid {
        let Self { width, height, tile_width, tile_height, .. } = *self;
        TileGrid { width, height, tile_width, tile_height }
    }

    fn from_stored(index: usize, level: &Level) -> Self {
        let TileGrid { width, height, tile_width, tile_height } = level.tiles;
        let usable = USABLE_SIDES.contains(&tile_width) && USABLE_SIDES.contains(&tile_height);
        let [tile_width, tile_height] =
            [tile_width, tile_height].map(|stored| if usable { stored } else { MADE_SIDE });
        Self {
            width,
            height,
            tile_width,
            tile_height,
            downsample: level.downsample,
            stored: usable.then_some(LevelIndex(index as u16)),
        }
    }

    /// Returns a level whose px are `factor` times as wide as those of `self`.
    fn reduced(&self, factor: f64) -> Self {
        let [width, height] =
            [self.width, self.height].map(|side| ((f64::from(side) / factor).ceil() as u32).max(1));
        Self {
            width,
            height,
            tile_width: MADE_SIDE,
            tile_height: MADE_SIDE,
            downsample: (self.downsample.0 * factor, self.downsample.1 * factor),
            stored: None,
        }
    }
}

/// Returns the stored levels, and levels at a half, a quarter, … of each down to the next one.
fn levels_of(slide: &dyn Slide) -> Vec<ViewLevel> {
    let stored = slide.info().pyramid.levels();
    let mut levels = Vec::new();
    for (index, level) in stored.iter().enumerate() {
        let own = ViewLevel::from_stored(index, level);
        levels.push(own);
        let next = stored.get(index + 1).map_or(f64::INFINITY, Level::mean_downsample);
        let mut factor = 2.0;
        while next / (level.mean_downsample() * factor / 2.0) > WIDEST_STEP && factor <= MOST_REDUCED {
            if own.width.max(own.height) <= MADE_SIDE * factor as u32 / 2 {
                break;
            }
            levels.push(own.reduced(factor));
            factor *= 2.0;
        }
    }
    levels
}

impl Kept {
    fn take(&mut self, key: TilePlace) -> Option<Arc<Vec<u8>>> {
        self.uses += 1;
        let (used, bytes) = self.tiles.get_mut(&key)?;
        *used = self.uses;
        Some(Arc::clone(bytes))
    }

    /// Keeps a tile; if there is no room, the one that was requested longest ago is dropped.
    fn keep(&mut self, key: TilePlace, tile: &Arc<Vec<u8>>) {
        self.uses += 1;
        self.bytes += tile.len();
        if let Some((_, before)) = self.tiles.insert(key, (self.uses, Arc::clone(tile))) {
            self.bytes -= before.len();
        }
        while self.bytes > KEPT_BYTES {
            let oldest = self.tiles.iter().min_by_key(|(_, (used, _))| *used).map(|(&key, _)| key);
            let Some((_, gone)) = oldest.and_then(|key| self.tiles.remove(&key)) else { break };
            self.bytes -= gone.len();
        }
    }
}

fn encode(pixels: &RgbBuffer, tile: TileId) -> Result<Vec<u8>, ReadError> {
    encoded(pixels).map_err(|reason| ReadError::Tile { tile, reason })
}

fn encoded(pixels: &RgbBuffer) -> Result<Vec<u8>, String> {
    let [width, height] = [pixels.width(), pixels.height()]
        .map(|px| u16::try_from(px).map_err(|_| format!("{px} px are too many for a JPEG")));
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, JPEG_QUALITY)
        .encode(pixels.bytes(), width?, height?, jpeg_encoder::ColorType::Rgb)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use wsi_reader::MemorySlide;

    use super::*;

    fn slide(sizes: &[(u32, u32)], tile: (u32, u32)) -> Pixels {
        let slide = MemorySlide::painted(sizes, tile, None, |_, x, y| {
            if (x / 64 + y / 64).is_multiple_of(2) { [220, 120, 180] } else { [90, 40, 130] }
        });
        Pixels::new(Arc::new(slide.unwrap()))
    }

    #[test]
    fn levels_are_made_down_to_one_tile() {
        let pixels = slide(&[(10_000, 6000)], (256, 256));
        let widths: Vec<u32> = pixels.levels().iter().map(|level| level.width).collect();
        assert_eq!(widths, [10_000, 5000, 2500, 1250, 625]);
        let pixels = slide(&[(10_000, 6000), (2500, 1500), (1250, 750)], (256, 256));
        let widths: Vec<u32> = pixels.levels().iter().map(|level| level.width).collect();
        assert_eq!(widths, [10_000, 5000, 2500, 1250, 625, 313]);
    }

    #[test]
    fn tiles_too_wide_for_a_browser_are_cut_anew() {
        let pixels = slide(&[(6000, 300)], (6000, 64));
        assert_eq!((pixels.levels()[0].tile_width, pixels.levels()[0].tile_height), (512, 512));
        assert!(pixels.tile(0, 11, 0).is_ok());
        assert!(matches!(pixels.tile(0, 12, 0), Err(ReadError::NoSuchTile { .. })));
        assert!(matches!(pixels.tile(9, 0, 0), Err(ReadError::NoSuchTile { .. })));
    }

    #[test]
    fn a_tile_is_made_once() {
        let pixels = slide(&[(3000, 3000)], (256, 256));
        let first = pixels.tile(1, 2, 2).unwrap();
        assert!(Arc::ptr_eq(&first, &pixels.tile(1, 2, 2).unwrap()));
    }

    #[test]
    fn what_is_not_asked_for_makes_room() {
        let mut kept = Kept::default();
        let tile = Arc::new(vec![0; KEPT_BYTES / 2]);
        kept.keep((0, 0, 0), &tile);
        kept.keep((0, 0, 1), &tile);
        assert!(kept.take((0, 0, 0)).is_some());
        kept.keep((0, 0, 2), &tile);
        assert!(kept.take((0, 0, 1)).is_none() && kept.take((0, 0, 0)).is_some());
        assert_eq!(kept.bytes, KEPT_BYTES / 2 * 2);
    }
}
