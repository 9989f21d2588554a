//! The `parity` section of a manifest: the receipt of a comparison with the model's framework.

use serde::{Deserialize, Serialize};

/// Receipt of a comparison of our answers with those of a model's framework, as it can stand in the model's TOML below
/// `[parity]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// Name and version of the framework.
    pub framework: String,
    /// SHA-256 of the ONNX file.
    pub model_sha256: String,
    /// SHA-256 of the pixels of the picture.
    pub field_sha256: String,
    /// Our objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<u64>,
    /// Objects of the framework.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theirs: Option<u64>,
    /// Objects of one class that overlap by more than a half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// Largest distance of a side of matched boxes, px.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_px: Option<f32>,
    /// Largest difference of their scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_score: Option<f32>,
    /// Places of the map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<u64>,
    /// Number of them that are of another class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_places: Option<u64>,
}

impl Parity {
    /// Keys of the section.
    pub(super) const KEYS: &'static [&'static str] = &[
        "framework",
        "model_sha256",
        "field_sha256",
        "ours",
        "theirs",
        "matched",
        "largest_px",
        "largest_score",
        "places",
        "other_places",
    ];

    /// What [`agrees`](Self::agrees) asks for, in words.
    #[must_use]
    pub fn limits(&self) -> &'static str {
        if self.places.is_some() {
            "at most one place in a thousand of another class"
        } else {
            "each object of one among those of the other, within 0.5 px and 0.01 of a score"
        }
    }

    /// `true` if both found the same: each object has its match, within half a px and a hundredth of a score, and no
    /// more than one place in a thousand is of another class.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let objects = self.ours == self.theirs && self.matched == self.theirs;
        let near =
            self.largest_px.is_none_or(|px| px <= 0.5) && self.largest_score.is_none_or(|off| off <= 0.01);
        let places = self.other_places.unwrap_or(0) * 1000 <= self.places.unwrap_or(0);
        objects && near && places
    }

    /// The section as it can be appended to a TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Strings and numbers are always TOML.
        format!("[parity]\n{}", toml::to_string(self).unwrap_or_default())
    }
}

/// One line: `41 of 41 objects of ultralytics 8.4.190, at most 0.03 px and 0.0001 of a score apart`.
impl std::fmt::Display for Parity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            framework, ours, theirs, matched, largest_px, largest_score, places, other_places, ..
        } = self;
        if let (Some(places), Some(other)) = (places, other_places) {
            return write!(f, "{other} of {places} places of another class than by {framework}");
        }
        let [ours, theirs, matched] = [ours, theirs, matched].map(|count| count.unwrap_or_default());
        write!(f, "{matched} of {theirs} objects of {framework} are among our {ours}")?;
        match (largest_px, largest_score) {
            (Some(px), Some(score)) => write!(f, ", at most {px:.4} px and {score:.5} of a score apart"),
            _ => Ok(()),
        }
    }
}
