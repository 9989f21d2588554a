//! The `semantic` section of a manifest: maps of a score per class, or one of class numbers, or scores of the whole window.

use serde::{Deserialize, Serialize};

use wsi_types::wording::counted;

use super::{
    Activation, Background, Dim, Head, HeadSource, ImageInput,
    channels::{channels, maps},
    evidence::{Evidence, Pixels, Told},
    file::SemanticSection,
};
use crate::DetectorError;

/// Settings for making a class map of what a model answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Semantic {
    /// Index of the map of each class, or its number, in the order of the classes. Places where another is the largest
    /// are of no class.
    pub channels: Vec<usize>,
    /// Places whose largest probability is not above this are of no class, 0 to 1. Class numbers have none.
    pub least_probability: f32,
}

impl std::fmt::Display for Semantic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "maps {:?}, above {}", self.channels, self.least_probability)
    }
}

/// The semantic head, where the TOML states it; `None` for outputs that are none.
///
/// # Errors
///
/// [`DetectorError::Manifest`] where nothing says how scores become probabilities.
pub(super) fn told(
    outputs: &[(String, Vec<Dim>)],
    evidence: &Evidence,
) -> Result<Option<Told>, DetectorError> {
    let [output @ (name, dims)] = outputs else { return Ok(None) };
    let scores = match (dims.len(), evidence.activation) {
        (4, Some(activation)) => Some(activation),
        (4, None) => {
            let reason = format!(
                "is missing: nothing says what the numbers of {name} {} are; say \"softmax\" for raw scores of which a \
                 place has one class, \"sigmoid\" for raw scores that stand alone, \"none\" for probabilities",
                Dim::list(dims)
            );
            return Err(DetectorError::manifest("activation", reason));
        }
        (3, None) => None,
        (3, Some(_)) => {
            let reason =
                format!("{name} {} holds class numbers, which have none; leave it out", Dim::list(dims));
            return Err(DetectorError::manifest("activation", reason));
        }
        _ => return Ok(None),
    };
    Ok(Some(Told {
        head: Head::Semantic { scores },
        source: HeadSource::Stated,
        outputs: vec![output.clone()],
        pixels: Pixels::Unsaid,
    }))
}

/// The head of a classifier of patches, where the TOML states it; `None` for outputs that are none.
///
/// # Errors
///
/// [`DetectorError::Manifest`] where nothing says how scores become probabilities, or how large a patch is.
pub(super) fn patch_told(
    outputs: &[(String, Vec<Dim>)],
    input: &ImageInput,
    evidence: &Evidence,
) -> Result<Option<Told>, DetectorError> {
    let [output @ (name, dims)] = outputs else { return Ok(None) };
    if dims.len() != 2 {
        return Ok(None);
    }
    let Some(activation) = evidence.activation else {
        let reason = format!(
            "is missing: nothing says what the numbers of {name} {} are; say \"softmax\" for raw scores of which a \
             patch has one class, \"sigmoid\" for raw scores that stand alone, \"none\" for probabilities",
            Dim::list(dims)
        );
        return Err(DetectorError::manifest("activation", reason));
    };
    if input.height.fixed().is_none() || input.height != input.width {
        let reason = format!(
            "is patch, but the input takes {} × {} px: nothing says how large a patch is; export it with one size of \
             square pictures",
            input.width, input.height
        );
        return Err(DetectorError::manifest("head", reason));
    }
    Ok(Some(Told {
        head: Head::Patch { activation },
        source: HeadSource::Stated,
        outputs: vec![output.clone()],
        pixels: Pixels::Unsaid,
    }))
}

/// The section, checked against the head and its maps.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for what is open, out of range, or without use.
pub(super) fn semantic(
    section: Option<&SemanticSection>,
    head: Head,
    classes: usize,
    outputs: &[(String, Vec<Dim>)],
    background: Option<Background>,
) -> Result<Option<Semantic>, DetectorError> {
    let scores = match (head, section) {
        (Head::Semantic { scores }, _) => scores,
        (Head::Patch { activation }, _) => Some(activation),
        (_, None) => return Ok(None),
        (_, Some(_)) => return Err(DetectorError::unused_section("semantic", head, "has no class map")),
    };
    refuse_maps_last(outputs, classes)?;
    let stated = section.and_then(|section| section.channels.as_deref());
    let least = section.and_then(|section| section.least_probability);
    let channels = match scores {
        Some(_) => of_maps(stated, background, classes, maps(outputs))?,
        None => of_numbers(stated, background, classes)?,
    };
    refuse_twins(&channels)?;
    Ok(Some(Semantic { channels, least_probability: least_probability(least, scores)? }))
}

