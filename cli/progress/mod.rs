//! What is told while a job runs: to people, to log collectors, and to
//! `slidemill status` from another terminal.

mod bars;
mod json;
mod lines;
mod pace;
mod status;

use std::{io::IsTerminal as _, time::Instant};

use serde::Serialize;

pub use dataset::wording::{counted, grouped, span};
pub use pace::rate;
pub use status::{JobState, JobStatus, SlideStatus};

use pace::Pace;

use crate::{
    account::Outcome,
    dataset::{Dataset, SlideId},
};

/// Something that happened. With `--json-logs` each is one line on standard
/// output (see `docs/json-logs.md`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The list is read and the model is loaded.
    JobStarted {
        /// Slides in the job.
        slides: usize,
        /// Name and version of the model.
        model: String,
        /// What the model runs on.
        device: String,
    },
    /// A slide is planned; its windows come next.
    SlideStarted {
        /// Which.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// Windows in its plan.
        windows: usize,
        /// Of these, done by an earlier run.
        resumed: usize,
        /// Tissue the mask found.
        tissue_mm2: f64,
    },
    /// More windows of a slide are done.
    Windows {
        /// Which.
        slide: SlideId,
        /// Done so far, failed ones included.
        done: usize,
        /// Failed so far.
        failed: usize,
        /// In its plan.
        windows: usize,
        /// Cells that are final.
        cells: u64,
    },
    /// A slide ended with results.
    SlideFinished {
        /// Which.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// Whole or partial.
        outcome: Outcome,
        /// Cells written.
        cells: u64,
        /// Tissue analysed.
        analysed_mm2: f64,
        /// Windows without result.
        failed_windows: usize,
        /// Wall time.
        elapsed_secs: f64,
    },
    /// A slide was done before, by the same model and settings.
    SlideSkipped {
        /// Which.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// In words.
        reason: String,
    },
    /// Another run has the slide in hand: this one comes back to it.
    SlideWaiting {
        /// Which.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// Who has it.
        reason: String,
    },
    /// A slide ended without results.
    SlideFailed {
        /// Which.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// What was tried, found and expected; no path.
        reason: String,
    },
    /// Something a person should know; the work goes on.
    Warning {
        /// Of which slide.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// In words; no path.
        message: String,
    },
    /// The end, also of an interrupted job.
    JobFinished(Totals),
}

/// Sums over a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct Totals {
    /// Slides with all windows.
    pub done: usize,
    /// Slides with missing windows.
    pub partial: usize,
    /// Slides without results.
    pub failed: usize,
    /// Slides done before.
    pub skipped: usize,
    /// Cells written by this run.
    pub cells: u64,
    /// Tissue analysed by this run.
    pub analysed_mm2: f64,
    /// Wall time.
    pub elapsed_secs: f64,
    /// Whether the job was stopped before its end.
    pub interrupted: bool,
}

impl Totals {
    /// Slides that have ended one way or another.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.done + self.partial + self.failed + self.skipped
    }
}

/// One way of showing events.
trait View: Send {
    /// `totals` and `pace` have the event in them.
    fn show(&mut self, event: &Event, totals: &Totals, pace: &Pace);
}

/// Tells events to whoever watches.
pub struct Progress {
    view: Box<dyn View>,
    status: status::StatusFile,
    totals: Totals,
    pace: Pace,
    started: Instant,
}

impl Progress {
    /// Bars on a terminal, a line now and then without one, JSON on request.
    #[must_use]
    pub fn new(json: bool, dataset: &Dataset) -> Self {
        let view: Box<dyn View> = if json {
            Box::new(json::JsonLines)
        } else if std::io::stderr().is_terminal() {
            Box::new(bars::Bars::default())
        } else {
            Box::new(lines::Lines::default())
        };
        Self {
            view,
            status: status::StatusFile::of(dataset),
            totals: Totals::default(),
            pace: Pace::new(Instant::now()),
            started: Instant::now(),
        }
    }

    /// Shows an event and adds it up.
    pub fn tell(&mut self, event: &Event) {
        self.totals.elapsed_secs = self.started.elapsed().as_secs_f64();
        match event {
            Event::SlideFinished { outcome, cells, analysed_mm2, .. } => {
                match outcome {
                    Outcome::Done => self.totals.done += 1,
                    Outcome::Partial => self.totals.partial += 1,
                    Outcome::Failed => self.totals.failed += 1,
                }
                self.totals.cells += cells;
                self.totals.analysed_mm2 += analysed_mm2;
            }
            Event::SlideSkipped { .. } => self.totals.skipped += 1,
            Event::SlideFailed { .. } => self.totals.failed += 1,
            _ => {}
        }
        self.show(event);
    }

    fn show(&mut self, event: &Event) {
        self.pace.note(event, Instant::now());
        self.view.show(event, &self.totals, &self.pace);
        self.status.note(event, &self.totals, &self.pace);
    }

    /// Ends the job and gives its sums.
    pub fn finish(mut self, interrupted: bool) -> Totals {
        self.totals.interrupted = interrupted;
        self.totals.elapsed_secs = self.started.elapsed().as_secs_f64();
        let end = Event::JobFinished(self.totals);
        self.show(&end);
        self.totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_carry_ids_and_no_names() {
        let event = Event::SlideFailed {
            slide: SlideId::new("abc").unwrap(),
            name: "Miller John.svs".into(),
            reason: "no scale".into(),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"slide_failed","slide":"abc","reason":"no scale"}"#);
    }
}
