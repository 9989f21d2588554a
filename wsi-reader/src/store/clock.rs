//! Times as headers have them.

use wsi_types::UtcTime;

/// A time such as `Fri, 26 Jun 2015 23:39:12 GMT`.
pub(super) fn http_date(at: UtcTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let weekday = DAYS[(at.secs() / 86_400 % 7) as usize];
    let (year, month, day) = at.date();
    let month = MONTHS[(month - 1) as usize];
    let (hour, minute, second) = at.time_of_day();
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Says what two clocks show, where their difference may be the reason of a refusal.
pub(super) fn clocks(theirs: Option<&str>) -> String {
    let theirs = theirs.unwrap_or("another time");
    format!("its clock shows {theirs}, that of this machine {}", http_date(UtcTime::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_headers() {
        for (secs, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_435_361_952, "Fri, 26 Jun 2015 23:39:12 GMT"),
        ] {
            assert_eq!(http_date(UtcTime::from_secs(secs)), expected);
        }
    }
}
