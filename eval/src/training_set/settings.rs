//! Settings of a data set.

use serde::{Deserialize, Serialize};

use super::split::SplitSettings;
use crate::{EvalError, error::Result};

/// Settings of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingSettings {
    /// Boxes or outlines.
    pub task: Task,
    /// µm per px of the tiles; `None` keeps each image's own pixels.
    pub mpp: Option<f64>,
    /// Side of a tile in its px.
    pub tile_px: u32,
    /// Overlap of neighbouring tiles, in their px.
    pub overlap_px: u32,
    /// Treatment of objects that a tile's border cuts.
    pub border: BorderRule,
    /// Side of the box that stands for a dot, in µm. Without it dots are an
    /// error: a detector needs sizes.
    pub dot_um: Option<f64>,
    /// Rule for dividing images into splits.
    pub split: SplitSettings,
    /// Largest number of training tiles without objects for each tile with objects. Validation and test keep
    /// all of theirs, so that their false positives are honest.
    pub empty_per_full: f64,
    /// Limit of class weights and numbers of repeats, as a multiple of the smallest.
    pub weight_cap: f64,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            task: Task::Detect,
            mpp: None,
            tile_px: 640,
            overlap_px: 64,
            border: BorderRule::Visible(0.5),
            dot_um: None,
            split: SplitSettings::default(),
            empty_per_full: 0.1,
            weight_cap: 10.0,
        }
    }
}

/// Kind of labels that a model learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Boxes: `class cx cy w h`.
    #[default]
    Detect,
    /// Outlines: `class x1 y1 x2 y2 …`. Holes are left out, and of separate
    /// parts the largest stays: the format holds one ring.
    Segment,
}

/// Rule for labelling objects at a tile's border, clipped to the tile. Objects that get no label are listed
/// in [`Tile::hidden`](super::Tile::hidden), for the caller to paint over: a visible object without a label teaches the model not
/// to see it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BorderRule {
    /// At least this share of the object's area is in the tile.
    Visible(f64),
    /// Its centre of mass is in the tile: without overlap, each object is
    /// labelled exactly once.
    Centre,
    /// The whole object is in the tile.
    Whole,
}

impl TrainingSettings {
    /// Refuses settings that no plan can follow.
    pub(super) fn check(&self) -> Result<()> {
        let bad = |name, found: String, expected| Err(EvalError::Setting { name, found, expected });
        if self.tile_px == 0 {
            return bad("tile_px", "0".to_owned(), "at least 1");
        }
        if self.overlap_px >= self.tile_px {
            return bad("overlap_px", self.overlap_px.to_string(), "less than tile_px");
        }
        if let BorderRule::Visible(share) = self.border
            && !(share > 0.0 && share <= 1.0)
        {
            return bad("border.visible", share.to_string(), "over 0 and at most 1");
        }
        if self.mpp.is_some_and(|mpp| !(mpp > 0.0 && mpp.is_finite())) {
            return bad("mpp", format!("{:?}", self.mpp), "a positive number");
        }
        if self.weight_cap.is_nan() || self.weight_cap < 1.0 {
            return bad("weight_cap", self.weight_cap.to_string(), "at least 1");
        }
        if self.empty_per_full.is_nan() || self.empty_per_full < 0.0 {
            return bad("empty_per_full", self.empty_per_full.to_string(), "at least 0");
        }
        self.split.check()
    }
}
