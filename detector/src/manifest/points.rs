//! The `points` section of a manifest: maps whose peaks are objects.

use serde::{Deserialize, Serialize};
use wsi_types::Mpp;

use super::{
    Activation, Background, Dim, Head, HeadSource,
    channels::{channels, maps},
    evidence::{Evidence, Pixels, Told},
    file::PointsSection,
};
use crate::DetectorError;

/// Settings for making objects of the peaks of maps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Points {
    /// Two peaks of a class lie further apart, µm, along one axis at least.
    pub min_distance_um: f64,
    /// Side of the box that each object gets, µm. Nominal: the model does not measure objects.
    pub diameter_um: f64,
    /// Index of the map of each class, in the order of the classes.
    pub channels: Vec<usize>,
}

impl Points {
    /// IoU of the boxes of two objects as near as they may be: from here up, boxes of two windows are one object.
    #[must_use]
    pub fn nearest_iou(&self) -> f64 {
        let Self { min_distance_um: distance, diameter_um: side, .. } = *self;
        ((side - distance) / (side + distance)).max(0.0)
    }
}

impl std::fmt::Display for Points {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { min_distance_um, diameter_um, channels } = self;
        write!(f, "{min_distance_um} µm apart, {diameter_um} µm wide, maps {channels:?}")
    }
}

/// The head of maps, where the TOML states it; `None` for outputs that are none.
pub(super) fn told(
    outputs: &[(String, Vec<Dim>)],
    evidence: &Evidence,
) -> Result<Option<Told>, DetectorError> {
    let [maps @ (_, dims)] = outputs else { return Ok(None) };
    if dims.len() != 4 {
        return Ok(None);
    }
    let activation = match evidence.activation {
        None => Activation::None,
        Some(Activation::Softmax) => {
            let reason = "is softmax, expected sigmoid or none for maps of points";
            return Err(DetectorError::manifest("activation", reason));
        }
        Some(stated) => stated,
    };
    if let Some(Background::First | Background::Last) = evidence.background {
        let reason = "the head is points, which has none: name the maps of classes with points.channels";
        return Err(DetectorError::manifest("background", reason));
    }
    Ok(Some(Told {
        head: Head::Points { activation },
        source: HeadSource::Stated,
        outputs: vec![maps.clone()],
        pixels: Pixels::Unsaid,
    }))
}

/// The section, checked against the head and its maps.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for what is missing, out of range, or without use.
pub(super) fn points(
    section: Option<&PointsSection>,
    head: Head,
    classes: usize,
    outputs: &[(String, Vec<Dim>)],
    mpp: Option<Mpp>,
) -> Result<Option<Points>, DetectorError> {
    let is_points = matches!(head, Head::Points { .. });
    let Some(section) = section.filter(|_| is_points) else {
        return match (section.is_some(), is_points) {
            (true, false) => Err(DetectorError::unused_section("points", head, "has no points")),
            (false, true) => {
                let reason = "is missing; say [points] with min_distance_um and diameter_um in the TOML";
                Err(DetectorError::manifest("points", reason))
            }
            _ => Ok(None),
        };
    };
    if mpp.is_none() {
        let reason = "is missing: distances of points are in µm; say what the model was trained at";
        return Err(DetectorError::manifest("mpp", reason));
    }
    Ok(Some(Points {
        min_distance_um: length("points.min_distance_um", section.min_distance_um)?,
        diameter_um: length("points.diameter_um", section.diameter_um)?,
        channels: channels("points.channels", section.channels.as_deref(), classes, maps(outputs))?,
    }))
}

fn length(key: &str, um: Option<f64>) -> Result<f64, DetectorError> {
    match um {
        Some(um) if (0.1..=1000.0).contains(&um) => Ok(um),
        Some(um) => Err(DetectorError::manifest(key, format!("is {um}, expected 0.1 to 1000 µm"))),
        None => Err(DetectorError::manifest(key, "is missing, expected µm")),
    }
}
