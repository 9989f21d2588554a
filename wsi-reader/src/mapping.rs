//! The straight line, stated by the user, by which samples of more than 8 bits become 8.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A straight line from stored samples to 8 bits: `low` and below become 0, `high` and above 255, and values
/// between are rounded to nearest, halves up. NaN becomes 0. Written `LOW:HIGH`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinearMapping {
    low: f64,
    high: f64,
}

/// Two values that define no line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no range, expected two numbers LOW:HIGH, the first smaller, such as 0:4095")]
pub struct MappingError {
    found: String,
}

impl LinearMapping {
    /// Makes the line; `None` unless `low` is below `high` and both, and their difference, are finite.
    #[must_use]
    pub fn new(low: f64, high: f64) -> Option<Self> {
        let span = high - low;
        (span.is_finite() && span > 0.0).then_some(Self { low, high })
    }

    /// Returns the 8 bits of a sample.
    #[must_use]
    pub fn apply(self, sample: f64) -> u8 {
        let share = (sample - self.low) / (self.high - self.low);
        // A cast of NaN gives 0.
        (share * 255.0 + 0.5).floor().clamp(0.0, 255.0) as u8
    }
}

impl FromStr for LinearMapping {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let both = text.split_once(':');
        both.and_then(|(low, high)| Self::new(low.trim().parse().ok()?, high.trim().parse().ok()?))
            .ok_or_else(|| MappingError { found: text.chars().take(40).collect() })
    }
}

impl TryFrom<String> for LinearMapping {
    type Error = MappingError;

    fn try_from(text: String) -> Result<Self, MappingError> {
        text.parse()
    }
}

impl From<LinearMapping> for String {
    fn from(mapping: LinearMapping) -> Self {
        mapping.to_string()
    }
}

impl fmt::Display for LinearMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middle_are_where_they_are_said_to_be() {
        let mapping: LinearMapping = "100:355".parse().unwrap();
        let mapped = [0.0, 100.0, 101.0, 101.4, 354.0, 355.0, 9e9, f64::NAN, f64::INFINITY, -f64::INFINITY];
        assert_eq!(mapped.map(|value| mapping.apply(value)), [0, 0, 1, 1, 254, 255, 255, 0, 255, 0]);
        let halves = LinearMapping::new(0.0, 510.0).unwrap();
        assert_eq!([1.0, 3.0].map(|value| halves.apply(value)), [1, 2]);
        let whole = LinearMapping::new(0.0, 65_535.0).unwrap();
        assert!((0..=255_u16).all(|value| whole.apply(f64::from(value * 257)) == value as u8));
    }

    #[test]
    fn only_ranges_are_ranges() {
        for wrong in ["", "5", "5:5", "6:5", "0:NaN", "0:inf", "a:b", "0:1:2", "-1.7e308:1.7e308"] {
            assert!(wrong.parse::<LinearMapping>().is_err(), "{wrong}");
        }
        let parsed: LinearMapping = " -0.5 : 1.25 ".parse().unwrap();
        assert_eq!(parsed.to_string(), "-0.5:1.25");
        assert_eq!(serde_json::to_string(&parsed).unwrap(), "\"-0.5:1.25\"");
        assert!(serde_json::from_str::<LinearMapping>("\"3:2\"").is_err());
    }
}
