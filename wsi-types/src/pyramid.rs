//! Levels of a slide, and the choice of one for a wanted mpp.

use serde::{Deserialize, Serialize};

use crate::{Mpp, TileGrid};

/// Number of a level in a pyramid; 0 is the sharpest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LevelIndex(pub u16);

/// One resolution of the pyramid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Level-0 px per px of this level, per axis (x, y), from measured sizes;
    /// rarely whole.
    pub downsample: (f64, f64),
    /// Size and tiles, in px of this level.
    pub tiles: TileGrid,
}

impl Level {
    /// Width in px of this level.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.tiles.width
    }

    /// Height in px of this level.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.tiles.height
    }

    /// Mean of the downsample of both axes.
    #[must_use]
    pub fn mean_downsample(&self) -> f64 {
        f64::midpoint(self.downsample.0, self.downsample.1)
    }
}

/// The levels of a slide, sharpest first; at least one, none empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Pyramid {
    levels: Vec<Level>,
}

impl Pyramid {
    /// Measures the downsample of each level against the first.
    ///
    /// # Errors
    ///
    /// [`PyramidError`] when there is no level, one is empty, or one is larger
    /// than the level before it.
    pub fn new(grids: impl IntoIterator<Item = TileGrid>) -> Result<Self, PyramidError> {
        let grids: Vec<TileGrid> = grids.into_iter().collect();
        let first = grids.first().copied().ok_or(PyramidError::NoLevels)?;
        let measure = |whole: u32, part: u32| f64::from(whole) / f64::from(part);
        let level = |tiles: TileGrid| Level {
            downsample: (measure(first.width, tiles.width), measure(first.height, tiles.height)),
            tiles,
        };
        Self::from_levels(grids.into_iter().map(level).collect())
    }

    /// Takes levels whose downsample is known better than from their sizes: half of 1001 px is 501 px of
    /// exactly 2.
    ///
    /// # Errors
    ///
    /// As [`Pyramid::new`].
    pub fn from_levels(levels: Vec<Level>) -> Result<Self, PyramidError> {
        if levels.is_empty() {
            return Err(PyramidError::NoLevels);
        }
        for (index, level) in levels.iter().enumerate() {
            let grid = level.tiles;
            if [grid.width, grid.height, grid.tile_width, grid.tile_height].contains(&0) {
                return Err(PyramidError::EmptyLevel { index });
            }
            let before = levels[index.saturating_sub(1)].tiles;
            if grid.width > before.width || grid.height > before.height {
                return Err(PyramidError::NotSorted { index });
            }
        }
        Ok(Self { levels })
    }

    /// All levels, sharpest first.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The sharpest level.
    #[must_use]
    pub fn base(&self) -> &Level {
        &self.levels[0]
    }

    /// One level, if the slide has it.
    #[must_use]
    pub fn level(&self, index: LevelIndex) -> Option<&Level> {
        self.levels.get(usize::from(index.0))
    }

    /// The sampling to read the slide, whose level 0 has `slide` µm/px, at `wanted`.
    ///
    /// Picks the coarsest level that is at least as sharp as wanted, to be
    /// averaged down once.
    ///
    /// # Errors
    ///
    /// [`SamplingError::TooCoarse`] when even level 0 would have to be enlarged
    /// by more than `max_enlarge` (1.1: by a tenth).
    pub fn sampling(&self, slide: Mpp, wanted: Mpp, max_enlarge: f64) -> Result<Sampling, SamplingError> {
        let mpp_of = |level: &Level| slide.times(level.mean_downsample());
        let sharp_enough = |level: &Level| mpp_of(level) <= wanted.get() * (1.0 + Sampling::NATIVE_TOLERANCE);
        let index = match self.levels.iter().rposition(sharp_enough) {
            Some(index) => index,
            None if slide.get() / wanted.get() <= max_enlarge => 0,
            None => return Err(SamplingError::TooCoarse { slide, wanted }),
        };
        let level = &self.levels[index];
        let native = (mpp_of(level) / wanted.get() - 1.0).abs() <= Sampling::NATIVE_TOLERANCE;
        let scale = |downsample: f64| if native { 1.0 } else { wanted.get() / slide.times(downsample) };
        let scale = (scale(level.downsample.0), scale(level.downsample.1));
        // A sliver from rounding must not add a column of its own.
        let cells = |size: u32, scale: f64| ((f64::from(size) / scale - 1e-6).ceil() as u32).max(1);
        Ok(Sampling {
            level: LevelIndex(index as u16),
            level_per_grid: scale,
            level0_per_grid: (scale.0 * level.downsample.0, scale.1 * level.downsample.1),
            width: cells(level.width(), scale.0),
            height: cells(level.height(), scale.1),
        })
    }
}

