//! Two bars on a terminal: the job, and the slide at work.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Event, Totals, View, grouped, lines::line};

pub(super) struct Bars {
    screen: MultiProgress,
    job: ProgressBar,
    slide: ProgressBar,
}

impl Default for Bars {
    fn default() -> Self {
        let screen = MultiProgress::new();
        let job = screen.add(ProgressBar::new(0).with_style(style("{pos}/{len} slides  {msg}")));
        let slide = screen
            .add(ProgressBar::new(0).with_style(style("{pos}/{len} windows  {msg}  {per_sec}  {eta} left")));
        Self { screen, job, slide }
    }
}

fn style(tail: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{{prefix:>24}} {{bar:24.cyan/blue}} {tail}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

impl View for Bars {
    fn show(&mut self, event: &Event, totals: &Totals) {
        match event {
            Event::JobStarted { slides, .. } => {
                self.job.set_length(*slides as u64);
                self.job.set_prefix("job");
            }
            Event::SlideStarted { name, windows, resumed, .. } => {
                self.slide.reset();
                self.slide.set_length(*windows as u64);
                self.slide.set_position(*resumed as u64);
                self.slide.reset_eta();
                self.slide.set_prefix(shortened(name, 24));
                return;
            }
            Event::Windows { done, failed, cells, .. } => {
                self.slide.set_position(*done as u64);
                let failed = if *failed > 0 { format!(", {failed} FAILED") } else { String::new() };
                self.slide.set_message(format!("{} cells final{failed}", grouped(*cells)));
                return;
            }
            Event::JobFinished(_) => {
                self.slide.finish_and_clear();
                self.job.finish_and_clear();
            }
            _ => {}
        }
        self.job.set_position(totals.ended() as u64);
        self.job.set_message(format!("{} cells in {:.2} mm²", grouped(totals.cells), totals.analysed_mm2));
        if let Some(text) = line(event) {
            // Printing above the bars can fail only when the terminal is gone.
            let _ = self.screen.println(text);
        }
    }
}

/// The end of a long name, which tells slides apart better than its start.
fn shortened(name: &str, columns: usize) -> String {
    let count = name.chars().count();
    if count <= columns {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(count - columns + 1).collect();
    format!("…{tail}")
}
