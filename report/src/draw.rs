//! Pictures of a slide with what was found on it.
//!
//! [`draw_detections`] draws cells over a whole slide or a part of it;
//! [`montage`] sets an overview with a map of cell density beside some crops.
//! Both read the slide like any other stage, tile by tile, and hold only the
//! picture in memory. The label is never read. Same input, same picture.

mod canvas;
mod colours;
mod density;
mod detections;
mod file;
mod font;
mod ground;
mod layers;
mod montage;
mod sheet;
mod spans;
mod view;

pub use colours::class_colour;
pub use density::{DensityMap, density_gradient, density_map};
pub use detections::draw_detections;
pub use file::{png_bytes, write_png};
pub use ground::Ground;
pub use layers::{Area, Layers, Legend, draw_layers};
pub use montage::{Montage, montage};
pub use sheet::{SheetTile, fill_ring, sheet};
pub use view::read_area;
