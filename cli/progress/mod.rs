//! What is told while a job runs: to people, to log collectors, and to
//! `slidemill status` from another terminal.

mod bars;
mod json;
mod lines;
mod pace;
mod status;

use std::{io::IsTerminal as _, time::Instant};

use dataset::Dataset;
use engine::{Event, Totals, Watch};

pub use dataset::wording::{counted, grouped, span};
pub use pace::rate;
pub use status::{JobState, JobStatus, SlideStatus};

use pace::Pace;

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
            status: status::StatusFile::new(dataset),
            totals: Totals::default(),
            pace: Pace::new(Instant::now()),
            started: Instant::now(),
        }
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
        self.view.show(event, &self.totals, &self.pace);
        self.status.note(event, &self.totals, &self.pace);
    }
}
