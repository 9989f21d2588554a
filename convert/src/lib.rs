//! Cells and regions in the formats of other tools, out of a dataset and into one.
//!
//! | format | who reads it |
//! | --- | --- |
//! | [`QuPath`](Format::QuPath) | QuPath 0.6 and later, any reader of GeoJSON |
//!
//! [`export`] streams the tables of one slide into a format, and counts what it wrote; [`read`](into::read) takes
//! another tool's cells in. All coordinates on our side are level-0 px.

#![forbid(unsafe_code)]

pub mod choice;
mod dicom;
pub mod error;
pub mod ids;
pub mod into;
pub mod out;
mod picture;
pub mod ring;
pub mod source;
pub mod tally;
mod verify;
mod zip;

pub use choice::{Area, Choice};
pub use dicom::slide::DicomSlide;
pub use error::{ConvertError, Result};
pub use out::{Format, Settings, Source, export};
pub use source::{CellTable, ModelName, Origin, SlideFacts, read_regions};
pub use tally::Tally;
pub use verify::verify;
