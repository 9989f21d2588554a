//! Why the service cannot start, or cannot go on.

use std::{io, path::PathBuf};

/// Why the service cannot start, or cannot go on. What is wrong with a request is a
/// [`Problem`](crate::Problem), what is wrong with a slide is in its job.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The file of tokens cannot be used.
    #[error("cannot use the tokens: {reason}: {}", .path.display())]
    Tokens {
        /// In words.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// The file of targets cannot be used.
    #[error("cannot use the targets of pushes: {reason}: {}", .path.display())]
    Targets {
        /// In words.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A folder of slides that may be named cannot be used.
    #[error("cannot use the folder of slides: {reason}: {}", .path.display())]
    Root {
        /// In words.
        reason: io::Error,
        /// The folder.
        path: PathBuf,
    },
    /// Another service has the folder of jobs.
    #[error("another service is at work in this folder; give each its own: {}", .path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of jobs cannot be written, or a job in it not be read.
    #[error("cannot {doing}: {reason}: {}", .path.display())]
    Data {
        /// Such as `make the folder of jobs`.
        doing: &'static str,
        /// Error of the system.
        reason: io::Error,
        /// Where.
        path: PathBuf,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Such as `127.0.0.1:8750`.
        address: String,
        /// Error of the system.
        reason: io::Error,
    },
    /// The process cannot start threads.
    #[error("cannot start the service: {0}")]
    Start(#[source] io::Error),
}
