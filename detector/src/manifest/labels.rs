//! The `labels` section of a manifest: maps of the numbers of objects, a map for each class.

use serde::{Deserialize, Serialize};

use super::{
    Dim, Head, HeadSource, ImageInput,
    channels::channels,
    evidence::{HeadName, Pixels, Told},
    file::LabelsSection,
    places::refuse_smaller,
};
use crate::DetectorError;

/// Maps of a model that numbers its objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Labels {
    /// Index of the map of each class, in the order of the classes.
    pub channels: Vec<usize>,
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "maps {:?}", self.channels)
    }
}

/// The head of labels; `None` for outputs that are none.
pub(super) fn told(outputs: &[(String, Vec<Dim>)]) -> Option<Told> {
    let [maps @ (_, dims)] = outputs else { return None };
    (3..=4).contains(&dims.len()).then(|| Told {
        head: Head::Labels,
        source: HeadSource::Stated,
        outputs: vec![maps.clone()],
        pixels: Pixels::Unsaid,
    })
}

/// The section, checked against the head and its maps.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for what is open, out of range or without use, and for maps of another size than the
/// window.
pub(super) fn labels(
    section: Option<&LabelsSection>,
    head: Head,
    classes: usize,
    outputs: &[(String, Vec<Dim>)],
    input: &ImageInput,
) -> Result<Option<Labels>, DetectorError> {
    if head != Head::Labels {
        return match section {
            Some(_) => Err(DetectorError::unused_section("labels", head, "numbers no objects")),
            None => Ok(None),
        };
    }
    outputs.iter().try_for_each(|output| refuse_smaller(HeadName::Labels, output, input))?;
    let stated = section.and_then(|section| section.channels.as_deref());
    let channels = channels("labels.channels", stated, classes, maps(outputs))?;
    match channels.iter().enumerate().find(|(place, channel)| channels[..*place].contains(channel)) {
        Some((_, channel)) => {
            let reason = format!("names map {channel} twice: its objects would be counted twice");
            Err(DetectorError::manifest("labels.channels", reason))
        }
        None => Ok(Some(Labels { channels })),
    }
}

/// Number of maps; `None` where it is open.
fn maps(outputs: &[(String, Vec<Dim>)]) -> Option<u64> {
    match outputs {
        [(_, dims)] if dims.len() == 3 => Some(1),
        _ => super::channels::maps(outputs),
    }
}
