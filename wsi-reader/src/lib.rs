#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod absent;
mod address;
mod average;
pub mod backend;
#[doc(hidden)]
pub mod conformance;
pub mod doctor;
pub mod error;
mod files;
mod folder;
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod makers;
mod mapping;
pub mod open;
pub mod overview;
pub mod reduced;
pub mod region;
pub mod scale;
pub mod slide;
mod source;
#[cfg(feature = "stores")]
mod store;

pub use absent::{AbsentTiles, absent_tiles};
pub use address::{is_address, may_be_there, without_secrets};
pub use backend::{memory::MemorySlide, openslide::openslide_version};
pub use error::OpenError;
pub use files::{CopyError, SlideFiles};
pub use folder::{LeftOut, Listing, find_slides, is_slide_candidate, slide_files};
pub use identity::{ContentId, content_id, files_of_slide, full_content_id, same_content};
pub use mapping::{LinearMapping, MappingError};
pub use open::{OpenOptions, Prefer, open, open_copy, open_with};
pub use overview::{Overview, OverviewFault, OverviewSettings};
pub use reduced::with_reduced_levels;
pub use region::read_region;
pub use scale::{GivenScale, resolve_scale};
pub use slide::{
    AssociatedImage, Fetched, MppSource, OnServer, ReadError, Scale, ScaleProblem, Slide, SlideInfo,
    TileState,
};
