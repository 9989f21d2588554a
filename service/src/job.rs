//! Facts about a job.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{id::JobId, push::Push};

/// One of two lines that jobs wait in. Each has a worker of its own, so that a small picture never waits behind a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Pictures that are answered at once.
    Small,
    /// All others.
    Large,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// The line of a slide, where pictures up to `sync_mpx` megapixels are answered at once.
    #[must_use]
    pub fn of(measured: &Measured, sync_mpx: f64) -> Self {
        if measured.mpx() <= sync_mpx { Self::Small } else { Self::Large }
    }

    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }
}

/// Options that a request may give for its slide and the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobOptions {
    /// One of `/v1/models`; the first of them where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Microns per pixel, for a picture that does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mpp: Option<f64>,
    /// Microns per pixel in place of what the slide says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_mpp: Option<f64>,
    /// Takes the pixels of the picture for those of the model, whatever their size: of pictures that have no scale. Lengths
    /// and areas mean nothing then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub own_grid: bool,
    /// The frame of a DICOM picture of several, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
}

/// Facts from the head of a slide's file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Width and height of level 0, px.
    pub size_px: [u32; 2],
    /// `true` if it is a whole slide in DICOM.
    #[serde(default)]
    pub is_dicom: bool,
    /// `StudyInstanceUID` of a DICOM slide or picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study_id: Option<String>,
    /// `SeriesInstanceUID` of a DICOM slide or picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series_id: Option<String>,
}

impl Measured {
    /// `true` if it is DICOM and no whole slide.
    #[must_use]
    pub fn is_dicom_picture(&self) -> bool {
        self.study_id.is_some() && !self.is_dicom
    }

    /// Megapixels of level 0.
    #[must_use]
    pub fn mpx(&self) -> f64 {
        let [width, height] = self.size_px.map(f64::from);
        width * height / 1e6
    }
}

/// A job as it was accepted: `request.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The slide; of an upload, relative to the job's folder.
    pub slide: PathBuf,
    /// `true` if it was sent, and is ours to erase.
    pub is_upload: bool,
    /// Options that the request gave.
    pub options: JobOptions,
    /// Facts from the head of its file.
    pub measured: Measured,
    /// The line it waits in.
    pub lane: Lane,
    /// The name of the token it came with.
    pub by: Option<String>,
    /// Hashes that tell it from other requests, where the client gave it a key.
    pub once: Option<Once>,
    /// When it was accepted, UTC.
    pub accepted: String,
    /// The series that it is, where its instances came one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
}

impl Request {
    /// Says why the results of a job are not for a PACS, if they are not.
    pub(crate) fn push_refusal(&self, state: State) -> Option<&'static str> {
        if self.measured.is_dicom_picture() {
            return Some(
                "it is a DICOM picture and no whole slide: objects for a PACS are made of whole slides alone",
            );
        }
        if self.measured.study_id.is_none() {
            return Some(
                "the slide is no DICOM: its results have no patient and no study, and no picture that a PACS could find",
            );
        }
        // The UID is that of the whole results: a PACS would keep these.
        (state == State::Partial).then_some(
            "some windows have no result: a PACS would keep the object it has, and take the whole one for the same; run the \
             slide again",
        )
    }
}

/// A series whose instances come one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Hash of token, `SeriesInstanceUID` and options.
    pub key: String,
    /// `true` while more may come.
    pub is_open: bool,
}

/// An `Idempotency-Key` and what came with it, as hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    /// Of token and key.
    pub key: String,
    /// Of body and options.
    pub content: String,
}

/// Facts that a worker needs of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Id of the job.
    pub id: JobId,
    /// Its folder.
    pub folder: PathBuf,
    /// The slide.
    pub slide: PathBuf,
    /// Options that the request gave.
    pub options: JobOptions,
}

impl Task {
    /// The dataset that the job writes.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        out_of(&self.folder)
    }

    /// Folder of results in other formats.
    #[must_use]
    pub fn exports(&self) -> PathBuf {
        self.folder.join("exports")
    }

    /// Folder of results so far.
    #[must_use]
    pub fn so_far(&self) -> PathBuf {
        self.folder.join("so-far")
    }
}

pub(crate) fn out_of(folder: &Path) -> PathBuf {
    folder.join("out")
}

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Instances of its series come; it waits for its turn when none came for a while.
    Gathering,
    /// It waits for its turn.
    Queued,
    /// It is being analysed.
    Running,
    /// All windows have a result.
    Done,
    /// Some windows have none; the rest is there.
    Partial,
    /// There are no results.
    Failed,
    /// It was taken back, and is erased as soon as the worker lets go of it.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Gathering,
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Partial,
        Self::Failed,
        Self::Cancelled,
    ];

    /// `true` if nothing more will happen to it.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Gathering | Self::Queued | Self::Running)
    }

    /// `true` if there are results.
    #[must_use]
    pub fn has_results(self) -> bool {
        matches!(self, Self::Done | Self::Partial)
    }

    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gathering => "gathering",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// End of a job: `ended.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its state for good.
    pub state: State,
    /// Why there are no results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, UTC.
    pub at: String,
    /// The same in seconds since 1970.
    pub at_secs: u64,
}

/// Windows of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WindowCount {
    /// Ended so far, failed ones included.
    pub done: u64,
    /// In the plan; 0 before the slide is planned.
    pub total: u64,
    /// Without a result.
    pub failed: u64,
}

/// A job as its client sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobView {
    /// Which.
    pub id: JobId,
    /// Its state.
    pub state: State,
    /// Why there are no results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The line it waits in.
    pub lane: Lane,
    /// Jobs before it in its line: 0 is the next to run. Only while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// Seconds until it ends, as estimated; absent while there is nothing to estimate from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<f64>,
    /// Its progress.
    pub windows: WindowCount,
    /// Cells found so far.
    pub cells: u64,
    /// When it was accepted, UTC.
    pub accepted: String,
    /// When it ended, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Results on their way to servers, by target.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pushes: BTreeMap<String, Push>,
    /// Paths to go on from here.
    pub links: Links,
}

/// Paths of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Links {
    /// This view.
    #[serde(rename = "self")]
    pub own: String,
    /// Events, as they happen.
    pub events: String,
    /// Results.
    pub result: String,
}

impl Links {
    /// Those of a job.
    #[must_use]
    pub fn of_job(id: JobId) -> Self {
        let own = format!("/v1/jobs/{id}");
        Self { events: format!("{own}/events"), result: format!("{own}/result"), own }
    }
}
