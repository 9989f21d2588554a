//! A part of a slide as a picture of a wanted size.

use wsi_reader::{Overview, OverviewSettings, ReadError, Slide};
use wsi_types::{Level0Box, RgbBuffer};

/// Pixels of a picture: x to the right, y down, whole numbers on corners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PicturePx {}
pub(super) type PictureBox = euclid::Box2D<f64, PicturePx>;
pub(super) type PictureVector = euclid::Vector2D<f64, PicturePx>;
pub(super) type PicturePoint = euclid::Point2D<f64, PicturePx>;

/// Colour in place of a tile that cannot be read.
const UNREADABLE: [u8; 3] = [128, 128, 128];

/// A part of level 0 seen in a picture.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The pixels.
    pub(super) picture: RgbBuffer,
    /// Part of level 0 that they show; the picture's corner lies on its `min`.
    pub(super) region: Level0Box,
    /// Level-0 px per picture px, at least 1.
    pub(super) level0_per_px: f64,
}

impl View {
    /// Reads a region, cut at the slide's edges, or the whole slide; the longer
    /// side becomes at most `max_side` px.
    pub(super) fn read(slide: &dyn Slide, region: Option<Level0Box>, max_side: usize) -> Self {
        let base = slide.info().pyramid.base();
        let whole = Level0Box::from_size(euclid::size2(f64::from(base.width()), f64::from(base.height())));
        let region = region.and_then(|region| region.intersection(&whole)).unwrap_or(whole);
        let longer = region.width().max(region.height());
        let level0_per_px = (longer / max_side.max(1) as f64).max(1.0);
        let side = |length: f64| ((length / level0_per_px).round() as u32).max(1);
        let (width, height) = (side(region.width()), side(region.height()));
        let across = euclid::size2(f64::from(width), f64::from(height)) * level0_per_px;
        let area = Level0Box::from_origin_and_size(region.min, across);
        let settings = OverviewSettings { area, size: (width, height), unreadable: UNREADABLE, threads: 1 };
        Self { picture: Overview::read(slide, &settings).pixels, region, level0_per_px }
    }

    /// A box of level 0 in picture px; `None` when it lies outside or is not finite.
    pub(super) fn place(&self, bounds: Level0Box) -> Option<PictureBox> {
        let seen = bounds.is_finite() && bounds.intersection(&self.region).is_some();
        seen.then(|| PictureBox::new(self.point(bounds.min), self.point(bounds.max)))
    }

    /// A point of level 0 in picture px, also when it lies outside.
    pub(super) fn point(&self, point: wsi_types::Level0Point) -> PicturePoint {
        let away = (point - self.region.min) / self.level0_per_px;
        PicturePoint::new(away.x, away.y)
    }
}

/// A square of level 0 as a picture of `side` × `side` px, averaged by area; the
/// slide's background where it reaches past the slide. `side` must not enlarge:
/// at most one px for each level-0 px.
///
/// # Errors
///
/// [`ReadError`] of the first tile that cannot be read.
pub fn read_area(slide: &dyn Slide, area: Level0Box, side: u32) -> Result<RgbBuffer, ReadError> {
    let settings = OverviewSettings { area, size: (side, side), unreadable: UNREADABLE, threads: 1 };
    let overview = Overview::read(slide, &settings);
    overview.faults.into_iter().next().map_or(Ok(overview.pixels), |fault| Err(fault.error))
}

#[cfg(test)]
pub(super) mod tests {
    use wsi_reader::MemorySlide;
    use wsi_types::{LevelIndex, Mpp, TileId};

    use super::*;

    /// A slide of 8 px squares, light and dark; tiles of 64 px; 0.5 µm/px.
    pub(in super::super) fn chequered(width: u32, height: u32) -> MemorySlide {
        let paint = |_, x: u32, y: u32| {
            if (x / 8 + y / 8).is_multiple_of(2) { [200, 100, 50] } else { [0, 0, 0] }
        };
        MemorySlide::painted(&[(width, height)], (64, 64), Mpp::new(0.5).ok(), paint).expect("one level")
    }

    #[test]
    fn an_area_past_the_slide_is_background_there() {
        let slide = chequered(70, 50);
        let area = Level0Box::new(euclid::point2(40.0, 20.0), euclid::point2(104.0, 84.0));
        let picture = read_area(&slide, area, 32).unwrap();
        let background = slide.info().background;
        assert_eq!((picture.width(), picture.height()), (32, 32));
        assert_eq!((picture.pixel(20, 3), picture.pixel(3, 20)), (background, background));
        assert_ne!((picture.pixel(1, 1), picture.pixel(7, 1)), (background, background));
        // Level-0 pixels 40 to 48 and 24 to 32: square (5, 3), a light one.
        assert_eq!(picture.pixel(1, 3), [200, 100, 50]);
    }

    #[test]
    fn at_full_size_pixels_are_as_stored() {
        let slide = chequered(200, 150);
        let region = Level0Box::new(euclid::point2(60.0, 60.0), euclid::point2(80.0, 70.0));
        let view = View::read(&slide, Some(region), 100);
        assert_eq!((view.picture.width(), view.picture.height()), (20, 10));
        assert_eq!(view.picture.pixel(0, 0), [200, 100, 50]);
        assert_eq!(view.picture.pixel(4, 0), [0, 0, 0]);
        assert_eq!(view.picture.pixel(4, 4), [200, 100, 50]);
    }

    #[test]
    fn smaller_pictures_hold_means_not_samples() {
        let slide = chequered(192, 192);
        let view = View::read(&slide, None, 12);
        for y in 0..12 {
            for x in 0..12 {
                assert_eq!(view.picture.pixel(x, y), [100, 50, 25]);
            }
        }
        // 2.4 level px per picture px: the sum of all shares is still the whole.
        let uneven = View::read(&slide, None, 80).picture;
        let sum: u32 = uneven.bytes().iter().step_by(3).map(|&v| u32::from(v)).sum();
        assert!((f64::from(sum) / 6400.0 - 100.0).abs() < 0.2);
    }

    #[test]
    fn a_broken_tile_is_grey_and_the_others_are_there() {
        let broken = TileId { level: LevelIndex(0), row: 0, column: 1 };
        let view = View::read(&chequered(192, 64).with_failing([broken]), None, 192);
        assert_eq!(view.picture.pixel(63, 0), [0, 0, 0]);
        assert_eq!(view.picture.pixel(64, 0), UNREADABLE);
        assert_eq!(view.picture.pixel(128, 0), [200, 100, 50]);
    }

    #[test]
    fn a_region_outside_the_slide_shows_the_slide() {
        let slide = chequered(64, 32);
        let region = Level0Box::new(euclid::point2(900.0, 0.0), euclid::point2(950.0, 10.0));
        let view = View::read(&slide, Some(region), 64);
        assert_eq!((view.picture.width(), view.picture.height()), (64, 32));
    }
}
