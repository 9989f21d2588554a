//! The part of a slide that density is measured on.

use wsi_types::Level0Point;

use super::definitions::DENSITY_UM;
use crate::{
    mask::Mask,
    regions::{Disc, LEAST_SEEN, MaskFrame},
};

/// The tissue that was analysed, as a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Ground {
    mask: Mask,
    /// The px all of whose disc is ground, but for what lies past the picture.
    inner: Mask,
    frame: MaskFrame,
    disc: Disc,
}

impl Ground {
    /// The ground that `mask` shows, which lies on the slide as `frame` says.
    #[must_use]
    pub fn new(mask: Mask, frame: MaskFrame) -> Self {
        let radius = DENSITY_UM / frame.um_per_px();
        Self { inner: mask.eroded(radius), disc: Disc::new(radius), mask, frame }
    }

    /// The ground within [`DENSITY_UM`] of a place, mm²: the share of the px of that disc, around the px of the place, times
    /// the disc's area. On a sliver of ground a single cell would be dense, so that less than a quarter of the disc counts
    /// as a quarter.
    #[must_use]
    pub fn seen_mm2(&self, centroid: Level0Point) -> f64 {
        let at = self.frame.mask_from_level0(centroid);
        let (x, y) = (at.x as usize, at.y as usize);
        let is_whole = self.inner.get(x, y) && self.disc.fits_into(&self.mask, x, y);
        let seen = if is_whole { self.disc.px() as u64 } else { self.disc.area_in(&self.mask, x, y) };
        let share = (seen as f64 / self.disc.px() as f64).max(LEAST_SEEN);
        share * std::f64::consts::PI * DENSITY_UM * DENSITY_UM * 1e-6
    }
}
