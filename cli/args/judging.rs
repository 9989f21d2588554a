//! Command lines of the commands that judge and make annotations: `eval`, `consensus` and `dataset`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use eval::{
    EvalError,
    ap::AreaRange,
    consensus::Keep,
    evaluation::AbsentImages,
    matching::Criterion,
    training_set::{BorderRule, GroupRule, Task},
    truth::Parts,
};

use crate::numbers::whole;

/// Settings for reading annotation files, shared by all commands that read them.
#[derive(Debug, Clone, Args)]
pub struct Annotations {
    /// Microns per pixel of images whose file does not say it
    #[arg(long, value_name = "X", help_heading = "Files")]
    pub mpp: Option<f64>,
    /// A class that means "nobody annotated here": it excuses predictions of every
    /// class. May be given again; QuPath's Ignore* is known
    #[arg(long, value_name = "CLASS", action = ArgAction::Append, help_heading = "Files")]
    pub ignore_area: Vec<String>,
    /// Give a class another name; two that get one name become one class. May be
    /// given again
    #[arg(long, value_name = "FROM=TO", value_parser = renaming, action = ArgAction::Append, help_heading = "Files")]
    pub rename: Vec<(String, String)>,
    /// Meaning of the separate parts of a GeoJSON multi-polygon, or of a mask with one number: objects
    /// (each), whole (parts of one), or by-class (objects where an annotation's class is one of cells, such
    /// as nucleus or lymphocyte)
    #[arg(long, value_name = "WHAT", value_parser = parts, default_value = "by-class", help_heading = "Files")]
    pub parts: Parts,
    /// Take what COCO marks as iscrowd for single objects: CVAT marks all that was
    /// drawn with its brush so
    #[arg(long, help_heading = "Files")]
    pub crowd_objects: bool,
    /// Refuse files with something that is no object (rulers, geometry collections,
    /// outlines without area or coordinates), instead of leaving it out with a warning
    #[arg(long, help_heading = "Files")]
    pub strict: bool,
    /// Take the nucleus of QuPath cells that have both outlines
    #[arg(long, help_heading = "Files")]
    pub nuclei: bool,
    /// Which image is of which patient or slide: a CSV with the columns image and
    /// group (also id and patient, slide or case)
    #[arg(long, value_name = "FILE.csv", help_heading = "Files")]
    pub groups: Option<PathBuf>,
}

fn parts(text: &str) -> Result<Parts, String> {
    match text {
        "by-class" => Ok(Parts::ByClass),
        "whole" => Ok(Parts::Whole),
        "objects" => Ok(Parts::Objects),
        _ => Err("expected by-class, whole or objects".to_owned()),
    }
}

/// Size ranges of one `--area`.
#[derive(Debug, Clone)]
pub struct AreaRanges(pub Vec<AreaRange>);

fn area_ranges(text: &str) -> Result<AreaRanges, String> {
    if text == "coco" {
        return Ok(AreaRanges(AreaRange::coco().to_vec()));
    }
    text.parse().map(|range| AreaRanges(vec![range])).map_err(|error: EvalError| error.to_string())
}

fn renaming(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("expected FROM=TO, such as tumor=tumour".to_owned()),
    }
}

