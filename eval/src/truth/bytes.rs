//! A file's bytes as text of one of the formats.

use super::{
    coco,
    files::Source,
    geojson, points,
    reading::Reading,
    remarks::Remark,
    settings::ReadSettings,
    text::{Encoding, decoded},
};
use crate::{EvalError, error::Result};

/// Reads JSON of two kinds, or a table.
pub(super) fn read_bytes(bytes: Vec<u8>, source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let (text, encoding) = decoded(bytes, source.path)?;
    let mut reading = match text.trim_start().chars().next() {
        Some('{' | '[') if coco::looks_like(&text) => coco::read(&text, source, settings),
        Some('{' | '[') => geojson::read(&text, source, settings),
        Some(_) if points::looks_like(&text) => points::read(&text, source, settings),
        _ => Err(EvalError::UnknownFormat { path: source.path.to_owned() }),
    }?;
    let guessed = u64::from(encoding == Encoding::Windows1252);
    reading.remarks.add(Remark::Windows1252, guessed, || source.path.display().to_string());
    Ok(reading)
}
