//! Sizes in bytes, as typed and as shown.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// A size in bytes: `800M`, `2G`, `1.5GiB`; powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        bytes_of(text)
            .filter(|bytes| bytes.is_finite() && *bytes >= 1.0)
            .map(|bytes| Self(bytes as u64))
            .ok_or_else(|| format!("{text:?} is not a size, expected a number with K, M, G or T such as 2G"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "B");
        for larger in ["kB", "MB", "GB", "TB"] {
            if value < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, larger);
        }
        if unit == "B" { write!(f, "{value} B") } else { write!(f, "{value:.1} {unit}") }
    }
}

/// Parses a number with a unit; returns bytes.
fn bytes_of(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].trim_end_matches("iB").trim_end_matches('B') {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        _ => return None,
    };
    Some(digits.trim().parse::<f64>().ok()? * factor as f64)
}

/// Writes a size with a unit, so that it reads back as exactly the same number of bytes.
pub(crate) fn size_text(bytes: u64) -> String {
    let exact = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    let exact = exact.into_iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    exact.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!("2G".parse(), Ok(ByteSize(2 << 30)));
        assert_eq!("1.5MiB".parse(), Ok(ByteSize(3 << 19)));
        assert!(
            "2X".parse::<ByteSize>().is_err()
                && "".parse::<ByteSize>().is_err()
                && "-1G".parse::<ByteSize>().is_err()
        );
        assert_eq!(ByteSize(3 << 19).to_string(), "1.5 MB");
    }
}
