//! Pictures of a slide with what was found on it.
//!
//! A [`Drawing`] shows cells and regions over a whole slide or a part of it;
//! [`montage`] sets an overview with a map of cell density beside some crops.
//! Both read the slide like any other stage, tile by tile, and hold only the
//! picture in memory. The label is never read. Same input, same picture.

mod canvas;
mod density;
mod drawing;
mod file;
mod font;
mod ground;
mod montage;
mod sheet;
mod spans;
mod view;

pub use density::{DensityMap, density_gradient, density_map};
pub use drawing::{Area, Drawing, Legend};
pub use file::{PictureFile, png_bytes};
pub use ground::Ground;
pub(crate) use ground::Squares;
pub use montage::{Montage, montage};
pub use sheet::{SheetTile, fill_ring, sheet};
pub use view::read_area;
