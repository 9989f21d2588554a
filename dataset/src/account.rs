//! The run account of one slide: the parts that were and were not analysed, with reasons.

use std::{collections::BTreeMap, fs, io, path::Path};

use merger::SeamAudit;
use serde::{Deserialize, Serialize};

use crate::{id::SlideId, seal::Seal};
pub use wsi_types::ModelFacts;
use wsi_types::wording::region_label;

/// Outcome of a slide.
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
    /// The word for it in accounts and tables.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }

    /// The outcome in one word for people.
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
    /// The slide.
    pub slide: SlideId,
    /// Its outcome.
    pub outcome: Outcome,
    /// Reason why there are no results, for a failed slide.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Version of slidemill.
    pub slidemill: String,
    /// The model that was run.
    pub model: ModelFacts,
    /// The device that the model ran on; several joined by ` + `.
    pub device: String,
    /// Share of each of several devices; empty when there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceShare>,
    /// SHA-256 over slide content, model and every setting that can change a result: if it is equal, nothing
    /// needs to be done again.
    pub fingerprint: String,
    /// The settings in that hash.
    pub settings: BTreeMap<String, String>,
    /// Results, for a slide that was analysed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub analysis: Option<Analysis>,
    /// Notes for the user.
    pub warnings: Vec<String>,
    /// Reasons to doubt the results, even if all windows are done: a scale that the nuclei contradict, a
    /// slide of a kind the model was not made for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// Files that are this slide byte by byte and were left out, as counted by the last job that met any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: usize,
    /// Time at which it ended, UTC: `2026-11-22T07:05:59Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Time that the run which ended it worked on it, in seconds; without the time it waited for its turn.
    pub elapsed_secs: f64,
}

/// One of several devices that a model ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceShare {
    /// Its name, as `--device` has it.
    pub device: String,
    /// Windows of the slide that the run which ended it had done here; those of earlier runs are not counted.
    pub windows: usize,
    /// Reason that it was retired and got no more windows, of this slide and all later ones of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<String>,
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

/// Extent and results of an analysis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Width and height of level 0, px.
    #[serde(default)]
    pub slide_px: [u32; 2],
    /// µm per level-0 px.
    pub mpp: f64,
    /// Source of that value.
    pub mpp_source: String,
    /// µm per px of the windows; of the first detector, if there are several.
    pub model_mpp: f64,
    /// Facts about each of several detectors; empty when there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detectors: Vec<DetectorFacts>,
    /// Windows of the plan, by outcome.
    pub windows: WindowCounts,
    /// Windows without result, by reason.
    pub failures: Vec<FailureCount>,
    /// Tissue found and tissue analysed.
    pub coverage: Coverage,
    /// Cells written, by class name.
    pub cells: BTreeMap<String, u64>,
    /// Detections that did not become rows, and cells that filters removed, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Cells by class at several thresholds, ascending.
    #[serde(default)]
    pub by_threshold: Vec<ThresholdCount>,
    /// Regions written, by kind.
    #[serde(default)]
    pub regions: Vec<RegionCount>,
    /// Patches written, of a model that gives vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<PatchCount>,
    /// Density by distance to window seams, as the merger's audit gives it.
    pub seam_audit: serde_json::Value,
    /// Tiles of the file that were needed, decoded and failed.
    pub tiles: TileCounts,
    /// Tables and pictures of the dataset, relative to `OUT`.
    pub files: Vec<FileFacts>,
}

/// Cells that are left at a threshold. From this run's own thresholds on these are its cells with at least
/// that score; below, if raw detections are kept, those that merging with that threshold gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdCount {
    /// Lowest score that is counted, of every class.
    pub min_score: f32,
    /// Cells by class name.
    pub cells: BTreeMap<String, u64>,
}

/// The kind of the regions that the tissue mask found.
pub const TISSUE: &str = "tissue";
/// The kind of the regions that hold many cells.
pub const DENSE: &str = "dense";

