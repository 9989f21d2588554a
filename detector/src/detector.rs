//! The contract of every detector: a batch of windows in, detections out.

use wsi_types::{ClassMap, Detection, Embedding, Mpp, Stretch, WindowIndex};

use crate::{DetectorError, Manifest, WindowFault};

/// Windows of one size, side by side.
#[derive(Debug, Clone, Copy)]
pub struct BatchView<'a> {
    /// Height of each window in px.
    pub height: usize,
    /// Width of each window in px.
    pub width: usize,
    /// Places of the windows in the plan, in the order of their pixels.
    pub windows: &'a [WindowIndex],
    /// `windows × height × width × 3` bytes, red first, row by row.
    pub pixels: &'a [u8],
    /// Values between which the pixels are stretched, for a model that wants percentiles of the slide; others do not look
    /// at it.
    pub stretch: Option<Stretch>,
}

impl<'a> BatchView<'a> {
    /// Bytes of one window.
    #[must_use]
    pub fn window_bytes(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(3)
    }

    /// Each window with its pixels.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (WindowIndex, &'a [u8])> + use<'a> {
        // Zero-sized windows have no pixels to hand out; `chunks_exact` wants at least 1.
        let pixels = self.pixels.chunks_exact(self.window_bytes().max(1));
        self.windows.iter().copied().zip(pixels)
    }

    /// Some of the windows, with the same pixels.
    ///
    /// # Panics
    ///
    /// When `range` reaches past the windows.
    #[must_use]
    pub fn part(&self, range: std::ops::Range<usize>) -> BatchView<'a> {
        let size = self.window_bytes();
        BatchView {
            windows: &self.windows[range.clone()],
            pixels: &self.pixels[range.start * size..range.end * size],
            ..*self
        }
    }

    /// Checks that there are as many bytes as the windows need.
    ///
    /// # Errors
    ///
    /// [`DetectorError::BatchSize`].
    pub fn check(&self) -> Result<(), DetectorError> {
        let expected = self.window_bytes().saturating_mul(self.windows.len());
        if expected == self.pixels.len() && (self.windows.is_empty() || expected > 0) {
            return Ok(());
        }
        Err(DetectorError::BatchSize {
            windows: self.windows.len(),
            width: self.width,
            height: self.height,
            bytes: self.pixels.len(),
            expected,
        })
    }
}

/// Result of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// Place of the window in the plan.
    pub window: WindowIndex,
    /// Detections in window px, best first, or why there are none. An empty list means the model saw
    /// nothing; it never stands for a failure.
    pub outcome: Result<Vec<Detection>, WindowFault>,
    /// `true` if the model gave as many answers as it can: objects may be missing.
    pub is_full: bool,
    /// The class at each place, from a model that finds areas; it has no detections then.
    pub map: Option<ClassMap>,
    /// The vector of the window, from a model that gives one; it has no detections then.
    pub embedding: Option<Embedding>,
}

impl WindowResult {
    /// Result of a window in which the model could report all that it saw: not full.
    #[must_use]
    pub fn new(window: WindowIndex, outcome: Result<Vec<Detection>, WindowFault>) -> Self {
        Self { window, outcome, is_full: false, map: None, embedding: None }
    }
}

/// Settings for turning raw answers into detections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectSettings {
    /// Answers at or below this score are dropped before anything is allocated.
    pub score_floor: f32,
    /// Boxes of one window whose IoU is greater are one object: the better scored stays. 1 keeps all.
    /// Heads that suppress duplicates themselves (end-to-end) are not touched.
    pub nms_iou: f32,
    /// `true` if boxes of different classes suppress each other too.
    pub class_agnostic: bool,
    /// `true` to keep every answer above the floor, without suppression.
    pub keep_raw: bool,
    /// Corners of outlines closer than this to the line without them are left out, px; 0 keeps all.
    pub outline_tolerance_px: f32,
    /// Of the windows, where it is another than the model's own; heads of points count in µm.
    pub mpp: Option<Mpp>,
}

impl DetectSettings {
    /// A twentieth of a pixel: a third of the corners, and 0.5 % of the area of a nucleus of 25 px.
    pub const DEFAULT_OUTLINE_TOLERANCE_PX: f32 = 0.05;
}

impl DetectSettings {
    /// Settings that the model asks for: its lowest class threshold as floor, its NMS IoU, class by class.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let classes = manifest.classes.iter().filter_map(|class| class.conf);
        Self {
            score_floor: classes.fold(manifest.conf, f32::min),
            nms_iou: manifest.nms_iou,
            class_agnostic: false,
            keep_raw: false,
            outline_tolerance_px: Self::DEFAULT_OUTLINE_TOLERANCE_PX,
            mpp: None,
        }
    }
}

impl Default for DetectSettings {
    /// [`Manifest::DEFAULT_CONF`] and [`Manifest::DEFAULT_NMS_IOU`], class by class.
    fn default() -> Self {
        Self {
            score_floor: Manifest::DEFAULT_CONF,
            nms_iou: Manifest::DEFAULT_NMS_IOU,
            class_agnostic: false,
            keep_raw: false,
            outline_tolerance_px: Self::DEFAULT_OUTLINE_TOLERANCE_PX,
            mpp: None,
        }
    }
}

/// Finds objects in batches of windows.
///
/// The result of a window depends on its pixels alone: not on its batch, nor on threads.
pub trait Detector: Send {
    /// Contract of the model.
    fn manifest(&self) -> &Manifest;

    /// Runs the model and decodes its answers: one result per window, in the order of the batch. A batch
    /// without windows, whatever its size, is answered with nothing.
    ///
    /// # Errors
    ///
    /// When the batch as a whole could not be run. A fault of one window is in its [`WindowResult`].
    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError>;

    /// Runs the model only; the answers own their memory and can be decoded on another thread while the
    /// next batch runs.
    ///
    /// # Errors
    ///
    /// As [`Detector::detect`].
    fn infer(&mut self, batch: BatchView<'_>) -> Result<Box<dyn Answers>, DetectorError> {
        self.detect(batch).map(|results| Box::new(results) as Box<dyn Answers>)
    }

    /// Parts that can run at once, one per device; a detector on one device is its only part.
    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>>;

    /// Device it runs on, in words, such as the one that `auto` took.
    fn device_used(&self) -> String {
        "cpu".to_owned()
    }

    /// What was found about its devices while they were opened and the user should know, in words.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Answers of a model to one batch, not yet decoded.
pub trait Answers: Send {
    /// Decodes: one result per window, in the order of the batch.
    fn decode(self: Box<Self>) -> Vec<WindowResult>;
}

impl Answers for Vec<WindowResult> {
    fn decode(self: Box<Self>) -> Vec<WindowResult> {
        *self
    }
}
