//! The backends, each with the files that it reads.

mod exif;
pub mod memory;
pub mod openslide;
pub mod picture;
pub mod tiff;
