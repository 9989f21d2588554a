//! Names that only a private report shows.

use std::collections::BTreeMap;

/// Names of the files of slides by id, for a report that stays in the laboratory.
pub type FileNames = BTreeMap<String, String>;
