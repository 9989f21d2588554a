//! Slides, cells and regions in a browser.
//!
//! [`tiles`] is a file derived from a cell table, in a form that a browser draws and
//! counts; [`Site`] answers what the page in `page/` asks for, whatever server asks
//! it; [`http`] is a server for one person at the same machine.

#![forbid(unsafe_code)]

mod drawing;
mod error;
pub mod export;
pub mod http;
mod page;
pub mod pixels;
mod places;
mod site;
pub mod table;
pub mod tiles;

pub use error::ViewError;
pub use places::{Place, places};
pub use site::{
    Changing, Keyed, Lineage, OpenSlide, Pair, RawDetection, ShownSlide, Site, WindowMap, tile_file,
};
