//! The TOML beside a model: `model.toml` next to `model.onnx`. It adds to what the model says of itself,
//! or overrides it.
//!
//! ```toml
//! name = "nuclei-he"
//! version = "1.0.0"
//! description = "Nuclei in H&E"
//! licence = "CC-BY-4.0"
//! attribution = "Naylor et al. 2018"
//! mpp = 0.25             # µm per pixel the model was trained at
//! max_object_um = 20     # the largest object it promises to see whole
//! stride = 32            # its coarsest; window sides must be multiples
//! piece_overlap_px = 96  # what pieces of a larger window share, where it takes one size of pictures
//! conf = 0.25            # default score threshold
//! nms_iou = 0.7
//! cross_class_iou = 0.7  # boxes of two classes that agree more are one object
//! end2end = false        # only where shapes leave it open
//! head = "detect"        # or segment, end2end, objectness, objectness-grid, detr, detr-final, points, semantic,
//!                        # patch, star, hover, labels, embedding
//! activation = "sigmoid" # detr, points, semantic, patch, star, hover: or softmax, none: how its scores become
//!                        # probabilities
//! background = "none"    # detr, semantic, patch, star, hover: or first, last: which of its scores is of no class
//!
//! [points]                # head = "points" only
//! min_distance_um = 2.5   # objects of a class lie further apart
//! diameter_um = 8         # of the box that each gets
//! channels = [2, 5]       # which map is that of each class; all in their order unless stated
//!
//! [semantic]               # head = "semantic" and "patch" only
//! channels = [1, 3]        # which map, or number, is that of each class; unless stated, all but the background
//! least_probability = 0.5  # below it a place is of no class; 0.5 with sigmoid and 0 with softmax unless stated
//!
//! [star]                   # head = "star" only
//! overlap = 0.3            # objects that share more of the smaller one are one; 0.3 unless stated
//! log = false              # the model answers logarithms of distances
//!
//! [hover]         # head = "hover" only
//! sobel_px = 21   # kernel that measures slopes; known at 0.25 and 0.5 µm per px
//! min_px = 10     # least area of a nucleus; known at the same
//! np = "np"       # outputs with other names than these: maps of nuclei,
//! hv = "hv"       # of offsets from their centres
//! tp = "tp"       # and of types
//!
//! [labels]        # head = "labels" only
//! channels = [0]  # which map is that of each class; all in their order unless stated
//!
//! [input]
//! scale = 0.00392156862745098   # 1 / 255
//! mean = [0.485, 0.456, 0.406]  # after scaling, in the model's colour order
//! std = [0.229, 0.224, 0.225]
//! colour_order = "rgb"          # or "bgr"
//!
//! [input.percentile]            # instead of scale, mean and std
//! low = 1                       # the value of this percentile of the tissue becomes 0,
//! high = 99.8                   # that of this one 1
//! per = "slide"                 # found once for each slide; nothing else is known
//! channels = "each"             # or "together": one pair of values for all three
//! epsilon = 0                   # added to the distance between the two, in values of bytes
//!
//! [parity]                      # the receipt of `slidemill model --reference`
//! framework = "ultralytics 8.4.190"
//!
//! [[classes]]
//! name = "nucleus"
//! colour = "#00a0ff"
//! conf = 0.3
//! ```

use serde::Deserialize;
use wsi_types::StretchedChannels;

use super::{Activation, Background, ColourOrder, Layout, Parity};
use crate::DetectorError;

/// Contents of the file; everything may be left out.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ManifestFile {
    pub name: Option<String>,
    pub version: Option<String>,
    pub description: Option<String>,
    pub licence: Option<String>,
    pub attribution: Option<String>,
    pub mpp: Option<f64>,
    pub max_object_um: Option<f64>,
    pub piece_overlap_px: Option<u32>,
    pub stride: Option<u32>,
    pub conf: Option<f64>,
    pub nms_iou: Option<f64>,
    pub cross_class_iou: Option<f64>,
    pub end2end: Option<bool>,
    pub head: Option<String>,
    pub activation: Option<Activation>,
    pub background: Option<Background>,
    pub points: Option<PointsSection>,
    pub semantic: Option<SemanticSection>,
    pub star: Option<StarSection>,
    pub hover: Option<HoverSection>,
    pub labels: Option<LabelsSection>,
    pub parity: Option<Parity>,
    /// What only the file of a model zoo says; the graph must agree.
    #[serde(skip)]
    pub described: Option<Described>,
    pub input: InputSection,
    pub classes: Option<Vec<ClassSection>>,
}

/// Facts of the graph that the file of a model zoo states.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described {
    /// Name of the file.
    pub file: &'static str,
    /// Width and height of the pictures, px; `None`: many sizes.
    pub side: Option<(u32, u32)>,
    /// Order of axes.
    pub layout: Option<Layout>,
    /// SHA-256 of the weights, hex digits.
    pub sha256: Option<String>,
}

/// `[points]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct PointsSection {
    pub min_distance_um: Option<f64>,
    pub diameter_um: Option<f64>,
    pub channels: Option<Vec<usize>>,
}

/// `[semantic]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct SemanticSection {
    pub channels: Option<Vec<usize>>,
    pub least_probability: Option<f64>,
}

/// `[star]`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct StarSection {
    pub overlap: Option<f64>,
    pub log: Option<bool>,
}

/// `[hover]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct HoverSection {
    pub sobel_px: Option<u32>,
    pub min_px: Option<u32>,
    pub np: Option<String>,
    pub hv: Option<String>,
    pub tp: Option<String>,
}

/// `[labels]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct LabelsSection {
    pub channels: Option<Vec<usize>>,
}

/// `[input]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct InputSection {
    pub scale: Option<f64>,
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
    pub colour_order: Option<ColourOrder>,
    pub percentile: Option<PercentileSection>,
}

