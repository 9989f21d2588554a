//! Maps of classes: which map of an output is that of each class.

use wsi_types::wording::counted;

use super::Dim;
use crate::DetectorError;

/// Number of maps of the first output, `[B, K, rows, columns]`; `None` where it is open.
pub(super) fn maps(outputs: &[(String, Vec<Dim>)]) -> Option<u64> {
    outputs.first().and_then(|(_, dims)| dims.get(1)).and_then(Dim::fixed)
}

/// The map of each class, of so many `maps`: as `stated` in the TOML under `key`, else all in their order.
///
/// # Errors
///
/// [`DetectorError::Manifest`] where the numbers do not fit.
pub(super) fn channels(
    key: &str,
    stated: Option<&[usize]>,
    classes: usize,
    maps: Option<u64>,
) -> Result<Vec<usize>, DetectorError> {
    let channels = match stated {
        Some(stated) => stated.to_vec(),
        None if maps.is_some_and(|maps| maps != classes as u64) => {
            let maps = maps.unwrap_or_default();
            let reason = format!(
                "is missing: the model answers {} for {}; name the map of each class",
                counted(maps as usize, "map"),
                counted(classes, "class")
            );
            return Err(DetectorError::manifest(key, reason));
        }
        None => (0..classes).collect(),
    };
    if channels.len() != classes {
        let reason = format!(
            "names {} for {}, expected one each",
            counted(channels.len(), "map"),
            counted(classes, "class")
        );
        return Err(DetectorError::manifest(key, reason));
    }
    match channels.iter().find(|&&channel| maps.is_some_and(|maps| channel as u64 >= maps)) {
        Some(channel) => {
            let maps = maps.unwrap_or_default();
            let reason = format!("names map {channel}, but there are {maps}, counted from 0");
            Err(DetectorError::manifest(key, reason))
        }
        None => Ok(channels),
    }
}
