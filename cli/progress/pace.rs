//! Speed of a job, and the time that it will still take.

use std::{collections::BTreeMap, time::Instant};

use dataset::{
    SlideId,
    wording::{counted, fixed, span},
};
use engine::{Event, Totals};
use serde::{Deserialize, Serialize};

/// Number of windows of this run before which no time left is given.
const FEWEST_WINDOWS: usize = 4;

/// The slide at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlideStatus {
    /// Its id.
    pub slide: SlideId,
    /// Windows in its plan.
    pub windows: usize,
    /// Windows done so far.
    pub done: usize,
    /// Windows that failed so far.
    pub failed: usize,
    /// Final cells so far.
    pub cells: u64,
}

/// Facts known from the events so far.
#[derive(Debug)]
pub(super) struct Pace {
    slides: usize,
    since: Instant,
    current: Option<Current>,
    to_come: ToCome,
    /// Tissue, in mm², that this run analysed on the slides before the one at work.
    worked_mm2: f64,
}

/// The slides that have not begun, whose tissue is estimated from the sizes of their files.
#[derive(Debug, Default)]
struct ToCome {
    /// Sizes by file name; slides with the same name are taken in any order.
    bytes: BTreeMap<String, Vec<u64>>,
    left_bytes: u64,
    /// Size of the slides that began; with their tissue it gives mm² per byte.
    begun_bytes: u64,
    begun_mm2: f64,
}

impl ToCome {
    /// Makes as many slides with unknown sizes, which count as equally large.
    fn alike(slides: usize) -> Self {
        Self { left_bytes: slides as u64, ..Self::default() }
    }

    /// Takes a slide out, as it is no longer to come; returns its bytes.
    fn take(&mut self, name: &str) -> u64 {
        let bytes = if self.bytes.is_empty() { Some(1) } else { self.bytes.get_mut(name).and_then(Vec::pop) };
        let bytes = bytes.unwrap_or_default();
        self.left_bytes = self.left_bytes.saturating_sub(bytes);
        bytes
    }

    /// Tissue expected in the slides to come.
    fn mm2(&self) -> f64 {
        self.left_bytes as f64 * self.begun_mm2 / self.begun_bytes.max(1) as f64
    }
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
    /// Share of its windows that are done.
    fn share(&self) -> f64 {
        self.share_of(self.status.done)
    }

    /// Tissue that this run has analysed when `done` windows are done, in mm².
    fn worked_mm2(&self, done: usize) -> f64 {
        self.tissue_mm2 * (self.share_of(done) - self.share_of(self.resumed))
    }

    fn share_of(&self, windows: usize) -> f64 {
        if self.status.windows == 0 { 1.0 } else { windows as f64 / self.status.windows as f64 }
    }
}