/// Judge predictions by annotations: AP, precision, recall, F1, FROC, counts,
/// panoptic quality, calibration.
///
/// Both sides are files or folders: the OUT of `slidemill run`, Parquet, GeoJSON
/// (QuPath; also gz or zip), COCO JSON, CSV points or boxes, label PNGs, YOLO data
/// sets. All are in level-0 px; the OUT of `slidemill dataset` is read back into those
/// of its slides, a part of it, such as OUT/images/val, into the px of its tiles.
/// Images are brought together by name without extension, and where several have one
/// name by their folders; one image on each side is the same one. COCO results, which
/// only have numbers, get the names of the truth. Intervals are of a bootstrap over
/// patients or slides (`--groups`), else over images.
///
/// Truth images that the predictions do not have were not run: they are named and left
/// out (--absent).
///
/// COCO's iscrowd, QuPath's Ignore* and, with --border, objects cut by the border
/// excuse predictions and are not counted themselves.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  slidemill eval --pred results --truth truth.geojson --match distance:3um\n  \
    slidemill eval --pred results.json --truth coco.json --match mask-iou:0.5 --html report.html\n  \
    slidemill eval --pred training-set --truth annotations.geojson --match iou:0.9\n  \
    slidemill eval --pred cells.parquet --truth labels/ --mpp 0.25 --groups patients.csv --json"
)]
pub struct Eval {
    /// Predictions. May be given again, for files of several images
    #[arg(long, required = true, value_name = "PATH", action = ArgAction::Append)]
    pub pred: Vec<PathBuf>,
    /// Truth to judge by. May be given again
    #[arg(long, required = true, value_name = "PATH", action = ArgAction::Append)]
    pub truth: Vec<PathBuf>,
    /// When a prediction is an object: iou:0.5 (boxes), mask-iou:0.5 (outlines) or
    /// distance:3um (centres)
    #[arg(long = "match", value_name = "RULE", default_value = "iou:0.5")]
    pub criterion: Criterion,
    /// The working threshold: predictions of at least this score count for
    /// precision, recall, F1, PQ, counts and confusion. Curves use all
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    pub min_score: f32,
    /// All classes are one
    #[arg(long)]
    pub one_class: bool,
    /// Pair at the working threshold as COCO does, the surest first, instead of
    /// making as many pairs as possible
    #[arg(long)]
    pub greedy: bool,
    /// Truth objects within so many px of the image's border do not count
    #[arg(long, value_name = "PX")]
    pub border: Option<f64>,
    /// At most so many predictions per image and class, the surest first
    /// [default: all; COCO's own is 100]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0..=u64::MAX))]
    pub max_predictions: Option<usize>,
    /// Also AP of objects of some sizes only: NAME:MIN..MAX in um2 or px2, such as
    /// small:0..40um2, or coco for its small, medium and large (32² and 96² px). May
    /// be given again; areas are of boxes with iou, else of outlines
    #[arg(long = "area", value_name = "RANGE", value_parser = area_ranges, action = ArgAction::Append)]
    pub areas: Vec<AreaRanges>,
    /// Leave out predictions on images that have no truth, instead of refusing
    #[arg(long)]
    pub skip_unknown: bool,
    /// Truth images that the predictions do not have: skip (they were not run) or
    /// missed (nothing was found in them) [default: skip; missed for COCO results,
    /// which name no image without objects]
    #[arg(long, value_name = "WHAT", value_parser = absent)]
    pub absent: Option<AbsentImages>,
    /// Draws of the bootstrap; 0 for no intervals
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = whole::<u32>(0..=u32::MAX.into()))]
    pub bootstrap: u32,
    /// Seed of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// False positives per image at which sensitivity is told and averaged
    #[arg(long, value_name = "R,…", value_delimiter = ',', default_value = "0.125,0.25,0.5,1,2,4,8")]
    pub rates_per_image: Vec<f64>,
    /// False positives per mm² at which sensitivity is told and averaged
    #[arg(long, value_name = "R,…", value_delimiter = ',', default_value = "0.125,0.25,0.5,1,2,4,8")]
    pub rates_per_mm2: Vec<f64>,
    /// Print everything as JSON instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Also write every figure with its interval as a table
    #[arg(long, value_name = "FILE.parquet", help_heading = "Output")]
    pub parquet: Option<PathBuf>,
    /// Also write one page with tables and curves
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Also write what is false and what was missed into this folder, a GeoJSON
    /// per image that QuPath opens
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub mistakes: Option<PathBuf>,
    /// Settings for reading annotation files.
    #[command(flatten)]
    pub annotations: Annotations,
}

fn absent(text: &str) -> Result<AbsentImages, String> {
    match text {
        "skip" => Ok(AbsentImages::LeaveOut),
        "missed" => Ok(AbsentImages::Missed),
        _ => Err("expected skip or missed".to_owned()),
    }
}

