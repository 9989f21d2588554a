//! Coordinate frames. Mixing two of them does not build.
//!
//! | frame | grid | who uses it |
//! | --- | --- | --- |
//! | [`Level0Px`] | the sharpest level of the slide | every output row |
//! | [`LevelPx`] | some other level; the value that carries it says which | readers |
//! | [`GridPx`] | the slide resampled to the model's mpp | the plan |
//! | [`WindowPx`] | one model input, from its own top-left corner | detectors |
//! | [`DrawnPx`] | that of a program or picture in which somebody drew; the value that carries it says which | regions of interest |
//!
//! All frames have x to the right, y down, and whole numbers on pixel
//! *corners*: the centre of the first pixel is (0.5, 0.5). A box covers
//! `min..max`, ends excluded.

/// The sharpest grid of a slide. Every output row is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level0Px {}

/// The grid of some level; the level is carried as data beside the coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LevelPx {}

/// The whole slide resampled to the mpp a model wants. Windows tile this grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GridPx {}

/// One model input, from its own top-left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowPx {}

/// Px of what a person drew on: level 0 as some program counts it, or a picture of the slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DrawnPx {}

/// A box on level 0, in px, ends excluded.
pub type Level0Box = euclid::Box2D<f64, Level0Px>;
/// A point on level 0, in px.
pub type Level0Point = euclid::Point2D<f64, Level0Px>;
/// A point as somebody drew it, in px of what it was drawn on.
pub type DrawnPoint = euclid::Point2D<f64, DrawnPx>;
/// Whole pixels of one level. May reach past the level's edges.
pub type LevelRect = euclid::Rect<i64, LevelPx>;
/// Whole pixels of the resampled grid. May reach past its edges.
pub type GridRect = euclid::Rect<i64, GridPx>;
/// A box in one window, in px, ends excluded; `f32` as model heads give it.
pub type WindowBox = euclid::Box2D<f32, WindowPx>;
/// A point in one window, in px.
pub type WindowPoint = euclid::Point2D<f32, WindowPx>;
/// Place of a window on level 0: scale and shift, each per axis.
pub type Placement = euclid::ScaleOffset2D<f64, WindowPx, Level0Px>;
