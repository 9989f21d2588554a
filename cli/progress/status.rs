//! `OUT/.slidemill/status`: the state of each job, for `slidemill status`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dataset::{Dataset, host_name};
use engine::{Event, Totals};
use serde::{Deserialize, Serialize};

use super::pace::{Pace, SlideStatus};

/// Shortest time between two writes of the file, except at the end.
const INTERVAL: Duration = Duration::from_secs(2);
/// A job that was silent for this long is gone.
const FORGOTTEN_SECS: f64 = 86_400.0;

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// At work (or killed since: see the time of the last update).
    Running,
    /// Ended by itself.
    Finished,
    /// Stopped by a signal.
    Interrupted,
}

/// The job, as it was last written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Running, finished or interrupted.
    pub state: JobState,
    /// Process id on `host`.
    pub process: u32,
    /// Machine it runs on.
    pub host: String,
    /// Time at which this file was written, seconds since 1970, UTC.
    pub updated: f64,
    /// Slides in the job.
    pub slides: usize,
    /// Sums so far.
    pub totals: Totals,
    /// The slide at work.
    pub current: Option<SlideStatus>,
    /// Windows of that slide per second, once it is known.
    #[serde(default)]
    pub windows_per_sec: Option<f64>,
    /// Seconds until the job ends, if the slides to come are like those so far.
    #[serde(default)]
    pub left_secs: Option<f64>,
}

impl JobStatus {
    /// Reads the files that the jobs left in a folder, in order of host and process.
    ///
    /// # Errors
    ///
    /// When the folder does not exist.
    pub fn read_all(folder: &Path) -> std::io::Result<Vec<Self>> {
        // A power cut may have left a file incomplete.
        let texts = files(folder)?.into_iter().filter_map(|path| std::fs::read(path).ok());
        Ok(texts.filter_map(|text| serde_json::from_slice(&text).ok()).collect())
    }

    /// Seconds since the file was written.
    #[must_use]
    pub fn age_secs(&self) -> f64 {
        (now() - self.updated).max(0.0)
    }
}

/// Keeps the file up to date. A status that cannot be written never stops a run: problems with the disk also
/// show in the dataset, where they matter.
pub(super) struct StatusFile {
    dataset: Dataset,
    path: PathBuf,
    status: JobStatus,
    written: Option<Instant>,
}

impl StatusFile {
    /// Makes the status of a job that writes to `dataset`; removes those of jobs that have ended.
    pub(super) fn new(dataset: &Dataset) -> Self {
        let folder = dataset.status();
        for path in files(&folder).unwrap_or_default() {
            let status = std::fs::read(&path).ok().and_then(|b| serde_json::from_slice::<JobStatus>(&b).ok());
            if status
                .is_none_or(|status| status.state != JobState::Running || status.age_secs() > FORGOTTEN_SECS)
            {
                let _ = std::fs::remove_file(&path);
            }
        }
        let path = folder.join(format!("{}.json", dataset.writer()));
        let status = JobStatus {
            state: JobState::Running,
            process: std::process::id(),
            host: host_name(),
            updated: now(),
            slides: 0,
            totals: Totals::default(),
            current: None,
            windows_per_sec: None,
            left_secs: None,
        };
        Self { dataset: dataset.clone(), path, status, written: None }
    }

    pub(super) fn note(&mut self, event: &Event, totals: &Totals, pace: &Pace) {
        let status = &mut self.status;
        status.totals = *totals;
        status.slides = pace.slides();
        status.current = pace.current().cloned();
        let at = Instant::now();
        (status.windows_per_sec, status.left_secs) = (pace.windows_per_sec(at), pace.job_left_secs(at));
        if let Event::JobFinished(totals) = event {
            status.left_secs = None;
            status.state = if totals.interrupted { JobState::Interrupted } else { JobState::Finished };
        }
        // Small slides begin and end within milliseconds; writing a file takes longer.
        let is_end = matches!(event, Event::JobFinished(_));
        if !is_end && self.written.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        self.status.updated = now();
        if let Ok(text) = serde_json::to_vec_pretty(&self.status) {
            // After a power cut no job is left whose status could be asked for.
            let _ = self.dataset.write_for_now(&self.path, &text);
        }
        self.written = Some(Instant::now());
    }
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
