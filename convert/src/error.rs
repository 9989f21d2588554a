//! Errors between our tables and the formats of others.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why an export or import stopped. Nothing is left behind under a final name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// A file or folder cannot be read.
    #[error("cannot read {what}: {source}: {path}")]
    Read {
        /// In words: `the cell table`.
        what: &'static str,
        /// The system's own reason.
        source: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// A file is not what its format says, or holds what we cannot take over.
    #[error("{what} cannot be used: {problem}: {path}")]
    Malformed {
        /// In words: `the DICOM annotations`.
        what: &'static str,
        /// Found and expected.
        problem: String,
        /// Its path.
        path: PathBuf,
    },
    /// A table of ours cannot be read.
    #[error("{source}: {path}")]
    Table {
        /// The table, and what is wrong with it.
        source: merger::MergeError,
        /// Its path.
        path: PathBuf,
    },
    /// An output cannot be written.
    #[error("cannot write {what}: {source}: {path}")]
    Write {
        /// In words: `the annotation store`.
        what: &'static str,
        /// The system's own reason.
        source: io::Error,
        /// The name it would have had.
        path: PathBuf,
    },
    /// A wish that cannot be met: says why, and what can be done.
    #[error("{0}")]
    Refused(String),
    /// A file that was just written does not read back as what went in: our own fault.
    #[error("what was written is not what was meant: {problem}: {path}")]
    NotAsWritten {
        /// Found and expected.
        problem: String,
        /// Its path.
        path: PathBuf,
    },
    /// A folder that is to be new is there already, or cannot be made.
    #[error(transparent)]
    Folder(#[from] dataset::DatasetError),
    /// Annotations that a reader of the evaluation refused.
    #[error(transparent)]
    Annotations(#[from] eval::EvalError),
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, ConvertError>;

pub(crate) fn unreadable(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ConvertError {
    let path = path.to_owned();
    move |source| ConvertError::Read { what, source, path }
}

pub(crate) fn unwritable(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ConvertError {
    let path = path.to_owned();
    move |source| ConvertError::Write { what, source, path }
}

pub(crate) fn malformed(what: &'static str, problem: impl Into<String>, path: &Path) -> ConvertError {
    ConvertError::Malformed { what, problem: problem.into(), path: path.to_owned() }
}

/// A refusal of what a format has no place for.
pub(crate) fn refused<T>(why: impl Into<String>) -> Result<T> {
    Err(ConvertError::Refused(why.into()))
}

/// An error and its causes in one line: the outermost often says only where it was.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        line.push_str(": ");
        line.push_str(&next.to_string());
        cause = next.source();
    }
    line
}