/// Bring several annotators to one agreed truth, and judge each of them.
///
/// Their objects are grouped, at most one of each annotator to a group; each
/// group becomes one object with the number of its supporters, the vote on its
/// class and the share that agreed. From three annotators on, a rater model in
/// the manner of STAPLE tells each one's sensitivity and precision and how much
/// all missed together.
///
/// OUT is a new folder: truth/ holds the agreed objects, review/ those in dispute,
/// each a GeoJSON per image that QuPath opens; consensus.json holds everything.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  slidemill consensus anna.geojson ben.geojson carla.geojson -o agreed\n  \
    slidemill consensus anna=a/ ben=b/ --match distance:3um --mpp 0.25 --weight anna=2 -o agreed\n  \
    slidemill eval --pred results --truth agreed/truth --match distance:3um"
)]
pub struct Consensus {
    /// One file or folder per annotator, at least two: PATH, or NAME=PATH
    #[arg(required = true, num_args = 2.., value_name = "ANNOTATOR")]
    pub annotators: Vec<String>,
    /// New folder for what was agreed
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// When two mean the same object: iou:0.5 (boxes), mask-iou:0.5 (outlines) or
    /// distance:3um (centres)
    #[arg(long = "match", value_name = "RULE", default_value = "iou:0.5")]
    pub criterion: Criterion,
    /// Which objects become truth: majority, 2 (at least two annotators), 60% (of
    /// the weight) or p0.9 (probability under the rater model). Shares are of those
    /// who looked at the image
    #[arg(long, value_name = "RULE", default_value = "majority", value_parser = keep)]
    pub keep: Keep,
    /// Weight of an annotator's vote [default: 1]. May be given again
    #[arg(long, value_name = "NAME=W", value_parser = weight, action = ArgAction::Append)]
    pub weight: Vec<(String, f64)>,
    /// Group by density (DBSCAN) with so many objects for a core, instead of by the
    /// nearest pairs; chains of touching objects then become one
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=u64::MAX))]
    pub density: Option<usize>,
    /// List for review what less than this share of the readers marked, or whose
    /// class less than this share of its supporters chose
    #[arg(long, value_name = "SHARE", default_value_t = 0.75)]
    pub review_below: f64,
    /// Print everything as JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// Settings for reading annotation files.
    #[command(flatten)]
    pub annotations: Annotations,
}

fn keep(text: &str) -> Result<Keep, String> {
    let keep = match (text, text.strip_suffix('%'), text.strip_prefix('p')) {
        ("majority", ..) => Some(Keep::Majority),
        (_, Some(percent), _) => percent.parse().ok().map(|percent: f64| Keep::Share(percent / 100.0)),
        (_, _, Some(probability)) => probability.parse().ok().map(Keep::Probability),
        _ => text.parse().ok().filter(|least| *least > 0).map(Keep::AtLeast),
    };
    keep.ok_or_else(|| format!("cannot keep by {text:?}, expected majority, 2, 60% or p0.9"))
}

fn weight(text: &str) -> Result<(String, f64), String> {
    let parts = text.split_once('=').and_then(|(name, weight)| Some((name.to_owned(), weight.parse().ok()?)));
    parts.ok_or_else(|| "expected NAME=WEIGHT, such as anna=2".to_owned())
}

