//! Durations of jobs, learnt from those that ended.

use std::time::Duration;

/// Seconds per megapixel in one lane.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace(Option<f64>);

impl Pace {
    /// Takes a job into account that ended; later ones count more.
    pub(crate) fn note(&mut self, mpx: f64, took: Duration) {
        const SHARE_OF_THE_LAST: f64 = 0.3;
        if mpx > 0.0 {
            let last = took.as_secs_f64() / mpx;
            self.0 = Some(self.0.map_or(last, |before| before + SHARE_OF_THE_LAST * (last - before)));
        }
    }

    /// Seconds that a job of this size takes; `None` before one has ended.
    pub(crate) fn secs(&self, mpx: f64) -> Option<f64> {
        Some(self.0? * mpx)
    }
}

/// A job at work, as far as it shows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AtWork {
    /// Since it began.
    pub(crate) for_secs: f64,
    /// Windows that ended since then.
    pub(crate) ended: u64,
    /// Windows to come.
    pub(crate) left: u64,
    /// Megapixels of its slide.
    pub(crate) mpx: f64,
}

impl AtWork {
    /// Seconds until it ends: from its own windows, or from jobs before it as long as it has none.
    pub(crate) fn secs_left(&self, pace: Pace) -> Option<f64> {
        if self.ended > 0 {
            return Some(self.for_secs / self.ended as f64 * self.left as f64);
        }
        Some((pace.secs(self.mpx)? - self.for_secs).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_from_own_windows_or_from_other_jobs_or_not_at_all() {
        let mut pace = Pace::default();
        let begun = AtWork { for_secs: 2.0, mpx: 10.0, ..AtWork::default() };
        assert_eq!(begun.secs_left(pace), None);
        pace.note(10.0, Duration::from_secs(5));
        assert_eq!((pace.secs(4.0), begun.secs_left(pace)), (Some(2.0), Some(3.0)));
        let half = AtWork { ended: 4, left: 4, ..begun };
        assert_eq!(half.secs_left(pace), Some(2.0));
        pace.note(10.0, Duration::from_secs(15));
        assert!(pace.secs(10.0).is_some_and(|secs| secs > 5.0 && secs < 15.0));
        pace.note(0.0, Duration::from_secs(99));
        assert!(pace.secs(10.0).is_some_and(|secs| secs < 15.0), "nothing is learnt of a slide without size");
    }
}
