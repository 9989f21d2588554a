#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod attributes;
mod read;

pub use attributes::{Attributes, Items};
pub use read::{EVERYTHING, Object, PixelsAt, read_object};
