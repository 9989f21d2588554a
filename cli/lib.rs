//! slidemill: gigapixel slides in, one Parquet dataset of every cell and region out.
//!
//! This crate wires the stages together; each stage is a crate of its own. To
//! follow one pixel, start at [`run`].

#![forbid(unsafe_code)]

pub mod annotations;
pub mod args;
pub mod budget;
pub mod bundled;
pub mod command;
pub mod commit;
pub mod detectors;
pub mod exit;
pub mod finish;
pub mod gather;
pub mod isolate;
pub mod job;
pub mod job_plan;
pub mod ledger;
pub mod lock;
pub mod merging;
pub mod overview;
pub mod pipeline;
pub mod prepare;
pub mod progress;
pub mod redo;
pub mod regions;
pub mod run;
pub mod settings;
pub mod shard;

// Old paths of what now lies in `dataset` and `report`, until all that use them have moved.
pub use ::dataset;
pub use ::dataset as account;
pub use ::dataset as new_folder;
pub use ::report;
pub use ::report::draw;
