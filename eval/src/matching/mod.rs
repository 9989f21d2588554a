//! Matching of predictions with truth, one to one.
//!
//! Two steps. [`Candidates`] finds, through an R-tree, every pair near enough to be considered. Then
//! [`greedy`] (COCO's rule: the surest prediction chooses first) or [`optimal`] (as many pairs as possible,
//! and among those the closest) pairs them off. Average precision and FROC are *defined* with the greedy
//! rule, since a match must not change when the score threshold is lowered; counts at one threshold use the
//! optimal one unless told otherwise.
//!
//! Both work [`Clusters`] by cluster: predictions that compete for an object, directly or through others. A
//! decision in one does not affect another, so clusters are matched in the order of the file, where
//! neighbours lie together in memory, and by as many threads as there are.

mod candidates;
mod greedy;
mod optimal;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use wsi_types::ClassId;

pub use self::{
    candidates::{Candidate, Candidates, Clusters, similarity},
    greedy::{MOST_THRESHOLDS, Verdict, by_falling_score, greedy, greedy_at},
    optimal::optimal,
};
use crate::{
    EvalError,
    error::Result,
    objects::{Detail, Object, Role},
};

/// Condition under which a prediction is near enough to an object to match it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Criterion {
    /// Intersection over union of the boxes, at least this.
    BoxIou(f64),
    /// Intersection over union of the outlines, at least this.
    MaskIou(f64),
    /// Distance of the centres of mass in µm, at most this.
    DistanceUm(f64),
}

impl Criterion {
    /// The detail of shapes that readers must keep for it.
    #[must_use]
    pub fn detail(self) -> Detail {
        match self {
            Self::BoxIou(_) => Detail::Boxes,
            Self::MaskIou(_) => Detail::Full,
            Self::DistanceUm(_) => Detail::Points,
        }
    }

    /// `true` if it compares areas.
    #[must_use]
    pub fn is_iou(self) -> bool {
        !matches!(self, Self::DistanceUm(_))
    }

    /// The threshold on [`Candidate::similarity`].
    #[must_use]
    pub fn threshold(self) -> f64 {
        match self {
            Self::BoxIou(iou) | Self::MaskIou(iou) => iou,
            Self::DistanceUm(um) => -um,
        }
    }

    /// The same measure with another IoU; a distance stays what it is.
    #[must_use]
    pub fn with_iou(self, iou: f64) -> Self {
        match self {
            Self::BoxIou(_) => Self::BoxIou(iou),
            Self::MaskIou(_) => Self::MaskIou(iou),
            Self::DistanceUm(um) => Self::DistanceUm(um),
        }
    }
}

impl FromStr for Criterion {
    type Err = EvalError;

    /// Reads `iou:0.5`, `mask-iou:0.5` or `distance:3um` (`µm` and no unit are also accepted).
    fn from_str(text: &str) -> Result<Self> {
        let bad = || EvalError::Criterion(text.to_owned());
        let (kind, value) = text.split_once(':').ok_or_else(bad)?;
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| bad());
        let iou = || Ok(Some(number(value)?).filter(|iou| *iou > 0.0 && *iou <= 1.0));
        let um = || {
            let bare = value.strip_suffix("um").or_else(|| value.strip_suffix("µm")).unwrap_or(value);
            Ok(Some(number(bare)?).filter(|um| *um > 0.0 && um.is_finite()))
        };
        match kind {
            "iou" => iou()?.map(Self::BoxIou),
            "mask-iou" => iou()?.map(Self::MaskIou),
            "distance" => um()?.map(Self::DistanceUm),
            _ => None,
        }
        .ok_or_else(bad)
    }
}

impl TryFrom<String> for Criterion {
    type Error = EvalError;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Criterion> for String {
    fn from(criterion: Criterion) -> Self {
        criterion.to_string()
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BoxIou(iou) => write!(f, "iou:{iou}"),
            Self::MaskIou(iou) => write!(f, "mask-iou:{iou}"),
            Self::DistanceUm(um) => write!(f, "distance:{um}um"),
        }
    }
}

/// Rule that says if classes must agree for a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classes {
    /// Only objects of the same class match.
    Same,
    /// Any may match: for the confusion of classes.
    Any,
}

impl Classes {
    pub(crate) fn allow(self, prediction: ClassId, truth: &Object) -> bool {
        self == Self::Any || truth.role == Role::IgnoreArea || prediction == truth.class
    }
}

/// Outcome of one prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is matched with this truth object.
    Hit(u32),
    /// It lies in a crowd or ignore area, or on an object that is not counted:
    /// neither right nor wrong.
    Ignored,
    /// It is matched with nothing.
    False,
    /// It does not take part: below the score threshold or over the cap.
    Unasked,
}

/// One image's objects, both sides, with their candidate pairs.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The predictions.
    pub predictions: &'a [Object],
    /// The truth objects.
    pub truth: &'a [Object],
    /// Pairs that are near enough.
    pub candidates: &'a Candidates,
}

/// The part of a [`Scene`] to be matched, and its rule for classes.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// `asked[p]` says that prediction `p` takes part.
    pub asked: &'a [bool],
    /// `ignored[t]` says that truth object `t` does not count.
    pub ignored: &'a [bool],
    /// Rule that says if classes must agree.
    pub classes: Classes,
}

impl Scene<'_> {
    /// Computes a value for the predictions of every cluster, each given with its place, and returns the
    /// values by place; `nothing` for predictions left out.
    fn by_cluster<T: Copy + Send + Sync>(
        &self,
        nothing: T,
        decide: impl Fn(&[u32], &mut Vec<(u32, T)>) + Sync,
    ) -> Vec<T> {
        let decided = self.candidates.clusters().map_chunks(|clusters| {
            let mut decided = Vec::new();
            clusters.for_each(|cluster| decide(cluster, &mut decided));
            decided
        });
        let mut by_place = vec![nothing; self.predictions.len()];
        for (place, what) in decided.into_iter().flatten() {
            by_place[place as usize] = what;
        }
        by_place
    }

    /// `true` if prediction `p` may be matched with a candidate.
    fn may_match(&self, p: u32, candidate: &Candidate, threshold: f64, classes: Classes) -> bool {
        let class = self.predictions[p as usize].class;
        candidate.similarity >= threshold && classes.allow(class, &self.truth[candidate.truth as usize])
    }
}
