//! The `hover` section of a manifest: maps of nuclei, of offsets from their centres, and of types.

use serde::{Deserialize, Serialize};
use wsi_types::{Mpp, wording::counted};

use super::{
    Activation, Background, Dim, Head, HeadSource, ImageInput,
    evidence::{Evidence, HeadName, Pixels, Told},
    file::HoverSection,
    places::refuse_smaller,
};
use crate::DetectorError;

/// Sizes for making instances of maps, in px of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hover {
    /// Side of the kernel that measures slopes of offsets, px; odd.
    pub sobel_px: u32,
    /// Least area of a nucleus, and of the part of it that is surely no edge, px.
    pub min_px: u32,
}

impl std::fmt::Display for Hover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kernel of {} px, nuclei of {} px or more", self.sobel_px, self.min_px)
    }
}

/// Source of class and score of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoverScores {
    /// The map of types: the class of most places, and their share.
    Types {
        /// The type that is of no class.
        background: Background,
    },
    /// The map of nuclei: one class, and the mean probability.
    Nuclei {
        /// Function that turns its scores into probabilities.
        activation: Activation,
    },
}

type Output = (String, Vec<Dim>);

/// Names of the outputs of such models: of HoVer-Net and HistoPLUS, of CellViT and NuLite, of MONAI.
const NUCLEI: [&str; 3] = ["np", "nuclei_binary_map", "nucleus_prediction"];
const OFFSETS: [&str; 3] = ["hv", "hv_map", "horizontal_vertical"];
const TYPES: [&str; 3] = ["tp", "nuclei_type_map", "type_prediction"];

/// The hover head, where the TOML states it or outputs have its names; `None` for outputs that are none.
///
/// # Errors
///
/// [`DetectorError::Manifest`] where names or shapes leave open how instances are made.
pub(super) fn told(
    outputs: &[Output],
    classes: usize,
    evidence: &Evidence,
) -> Result<Option<Told>, DetectorError> {
    let source = match evidence.stated {
        None => HeadSource::Names,
        Some(HeadName::Hover) => HeadSource::Stated,
        Some(_) => return Ok(None),
    };
    let Some(maps) = Maps::find(outputs, evidence)? else {
        return if source == HeadSource::Stated { Err(unnamed(outputs)) } else { Ok(None) };
    };
    maps.check()?;
    let scores = maps.scores(classes, evidence)?;
    let read = [Some(maps.nuclei), Some(maps.offsets), maps.types];
    Ok(Some(Told {
        head: Head::Hover { scores },
        source,
        outputs: read.into_iter().flatten().cloned().collect(),
        pixels: Pixels::Unsaid,
    }))
}

fn unnamed(outputs: &[Output]) -> DetectorError {
    let found: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    let reason = format!(
        "is hover, but no outputs are called np and hv, or nuclei_binary_map and hv_map; there are {}: name the maps of \
         nuclei, of offsets and, if there is one, of types with np, hv and tp below [hover]",
        found.join(", ")
    );
    DetectorError::manifest("head", reason)
}

/// The outputs that are read.
struct Maps<'a> {
    nuclei: &'a Output,
    offsets: &'a Output,
    types: Option<&'a Output>,
}

impl<'a> Maps<'a> {
    fn find(outputs: &'a [Output], evidence: &Evidence) -> Result<Option<Self>, DetectorError> {
        let HoverSection { np, hv, tp, .. } = &evidence.hover;
        let nuclei = output(outputs, "hover.np", np.as_deref(), NUCLEI)?;
        let offsets = output(outputs, "hover.hv", hv.as_deref(), OFFSETS)?;
        let types = output(outputs, "hover.tp", tp.as_deref(), TYPES)?;
        Ok(nuclei.zip(offsets).map(|(nuclei, offsets)| Self { nuclei, offsets, types }))
    }

    fn check(&self) -> Result<(), DetectorError> {
        for (maps, count) in [(Some(self.nuclei), Some(2)), (Some(self.offsets), Some(2)), (self.types, None)]
        {
            maps.map_or(Ok(()), |maps| check_axes(maps, count))?;
        }
        Ok(())
    }

    fn scores(&self, classes: usize, evidence: &Evidence) -> Result<HoverScores, DetectorError> {
        match self.types {
            Some(types) => Ok(HoverScores::Types { background: background(types, classes, evidence)? }),
            None => Ok(HoverScores::Nuclei { activation: activation(self.nuclei, classes, evidence)? }),
        }
    }
}

/// The output of the name stated under `key`, else of one that is known.
fn output<'a>(
    outputs: &'a [Output],
    key: &str,
    stated: Option<&str>,
    known: [&str; 3],
) -> Result<Option<&'a Output>, DetectorError> {
    let found = outputs.iter().find(|(name, _)| match stated {
        Some(stated) => name == stated,
        None => known.contains(&name.as_str()),
    });
    match (stated, found) {
        (Some(stated), None) => {
            let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
            let reason = format!("is {stated}, expected the name of an output: {}", names.join(", "));
            Err(DetectorError::manifest(key, reason))
        }
        (_, found) => Ok(found),
    }
}

