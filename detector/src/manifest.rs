//! The contract of a model: classes, pixel size, input and head.
//!
//! A manifest comes from three places, the later the stronger: the shapes in the ONNX graph, its metadata
//! (`names`, `stride`, `task`, `imgsz`, `end2end` as Ultralytics writes them; `mpp`, `max_object_um`,
//! `conf`, `nms_iou`, `cross_class_iou`, `licence`, `attribution` are ours), and a TOML beside it, or where there is none the
//! `config.json` of the WSInfer zoo. What a TOML leaves open may be in the `rdf.yaml` of the bioimage.io zoo.

mod channels;
mod embedding;
mod evidence;
mod file;
mod head;
mod hover;
mod labels;
mod literal;
mod named;
mod numbers;
mod parity;
mod percentile;
mod places;
mod points;
mod rdf;
mod read;
mod semantic;
mod star;
mod wsinfer;
mod yaml;

use serde::{Deserialize, Serialize};
use wsi_types::{ModelClass, Mpp, Percentiles};

pub(crate) use self::{
    file::ManifestFile,
    rdf::{FILES as RDF_FILES, manifest as manifest_of_rdf},
    read::manifest_of,
    wsinfer::manifest as manifest_of_zoo,
};
pub use self::{
    hover::{Hover, HoverScores},
    labels::Labels,
    parity::Parity,
    points::Points,
    semantic::Semantic,
    star::{ChannelAxis, Star},
};

/// The contract of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Its name; the file's stem when nothing else says so.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// One line for people.
    pub description: Option<String>,
    /// Under which licence it may be used.
    pub licence: Option<String>,
    /// Authors of its data and weights, to be credited.
    pub attribution: Option<String>,
    /// Kind of its answers.
    pub task: Task,
    /// Layout of its answers.
    pub head: Head,
    /// Source that told the head.
    pub head_source: HeadSource,
    /// Settings for making objects of its maps; of a head of points only.
    pub points: Option<Points>,
    /// Settings for making a class map of its scores; of a semantic or patch head only.
    pub semantic: Option<Semantic>,
    /// Settings for making objects of distances along rays; of a star head only.
    pub star: Option<Star>,
    /// Sizes for making instances of its maps; of a hover head only.
    pub hover: Option<Hover>,
    /// The map of each class; of a head of labels only.
    pub labels: Option<Labels>,
    /// Classes it tells apart, in the order of [`ModelClass`]; at least one, but of a head of vectors.
    pub classes: Vec<ClassInfo>,
    /// The pixel size it was trained at; `None`: the run must say.
    pub mpp: Option<Mpp>,
    /// The longest side, in µm, of objects it promises to see whole.
    pub max_object_um: Option<f64>,
    /// Width that pieces of a larger window share, px; `None`: as its largest object asks for.
    pub piece_overlap_px: Option<u32>,
    /// Its coarsest stride in px: window sides must be multiples of it.
    pub stride: u32,
    /// Height and width it was exported at, px. A hint where the shape is dynamic.
    pub imgsz: Option<[u32; 2]>,
    /// Default score threshold, 0 to 1.
    pub conf: f32,
    /// IoU above which two boxes of one window are one object, 0 to 1.
    pub nms_iou: f32,
    /// The same for boxes of different classes, 0 to 1; `None`: it does not say.
    pub cross_class_iou: Option<f64>,
    /// Arithmetic that turns bytes into its tensor.
    pub normalisation: Normalisation,
    /// The tensor it wants.
    pub input: ImageInput,
    /// Name and shape of each output that is read, in the order of the head.
    pub outputs: Vec<(String, Vec<Dim>)>,
    /// Names of outputs that are not read.
    pub unread: Vec<String>,
    /// The version of ONNX's standard operators it was exported with; `None`: it does not say.
    pub opset: Option<i64>,
    /// Number type of its weights.
    pub precision: Precision,
    /// SHA-256 of the ONNX file, 64 hex digits; empty for a detector without one.
    pub sha256: String,
    /// Receipt of a comparison with its framework.
    pub parity: Option<Parity>,
}

