#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod drawing;
mod error;
pub mod export;
pub mod http;
mod page;
pub mod pixels;
mod places;
mod report;
mod site;
pub mod table;
pub mod tiles;

pub use error::ViewError;
pub use places::{Place, places};
pub use report::Report;
pub use site::{
    Changing, Keyed, Lineage, OpenSlide, Pair, RawDetection, ShownSlide, Site, WindowMap, tile_file,
};
