//! Who reads which file.

pub mod memory;
pub mod openslide;
pub mod picture;
pub mod tiff;