impl Manifest {
    /// The score threshold of models that name none: that of Ultralytics' `predict`.
    pub const DEFAULT_CONF: f32 = 0.25;
    /// The NMS IoU of models that name none: that of Ultralytics' `predict`.
    pub const DEFAULT_NMS_IOU: f32 = 0.7;

    /// The newest opset whose operators run on every device: CUDA lacks Resize 19, ReduceMax 20 and GridSample 20,
    /// which then run on the CPU at half the speed.
    pub const BEST_OPSET: i64 = 18;

    /// The manifest of a detector without a model file: boxes only, windows of any size.
    #[must_use]
    pub fn without_model(name: &str, classes: &[&str], mpp: Option<Mpp>) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
            description: None,
            licence: None,
            attribution: None,
            task: Task::Detect,
            head: Head::Detect,
            head_source: HeadSource::Stated,
            points: None,
            semantic: None,
            star: None,
            hover: None,
            labels: None,
            classes: classes.iter().map(|&name| ClassInfo::named(name)).collect(),
            mpp,
            max_object_um: None,
            piece_overlap_px: None,
            stride: 1,
            imgsz: None,
            conf: Self::DEFAULT_CONF,
            nms_iou: Self::DEFAULT_NMS_IOU,
            cross_class_iou: None,
            normalisation: Normalisation::default(),
            input: ImageInput::any_rgb(),
            outputs: Vec::new(),
            unread: Vec::new(),
            opset: None,
            precision: Precision::Fp32,
            sha256: String::new(),
            parity: None,
        }
    }

    /// The score threshold of one class: its own, or the model's.
    #[must_use]
    pub fn conf_of(&self, class: ModelClass) -> f32 {
        self.classes.get(usize::from(class.0)).and_then(|class| class.conf).unwrap_or(self.conf)
    }

    /// Objects it can answer per window at most; `None`: as many as there are, or not known before it has run.
    #[must_use]
    pub fn most_answers(&self) -> Option<u64> {
        let rows = self.outputs.first().and_then(|(_, shape)| shape.get(1)).and_then(Dim::fixed);
        rows.filter(|_| self.head.is_end_to_end())
    }

    /// Width and height that its input always has, px; `None`: it takes windows of many sizes.
    #[must_use]
    pub fn fixed_input(&self) -> Option<(u32, u32)> {
        let (width, height) = self.input.width.fixed().zip(self.input.height.fixed())?;
        u32::try_from(width).ok().zip(u32::try_from(height).ok())
    }

    /// Checks that windows of `width` × `height` px can be given to the model.
    ///
    /// # Errors
    ///
    /// [`crate::DetectorError::WindowSize`], with the size that would do.
    pub fn check_window(&self, width: usize, height: usize) -> Result<(), crate::DetectorError> {
        let stride = self.stride.max(1) as usize;
        let fit = [width, height].iter().all(|&size| size > 0 && size.is_multiple_of(stride));
        let expected = if !self.input.width.allows(width) || !self.input.height.allows(height) {
            format!("{} × {} px only", self.input.width, self.input.height)
        } else if self.fixed_input().is_none() && !fit {
            format!("multiples of {stride} px")
        } else {
            return Ok(());
        };
        Err(crate::DetectorError::WindowSize { width, height, expected })
    }
}

/// One class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassInfo {
    /// Its name; not empty.
    pub name: String,
    /// Red, green, blue for drawing.
    pub colour: Option<[u8; 3]>,
    /// Its own score threshold, 0 to 1.
    pub conf: Option<f32>,
}

impl ClassInfo {
    /// A class with nothing but a name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), colour: None, conf: None }
    }
}

/// Kind of answers of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Boxes.
    Detect,
    /// Boxes with an outline each.
    Segment,
    /// The class of each place: areas, and no objects.
    Areas,
    /// A vector for each window, and no objects.
    Vectors,
}

