//! The command lines of what judges and makes annotations: `eval`, `consensus`
//! and `dataset`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use eval::matching::Criterion;

/// How annotation files are read, whichever command reads them.
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
    /// Take the nucleus of QuPath cells that have both outlines
    #[arg(long, help_heading = "Files")]
    pub nuclei: bool,
    /// Which image is of which patient or slide: a CSV with the columns image and
    /// group (also id and patient, slide or case)
    #[arg(long, value_name = "FILE.csv", help_heading = "Files")]
    pub groups: Option<PathBuf>,
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
/// (QuPath), COCO JSON, CSV points or boxes, label PNGs. All are in level-0 px.
/// Images are brought together by name, with or without folder and extension; one
/// image on each side is the same one. Intervals are of a bootstrap over patients
/// or slides (`--groups`), else over images.
///
/// COCO's iscrowd, QuPath's Ignore* and, with --border, objects cut by the border
/// excuse predictions and are not counted themselves.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  slidemill eval --pred results --truth truth.geojson --match distance:3um\n  \
    slidemill eval --pred results.json --truth coco.json --match mask-iou:0.5 --html report.html\n  \
    slidemill eval --pred cells.parquet --truth labels/ --mpp 0.25 --groups patients.csv --json"
)]
pub struct Eval {
    /// What is judged. May be given again, for files of several images
    #[arg(long, required = true, value_name = "PATH", action = ArgAction::Append)]
    pub pred: Vec<PathBuf>,
    /// What it is judged by. May be given again
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
    #[arg(long, value_name = "N")]
    pub max_predictions: Option<usize>,
    /// Leave out predictions on images that have no truth, instead of refusing
    #[arg(long)]
    pub skip_unknown: bool,
    /// Draws of the bootstrap; 0 for no intervals
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub bootstrap: u32,
    /// Seed of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 0)]
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
    /// How files are read.
    #[command(flatten)]
    pub annotations: Annotations,
}
