//! The percentiles of the tissue of a slide, between which the px of all its windows are stretched.
//!
//! They are those of the level that windows are read from: a small picture of the slide has no px as dark as a nucleus, and
//! its percentiles are those of another tissue. Of a large slide, tiles that lie evenly among all that hold tissue are
//! read, always the same ones: neither windows nor regions of interest have a say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wsi_reader::{Slide, read_region};
use wsi_types::{Level, LevelIndex, LevelRect, Mpp, Percentiles, RgbBuffer, Stretch, ValueCounts};

use crate::{PlanError, Tissue, TissueMask, TissueSettings};

/// Px of tiles that are read of a slide, about.
const PIXELS: u64 = 6_000_000;
/// Fewest and most tiles that are read of a slide with as many: large ones say too little of it if they are few.
const TILES: std::ops::RangeInclusive<u64> = 32..=512;

/// Reason why a slide has no percentiles.
#[derive(Debug, thiserror::Error)]
pub enum NoPercentiles {
    /// It has no level for the model.
    #[error(transparent)]
    Level(#[from] PlanError),
    /// No tissue, or none that can be read.
    #[error("no px of tissue can be read")]
    NoTissue,
    /// One value where two are needed.
    #[error(
        "of {pixels} px of its tissue a channel has one value at both percentiles, expected a stained slide"
    )]
    Flat {
        /// Px that were looked at.
        pixels: u64,
    },
}

/// Scale of the windows of a model, and the percentiles it wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WantedStretch {
    /// µm per px that the model is shown.
    pub model_mpp: Mpp,
    /// Largest factor by which px are enlarged for it.
    pub max_enlarge: f64,
    /// Its percentiles.
    pub percentiles: Percentiles,
}

/// Finds the stretch of a slide with level-0 px of `mpp` for a model: one thread, some 6 million px. The same on every
/// machine and for every job that finds tissue by the same `settings`. Tiles that cannot be read are left out.
///
/// # Errors
///
/// [`NoPercentiles`].
pub fn tissue_stretch(
    slide: &dyn Slide,
    mpp: Mpp,
    settings: Option<&TissueSettings>,
    wanted: &WantedStretch,
) -> Result<Stretch, NoPercentiles> {
    let pyramid = &slide.info().pyramid;
    let sampling = pyramid.sampling(mpp, wanted.model_mpp, wanted.max_enlarge).map_err(PlanError::from)?;
    let level = pyramid.level(sampling.level).ok_or(NoPercentiles::NoTissue)?;
    let mask = Tissue::find(slide, Some(mpp), settings).mask;
    let counts = counts(slide, sampling.level, &Places { level, mask: &mask });
    match (Stretch::of(&counts, &wanted.percentiles), counts.pixels()) {
        (Some(stretch), _) => Ok(stretch),
        (None, 0) => Err(NoPercentiles::NoTissue),
        (None, pixels) => Err(NoPercentiles::Flat { pixels }),
    }
}

/// Counts the px of tissue in some tiles of a level.
fn counts(slide: &dyn Slide, index: LevelIndex, places: &Places<'_>) -> ValueCounts {
    let mut counts = ValueCounts::default();
    let mut pixels = RgbBuffer::default();
    let tiles = places.tiles();
    for tile in even(&tiles, places.most()) {
        let read = catch_unwind(AssertUnwindSafe(|| read_region(slide, index, tile, &mut pixels)));
        if !matches!(read, Ok(Ok(()))) {
            continue;
        }
        let columns: Vec<u32> = (tile.min_x()..tile.max_x()).map(|x| places.column(x)).collect();
        for (row, y) in (0..pixels.height()).zip(tile.min_y()..) {
            let mask_row = places.row(y);
            let of_row = pixels.row(row).as_chunks::<3>().0.iter().zip(&columns);
            let tissue = of_row.filter(|&(_, &column)| places.mask.is_tissue(column, mask_row));
            tissue.for_each(|(&pixel, _)| counts.add(pixel));
        }
    }
    counts
}

/// At most some of all, evenly among them.
fn even(tiles: &[LevelRect], most: usize) -> impl Iterator<Item = LevelRect> {
    let some = tiles.len().min(most);
    (0..some).map(move |place| tiles[(2 * place + 1) * tiles.len() / (2 * some)])
}

/// Tissue on the tiles of a level.
struct Places<'a> {
    level: &'a Level,
    mask: &'a TissueMask,
}

impl Places<'_> {
    /// Tiles that are read at most.
    fn most(&self) -> usize {
        let grid = self.level.tiles;
        let area = u64::from(grid.tile_width) * u64::from(grid.tile_height);
        (PIXELS / area.max(1)).clamp(*TILES.start(), *TILES.end()) as usize
    }

    /// Tiles that hold tissue, row by row.
    fn tiles(&self) -> Vec<LevelRect> {
        let grid = self.level.tiles;
        let all = (0..grid.rows()).flat_map(|row| (0..grid.columns()).map(move |column| (column, row)));
        let rects = all.map(|(column, row)| grid.tile_rect(column, row));
        rects.filter(|tile| self.has_tissue(tile)).collect()
    }

    fn has_tissue(&self, tile: &LevelRect) -> bool {
        let (left, right) = (self.column(tile.min_x()), self.column(tile.max_x() - 1));
        let (top, bottom) = (self.row(tile.min_y()), self.row(tile.max_y() - 1));
        (top..=bottom).any(|y| (left..=right).any(|x| self.mask.is_tissue(x, y)))
    }

    /// Column of the mask that holds the centre of a px of the level.
    fn column(&self, x: i64) -> u32 {
        along(x, self.level.downsample.0 / self.mask.downsample().0, self.mask.width())
    }

    /// Row of the mask that holds the centre of a px of the level.
    fn row(&self, y: i64) -> u32 {
        along(y, self.level.downsample.1 / self.mask.downsample().1, self.mask.height())
    }
}

