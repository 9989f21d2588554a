//! Errors of this crate, one variant per thing a caller might do differently.

use std::path::PathBuf;

use wsi_types::wording::counted;

use crate::{Device, manifest::Dim};

/// Reasons that a model cannot be used, or a batch could not be run.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    /// The file, or the manifest beside it, cannot be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// `the model` or `the manifest`.
        what: &'static str,
        /// Reason given by the system.
        source: std::io::Error,
    },
    /// More bytes than an ONNX file can have.
    #[error("the model has {bytes} bytes, expected at most {limit}")]
    TooLarge {
        /// Size found.
        bytes: u64,
        /// Largest size taken.
        limit: u64,
    },
    /// The bytes are not an ONNX model.
    #[error("this is not an ONNX model: {reason}")]
    NotOnnx {
        /// Fault and its place.
        reason: String,
    },
    /// A version of ONNX that no runtime we know of reads.
    #[error(
        "the model is of ONNX {what} {found}, newer than {newest}, the newest that is read; export it with opset 17 or 18"
    )]
    TooNew {
        /// `IR version` or `opset`.
        what: &'static str,
        /// Version that the model states.
        found: i64,
        /// Newest read.
        newest: i64,
    },
    /// Weights in side files, which a model hash would not cover.
    #[error(
        "the weights lie outside the model, in {files}; save it as one file: \
         python -c \"import onnx; onnx.save(onnx.load('model.onnx'), 'whole.onnx')\""
    )]
    ExternalData {
        /// The files named, comma-separated; at most a few.
        files: String,
    },
    /// A node of a domain no ONNX Runtime build knows.
    #[error(
        "the model asks for the custom operator {domain}:{operator}, which ONNX Runtime does not have; \
         export it again with standard operators only"
    )]
    CustomOperator {
        /// The operator.
        operator: String,
        /// Its domain.
        domain: String,
    },
    /// Something the model or its manifest says cannot be.
    #[error("{key}: {reason}")]
    Manifest {
        /// The metadata key or the dotted TOML key.
        key: String,
        /// Value found and value expected.
        reason: String,
    },
    /// The outputs are none of the heads we know.
    #[error("no known head has these outputs\n{}{}", Shapes(.found, .classes), Hint(.hint))]
    UnknownHead {
        /// Name and shape of each output.
        found: Vec<(String, Vec<Dim>)>,
        /// Number of classes that the model names.
        classes: usize,
        /// Probable kind of head, and advice.
        hint: Option<String>,
    },
    /// The image input is not one we can fill.
    #[error("the model's input cannot be filled: {reason}")]
    UnknownInput {
        /// Value found and value expected.
        reason: String,
    },
    /// ONNX Runtime itself is missing or too old.
    #[error("ONNX Runtime cannot be used: {reason}")]
    Runtime {
        /// Cause, and advice.
        reason: String,
    },
    /// A device that was asked for is not available.
    #[error("device {device} cannot be used: {reason}; {fix}")]
    Device {
        /// The device, as it was asked for.
        device: String,
        /// Reason given by the runtime.
        reason: String,
        /// Advice.
        fix: String,
    },
    /// ONNX Runtime refuses the model.
    #[error("ONNX Runtime cannot load the model: {reason}")]
    Load {
        /// Reason given by the runtime.
        reason: String,
    },
    /// The windows are not of a size this model takes.
    #[error("windows are {width} × {height} px, but the model takes {expected}")]
    WindowSize {
        /// Width of the windows, px.
        width: usize,
        /// Height of the windows, px.
        height: usize,
        /// Size expected, in words.
        expected: String,
    },
    /// A batch whose bytes and windows do not agree.
    #[error("a batch of {windows} windows of {width} × {height} px holds {bytes} bytes, expected {expected}")]
    BatchSize {
        /// Windows named.
        windows: usize,
        /// Width of each window, px.
        width: usize,
        /// Height of each window, px.
        height: usize,
        /// Bytes given.
        bytes: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// A first answer, to a window of background, does not have the form that the model promises.
    #[error("the model does not answer as its head should: {fault}")]
    Answer {
        /// Fault of that answer.
        fault: WindowFault,
    },
    /// Running failed, and not for lack of memory, which a smaller batch could cure.
    #[error("running the model failed: {reason}")]
    Run {
        /// Reason given by the runtime.
        reason: String,
    },
    /// Not even one window fits in the device's memory.
    #[error("one window of {width} × {height} px does not fit in the memory of {device}: {reason}")]
    OutOfMemory {
        /// Width of the window, px.
        width: usize,
        /// Height of the window, px.
        height: usize,
        /// Device it ran on.
        device: String,
        /// Reason given by the runtime.
        reason: String,
    },
    /// One of our own threads ended early: its panic is reported by the thread itself.
    #[error("the {thread} thread ended early")]
    Thread {
        /// Name of the thread.
        thread: &'static str,
    },
    /// Answers of another program that ours cannot be compared with.
    #[error("the reference cannot be used: {reason}")]
    Reference {
        /// Reason, in words.
        reason: String,
    },
    /// Any of these, about this file.
    #[error("{source}: {}", path.display())]
    File {
        /// The error itself.
        source: Box<DetectorError>,
        /// The file.
        path: PathBuf,
    },
}

