//! Transform from window px to level-0 px: the only file that does it.

use wsi_types::{ClassId, Detection, Level0Box, Placement, Score, WindowBox, WindowIndex};

use crate::geometry::{box_area, is_finite, level0_from_window};
use crate::layout::{PlannedWindow, touched};
use crate::outline::PlacedOutline;
use crate::sides::Sides;
use crate::stain::StainOd;
use crate::texture::Texture;

/// A detection as the model gave it, and what was measured of its pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The detection, in window px.
    pub detection: Detection,
    /// Its stains, when the run measures them.
    pub stains: Option<StainOd>,
    /// Its texture, when the run measures it.
    pub texture: Option<Box<Texture>>,
}

impl From<Detection> for Sighting {
    fn from(detection: Detection) -> Self {
        Self { detection, stains: None, texture: None }
    }
}

/// A detection on level 0, not yet compared with those of other windows.
#[derive(Debug, Clone, PartialEq)]
pub struct RawCell {
    /// Its box in level-0 px, within the part of the slide that the window sees; finite, with an area.
    pub bbox: Level0Box,
    /// Its class.
    pub class: ClassId,
    /// Confidence of the model.
    pub score: Score,
    /// Outline drawn by the model.
    pub outline: Option<Box<PlacedOutline>>,
    /// Its stains, when the run measures them.
    pub stains: Option<StainOd>,
    /// Its texture, when the run measures it.
    pub texture: Option<Box<Texture>>,
    /// The window that saw it.
    pub window: WindowIndex,
    /// The inner borders of that window that its box touches: there the object
    /// may go on unseen.
    pub cut: Sides,
}

impl RawCell {
    /// Moves it out of a list that is dropped soon: the list keeps a copy without its outline and texture, the only parts
    /// that are costly to copy.
    pub(crate) fn lift(&mut self) -> Self {
        Self { outline: self.outline.take(), texture: self.texture.take(), ..*self }
    }
}

/// Reason why a detection cannot be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplaceable {
    /// A coordinate is NaN or infinite.
    NotFinite,
    /// Its box has no area, or is turned inside out.
    NoArea,
    /// It lies outside the part of the slide that the window sees.
    Outside,
}

/// Places a detection, seen in `window`, on level 0, as one of `class` in the list of the job. A box at most
/// `border_px` (window px) from a border touches it.
///
/// Parts that reach past the window or the slide are cut off: they were not seen.
///
/// # Errors
///
/// [`Unplaceable`] gives the reason.
pub fn place(
    window: &PlannedWindow,
    seen: impl Into<Sighting>,
    class: ClassId,
    border_px: f64,
) -> Result<RawCell, Unplaceable> {
    let Sighting { detection, stains, texture } = seen.into();
    let full = level0_box_from_window(&window.placement, &detection.bbox);
    if !is_finite(&full) {
        return Err(Unplaceable::NotFinite);
    }
    if box_area(&full) <= 0.0 {
        return Err(Unplaceable::NoArea);
    }
    let bbox = full.intersection(&window.extent).ok_or(Unplaceable::Outside)?;
    Ok(RawCell {
        bbox,
        class,
        score: detection.score,
        outline: detection.outline.and_then(|ring| PlacedOutline::new(window.placement, ring)).map(Box::new),
        stains,
        texture,
        window: window.index,
        cut: touched(window, &bbox, border_px),
    })
}

fn level0_box_from_window(placement: &Placement, bbox: &WindowBox) -> Level0Box {
    Level0Box::new(level0_from_window(placement, bbox.min), level0_from_window(placement, bbox.max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::testing::{detection, grid_windows, level0};
    use wsi_types::Mpp;

    fn layout() -> Layout {
        let windows = grid_windows(2, 1, 100, 50);
        Layout::new(&windows, level0(0.0, 0.0, 150.0, 100.0), Mpp::new(0.5).unwrap()).unwrap()
    }

    #[test]
    fn the_second_window_places_by_its_shift_and_cuts_at_its_border() {
        let layout = layout();
        let cell = place(layout.window(1), detection(-3.0, 10.0, 8.0, 20.0, 0.5), ClassId(0), 2.0).unwrap();
        assert_eq!(cell.bbox, level0(50.0, 10.0, 58.0, 20.0));
        assert_eq!(cell.cut, Sides::LEFT);
    }

    #[test]
    fn touching_the_slide_is_not_a_cut() {
        let cell = place(layout().window(0), detection(0.0, 0.0, 9.0, 100.0, 0.5), ClassId(0), 2.0).unwrap();
        assert!(cell.cut.is_empty());
    }

    #[test]
    fn what_cannot_be_placed_says_why() {
        let layout = layout();
        let why = |x0, y0, x1, y1| {
            place(layout.window(0), detection(x0, y0, x1, y1, 0.5), ClassId(0), 2.0).unwrap_err()
        };
        assert_eq!(why(f32::NAN, 0.0, 1.0, 1.0), Unplaceable::NotFinite);
        assert_eq!(why(5.0, 5.0, 5.0, 9.0), Unplaceable::NoArea);
        assert_eq!(why(9.0, 5.0, 5.0, 1.0), Unplaceable::NoArea);
        assert_eq!(why(120.0, 5.0, 130.0, 9.0), Unplaceable::Outside);
    }
}
