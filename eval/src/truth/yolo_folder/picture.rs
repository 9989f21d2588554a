//! A picture of a data set with its labels.

use std::path::PathBuf;

use crate::objects::Object;

/// The format's name in errors.
pub(super) const FORMAT: &str = "YOLO data set";

/// One picture with its labels, in its px.
pub(super) struct Picture {
    pub(super) path: PathBuf,
    pub(super) size: (f64, f64),
    pub(super) objects: Vec<Object>,
}

impl Picture {
    /// Its name without folder and extension.
    pub(super) fn name(&self) -> String {
        self.path
            .with_extension("")
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}
