//! What is asked of a data set.

use serde::{Deserialize, Serialize};

use super::split::SplitSettings;
use crate::{EvalError, error::Result};

/// What is asked of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingSettings {
    /// Boxes or outlines.
    pub task: Task,
    /// µm per px of the tiles; `None` keeps each image's own pixels.
    pub mpp: Option<f64>,
    /// Side of a tile in its px.
    pub tile_px: u32,
    /// What neighbouring tiles share, in their px.
    pub overlap_px: u32,
    /// What becomes of objects that a tile's border cuts.
    pub border: BorderRule,
    /// Side of the box that stands for a dot, in µm. Without it dots are an
    /// error: a detector needs sizes.
    pub dot_um: Option<f64>,
    /// How images are divided.
    pub split: SplitSettings,
    /// Training tiles without objects, at most so many for each with objects.
    /// Validation and test keep all of theirs, so that their false positives
    /// are honest.
    pub empty_per_full: f64,
    /// No class weight, and no number of repeats, is larger than this times
    /// the smallest.
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

/// What a model is to learn.
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

/// Which objects at a tile's border are labelled there, clipped to the tile.
/// The others are listed in [`Tile::hidden`], for the caller to paint over: an
/// object in sight without a label teaches the model not to see it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BorderRule {
    /// At least this share of the object's area is in the tile.
    Visible(f64),
    /// Its centre of mass is in the tile: without overlap, each object is
    /// labelled exactly once.
    Centre,
    /// All of it is in the tile.
    Whole,
}

impl TrainingSettings {
    /// Refuses what cannot be planned with.
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
