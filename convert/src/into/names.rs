//! Names: under which tools keep the class and the score of an object, and of the slide that a file is about.

use std::path::Path;

use serde_json::Value;

/// Properties that name a class, the likeliest first.
pub(super) const CLASS: [&str; 5] = ["type", "class", "class_name", "label", "name"];
/// Properties that tell how sure a model is.
pub(super) const SCORE: [&str; 6] =
    ["score", "prob", "probability", "type_prob", "confidence", "Detection probability"];

/// A class as words: numbers are names too.
pub(super) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(name) if !name.is_empty() => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The name of the slide that a file is about.
pub(super) fn image_name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