/// The resampled grid a model sees: the level it is read from, and the distance of its pixels. Its origin is
/// the slide's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The level that is read.
    pub level: LevelIndex,
    /// Level px per grid px, per axis. Exactly 1 when pixels are used as stored.
    pub level_per_grid: (f64, f64),
    /// Level-0 px per grid px, per axis.
    pub level0_per_grid: (f64, f64),
    /// Width of the grid in grid px, the last one perhaps partly outside.
    pub width: u32,
    /// Height of the grid in grid px, the last one perhaps partly outside.
    pub height: u32,
}

impl Sampling {
    /// Levels within 1 % of the wanted mpp are used as stored: averaging over
    /// 1.002 px would only blur. Positions and areas still use the true mpp.
    pub const NATIVE_TOLERANCE: f64 = 0.01;

    /// `true` if stored pixels are used as they are.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.level_per_grid == (1.0, 1.0)
    }
}

/// Reason why tile grids do not make a pyramid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PyramidError {
    /// Not even one level.
    #[error("the slide has no image level")]
    NoLevels,
    /// A level or its tiles have no pixels.
    #[error("level {index} has no pixels: a side of the level or of its tiles is 0")]
    EmptyLevel {
        /// Number of the level, from 0.
        index: usize,
    },
    /// A level is larger than the one before it.
    #[error("level {index} is larger than level {}, expected the sharpest first", index - 1)]
    NotSorted {
        /// Number of the level, from 0.
        index: usize,
    },
}

/// Reason why a slide cannot be read at a wanted mpp.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// Level 0 is coarser than the model wants.
    #[error(
        "the slide's sharpest level has {slide}, the model wants {wanted}: enlarging pixels adds no detail"
    )]
    TooCoarse {
        /// Pixel size of level 0.
        slide: Mpp,
        /// Pixel size that the model wants.
        wanted: Mpp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pyramid(sizes: &[(u32, u32)]) -> Pyramid {
        Pyramid::new(sizes.iter().map(|&(width, height)| TileGrid {
            width,
            height,
            tile_width: 256,
            tile_height: 256,
        }))
        .expect("sizes shrink")
    }

    fn mpp(value: f64) -> Mpp {
        Mpp::new(value).expect("plausible")
    }

    #[test]
    fn the_coarsest_level_that_is_sharp_enough_is_read() {
        let p = pyramid(&[(10_000, 8_000), (2_500, 2_000), (625, 500)]);
        let s = p.sampling(mpp(0.25), mpp(0.5), 1.1).expect("sharp enough");
        assert_eq!((s.level, s.level_per_grid, s.width, s.height), (LevelIndex(0), (2.0, 2.0), 5_000, 4_000));
        let s = p.sampling(mpp(0.25), mpp(1.0), 1.1).expect("sharp enough");
        assert_eq!((s.level, s.is_native(), s.level0_per_grid), (LevelIndex(1), true, (4.0, 4.0)));
    }

    #[test]
    fn near_misses_are_resampled_and_hits_are_not() {
        let p = pyramid(&[(10_000, 8_000)]);
        assert!(p.sampling(mpp(0.499), mpp(0.5), 1.1).expect("hit").is_native());
        let s = p.sampling(mpp(0.2527), mpp(0.25), 1.1).expect("slightly coarse");
        assert!(!s.is_native() && (s.level_per_grid.0 - 0.25 / 0.2527).abs() < 1e-12);
        assert!(matches!(p.sampling(mpp(0.5), mpp(0.25), 1.1), Err(SamplingError::TooCoarse { .. })));
    }

    #[test]
    fn uneven_sizes_measure_each_axis() {
        let p = pyramid(&[(1001, 701), (250, 175)]);
        assert_eq!(p.levels()[1].downsample, (1001.0 / 250.0, 701.0 / 175.0));
        let nonsense = [(10, 10), (20, 5)].map(|(width, height)| TileGrid {
            width,
            height,
            tile_width: 1,
            tile_height: 1,
        });
        assert_eq!(Pyramid::new(nonsense), Err(PyramidError::NotSorted { index: 1 }));
    }
}
