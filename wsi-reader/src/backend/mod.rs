//! The backends, each with the files that it reads.

pub(crate) mod dicom;
mod exif;
pub mod memory;
pub mod openslide;
pub mod picture;
pub mod tiff;
