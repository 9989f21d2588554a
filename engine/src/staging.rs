//! Where copies of slides are made (`--stage DIR`), and how large they may be.

use std::path::PathBuf;

use crate::{byte_size::ByteSize, error::JobError};

/// Where copies are made, and how many bytes of them there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staging {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Bytes of all copies at any time; `None` for what is free.
    pub(crate) budget: Option<u64>,
}

impl Staging {
    /// The error of a folder that cannot be written to.
    pub(crate) fn cannot_write(&self, error: &dyn std::error::Error) -> JobError {
        let folder = self.folder.display();
        JobError::output(format!("cannot write to the folder of --stage: {error}: {folder}"))
    }

    /// Why a slide of so many bytes is not copied; `None` if it may be.
    pub(crate) fn refusal(&self, bytes: u64) -> Option<String> {
        let budget = self.budget.filter(|&budget| budget < bytes)?;
        Some(format!(
            "the slide has {}, --stage-budget allows {} of copies: give more, or leave --stage out to read it where it lies",
            ByteSize(bytes),
            ByteSize(budget)
        ))
    }
}
