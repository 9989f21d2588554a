//! The commands beside `run`, each in a file of its name.

pub mod cohort;
pub mod completions;
pub mod consensus;
pub mod dataset;
pub mod demo;
pub mod doctor;
pub mod draw;
pub mod eval;
pub mod export;
pub mod forget;
pub mod gather;
pub mod import;
pub mod info;
pub mod live;
pub mod manual;
pub mod merge;
pub mod model;
pub mod pictures;
pub mod plan;
pub mod report;
#[cfg(feature = "serve")]
pub mod serve;
pub mod settings;
pub mod status;
pub mod verify;
pub mod version;
pub mod view;

use std::{path::Path, sync::Arc};

use whole_file::Inputs;
use wsi_reader::{LinearMapping, Slide, without_secrets};

use crate::exit::Failure;

/// Opens a slide for a command that is about that one slide.
///
/// # Errors
///
/// An input failure with the path last.
pub fn open(path: &Path, map_range: Option<LinearMapping>) -> anyhow::Result<Arc<dyn Slide>> {
    engine::open(path, map_range)
        .map_err(|error| Failure::input(format!("{error}: {}", without_secrets(path).display())))
}

/// Refuses an output in the place of what the command reads.
///
/// # Errors
///
/// A usage failure with the path last.
pub(crate) fn spare(inputs: &Inputs, output: &Path) -> anyhow::Result<()> {
    inputs.spare(output).map_err(Failure::usage)
}

/// Says on standard error what of folders and lists is not read.
fn tell(found: &engine::JobSlides) {
    found.remarks().for_each(|line| errln!("slidemill: {line}"));
}
