//! Errors of datasets, one variant per thing a caller might do differently.

use std::{io, path::PathBuf};

/// Reason why a dataset cannot be read or written. Each message is complete, its path last: paths can
/// identify patients.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// There is no dataset, or none of its slides has ended.
    #[error("no run account is here{purpose}: {}", root.display())]
    NoAccounts {
        /// Consequence for the caller: empty, or `, so …`.
        purpose: &'static str,
        /// The folder.
        root: PathBuf,
    },
    /// A run account cannot be read.
    #[error("cannot read an account: {reason}: {}", path.display())]
    Account {
        /// The message of the system or the parser.
        reason: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// A folder of the dataset cannot be listed.
    #[error("cannot list {what}: {reason}: {}", path.display())]
    List {
        /// Contents of the folder.
        what: &'static str,
        /// The system's message.
        reason: io::Error,
        /// The folder.
        path: PathBuf,
    },
    /// A table cannot be read, or is not one of ours.
    #[error(transparent)]
    Table(#[from] merger::MergeError),
    /// A picture of the dataset cannot be read, or is not one of ours.
    #[error("cannot read {what}: {reason}")]
    PictureFile {
        /// The picture.
        what: &'static str,
        /// The message of the system or the decoder.
        reason: String,
    },
    /// A picture cannot be encoded.
    #[error("cannot encode {what}: {reason}")]
    Picture {
        /// The picture.
        what: &'static str,
        /// The encoder's message.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {what}: {reason}: {}", path.display())]
    Write {
        /// Contents of the file.
        what: String,
        /// The system's message.
        reason: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// A folder cannot be made or get its name.
    #[error("cannot {what} the output folder: {reason}: {}", path.display())]
    Folder {
        /// `make` or `name`.
        what: &'static str,
        /// The system's message.
        reason: io::Error,
        /// Its path.
        path: PathBuf,
    },
    /// A new folder would replace something that exists.
    #[error("the output exists already; give a new folder, or remove it: {}", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
}
