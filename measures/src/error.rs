//! Errors of this crate, one variant per thing a caller might do differently.

/// An error of this crate. The caller adds the name of the file, last.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeasureError {
    /// The text is not TOML, or has an unknown key or value.
    #[error("line {line}: {problem}")]
    File {
        /// The line, from 1.
        line: usize,
        /// Value found and value expected, with the key.
        problem: String,
    },
    /// A number is out of its range.
    #[error("{name} is {found}, expected {expected}")]
    Value {
        /// Name of the number.
        name: &'static str,
        /// Value given.
        found: String,
        /// Values that are valid, in words.
        expected: &'static str,
    },
    /// A point is not finite.
    #[error("point {place} is at ({x}, {y}), expected finite coordinates")]
    Point {
        /// Its place in the list, from 0.
        place: usize,
        /// Its x.
        x: f64,
        /// Its y.
        y: f64,
    },
}

/// Result of every fallible function of this crate.
pub type Result<T, E = MeasureError> = std::result::Result<T, E>;

impl MeasureError {
    /// A number that is out of its range.
    pub(crate) fn value(name: &'static str, found: impl ToString, expected: &'static str) -> Self {
        Self::Value { name, found: found.to_string(), expected }
    }
}
