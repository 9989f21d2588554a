//! Raw options become checked [`Settings`] once; later code trusts them.
//!
//! An option comes from the command line, else from a settings file
//! (`--config`, TOML, the same names), else from its default.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use tiler::Overlap;
use wsi_reader::LinearMapping;
use wsi_types::Mpp;

use crate::{
    budget::{self, MemoryLimit},
    detectors::MOST_DETECTORS,
    exit::Failure,
    merging::{MergeOptions, MergeRules},
};

/// The options of a run, as typed or as a settings file holds them. Each is
/// optional here: nothing is checked and no default is filled in yet.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunOptions {
    /// ONNX model in a YOLOv8 layout; a TOML manifest of the same name beside it
    /// adds what its metadata lacks. Or a bundled one: nuclei-he (boxes),
    /// nuclei-he-int8 (the same, faster on CPUs), nuclei-he-seg (with outlines,
    /// and so area and shape), nuclei-he-classes (lymphocytes, epithelial and stromal
    /// cells of breast tissue) [default: nuclei-he]
    #[arg(long, value_name = "M.onnx", help_heading = "Model")]
    pub model: Option<PathBuf>,

    /// Several detectors over each slide, whose cells are fused: one flag for each,
    /// such as `--detector mpp=0.25 --detector mpp=0.5`, sharpest first; in a file
    /// `[[detector]]` with `model` and `mpp`. What is left out is that of --model
    #[arg(long, value_name = "mpp=X,model=M", help_heading = "Model")]
    pub detector: Option<Vec<DetectorOption>>,

    /// Where the model runs: auto, cpu, cuda, cuda:0, cuda:0,1, tensorrt, openvino
    /// or coreml. What is asked for and cannot be had is an error [default: auto]
    #[arg(long, value_name = "DEVICE", help_heading = "Model")]
    pub device: Option<String>,

    /// Windows per model call [default: 1 on CPU, 4 elsewhere]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub batch: Option<usize>,

    /// Microns per pixel of level 0, for slides that do not say it. Overrides
    /// what they say; a slide list may give each its own
    #[arg(long, value_name = "X", help_heading = "Slides")]
    pub mpp: Option<f64>,

    /// For slides of 16 bits or floats, which are refused without it: the values
    /// that become black and white, such as 0:4095; what lies between becomes 8
    /// bits along a straight line. A slide list may give each its own
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true, help_heading = "Slides")]
    pub map_range: Option<LinearMapping>,

    /// Side of the square the model sees, in px at the model's mpp [default: 2048]
    #[arg(long, value_name = "PX", help_heading = "Slides")]
    pub window: Option<u32>,

    /// Overlap of neighbouring windows: 50%, 256px, 12um, or auto (twice the
    /// largest object the model promises) [default: 50%]
    #[arg(long, value_name = "O", help_heading = "Slides")]
    pub overlap: Option<String>,

    /// Analyse the whole slide, not only where the tissue mask finds tissue
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", help_heading = "Slides")]
    pub no_tissue_mask: Option<bool>,

    /// Allow slides coarser than the model wants to be enlarged. Detail that was
    /// never scanned does not appear: expect missed cells
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", help_heading = "Slides")]
    pub allow_enlarging: Option<bool>,

    /// Boxes of one window and class that overlap by more than this intersection
    /// over union are one before anything else [default: the model's own, or 0.7]
    #[arg(long, value_name = "IOU", help_heading = "Model")]
    pub window_iou: Option<f64>,

    /// Measure hematoxylin and eosin inside each cell: mean optical densities by
    /// colour deconvolution (Ruifrok and Johnston 2001)
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", help_heading = "Cells")]
    pub stains: Option<bool>,

    /// Threads for reading and for the model [default: the cores this process may
    /// use: SLURM_CPUS_PER_TASK, else cgroup and affinity]
    #[arg(long, value_name = "N", help_heading = "Resources")]
    pub threads: Option<usize>,

    /// Memory for pixels read ahead, such as 2G or 800M [default: 2G, or a quarter
    /// of what the scheduler, cgroup and machine allow where that is less]
    #[arg(long, value_name = "SIZE", help_heading = "Resources")]
    pub mem: Option<String>,

    /// Disk that a slide at work may take under OUT; a run stops before a slide
    /// that would need more [default: what is free]
    #[arg(long, value_name = "SIZE", help_heading = "Resources")]
    pub scratch: Option<String>,

    /// Give a slide up when no window of it ends for this many seconds
    /// [default: 600]
    #[arg(long, value_name = "SECS", help_heading = "Resources")]
    pub slide_timeout: Option<u64>,

    /// Keep the raw detections of finished slides, for `slidemill merge`
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", help_heading = "Output")]
    pub keep_raw: Option<bool>,

    /// With keep-raw: detections from this score on are kept, so that lower
    /// thresholds than this run's can be tried [default: 0.05]
    #[arg(long, value_name = "S", help_heading = "Output")]
    pub raw_floor: Option<f32>,

    /// How detections become cells and regions.
    #[command(flatten)]
    #[serde(flatten)]
    pub merging: MergeOptions,
}