/// `[input.percentile]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct PercentileSection {
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub per: Option<String>,
    pub channels: Option<StretchedChannels>,
    pub epsilon: Option<f64>,
}

/// One of `[[classes]]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ClassSection {
    pub name: String,
    pub colour: Option<String>,
    pub conf: Option<f64>,
}

const TOP: &[&str] = &[
    "name",
    "version",
    "description",
    "licence",
    "attribution",
    "mpp",
    "max_object_um",
    "piece_overlap_px",
    "stride",
    "conf",
    "nms_iou",
    "cross_class_iou",
    "end2end",
    "head",
    "activation",
    "background",
    "points",
    "semantic",
    "star",
    "hover",
    "labels",
    "parity",
    "input",
    "classes",
];
const POINTS: &[&str] = &["min_distance_um", "diameter_um", "channels"];
const SEMANTIC: &[&str] = &["channels", "least_probability"];
const STAR: &[&str] = &["overlap", "log"];
const HOVER: &[&str] = &["sobel_px", "min_px", "np", "hv", "tp"];
const LABELS: &[&str] = &["channels"];
const INPUT: &[&str] = &["scale", "mean", "std", "colour_order", "percentile"];
const PERCENTILE: &[&str] = &["low", "high", "per", "channels", "epsilon"];
const CLASS: &[&str] = &["name", "colour", "conf"];

impl InputSection {
    /// `true` if it says what becomes of values.
    pub(crate) fn is_about_values(&self) -> bool {
        self.scale.is_some() || self.mean.is_some() || self.std.is_some() || self.percentile.is_some()
    }
}

impl ManifestFile {
    /// What it says, and what `other` says where it does not; of the files of model zoos.
    pub(crate) fn or(self, other: Self) -> Self {
        let colour_order = self.input.colour_order.or(other.input.colour_order);
        let input = if self.input.is_about_values() { self.input } else { other.input };
        Self {
            name: self.name.or(other.name),
            version: self.version.or(other.version),
            description: self.description.or(other.description),
            licence: self.licence.or(other.licence),
            attribution: self.attribution.or(other.attribution),
            mpp: self.mpp.or(other.mpp),
            stride: self.stride.or(other.stride),
            activation: self.activation.or(other.activation),
            described: self.described.or(other.described),
            input: InputSection { colour_order, ..input },
            ..self
        }
    }

    /// Reads TOML. Keys we do not know are refused: a misspelt `mpp` must not become a guess.
    pub(crate) fn parse(text: &str) -> Result<Self, DetectorError> {
        let table: toml::Table = text.parse().map_err(not_toml)?;
        check_keys("", &table, TOP)?;
        for (name, known) in [
            ("points", POINTS),
            ("semantic", SEMANTIC),
            ("star", STAR),
            ("hover", HOVER),
            ("labels", LABELS),
            ("parity", Parity::KEYS),
            ("input", INPUT),
        ] {
            if let Some(toml::Value::Table(section)) = table.get(name) {
                check_keys(&format!("{name}."), section, known)?;
            }
        }
        let percentile = table.get("input").and_then(|input| input.get("percentile"));
        if let Some(toml::Value::Table(section)) = percentile {
            check_keys("input.percentile.", section, PERCENTILE)?;
        }
        for class in table.get("classes").and_then(toml::Value::as_array).into_iter().flatten() {
            if let toml::Value::Table(class) = class {
                check_keys("classes.", class, CLASS)?;
            }
        }
        toml::from_str(text).map_err(not_toml)
    }
}

fn not_toml(error: toml::de::Error) -> DetectorError {
    DetectorError::manifest("manifest", error.to_string().trim_end())
}

fn check_keys(prefix: &str, table: &toml::Table, known: &[&str]) -> Result<(), DetectorError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let near = nearest(key, known);
            Err(DetectorError::manifest(
                format!("{prefix}{key}"),
                format!("unknown key, nearest known: {prefix}{near}"),
            ))
        }
    }
}

/// The known name with the fewest edits to `name`; the first of equals.
fn nearest<'a>(name: &str, known: &[&'a str]) -> &'a str {
    known.iter().copied().min_by_key(|other| edits(name, other)).unwrap_or_default()
}

/// Levenshtein's distance: insertions, deletions and substitutions from `a` to `b`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_said() {
        let file = ManifestFile::parse(
            r##"
            name = "n"
            mpp = 0.5
            stride = 8
            end2end = true
            [input]
            mean = [0.1, 0.2, 0.3]
            colour_order = "bgr"
            [[classes]]
            name = "nucleus"
            colour = "#00a0ff"
            conf = 0.3
            "##,
        )
        .unwrap();
        assert_eq!((file.mpp, file.stride, file.end2end), (Some(0.5), Some(8), Some(true)));
        assert_eq!(file.input.colour_order, Some(ColourOrder::Bgr));
        assert_eq!(file.classes.unwrap()[0].conf, Some(0.3));
    }

    fn message(text: &str) -> String {
        ManifestFile::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn misspelt_keys_name_the_nearest() {
        assert_eq!(message("mmp = 0.25"), "mmp: unknown key, nearest known: mpp");
        assert_eq!(
            message("[input]\ncolor_order = 'rgb'"),
            "input.color_order: unknown key, nearest known: input.colour_order"
        );
        assert_eq!(
            message("[[classes]]\ncolor = ''"),
            "classes.color: unknown key, nearest known: classes.colour"
        );
        assert!(message("mpp = 'a'").contains("expected"));
        assert!(message("mpp = ").starts_with("manifest: "));
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!((edits("", "abc"), edits("kitten", "sitting"), edits("mpp", "mpp")), (3, 3, 0));
    }
}
