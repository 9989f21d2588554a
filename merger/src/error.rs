//! Errors of merging and writing.

use std::path::PathBuf;

/// Reason why merging or writing stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The plan is not valid: fix the caller.
    #[error("cannot lay out the plan: {0}")]
    Layout(String),
    /// A setting is out of its range: tell the user which one.
    #[error("setting `{name}` is {found}, expected {expected}")]
    Setting {
        /// The setting's key.
        name: &'static str,
        /// The value given.
        found: String,
        /// The values accepted.
        expected: &'static str,
    },
    /// A window that the plan does not hold.
    #[error("cannot take the detections of window {0}: it is not in the plan")]
    UnknownWindow(u32),
    /// A window was handed in a second time.
    #[error("cannot take the detections of window {0}: it was handed in before")]
    Repeated(u32),
    /// A class map that does not fit its window or the maps of the others.
    #[error(
        "cannot lay the map of window {window}: it has {} × {} places for {} × {} px, expected squares of whole px, as \
         large as those of the other windows", .map.0, .map.1, .size.0, .size.1
    )]
    Map {
        /// Place of the window in the plan.
        window: u32,
        /// Width and height of the window, px.
        size: (i64, i64),
        /// Columns and rows of the map.
        map: (u32, u32),
    },
    /// A vector of another length than those of the model.
    #[error("cannot keep the vector of window {window}: it has {found} numbers, expected {expected}")]
    Vector {
        /// Place of the window in the plan.
        window: u32,
        /// Numbers found.
        found: usize,
        /// Numbers of the model's vectors.
        expected: usize,
    },
    /// A cell lies nowhere: our own fault.
    #[error("cannot find the neighbours of a cell at {} × {} µm: expected a place on the slide", .0[0], .0[1])]
    Centroid([f64; 2]),
    /// A stored record of raw detections is damaged or of another version:
    /// run the window again.
    #[error("cannot read stored detections: {0}")]
    Record(String),
    /// The disk is full; nothing was left behind under the final name.
    #[error("cannot write the table, the disk is full: {path}")]
    DiskFull {
        /// The final name.
        path: PathBuf,
    },
    /// The file could not be written; nothing was left behind under the final
    /// name.
    #[error("cannot write the table: {source}: {path}")]
    Io {
        /// The system's own reason.
        source: std::io::Error,
        /// The final name.
        path: PathBuf,
    },
    /// Arrow or Parquet refused the rows: our own fault.
    #[error("cannot encode the table: {source}: {path}")]
    Encode {
        /// The encoder's message.
        source: parquet::errors::ParquetError,
        /// The final name.
        path: PathBuf,
    },
    /// A table could not be opened to be read back.
    #[error("cannot open {table}: {reason}")]
    OpenTable {
        /// `the cell table` or `the regions table`.
        table: &'static str,
        /// The system's message.
        reason: std::io::Error,
    },
    /// A table was opened and is not one of ours, or is damaged.
    #[error("{table} {problem}")]
    BadTable {
        /// `the cell table` or `the regions table`.
        table: &'static str,
        /// The problem found, and the content expected.
        problem: String,
    },
}