/// One of several detectors, as typed or as a settings file holds it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorOption {
    /// As `--model`.
    pub model: Option<PathBuf>,
    /// µm per px at which it looks; the model's own when not given.
    pub mpp: Option<f64>,
}

impl DetectorOption {
    const KEYS: [&str; 2] = ["model", "mpp"];
}

impl FromStr for DetectorOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut option = Self::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("model", path)) => option.model = Some(path.into()),
                Some(("mpp", number)) => {
                    option.mpp =
                        Some(number.parse().map_err(|_| format!("mpp is {number:?}, expected a number"))?);
                }
                Some((key, _)) => {
                    return Err(format!("unknown part {key:?}{}", nearest(key, Self::KEYS.into_iter())));
                }
                None => return Err(format!("{part:?} is not KEY=VALUE, expected such as mpp=0.5")),
            }
        }
        Ok(option)
    }
}

impl fmt::Display for DetectorOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_ref().map(|path| format!("model = {:?}", path.display().to_string()));
        let mpp = self.mpp.map(|mpp| format!("mpp = {mpp}"));
        let parts: Vec<String> = model.into_iter().chain(mpp).collect();
        write!(f, "{{ {} }}", parts.join(", "))
    }
}

/// The names a settings file may use, in order.
fn known_keys() -> Vec<String> {
    let command = RunOptions::augment_args(clap::Command::new("run"));
    command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect()
}

impl RunOptions {
    /// Reads a settings file.
    ///
    /// # Errors
    ///
    /// A usage failure naming the file and the key, with the nearest known name
    /// for one that is not known.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read settings: {error}: {}", path.display())))?;
        Self::from_toml(&text).map_err(|reason| Failure::usage(format!("{reason}: {}", path.display())))
    }

    fn from_toml(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("settings are not TOML: {error}"))?;
        let known = known_keys();
        if let Some(key) = table.keys().find(|key| !known.contains(key)) {
            let hint = nearest(key, known.iter().map(String::as_str));
            return Err(format!("unknown setting {key:?}{hint}"));
        }
        let detectors = table.get("detector").and_then(toml::Value::as_array);
        let keys =
            detectors.into_iter().flatten().filter_map(toml::Value::as_table).flat_map(toml::Table::keys);
        if let Some(key) = keys.into_iter().find(|key| !DetectorOption::KEYS.contains(&key.as_str())) {
            let hint = nearest(key, DetectorOption::KEYS.into_iter());
            return Err(format!("unknown setting {key:?} of a detector{hint}"));
        }
        table.try_into().map_err(|error: toml::de::Error| format!("settings: {}", error.message()))
    }

    /// Fills what is not given here from `file`.
    #[must_use]
    pub fn or(self, file: Self) -> Self {
        macro_rules! first_of {
            ($($field:ident),* $(,)?) => {
                Self { merging: self.merging.or(file.merging), $($field: self.$field.or(file.$field)),* }
            };
        }
        first_of!(
            model,
            detector,
            device,
            batch,
            window_iou,
            stains,
            mpp,
            map_range,
            window,
            overlap,
            no_tissue_mask,
            allow_enlarging,
            threads,
            mem,
            scratch,
            slide_timeout,
            keep_raw,
            raw_floor,
        )
    }
}