/// Cut annotated slides or images into a YOLO data set to train on.
///
/// Images are slides or pictures; folders are searched for both (label and mask
/// PNGs are not pictures). Annotations find them by name. Images that no
/// annotation names are left out: nobody said that they are empty.
///
/// OUT is a new folder as Ultralytics wants it: images/, labels/ and data.yaml.
/// Beside it: tiles.csv (where each tile lies, its weight and repeats),
/// train-oversampled.txt (tiles with rare classes repeated; name it under `train:`
/// in data.yaml to use it), dataset.json and a picture, overview.png.
///
/// Pieces of one patient, slide or field (--groups, --group-by) never fall into
/// two splits. What is in sight without a label is painted over in grey.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  slidemill dataset slides/ --truth annotations/ -o train --tile-mpp 0.5\n  \
    slidemill dataset tnbc/ --truth tnbc/ -o train --task segment --mpp 0.25 --group-by before:_\n  \
    slidemill dataset crops/ --truth crops/ -o train --mpp 0.5 --dot-um 8 --group-by first:12"
)]
pub struct TrainingSet {
    /// Annotated slides or pictures: files, folders, globs, or a CSV list
    #[arg(required = true, value_name = "IMAGES")]
    pub images: Vec<PathBuf>,
    /// Their annotations: files or folders. May be given again
    #[arg(long, required = true, value_name = "PATH", action = ArgAction::Append)]
    pub truth: Vec<PathBuf>,
    /// New folder for the data set
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// Task to train for: boxes (detect) or outlines (segment)
    #[arg(long, value_name = "TASK", default_value = "detect", value_parser = task)]
    pub task: Task,
    /// µm per px of the tiles [default: each image's own pixels]
    #[arg(long, value_name = "X", help_heading = "Tiles")]
    pub tile_mpp: Option<f64>,
    /// Side of a tile in px
    #[arg(long, value_name = "PX", default_value_t = 640, help_heading = "Tiles", value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub tile: u32,
    /// Overlap of neighbouring tiles, in px
    #[arg(long, value_name = "PX", default_value_t = 64, help_heading = "Tiles", value_parser = whole::<u32>(0..=u32::MAX.into()))]
    pub overlap: u32,
    /// Which objects at a tile's border are labelled there: visible:0.5 (at least
    /// half of the area in sight), centre, or whole
    #[arg(long, value_name = "RULE", default_value = "visible:0.5", value_parser = border, help_heading = "Tiles")]
    pub border: BorderRule,
    /// Leave what is in sight without a label as it is, instead of painting it over
    #[arg(long, help_heading = "Tiles")]
    pub keep_unlabelled: bool,
    /// Side in µm of the box that stands for a dot
    #[arg(long, value_name = "UM", help_heading = "Tiles")]
    pub dot_um: Option<f64>,
    /// Training tiles without objects, at most so many for each with objects
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, help_heading = "Tiles")]
    pub empty: f64,
    /// Shares for train, val and test
    #[arg(
        long,
        value_name = "A,B,C",
        value_delimiter = ',',
        default_value = "0.8,0.2,0",
        help_heading = "Splits"
    )]
    pub split: Vec<f64>,
    /// Deal groups out to meet the shares as well as they allow. Otherwise a hash of
    /// the group's name decides, so that a patient stays where they are, whoever is
    /// added later
    #[arg(long, help_heading = "Splits")]
    pub balanced: bool,
    /// Grouping when there is no --groups: first:12 (names that begin with the same 12 characters, a TCGA
    /// patient) or before:_ (that agree up to the first _) [default: each image alone]
    #[arg(long, value_name = "RULE", value_parser = group_by, conflicts_with = "groups", help_heading = "Splits")]
    pub group_by: Option<GroupRule>,
    /// Another seed, another division
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Splits", value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// No class weight, and no number of repeats, is larger than this times the
    /// smallest
    #[arg(long, value_name = "W", default_value_t = 10.0, help_heading = "Balance")]
    pub weight_cap: f64,
    /// Predictions of an earlier model on these images: training tiles where it was
    /// surely wrong are kept even when empty, and listed, worst first, in
    /// hard-negatives.txt
    #[arg(long, value_name = "PRED", help_heading = "Balance")]
    pub hard_negatives: Option<PathBuf>,
    /// When such a prediction is right
    #[arg(long = "match", value_name = "RULE", default_value = "iou:0.5", help_heading = "Balance")]
    pub criterion: Criterion,
    /// Settings for reading annotation files.
    #[command(flatten)]
    pub annotations: Annotations,
}

fn task(text: &str) -> Result<Task, String> {
    match text {
        "detect" => Ok(Task::Detect),
        "segment" => Ok(Task::Segment),
        _ => Err("expected detect or segment".to_owned()),
    }
}

fn border(text: &str) -> Result<BorderRule, String> {
    let share = text.strip_prefix("visible:").and_then(|share| share.parse().ok());
    match (text, share) {
        ("centre", _) => Ok(BorderRule::Centre),
        ("whole", _) => Ok(BorderRule::Whole),
        (_, Some(share)) => Ok(BorderRule::Visible(share)),
        _ => Err("expected visible:0.5, centre or whole".to_owned()),
    }
}

fn group_by(text: &str) -> Result<GroupRule, String> {
    let first = text.strip_prefix("first:").and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    let before = text.strip_prefix("before:").and_then(|one| one.parse::<char>().ok());
    (first.map(GroupRule::Characters))
        .or_else(|| before.map(|separator| GroupRule::Parts(separator, 1)))
        .ok_or_else(|| "expected first:N or before:C, such as first:12 or before:_".to_owned())
}
