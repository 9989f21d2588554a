//! The run account of one slide: what was and was not analysed, and why.

use std::{collections::BTreeMap, fs, io, path::Path};

use merger::SeamAudit;
use serde::{Deserialize, Serialize};

use crate::{id::SlideId, seal::Seal};
pub use wsi_types::ModelFacts;

/// How a slide ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every window of the plan has a result.
    Done,
    /// Some windows have none; the rest is written.
    Partial,
    /// Nothing is written.
    Failed,
}

impl Outcome {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// `OUT/runs/<id>.json`. Holds no path and no file name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunAccount {
    /// Which slide.
    pub slide: SlideId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why there are no results, for a failed slide.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Version of slidemill.
    pub slidemill: String,
    /// The model that was run.
    pub model: ModelFacts,
    /// What the model ran on.
    pub device: String,
    /// SHA-256 over slide content, model and every setting that can change a
    /// result: equal means nothing needs to be done again.
    pub fingerprint: String,
    /// The settings in that hash.
    pub settings: BTreeMap<String, String>,
    /// What was done, for a slide that was analysed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub analysis: Option<Analysis>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why the results are to be doubted, whatever became of the windows: a scale that the nuclei contradict, a
    /// slide that is not what the model was made for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// When it ended, UTC: `2026-11-22T07:05:59Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Time that the run which ended it worked on it, in seconds; not the time it waited for its turn.
    pub elapsed_secs: f64,
}

/// One of several detectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorFacts {
    /// The model it runs.
    pub model: ModelFacts,
    /// µm per px of its windows.
    pub mpp: f64,
    /// Cells it found, before they were fused.
    pub cells: u64,
}

/// What was analysed, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Width and height of level 0, px.
    #[serde(default)]
    pub slide_px: [u32; 2],
    /// µm per level-0 px.
    pub mpp: f64,
    /// Where that is from.
    pub mpp_source: String,
    /// µm per px of the windows; of the first detector, where there are several.
    pub model_mpp: f64,
    /// Each of several detectors; empty when there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detectors: Vec<DetectorFacts>,
    /// Windows of the plan, and how they ended.
    pub windows: WindowCounts,
    /// Windows without result, by reason.
    pub failures: Vec<FailureCount>,
    /// Tissue found and tissue analysed.
    pub coverage: Coverage,
    /// Cells written, by class name.
    pub cells: BTreeMap<String, u64>,
    /// Detections that did not become rows, and cells that filters took out, by
    /// reason.
    pub dropped: BTreeMap<String, u64>,
    /// Cells by class at several thresholds, ascending.
    #[serde(default)]
    pub by_threshold: Vec<ThresholdCount>,
    /// Regions written, by kind.
    #[serde(default)]
    pub regions: Vec<RegionCount>,
    /// Density by distance to window seams, as the merger's audit gives it.
    pub seam_audit: serde_json::Value,
    /// Tiles of the file that were needed, decoded and failed.
    pub tiles: TileCounts,
    /// Tables and pictures of the dataset, relative to `OUT`.
    pub files: Vec<FileFacts>,
}

/// How many cells a threshold leaves. From this run's own thresholds on these
/// are its cells with at least that score; below, where raw detections are kept,
/// those that merging with that threshold gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdCount {
    /// Lowest score that is counted, of every class.
    pub min_score: f32,
    /// Cells by class name.
    pub cells: BTreeMap<String, u64>,
}

/// The kind of regions that the tissue mask found.
pub const TISSUE: &str = "tissue";
/// The kind of regions where many cells lie.
pub const DENSE: &str = "dense";

/// The kind of regions that a person drew.
pub const ROI: &str = "roi";

/// The regions of one kind; those that a person drew also of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionCount {
    /// `tissue`, `dense`, `roi`, or a class of the model.
    pub kind: String,
    /// The class that a person gave to regions of interest, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// How many.
    pub regions: u64,
    /// Their area.
    pub area_mm2: f64,
    /// Of it, seen by at least one window with a result.
    pub analysed_mm2: f64,
    /// Cells in them, by class name.
    pub cells: BTreeMap<String, u64>,
}

