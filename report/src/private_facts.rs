//! What only a private report shows.

use std::collections::BTreeMap;

use dataset::SlideId;

use crate::cohort::SlideColumns;

/// Names of the files of slides, and what slide lists say of them, for a report that stays in the laboratory.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrivateFacts {
    names: BTreeMap<String, String>,
    columns: SlideColumns,
}

impl PrivateFacts {
    pub(crate) fn new(names: BTreeMap<String, String>, columns: SlideColumns) -> Self {
        Self { names, columns }
    }

    /// Name of the file of a slide, where it is known.
    pub(crate) fn name(&self, id: &SlideId) -> Option<&str> {
        self.names.get(id.as_str()).map(String::as_str)
    }

    /// What the lists say of a slide, by column; nothing for one that no list speaks of.
    pub(crate) fn columns(&self, id: &SlideId) -> impl Iterator<Item = (&str, &str)> {
        let own = self.columns.get(id).into_iter().flatten();
        own.filter(|(_, value)| !value.is_empty()).map(|(column, value)| (column.as_str(), value.as_str()))
    }

    /// The value of one column of a slide.
    pub(crate) fn value(&self, id: &SlideId, column: &str) -> Option<&str> {
        self.columns(id).find(|(name, _)| *name == column).map(|(_, value)| value)
    }
}