/// One detector of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorSpec {
    /// `None`: the bundled model.
    pub model: Option<PathBuf>,
    /// `None`: the model's own.
    pub mpp: Option<Mpp>,
}

/// The checked settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `None`: the bundled model.
    pub model: Option<PathBuf>,
    /// The detectors, at least one; a single one is `model` at its own mpp.
    pub detectors: Vec<DetectorSpec>,
    /// Where the model runs.
    pub device: detector::Device,
    /// Windows per model call.
    pub batch: usize,
    /// Between boxes of one window; `None`: the model's own.
    pub window_iou: Option<f64>,
    /// Given by the user for all slides.
    pub mpp: Option<Mpp>,
    /// How samples of more than 8 bits become 8, for all slides that have them.
    pub map_range: Option<LinearMapping>,
    /// Side of a window, in grid px.
    pub window: u32,
    /// Between neighbouring windows.
    pub overlap: Overlap,
    /// Look only where there is tissue.
    pub tissue_mask: bool,
    /// How far level 0 may be enlarged to reach the model's mpp.
    pub max_enlarge: f64,
    /// For reading, and for the model.
    pub threads: usize,
    /// Bytes for pixels read ahead.
    pub memory: u64,
    /// Bytes on disk for a slide at work; `None`: what is free.
    pub scratch: Option<u64>,
    /// Seconds without a finished window after which a slide is given up.
    pub slide_timeout_secs: u64,
    /// Keep raw detections of finished slides, from this score on.
    pub keep_raw: Option<f32>,
    /// Measure the stains of each cell.
    pub stains: bool,
    /// How detections become cells and regions.
    pub merging: MergeRules,
}

impl Settings {
    /// Enlarging by up to a tenth bridges scanners that differ a little.
    const DEFAULT_ENLARGE: f64 = 1.1;
    /// Low enough for any threshold a person would try, and a small multiple of
    /// the detections of an ordinary run.
    const DEFAULT_RAW_FLOOR: f64 = 0.05;
    /// With `--allow-enlarging`.
    const ALLOWED_ENLARGE: f64 = 4.0;

    /// Checks the options and fills in defaults.
    ///
    /// # Errors
    ///
    /// A usage failure naming the option, what was given and what was expected.
    pub fn new(options: RunOptions) -> anyhow::Result<Self> {
        let device = parsed::<detector::Device>("--device", options.device.as_deref().unwrap_or("auto"))?;
        let threads = within("--threads", options.threads.unwrap_or_else(usable_threads), 1..=1024)?;
        let default_batch =
            if matches!(device, detector::Device::Auto | detector::Device::Cpu) { 1 } else { 4 };
        let window = within("--window", options.window.unwrap_or(2048), 64..=16_384)?;
        let fraction =
            |name, value: Option<f64>| value.map(|value| within(name, value, 0.0..=1.0)).transpose();
        let detectors = detectors(options.detector.as_deref(), options.model.as_deref())?;
        let stains = options.stains.unwrap_or(false);
        if !stains && options.merging.filters_stains() {
            return Err(Failure::usage("--filter asks for an optical density, which --stains measures"));
        }
        Ok(Self {
            merging: MergeRules::new(options.merging, detectors.len())?,
            stains,
            detectors,
            model: options.model,
            device,
            batch: within("--batch", options.batch.unwrap_or(default_batch), 1..=256)?,
            window_iou: fraction("--window-iou", options.window_iou)?,
            mpp: options
                .mpp
                .map(|value| Mpp::new(value).map_err(|error| Failure::usage(format!("--mpp: {error}"))))
                .transpose()?,
            map_range: options.map_range,
            window,
            overlap: parsed("--overlap", options.overlap.as_deref().unwrap_or("50%"))?,
            tissue_mask: !options.no_tissue_mask.unwrap_or(false),
            max_enlarge: if options.allow_enlarging.unwrap_or(false) {
                Self::ALLOWED_ENLARGE
            } else {
                Self::DEFAULT_ENLARGE
            },
            threads,
            memory: memory(options.mem.as_deref(), budget::memory_limit())?,
            scratch: options
                .scratch
                .map(|text| parsed::<ByteSize>("--scratch", &text))
                .transpose()?
                .map(|size| size.0),
            slide_timeout_secs: within(
                "--slide-timeout",
                options.slide_timeout.unwrap_or(600),
                1..=1_000_000,
            )?,
            keep_raw: raw_floor(options.keep_raw, options.raw_floor)?,
        })
    }

