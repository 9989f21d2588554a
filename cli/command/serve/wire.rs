//! Messages between a service and its worker processes: a line of JSON each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use service::{DicomObject, Event, Format, JobOptions, Measured, Task};

/// Order to a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Load the model that is taken when none is named.
    Open,
    /// Run a job.
    Run(Task),
    /// End the job at work after its windows at work.
    Stop,
    /// Look at the head of a slide's file.
    Measure { slide: PathBuf, options: JobOptions },
    /// Tell which DICOM objects files are.
    Identify { files: Vec<PathBuf> },
    /// Write the results so far of a job that another worker runs.
    Look(Task),
    /// Write the results of a job in a format.
    Export { task: Task, format: Format },
}

/// Answer of a worker. Reasons name no file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// The model is loaded.
    Opened,
    /// Something happened to the job at work.
    Event(Event),
    /// Its slide has an account.
    Ended,
    /// It was stopped.
    Stopped,
    /// Facts from the head of the file.
    Measured(Measured),
    /// The object that each file is; `None`: none, or one that cannot be understood.
    Identified(Vec<Option<DicomObject>>),
    /// `true` if there are results so far.
    Looked(bool),
    /// Path of the results.
    Exported(PathBuf),
    /// It cannot be done.
    Refused(String),
}
