//! The options of a job, each declared once: name, help, default, results that it changes, how it is typed
//! and how it is shown. Flags, settings file, `slidemill settings`, fingerprint and help all come from this
//! list.
//!
//! An option is added here, with its field, and in [`Settings`](crate::Settings), where it is checked and used.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use detector::Manifest;
use serde::{Deserialize, Serialize};
use wsi_reader::LinearMapping;

use crate::{
    byte_size::size_text,
    checks::{nearest, word},
    defaults::Defaults,
    error::JobError,
    fuse_rule::FuseRule,
    stain_set::StainSet,
    typed::{DetectorOption, GivenMpp, Typed},
};

/// Part of the results that an option can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No result, only the place and speed of the work.
    Machine,
    /// Meaning of a slide's own data; each slide's account says which values were used.
    Slide,
    /// Results of the windows of a slide.
    Windows,
    /// Cells and regions made of the detections, even long after.
    Cells,
    /// Raw detections that are kept.
    Kept,
}

/// Number of times that an option is typed, and its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Once, with one value.
    One,
    /// Once; `true` when nothing follows.
    Switch,
    /// Once; `true` when nothing follows, or a word.
    WordSwitch,
    /// Values with commas between them.
    List,
    /// Any number of times, a value each.
    Repeated,
}

/// One option, as declared.
pub struct Knob {
    /// Its name, as a flag and as a key of a settings file: `min-score`.
    pub name: &'static str,
    /// Heading of help that lists it.
    pub section: &'static str,
    /// Name of its value in help.
    pub value: &'static str,
    /// Number of times that it is typed, and its values.
    pub arity: Arity,
    /// `true` if a value may begin with a minus.
    pub negative: bool,
    /// Part of the results that it can change.
    pub phase: Phase,
    /// Its effect, in whole sentences, without its default.
    pub about: &'static str,
    /// A remark after its value in a settings file.
    pub remark: &'static str,
    /// Its default, in words; empty if `about` gives it.
    pub default: fn() -> String,
    /// Refuses wrong values with a message, before they are taken.
    pub check: fn(&str) -> Result<(), String>,
    /// `true` if it is given.
    pub is_given: fn(&RunOptions) -> bool,
    /// Takes the typed values.
    pub set: fn(&mut RunOptions, &[OsString]) -> Result<(), String>,
    /// Its value in TOML, if it has one.
    pub shown: fn(&RunOptions) -> Option<String>,
    /// Values other than the default, for tests.
    pub sample: &'static str,
}

impl Knob {
    /// Text of help: its effect and its default.
    #[must_use]
    pub fn help(&self) -> String {
        match (self.default)() {
            default if default.is_empty() => self.about.to_owned(),
            default => format!("{} [default: {default}]", self.about),
        }
    }

    /// Returns the option with that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KNOBS.iter().find(|knob| knob.name == name)
    }
}

impl fmt::Debug for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knob").field("name", &self.name).field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// Declares the options: a struct with a field for each, and the list of them.
macro_rules! options {
    ($($field:ident: $type:ty {
        name: $name:literal, $section:ident, $value:literal, $arity:ident, $phase:ident,
        about: $about:literal,
        remark: $remark:literal,
        default: $default:expr,
        sample: $sample:literal $(, negative: $negative:literal)? $(,)?
    })*) => {
        /// The options of a job, as typed or as a settings file holds them. Each is optional here: nothing is checked
        /// and no default is filled in yet.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case", default)]
        pub struct RunOptions {
            $(#[doc = $about] pub $field: Option<$type>,)*
        }

        impl RunOptions {
            /// Fills the options that are not given here from `other`.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field)),* }
            }

            /// Keeps only the options of one phase.
            #[must_use]
            pub fn only(self, phase: Phase) -> Self {
                Self { $($field: self.$field.filter(|_| Phase::$phase == phase)),* }
            }
        }

        /// All options, in the order of help and settings files.
        pub static KNOBS: &[Knob] = &[$(Knob {
            name: $name,
            section: sections::$section,
            value: $value,
            arity: Arity::$arity,
            negative: false $(|| $negative)?,
            phase: Phase::$phase,
            about: $about,
            remark: $remark,
            default: $default,
            check: |value| <$type as Typed>::typed(&[value.into()]).map(|_| ()),
            is_given: |options| options.$field.is_some(),
            set: |options, values| {
                options.$field = Some(<$type as Typed>::typed(values)?);
                Ok(())
            },
            shown: |options| options.$field.as_ref().map(Typed::toml),
            sample: $sample,
        }),*];
    };
}

