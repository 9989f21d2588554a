//! Time for which a slide is worked on.

use std::time::{Duration, Instant};

/// The time spent on a slide. Waiting does not count: a slide is prepared while the one before it is at work,
/// and waits for its turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkTime {
    spent: Duration,
    /// Start of the current work; `None` while it waits.
    since: Option<Instant>,
}

impl WorkTime {
    /// Starts the time, as work begins.
    pub(crate) fn start() -> Self {
        Self { spent: Duration::ZERO, since: Some(Instant::now()) }
    }

    /// Stops the time, as the slide waits from now on.
    pub(crate) fn pause(&mut self) {
        self.spent = self.so_far(Instant::now());
        self.since = None;
    }

    /// Goes on with the time, as the slide no longer waits.
    pub(crate) fn resume(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Seconds of work so far.
    pub(crate) fn secs(&self) -> f64 {
        self.so_far(Instant::now()).as_secs_f64()
    }

    fn so_far(&self, now: Instant) -> Duration {
        self.spent + self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small slide after a large one seemed to take as long as the large one.
    #[test]
    fn waiting_does_not_count() {
        let now = Instant::now();
        let waits = WorkTime { spent: Duration::from_secs(3), since: None };
        assert_eq!(waits.so_far(now + Duration::from_secs(3600)), Duration::from_secs(3));
        let works = WorkTime { since: Some(now), ..waits };
        assert_eq!(works.so_far(now + Duration::from_secs(4)), Duration::from_secs(7));
        let mut time = works;
        time.resume();
        assert_eq!(time.since, Some(now), "it does not begin twice");
        time.pause();
        assert!(time.since.is_none() && time.spent >= Duration::from_secs(3));
    }
}