/// Layout of a model's answers; `nc` is the number of classes. Layouts are in [`crate::yolo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// `[B, 4+nc, N]`.
    Detect,
    /// `[B, 4+nc+M, N]` and prototypes `[B, M, H/4, W/4]`.
    Segment {
        /// M.
        coefficients: usize,
    },
    /// `[B, K, 6]`: duplicates are already gone.
    EndToEnd,
    /// `[B, K, 6+M]` and prototypes `[B, M, H/4, W/4]`.
    EndToEndSegment {
        /// M.
        coefficients: usize,
    },
    /// `[B, N, 5+nc]`: an objectness between box and scores.
    Objectness {
        /// `true` if boxes are still relative to the places of their grids.
        grid: bool,
    },
    /// `[B, Q, 4+nc]`: boxes as fractions of the window, one row per query.
    DetrRows,
    /// Boxes `[B, Q, 4]` as fractions of the window and raw scores `[B, Q, nc]`, or `nc+1` with a background.
    Detr {
        /// Function that turns scores into probabilities.
        activation: Activation,
        /// The score that is of no class.
        background: Background,
    },
    /// Corners `[B, K, 4]` in px, scores `[B, K]` and labels `[B, K]`.
    DetrFinal {
        /// `true` if the score is a fifth column of the corners.
        joined: bool,
    },
    /// Maps `[B, K, rows, columns]` whose peaks are objects.
    Points {
        /// Function that turns their values into probabilities.
        activation: Activation,
    },
    /// Maps `[B, K, rows, columns]` of a score per class, or one of class numbers: the class of each place of the window.
    Semantic {
        /// Function that turns scores into probabilities; `None` for class numbers.
        scores: Option<Activation>,
    },
    /// Scores `[B, K]`: the class of the window as a whole.
    Patch {
        /// Function that turns scores into probabilities.
        activation: Activation,
    },
    /// Maps of a probability, of distances to the border along rays and, with several classes, of their scores.
    Star {
        /// Function that turns the first map into probabilities.
        activation: Activation,
        /// Axis of the channels.
        channels: ChannelAxis,
        /// Place of the score that is of no class; `None` for a model of one class without scores of classes.
        classes: Option<Background>,
    },
    /// Maps `[B, 2, H, W]` of nuclei, `[B, 2, H, W]` of offsets from their centres and, unless scores come from the first,
    /// `[B, T, H, W]` of types.
    Hover {
        /// Source of class and score.
        scores: HoverScores,
    },
    /// Maps `[B, K, H, W]`, or one `[B, H, W]`, of the number of the object at each place, 0 for none.
    Labels,
    /// `[B, D]`: a vector for each window.
    Embedding {
        /// D.
        dimensions: usize,
    },
}

impl Head {
    /// Mask coefficients of each answer; 0 for boxes only.
    #[must_use]
    pub fn coefficients(self) -> usize {
        match self {
            Self::Detect
            | Self::EndToEnd
            | Self::Objectness { .. }
            | Self::DetrRows
            | Self::Detr { .. }
            | Self::DetrFinal { .. }
            | Self::Points { .. }
            | Self::Semantic { .. }
            | Self::Patch { .. }
            | Self::Hover { .. }
            | Self::Labels
            | Self::Embedding { .. }
            | Self::Star { .. } => 0,
            Self::Segment { coefficients } | Self::EndToEndSegment { coefficients } => coefficients,
        }
    }

    /// `true` if the model gives each object one answer itself, and so has a fixed number of answers.
    #[must_use]
    pub fn is_end_to_end(self) -> bool {
        match self {
            Self::EndToEnd
            | Self::EndToEndSegment { .. }
            | Self::DetrRows
            | Self::Detr { .. }
            | Self::DetrFinal { .. } => true,
            Self::Detect
            | Self::Segment { .. }
            | Self::Objectness { .. }
            | Self::Points { .. }
            | Self::Semantic { .. }
            | Self::Patch { .. }
            | Self::Hover { .. }
            | Self::Labels
            | Self::Embedding { .. }
            | Self::Star { .. } => false,
        }
    }

