//! Detections of a model.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{ModelClass, WindowBox, WindowPoint};

/// The place of a class in the list of names of a job: the classes of all its models, each once. For a single
/// model this is its own list ([`ModelClass`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassId(pub u16);

/// A model's confidence, 0 to 1, never NaN: so it has a total order.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(f32);

impl Score {
    /// As sure as can be.
    pub const ONE: Self = Self(1.0);

    /// `None` for NaN; values outside 0 to 1 (rounding in fp16 heads) are moved to the nearest end.
    #[must_use]
    pub fn new(value: f32) -> Option<Self> {
        // `+ 0.0` turns -0.0 into 0.0, so equal scores have equal bytes.
        (!value.is_nan()).then(|| Self(value.clamp(0.0, 1.0) + 0.0))
    }

    /// The value, 0 to 1.
    #[must_use]
    pub fn get(self) -> f32 {
        self.0
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A closed ring in window px; the last point joins the first and is not
/// repeated.
pub type Outline = Box<[WindowPoint]>;

/// One object in one window: class, score, box, and an outline when the model
/// draws one (then it is an *instance*).
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Its box in window px, finite, `min <= max`; may reach past the window's border.
    pub bbox: WindowBox,
    /// Its class, in the list of the model that found it.
    pub class: ModelClass,
    /// Confidence of the model.
    pub score: Score,
    /// Its own outline, when the head is a segment head.
    pub outline: Option<Outline>,
}