/// Headings of help.
mod sections {
    pub(super) const MODEL: &str = "Model";
    pub(super) const SLIDES: &str = "Slides";
    pub(super) const CELLS: &str = "Cells";
    pub(super) const RESOURCES: &str = "Resources";
    pub(super) const OUTPUT: &str = "Output";
    pub(super) const SEVERAL: &str = "Several detectors";
    pub(super) const REGIONS: &str = "Regions";
}

options! {
    model: PathBuf {
        name: "model", MODEL, "M.onnx", One, Windows,
        about: "ONNX model in a YOLOv8 layout; a TOML manifest of the same name beside it adds what its metadata lacks. \
            Or a bundled one: nuclei-he (boxes), nuclei-he-int8 (the same, faster on CPUs), nuclei-he-seg (with \
            outlines, and so area and shape), nuclei-he-classes (lymphocytes, epithelial and stromal cells of breast \
            tissue), nuclei-he-large and nuclei-he-large-classes (better, four times as slow), nuclei-he-fast (boxes as \
            good as the default's, half of its time on CPUs), nuclei-hdab (boxes in immunohistochemistry: blue and brown)",
        remark: ", the bundled model when not given",
        default: || crate::bundled::DEFAULT.into(),
        sample: "nuclei-he-int8",
    }
    detector: Vec<DetectorOption> {
        name: "detector", MODEL, "mpp=X,model=M", Repeated, Windows,
        about: "Several detectors over each slide, whose cells are fused: one flag for each, such as `--detector mpp=0.25 \
            --detector mpp=0.5`, sharpest first; in a file `[[detector]]` with `model` and `mpp`. What is left out is \
            that of --model",
        remark: ", several scales or models; the model at its own mpp when not given",
        default: String::new,
        sample: "mpp=0.3",
    }
    device: String {
        name: "device", MODEL, "DEVICE", One, Machine,
        about: "Where the model runs: auto, cpu, cuda, cuda:1, tensorrt, openvino or coreml. Several of one kind share the \
            windows: cuda:0,1, cuda:all, cpu,cpu. What is asked for and cannot be had is an error",
        remark: "",
        default: || Defaults::DEVICE.into(),
        sample: "cpu",
    }
    batch: usize {
        name: "batch", MODEL, "N", One, Machine,
        about: "Windows per model call",
        remark: ", windows",
        default: || format!("{} on CPU, {} elsewhere", Defaults::BATCH_CPU, Defaults::BATCH_GPU),
        sample: "3",
    }
    mpp: GivenMpp {
        name: "mpp", SLIDES, "X", One, Slide,
        about: "Microns per pixel of level 0, for slides that do not say it or say what cannot be right; the others keep \
            theirs. `estimate` takes the size of their nuclei for it. A slide list may give each its own",
        remark: ", µm per level-0 px of slides that do not say it, or \"estimate\"",
        default: String::new,
        sample: "0.3",
    }
    override_mpp: f64 {
        name: "override-mpp", SLIDES, "X", One, Slide,
        about: "Microns per pixel of level 0 in place of what the slides say. Each slide whose scale is overridden is \
            warned of; a slide list may give single slides theirs in a column override_mpp",
        remark: ", µm per level-0 px, in place of what slides say",
        default: String::new,
        sample: "0.4",
    }
    map_range: LinearMapping {
        name: "map-range", SLIDES, "LOW:HIGH", One, Slide,
        about: "For slides of 16 bits or floats, which are refused without it: the values that become black and white, \
            such as 0:4095; what lies between becomes 8 bits along a straight line. A slide list may give each its own",
        remark: ", values that become black and white; for slides of more than 8 bits",
        default: String::new,
        sample: "0:4095",
        negative: true,
    }
    window: u32 {
        name: "window", SLIDES, "PX", One, Windows,
        about: "Side of the windows in px at the model's mpp; a model that takes one smaller size gets them in pieces, and \
            decides where nothing is given",
        remark: ", px at the model's mpp",
        default: || Defaults::WINDOW.to_string(),
        sample: "1024",
    }
    overlap: String {
        name: "overlap", SLIDES, "O", One, Windows,
        about: "Overlap of neighbouring windows: 50%, 256px, 12um, or auto (twice the largest object the model promises)",
        remark: "",
        default: || Defaults::OVERLAP.into(),
        sample: "auto",
    }
    no_tissue_mask: bool {
        name: "no-tissue-mask", SLIDES, "BOOL", Switch, Windows,
        about: "Analyse the whole slide, not only where the tissue mask finds tissue",
        remark: "",
        default: String::new,
        sample: "true",
    }
    allow_enlarging: bool {
        name: "allow-enlarging", SLIDES, "BOOL", Switch, Windows,
        about: "Allow slides coarser than the model wants to be enlarged. Detail that was never scanned does not appear: \
            expect missed cells",
        remark: "",
        default: String::new,
        sample: "true",
    }
    window_iou: f64 {
        name: "window-iou", MODEL, "IOU", One, Windows,
        about: "Boxes of one window and class that overlap by more than this intersection over union are one before \
            anything else",
        remark: ", the model's own when not given",
        default: model_iou,
        sample: "0.8",
    }
    stains: StainSet {
        name: "stains", CELLS, "STAINS", WordSwitch, Windows,
        about: "Measure stains inside each cell: mean optical densities by colour deconvolution (Ruifrok and Johnston \
            2001). `he` is hematoxylin and eosin, which --stains alone means too; `h-dab` is hematoxylin and DAB, as on \
            slides for immunohistochemistry, and DAB in a ring around each nucleus",
        remark: ", true (hematoxylin and eosin) or \"h-dab\"",
        default: String::new,
        sample: "true",
    }
    stain_vectors: String {
        name: "stain-vectors", CELLS, "VECTORS", One, Windows,
        about: "With --stains h-dab: absorption of red, green and blue by hematoxylin, a slash, and by DAB; or `estimate`, \
            on each slide (Macenko 2009)",
        remark: ", with stains = \"h-dab\"; or \"estimate\"",
        default: || wsi_types::StainVectors::RUIFROK.to_string(),
        sample: "estimate",
    }
    dab_ring_um: f64 {
        name: "dab-ring-um", CELLS, "UM", One, Windows,
        about: "With --stains h-dab: width of the ring around each nucleus in which DAB of membrane and cytoplasm is \
            measured, µm",
        remark: ", µm, with stains = \"h-dab\"",
        default: || Defaults::DAB_RING_UM.to_string(),
        sample: "5",
    }
    features: Vec<String> {
        name: "features", CELLS, "NAME", List, Cells,
        about: "Further columns of the cells: neighbours (distances, counts and density around each, Delaunay neighbours, mix of \
            classes), shape (direction and elongation of outlines), texture (grey levels and spread of \
            stains inside), stain (the same as --stains)",
        remark: ", further columns: neighbours, shape, texture, stain",
        default: String::new,
        sample: "neighbours",
    }
    threads: usize {
        name: "threads", RESOURCES, "N", One, Machine,
        about: "Threads for reading and for the model",
        remark: "",
        default: || "the cores this process may use: SLURM_CPUS_PER_TASK, else cgroup and affinity".into(),
        sample: "3",
    }
    mem: String {
        name: "mem", RESOURCES, "SIZE", One, Machine,
        about: "Memory for pixels read ahead, such as 2G or 800M",
        remark: "",
        default: || {
            let usual = size_text(Defaults::MEMORY);
            format!("{usual}, or a quarter of what the scheduler, cgroup and machine allow where that is less")
        },
        sample: "300M",
    }
    gpu_mem: String {
        name: "gpu-mem", RESOURCES, "SIZE", One, Machine,
        about: "Memory that the model may take of each NVIDIA GPU, such as 8G, beside what CUDA itself takes; a batch for which \
            it does not do is halved",
        remark: ", of each NVIDIA GPU",
        default: || "all that is free".into(),
        sample: "8G",
    }
    scratch: String {
        name: "scratch", RESOURCES, "SIZE", One, Machine,
        about: "Disk that a slide at work may take under OUT; a run stops before a slide that would need more",
        remark: ", what the disk allows when not given",
        default: || "what is free".into(),
        sample: "300M",
    }
    stage: PathBuf {
        name: "stage", RESOURCES, "DIR", One, Machine,
        about: "Copy each slide to a folder of this machine before it is read, one ahead of the slide at work, and remove it \
            after: for slides on a slow share, and for those at addresses whose format is not read in parts",
        remark: ", folder for copies of slides; they are read where they lie when not given",
        default: String::new,
        sample: "stage",
    }
    stage_budget: String {
        name: "stage-budget", RESOURCES, "SIZE", One, Machine,
        about: "With --stage: bytes of all copies at any time, such as 50G; the next slide waits for room, and one that is \
            larger is refused",
        remark: ", of all copies at any time, with stage",
        default: || "what is free".into(),
        sample: "300M",
    }
    slide_timeout: u64 {
        name: "slide-timeout", RESOURCES, "SECS", One, Machine,
        about: "Give a slide up when no window of it ends for this many seconds",
        remark: ", seconds",
        default: || Defaults::SLIDE_TIMEOUT_SECS.to_string(),
        sample: "60",
    }
    keep_raw: bool {
        name: "keep-raw", OUTPUT, "BOOL", Switch, Kept,
        about: "Keep the raw detections of finished slides, for `slidemill merge`",
        remark: "",
        default: String::new,
        sample: "true",
    }
    raw_floor: f32 {
        name: "raw-floor", OUTPUT, "S", One, Kept,
        about: "With keep-raw: detections from this score on are kept, so that lower thresholds than this run's can be \
            tried",
        remark: ", score, with keep-raw",
        default: || Defaults::RAW_FLOOR.to_string(),
        sample: "0.1",
    }
    min_score: f32 {
        name: "min-score", CELLS, "S", One, Cells,
        about: "Lowest score of a cell that is counted, 0 to 1",
        remark: ", the model's own when not given",
        default: || format!("the model's own, or {}", Manifest::DEFAULT_CONF),
        sample: "0.4",
    }
    class_score: Vec<String> {
        name: "class-score", CELLS, "CLASS=S", List, Cells,
        about: "The same for some classes: tumour=0.4,stroma=0.3",
        remark: ", exceptions by class",
        default: String::new,
        sample: "nucleus=0.4",
    }
    merge: String {
        name: "merge", CELLS, "RULE", One, Cells,
        about: "What becomes of several boxes of one cell: nms keeps the best, nmm grows it over those that agree, wbf takes \
            their mean",
        remark: ", nms, nmm or wbf",
        default: || word(&merger::Method::default()),
        sample: "wbf",
    }
    merge_metric: String {
        name: "merge-metric", CELLS, "METRIC", One, Cells,
        about: "How agreement is measured: iou, ios (shared over the smaller one; nested boxes are one cell) or mask-iou (of \
            outlines)",
        remark: ", iou, ios or mask-iou",
        default: || word(&merger::Metric::default()),
        sample: "ios",
    }
    merge_iou: f64 {
        name: "merge-iou", CELLS, "IOU", One, Cells,
        about: "Detections of one class that agree more than this are one cell; at most window-iou",
        remark: ", the model's own when not given",
        default: model_iou,
        sample: "0.5",
    }
    class_iou: Vec<String> {
        name: "class-iou", CELLS, "CLASS=IOU", List, Cells,
        about: "The same for some classes: tumour=0.4,stroma=0.3",
        remark: ", exceptions by class",
        default: String::new,
        sample: "nucleus=0.4",
    }
    cross_class_iou: f64 {
        name: "cross-class-iou", CELLS, "IOU", One, Cells,
        about: "Detections of different classes that agree more than this are one cell; the better score wins, the other is \
            kept as runner-up",
        remark: ", the model's own or 0.7 when not given",
        default: || format!("the model's own, or {}", merger::MergeSettings::default().cross_class_iou),
        sample: "0.5",
    }
    rim: f64 {
        name: "rim", CELLS, "PX", One, Cells,
        about: "A cell nearer than this to the border of every window that saw it is dropped where another window sees its \
            place deeper and found nothing; px at the model's mpp, 0 keeps what any window saw",
        remark: ", px at the model's mpp",
        default: || Defaults::RIM_PX.to_string(),
        sample: "32",
    }
    unseen_cut: String {
        name: "unseen-cut", CELLS, "RULE", One, Cells,
        about: "A piece cut by a window's border that no better view confirms: keep (flagged) or drop",
        remark: ", keep or drop",
        default: || word(&merger::UnseenCut::default()),
        sample: "drop",
    }
    filter: Vec<String> {
        name: "filter", CELLS, "MEASURE=RANGE", List, Cells,
        about: "Keep only cells within ranges, ends included: area_um2=10..500,solidity=0.8.. Measures: score, area_um2; \
            circularity, solidity, eccentricity, max_diam_um, min_diam_um (for cells with an outline); hematoxylin_od, \
            eosin_od (--stains); dab_od, dab_ring_od (--stains h-dab)",
        remark: ", ranges in the units of the table",
        default: String::new,
        sample: "area_um2=10..500",
    }
    fuse: String {
        name: "fuse", SEVERAL, "RULE", One, Cells,
        about: "How cells of several detectors become one: wbf (weighted mean of boxes and scores, a detector that saw \
            nothing counts as 0), noisy-or, max, or context (regions of the further detectors weigh the cells of the \
            first)",
        remark: ", of several detectors: wbf, noisy-or, max or context",
        default: || FuseRule::default().to_string(),
        sample: "max",
    }
    fuse_weights: Vec<f64> {
        name: "fuse-weights", SEVERAL, "W", List, Cells,
        about: "Weight of each detector, above 0: 1,0.8",
        remark: ", of each detector",
        default: || "1 each".into(),
        sample: "1,0.8",
    }
    fuse_iou: f64 {
        name: "fuse-iou", SEVERAL, "IOU", One, Cells,
        about: "Cells of two detectors that overlap by at least this intersection over union are one",
        remark: "",
        default: || fusion_defaults().iou.to_string(),
        sample: "0.5",
    }
    fuse_distance_um: f64 {
        name: "fuse-distance-um", SEVERAL, "UM", One, Cells,
        about: "So are cells whose centroids are at most this far apart, µm; 0: only by overlap",
        remark: ", µm",
        default: || fusion_defaults().distance_um.to_string(),
        sample: "2",
    }
    fuse_score: f32 {
        name: "fuse-score", SEVERAL, "S", One, Cells,
        about: "Lowest score of a fused cell",
        remark: ", after fusing",
        default: || fusion_defaults().min_score.to_string(),
        sample: "0.3",
    }
    context_weight: f64 {
        name: "context-weight", SEVERAL, "W", One, Cells,
        about: "With context: a cell's score becomes score^(1-W) x region^W",
        remark: ", with fuse = context",
        default: || Defaults::CONTEXT_WEIGHT.to_string(),
        sample: "0.4",
    }
    context_outside: f64 {
        name: "context-outside", SEVERAL, "S", One, Cells,
        about: "With context: what stands for the region's score outside of all regions; 0 is a veto",
        remark: ", score outside of all regions",
        default: || Defaults::CONTEXT_OUTSIDE.to_string(),
        sample: "0.1",
    }
    region_class: Vec<String> {
        name: "region-class", REGIONS, "CLASS", List, Cells,
        about: "Classes of the model that are areas and not cells: their detections become rows of the regions table. They \
            are worked on squares of 4 µm, or larger ones, with a warning, where a slide has more than 16 million of \
            those",
        remark: ", classes that are areas",
        default: String::new,
        sample: "nucleus",
    }
    dense_per_mm2: f64 {
        name: "dense-per-mm2", REGIONS, "PER_MM2", One, Cells,
        about: "Also make regions of kind \"dense\" where at least this many cells lie per mm²",
        remark: ", cells per mm²; no dense regions when not given",
        default: String::new,
        sample: "3000",
    }
    dense_radius_um: f64 {
        name: "dense-radius-um", REGIONS, "UM", One, Cells,
        about: "Radius in which density is counted, µm",
        remark: ", µm",
        default: || Defaults::DENSE_RADIUS_UM.to_string(),
        sample: "40",
    }
    dense_class: Vec<String> {
        name: "dense-class", REGIONS, "CLASS", List, Cells,
        about: "Classes counted for density",
        remark: ", all when not given",
        default: || "all".into(),
        sample: "nucleus",
    }
    region_closing_um: f64 {
        name: "region-closing-um", REGIONS, "UM", One, Cells,
        about: "Gaps in regions that no disc of this radius fits into are closed, µm",
        remark: ", µm",
        default: || merger::RegionSettings::default().closing_um.to_string(),
        sample: "10",
    }
    region_opening_um: f64 {
        name: "region-opening-um", REGIONS, "UM", One, Cells,
        about: "Then what no disc of this radius fits into is taken away, µm",
        remark: ", µm",
        default: || merger::RegionSettings::default().opening_um.to_string(),
        sample: "10",
    }
    region_hole_um2: f64 {
        name: "region-hole-um2", REGIONS, "UM2", One, Cells,
        about: "Then holes up to this area are filled, µm²",
        remark: ", µm²",
        default: || merger::RegionSettings::default().largest_hole_um2.to_string(),
        sample: "10",
    }
    region_min_um2: f64 {
        name: "region-min-um2", REGIONS, "UM2", One, Cells,
        about: "Then regions below this area are left out, µm²",
        remark: ", µm²",
        default: || merger::RegionSettings::default().least_area_um2.to_string(),
        sample: "10",
    }
    region_simplify_um: f64 {
        name: "region-simplify-um", REGIONS, "UM", One, Cells,
        about: "Outlines of regions may be off by this, µm",
        remark: ", µm",
        default: || merger::RegionSettings::default().simplify_um.to_string(),
        sample: "2",
    }
}

