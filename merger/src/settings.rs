//! Settings that tell detections of one object from detections of two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, Score};

use crate::MergeError;

/// The widest border that [`MergeSettings::border_px`] may ask for.
pub const MAX_BORDER_PX: f64 = 16.0;

/// Treatment of the boxes of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The best one is kept as it is (greedy non-maximum suppression).
    #[default]
    Nms,
    /// The best one grows to cover those that agree with it (greedy non-maximum merging), but not those that
    /// agree only with another of these.
    Nmm,
    /// Weighted boxes fusion (Solovyev, Wang and Gabruseva 2021): the mean of
    /// the boxes weighted by score; the score is the mean of the scores, times
    /// the share of the windows that saw it among those that could.
    Wbf,
}

/// Measure of the agreement of two detections, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Shared area of the boxes over the area they cover together.
    #[default]
    Iou,
    /// Shared area of the boxes over the smaller one's: one nested in another
    /// is the same object.
    Ios,
    /// Shared area of the outlines over the area they cover together, measured
    /// to about 0.01; of the boxes where one has no outline.
    MaskIou,
}

/// Treatment of a detection that a window's border cuts, when another window sees that place whole and finds
/// nothing there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnseenCut {
    /// It is kept and flagged: an object that any window saw is in the table.
    #[default]
    Keep,
    /// It is dropped and counted: the window with the better view decides.
    Drop,
}

/// One number for all classes, with exceptions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerClass<T> {
    /// For classes without an exception.
    pub overall: T,
    /// Exceptions by class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class: BTreeMap<ClassId, T>,
}

impl<T: Copy> PerClass<T> {
    /// The same number for every class.
    #[must_use]
    pub fn all(overall: T) -> Self {
        Self { overall, class: BTreeMap::new() }
    }

    /// The number for `class`.
    #[must_use]
    pub fn get(&self, class: ClassId) -> T {
        if self.class.is_empty() {
            return self.overall;
        }
        self.class.get(&class).copied().unwrap_or(self.overall)
    }

    fn values(&self) -> impl Iterator<Item = T> {
        std::iter::once(self.overall).chain(self.class.values().copied())
    }
}

/// Settings of the merge. The defaults are those of `slidemill run` for a model without settings of its own
/// (decisions 8 and 16).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MergeSettings {
    /// Treatment of the boxes of one object.
    pub method: Method,
    /// Measure of the agreement of two detections.
    pub metric: Metric,
    /// Detections of one class that agree at least this much are one object;
    /// above 0, at most 1.
    pub iou: PerClass<f64>,
    /// Detections of two classes in *one* window that agree at least this much
    /// are one object. Above 1: never.
    pub cross_class_iou: f64,
    /// The same for detections of two classes in *two* windows, whose boxes
    /// differ by the model's jitter. Above 1: never.
    pub cross_class_view_iou: f64,
    /// Largest distance, in window px, at which a box touches a window's border.
    pub border_px: f64,
    /// Detections below this score are left out, 0 to 1.
    pub min_score: PerClass<f32>,
    /// Treatment of a cut detection that no better view confirms.
    pub unseen_cut: UnseenCut,
    /// Width in window px of the rim along inner borders of a window. An object that is nearer to such a
    /// border of each window that saw it was judged without its surroundings: if a window that is done sees
    /// its place deeper and found nothing, it is dropped. 0: objects that any window saw are kept.
    pub rim_px: f64,
}

impl Default for MergeSettings {
    fn default() -> Self {
        Self {
            method: Method::Nms,
            metric: Metric::Iou,
            // In single precision, as models state it.
            iou: PerClass::all(f64::from(0.7_f32)),
            cross_class_iou: 0.7,
            cross_class_view_iou: 0.45,
            border_px: 3.0,
            min_score: PerClass::all(0.25),
            unseen_cut: UnseenCut::Keep,
            rim_px: 64.0,
        }
    }
}

impl MergeSettings {
    /// Checks every number once, so that merging can trust them.
    ///
    /// # Errors
    ///
    /// [`MergeError::Setting`] names the first that is out of range.
    pub fn validate(&self) -> Result<(), MergeError> {
        for iou in self.iou.values() {
            check(iou > 0.0 && iou <= 1.0, "iou", iou.to_string(), "above 0, at most 1")?;
        }
        for (name, iou) in
            [("cross_class_iou", self.cross_class_iou), ("cross_class_view_iou", self.cross_class_view_iou)]
        {
            check(iou > 0.0, name, iou.to_string(), "above 0 (above 1: never)")?;
        }
        for score in self.min_score.values() {
            check((0.0..=1.0).contains(&score), "min_score", score.to_string(), "between 0 and 1")?;
        }
        let rim = self.rim_px;
        check(rim >= 0.0 && rim.is_finite(), "rim_px", rim.to_string(), "0 or more, finite")?;
        let border = self.border_px;
        check((0.0..=MAX_BORDER_PX).contains(&border), "border_px", border.to_string(), "between 0 and 16")
    }

    pub(crate) fn takes(&self, class: ClassId, score: Score) -> bool {
        score.get() >= self.min_score.get(class)
    }
}

/// Refuses a setting that is not as `expected`.
pub(crate) fn check(
    ok: bool,
    name: &'static str,
    found: String,
    expected: &'static str,
) -> Result<(), MergeError> {
    if ok { Ok(()) } else { Err(MergeError::Setting { name, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_nonsense_is_named() {
        MergeSettings::default().validate().unwrap();
        let settings = MergeSettings { border_px: f64::NAN, ..MergeSettings::default() };
        let message = settings.validate().unwrap_err().to_string();
        assert_eq!(message, "setting `border_px` is NaN, expected between 0 and 16");
        let settings = MergeSettings { iou: PerClass::all(0.0), ..MergeSettings::default() };
        assert!(settings.validate().unwrap_err().to_string().contains("`iou` is 0"));
    }

    #[test]
    fn settings_survive_json() {
        let mut settings = MergeSettings::default();
        settings.iou.class.insert(ClassId(3), 0.6);
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<MergeSettings>(&text).unwrap(), settings);
        assert!(serde_json::from_str::<MergeSettings>(r#"{"metric":"ious"}"#).is_err());
    }
}
