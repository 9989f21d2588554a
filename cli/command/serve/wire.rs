//! What a service and its worker processes say to each other: a line of JSON each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use service::{Event, Format, JobOptions, Measured, Task};

/// What a worker is to do.
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
    /// Write the results so far of a job that another worker runs.
    Look(Task),
    /// Write the results of a job in a format.
    Export { task: Task, format: Format },
}

/// What a worker answers. Reasons name no file.
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
    /// What the head of the file says.
    Measured(Measured),
    /// Whether there are results so far.
    Looked(bool),
    /// Where the results are.
    Exported(PathBuf),
    /// It cannot be done.
    Refused(String),
}
