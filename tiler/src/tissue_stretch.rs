//! The percentiles of the tissue of a slide, between which the px of all its windows are stretched.
//!
//! They are those of the level that windows are read from: a small picture of the slide has no px as dark as a nucleus, and
//! its percentiles are those of another tissue. Of a large slide, squares that lie evenly among all that hold tissue are
//! read, always the same ones: neither windows nor regions of interest have a say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wsi_reader::{Slide, read_region};
use wsi_types::{Level, LevelIndex, LevelRect, Mpp, Percentiles, RgbBuffer, Stretch, ValueCounts};

use crate::{PlanError, Tissue, TissueMask, TissueSettings};

/// Side of a square, px of the level.
const SIDE: u32 = 256;
/// Most squares that are read of a slide: 6 million px.
const SQUARES: usize = 96;

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
/// machine and for every job that finds tissue by the same `settings`. Squares that cannot be read are left out.
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

/// Counts the px of tissue in some squares of a level.
fn counts(slide: &dyn Slide, index: LevelIndex, places: &Places<'_>) -> ValueCounts {
    let mut counts = ValueCounts::default();
    let mut pixels = RgbBuffer::default();
    for square in even(&places.squares()) {
        let read = catch_unwind(AssertUnwindSafe(|| read_region(slide, index, square, &mut pixels)));
        if !matches!(read, Ok(Ok(()))) {
            continue;
        }
        for (row, y) in (0..pixels.height()).zip(square.min_y()..) {
            let of_row = pixels.row(row).as_chunks::<3>().0.iter().zip(square.min_x()..);
            of_row.filter(|&(_, x)| places.is_tissue(x, y)).for_each(|(&pixel, _)| counts.add(pixel));
        }
    }
    counts
}

/// At most [`SQUARES`] of all, evenly among them.
fn even(squares: &[LevelRect]) -> impl Iterator<Item = LevelRect> {
    let some = squares.len().min(SQUARES);
    (0..some).map(move |place| squares[(2 * place + 1) * squares.len() / (2 * some)])
}

/// Tissue on the grid of a level.
struct Places<'a> {
    level: &'a Level,
    mask: &'a TissueMask,
}

impl Places<'_> {
    /// Squares that hold tissue, row by row; those at the right and lower border may be smaller.
    fn squares(&self) -> Vec<LevelRect> {
        let (width, height) = (self.level.width(), self.level.height());
        let tops = (0..height).step_by(SIDE as usize);
        let corners = tops.flat_map(|top| (0..width).step_by(SIDE as usize).map(move |left| (left, top)));
        let squares = corners.map(|(left, top)| {
            let size = euclid::size2(SIDE.min(width - left).into(), SIDE.min(height - top).into());
            LevelRect::new(euclid::point2(left.into(), top.into()), size)
        });
        squares.filter(|square| self.has_tissue(square)).collect()
    }

    fn has_tissue(&self, square: &LevelRect) -> bool {
        let (left, top) = self.in_mask(square.min_x(), square.min_y());
        let (right, bottom) = self.in_mask(square.max_x() - 1, square.max_y() - 1);
        (top..=bottom).any(|y| (left..=right).any(|x| self.mask.is_tissue(x, y)))
    }

    fn is_tissue(&self, x: i64, y: i64) -> bool {
        let (x, y) = self.in_mask(x, y);
        self.mask.is_tissue(x, y)
    }

    /// The px of the mask that holds the centre of a px of the level.
    fn in_mask(&self, x: i64, y: i64) -> (u32, u32) {
        let along = |place: i64, level: f64, mask: f64, size: u32| {
            (((place as f64 + 0.5) * level / mask) as u32).min(size.saturating_sub(1))
        };
        let (level, mask) = (self.level.downsample, self.mask.downsample());
        (along(x, level.0, mask.0, self.mask.width()), along(y, level.1, mask.1, self.mask.height()))
    }
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
    fn all_px_of_a_slide_of_few_squares_count() {
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
    fn squares_lie_evenly_among_all_with_tissue() {
        let square = |x| LevelRect::new(euclid::point2(x, 0), euclid::size2(1, 1));
        let squares: Vec<LevelRect> = (0..1000).map(square).collect();
        let some: Vec<i64> = even(&squares).map(|square| square.min_x()).collect();
        assert_eq!((some.len(), some[0], some[SQUARES - 1]), (SQUARES, 5, 994));
        assert_eq!(even(&squares[..3]).map(|square| square.min_x()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(even(&[]).count(), 0);
    }

    #[test]
    fn a_slide_that_does_not_tell_is_refused() {
        let flat = stretch(1024, |_, _, _| [200, 120, 180], None, &wanted(0.5, 1.0, 99.8));
        assert!(matches!(flat, Err(NoPercentiles::Flat { pixels: 1_048_576 })), "{flat:?}");
        let coarse = stretch(1024, ramp, None, &wanted(0.1, 1.0, 99.8));
        assert!(matches!(coarse, Err(NoPercentiles::Level(_))), "{coarse:?}");
    }
}
