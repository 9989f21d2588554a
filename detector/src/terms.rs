//! Facts about a model, beside its weights, that a job must know: enough to tell whether two jobs give the
//! same detections, and to make cells of them without it.

use serde::{Deserialize, Serialize};
use wsi_types::{ModelFacts, Mpp};

use crate::{
    Manifest,
    manifest::{Head, Hover, Labels, Normalisation, Points, Semantic, Star},
};

/// The part of a [`Manifest`] that decides what is found. A window ledger holds it, so that raw detections can be merged
/// again where the model is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergeTerms {
    /// Name, version, hash.
    pub facts: ModelFacts,
    /// µm per px that the model was trained at; `None`: it does not say.
    pub mpp: Option<Mpp>,
    /// Name and own score threshold of each class, in the order of [`wsi_types::ModelClass`].
    pub classes: Vec<(String, Option<f32>)>,
    /// Score threshold of classes without one of their own, 0 to 1.
    pub conf: f32,
    /// IoU above which two boxes of one window are one object, 0 to 1.
    pub nms_iou: f32,
    /// The same for boxes of different classes; `None`: it does not say.
    #[serde(default)]
    pub cross_class_iou: Option<f64>,
    /// The longest side, in µm, of objects it promises to see whole.
    pub max_object_um: Option<f64>,
    /// Its coarsest stride in px: window sides are multiples of it.
    pub stride: u32,
    /// Width and height that its input always has, px; `None`: it takes windows of many sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_input: Option<(u32, u32)>,
    /// Width that pieces of a larger window share, px; `None`: as its largest object asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece_overlap_px: Option<u32>,
    /// Settings for making objects of its maps; of a head of points only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Points>,
    /// Settings for making a class map of its scores; of a semantic or patch head only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semantic: Option<Semantic>,
    /// Settings for making objects of distances along rays; of a star head only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub star: Option<Star>,
    /// Sizes for making instances of its maps; of a hover head only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hover: Option<Hover>,
    /// The map of each class; of a head of labels only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Layout of its answers.
    pub head: Head,
    /// Arithmetic that turns bytes into its tensor.
    pub normalisation: Normalisation,
}

impl MergeTerms {
    /// Names of its classes, in order.
    pub fn class_names(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|(name, _)| name.as_str())
    }
}

impl Manifest {
    /// Returns the facts about the model, beside its weights, that a job must know.
    #[must_use]
    pub fn merge_terms(&self) -> MergeTerms {
        MergeTerms {
            facts: self.facts(),
            mpp: self.mpp,
            classes: self.classes.iter().map(|class| (class.name.clone(), class.conf)).collect(),
            conf: self.conf,
            nms_iou: self.nms_iou,
            cross_class_iou: self.cross_class_iou,
            max_object_um: self.max_object_um,
            stride: self.stride,
            fixed_input: self.fixed_input(),
            piece_overlap_px: self.piece_overlap_px,
            points: self.points.clone(),
            semantic: self.semantic.clone(),
            star: self.star,
            hover: self.hover.clone(),
            labels: self.labels.clone(),
            head: self.head,
            normalisation: self.normalisation,
        }
    }

    /// Returns the facts that name the model in accounts.
    #[must_use]
    pub fn facts(&self) -> ModelFacts {
        ModelFacts {
            name: self.name.clone(),
            version: self.version.clone().unwrap_or_default(),
            sha256: self.sha256.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ledgers of earlier runs hold exactly this: another text needs another number of their format.
    #[test]
    fn terms_are_written_as_ledgers_have_them() {
        let mut manifest = Manifest::without_model("m", &["tumour", "stroma"], Mpp::new(0.5).ok());
        manifest.classes[1].conf = Some(0.5);
        let text = serde_json::to_string(&manifest.merge_terms()).unwrap();
        let expected = r#"{"facts":{"name":"m","version":"","sha256":""},"mpp":0.5,"classes":[["tumour",null],["stroma",0.5]],"conf":0.25,"nms_iou":0.7,"cross_class_iou":null,"max_object_um":null,"stride":1,"head":"detect","normalisation":{"scale":0.00392156862745098,"mean":[0.0,0.0,0.0],"std":[1.0,1.0,1.0],"colour_order":"rgb"}}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<MergeTerms>(&text).unwrap(), manifest.merge_terms());
    }
}