fn model_iou() -> String {
    format!("the model's own, or {}", Manifest::DEFAULT_NMS_IOU)
}

fn fusion_defaults() -> merger::fusion::FusionSettings {
    merger::fusion::FusionSettings::default()
}

impl RunOptions {
    /// Reads a settings file.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] naming the file and the key, with the nearest known name for one that is not known.
    pub fn from_file(path: &Path) -> Result<Self, JobError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| JobError::usage(format!("cannot read settings: {error}: {}", path.display())))?;
        Self::from_toml(&text).map_err(|reason| JobError::usage(format!("{reason}: {}", path.display())))
    }

    /// Reads the text of a settings file.
    ///
    /// # Errors
    ///
    /// A message in words for the first problem.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("settings are not TOML: {error}"))?;
        if let Some(key) = table.keys().find(|key| Knob::named(key).is_none()) {
            let hint = nearest(key, KNOBS.iter().map(|knob| knob.name));
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fingerprint, settings::Settings};

    /// Settings with one option given by its sample, and with the others that it needs to be accepted.
    fn with_sample(knob: &Knob) -> Settings {
        let mut options = RunOptions::default();
        let values: Vec<OsString> = match knob.arity {
            Arity::List => knob.sample.split(',').map(OsString::from).collect(),
            _ => vec![knob.sample.into()],
        };
        (knob.set)(&mut options, &values).unwrap();
        if knob.name.starts_with("fuse") || knob.name.starts_with("context") {
            let two = ["mpp=0.25", "mpp=0.5"].map(|text| text.parse().unwrap());
            options.detector = Some(two.to_vec());
        }
        if knob.name.starts_with("context") {
            options.fuse = Some("context".into());
            options.region_class = Some(vec!["nucleus".into()]);
        }
        if knob.name.starts_with("dense") {
            options.dense_per_mm2 = options.dense_per_mm2.or(Some(1000.0));
        }
        if ["stain-vectors", "dab-ring-um"].contains(&knob.name) {
            options.stains = Some(StainSet::HDab);
        }
        if knob.name == "stage-budget" {
            options.stage = Some("stage".into());
        }
        if knob.name == "raw-floor" {
            options.keep_raw = Some(true);
        }
        Settings::new(options).unwrap_or_else(|error| panic!("{}: {error}", knob.name))
    }

    /// The same settings without the option.
    fn without(knob: &Knob) -> Settings {
        let mut options = with_sample(knob).options;
        let mut fresh = serde_json::to_value(&options).unwrap();
        fresh[knob.name] = serde_json::Value::Null;
        options = serde_json::from_value(fresh).unwrap();
        Settings::new(options).unwrap_or_else(|error| panic!("without {}: {error}", knob.name))
    }

    /// If an option changes results and is not in the fingerprint, old results stay without any message.
    #[test]
    fn the_fingerprint_has_every_option_that_changes_results_and_no_other() {
        for knob in KNOBS.iter().filter(|knob| knob.phase != Phase::Slide) {
            let (with, without) = (with_sample(knob), without(knob));
            let [with_models, without_models] = [&with, &without].map(|settings| settings.models().unwrap());
            let windows_change = fingerprint::of_windows(&with, &with_models)
                != fingerprint::of_windows(&without, &without_models);
            let cells_change = fingerprint::of_cells(&with, &with_models)
                != fingerprint::of_cells(&without, &without_models);
            let phase = knob.phase;
            assert_eq!(windows_change, phase == Phase::Windows, "windows and {}", knob.name);
            assert!(
                cells_change == (phase == Phase::Cells) || phase == Phase::Windows,
                "cells and {}",
                knob.name
            );
        }
    }

    #[test]
    fn samples_are_shown_and_read_back() {
        for knob in KNOBS {
            assert!((knob.is_given)(&with_sample(knob).options), "{}", knob.name);
            let settings = with_sample(knob);
            let shown = (knob.shown)(&settings.in_full());
            let shown = shown.unwrap_or_else(|| panic!("{} shows nothing", knob.name));
            let read = RunOptions::from_toml(&format!("{} = {shown}", knob.name)).unwrap();
            assert!((knob.is_given)(&read), "{} = {shown}", knob.name);
        }
    }

    #[test]
    fn names_are_the_keys_of_a_settings_file_in_order() {
        let json = serde_json::to_string(&RunOptions::default()).unwrap();
        let expected: Vec<_> = KNOBS.iter().map(|knob| format!("\"{}\":null", knob.name)).collect();
        assert_eq!(json, format!("{{{}}}", expected.join(",")));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let error = RunOptions::from_toml("overlapp = \"50%\"").unwrap_err();
        assert_eq!(error, "unknown setting \"overlapp\", did you mean \"overlap\"?");
        let error = RunOptions::from_toml("batch = \"four\"").unwrap_err();
        assert!(error.contains("batch") || error.contains("usize"), "{error}");
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = RunOptions::from_toml("batch = 2\nwindow = 1024\nmin-score = 0.5").unwrap();
        let flags = RunOptions { batch: Some(8), ..RunOptions::default() };
        let both = flags.or(file);
        assert_eq!((both.batch, both.window), (Some(8), Some(1024)));
        let cells = both.only(Phase::Cells);
        assert_eq!((cells.batch, cells.min_score), (None, Some(0.5)));
    }

    #[test]
    fn help_names_the_default_once() {
        let [window, merge_iou, stains] =
            ["window", "merge-iou", "stains"].map(|name| Knob::named(name).unwrap().help());
        assert!(window.ends_with("decides where nothing is given [default: 2048]"), "{window}");
        assert!(merge_iou.ends_with("[default: the model's own, or 0.7]"));
        assert!(!stains.contains("default"));
        assert!(KNOBS.iter().all(|knob| !knob.about.contains("[default")));
    }

    #[test]
    fn a_wrong_value_says_why() {
        let [score, detector, threads] = [("min-score", "high"), ("detector", "mp=3"), ("threads", "2")]
            .map(|(name, value)| (Knob::named(name).unwrap().check)(value));
        assert_eq!(score.unwrap_err(), "expected a number");
        assert!(detector.unwrap_err().contains("did you mean \"mpp\"?"));
        assert!(threads.is_ok());
    }
}
