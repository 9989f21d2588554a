//! Reasons why a path is not an open slide.

use std::io;

/// Why a path is not an open slide. The path is not in the text: the caller
/// knows it, and slide names can identify patients.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is there.
    #[error("no such file or folder")]
    NotFound,
    /// A link is there, and what it leads to is not.
    #[error("a link to a file or folder that is not there")]
    LinkToNothing,
    /// It is there and cannot be read.
    #[error("cannot read it: {source}")]
    Io {
        /// What the system says.
        source: io::Error,
    },
    /// No backend knows such a file.
    #[error("not a slide: {found}")]
    NotASlide {
        /// What was found, and what each backend expected.
        found: String,
    },
    /// A sound file of a kind we do not read.
    #[error("not supported: {feature}")]
    Unsupported {
        /// What it has and what is read.
        feature: String,
    },
    /// The file contradicts itself: cut short, overwritten, or made to harm.
    #[error("the file is broken: {what}")]
    Broken {
        /// What was found and expected.
        what: String,
    },
    /// OpenSlide is needed and cannot be loaded.
    #[error("{what}")]
    LibraryMissing {
        /// Where it was looked for, and the cure.
        what: String,
    },
    /// Beyond a limit that protects memory.
    #[error("too large: {what}")]
    TooLarge {
        /// Its size and the limit.
        what: String,
    },
}

pub(crate) fn io_error(source: io::Error) -> OpenError {
    if source.kind() == io::ErrorKind::NotFound { OpenError::NotFound } else { OpenError::Io { source } }
}