fn along(place: i64, scale: f64, size: u32) -> u32 {
    (((place as f64 + 0.5) * scale) as u32).min(size.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use wsi_reader::MemorySlide;
    use wsi_types::{Rgb, StretchedChannels};

    use super::*;

    fn mpp(value: f64) -> Mpp {
        Mpp::new(value).unwrap()
    }

    fn wanted(model_mpp: f64, low: f64, high: f64) -> WantedStretch {
        let percentiles = Percentiles { low, high, channels: StretchedChannels::Each, epsilon: 0.0 };
        WantedStretch { model_mpp: mpp(model_mpp), max_enlarge: 1.0, percentiles }
    }

    /// Of a slide of `size` px and 0.5 µm with a second level of a quarter.
    fn stretch(
        size: u32,
        paint: impl Fn(LevelIndex, u32, u32) -> Rgb + Send + Sync + 'static,
        settings: Option<&TissueSettings>,
        wanted: &WantedStretch,
    ) -> Result<Stretch, NoPercentiles> {
        let levels = [(size, size), (size / 4, size / 4)];
        let slide = MemorySlide::painted(&levels, (256, 256), Some(mpp(0.5)), paint).unwrap();
        tissue_stretch(&slide, mpp(0.5), settings, wanted)
    }

    /// Red has each value from 0 to 63 equally often; blue tells the level.
    fn ramp(level: LevelIndex, x: u32, y: u32) -> Rgb {
        let column = if level.0 == 0 { x / 16 } else { x / 4 };
        [column as u8, (y % 2 + 10) as u8, (x % 2) as u8 + 7 * level.0 as u8]
    }

    #[test]
    fn all_px_of_a_slide_of_few_tiles_count() {
        let found = stretch(1024, ramp, None, &wanted(0.5, 25.0, 75.0)).unwrap();
        // Of 1 048 576 values, 16 384 of each, a quarter of the way from the first to the last is among the sixteenth.
        assert_eq!((found.low, found.high), ([15.75, 10.0, 0.0], [47.25 + 0.0, 11.0, 1.0]));
    }

    #[test]
    fn the_level_is_that_of_the_windows() {
        let found = stretch(1024, ramp, None, &wanted(2.0, 0.0, 100.0)).unwrap();
        assert_eq!((found.low, found.high), ([0.0, 10.0, 7.0], [63.0, 11.0, 8.0]));
    }

    /// Tissue whose red is 150 in a square, and glass around it.
    fn on_glass(level: LevelIndex, x: u32, y: u32) -> Rgb {
        let side = if level.0 == 0 { 2048 } else { 512 };
        let inside = |place: u32| (side / 4..side * 3 / 4).contains(&place);
        let bar = (x / 8 % 2) as u8;
        if inside(x) && inside(y) { [150 + bar, 60 + bar * 20, 140 + bar * 40] } else { [245; 3] }
    }

    #[test]
    fn glass_does_not_count() {
        let tissue = TissueSettings::default();
        let found = stretch(2048, on_glass, Some(&tissue), &wanted(0.5, 1.0, 90.0)).unwrap();
        assert_eq!((found.low, found.high), ([150.0, 60.0, 140.0], [151.0, 80.0, 180.0]));
        let with_glass = stretch(2048, on_glass, None, &wanted(0.5, 1.0, 90.0)).unwrap();
        assert_eq!(with_glass.high, [245.0; 3]);
    }

    #[test]
    fn tiles_lie_evenly_among_all_with_tissue() {
        let tile = |x| LevelRect::new(euclid::point2(x, 0), euclid::size2(1, 1));
        let tiles: Vec<LevelRect> = (0..1000).map(tile).collect();
        let some: Vec<i64> = even(&tiles, 96).map(|tile| tile.min_x()).collect();
        assert_eq!((some.len(), some[0], some[95]), (96, 5, 994));
        assert_eq!(even(&tiles[..3], 96).map(|tile| tile.min_x()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(even(&[], 96).count(), 0);
    }

    #[test]
    fn a_slide_that_does_not_tell_is_refused() {
        let flat = stretch(1024, |_, _, _| [200, 120, 180], None, &wanted(0.5, 1.0, 99.8));
        assert!(matches!(flat, Err(NoPercentiles::Flat { pixels: 1_048_576 })), "{flat:?}");
        let coarse = stretch(1024, ramp, None, &wanted(0.1, 1.0, 99.8));
        assert!(matches!(coarse, Err(NoPercentiles::Level(_))), "{coarse:?}");
    }
}
