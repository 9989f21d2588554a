//! Plain lines where there is no terminal: one per slide and at most one a
//! minute between.

use std::time::{Duration, Instant};

use super::{Event, Totals, View, counted, grouped, span};
use crate::account::Outcome;

const QUIET: Duration = Duration::from_secs(60);

pub(super) struct Lines {
    last: Instant,
    slides: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self { last: Instant::now(), slides: 0 }
    }
}

impl View for Lines {
    fn show(&mut self, event: &Event, totals: &Totals) {
        if let Event::JobStarted { slides, .. } = event {
            self.slides = *slides;
        }
        if let Event::Windows { .. } = event {
            if self.last.elapsed() < QUIET {
                return;
            }
            self.last = Instant::now();
        }
        if let Some(text) = line(event) {
            let place = match event {
                Event::SlideFinished { .. } | Event::SlideFailed { .. } | Event::SlideSkipped { .. } => {
                    format!("[{}/{}] ", totals.ended(), self.slides)
                }
                _ => String::new(),
            };
            eprintln!("{place}{text}");
        }
    }
}

/// One event in words, for a terminal or a log that stays in the laboratory.
pub(super) fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::JobStarted { slides, model, device } => {
            format!("{} with {model} on {device}", counted(*slides, "slide"))
        }
        Event::SlideStarted { name, windows, resumed, tissue_mm2, .. } => {
            let resumed = if *resumed > 0 { format!(", {resumed} already done") } else { String::new() };
            format!("{name}: {tissue_mm2:.2} mm² of tissue, {}{resumed}", counted(*windows, "window"))
        }
        Event::Windows { slide, done, windows, cells, .. } => {
            format!("{slide}: {done} of {}, {} cells so far", counted(*windows, "window"), grouped(*cells))
        }
        Event::SlideFinished { name, outcome, cells, analysed_mm2, failed_windows, elapsed_secs, .. } => {
            let partial = match outcome {
                Outcome::Done => String::new(),
                _ => format!(", INCOMPLETE: {} failed", counted(*failed_windows, "window")),
            };
            format!(
                "{name}: {} cells in {analysed_mm2:.2} mm², {}{partial}",
                grouped(*cells),
                span(*elapsed_secs)
            )
        }
        Event::SlideSkipped { name, reason, .. } => format!("{name}: skipped, {reason}"),
        Event::SlideWaiting { name, reason, .. } => format!("{name}: waiting, {reason}"),
        Event::SlideFailed { name, reason, .. } => format!("{name}: FAILED: {reason}"),
        Event::Warning { message, .. } => format!("warning: {message}"),
        Event::JobFinished(totals) => summary(totals),
    })
}

/// The last line of a job.
fn summary(totals: &Totals) -> String {
    let mut parts = vec![format!("{} done", counted(totals.done, "slide"))];
    for (count, word) in
        [(totals.partial, "incomplete"), (totals.failed, "failed"), (totals.skipped, "done before")]
    {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let stopped = if totals.interrupted { "stopped: " } else { "" };
    format!(
        "{stopped}{}; {} cells in {:.2} mm² of tissue, {}",
        parts.join(", "),
        grouped(totals.cells),
        totals.analysed_mm2,
        span(totals.elapsed_secs)
    )
}