/// Refuses what is no `[B, maps, rows, columns]`, of `count` maps if that is known.
fn check_axes((name, dims): &Output, count: Option<u64>) -> Result<(), DetectorError> {
    let reason = match &dims[..] {
        [_, maps, _, last] => match count.zip(maps.fixed()) {
            Some((count, found)) if found != count && last.fixed() == Some(count) => format!(
                "is hover, but {name} {} has its maps last, expected [batch, {count}, rows, columns]: transpose it in \
                 the export",
                Dim::list(dims)
            ),
            Some((count, found)) if found != count => {
                format!(
                    "is hover, but {name} is {}, expected [batch, {count}, rows, columns]",
                    Dim::list(dims)
                )
            }
            _ => return Ok(()),
        },
        _ => format!("is hover, but {name} is {}, expected [batch, maps, rows, columns]", Dim::list(dims)),
    };
    Err(DetectorError::manifest("head", reason))
}

/// The type that is of no class: the first of these models, unless stated.
fn background(
    (name, dims): &Output,
    classes: usize,
    evidence: &Evidence,
) -> Result<Background, DetectorError> {
    if let Some(activation) = evidence.activation {
        let reason = format!(
            "is {activation}, but the score of a nucleus is the share of its px that are of its type, which needs none; \
             leave it out"
        );
        return Err(DetectorError::manifest("activation", reason));
    }
    let types = dims.get(1).and_then(Dim::fixed);
    let background = evidence.background.unwrap_or(Background::First);
    match types {
        Some(types) if types != (classes + background.scores()) as u64 => {
            let reason = format!(
                "there are {} and background {background}, which makes {}, but {name} is {}: name each type but the \
                 background, in order; background = \"none\", \"first\" or \"last\" says which is none, the first unless \
                 stated",
                counted(classes, "class"),
                counted(classes + background.scores(), "type"),
                Dim::list(dims)
            );
            Err(DetectorError::manifest("classes", reason))
        }
        _ => Ok(background),
    }
}

/// Function for the scores of a model without types, which has one class.
fn activation(
    (name, dims): &Output,
    classes: usize,
    evidence: &Evidence,
) -> Result<Activation, DetectorError> {
    if classes != 1 {
        let reason = format!(
            "there are {}, but no output is a map of types: expected one class, or its name as hover.tp",
            counted(classes, "class")
        );
        return Err(DetectorError::manifest("classes", reason));
    }
    if let Some(background) = evidence.background {
        let reason = format!("is {background}, but there is no map of types; leave it out");
        return Err(DetectorError::manifest("background", reason));
    }
    match evidence.activation {
        Some(activation @ (Activation::Softmax | Activation::None)) => Ok(activation),
        stated => {
            let found = stated.map_or("is missing".to_owned(), |stated| format!("is {stated}"));
            let reason = format!(
                "{found}: nothing says what the numbers of {name} {} are; say \"softmax\" for raw scores, \"none\" for \
                 probabilities",
                Dim::list(dims)
            );
            Err(DetectorError::manifest("activation", reason))
        }
    }
}

/// The section, checked against the head and its maps.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for what is missing, out of range or without use, and for maps of another size than the
/// window.
pub(super) fn hover(
    section: Option<&HoverSection>,
    head: Head,
    outputs: &[Output],
    input: &ImageInput,
    mpp: Option<Mpp>,
) -> Result<Option<Hover>, DetectorError> {
    if !matches!(head, Head::Hover { .. }) {
        return match section {
            Some(_) => Err(DetectorError::unused_section("hover", head, "has no such maps")),
            None => Ok(None),
        };
    }
    outputs.iter().try_for_each(|output| refuse_smaller(HeadName::Hover, output, input))?;
    let known = mpp.and_then(known_sizes);
    let sobel_px =
        size("hover.sobel_px", section.and_then(|s| s.sobel_px), known.map(|known| known.0), 3..=31)?;
    let min_px =
        size("hover.min_px", section.and_then(|s| s.min_px), known.map(|known| known.1), 1..=10_000)?;
    if sobel_px.is_multiple_of(2) {
        let reason = format!("is {sobel_px}, expected an odd number");
        return Err(DetectorError::manifest("hover.sobel_px", reason));
    }
    Ok(Some(Hover { sobel_px, min_px }))
}

/// Kernel and least area that these models' own code has at 0.25 and 0.5 µm per px, and a tenth around them.
fn known_sizes(mpp: Mpp) -> Option<(u32, u32)> {
    let known = [(0.25, (21, 10)), (0.5, (11, 5))];
    known.into_iter().find(|(known, _)| (mpp.get() / known - 1.0).abs() <= 0.1).map(|(_, sizes)| sizes)
}

