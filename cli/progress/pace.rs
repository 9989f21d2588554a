//! How fast a job goes, and how much longer it will take.

use std::time::Instant;

use super::{Event, SlideStatus, Totals, grouped, span};

/// Windows of this run without which nothing is said of the time left.
const FEWEST_WINDOWS: usize = 4;

/// What is known from the events so far.
#[derive(Debug)]
pub(super) struct Pace {
    slides: usize,
    since: Instant,
    current: Option<Current>,
}

/// The slide at work.
#[derive(Debug)]
struct Current {
    status: SlideStatus,
    name: String,
    /// Windows that an earlier run did.
    resumed: usize,
    tissue_mm2: f64,
    since: Instant,
}

impl Current {
    /// How much of it is done.
    fn share(&self) -> f64 {
        if self.status.windows == 0 { 1.0 } else { self.status.done as f64 / self.status.windows as f64 }
    }
}

impl Pace {
    /// Of a job that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { slides: 0, since: now, current: None }
    }

    /// Takes what happened at `now`.
    pub(super) fn note(&mut self, event: &Event, now: Instant) {
        match event {
            Event::JobStarted { slides, .. } => {
                self.slides = *slides;
                self.since = now;
            }
            Event::SlideStarted { slide, name, windows, resumed, tissue_mm2 } => {
                let status = SlideStatus {
                    slide: slide.clone(),
                    windows: *windows,
                    done: *resumed,
                    failed: 0,
                    cells: 0,
                };
                self.current = Some(Current {
                    status,
                    name: name.clone(),
                    resumed: *resumed,
                    tissue_mm2: *tissue_mm2,
                    since: now,
                });
            }
            Event::Windows { slide, done, failed, cells, .. } => {
                if let Some(current) = self.current.as_mut().filter(|current| current.status.slide == *slide)
                {
                    (current.status.done, current.status.failed, current.status.cells) =
                        (*done, *failed, *cells);
                }
            }
            // The next one may have begun before this one was committed.
            Event::SlideFinished { slide, .. } | Event::SlideFailed { slide, .. } => {
                self.current.take_if(|current| current.status.slide == *slide);
            }
            Event::JobFinished(_) => self.current = None,
            _ => {}
        }
    }

    /// Slides in the job.
    pub(super) fn slides(&self) -> usize {
        self.slides
    }

    /// The slide at work.
    pub(super) fn current(&self) -> Option<&SlideStatus> {
        self.current.as_ref().map(|current| &current.status)
    }

    /// File name of the slide at work, for the terminal only.
    pub(super) fn name(&self) -> &str {
        self.current.as_ref().map_or("", |current| &current.name)
    }

    /// Cells so far, those of the slide at work included.
    pub(super) fn cells(&self, totals: &Totals) -> u64 {
        totals.cells + self.current().map_or(0, |current| current.cells)
    }

    /// Tissue so far, in mm², that of the slide at work included as if its windows
    /// had equal shares.
    pub(super) fn mm2(&self, totals: &Totals) -> f64 {
        totals.analysed_mm2
            + self.current.as_ref().map_or(0.0, |current| current.tissue_mm2 * current.share())
    }

    /// Windows of the slide at work per second, since this run began it.
    pub(super) fn windows_per_sec(&self, now: Instant) -> Option<f64> {
        let current = self.current.as_ref()?;
        let (here, secs) = (current.status.done - current.resumed, (now - current.since).as_secs_f64());
        (here >= FEWEST_WINDOWS && secs > 0.0).then(|| here as f64 / secs)
    }

    /// Seconds until all windows of the slide at work are done.
    pub(super) fn slide_left_secs(&self, now: Instant) -> Option<f64> {
        let current = self.current()?;
        Some((current.windows - current.done.min(current.windows)) as f64 / self.windows_per_sec(now)?)
    }

    /// Seconds until the job ends, if the slides to come are like those so far; not
    /// less than for the slide at work.
    pub(super) fn job_left_secs(&self, totals: &Totals, now: Instant) -> Option<f64> {
        let (share, here) = self.current.as_ref().map_or((0.0, 0.0), |current| {
            let windows = current.status.windows.max(1) as f64;
            (current.share(), (current.status.done - current.resumed) as f64 / windows)
        });
        // Slides that failed or were done before took no time.
        let worked = (totals.done + totals.partial) as f64 + here;
        let to_come = (self.slides as f64 - totals.ended() as f64 - share).max(0.0);
        let enough = totals.done + totals.partial > 0 || self.windows_per_sec(now).is_some();
        let at_least = self.slide_left_secs(now).unwrap_or_default();
        (enough && worked > 0.0).then(|| ((now - self.since).as_secs_f64() / worked * to_come).max(at_least))
    }

    /// The job in words: `2 h 05 min left, 12 345 cells in 4.56 mm²`.
    pub(super) fn of_job(&self, totals: &Totals, now: Instant) -> String {
        let left =
            self.job_left_secs(totals, now).map_or_else(String::new, |secs| format!("{} left, ", span(secs)));
        format!("{left}{} cells in {:.2} mm²", grouped(self.cells(totals)), self.mm2(totals))
    }

    /// The slide at work in words: `3.2 windows/s, 12 s left, 2 FAILED`.
    pub(super) fn of_slide(&self, now: Instant) -> String {
        let rate = self.windows_per_sec(now).map(rate);
        let left = self.slide_left_secs(now).map(|secs| format!("{} left", span(secs)));
        let failed = self.current().map_or(0, |current| current.failed);
        let failed = (failed > 0).then(|| format!("{failed} FAILED"));
        [rate, left, failed].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Windows per second in words; slow ones by the minute.
#[must_use]
pub fn rate(windows_per_sec: f64) -> String {
    if windows_per_sec < 1.0 {
        format!("{:.1} windows/min", windows_per_sec * 60.0)
    } else {
        format!("{windows_per_sec:.1} windows/s")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dataset::{Outcome, SlideId};

    use super::*;

    fn slide(name: &str) -> SlideId {
        SlideId::new(name).unwrap()
    }

    fn started(name: &str, windows: usize, resumed: usize) -> Event {
        let name_of_file = format!("{name}.svs");
        Event::SlideStarted { slide: slide(name), name: name_of_file, windows, resumed, tissue_mm2: 2.0 }
    }

    fn windows(name: &str, done: usize) -> Event {
        Event::Windows { slide: slide(name), done, failed: 1, windows: 40, cells: 700 }
    }

    #[test]
    fn what_is_left_follows_from_what_this_run_did() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut pace = Pace::new(start);
        let mut totals = Totals::default();
        pace.note(&Event::JobStarted { slides: 4, model: String::new(), device: String::new() }, start);
        assert_eq!(pace.of_job(&totals, at(1)), "0 cells in 0.00 mm²");
        // Half of it was done before.
        pace.note(&started("a", 40, 20), start);
        pace.note(&windows("a", 30), at(10));
        assert_eq!(pace.of_slide(at(10)), "1.0 windows/s, 10 s left, 1 FAILED");
        assert_eq!((pace.cells(&totals), pace.mm2(&totals)), (700, 1.5));
        // A quarter of a slide in 10 s; three and a quarter are to come.
        assert_eq!(pace.job_left_secs(&totals, at(10)), Some(130.0));
        // The next slide begins before this one is committed.
        pace.note(&started("b", 40, 0), at(20));
        (totals.done, totals.cells, totals.analysed_mm2) = (1, 1400, 2.0);
        let finished = Event::SlideFinished {
            slide: slide("a"),
            name: String::new(),
            doubts: Vec::new(),
            outcome: Outcome::Done,
            cells: 1400,
            analysed_mm2: 2.0,
            failed_windows: 0,
            elapsed_secs: 20.0,
        };
        pace.note(&finished, at(21));
        assert_eq!((pace.name(), pace.of_slide(at(21)).as_str()), ("b.svs", ""));
        assert_eq!(pace.job_left_secs(&totals, at(21)), Some(63.0));
        // The last one is slower than those before it.
        pace.note(&windows("b", 4), at(60));
        totals.done = 3;
        assert_eq!(pace.job_left_secs(&totals, at(60)), pace.slide_left_secs(at(60)));
        assert_eq!(rate(0.25), "15.0 windows/min");
    }
}