impl DetectorError {
    /// The same error, naming the file it is about.
    #[must_use]
    pub fn of_file(self, path: impl Into<PathBuf>) -> Self {
        Self::File { source: Box::new(self), path: path.into() }
    }

    /// The same error, of `one` of the devices that were `asked` for.
    pub(crate) fn of_one_device(self, asked: &Device, one: &Device) -> Self {
        if asked == one {
            return self;
        }
        let (reason, fix) = match self {
            Self::Device { reason, fix, .. } => (reason, fix),
            other => (other.to_string(), "leave it out, or use --device cpu".to_owned()),
        };
        Self::Device { device: asked.to_string(), reason: format!("{one}: {reason}"), fix }
    }

    pub(crate) fn manifest(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Manifest { key: key.into(), reason: reason.into() }
    }

    /// A section of a manifest that says nothing of a model with this head, which `lacks` something.
    pub(crate) fn unused_section(section: &str, head: impl std::fmt::Display, lacks: &str) -> Self {
        Self::manifest(section, format!("the head is {head}, which {lacks}; leave the section out"))
    }
}

/// Reasons that one window has no result. The others of its batch are not affected.
///
/// Each is a fault of the model, not of the slide.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WindowFault {
    /// NaN or infinity in scores, boxes or masks.
    #[error("the model answered NaN or infinity in {part}")]
    NotFinite {
        /// `scores`, `boxes`, `mask coefficients` or `prototypes`.
        part: &'static str,
    },
    /// An end-to-end head named a class the model does not have.
    #[error(
        "the model answered class {class}, expected 0 to {last}: its columns may not be two corners, a score and a \
         class; `head` in a TOML beside it says how it answers"
    )]
    NoSuchClass {
        /// Class as answered, printed.
        class: String,
        /// The last class there is.
        last: usize,
    },
    /// The model answered nothing at all.
    #[error("the model has no output")]
    NoOutput,
    /// An output of a shape that the head does not allow.
    #[error(
        "the model's output {output} has shape {found:?}, expected {expected}; `end2end` or `head` in a TOML beside \
         it says how it answers"
    )]
    Shape {
        /// Name of the output.
        output: String,
        /// Shape as answered.
        found: Vec<usize>,
        /// Shape expected, in words.
        expected: String,
    },
    /// Boxes in fractions of the window where px are expected.
    #[error(
        "the model's boxes, {boxes} above the threshold, all lie within 1 px of the corner: they are fractions of \
         the window, expected px"
    )]
    BoxesInFractions {
        /// Number of boxes.
        boxes: usize,
    },
    /// Boxes in px where fractions of the window are expected.
    #[error("the model answered a box centred at ({x}, {y}), expected fractions of the window, 0 to 1")]
    BoxesInPx {
        /// x of the centre, as answered.
        x: f32,
        /// y of the centre, as answered.
        y: f32,
    },
    /// Scores that are not probabilities.
    #[error("the model answered a score of {score}, expected 0 to 1: a sigmoid or softmax is missing")]
    ScoreRange {
        /// Score as answered.
        score: f32,
    },
    /// A class number that is none.
    #[error("the model answered {number} as a class number, expected whole numbers from 0 on")]
    ClassNumber {
        /// Number as answered.
        number: f32,
    },
    /// A number of an object that is none.
    #[error(
        "the model answered {number} as the number of an object, expected whole numbers, 0 for none and below 2^24"
    )]
    ObjectNumber {
        /// Number as answered.
        number: f32,
    },
    /// Numbers that several objects have.
    #[error(
        "the model gave {repeated} of its {numbers} numbers to places that lie apart, expected a number for each object: \
         number them through the whole window in the export"
    )]
    NumbersRepeat {
        /// Numbers that lie in several large parts.
        repeated: usize,
        /// All numbers.
        numbers: usize,
    },
    /// A number of a vector that a half cannot hold.
    #[error(
        "the model answered {number} in its vector, expected numbers from -65504 to 65504, as vectors are kept in halves"
    )]
    TooLargeForHalf {
        /// Number as answered.
        number: f32,
    },
    /// Offsets from the centres of nuclei that are none.
    #[error(
        "the model answered an offset of {offset} from the centre of a nucleus, expected about -1 to 1: `hover.hv` in a TOML \
         beside it names the output that holds offsets"
    )]
    Offset {
        /// Offset as answered.
        offset: f32,
    },
    /// Detections of a window's pieces that could not be merged into one answer.
    #[error("the pieces of the window cannot be merged: {reason}")]
    Pieces {
        /// Reason, in words.
        reason: String,
    },
}

