//! The frame of the painted slide.

/// The painted slide in µm; x to the right, y down, the origin at the upper
/// left corner of level 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Micron {}
/// A vector on the painted slide, in µm, or a direction of length 1.
pub type VectorUm = euclid::Vector2D<f64, Micron>;
pub(crate) type PointUm = euclid::Point2D<f64, Micron>;

/// Size of a level-0 pixel of the painted slide, µm.
pub const MPP: f64 = 0.25;
