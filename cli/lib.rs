//! slidemill: gigapixel slides in, one Parquet dataset of every cell and region out.
//!
//! This crate wires the stages together; each stage is a crate of its own. To
//! follow one pixel, start at [`run`].

#![forbid(unsafe_code)]

pub mod account;
pub mod annotations;
pub mod args;
pub mod budget;
pub mod bundled;
pub mod cells;
pub mod command;
pub mod commit;
pub mod dataset;
pub mod detectors;
pub mod draw;
pub mod eval_page;
pub mod exit;
pub mod finish;
pub mod gather;
pub mod isolate;
pub mod job;
pub mod job_plan;
pub mod ledger;
pub mod lock;
pub mod merging;
pub mod new_folder;
pub mod overview;
pub mod pipeline;
pub mod prepare;
pub mod progress;
pub mod redo;
pub mod regions;
pub mod report;
pub mod run;
pub mod settings;
pub mod shard;
pub mod stored_regions;
mod stored_tables;
pub mod summary;
