#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod account;
mod checksum;
pub mod clock;
mod error;
mod host;
mod id;
mod manifest;
mod new_folder;
mod paths;
mod pictures;
mod seal;
mod secret;
mod tables;
mod verify;

pub use account::{
    Analysis, Coverage, DENSE, DetectorFacts, DeviceShare, FailureCount, FileFacts, ModelFacts, Outcome,
    PatchCount, ROI, RegionCount, RunAccount, TISSUE, ThresholdCount, TileCounts, WindowCounts,
};
pub use checksum::sha256_of;
pub use error::DatasetError;
pub use host::host_name;
pub use id::SlideId;
pub use manifest::Manifest;
pub use merger::{
    CellMeasure, CellReader, CellRow, PatchReader, PatchRow, ReadSettings, RegionReader, RegionRow, SeamAudit,
};
pub use new_folder::NewFolder;
pub use paths::Dataset;
pub use pictures::{SeenTissue, Tissue, jpeg_bytes, stage_pictures};
pub use seal::{Seal, sealed};
pub use secret::id_of_unreadable;
pub use tables::{detector_bit, for_each_cell, read_cells, read_regions, seen_by};
pub use verify::Findings;
pub use wsi_types::wording::{self, hex};
