//! Events of a job, told while it runs.

use std::time::Instant;

use dataset::{Outcome, SlideId};
use serde::{Deserialize, Serialize};

/// Gets the events of a job, in order, on the thread that runs it.
pub trait Watch {
    /// Takes an event.
    fn tell(&mut self, event: &Event);
}

/// Ignores all events.
impl Watch for () {
    fn tell(&mut self, _: &Event) {}
}

/// Keeps events in a list.
impl Watch for Vec<Event> {
    fn tell(&mut self, event: &Event) {
        self.push(event.clone());
    }
}

/// Something that happened. As JSON each event is one line of `--json-logs` (see `docs/json-logs.md`); names
/// are left out of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The list is read and the model is loaded.
    JobStarted {
        /// Slides in the job.
        slides: usize,
        /// Name and version of the model.
        model: String,
        /// Device that the model runs on.
        device: String,
    },
    /// A note for the user about the list of slides, such as the parts of it that are not read, or about devices.
    Note {
        /// In words; no path.
        message: String,
    },
    /// A slide is planned; its windows come next.
    SlideStarted {
        /// Its id.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// Windows in its plan.
        windows: usize,
        /// Of these, done by an earlier run.
        resumed: usize,
        /// Tissue that the mask found.
        tissue_mm2: f64,
    },
    /// More windows of a slide are done.
    Windows {
        /// Its id.
        slide: SlideId,
        /// Done so far, failed ones included.
        done: usize,
        /// Failed so far.
        failed: usize,
        /// Windows in its plan.
        windows: usize,
        /// Cells that are final.
        cells: u64,
    },
    /// A slide ended with results.
    SlideFinished {
        /// Its id.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// Whole or partial.
        outcome: Outcome,
        /// Reasons to doubt its results all the same.
        doubts: Vec<String>,
        /// Cells written.
        cells: u64,
        /// Tissue analysed.
        analysed_mm2: f64,
        /// Windows without result.
        failed_windows: usize,
        /// Wall time.
        elapsed_secs: f64,
    },
    /// The part of a slide's windows that a job was asked for is done; a job on the whole slide ends it.
    SlabFinished {
        /// Its id.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// Such as `2/4`.
        slab: String,
        /// Windows in this part.
        windows: usize,
        /// Of these, without result.
        failed_windows: usize,
        /// Wall time.
        elapsed_secs: f64,
    },
    /// A slide was done before, by the same model and settings, or is a copy of another slide of the job.
    SlideSkipped {
        /// Its id.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// Reason that it is skipped, in words.
        reason: String,
        /// `true` for a copy; `slide` is then the id of both.
        copy: bool,
    },
    /// Another job is at work on the slide: this one comes back to it.
    SlideWaiting {
        /// Its id.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// The job that has it, in words.
        reason: String,
    },
    /// A slide is being copied to the folder of `--stage`, and none is at work. Told once a minute.
    SlideCopying {
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// Bytes that are copied.
        done: u64,
        /// All bytes of the slide.
        bytes: u64,
    },
    /// A slide ended without results.
    SlideFailed {
        /// Its id.
        slide: SlideId,
        /// File name, for the terminal only.
        #[serde(skip)]
        name: String,
        /// The step that failed, with found and expected; no path.
        reason: String,
    },
    /// A note for the user about a slide; the work goes on.
    Warning {
        /// Id of the slide.
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Slides with all windows.
    pub done: usize,
    /// Slides with missing windows.
    pub partial: usize,
    /// Slides without results.
    pub failed: usize,
    /// Slides of which a part is done.
    #[serde(default)]
    pub slabs: usize,
    /// Slides done before.
    pub skipped: usize,
    /// Copies of other slides of the job, which are not counted twice.
    #[serde(default)]
    pub copies: usize,
    /// Slides with results that are to be doubted.
    #[serde(default)]
    pub doubtful: usize,
    /// Cells written by this run.
    pub cells: u64,
    /// Tissue analysed by this run.
    pub analysed_mm2: f64,
    /// Wall time.
    pub elapsed_secs: f64,
    /// `true` if the job was stopped before its end.
    pub interrupted: bool,
}

impl Totals {
    /// Slides that have ended one way or another.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.done + self.partial + self.failed + self.slabs + self.skipped + self.copies
    }

    /// Adds an event up.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::SlideFinished { outcome, doubts, cells, analysed_mm2, .. } => {
                self.doubtful += usize::from(!doubts.is_empty());
                match outcome {
                    Outcome::Done => self.done += 1,
                    Outcome::Partial => self.partial += 1,
                    Outcome::Failed => self.failed += 1,
                }
                self.cells += cells;
                self.analysed_mm2 += analysed_mm2;
            }
            Event::SlabFinished { .. } => self.slabs += 1,
            Event::SlideSkipped { copy: false, .. } => self.skipped += 1,
            Event::SlideSkipped { copy: true, .. } => self.copies += 1,
            Event::SlideFailed { .. } => self.failed += 1,
            _ => {}
        }
    }
}

/// What a job left undone: the worst of its slides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Undone {
    /// Every slide has all its results.
    #[default]
    Nothing,
    /// A server or the network did not give what is missing: no slide is to blame.
    OutOfReach,
    /// Some slide is bad or incomplete.
    Bad,
}

impl Undone {
    /// That of a slide that is bad, if it is.
    pub(crate) fn bad(is_bad: bool) -> Self {
        if is_bad { Self::Bad } else { Self::Nothing }
    }

    /// Takes note of what is undone of one slide more.
    pub(crate) fn worsen(&mut self, slide: Self) {
        *self = (*self).max(slide);
    }
}

/// Adds up the events that it passes on.
pub(crate) struct Tally<'a> {
    watch: &'a mut dyn Watch,
    totals: Totals,
    started: Instant,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(watch: &'a mut dyn Watch) -> Self {
        Self { watch, totals: Totals::default(), started: Instant::now() }
    }

    /// Tells the end, and returns the sums.
    pub(crate) fn finish(mut self, interrupted: bool) -> Totals {
        self.totals.interrupted = interrupted;
        self.totals.elapsed_secs = self.started.elapsed().as_secs_f64();
        self.watch.tell(&Event::JobFinished(self.totals));
        self.totals
    }
}

impl Watch for Tally<'_> {
    fn tell(&mut self, event: &Event) {
        self.totals.note(event);
        self.watch.tell(event);
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

    #[test]
    fn totals_are_those_of_the_events_and_end_the_list() {
        let (id, name) = (SlideId::new("abc").unwrap(), String::new());
        let mut events = Vec::new();
        let mut tally = Tally::new(&mut events);
        let [before, copy] = [false, true].map(|copy| Event::SlideSkipped {
            slide: id.clone(),
            name: name.clone(),
            reason: String::new(),
            copy,
        });
        tally.tell(&before);
        tally.tell(&copy);
        tally.tell(&Event::SlideFinished {
            slide: id,
            name,
            doubts: Vec::new(),
            outcome: Outcome::Partial,
            cells: 7,
            analysed_mm2: 0.5,
            failed_windows: 1,
            elapsed_secs: 1.0,
        });
        let totals = tally.finish(true);
        assert_eq!((totals.ended(), totals.partial, totals.skipped, totals.copies), (3, 1, 1, 1));
        assert_eq!((totals.cells, &events[..2]), (7, &[before, copy][..]));
        assert_eq!(events.last(), Some(&Event::JobFinished(totals)));
        assert!(totals.interrupted);
    }
}
