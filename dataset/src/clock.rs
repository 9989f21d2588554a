//! The current date and time, as outputs tell them.

use wsi_types::UtcTime;

/// Date and time of day, UTC: `2026-11-22 07:05 UTC`.
#[must_use]
pub fn now() -> String {
    date_and_time(UtcTime::now())
}

/// Date and time of day to the second, UTC, in the form of RFC 3339: `2026-11-22T07:05:59Z`.
#[must_use]
pub fn timestamp() -> String {
    rfc_3339(UtcTime::now())
}

fn rfc_3339(at: UtcTime) -> String {
    let ((year, month, day), (hour, minute, second)) = (at.date(), at.time_of_day());
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn date_and_time(at: UtcTime) -> String {
    let ((year, month, day), (hour, minute, _)) = (at.date(), at.time_of_day());
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_full() {
        let at = UtcTime::from_secs(1_795_330_805);
        assert_eq!(date_and_time(at), "2026-11-22 07:00 UTC");
        assert_eq!(rfc_3339(at), "2026-11-22T07:00:05Z");
    }
}
