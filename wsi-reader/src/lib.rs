//! Whole-slide files as pyramids of tiles.
//!
//! [`Slide`] is what the rest of slidemill knows of a file; [`open`] picks the
//! backend by content.

pub mod slide;

pub use slide::{AssociatedImage, MppSource, ReadError, Scale, ScaleProblem, Slide, SlideInfo};
