//! Errors of reports, one variant per thing a caller might do differently.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use dataset::{Dataset, DatasetError};
use plotters::drawing::DrawingAreaErrorKind;

/// Why a page, a picture or a summary was not made. Each message is whole in
/// itself, its path last: paths can identify patients.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The dataset cannot be read, or not be written to.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A chart cannot be drawn.
    #[error("cannot draw a chart: {0}")]
    Chart(String),
    /// A picture cannot be encoded.
    #[error("cannot encode the picture: {0}")]
    Picture(String),
    /// The name of a picture does not say its format.
    #[error(
        "cannot tell the format of the picture, expected a name that ends in .png, .jpg or .jpeg: {}",
        path.display()
    )]
    PictureSuffix {
        /// As given.
        path: PathBuf,
    },
    /// A picture cannot be written.
    #[error("cannot write the picture: {reason}: {}", path.display())]
    WritePicture {
        /// As the system or the encoder says it.
        reason: String,
        /// Its path.
        path: PathBuf,
    },
    /// The definition of measures cannot be used.
    #[error("measures: {problem}: {}", path.display())]
    Measures {
        /// With its line, where it is in the file.
        problem: String,
        /// As given.
        path: PathBuf,
    },
    /// The table of measures of the dataset cannot be read back.
    #[error("cannot read the measures: {reason}; `slidemill report` makes them again: {}", path.display())]
    MeasureTable {
        /// As the reader says it.
        reason: String,
        /// Its path.
        path: PathBuf,
    },
    /// A cohort is asked for by columns that are not there, or joined with a table that does not fit.
    #[error("{0}")]
    Columns(String),
    /// The figures cannot be put into the form of a file.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// The file.
        what: &'static str,
        /// As the encoder says it.
        reason: String,
    },
}

impl ReportError {
    /// There is no account.
    #[must_use]
    pub fn nothing_to_report(dataset: &Dataset) -> Self {
        let root = dataset.root().to_owned();
        Self::Dataset(DatasetError::NoAccounts { purpose: ", so there is nothing to report", root })
    }

    pub(crate) fn encode(what: &'static str, reason: &impl fmt::Display) -> Self {
        Self::Encode { what, reason: reason.to_string() }
    }

    pub(crate) fn measures(problem: impl fmt::Display, path: &Path) -> Self {
        Self::Measures { problem: problem.to_string(), path: path.to_owned() }
    }

    pub(crate) fn write(what: &str, reason: io::Error, path: PathBuf) -> Self {
        Self::Dataset(DatasetError::Write { what: what.to_owned(), reason, path })
    }
}

impl<E: Error + Send + Sync> From<DrawingAreaErrorKind<E>> for ReportError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self::Chart(error.to_string())
    }
}

impl From<png::EncodingError> for ReportError {
    fn from(error: png::EncodingError) -> Self {
        Self::Picture(error.to_string())
    }
}