    /// What can change a window's detections, by name, for hashes and provenance.
    /// Threads, batch, memory and device are not among them.
    #[must_use]
    pub fn detection_relevant(&self) -> Vec<(&'static str, String)> {
        vec![
            ("window_px", self.window.to_string()),
            ("overlap", self.overlap.to_string()),
            ("tissue_mask", self.tissue_mask.to_string()),
            ("max_enlarge", self.max_enlarge.to_string()),
            ("stains", self.stains.to_string()),
            ("window_iou", self.window_iou.map_or_else(|| "model".to_owned(), |iou| iou.to_string())),
        ]
    }
}

fn detectors(given: Option<&[DetectorOption]>, model: Option<&Path>) -> anyhow::Result<Vec<DetectorSpec>> {
    let given = given.unwrap_or_default();
    if given.is_empty() {
        return Ok(vec![DetectorSpec { model: model.map(Path::to_owned), mpp: None }]);
    }
    within("--detector: their number", given.len(), 1..=MOST_DETECTORS)?;
    let spec = |option: &DetectorOption| {
        let mpp = option.mpp.map(Mpp::new).transpose();
        let mpp = mpp.map_err(|error| Failure::usage(format!("--detector: {error}")))?;
        Ok(DetectorSpec { model: option.model.clone().or_else(|| model.map(Path::to_owned)), mpp })
    };
    given.iter().map(spec).collect()
}

/// The score from which raw detections are kept; `None`: they are not.
fn raw_floor(keep: Option<bool>, floor: Option<f32>) -> anyhow::Result<Option<f32>> {
    if !keep.unwrap_or(false) {
        return match floor {
            Some(_) => Err(Failure::usage("--raw-floor is given without --keep-raw")),
            None => Ok(None),
        };
    }
    let floor = floor.map_or(Settings::DEFAULT_RAW_FLOOR, f64::from);
    Ok(Some(within("--raw-floor", floor, 0.0..=1.0)? as f32))
}

/// `, did you mean "…"?` with the known name that is nearest to `word`.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearness = |name: &&str| strsim::jaro_winkler(name, word);
    let nearest = known.max_by(|a, b| nearness(a).total_cmp(&nearness(b)));
    nearest.map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}

/// A size in bytes: `800M`, `2G`, `1.5GiB`; powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is not a size, expected a number with K, M, G or T such as 2G");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match text[digits.len()..].trim_end_matches("iB").trim_end_matches('B') {
            "" => 1.0,
            "K" | "k" => 1024.0,
            "M" | "m" => 1024.0 * 1024.0,
            "G" | "g" => 1024.0 * 1024.0 * 1024.0,
            "T" | "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            _ => return Err(expected()),
        };
        let number: f64 = digits.trim().parse().map_err(|_| expected())?;
        let bytes = number * factor;
        if bytes.is_finite() && bytes >= 1.0 { Ok(Self(bytes as u64)) } else { Err(expected()) }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "B");
        for larger in ["kB", "MB", "GB", "TB"] {
            if value < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, larger);
        }
        if unit == "B" { write!(f, "{value} B") } else { write!(f, "{value:.1} {unit}") }
    }
}

