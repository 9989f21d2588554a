//! Evidence of the head that a model has, and the head found from it.

use std::fmt;

use super::{Activation, Background, Dim, Head, HeadSource, file::HoverSection};
use crate::DetectorError;

/// A head as a TOML states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadName {
    /// Boxes by columns: YOLOv8, YOLO11.
    Detect,
    /// The same with mask coefficients and prototypes.
    Segment,
    /// Duplicates already gone; with prototypes, masks too.
    EndToEnd,
    /// Rows with an objectness: YOLOv5, YOLOv7, YOLOX exported with its decoding.
    Objectness,
    /// The same before the grid is decoded: YOLOX as its own export writes it.
    ObjectnessGrid,
    /// Boxes as fractions of the window, a score per class and query: DETR kinds.
    Detr,
    /// Boxes in px, scores and labels, decoded in the graph: DETR kinds as their authors export them.
    DetrFinal,
    /// Maps, one per class, whose peaks are objects: KongNet.
    Points,
    /// Maps of a score per class, or one of class numbers: segmentation of tissue.
    Semantic,
    /// Scores of the window as a whole: classifiers of patches.
    Patch,
    /// Maps of a probability and of distances to the border: StarDist.
    Star,
    /// Maps of nuclei and of offsets from their centres: HoVer-Net, CellViT.
    Hover,
    /// Maps of the number of the object at each place: InstanSeg, and others that make objects inside the graph.
    Labels,
    /// A vector for each window: foundation models.
    Embedding,
}

impl HeadName {
    const ALL: [Self; 14] = [
        Self::Detect,
        Self::Segment,
        Self::EndToEnd,
        Self::Objectness,
        Self::ObjectnessGrid,
        Self::Detr,
        Self::DetrFinal,
        Self::Points,
        Self::Semantic,
        Self::Patch,
        Self::Star,
        Self::Hover,
        Self::Labels,
        Self::Embedding,
    ];

    /// The head of that name, or of a maker's word for it.
    pub(crate) fn parse(text: &str) -> Result<Self, DetectorError> {
        let text = text.trim();
        let named = Self::ALL.into_iter().find(|name| name.to_string() == text);
        let by_maker = match text {
            "yolov5" | "yolov7" => Some(Self::Objectness),
            "yolox" => Some(Self::ObjectnessGrid),
            _ => None,
        };
        named.or(by_maker).ok_or_else(|| {
            let known = Self::ALL.map(|name| name.to_string()).join(", ");
            DetectorError::manifest(
                "head",
                format!("is {text}, expected one of {known}, yolov5, yolov7, yolox"),
            )
        })
    }
}

impl fmt::Display for HeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detect => "detect",
            Self::Segment => "segment",
            Self::EndToEnd => "end2end",
            Self::Objectness => "objectness",
            Self::ObjectnessGrid => "objectness-grid",
            Self::Detr => "detr",
            Self::DetrFinal => "detr-final",
            Self::Points => "points",
            Self::Semantic => "semantic",
            Self::Patch => "patch",
            Self::Star => "star",
            Self::Hover => "hover",
            Self::Labels => "labels",
            Self::Embedding => "embedding",
        })
    }
}

/// Evidence, apart from shapes, of how a model answers.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// `head` of the TOML.
    pub(super) stated: Option<HeadName>,
    /// `true` if duplicates are already gone; `None` where neither the TOML, the metadata nor the arguments
    /// of the export say.
    pub(super) end2end: Option<bool>,
    /// `activation` of the TOML.
    pub(super) activation: Option<Activation>,
    /// `background` of the TOML.
    pub(super) background: Option<Background>,
    /// `[hover]` of the TOML, which may name outputs.
    pub(super) hover: HoverSection,
    /// The maker's own words, such as `Ultralytics YOLO11n model trained on cells.yaml`.
    pub(super) words: String,
}

impl Evidence {
    pub(super) fn is_rt_detr(&self) -> bool {
        let lower = self.words.to_ascii_lowercase();
        lower.contains("rt-detr") || lower.contains("rtdetr")
    }

    pub(super) fn is_yolo(&self) -> bool {
        self.words.to_ascii_lowercase().contains("yolo")
    }
}

/// A head, and how it was recognised.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) head: Head,
    pub(super) source: HeadSource,
    /// The outputs that it reads, in its order.
    pub(super) outputs: Vec<(String, Vec<Dim>)>,
    /// Form in which its makers give it pixels.
    pub(super) pixels: Pixels,
}

/// Form in which the makers of a kind of models give them pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pixels {
    /// Bytes over 255.
    Over255,
    /// The same, normalised by mean and deviation of ImageNet.
    ImageNet,
    /// Different makers use different forms.
    Unsaid,
    /// Each picture by its own percentiles.
    Percentiles,
}
