//! Two bars on a terminal: the job, and the slide at work.

use std::{io, time::Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use engine::{Event, Totals};

use crate::plain::{plain, plain_name};

use super::{lines::line, pace::Pace, view::View};

/// Columns for the name of a slide: with the bar and the words a line has about 80.
const NAME_COLUMNS: usize = 16;

pub(super) struct Bars {
    screen: MultiProgress,
    job: ProgressBar,
    slide: ProgressBar,
}

impl Bars {
    pub(super) fn on(screen: MultiProgress) -> Self {
        let [job, slide] =
            ["slides", "windows"].map(|what| screen.add(ProgressBar::new(0).with_style(style(what))));
        Self { screen, job, slide }
    }
}

fn style(what: &str) -> ProgressStyle {
    let template = format!("{{prefix:>{NAME_COLUMNS}}} {{bar:16.cyan/blue}} {{pos}}/{{len}} {what}, {{msg}}");
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

impl View for Bars {
    fn show(&mut self, event: &Event, totals: &Totals, pace: &Pace) -> io::Result<()> {
        let now = Instant::now();
        match event {
            Event::JobStarted { slides, .. } => {
                self.job.set_length(*slides as u64);
                self.job.set_prefix("job");
            }
            Event::SlideStarted { name, windows, .. } => {
                self.slide.set_length(*windows as u64);
                self.slide.set_prefix(shortened(&plain_name(name), NAME_COLUMNS));
            }
            Event::JobFinished(_) => {
                self.slide.finish_and_clear();
                self.job.finish_and_clear();
            }
            _ => {}
        }
        if let Some(current) = pace.current() {
            self.slide.set_position(current.done as u64);
            self.slide.set_message(pace.of_slide(now));
        }
        self.job.set_position(totals.ended() as u64);
        self.job.set_message(pace.of_job(totals, now));
        line(event).map_or(Ok(()), |text| self.screen.println(plain(&text)))
    }
}

/// A job that ends with an error leaves no bars behind.
impl Drop for Bars {
    fn drop(&mut self) {
        // It can fail only when the terminal is gone.
        let _ = self.screen.clear();
    }
}

/// Returns the end of a long name, which tells slides apart better than its start.
fn shortened(name: &str, columns: usize) -> String {
    let count = name.chars().count();
    if count <= columns {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(count - columns + 1).collect();
    format!("…{tail}")
}
