//! Errors of the viewer.

use std::{io, path::PathBuf};

/// Reasons why a slide or a dataset cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The cell table or the regions table cannot be read.
    #[error("cannot read the table: {reason}: {path}")]
    Table {
        /// The fault: what was found and what was expected.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// The tile file is damaged, cut short or of another version: make it again.
    #[error("cannot read the tile file: {reason}")]
    TileFile {
        /// The fault: what was found and what was expected.
        reason: String,
    },
    /// A file could not be written.
    #[error("cannot write for the viewer: {source}")]
    Write {
        /// The system's error.
        source: io::Error,
    },
    /// More classes than a tile file can hold.
    #[error("the cell table has at least {found} classes, the viewer tells {most} apart")]
    ManyClasses {
        /// Classes up to the largest id seen.
        found: usize,
        /// Classes that it can have.
        most: usize,
    },
    /// The viewer cannot listen on the address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: String,
        /// The system's error.
        source: io::Error,
    },
}
