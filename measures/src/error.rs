//! What can go wrong, one variant per thing a caller might do differently.

/// An error of this crate. A file's name is the caller's to add, last.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeasureError {
    /// The text is no TOML, or has a key or value that is not known.
    #[error("line {line}: {problem}")]
    File {
        /// The line, from 1.
        line: usize,
        /// What was found and what was expected, with the key.
        problem: String,
    },
    /// A number is out of its range.
    #[error("{name} is {found}, expected {expected}")]
    Value {
        /// What the number is.
        name: &'static str,
        /// What was given.
        found: String,
        /// What would do.
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

/// What every fallible function here gives.
pub type Result<T, E = MeasureError> = std::result::Result<T, E>;

impl MeasureError {
    /// A number that is out of its range.
    pub(crate) fn value(name: &'static str, found: impl ToString, expected: &'static str) -> Self {
        Self::Value { name, found: found.to_string(), expected }
    }
}