impl Pace {
    /// Makes the pace of a job that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { slides: 0, since: now, current: None, to_come: ToCome::default(), worked_mm2: 0.0 }
    }

    /// Takes the size of each slide on the disk, in bytes, by file name.
    pub(super) fn expect(&mut self, slides: impl Iterator<Item = (String, u64)>) {
        for (name, bytes) in slides {
            self.to_come.left_bytes += bytes;
            self.to_come.bytes.entry(name).or_default().push(bytes);
        }
        // Where no size is known, as of slides that all lie on servers, they count as equally large.
        if self.to_come.left_bytes == 0 {
            self.to_come.bytes.clear();
        }
    }

    /// Counts the slide at work as analysed: it has no window left.
    fn close(&mut self) {
        if let Some(current) = self.current.take() {
            self.worked_mm2 += current.worked_mm2(current.status.windows);
        }
    }

    /// Takes an event that happened at `now`.
    pub(super) fn note(&mut self, event: &Event, now: Instant) {
        match event {
            Event::JobStarted { slides, .. } => {
                self.slides = *slides;
                self.since = now;
                if self.to_come.bytes.is_empty() {
                    self.to_come = ToCome::alike(*slides);
                }
            }
            Event::SlideStarted { slide, name, windows, resumed, tissue_mm2 } => {
                // The one before may not be committed yet.
                self.close();
                self.to_come.begun_bytes += self.to_come.take(name);
                self.to_come.begun_mm2 += tissue_mm2;
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
            Event::SlideFinished { slide, .. } | Event::SlabFinished { slide, .. }
                if self.is_current(slide) =>
            {
                self.close();
            }
            Event::SlideFailed { slide, .. } if self.is_current(slide) => self.current = None,
            // It never began.
            Event::SlideSkipped { name, .. } | Event::SlideFailed { name, .. } => {
                self.to_come.take(name);
            }
            Event::JobFinished(_) => self.close(),
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

    /// Tissue so far, in mm², with that of the slide at work, as if all its windows had equal shares.
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

    fn is_current(&self, slide: &SlideId) -> bool {
        self.current.as_ref().is_some_and(|current| current.status.slide == *slide)
    }

    /// Seconds until the job ends, if the tissue to come takes as long as that so far; not less than for the
    /// slide at work.
    pub(super) fn job_left_secs(&self, now: Instant) -> Option<f64> {
        let current = self.current.as_ref();
        let at_work = current.map_or(0.0, |current| current.worked_mm2(current.status.done));
        let left = current.map_or(0.0, |current| current.tissue_mm2 * (1.0 - current.share()));
        let worked = self.worked_mm2 + at_work;
        let is_enough = self.worked_mm2 > 0.0 || self.windows_per_sec(now).is_some();
        let at_least = self.slide_left_secs(now).unwrap_or_default();
        let per_mm2 = (now - self.since).as_secs_f64() / worked;
        (is_enough && worked > 0.0).then(|| (per_mm2 * (left + self.to_come.mm2())).max(at_least))
    }

    /// The job in words: `2 h 05 min left, 12 345 cells in 4.56 mm²`.
    pub(super) fn of_job(&self, totals: &Totals, now: Instant) -> String {
        let left = self.job_left_secs(now).map_or_else(String::new, |secs| format!("{} left, ", span(secs)));
        format!(
            "{left}{} in {} mm²",
            counted(self.cells(totals) as usize, "cell"),
            fixed(self.mm2(totals), 2)
        )
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

/// Windows per second in words; per minute if they are slow.
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

    fn skipped(name: &str) -> Event {
        Event::SlideSkipped {
            slide: slide(name),
            name: format!("{name}.svs"),
            reason: String::new(),
            copy: false,
        }
    }

    /// A biopsy made a hundred resections seem to take as long as itself.
    #[test]
    fn time_left_is_that_of_the_area_that_is_left() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut pace = Pace::new(start);
        let sizes = [("small.svs", 10), ("large.svs", 1000), ("done.svs", 5000)];
        pace.expect(sizes.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
        pace.note(&Event::JobStarted { slides: 3, model: String::new(), device: String::new() }, start);
        pace.note(&started("small", 10, 0), start);
        pace.note(&windows("small", 10), at(10));
        pace.note(&skipped("done"), at(10));
        // 10 bytes with 2 mm² took 10 s; 1000 bytes are to come.
        assert_eq!(pace.job_left_secs(at(10)), Some(1000.0));
        // It has less tissue than its size suggested.
        pace.note(&started("large", 40, 0), at(10));
        assert_eq!(pace.job_left_secs(at(10)), Some(10.0));
    }

    #[test]
    fn what_is_left_follows_from_what_this_run_did() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut pace = Pace::new(start);
        let totals = Totals::default();
        pace.note(&Event::JobStarted { slides: 4, model: String::new(), device: String::new() }, start);
        assert_eq!(pace.of_job(&totals, at(1)), "0 cells in 0.00 mm²");
        // Half of it was done before.
        pace.note(&started("a", 40, 20), start);
        pace.note(&windows("a", 30), at(10));
        assert_eq!(pace.of_slide(at(10)), "1.0 windows/s, 10 s left, 1 FAILED");
        assert_eq!((pace.cells(&totals), pace.mm2(&totals)), (700, 1.5));
        // A quarter of a slide in 10 s; three and a quarter are to come.
        assert_eq!(pace.job_left_secs(at(10)), Some(130.0));
        // The next slide begins before this one is committed.
        pace.note(&started("b", 40, 0), at(20));
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
        // Half a slide in 21 s; three are to come.
        assert_eq!(pace.job_left_secs(at(21)), Some(126.0));
        // The last one is slower than those before it.
        ["c", "d"].iter().for_each(|name| pace.note(&skipped(name), at(21)));
        pace.note(&windows("b", 4), at(400));
        assert_eq!(pace.job_left_secs(at(400)), pace.slide_left_secs(at(400)));
        assert_eq!(rate(0.25), "15.0 windows/min");
    }
}
