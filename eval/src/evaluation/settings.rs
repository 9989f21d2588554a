//! Settings of an evaluation.

use serde::{Deserialize, Serialize};

use crate::{
    ap::AreaRange,
    bootstrap::BootstrapSettings,
    froc::{self, Reading},
    matching::Criterion,
};

/// Settings of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationSettings {
    /// Condition under which a prediction is near enough to an object to match it.
    pub criterion: Criterion,
    /// The working threshold: predictions of at least this score are what a
    /// user would see. Curves and AP use all predictions given.
    pub min_score: f32,
    /// Rule that pairs predictions at the working threshold with truth. AP, PR and FROC curves are greedy by
    /// definition.
    pub assignment: Assignment,
    /// At most this many predictions per image and class, the surest first.
    /// `None`, the default, counts them all.
    pub max_predictions: Option<usize>,
    /// AP of objects of some sizes only. Needs areas (with a distance, read with
    /// [`Detail::Full`](crate::objects::Detail::Full)), and in µm² pixel sizes.
    pub area_ranges: Vec<AreaRange>,
    /// False-positive rates per image at which sensitivity is reported.
    pub rates_per_image: Vec<f64>,
    /// False-positive rates per mm² at which sensitivity is reported.
    pub rates_per_mm2: Vec<f64>,
    /// Rule for reading sensitivity between thresholds.
    pub froc_reading: Reading,
    /// Bins of the reliability diagram.
    pub calibration_bins: usize,
    /// Truth objects within so many px of the image's border are cut by it and
    /// treated as [`Role::Crowd`](crate::objects::Role::Crowd). `None` counts them all.
    pub border_px: Option<f64>,
    /// Settings of the intervals; `None` for none.
    pub bootstrap: Option<BootstrapSettings>,
    /// Largest number of points per curve in the report.
    pub curve_points: usize,
    /// Treatment of predictions on images that the truth does not have.
    pub unknown_images: UnknownImages,
    /// Treatment of truth images that the predictions do not have.
    pub absent_images: AbsentImages,
    /// Makes all classes one. This also happens, with a note, when one side has no classes.
    pub ignore_classes: bool,
}

impl Default for EvaluationSettings {
    fn default() -> Self {
        Self {
            criterion: Criterion::BoxIou(0.5),
            min_score: 0.5,
            assignment: Assignment::Optimal,
            max_predictions: None,
            area_ranges: Vec::new(),
            rates_per_image: froc::RATES.to_vec(),
            rates_per_mm2: froc::RATES.to_vec(),
            froc_reading: Reading::Attainable,
            calibration_bins: 10,
            border_px: None,
            bootstrap: Some(BootstrapSettings::default()),
            curve_points: 512,
            unknown_images: UnknownImages::default(),
            absent_images: AbsentImages::default(),
            ignore_classes: false,
        }
    }
}

/// Rule for making pairs at the working threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assignment {
    /// As many pairs as possible, then the closest.
    #[default]
    Optimal,
    /// The surest prediction chooses first.
    Greedy,
}

/// Treatment of predictions on images that the truth does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownImages {
    /// Refuse them: they may be all false, or merely not annotated.
    #[default]
    Refuse,
    /// Leave them out, with a note.
    Skip,
}

/// Treatment of truth images that the predictions do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbsentImages {
    /// They were never run: leave them out, with a note.
    #[default]
    LeaveOut,
    /// Nothing was found in them: all their objects are missed. pycocotools does so too: its results name no
    /// image without objects.
    Missed,
}
