#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod choice;
mod dicom;
pub mod error;
pub mod ids;
pub mod into;
pub mod measure;
pub mod out;
mod picture;
pub mod ring;
pub mod source;
pub mod tally;
mod verify;

pub use choice::{Area, Choice};
pub use dicom::{identity::DicomIdentity, slide::DicomSlide};
pub use error::{ConvertError, Result};
pub use out::{Format, Settings, Source, export};
pub use source::{CellTable, ModelName, Origin, SlideFacts, read_regions};
pub use tally::Tally;
pub use verify::verify;
