//! Windows: the squares a model sees.

use serde::{Deserialize, Serialize};

use crate::{GridRect, Level0Box, Placement};

/// A window's place in the plan. It travels with pixels and detections, so
/// output order never depends on threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowIndex(pub u32);

/// One model input: its place on the resampled grid, and the transform from its pixels to level-0 pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Place in the plan.
    pub index: WindowIndex,
    /// The pixels it covers on the grid at the model's mpp. May reach past the slide's right and bottom edge;
    /// the part outside is background.
    pub rect: GridRect,
    /// Transform from window px to level-0 px.
    pub placement: Placement,
}

impl Window {
    /// Width and height in px of the model input.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.rect.width() as usize, self.rect.height() as usize)
    }

    /// The part of level 0 it covers; may reach past the slide's edge.
    #[must_use]
    pub fn level0_box(&self) -> Level0Box {
        let (width, height) = self.size();
        let at = |x: f64, y: f64| self.placement.transform_point(euclid::point2(x, y));
        Level0Box::new(at(0.0, 0.0), at(width as f64, height as f64))
    }
}
