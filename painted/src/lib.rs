#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod blob;
mod cells;
mod dice;
mod error;
mod micron;
mod noise;
mod paint;
mod score;
mod settings;
mod slide_file;
mod stain;
mod tissue;
mod truth;

pub use cells::MAX_OVERLAP_UM;
pub use error::PaintError;
pub use micron::{MPP, Micron, VectorUm};
pub use score::{MATCH_DISTANCE_UM, Score, Tally, score};
pub use settings::{PaintSettings, PaintedStain};
pub use slide_file::{SQUARE_PX, paint_slide, paint_squares, paint_with_dab};
pub use truth::{CellKind, PaintedCell, Truth};
