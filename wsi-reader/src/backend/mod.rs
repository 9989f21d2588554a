//! Who reads which file.

mod exif;
pub mod memory;
pub mod openslide;
pub mod picture;
pub mod tiff;
