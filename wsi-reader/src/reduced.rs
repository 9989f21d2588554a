//! Levels between those that a file stores, which cost less to decode than the level they come from.

use std::sync::Arc;

use wsi_types::{Level, LevelIndex, Pyramid, RgbBuffer, TileGrid, TileId};

pub use crate::average::average;
use crate::slide::{Fetched, OnServer, ReadError, Slide, SlideInfo, TileState};

/// Returns a slide with additional levels between its own, which its tiles give at less cost: at a half, a
/// quarter and an eighth of a level, down to the next stored one. Returns the same slide if there are none.
///
/// Level indices are those of the wider pyramid; errors name the stored tile. A
/// pixel of such a level is the mean of pixels of the stored one, as a model
/// would get it by averaging, so a plan on either pyramid sees the same tissue.
#[must_use]
pub fn with_reduced_levels(slide: Arc<dyn Slide>) -> Arc<dyn Slide> {
    let sources = sources(slide.as_ref());
    let levels: Vec<Level> = sources.iter().map(|source| source.level(&slide.info().pyramid)).collect();
    match Pyramid::from_levels(levels) {
        Ok(pyramid) if sources.len() > slide.info().pyramid.levels().len() => {
            let mut info = slide.info().clone();
            info.pyramid = pyramid;
            info.compression = sources.iter().map(|source| source.compression(slide.info())).collect();
            Arc::new(ReducedSlide { slide, info, sources })
        }
        _ => slide,
    }
}

/// Source of a level: a stored level, with each side divided by 2^`shift`.
#[derive(Debug, Clone, Copy)]
struct LevelSource {
    stored: LevelIndex,
    shift: u32,
}

/// Returns all levels that are possible, sharpest first.
fn sources(slide: &dyn Slide) -> Vec<LevelSource> {
    let levels = slide.info().pyramid.levels();
    let mut sources = Vec::new();
    for (index, level) in levels.iter().enumerate() {
        let stored = LevelIndex(index as u16);
        sources.push(LevelSource { stored, shift: 0 });
        let next = levels.get(index + 1).map_or(0, Level::width);
        for shift in 1..=slide.reduces(stored).min(3) {
            // A stored level of nearly that size is better than one that is made.
            if f64::from(level.width() >> shift) > f64::from(next) * 1.05 {
                sources.push(LevelSource { stored, shift });
            }
        }
    }
    sources
}

impl LevelSource {
    fn level(self, pyramid: &Pyramid) -> Level {
        let Level { downsample, tiles } = *pyramid.level(self.stored).unwrap_or(pyramid.base());
        let (factor, part) = (f64::from(1 << self.shift), |side: u32| side.div_ceil(1 << self.shift));
        Level {
            downsample: (downsample.0 * factor, downsample.1 * factor),
            tiles: TileGrid {
                width: part(tiles.width),
                height: part(tiles.height),
                tile_width: part(tiles.tile_width),
                tile_height: part(tiles.tile_height),
            },
        }
    }

    fn compression(self, info: &SlideInfo) -> String {
        let stored = info.compression.get(usize::from(self.stored.0)).map_or("", String::as_str);
        match self.shift {
            0 => stored.to_owned(),
            shift => format!("{stored}, decoded at 1/{}", 1 << shift),
        }
    }
}

struct ReducedSlide {
    slide: Arc<dyn Slide>,
    info: SlideInfo,
    sources: Vec<LevelSource>,
}

impl ReducedSlide {
    /// Returns the stored tile, and the number of times that its sides are to be halved.
    fn source(&self, tile: TileId) -> Option<(TileId, u32)> {
        let source = self.sources.get(usize::from(tile.level.0))?;
        Some((TileId { level: source.stored, ..tile }, source.shift))
    }

    fn stored(&self, tiles: impl Iterator<Item = TileId>) -> impl Iterator<Item = TileId> {
        tiles.filter_map(|tile| Some(self.source(tile)?.0))
    }
}

impl Slide for ReducedSlide {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError> {
        match self.source(tile) {
            None => Err(ReadError::NoSuchTile { tile }),
            Some((stored, 0)) => self.slide.read_tile(stored, out),
            Some((stored, shift)) => self.slide.read_tile_reduced(stored, shift, out),
        }
    }

    fn stored_jpeg(&self, tile: TileId) -> Result<Option<Vec<u8>>, ReadError> {
        match self.source(tile) {
            Some((stored, 0)) => self.slide.stored_jpeg(stored),
            _ => Ok(None),
        }
    }

