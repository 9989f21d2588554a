//! Messages while a job runs: to people, to log collectors, and to `slidemill status` in another terminal.

mod bars;
mod json;
mod lines;
mod log;
mod pace;
mod screen;
mod status;
mod view;

use std::{io, time::Instant};

use dataset::{Dataset, Outcome};
use engine::{Event, Totals, Watch};

pub use dataset::wording::{counted, fixed, grouped, span};
pub use lines::left_out;
pub use log::Log;
pub use pace::{SlideStatus, rate};
pub use screen::Screen;
pub use status::{JobState, JobStatus};

use pace::Pace;
use view::View;

/// A slide that somebody has to look after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its file name.
    pub name: String,
    /// The problem, in words.
    pub reason: String,
}

impl Problem {
    fn new(event: &Event) -> Option<Self> {
        let (name, reason) = match event {
            Event::SlideFailed { name, reason, .. } => (name, reason.clone()),
            Event::SlideFinished { name, outcome, failed_windows, .. } if *outcome != Outcome::Done => {
                (name, format!("incomplete, {} failed", counted(*failed_windows, "window")))
            }
            Event::SlideFinished { name, doubts, .. } if !doubts.is_empty() => {
                (name, format!("doubtful: {}", doubts.join("; ")))
            }
            _ => return None,
        };
        Some(Self { name: name.clone(), reason })
    }
}

/// Passes events on to the terminal, the log and the status file.
pub struct Progress {
    view: Box<dyn View>,
    screen: Screen,
    log: Log,
    problems: Vec<Problem>,
    status: status::StatusFile,
    /// `true` once the log says that messages are lost.
    is_loss_noted: bool,
    totals: Totals,
    pace: Pace,
    started: Instant,
}

impl Progress {
    /// Chooses bars on a terminal that can move its cursor, a line now and then elsewhere, JSON on request.
    #[must_use]
    pub fn new(json: bool, dataset: &Dataset) -> Self {
        let bars = indicatif::MultiProgress::new();
        let (view, screen): (Box<dyn View>, Screen) = if json {
            (Box::new(json::JsonLines), Screen::default())
        } else if bars.is_hidden() {
            (Box::new(lines::Lines::default()), Screen::default())
        } else {
            (Box::new(bars::Bars::on(bars.clone())), Screen::with_bars(bars))
        };
        let mut log = Log::open(dataset);
        log.begin();
        Self {
            view,
            screen,
            log,
            problems: Vec::new(),
            status: status::StatusFile::new(dataset),
            is_loss_noted: false,
            totals: Totals::default(),
            pace: Pace::new(Instant::now()),
            started: Instant::now(),
        }
    }

    /// Takes the size of each slide of the job on the disk, in bytes, by file name: time left is estimated
    /// from these.
    #[must_use]
    pub fn expecting(mut self, slides: impl Iterator<Item = (String, u64)>) -> Self {
        self.pace.expect(slides);
        self
    }

    /// The terminal, for other messages.
    #[must_use]
    pub fn screen(&self) -> Screen {
        self.screen.clone()
    }

    /// Notes once in the log that messages are lost: their reader is gone, or there is no room. The job goes
    /// on.
    fn note_lost(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_loss_noted, true) {
            self.log
                .line(&format!("what this job tells cannot be written, and is lost: {error}; it goes on"));
        }
    }

    /// The slides that somebody has to look after, in the order in which they ended.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Watch for Progress {
    fn tell(&mut self, event: &Event) {
        self.totals.elapsed_secs = self.started.elapsed().as_secs_f64();
        self.totals.note(event);
        if let Event::JobFinished(totals) = event {
            self.totals = *totals;
        }
        self.pace.note(event, Instant::now());
        self.problems.extend(Problem::new(event));
        if let Some(text) = lines::line(event) {
            self.log.line(&text);
        }
        if let Err(error) = self.view.show(event, &self.totals, &self.pace) {
            self.note_lost(&error);
        }
        self.status.note(event, &self.totals, &self.pace);
    }
}
