//! Errors that stop a job or a step of one: one variant per thing a caller may do about it.

use std::{fmt::Display, time::Duration};

use dataset::DatasetError;
use detector::DetectorError;
use merger::MergeError;

/// Reason that a job cannot go on. A problem of one slide is no error of the job: it is in that slide's
/// account.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Settings, list of slides or model cannot be used as they are: change them.
    #[error("{0}")]
    Usage(String),
    /// An input is bad: mend it or leave it out.
    #[error("{0}")]
    Input(String),
    /// The output cannot be written: make room, or write elsewhere.
    #[error("{0}")]
    Output(String),
    /// A resource ran out: the same job goes on from where it was.
    #[error("{0}")]
    Again(String),
    /// A read never came back. Its thread is left behind; only the end of the process ends it.
    #[error("no window ended for {} s: the slide at work is given up", .patience.as_secs())]
    Silent {
        /// Time waited.
        patience: Duration,
    },
    /// The model never came back. Its thread is left behind; only the end of the process ends it.
    #[error(
        "the model did not answer within {} s: it may never end, or be too slow here (--slide-timeout gives it longer)",
        .patience.as_secs()
    )]
    SilentModel {
        /// Time waited.
        patience: Duration,
    },
    /// A fault of slidemill itself.
    #[error("{0}")]
    Fault(String),
}

impl JobError {
    /// [`JobError::Usage`] in these words.
    pub fn usage(reason: impl Display) -> Self {
        Self::Usage(reason.to_string())
    }

    /// [`JobError::Input`] in these words.
    pub fn input(reason: impl Display) -> Self {
        Self::Input(reason.to_string())
    }

    /// [`JobError::Output`] in these words.
    pub fn output(reason: impl Display) -> Self {
        Self::Output(reason.to_string())
    }

    /// [`JobError::Again`] in these words.
    pub fn again(reason: impl Display) -> Self {
        Self::Again(reason.to_string())
    }

    /// [`JobError::Fault`] in these words.
    pub fn fault(reason: impl Display) -> Self {
        Self::Fault(reason.to_string())
    }
}

impl From<DatasetError> for JobError {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Picture { .. } => Self::fault(error),
            DatasetError::Write { .. } | DatasetError::Folder { .. } => Self::output(error),
            DatasetError::Exists { .. } => Self::usage(error),
            _ => Self::input(error),
        }
    }
}

impl From<MergeError> for JobError {
    fn from(error: MergeError) -> Self {
        Self::fault(error)
    }
}

impl From<DetectorError> for JobError {
    fn from(error: DetectorError) -> Self {
        Self::fault(error)
    }
}

/// Message of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