impl WindowFault {
    /// Boxes within the first px that prove that a model counts in fractions; fewer may be a speck in a
    /// corner.
    const PROOF: usize = 3;

    /// `true` if the model does not answer as its head should, so that other windows will fail too.
    #[must_use]
    pub fn breaks_contract(&self) -> bool {
        match self {
            Self::NotFinite { .. } | Self::TooLargeForHalf { .. } | Self::Pieces { .. } => false,
            Self::BoxesInFractions { boxes } => *boxes >= Self::PROOF,
            Self::NoSuchClass { .. }
            | Self::NoOutput
            | Self::Shape { .. }
            | Self::BoxesInPx { .. }
            | Self::ClassNumber { .. }
            | Self::ObjectNumber { .. }
            | Self::NumbersRepeat { .. }
            | Self::Offset { .. }
            | Self::ScoreRange { .. } => true,
        }
    }
}

/// Shapes found against shapes known, over several lines.
struct Shapes<'a>(&'a [(String, Vec<Dim>)], &'a usize);

impl std::fmt::Display for Shapes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(found, &classes) = *self;
        for (name, shape) in found {
            writeln!(f, "  found     {name} {}", Dim::list(shape))?;
        }
        let (rows, types) = (classes + 4, classes + 1);
        writeln!(f, "  expected, with {}, one of", counted(classes, "class"))?;
        writeln!(f, "  detect    [B, {rows}, N]")?;
        writeln!(f, "  segment   [B, {rows}+M, N] and prototypes [B, M, H/4, W/4]")?;
        writeln!(f, "  end2end   [B, K, 6], or [B, K, 6+M] and prototypes")?;
        writeln!(f, "  yolov5    [B, N, {}], where a TOML beside the model says so", rows + 1)?;
        writeln!(f, "  detr      [B, Q, {rows}], where the model or a TOML beside it says so")?;
        writeln!(f, "  detr      pred_boxes [B, Q, 4] and logits [B, Q, {classes}], or dets and labels")?;
        writeln!(f, "  detr-final boxes [B, K, 4], scores and labels [B, K], or dets [B, K, 5] and labels")?;
        writeln!(f, "  hover     np and hv [B, 2, H, W], and tp [B, {types}, H, W] for types")?;
        writeln!(
            f,
            "  points, semantic [B, {classes} or more, rows, columns], where a TOML beside the model says which"
        )?;
        writeln!(f, "  labels    [B, H, W] or [B, {classes}, H, W], where a TOML beside the model says so")?;
        writeln!(f, "  patch     [B, {classes} or more], where a TOML beside the model says so")?;
        writeln!(f, "  embedding [B, numbers of a vector], where a TOML beside the model says so")?;
        write!(
            f,
            "  star      prob [B, 1, rows, columns] and dist [B, rays, rows, columns], or channels last"
        )
    }
}

/// One more line, where there is something to say.
struct Hint<'a>(&'a Option<String>);

impl std::fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |hint| write!(f, "\n  {hint}"))
    }
}
