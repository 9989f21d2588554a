//! Errors of this crate, one variant per thing a caller might do differently.

use std::path::PathBuf;

use wsi_types::wording::counted;

/// An error of this crate. Paths and image names stand last in messages: they
/// can identify patients.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file could not be opened or read.
    #[error("cannot read: {source}: {}", path.display())]
    Read {
        /// The system's message.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A file was read and does not hold what its format says.
    #[error("bad {format}, {place}: {problem}: {}", path.display())]
    Malformed {
        /// `GeoJSON`, `COCO JSON`, `CSV`, `label PNG`, `Parquet`, `YOLO labels`,
        /// `YOLO data set`, `zip`.
        format: &'static str,
        /// Place in the file: a feature's place from 0, a line from 1, a column.
        place: String,
        /// The problem found, and the content expected.
        problem: String,
        /// The file.
        path: PathBuf,
    },
    /// Neither the name nor the first bytes are those of a known format.
    #[error(
        "unknown annotation format, expected GeoJSON (also zipped), COCO JSON, CSV points or boxes, label \
         PNGs, Parquet or a YOLO data set: {}",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// `--match` is not one of the known rules.
    #[error("cannot match by {0:?}, expected iou:0.5, mask-iou:0.5 or distance:3um")]
    Criterion(String),
    /// A setting is out of its range.
    #[error("{name} is {found}, expected {expected}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// The value given.
        found: String,
        /// The values accepted.
        expected: &'static str,
    },
    /// A value is in µm and the image's pixel size is not known.
    #[error("microns per pixel are not known, and distances and areas in µm need them; give --mpp: {image}")]
    NoMpp {
        /// The image's name.
        image: String,
    },
    /// The criterion is an IoU, and objects are points.
    #[error(
        "the {side} has {} that are points, which have no area to overlap; match by distance instead, for example \
         distance:3um",
        counted(*objects, "object")
    )]
    PointsHaveNoArea {
        /// `truth`, `prediction`, or an annotator's name.
        side: String,
        /// Number of such objects.
        objects: usize,
    },
    /// Predictions on images that the truth does not name.
    #[error(
        "there are predictions and no truth for {}, so nothing can be said of them; the first: {first}",
        counted(*count, "image")
    )]
    ImagesWithoutTruth {
        /// Number of such images.
        count: usize,
        /// The first of them by name.
        first: String,
    },
    /// A name fits several images.
    #[error("several images go by one name and their folders do not tell them apart: {name}")]
    AmbiguousImage {
        /// The name.
        name: String,
    },
    /// COCO results give a number that several images or categories have.
    #[error(
        "COCO results give an {what} only by its number {number}, which {meanings} of them have in the other \
         files; judge the files one by one"
    )]
    AmbiguousNumber {
        /// `image` or `category`.
        what: &'static str,
        /// The number.
        number: i64,
        /// Number of images or categories it could mean.
        meanings: usize,
    },
    /// There are objects, and all of them are crowds.
    #[error(
        "the {side} has {}, all marked iscrowd, so none can be found or missed; if each is one object (CVAT marks what \
         is drawn with its brush so), take crowds for objects",
        counted(*objects, "object")
    )]
    CrowdsAlone {
        /// `truth`, or an annotator's name.
        side: String,
        /// Number of objects.
        objects: usize,
    },
    /// No prediction can be right.
    #[error(
        "the two sides have no class in common, so nothing can match: the truth has {truth}, the predictions \
         have {predictions}; give classes that are the same the same name, or take all classes for one"
    )]
    NoCommonClass {
        /// Names of the truth's classes.
        truth: String,
        /// Names of the predictions' classes.
        predictions: String,
    },
    /// More classes than there are class ids.
    #[error("more than 65535 classes")]
    TooManyClasses,
    /// More objects in one image than matching can index.
    #[error("more than 4 294 967 294 objects in one image: {image}")]
    TooManyObjects {
        /// The image's name.
        image: String,
    },
    /// There is nothing to evaluate or to agree on.
    #[error("{0}")]
    Empty(&'static str),
}

/// Result of the fallible functions here.
pub type Result<T, E = EvalError> = std::result::Result<T, E>;
