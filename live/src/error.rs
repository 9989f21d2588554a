//! Errors of this crate.

use std::{io, path::PathBuf};

use detector::DetectorError;
use merger::MergeError;
use wsi_reader::OpenError;
use wsi_types::SamplingError;

/// Reasons why a field cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// Two things that were asked for do not go together.
    #[error("{0}")]
    Settings(String),
    /// The pixels of the camera are too coarse for the model.
    #[error("{}; take a stronger objective or a model for this scale", too_coarse(*.0))]
    Scale(SamplingError),
    /// A frame has another size than the first.
    #[error(
        "frame {number} is {found:?} px, expected {expected:?} as the first; start again for another size"
    )]
    FrameSize {
        /// Number of the frame.
        number: u64,
        /// Width and height found.
        found: (usize, usize),
        /// Width and height of the first frame.
        expected: (usize, usize),
    },
    /// The model could not be run.
    #[error("the model cannot be run on the field")]
    Detector(#[from] DetectorError),
    /// What the model found cannot be merged.
    #[error("what the model found cannot be merged")]
    Merge(#[from] MergeError),
    /// A picture or slide cannot be read.
    #[error("cannot read frames: {reason}: {path}")]
    Open {
        /// The fault.
        reason: OpenError,
        /// The file.
        path: PathBuf,
    },
    /// A folder cannot be listed.
    #[error("cannot list the folder of frames: {reason}: {path}")]
    Folder {
        /// The system's error.
        reason: io::Error,
        /// The folder.
        path: PathBuf,
    },
    /// A part of a picture or slide cannot be read.
    #[error("cannot read frame {number}: {reason}")]
    Unread {
        /// Number of the frame.
        number: u64,
        /// The fault.
        reason: String,
    },
    /// The command that gives frames cannot be started, or failed.
    #[error("the command that gives frames {fault}: {command}")]
    Child {
        /// The fault, as a sentence's end.
        fault: String,
        /// Its first word.
        command: String,
    },
    /// The list of positions cannot be used.
    #[error("cannot use the path of the stage: {0}")]
    Path(String),
    /// A result cannot be written.
    #[error("cannot write the results")]
    Write(#[from] io::Error),
    /// A thread ended early.
    #[error("the thread {0:?} ended early: a fault of ours")]
    Thread(&'static str),
}

/// The frames are the camera's, not a slide's.
fn too_coarse(SamplingError::TooCoarse { slide, wanted }: SamplingError) -> String {
    format!("the frames have {slide}, too coarse for the model, which wants {wanted}")
}
