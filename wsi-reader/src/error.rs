//! Reasons why a path is not an open slide.

use std::io;

/// Reasons why a path is not an open slide. The path is not in the text: the caller knows it, and slide names
/// can identify patients.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is at the path.
    #[error("no such file or folder")]
    NotFound,
    /// The path is a link to something that does not exist.
    #[error("a link to a file or folder that is not there")]
    LinkToNothing,
    /// The path exists and cannot be read.
    #[error("cannot read it: {source}")]
    Io {
        /// The system's error.
        source: io::Error,
    },
    /// No backend knows such a file.
    #[error("not a slide: {found}")]
    NotASlide {
        /// The content found, and the content that each backend expected.
        found: String,
    },
    /// A sound file of a kind we do not read.
    #[error("not supported: {feature}")]
    Unsupported {
        /// The feature of the file, and the features that are read.
        feature: String,
    },
    /// The file contradicts itself: cut short, overwritten, or made to harm.
    #[error("the file is broken: {what}")]
    Broken {
        /// The fault: what was found and what was expected.
        what: String,
    },
    /// OpenSlide is needed and cannot be loaded.
    #[error("{what}")]
    LibraryMissing {
        /// The places that were searched, and what to do.
        what: String,
    },
    /// The file is beyond a limit that protects memory.
    #[error("too large: {what}")]
    TooLarge {
        /// Its size and the limit.
        what: String,
    },
}

impl OpenError {
    /// `true` if a server or the network failed, not the slide: it may be opened later.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::Io { source } if is_of_the_network(source.kind()))
    }
}

/// `true` if an error of this kind is one of a server or of the network: a later try may succeed.
pub(crate) fn is_of_the_network(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, StaleNetworkFileHandle, TimedOut};
    [HostUnreachable, NetworkDown, NetworkUnreachable, StaleNetworkFileHandle, TimedOut].contains(&kind)
}

pub(crate) fn io_error(source: io::Error) -> OpenError {
    if source.kind() == io::ErrorKind::NotFound { OpenError::NotFound } else { OpenError::Io { source } }
}