/// The kind of regions that a person drew.
pub const ROI: &str = "roi";

/// The regions of one kind; those that a person drew also of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionCount {
    /// `tissue`, `dense`, `roi`, a band (`margin:-200..0`), or a class of the model.
    pub kind: String,
    /// The class that a person gave to regions of interest, if one did; of a band, that of its border.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Number of regions.
    pub regions: u64,
    /// Their area.
    pub area_mm2: f64,
    /// Area of it that at least one window with a result saw, with the glass that lies in it.
    pub analysed_mm2: f64,
    /// The part of that which is tissue; `None` in accounts of versions that did not measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysed_tissue_mm2: Option<f64>,
    /// Cells in them, by class name.
    pub cells: BTreeMap<String, u64>,
}

impl RegionCount {
    /// The kind, with the class that a person gave: `roi: Tumor`.
    #[must_use]
    pub fn label(&self) -> String {
        region_label(&self.kind, self.class_name.as_deref())
    }
}

/// The patches of a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchCount {
    /// Number of patches, each with a vector.
    pub patches: u64,
    /// Numbers of each vector.
    pub dimensions: usize,
}

/// Windows of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowCounts {
    /// Windows in the plan.
    pub planned: usize,
    /// Windows with a result.
    pub done: usize,
    /// Windows without one.
    pub failed: usize,
    /// Failed windows that a disk or file server did not give: the same command reads them again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: usize,
    /// Windows with a result that is as long as the model can give: objects may be missing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub full: usize,
}

/// Windows that failed for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureCount {
    /// The reason in words.
    pub reason: String,
    /// The detector, of several; the first is 0.
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
    /// Area of it that at least one window with a result saw.
    pub analysed_mm2: f64,
    /// The latter over the former; 1 for a slide without tissue.
    pub fraction: f64,
    /// Area of tiles in tissue or next to it that the file does not store: read as background, so their
    /// content is not known.
    #[serde(default, skip_serializing_if = "is_none_mm2")]
    pub absent_mm2: f64,
}

impl Coverage {
    /// Cells per mm² of analysed tissue; `None` if there is none.
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
    /// Tiles that windows of this run needed.
    pub needed: u64,
    /// Number of times a tile was decoded; equal to `needed` when each was decoded once.
    pub decoded: u64,
    /// Tiles that could not be decoded.
    pub failed: u64,
    /// Tiles that the file does not store: background.
    #[serde(default, skip_serializing_if = "is_none")]
    pub absent: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A file of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Path relative to `OUT`, with `/`.
    pub path: String,
    /// Rows of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole file.
    pub sha256: String,
}

impl Analysis {
    /// The audit of cells near window borders against those beside; `None` in accounts without one.
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
    /// When the file does not exist, is not an account, or is not as it was written.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read(path)?;
        // Older accounts have no seal.
        if Seal::of(&text) == Seal::Broken {
            return Err(io::Error::other("it has changed since it was written: its checksum is another"));
        }
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// The first table or picture that is missing or has another size than was written, in words.
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

    /// The reasons to doubt the results in one text, as tables have it; `None` where there are none.
    #[must_use]
    pub fn told_doubts(&self) -> Option<String> {
        (!self.doubts.is_empty()).then(|| self.doubts.join("; "))
    }

    /// The outcome, with the reasons to doubt it: `done`, `done, doubtful: …`, `incomplete`, `failed`.
    #[must_use]
    pub fn verdict(&self) -> String {
        let word = self.outcome.word();
        if self.doubts.is_empty() {
            word.into()
        } else {
            format!("{word}, doubtful: {}", self.doubts.join("; "))
        }
    }

    /// `true` if the slide has tables: they may be incomplete.
    #[must_use]
    pub fn has_results(&self) -> bool {
        self.outcome != Outcome::Failed
    }

    /// `true` if windows failed for a reason that may pass, so that the same command can complete the slide.
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
