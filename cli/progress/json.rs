//! One event per line on standard output, for log collectors.

use std::{
    io::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

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
    fn show(&mut self, event: &Event, _: &Totals, _: &Pace) -> io::Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let line = serde_json::to_string(&Line { time, event })?;
        writeln!(io::stdout().lock(), "{line}")
    }
}
