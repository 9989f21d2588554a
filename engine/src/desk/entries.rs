//! What lies in a folder of the private corner.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Names and paths of the entries of a folder; empty if it cannot be read.
pub(super) fn entries(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
}
