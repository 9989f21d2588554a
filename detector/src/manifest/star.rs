//! The `star` section of a manifest: objects as distances from a point inside to their border, along rays.

use serde::{Deserialize, Serialize};
use wsi_types::wording::counted;

use super::{
    Activation, Background, Dim, Head, HeadSource,
    evidence::{Evidence, HeadName, Pixels, Told},
    file::StarSection,
};
use crate::DetectorError;

type Output = (String, Vec<Dim>);

/// Settings for making objects of distances along rays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Star {
    /// Share of the smaller of two outlines above which both are one object, 0 to 1.
    pub overlap: f64,
    /// `true` if the model answers the logarithms of distances.
    pub log: bool,
}

impl Star {
    /// The share that StarDist's H&E model was published with.
    const DEFAULT_OVERLAP: f64 = 0.3;
}

impl std::fmt::Display for Star {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = if self.log { ", of logarithms" } else { "" };
        write!(f, "one object from a shared {} of the smaller{of}", self.overlap)
    }
}

/// The axis of maps that holds their channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelAxis {
    /// `[B, K, rows, columns]`.
    First,
    /// `[B, rows, columns, K]`.
    Last,
}

impl std::fmt::Display for ChannelAxis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::First => "channels first",
            Self::Last => "channels last",
        })
    }
}

/// The head, by the names of its outputs or as the TOML states it; `None` for outputs that are none.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for what the outputs do not settle.
pub(super) fn told(
    outputs: &[Output],
    classes: usize,
    evidence: &Evidence,
) -> Result<Option<Told>, DetectorError> {
    if evidence.stated.is_some_and(|stated| stated != HeadName::Star) {
        return Ok(None);
    }
    let Some(Maps { probability, distances, of_classes }) = Maps::find(outputs) else {
        return if evidence.stated.is_some() { Err(unnamed(outputs)) } else { Ok(None) };
    };
    let channels = channel_axis(probability)?;
    let background = match of_classes {
        Some(scores) => Some(background(scores, channels, classes, evidence)?),
        None if classes == 1 => None,
        None => {
            let reason = format!(
                "the model has {}, but no output prob_class that tells them apart; name one",
                counted(classes, "class")
            );
            return Err(DetectorError::manifest("classes", reason));
        }
    };
    check_rays(distances, channels)?;
    Ok(Some(Told {
        head: Head::Star { activation: activation(evidence)?, channels, classes: background },
        source: if evidence.stated.is_some() { HeadSource::Stated } else { HeadSource::Names },
        outputs: [Some(probability), Some(distances), of_classes].into_iter().flatten().cloned().collect(),
        pixels: Pixels::Percentiles,
    }))
}

/// The outputs of such a model, by StarDist's names.
struct Maps<'a> {
    probability: &'a Output,
    distances: &'a Output,
    of_classes: Option<&'a Output>,
}

impl<'a> Maps<'a> {
    fn find(outputs: &'a [Output]) -> Option<Self> {
        Some(Self {
            probability: named(outputs, "prob")?,
            distances: named(outputs, "dist")?,
            of_classes: named(outputs, "prob_class"),
        })
    }
}

/// The output of that name, if it has the axes of maps.
fn named<'a>(outputs: &'a [Output], name: &str) -> Option<&'a Output> {
    outputs.iter().find(|(output, dims)| output == name && dims.len() == 4)
}

/// The axis of the channels: that at which the probability has its one.
fn channel_axis((name, dims): &Output) -> Result<ChannelAxis, DetectorError> {
    let is_one = |dim: &Dim| dim.fixed() == Some(1);
    match (is_one(&dims[1]), is_one(&dims[3])) {
        (true, false) => Ok(ChannelAxis::First),
        (false, true) => Ok(ChannelAxis::Last),
        _ => Err(DetectorError::UnknownHead {
            found: vec![(name.clone(), dims.clone())],
            classes: 1,
            hint: Some(format!(
                "{name} {} is to be [B, 1, rows, columns] or [B, rows, columns, 1], with that 1 fixed in the \
                 export and the sides of maps larger",
                Dim::list(dims)
            )),
        }),
    }
}

fn unnamed(outputs: &[Output]) -> DetectorError {
    let found: Vec<String> =
        outputs.iter().map(|(name, dims)| format!("{name} {}", Dim::list(dims))).collect();
    let reason = format!(
        "is star, but the outputs are {}; expected maps named prob and dist, and prob_class where there are classes: \
         name them so in the export",
        found.join(", ")
    );
    DetectorError::manifest("head", reason)
}

fn channels((_, dims): &Output, axis: ChannelAxis) -> Option<u64> {
    match axis {
        ChannelAxis::First => dims[1].fixed(),
        ChannelAxis::Last => dims[3].fixed(),
    }
}

fn check_rays(distances: &Output, axis: ChannelAxis) -> Result<(), DetectorError> {
    match channels(distances, axis) {
        Some(rays) if rays < 3 => {
            let reason = format!(
                "is star, but dist {} has {}, expected 3 or more",
                Dim::list(&distances.1),
                counted(rays as usize, "ray")
            );
            Err(DetectorError::manifest("head", reason))
        }
        _ => Ok(()),
    }
}

/// Place of the score that is of no class: the first, as StarDist has it, unless the TOML or the number says otherwise.
fn background(
    scores: &Output,
    axis: ChannelAxis,
    classes: usize,
    evidence: &Evidence,
) -> Result<Background, DetectorError> {
    let background = evidence.background.unwrap_or(Background::First);
    let expected = classes + background.scores();
    match channels(scores, axis) {
        Some(found) if found != expected as u64 => {
            let reason = format!(
                "the model has {} and background = \"{background}\", but prob_class {} has {}",
                counted(classes, "class"),
                Dim::list(&scores.1),
                counted(found as usize, "score")
            );
            Err(DetectorError::manifest("classes", reason))
        }
        _ => Ok(background),
    }
}

fn activation(evidence: &Evidence) -> Result<Activation, DetectorError> {
    match evidence.activation {
        None => Ok(Activation::None),
        Some(Activation::Softmax) => {
            let reason = "is softmax, expected sigmoid or none for the probability of an object";
            Err(DetectorError::manifest("activation", reason))
        }
        Some(stated) => Ok(stated),
    }
}

/// The section, checked against the head.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for a section of another head, or a share out of range.
pub(super) fn star(section: Option<&StarSection>, head: Head) -> Result<Option<Star>, DetectorError> {
    match (head, section) {
        (Head::Star { .. }, section) => {
            let StarSection { overlap, log } = section.copied().unwrap_or_default();
            let overlap = overlap.unwrap_or(Star::DEFAULT_OVERLAP);
            if !(0.0..=1.0).contains(&overlap) {
                let reason = format!("is {overlap}, expected 0 to 1");
                return Err(DetectorError::manifest("star.overlap", reason));
            }
            Ok(Some(Star { overlap, log: log.unwrap_or(false) }))
        }
        (_, None) => Ok(None),
        (_, Some(_)) => Err(DetectorError::unused_section("star", head, "has no rays")),
    }
}
