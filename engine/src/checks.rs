//! Turns typed text into values, or into an error that names the option, the value found and the one
//! expected.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Serialize, de::DeserializeOwned};

use crate::error::JobError;

/// Parses a value from text.
pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(name: &str, text: &str) -> Result<T, JobError> {
    text.parse().map_err(|error| JobError::usage(format!("{name}: {error}")))
}

/// Returns a value unchanged if it is inside the range, ends included.
pub(crate) fn within<T: PartialOrd + fmt::Display + Copy>(
    name: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T, JobError> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(JobError::usage(format!("{name} is {value}, expected {} to {}", range.start(), range.end())))
    }
}

/// Returns a number, where one is given, if it is between 0 and 1, ends included.
pub(crate) fn fraction(name: &str, value: Option<f64>) -> Result<Option<f64>, JobError> {
    value.map(|value| within(name, value, 0.0..=1.0)).transpose()
}

/// Returns the value that a word stands for, or the default; `known` are all words.
pub(crate) fn one_of<T: DeserializeOwned + Default>(
    option: &str,
    word: Option<&str>,
    known: &[&str],
) -> Result<T, JobError> {
    let Some(word) = word else { return Ok(T::default()) };
    serde_json::from_value(serde_json::Value::String(word.to_owned()))
        .map_err(|_| JobError::usage(format!("{option} is {word:?}, expected {}", known.join(", "))))
}

/// Returns the word that stands for a value.
pub(crate) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// Returns `, did you mean "…"?` with the known name that `word` is probably a slip of; for other words the
/// known names, where they are few.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    /// Slips of one or two letters are above, other words below.
    const NEAR: f64 = 0.8;
    const FEW: usize = 12;
    let known: Vec<&str> = known.collect();
    let likeness = known.iter().map(|name| (strsim::jaro_winkler(name, word), *name));
    match likeness.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((near, name)) if near >= NEAR => format!(", did you mean {name:?}?"),
        Some(_) if known.len() <= FEW => format!(", expected one of {}", known.join(", ")),
        _ => String::new(),
    }
}
