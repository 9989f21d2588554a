//! Checked [`Settings`], made once from raw options; later code trusts them.

use std::path::{Path, PathBuf};

use detector::SessionSettings;
use tiler::Overlap;
use wsi_reader::{GivenScale, LinearMapping};
use wsi_types::Mpp;

use crate::{
    budget::{Machine, MemoryLimit},
    byte_size::{ByteSize, size_text},
    checks::{fraction, parsed, within},
    defaults::Defaults,
    error::JobError,
    models::{DetectorSpec, MOST_DETECTORS, ModelSet},
    options::RunOptions,
    rules::MergeRules,
    staging::Staging,
    staining::Staining,
    typed::{DetectorOption, GivenMpp},
};

/// The checked settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The options that they were made from.
    pub options: RunOptions,
    /// The model; `None` for the bundled one.
    pub model: Option<PathBuf>,
    /// The detectors, at least one; a single one is `model` at its own mpp.
    pub detectors: Vec<DetectorSpec>,
    /// Device that the model runs on.
    pub device: detector::Device,
    /// Windows per model call.
    pub batch: usize,
    /// IoU above which boxes of one window are one; `None` for the model's own.
    pub window_iou: Option<f64>,
    /// Scale that the user gives for slides that have none that can be used.
    pub mpp: Option<Mpp>,
    /// Use the scale estimated from the nuclei if neither user nor file gives one.
    pub estimate_mpp: bool,
    /// Scale that the user gives in place of the one in the slides.
    pub override_mpp: Option<Mpp>,
    /// Mapping of samples of more than 8 bits to 8, for all slides that have them.
    pub map_range: Option<LinearMapping>,
    /// Side of a window, in grid px.
    pub window: u32,
    /// Overlap of neighbouring windows.
    pub overlap: Overlap,
    /// Look only where there is tissue.
    pub tissue_mask: bool,
    /// Largest factor by which level 0 may be enlarged to reach the model's mpp.
    pub max_enlarge: f64,
    /// Threads for reading, and for the model.
    pub threads: usize,
    /// Bytes for pixels read ahead.
    pub memory: u64,
    /// Bytes of each NVIDIA GPU for the model; `None` for all that is free.
    pub gpu_memory: Option<u64>,
    /// Bytes on disk for a slide at work; `None` for all that is free.
    pub scratch: Option<u64>,
    /// Where slides are copied to before they are read.
    pub(crate) staging: Option<Staging>,
    /// Seconds without a finished window after which a slide is given up.
    pub slide_timeout_secs: u64,
    /// Keep raw detections of finished slides, from this score on.
    pub keep_raw: Option<f32>,
    /// Stains that are measured of each cell.
    pub(crate) stains: Option<Staining>,
    /// Rules by which detections become cells and regions.
    pub merging: MergeRules,
}

impl Settings {
    /// Scale that the user gives for all slides.
    #[must_use]
    pub fn given_scale(&self) -> GivenScale {
        GivenScale { otherwise: self.mpp, instead: self.override_mpp }
    }

    /// Checks the options and fills in defaults, for the cores and memory of this machine.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] naming the option, what was given and what was expected.
    pub fn new(options: RunOptions) -> Result<Self, JobError> {
        Self::on(&Machine::here(), options)
    }

    /// Checks the options and fills in defaults, for a part of a machine.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn on(machine: &Machine, options: RunOptions) -> Result<Self, JobError> {
        let given = &options;
        let device =
            parsed::<detector::Device>("--device", given.device.as_deref().unwrap_or(Defaults::DEVICE))?;
        let sessions = device.each().len() as u64;
        let batch = if device.may_be_cpu() { Defaults::BATCH_CPU } else { Defaults::BATCH_GPU };
        let detectors = detectors(given.detector.as_deref(), given.model.as_deref())?;
        let stains = Staining::new(given)?;
        let enlarging = given.allow_enlarging.unwrap_or(false);
        let timeout = given.slide_timeout.unwrap_or(Defaults::SLIDE_TIMEOUT_SECS);
        Ok(Self {
            merging: MergeRules::new(given, detectors.len())?,
            stains,
            detectors,
            model: given.model.clone(),
            device,
            batch: within("--batch", given.batch.unwrap_or(batch), 1..=256)?,
            window_iou: fraction("--window-iou", given.window_iou)?,
            mpp: given.mpp.and_then(GivenMpp::number).map(|value| mpp("--mpp", value)).transpose()?,
            estimate_mpp: given.mpp == Some(GivenMpp::Estimate),
            override_mpp: given.override_mpp.map(|value| mpp("--override-mpp", value)).transpose()?,
            map_range: given.map_range,
            window: within("--window", given.window.unwrap_or(Defaults::WINDOW), 64..=16_384)?,
            overlap: parsed("--overlap", given.overlap.as_deref().unwrap_or(Defaults::OVERLAP))?,
            tissue_mask: !given.no_tissue_mask.unwrap_or(false),
            max_enlarge: if enlarging { Defaults::ALLOWED_ENLARGE } else { Defaults::ENLARGE },
            threads: within("--threads", given.threads.unwrap_or(machine.threads), 1..=1024)?,
            memory: memory(given.mem.as_deref(), machine.memory, sessions)?,
            gpu_memory: given.gpu_mem.as_deref().map(|text| size("--gpu-mem", text)).transpose()?,
            scratch: given.scratch.as_deref().map(|text| size("--scratch", text)).transpose()?,
            staging: staging(given.stage.as_deref(), given.stage_budget.as_deref())?,
            slide_timeout_secs: within("--slide-timeout", timeout, 1..=1_000_000)?,
            keep_raw: raw_floor(given.keep_raw, given.raw_floor)?,
            options,
        })
    }

    /// Returns the options with all defaults filled in; `None` where there is nothing to fill in.
    #[must_use]
    pub fn in_full(&self) -> RunOptions {
        let (stains, stain_vectors, dab_ring_um) = Staining::in_full(self.stains.as_ref());
        RunOptions {
            model: self.model.clone(),
            detector: self.options.detector.clone(),
            device: Some(self.device.to_string()),
            batch: Some(self.batch),
            mpp: self.options.mpp,
            override_mpp: self.override_mpp.map(Mpp::get),
            map_range: self.map_range,
            window: Some(self.window),
            overlap: Some(self.overlap.to_string()),
            no_tissue_mask: Some(!self.tissue_mask),
            allow_enlarging: Some(self.max_enlarge > Defaults::ENLARGE),
            window_iou: self.window_iou,
            stains: Some(stains),
            stain_vectors,
            dab_ring_um,
            threads: Some(self.threads),
            mem: Some(size_text(self.memory)),
            gpu_mem: self.gpu_memory.map(size_text),
            scratch: self.scratch.map(size_text),
            stage: self.staging.as_ref().map(|staging| staging.folder.clone()),
            stage_budget: self.staging.as_ref().and_then(|staging| staging.budget).map(size_text),
            slide_timeout: Some(self.slide_timeout_secs),
            keep_raw: Some(self.keep_raw.is_some()),
            raw_floor: self.keep_raw,
            ..self.merging.in_full()
        }
    }

    /// Describes the models that are named.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] when one cannot be used, or does not say at which mpp it works.
    pub fn models(&self) -> Result<ModelSet, JobError> {
        ModelSet::describe(&self.detectors)
    }

    /// Settings of a model's session.
    pub(crate) fn session(&self) -> SessionSettings {
        SessionSettings {
            threads: self.threads,
            batch: self.batch,
            window: (self.window as usize, self.window as usize),
            cache_dir: None,
            gpu_memory: self.gpu_memory,
        }
    }
}

