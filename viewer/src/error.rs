//! What can go wrong while showing.

use std::{io, path::PathBuf};

/// Why a slide or a dataset cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The cell table or the regions table cannot be read.
    #[error("cannot read the table: {reason}: {path}")]
    Table {
        /// What was found and expected.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// The tile file is damaged, cut short or of another version: make it again.
    #[error("cannot read the tile file: {reason}")]
    TileFile {
        /// What was found and expected.
        reason: String,
    },
    /// A file could not be written.
    #[error("cannot write for the viewer: {source}")]
    Write {
        /// What the system says.
        source: io::Error,
    },
    /// More classes than a tile file tells apart.
    #[error("the cell table has at least {found} classes, the viewer tells {most} apart")]
    ManyClasses {
        /// Classes up to the largest id seen.
        found: usize,
        /// Classes that it can have.
        most: usize,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}