    /// `true` if it answers the class of each place, or of the window, and no objects.
    #[must_use]
    pub fn is_semantic(self) -> bool {
        matches!(self, Self::Semantic { .. } | Self::Patch { .. })
    }

    /// Numbers of the vector that it gives for each window; `None` if it gives none.
    #[must_use]
    pub fn dimensions(self) -> Option<usize> {
        match self {
            Self::Embedding { dimensions } => Some(dimensions),
            _ => None,
        }
    }

    /// `true` if it answers objects: neither areas alone nor vectors.
    #[must_use]
    pub fn has_objects(self) -> bool {
        !self.is_semantic() && self.dimensions().is_none()
    }

    /// `true` if `activation` and `background` of the TOML say how its scores are read.
    #[must_use]
    pub(crate) fn has_raw_scores(self) -> bool {
        self.is_semantic() || matches!(self, Self::Detr { .. } | Self::Points { .. } | Self::Star { .. })
    }

    /// `true` if each object that it answers has an outline.
    #[must_use]
    pub fn has_outlines(self) -> bool {
        self.coefficients() > 0 || matches!(self, Self::Star { .. } | Self::Hover { .. } | Self::Labels)
    }

    /// `true` if it may answer several times for one object, so that boxes that agree are one.
    #[must_use]
    pub fn has_duplicates(self) -> bool {
        matches!(self, Self::Detect | Self::Segment { .. } | Self::Objectness { .. })
    }
}

/// Function that turns raw scores into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Each score by itself.
    Sigmoid,
    /// All scores of an answer together.
    Softmax,
    /// They are probabilities already.
    None,
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
            Self::None => "none",
        })
    }
}

/// Place, among the scores of an answer, of the one that is of no class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Background {
    /// Each is of a class.
    None,
    /// The first: the classes come after it.
    First,
    /// The last.
    Last,
}

impl Background {
    /// Place of the first class among the scores.
    #[must_use]
    pub fn first_class(self) -> usize {
        usize::from(self == Self::First)
    }

    /// Scores beside those of the classes.
    #[must_use]
    pub fn scores(self) -> usize {
        match self {
            Self::None => 0,
            Self::First | Self::Last => 1,
        }
    }
}

impl std::fmt::Display for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::First => "first",
            Self::Last => "last",
        })
    }
}

/// By the words that `head` in a TOML takes, with the number of mask coefficients.
impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Detect => f.write_str("detect"),
            Self::Segment { coefficients } => write!(f, "segment, {coefficients} coefficients"),
            Self::EndToEnd => f.write_str("end2end"),
            Self::EndToEndSegment { coefficients } => write!(f, "end2end, {coefficients} coefficients"),
            Self::Objectness { grid: false } => f.write_str("objectness"),
            Self::Objectness { grid: true } => f.write_str("objectness-grid"),
            Self::DetrRows => f.write_str("detr"),
            Self::Detr { activation, background } => write!(f, "detr, {activation}, background {background}"),
            Self::DetrFinal { joined: false } => f.write_str("detr-final"),
            Self::DetrFinal { joined: true } => f.write_str("detr-final, scores with boxes"),
            Self::Points { activation } => write!(f, "points, {activation}"),
            Self::Semantic { scores: Some(activation) } => write!(f, "semantic, {activation}"),
            Self::Semantic { scores: None } => f.write_str("semantic, class numbers"),
            Self::Patch { activation } => write!(f, "patch, {activation}"),
            Self::Star { activation, channels, classes } => {
                write!(f, "star, {activation}, {channels}")?;
                classes.map_or(Ok(()), |background| write!(f, ", classes with background {background}"))
            }
            Self::Hover { scores: HoverScores::Types { background } } => {
                write!(f, "hover, types, background {background}")
            }
            Self::Hover { scores: HoverScores::Nuclei { activation } } => write!(f, "hover, {activation}"),
            Self::Labels => f.write_str("labels"),
            Self::Embedding { dimensions } => write!(f, "embedding, {dimensions} numbers"),
        }
    }
}

