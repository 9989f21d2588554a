#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod account;
mod cells;
mod checksum;
mod error;
mod host;
mod id;
mod new_folder;
mod paths;
mod pictures;
mod regions;
mod tables;
mod verify;
pub mod wording;

pub use account::{
    Analysis, Coverage, DENSE, DetectorFacts, FailureCount, FileFacts, ModelFacts, Outcome, RegionCount,
    RunAccount, TISSUE, ThresholdCount, TileCounts, WindowCounts,
};
pub use cells::{
    StoredCell, class_names, detector_bit, f32_column, for_each_cell, read_cells, seen_by, u64_column,
};
pub use checksum::{hex, sha256_of};
pub use error::DatasetError;
pub use host::host_name;
pub use id::SlideId;
pub use new_folder::NewFolder;
pub use paths::Dataset;
pub use pictures::{Tissue, stage_pictures};
pub use regions::{StoredRegion, read_regions};
pub use verify::Findings;
