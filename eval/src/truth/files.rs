//! Annotation files by their names, and the names that errors and remarks give them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{EvalError, error::Result, names::stem};

/// All regular files below a folder, by name order. Links are followed; each folder is visited once.
pub(super) fn collect_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, &mut BTreeSet::new(), &mut files)?;
    Ok(files)
}

pub(super) fn collect(
    folder: &Path,
    visited: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> Result<()> {
    if fs::canonicalize(folder).is_ok_and(|place| !visited.insert(place)) {
        return Ok(());
    }
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(|source| EvalError::Read { source, path: folder.to_owned() })?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, visited, files)?;
        } else if entry.is_file() {
            files.push(entry);
        }
    }
    Ok(())
}

/// Endings of annotation files of text.
pub(super) const TEXTS: [&str; 4] = [".geojson", ".json", ".csv", ".tsv"];

/// `true` for names of annotation files. Pictures lie beside their annotations, so a PNG must be named as a
/// label.
pub(super) fn is_annotation_name(path: &Path) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    let picture = name.ends_with(".png") && (name.contains("label") || name.contains("mask"));
    let hidden = name.starts_with('.');
    !hidden && (picture || has_ending(path, &TEXTS) || has_ending(path, &[".geojson.gz", ".zip", ".parquet"]))
}

pub(super) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A file, for errors, and the image it is about unless the file names another.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) image: String,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, image: image_name(path) }
    }

    /// A place in the file, for remarks.
    pub(super) fn at(&self, place: impl std::fmt::Display) -> String {
        format!("{place}: {}", self.path.display())
    }
}

/// The name of the image that a file is about if it does not name one: its path, without extension. For
/// `label.png` and similar names, that of its folder.
pub(super) fn image_name(path: &Path) -> String {
    const GENERIC: [&str; 8] =
        ["label", "labels", "mask", "points", "annotations", "nuclei", "cells", "objects"];
    let name = file_name(path);
    let own = stem(&name);
    let folder = path.parent().filter(|folder| folder.file_name().is_some());
    match folder {
        Some(folder) if GENERIC.contains(&own) => folder.to_string_lossy().into_owned(),
        Some(folder) => folder.join(own).to_string_lossy().into_owned(),
        None => own.to_owned(),
    }
}

/// An error about one place of one file.
pub(super) fn malformed(
    format: &'static str,
    place: impl Into<String>,
    problem: impl Into<String>,
    path: &Path,
) -> EvalError {
    EvalError::Malformed { format, place: place.into(), problem: problem.into(), path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_names_take_that_of_their_folder() {
        assert_eq!(image_name(Path::new("tnbc/dev/05_1/label.png")), "tnbc/dev/05_1");
        assert_eq!(image_name(Path::new("truth/slide-7.geojson.gz")), "truth/slide-7");
        assert_eq!(image_name(Path::new("label.png")), "label");
    }
}
