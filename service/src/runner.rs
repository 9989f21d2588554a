//! The job layer, as far as the service knows it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    format::Format,
    job::{JobOptions, Lane, Measured, Task},
};

/// Something that happened to a job: a JSON object with a field `event`, as `docs/json-logs.md` lists them.
pub type Event = serde_json::Map<String, serde_json::Value>;

/// A number of an event; 0 where it has none of that name.
pub(crate) fn count(event: &Event, name: &str) -> u64 {
    event.get(name).and_then(serde_json::Value::as_u64).unwrap_or_default()
}

/// Does the work. Slides are files of strangers: whoever implements this opens them in other processes, so
/// that none can harm the service.
pub trait Runner: Send + Sync + 'static {
    /// The models on offer; the first is taken when a request names none.
    fn models(&self) -> &[ModelCard];

    /// Gets a lane ready for its first job; called once, on the thread that will run its jobs.
    fn prepare(&self, lane: Lane);

    /// Checks that the model is loaded and jobs can begin; otherwise says why not.
    ///
    /// # Errors
    ///
    /// In words, when it cannot be loaded, or not yet.
    fn ready(&self) -> Result<(), String>;

    /// Looks at the head of a slide's file, before a job is made of it.
    ///
    /// # Errors
    ///
    /// In words that name no file, when no job could analyse it.
    fn measure(&self, slide: &Path, options: &JobOptions) -> Result<Measured, String>;

    /// Tells of each file which DICOM object it is; `None`: it is none, or cannot be understood.
    ///
    /// # Errors
    ///
    /// In words that name no file, when none can be looked at.
    fn identify(&self, files: &[PathBuf]) -> Result<Vec<Option<DicomObject>>, String>;

    /// Runs a job until it ends or is stopped; one at a time in each lane. What an earlier run left is gone on from.
    fn run(&self, lane: Lane, task: &Task, tell: &mut dyn FnMut(Event), stop: &Stop) -> RunEnd;

    /// Writes the results so far of a job that is running as a dataset at [`Task::so_far`]. `false` when there are none
    /// yet.
    ///
    /// # Errors
    ///
    /// In words that name no file.
    fn look(&self, task: &Task) -> Result<bool, String>;

    /// Writes the results of a job in a format, under [`Task::exports`]; gives the file.
    ///
    /// # Errors
    ///
    /// In words that name no file.
    fn export(&self, task: &Task, format: Format) -> Result<PathBuf, String>;
}

/// A DICOM object, by its identifiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DicomObject {
    /// `SOPClassUID`: the kind of object.
    pub class_uid: String,
    /// `SOPInstanceUID`: which one.
    pub instance_uid: String,
    /// `StudyInstanceUID`: the study that it belongs to.
    pub study_uid: String,
    /// `SeriesInstanceUID`: the files of one slide share it.
    pub series_uid: String,
}

impl DicomObject {
    /// `true` if it is a whole-slide image.
    #[must_use]
    pub fn is_whole_slide(&self) -> bool {
        /// VL Whole Slide Microscopy Image Storage.
        const WHOLE_SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
        self.class_uid == WHOLE_SLIDE
    }
}

/// End of a run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// The slide has an account, good or bad.
    Ended,
    /// It was stopped; the next run goes on.
    Stopped,
    /// It cannot be run, in words that name no file.
    Failed(String),
}

/// A model that jobs may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Name that requests use for it.
    pub name: String,
    /// The name it calls itself.
    pub model: String,
    /// Its version, where it says one.
    pub version: Option<String>,
    /// SHA-256 of the ONNX file.
    pub sha256: String,
    /// Classes it tells apart.
    pub classes: Vec<String>,
    /// Microns per pixel it was trained at, where it says so.
    pub mpp: Option<f64>,
    /// Under which licence it may be used, where it says so.
    pub licence: Option<String>,
    /// One line for people.
    pub description: Option<String>,
    /// `true` if it draws outlines.
    pub outlines: bool,
}

/// Asks a run to end after the windows at work.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks, for good.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// `true` if it was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
