//! slidemill: gigapixel slides in, one Parquet dataset of every cell and region out.
//!
//! This crate wires the stages together; each stage is a crate of its own. To
//! follow one pixel, start at [`run`].

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

// First: what follows uses their macros.
#[macro_use]
mod stderr;
#[macro_use]
mod stdout;

pub mod annotations;
pub mod args;
pub mod command;
pub mod exit;
pub mod frame;
pub mod isolate;
pub mod knobs;
pub mod measure;
mod numbers;
mod plain;
pub mod progress;
pub mod run;
mod slide_files;
pub mod within;

/// Resources that this process may use, within what a scheduler's variables say.
fn machine() -> engine::Machine {
    engine::Machine::scheduled(|name| std::env::var(name).ok())
}

// Old paths of what now lies in `dataset` and `report`, until all that use them have moved.
pub use ::dataset;
pub use ::dataset as account;
pub use ::dataset as new_folder;
pub use ::report;
pub use ::report::draw;