impl RegionCount {
    /// The kind, with the class that a person gave: `roi: Tumor`.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.class_name {
            Some(class) => format!("{}: {class}", self.kind),
            None => self.kind.clone(),
        }
    }
}

/// Windows of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowCounts {
    /// In the plan.
    pub planned: usize,
    /// With a result.
    pub done: usize,
    /// Without one.
    pub failed: usize,
    /// Of those that failed, windows that a disk or file server did not give: the same command reads them again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: usize,
    /// With a result that is as long as the model can give: objects may be missing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub full: usize,
}

/// Windows that failed alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureCount {
    /// In words.
    pub reason: String,
    /// Which detector, of several; the first is 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub detector: usize,
    /// Their places in the plan.
    pub windows: Vec<u32>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn is_first(detector: &usize) -> bool {
    *detector == 0
}

/// Tissue in mm².
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Found by the mask.
    pub tissue_mm2: f64,
    /// Of it, seen by at least one window with a result.
    pub analysed_mm2: f64,
    /// The latter over the former; 1 for a slide without tissue.
    pub fraction: f64,
    /// Tiles in tissue or next to it that the file does not store: read as background,
    /// so what was there is not known.
    #[serde(default, skip_serializing_if = "is_none_mm2")]
    pub absent_mm2: f64,
}

impl Coverage {
    /// Cells per mm² of analysed tissue, where there is some.
    #[must_use]
    pub fn per_mm2(&self, cells: u64) -> Option<f64> {
        (self.analysed_mm2 > 0.0).then(|| cells as f64 / self.analysed_mm2)
    }
}

fn is_none_mm2(area: &f64) -> bool {
    *area == 0.0
}

/// Native tiles of the slide file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileCounts {
    /// That windows of this run needed.
    pub needed: u64,
    /// Times a tile was decoded; equal to `needed` when each was decoded once.
    pub decoded: u64,
    /// That could not be decoded.
    pub failed: u64,
    /// That the file does not store: background.
    #[serde(default, skip_serializing_if = "is_none")]
    pub absent: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A file of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Relative to `OUT`, with `/`.
    pub path: String,
    /// Of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Size.
    pub bytes: u64,
    /// Of the whole file.
    pub sha256: String,
}

impl Analysis {
    /// What the comparison of cells near window borders with those beside said;
    /// `None` in accounts that hold no such audit.
    #[must_use]
    pub fn seams(&self) -> Option<SeamAudit> {
        serde_json::from_value(self.seam_audit.clone()).ok()
    }
}

impl RunAccount {
    /// Reads an account.
    ///
    /// # Errors
    ///
    /// When the file is not there, is no account, or is not as it was written.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read(path)?;
        // Accounts of before have no seal.
        if Seal::of(&text) == Seal::Broken {
            return Err(io::Error::other("it has changed since it was written: its checksum is another"));
        }
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// The first table or picture that is not there as large as it was written, in words.
    #[must_use]
    pub fn lost_file(&self, root: &Path) -> Option<String> {
        self.analysis.iter().flat_map(|analysis| &analysis.files).find_map(|file| {
            match fs::metadata(root.join(&file.path)) {
                Ok(facts) if facts.len() == file.bytes => None,
                Ok(facts) => {
                    Some(format!("{} has {} bytes instead of {}", file.path, facts.len(), file.bytes))
                }
                Err(error) => Some(format!("{} cannot be read: {error}", file.path)),
            }
        })
    }

    /// How it ended, and why that is to be doubted: `done`, `done, doubtful: …`, `incomplete`, `failed`.
    #[must_use]
    pub fn verdict(&self) -> String {
        let word = self.outcome.word();
        if self.doubts.is_empty() {
            word.into()
        } else {
            format!("{word}, doubtful: {}", self.doubts.join("; "))
        }
    }

    /// Whether windows failed for a reason that may pass, so that the same command can complete the slide.
    #[must_use]
    pub fn may_be_completed(&self) -> bool {
        self.analysis.as_ref().is_some_and(|analysis| analysis.windows.unread > 0)
    }

    /// Cells of all classes.
    #[must_use]
    pub fn cells(&self) -> u64 {
        self.analysis.as_ref().map_or(0, |analysis| analysis.cells.values().sum())
    }
}