fn size(
    key: &str,
    stated: Option<u32>,
    known: Option<u32>,
    range: std::ops::RangeInclusive<u32>,
) -> Result<u32, DetectorError> {
    let reason = match stated.or(known) {
        Some(px) if range.contains(&px) => return Ok(px),
        Some(px) => format!("is {px}, expected {} to {} px", range.start(), range.end()),
        None => "is missing: known are 21 and 10 px at mpp = 0.25 and 11 and 5 px at 0.5, for kernel and least area; say \
                 what the model's own code has"
            .to_owned(),
    };
    Err(DetectorError::manifest(key, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Element, Layout};

    fn outputs(shapes: &[(&str, [u64; 4])]) -> Vec<Output> {
        shapes.iter().map(|&(name, sides)| (name.to_owned(), sides.map(Dim::Fixed).to_vec())).collect()
    }

    fn head(
        shapes: &[(&str, [u64; 4])],
        classes: usize,
        evidence: &Evidence,
    ) -> Result<Option<(HoverScores, Vec<String>)>, String> {
        let told = told(&outputs(shapes), classes, evidence).map_err(|error| error.to_string())?;
        Ok(told.map(|told| {
            let Head::Hover { scores } = told.head else { panic!("{}", told.head) };
            (scores, told.outputs.into_iter().map(|(name, _)| name).collect())
        }))
    }

    fn evidence() -> Evidence {
        Evidence::default()
    }

    const MAPS: [u64; 4] = [1, 2, 256, 256];
    const OF_TYPES: [u64; 4] = [1, 6, 256, 256];
    const TYPES: HoverScores = HoverScores::Types { background: Background::First };

    #[test]
    fn outputs_are_told_by_the_names_of_each_maker_in_any_order() {
        for names in [
            ["np", "hv", "tp"],
            ["nuclei_binary_map", "hv_map", "nuclei_type_map"],
            ["nucleus_prediction", "horizontal_vertical", "type_prediction"],
        ] {
            let [np, hv, tp] = names;
            let found = head(&[(tp, OF_TYPES), (np, MAPS), (hv, MAPS)], 5, &evidence()).unwrap();
            assert_eq!(found, Some((TYPES, names.map(str::to_owned).to_vec())));
        }
        assert_eq!(head(&[("np", MAPS), ("offsets", MAPS)], 1, &evidence()), Ok(None));
    }

    #[test]
    fn other_names_are_stated() {
        let shapes = [("output_0", OF_TYPES), ("output_1", MAPS), ("output_2", MAPS)];
        let stated = Evidence { stated: Some(HeadName::Hover), ..evidence() };
        let message = head(&shapes, 5, &stated).unwrap_err();
        assert!(
            message.contains("there are output_0, output_1, output_2: name the maps of nuclei"),
            "{message}"
        );
        let [tp, np, hv] = shapes.map(|(name, _)| Some(name.to_owned()));
        let hover = HoverSection { np, hv, tp, ..HoverSection::default() };
        let found = head(&shapes, 5, &Evidence { hover, ..stated }).unwrap().unwrap();
        assert_eq!(found, (TYPES, ["output_1", "output_2", "output_0"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn without_types_one_class_and_an_activation_are_asked_for() {
        let shapes = [("np", MAPS), ("hv", MAPS)];
        let message = head(&shapes, 1, &evidence()).unwrap_err();
        assert!(message.contains("activation: is missing: nothing says what the numbers of np"), "{message}");
        let stated = |activation| Evidence { activation: Some(activation), ..evidence() };
        let message = head(&shapes, 1, &stated(Activation::Sigmoid)).unwrap_err();
        assert!(message.contains("activation: is sigmoid"), "{message}");
        let found = head(&shapes, 1, &stated(Activation::Softmax)).unwrap().unwrap();
        assert_eq!(found.0, HoverScores::Nuclei { activation: Activation::Softmax });
        let message = head(&shapes, 2, &stated(Activation::None)).unwrap_err();
        assert!(
            message.contains("classes: there are 2 classes, but no output is a map of types"),
            "{message}"
        );
    }

    #[test]
    fn maps_last_are_refused_with_advice() {
        let message = head(&[("np", [1, 256, 256, 2]), ("hv", MAPS)], 1, &evidence()).unwrap_err();
        assert!(
            message.contains("np [1, 256, 256, 2] has its maps last") && message.contains("transpose it"),
            "{message}"
        );
    }

    /// An object in the margin would be nowhere.
    #[test]
    fn maps_smaller_than_the_window_are_refused() {
        let input = ImageInput {
            name: "images".to_owned(),
            layout: Layout::Nchw,
            element: Element::F32,
            batch: Dim::Fixed(1),
            height: Dim::Fixed(256),
            width: Dim::Fixed(256),
            sizes: None,
        };
        let of_valid_convolutions = outputs(&[("np", [1, 2, 164, 164]), ("hv", [1, 2, 164, 164])]);
        let scores = HoverScores::Nuclei { activation: Activation::Softmax };
        let mpp = Mpp::new(0.25).ok();
        let made = |outputs: &[Output]| hover(None, Head::Hover { scores }, outputs, &input, mpp);
        let message = made(&of_valid_convolutions).unwrap_err().to_string();
        assert!(message.contains("np is [1, 2, 164, 164] for windows of 256 × 256 px"), "{message}");
        let whole = made(&outputs(&[("np", MAPS), ("hv", MAPS)])).unwrap();
        assert_eq!(whole, Some(Hover { sobel_px: 21, min_px: 10 }));
    }
}