/// The cores this process may use: what the scheduler says, else what the
/// system allows (affinity and cgroup quota).
#[must_use]
pub fn usable_threads() -> usize {
    let scheduler = std::env::var("SLURM_CPUS_PER_TASK").ok().and_then(|text| text.parse().ok());
    let system = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    scheduler.filter(|&n: &usize| n > 0).unwrap_or_else(system)
}

/// Bytes for pixels read ahead: what is asked for, if it is allowed, else a
/// share of what is.
fn memory(asked: Option<&str>, limit: Option<MemoryLimit>) -> anyhow::Result<u64> {
    const USUAL: u64 = 2 << 30;
    let Some(asked) = asked else {
        return Ok(limit.map_or(USUAL, |limit| USUAL.min(limit.bytes / 4)));
    };
    let ByteSize(bytes) = parsed("--mem", asked)?;
    match limit {
        Some(MemoryLimit { bytes: allowed, source }) if bytes > allowed => Err(Failure::usage(format!(
            "--mem is {}, but {source} allows this process {}; the model needs some of it too",
            ByteSize(bytes),
            ByteSize(allowed)
        ))),
        _ => Ok(bytes),
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(name: &str, text: &str) -> anyhow::Result<T> {
    text.parse().map_err(|error| Failure::usage(format!("{name}: {error}")))
}

pub(crate) fn within<T: PartialOrd + fmt::Display + Copy>(
    name: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> anyhow::Result<T> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(Failure::usage(format!("{name} is {value}, expected {} to {}", range.start(), range.end())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let error = RunOptions::from_toml("overlapp = \"50%\"").unwrap_err();
        assert_eq!(error, "unknown setting \"overlapp\", did you mean \"overlap\"?");
        let error = RunOptions::from_toml("batch = \"four\"").unwrap_err();
        assert!(error.contains("batch") || error.contains("usize"), "{error}");
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = RunOptions::from_toml("batch = 2\nwindow = 1024").unwrap();
        let flags = RunOptions { batch: Some(8), ..RunOptions::default() };
        let both = flags.or(file);
        assert_eq!((both.batch, both.window), (Some(8), Some(1024)));
    }

    #[test]
    fn every_option_is_a_key_of_the_file() {
        for key in known_keys() {
            let is_known = |value: &str| match RunOptions::from_toml(&format!("{key} = {value}")) {
                Ok(_) => true,
                Err(error) => !error.contains("unknown"),
            };
            assert!(is_known("1"), "{key}");
        }
    }

    #[test]
    fn memory_stays_within_what_is_allowed() {
        let limit = |bytes| Some(MemoryLimit { bytes, source: "the cgroup" });
        assert_eq!(memory(None, None).unwrap(), 2 << 30);
        assert_eq!(memory(None, limit(64 << 30)).unwrap(), 2 << 30);
        assert_eq!(memory(None, limit(4 << 30)).unwrap(), 1 << 30);
        assert_eq!(memory(Some("3G"), limit(4 << 30)).unwrap(), 3 << 30);
        let error = memory(Some("5G"), limit(4 << 30)).unwrap_err().to_string();
        assert!(
            error.contains("5.0 GB") && error.contains("the cgroup allows this process 4.0 GB"),
            "{error}"
        );
    }

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!("2G".parse(), Ok(ByteSize(2 << 30)));
        assert_eq!("1.5MiB".parse(), Ok(ByteSize(3 << 19)));
        assert!(
            "2X".parse::<ByteSize>().is_err()
                && "".parse::<ByteSize>().is_err()
                && "-1G".parse::<ByteSize>().is_err()
        );
        assert_eq!(ByteSize(3 << 19).to_string(), "1.5 MB");
    }
}