fn detectors(given: Option<&[DetectorOption]>, model: Option<&Path>) -> Result<Vec<DetectorSpec>, JobError> {
    let given = given.unwrap_or_default();
    if given.is_empty() {
        return Ok(vec![DetectorSpec { model: model.map(Path::to_owned), mpp: None }]);
    }
    within("--detector: their number", given.len(), 1..=MOST_DETECTORS)?;
    let spec = |option: &DetectorOption| {
        let mpp = option.mpp.map(|value| mpp("--detector", value)).transpose()?;
        Ok(DetectorSpec { model: option.model.clone().or_else(|| model.map(Path::to_owned)), mpp })
    };
    given.iter().map(spec).collect()
}

fn staging(folder: Option<&Path>, budget: Option<&str>) -> Result<Option<Staging>, JobError> {
    let budget = budget.map(|text| size("--stage-budget", text)).transpose()?;
    match (folder, budget) {
        (Some(folder), budget) => Ok(Some(Staging { folder: folder.to_owned(), budget })),
        (None, Some(_)) => Err(JobError::usage("--stage-budget is given without --stage")),
        (None, None) => Ok(None),
    }
}

/// Score from which raw detections are kept; `None` if they are not kept.
fn raw_floor(keep: Option<bool>, floor: Option<f32>) -> Result<Option<f32>, JobError> {
    if !keep.unwrap_or(false) {
        return match floor {
            Some(_) => Err(JobError::usage("--raw-floor is given without --keep-raw")),
            None => Ok(None),
        };
    }
    let floor = floor.map_or(Defaults::RAW_FLOOR, f64::from);
    Ok(Some(within("--raw-floor", floor, 0.0..=1.0)? as f32))
}

/// Bytes for pixels read ahead and batches: the number asked for, if it is allowed, else a share of the limit, as large as
/// half of what each of the sessions has.
fn memory(asked: Option<&str>, limit: Option<MemoryLimit>, sessions: u64) -> Result<u64, JobError> {
    let Some(asked) = asked else {
        let share = limit.map(|limit| limit.bytes / (2 * (1 + sessions)));
        return Ok(share.map_or(Defaults::MEMORY, |share| Defaults::MEMORY.min(share)));
    };
    let bytes = size("--mem", asked)?;
    match limit {
        Some(MemoryLimit { bytes: allowed, source }) if bytes > allowed => Err(JobError::usage(format!(
            "--mem is {}, but {source} allows this process {}; the model needs some of it too",
            ByteSize(bytes),
            ByteSize(allowed)
        ))),
        _ => Ok(bytes),
    }
}

fn mpp(name: &str, value: f64) -> Result<Mpp, JobError> {
    Mpp::new(value).map_err(|error| JobError::usage(format!("{name}: {error}")))
}

fn size(name: &str, text: &str) -> Result<u64, JobError> {
    parsed::<ByteSize>(name, text).map(|size| size.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_within_what_is_allowed() {
        let limit = |bytes| Some(MemoryLimit { bytes, source: "the cgroup" });
        assert_eq!(memory(None, None, 1).unwrap(), 2 << 30);
        assert_eq!(memory(None, limit(64 << 30), 1).unwrap(), 2 << 30);
        assert_eq!(memory(None, limit(4 << 30), 1).unwrap(), 1 << 30);
        assert_eq!(memory(None, limit(4 << 30), 3).unwrap(), 1 << 29);
        assert_eq!(memory(Some("3G"), limit(4 << 30), 1).unwrap(), 3 << 30);
        let error = memory(Some("5G"), limit(4 << 30), 1).unwrap_err().to_string();
        assert!(
            error.contains("5.0 GB") && error.contains("the cgroup allows this process 4.0 GB"),
            "{error}"
        );
    }
}
