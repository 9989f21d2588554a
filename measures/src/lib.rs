#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod error;
pub mod field;
pub mod file;
pub mod grade;
pub mod ground;
pub mod groups;
pub mod h_score;
pub mod hot_spots;
pub mod index;
pub mod interval;
pub mod schemes;

pub use error::MeasureError;
pub use field::{Field, FieldShape};
pub use file::Measures;
pub use ground::{Grid, Ground};
pub use hot_spots::{HotSpot, hot_spots};
