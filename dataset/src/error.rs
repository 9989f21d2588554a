//! What can go wrong, one variant per thing a caller might do differently.

use std::{io, path::PathBuf};

/// Why a dataset cannot be read or written. Each message is whole in itself, its
/// path last: paths can identify patients.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// There is no dataset, or none of its slides has ended.
    #[error("no run account is here{purpose}: {}", root.display())]
    NoAccounts {
        /// What that means for the caller: empty, or `, so …`.
        purpose: &'static str,
        /// The folder.
        root: PathBuf,
    },
    /// A run account cannot be read.
    #[error("cannot read an account: {reason}: {}", path.display())]
    Account {
        /// As the system or the parser says it.
        reason: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// A folder of the dataset cannot be listed.
    #[error("cannot list {what}: {reason}: {}", path.display())]
    List {
        /// What lies there.
        what: &'static str,
        /// As the system says it.
        reason: io::Error,
        /// The folder.
        path: PathBuf,
    },
    /// A table cannot be read, or is none of ours.
    #[error(transparent)]
    Table(#[from] merger::MergeError),
    /// A picture of the dataset cannot be read, or is none of ours.
    #[error("cannot read {what}: {reason}")]
    PictureFile {
        /// Which picture.
        what: &'static str,
        /// As the system or the decoder says it.
        reason: String,
    },
    /// A picture cannot be encoded.
    #[error("cannot encode {what}: {reason}")]
    Picture {
        /// Which picture.
        what: &'static str,
        /// As the encoder says it.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {what}: {reason}: {}", path.display())]
    Write {
        /// What it holds.
        what: String,
        /// As the system says it.
        reason: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// A folder cannot be made or get its name.
    #[error("cannot {what} the output folder: {reason}: {}", path.display())]
    Folder {
        /// `make` or `name`.
        what: &'static str,
        /// As the system says it.
        reason: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// A new folder would take the place of something.
    #[error("the output exists already; give a new folder, or remove it: {}", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
}
