//! The files of slides, as the private lists of a dataset have them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use dataset::Dataset;
use engine::list_columns;
use report::SlideFiles;
use wsi_reader::may_be_there;

use crate::exit::Failure;

/// The files of the slides of a dataset, for what a report shows at full size, and what slide lists say of them. Of a
/// slide without a line that can be read it says that its file is not known: a damaged list stops no report.
pub(crate) fn slide_files(dataset: &Dataset) -> SlideFiles {
    let text = fs::read(dataset.names()).unwrap_or_default();
    let lines = csv::Reader::from_reader(text.as_slice()).into_deserialize::<(String, PathBuf)>();
    let files: SlideFiles = lines.filter_map(Result::ok).collect();
    files.with_columns(list_columns(dataset).unwrap_or_default())
}

/// The same for a report that is asked to name slides: there a list that cannot be read is an error.
///
/// # Errors
///
/// An input failure when a list exists and cannot be read.
pub(crate) fn named_slide_files(dataset: &Dataset) -> anyhow::Result<SlideFiles> {
    let files: SlideFiles = slide_paths(dataset)?.into_iter().collect();
    Ok(files.with_columns(list_columns(dataset)?))
}

/// Paths that slides were read from, by slide id: of copies the first, of a slide that was moved the last. Empty if the
/// dataset came without its private folder.
///
/// # Errors
///
/// An input failure when the list exists and cannot be read.
pub(crate) fn slide_names<T: serde::de::DeserializeOwned + AsRef<Path>>(
    dataset: &Dataset,
) -> anyhow::Result<BTreeMap<String, T>> {
    let mut names = BTreeMap::<String, T>::new();
    for (id, path) in slide_paths(dataset)? {
        if names.get(&id).is_none_or(|earlier| !may_be_there(earlier.as_ref())) {
            names.insert(id, path);
        }
    }
    Ok(names)
}

/// All ids with all paths that their slides were read from, in the order they were noted.
///
/// # Errors
///
/// An input failure when the list exists and cannot be read.
pub(crate) fn slide_paths<T: serde::de::DeserializeOwned>(
    dataset: &Dataset,
) -> anyhow::Result<Vec<(String, T)>> {
    let path = dataset.names();
    if !path.exists() {
        return Ok(Vec::new());
    }
    let broken = |error: csv::Error| {
        Failure::input(format!("the list of slides cannot be read: {error}: {}", path.display()))
    };
    let mut reader = csv::Reader::from_path(&path).map_err(broken)?;
    reader.deserialize::<(String, T)>().collect::<Result<_, _>>().map_err(broken)
}
