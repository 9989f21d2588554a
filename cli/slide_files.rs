//! The files of slides, as the private list of a dataset has them.

use std::{fs, path::PathBuf};

use dataset::Dataset;
use report::SlideFiles;

/// The files of the slides of a dataset, for what a report shows at full size. Of a slide without a line that can be
/// read it says that its file is not known: a damaged list stops no report.
pub(crate) fn slide_files(dataset: &Dataset) -> SlideFiles {
    let text = fs::read(dataset.names()).unwrap_or_default();
    let lines = csv::Reader::from_reader(text.as_slice()).into_deserialize::<(String, PathBuf)>();
    lines.filter_map(Result::ok).collect()
}
