//! Times of the calendar.

use std::time::{SystemTime, UNIX_EPOCH};

/// A second of the calendar from 1970 on, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(u64);

impl UtcTime {
    /// The time that the clock of this machine shows.
    #[must_use]
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// The time a number of seconds after the beginning of 1970, leap seconds left out.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Seconds since the beginning of 1970, leap seconds left out.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0
    }

    /// Hour, minute and second.
    #[must_use]
    pub const fn time_of_day(self) -> (u64, u64, u64) {
        (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60)
    }

    /// Year, month and day in the Gregorian calendar: years and months are
    /// counted from a 1 March, so that the leap day comes last.
    #[must_use]
    pub const fn date(self) -> (u64, u64, u64) {
        const ERA: u64 = 146_097;
        // 719468 days lie between 0000-03-01 and 1970-01-01.
        let days = self.0 / 86_400 + 719_468;
        let (era, of_era) = (days / ERA, days % ERA);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + later, month, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (secs, date, time) in [
            (0, (1970, 1, 1), (0, 0, 0)),
            (951_782_399, (2000, 2, 28), (23, 59, 59)),
            (951_782_400, (2000, 2, 29), (0, 0, 0)),
            (1_795_330_861, (2026, 11, 22), (7, 1, 1)),
            (4_107_542_400, (2100, 3, 1), (0, 0, 0)),
        ] {
            let told = UtcTime::from_secs(secs);
            assert_eq!((told.date(), told.time_of_day()), (date, time));
        }
    }
}