/// Refuses `[B, rows, columns, K]`, as frameworks with channels last export it.
fn refuse_maps_last(outputs: &[(String, Vec<Dim>)], classes: usize) -> Result<(), DetectorError> {
    let Some((name, dims @ [_, second, _, last])) = outputs.first().map(|(name, dims)| (name, &dims[..]))
    else {
        return Ok(());
    };
    if may_be_maps(last, classes) && second.fixed().is_some() && !may_be_maps(second, classes) {
        let reason = format!(
            "is semantic, but {name} {} has its maps last, expected [batch, maps, rows, columns]: transpose it in the \
             export",
            Dim::list(dims)
        );
        return Err(DetectorError::manifest("head", reason));
    }
    Ok(())
}

/// `true` for as many as the classes, or one more for a background.
fn may_be_maps(dim: &Dim, classes: usize) -> bool {
    dim.fixed().is_some_and(|maps| (classes as u64..=classes as u64 + 1).contains(&maps))
}

/// The map of each class.
fn of_maps(
    stated: Option<&[usize]>,
    background: Option<Background>,
    classes: usize,
    maps: Option<u64>,
) -> Result<Vec<usize>, DetectorError> {
    if let (Some(_), Some(background)) = (stated, background) {
        return Err(said_twice(background));
    }
    let in_order = background.map(|background| without(background, classes));
    let spare = maps.is_some_and(|maps| maps == classes as u64 + 1);
    match background {
        None if stated.is_none() && spare => Err(DetectorError::manifest(
            "background",
            format!(
                "is missing: there are {} maps for {}, and nothing says which is of no class; say \"first\" or \
                 \"last\", or name the map of each class with semantic.channels",
                classes + 1,
                counted(classes, "class")
            ),
        )),
        Some(background) if maps.is_some_and(|maps| maps != (classes + background.scores()) as u64) => {
            let reason = format!(
                "is {background}, which makes {} for {}, but there are {}",
                counted(classes + background.scores(), "map"),
                counted(classes, "class"),
                maps.unwrap_or_default()
            );
            Err(DetectorError::manifest("background", reason))
        }
        _ => channels("semantic.channels", stated.or(in_order.as_deref()), classes, maps),
    }
}

/// The number of each class. Nothing in the graph tells whether they begin with a background.
fn of_numbers(
    stated: Option<&[usize]>,
    background: Option<Background>,
    classes: usize,
) -> Result<Vec<usize>, DetectorError> {
    match (stated, background) {
        (Some(_), Some(background)) => Err(said_twice(background)),
        (Some(stated), None) => channels("semantic.channels", Some(stated), classes, None),
        (None, Some(background)) => Ok(without(background, classes)),
        (None, None) => Err(DetectorError::manifest(
            "background",
            "is missing: nothing says whether number 0 is the first class or a background; say \"none\" or \"first\", or \
             name the number of each class with semantic.channels",
        )),
    }
}

/// The places of so many classes beside a background.
fn without(background: Background, classes: usize) -> Vec<usize> {
    let first = background.first_class();
    (first..first + classes).collect()
}

fn said_twice(background: Background) -> DetectorError {
    let reason =
        format!("is {background}, but semantic.channels names the map of each class; leave one of them out");
    DetectorError::manifest("background", reason)
}

fn refuse_twins(channels: &[usize]) -> Result<(), DetectorError> {
    let twin = channels.iter().enumerate().find(|(place, channel)| channels[..*place].contains(channel));
    match twin {
        Some((_, channel)) => {
            let reason = format!("names map {channel} twice: a place has one class");
            Err(DetectorError::manifest("semantic.channels", reason))
        }
        None => Ok(()),
    }
}

fn least_probability(stated: Option<f64>, scores: Option<Activation>) -> Result<f32, DetectorError> {
    const KEY: &str = "semantic.least_probability";
    match (stated, scores) {
        (Some(_), None) => {
            Err(DetectorError::manifest(KEY, "class numbers have no probability; leave it out"))
        }
        (Some(least), Some(_)) if (0.0..1.0).contains(&least) => Ok(least as f32),
        (Some(least), Some(_)) => {
            Err(DetectorError::manifest(KEY, format!("is {least}, expected 0 to below 1")))
        }
        // One of them is always the largest: alone, a sigmoid says yes above a half.
        (None, Some(Activation::Sigmoid)) => Ok(0.5),
        (None, Some(Activation::Softmax) | None) => Ok(0.0),
        (None, Some(Activation::None)) => Err(DetectorError::manifest(
            KEY,
            "is missing: probabilities may stand alone or add up to 1; say 0 if the largest decides, or 0.5",
        )),
    }
}
