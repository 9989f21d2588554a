//! Plain lines where there is no terminal: one per slide and at most one a
//! minute between.

use std::{
    io,
    time::{Duration, Instant},
};

use dataset::{
    Outcome,
    wording::{counted, fixed, grouped, span},
};
use engine::{ByteSize, Event, Totals};

use crate::stderr::try_saying;

use super::{pace::Pace, view::View};

const QUIET: Duration = Duration::from_secs(60);

pub(super) struct Lines {
    last: Instant,
}

impl Default for Lines {
    fn default() -> Self {
        Self { last: Instant::now() }
    }
}

impl View for Lines {
    fn show(&mut self, event: &Event, totals: &Totals, pace: &Pace) -> io::Result<()> {
        let text = match event {
            Event::Windows { .. } if self.last.elapsed() < QUIET => return Ok(()),
            Event::Windows { .. } => {
                self.last = Instant::now();
                minute(totals, pace, self.last)
            }
            _ => line(event),
        };
        let place = match event {
            Event::SlideFinished { .. }
            | Event::SlabFinished { .. }
            | Event::SlideFailed { .. }
            | Event::SlideSkipped { .. } => {
                format!("[{}/{}] ", totals.ended(), pace.slides())
            }
            _ => String::new(),
        };
        text.map_or(Ok(()), |text| try_saying(format_args!("{place}{text}")))
    }
}

/// The line of a minute: the slide at work, then the job.
fn minute(totals: &Totals, pace: &Pace, now: Instant) -> Option<String> {
    let current = pace.current()?;
    let windows = counted(current.windows, "window");
    let of_slide = pace.of_slide(now);
    let separator = if of_slide.is_empty() { "" } else { ", " };
    Some(format!(
        "{}: {} of {windows}{separator}{of_slide}; job: {} of {}, {}",
        pace.name(),
        grouped(current.done as u64),
        totals.ended(),
        counted(pace.slides(), "slide"),
        pace.of_job(totals, now)
    ))
}

/// One event in one line of words, for a terminal or a log that stays in the laboratory.
pub(super) fn line(event: &Event) -> Option<String> {
    // A name may hold the end of a line, and must not make up another.
    words(event).map(|words| words.replace('\n', "\\n"))
}

fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::JobStarted { slides, model, device } => {
            format!("{} with {model} on {device}", counted(*slides, "slide"))
        }
        Event::SlideStarted { name, windows, resumed, tissue_mm2, .. } => {
            let resumed = if *resumed > 0 { format!(", {resumed} already done") } else { String::new() };
            format!(
                "{name}: {} mm² of tissue, {}{resumed}",
                fixed(*tissue_mm2, 2),
                counted(*windows, "window")
            )
        }
        Event::Note { message } => message.clone(),
        Event::Windows { .. } => return None,
        Event::SlideFinished {
            name,
            outcome,
            doubts,
            cells,
            analysed_mm2,
            failed_windows,
            elapsed_secs,
            ..
        } => {
            let doubtful = if doubts.is_empty() { "" } else { ", DOUBTFUL" };
            let partial = match outcome {
                Outcome::Done => String::new(),
                _ => format!(", INCOMPLETE: {} failed", counted(*failed_windows, "window")),
            };
            format!(
                "{name}: {} in {} mm², {}{partial}{doubtful}",
                counted(*cells as usize, "cell"),
                fixed(*analysed_mm2, 2),
                span(*elapsed_secs)
            )
        }
        Event::SlabFinished { name, slab, windows, failed_windows, elapsed_secs, .. } => {
            let failed =
                if *failed_windows > 0 { format!(", {failed_windows} failed") } else { String::new() };
            format!(
                "{name}: part {slab} done, {}{failed}, {}; the same command without --slab ends it",
                counted(*windows, "window"),
                span(*elapsed_secs)
            )
        }
        Event::SlideSkipped { name, reason, .. } => format!("{name}: skipped, {reason}"),
        Event::SlideWaiting { name, reason, .. } => format!("{name}: waiting, {reason}"),
        Event::SlideCopying { name, done, bytes } => {
            format!("{name}: copying, {} of {}", ByteSize(*done), ByteSize(*bytes))
        }
        Event::SlideFailed { name, reason, .. } => format!("{name}: FAILED: {reason}"),
        Event::Warning { name, message, .. } => format!("{name}: warning: {message}"),
        Event::JobFinished(totals) => summary(totals),
    })
}

/// Words for copies, after others; empty for none.
#[must_use]
pub fn left_out(copies: usize) -> String {
    if copies > 0 { format!(", {} left out", counted(copies, "copy")) } else { String::new() }
}

/// Last line of a job.
fn summary(totals: &Totals) -> String {
    let mut parts = vec![format!("{} done", counted(totals.done, "slide"))];
    for (count, word) in [
        (totals.slabs, "in part"),
        (totals.partial, "incomplete"),
        (totals.failed, "failed"),
        (totals.skipped, "done before"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let doubtful = match totals.doubtful {
        0 => String::new(),
        doubtful => format!(", {doubtful} with results to be doubted"),
    };
    let stopped = if totals.interrupted { "stopped: " } else { "" };
    format!(
        "{stopped}{}{}{doubtful}; {} in {} mm² of tissue, {}",
        parts.join(", "),
        left_out(totals.copies),
        counted(totals.cells as usize, "cell"),
        fixed(totals.analysed_mm2, 2),
        span(totals.elapsed_secs)
    )
}