    fn read_associated(&self, name: &str, out: &mut RgbBuffer) -> Result<(), ReadError> {
        self.slide.read_associated(name, out)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError> {
        self.slide.icc_profile()
    }

    fn tile_state(&self, tile: TileId) -> TileState {
        self.source(tile).map_or(TileState::Unknown, |(stored, _)| self.slide.tile_state(stored))
    }

    fn is_absent(&self, tile: TileId) -> bool {
        self.source(tile).is_some_and(|(stored, _)| self.slide.is_absent(stored))
    }

    fn will_read(&self, tiles: &mut dyn Iterator<Item = TileId>) {
        self.slide.will_read(&mut self.stored(tiles));
    }

    fn cost_of(&self, tiles: &mut dyn Iterator<Item = TileId>) -> Option<Fetched> {
        self.slide.cost_of(&mut self.stored(tiles))
    }

    fn on_server(&self) -> Option<OnServer> {
        self.slide.on_server()
    }

    fn verify_tile(&self, tile: TileId) -> Vec<String> {
        self.source(tile).map_or_else(Vec::new, |(stored, _)| self.slide.verify_tile(stored))
    }
}

#[cfg(test)]
mod tests {
    use wsi_types::Mpp;

    use super::*;
    use crate::{backend::memory::MemorySlide, conformance::assert_conforms};

    /// A painted slide that claims to be cheap to reduce.
    struct Cheap(MemorySlide);

    impl Slide for Cheap {
        fn info(&self) -> &SlideInfo {
            self.0.info()
        }
        fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError> {
            self.0.read_tile(tile, out)
        }
        fn reduces(&self, _: LevelIndex) -> u32 {
            3
        }
        fn read_associated(&self, name: &str, out: &mut RgbBuffer) -> Result<(), ReadError> {
            self.0.read_associated(name, out)
        }
        fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError> {
            self.0.icc_profile()
        }
    }

    fn slide(sizes: &[(u32, u32)]) -> MemorySlide {
        let slide = MemorySlide::painted(sizes, (64, 48), Mpp::new(0.25).ok(), |_, x, y| {
            [x * 7 % 256, y * 5 % 256, (x ^ y) % 256].map(|value| value as u8)
        });
        slide.unwrap()
    }

    #[test]
    fn levels_are_made_between_those_that_are_stored() {
        let wide = with_reduced_levels(Arc::new(Cheap(slide(&[(1001, 701), (250, 175)]))));
        let downsamples: Vec<f64> = wide.info().pyramid.levels().iter().map(|l| l.downsample.0).collect();
        let stored = 1001.0 / 250.0;
        // A quarter of level 0 would be level 1 again.
        assert_eq!(downsamples, [1.0, 2.0, stored, stored * 2.0, stored * 4.0, stored * 8.0]);
        assert_conforms(&*wide);
        let same = with_reduced_levels(Arc::new(slide(&[(1001, 701), (250, 175)])));
        assert_eq!(same.info().pyramid.levels().len(), 2);
    }

    #[test]
    fn pixels_are_means_up_to_the_edge() {
        let stored = slide(&[(131, 101)]);
        let wide = with_reduced_levels(Arc::new(Cheap(slide(&[(131, 101)]))));
        // The last tile: 3 × 5 px of level 0.
        let [stored_tile, half_tile] =
            [0, 1].map(|level| TileId { level: LevelIndex(level), row: 2, column: 2 });
        let (mut whole, mut half) = (RgbBuffer::default(), RgbBuffer::default());
        stored.read_tile(stored_tile, &mut whole).unwrap();
        wide.read_tile(half_tile, &mut half).unwrap();
        assert_eq!((whole.width(), whole.height(), half.width(), half.height()), (3, 5, 2, 3));
        let sources: [(_, &[(usize, usize)]); 3] =
            [((0, 0), &[(0, 0), (1, 0), (0, 1), (1, 1)]), ((1, 1), &[(2, 2), (2, 3)]), ((1, 2), &[(2, 4)])];
        for ((x, y), pixels) in sources {
            for c in 0..3 {
                let sum: usize = pixels.iter().map(|&(x, y)| usize::from(whole.pixel(x, y)[c])).sum();
                let mean = (sum + pixels.len() / 2) / pixels.len();
                assert_eq!(usize::from(half.pixel(x, y)[c]), mean, "{x}, {y}");
            }
        }
    }

    #[test]
    fn errors_name_the_stored_tile() {
        let broken = TileId { level: LevelIndex(0), row: 1, column: 1 };
        let wide = with_reduced_levels(Arc::new(Cheap(slide(&[(256, 192)]).with_failing([broken]))));
        let asked = TileId { level: LevelIndex(2), ..broken };
        let error = wide.read_tile(asked, &mut RgbBuffer::default()).unwrap_err();
        assert!(matches!(error, ReadError::Tile { tile, .. } if tile == broken), "{error}");
    }
}