/// Source that told which head a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadSource {
    /// `head` in the TOML.
    Stated,
    /// `end2end` in the TOML or the metadata, or the arguments of the export.
    Export,
    /// The maker's description.
    Description,
    /// The names of the outputs.
    Names,
    /// The shapes: only one head has them.
    Shape,
    /// Nothing: the shapes are open.
    Open,
}

impl std::fmt::Display for HeadSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stated => "as stated",
            Self::Export => "as the export says",
            Self::Description => "by its description",
            Self::Names => "by the names of its outputs",
            Self::Shape => "by its shape",
            Self::Open => "assumed",
        })
    }
}

/// One side of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(u64),
    /// Any size, with a name.
    Named(String),
    /// Any size.
    Unknown,
}

impl Dim {
    /// The size, if it is always the same.
    #[must_use]
    pub fn fixed(&self) -> Option<u64> {
        match self {
            Self::Fixed(size) => Some(*size),
            Self::Named(_) | Self::Unknown => None,
        }
    }

    /// `true` if an input of this size fits.
    fn allows(&self, size: usize) -> bool {
        self.fixed().is_none_or(|fixed| fixed == size as u64)
    }

    /// `[1, 84, N]`.
    pub(crate) fn list(dims: &[Dim]) -> String {
        let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
        format!("[{}]", dims.join(", "))
    }
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Named(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// The order of axes of an image tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Number type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Bytes.
    U8,
}

/// The image tensor a model wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInput {
    /// Its name in the graph.
    pub name: String,
    /// Order of axes.
    pub layout: Layout,
    /// Element type.
    pub element: Element,
    /// Windows at once.
    pub batch: Dim,
    /// Rows.
    pub height: Dim,
    /// Columns.
    pub width: Dim,
    /// A second input, which is filled with the size of each window.
    pub sizes: Option<SizesInput>,
}

/// An input `[B, 2]` that takes width and height of each window, px: exports that answer boxes in px have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizesInput {
    /// Its name in the graph.
    pub name: String,
    /// ONNX's number of its element type: float, int32 or int64.
    pub(crate) elem_type: i32,
}

impl ImageInput {
    /// Windows as the tiler gives them, of any number and size.
    fn any_rgb() -> Self {
        Self {
            name: "rgb".to_owned(),
            layout: Layout::Nhwc,
            element: Element::U8,
            batch: Dim::Unknown,
            height: Dim::Unknown,
            width: Dim::Unknown,
            sizes: None,
        }
    }
}

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

impl std::fmt::Display for ColourOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        })
    }
}

/// Rule from bytes to numbers: `(byte × scale − mean) / std`, channel by channel, then the colour order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Usually 1/255.
    pub scale: f64,
    /// Of each channel, in the model's order, after scaling.
    pub mean: [f32; 3],
    /// Of each channel, in the model's order, after scaling.
    pub std: [f32; 3],
    /// The channel order the model wants.
    pub colour_order: ColourOrder,
    /// Percentiles of the slide that bytes are stretched between instead: `(byte − low) / (high − low)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentiles: Option<Percentiles>,
}

/// Every number in full: `rgb × 0.00392156862745098, mean [0.0, 0.0, 0.0], std [1.0, 1.0, 1.0]`.
impl std::fmt::Display for Normalisation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scale, mean, std, colour_order, percentiles } = self;
        if let Some(percentiles) = percentiles {
            return write!(f, "{colour_order}, {percentiles}");
        }
        write!(f, "{colour_order} × {scale}, mean {mean:?}, std {std:?}")
    }
}

impl Default for Normalisation {
    /// 0 to 1, red first.
    fn default() -> Self {
        Self {
            scale: 1.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            colour_order: ColourOrder::Rgb,
            percentiles: None,
        }
    }
}

/// Number type of a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// 16-bit floats.
    Fp16,
    /// Quantised to 8 bits, with QuantizeLinear and DequantizeLinear nodes (QDQ) or integer operators.
    Int8,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        })
    }
}
