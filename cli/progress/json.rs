//! One event per line on standard output, for log collectors.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Event, Totals};
use serde::Serialize;

use super::{pace::Pace, view::View};

pub(super) struct JsonLines;

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970, UTC.
    time: f64,
    #[serde(flatten)]
    event: &'a Event,
}

impl View for JsonLines {
    fn show(&mut self, event: &Event, _: &Totals, _: &Pace) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        if let Ok(line) = serde_json::to_string(&Line { time, event }) {
            println!("{line}");
        }
    }
}
