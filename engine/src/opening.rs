//! Opens the models of a job for windows of the size they take, whole or in pieces.

use std::{fmt, sync::Arc};

use detector::{Detector, InPieces, OnnxDetector, Pieces, SessionSettings, overlap_for};
use tiler::{Overlap, PlanSettings};
use wsi_types::ClassId;

use crate::{
    bundled::Opening,
    error::JobError,
    models::{ModelSet, SetModel},
    rules::{DetectorRules, SlideRules},
    settings::Settings,
    stitch::SeamStitch,
};

/// Side of the windows of a model, px: as given, else that of its input where it takes one size only.
#[must_use]
pub(crate) fn window(settings: &Settings, model: &SetModel) -> u32 {
    match model.terms.fixed_input {
        Some((width, height)) if width == height && settings.options.window.is_none() => width,
        _ => settings.window,
    }
}

/// Sides of the windows of each model, px, for hashes and provenance.
#[must_use]
pub(crate) fn windows(settings: &Settings, models: &ModelSet) -> String {
    models.joined(|model| window(settings, model).to_string())
}

/// Width and height of the pieces in which a model gets its windows, px; `None`: it gets them whole.
fn piece(settings: &Settings, model: &SetModel) -> Option<(usize, usize)> {
    let side = window(settings, model) as usize;
    let fixed = model.terms.fixed_input.map(|(width, height)| (width as usize, height as usize));
    fixed.filter(|&piece| piece != (side, side))
}

/// Cutting of a model's windows into pieces; `None`: it gets them whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    /// Width and height of the pieces, px.
    piece: (usize, usize),
    /// Smallest overlap of neighbours, px.
    overlap: usize,
}

impl Cut {
    fn new(settings: &Settings, model: &SetModel) -> Option<Self> {
        let piece = piece(settings, model)?;
        let largest = model.terms.max_object_um.map(|um| um / model.mpp.get());
        let stated = model.terms.piece_overlap_px.map(|px| px as usize);
        let overlap = stated.unwrap_or_else(|| overlap_for(piece.0.min(piece.1), largest));
        Some(Self { piece, overlap })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { piece: (width, height), overlap } = self;
        write!(f, "{width} × {height} px sharing {overlap} px")
    }
}

/// Cutting of the windows of each model, for hashes and provenance; `None`: all get them whole.
#[must_use]
pub(crate) fn pieces(settings: &Settings, models: &ModelSet) -> Option<String> {
    let is_cut = models.each.iter().any(|model| Cut::new(settings, model).is_some());
    is_cut.then(|| {
        models.joined(|model| {
            Cut::new(settings, model).map_or_else(|| "none".to_owned(), |cut| cut.to_string())
        })
    })
}

/// The longest object that the model promises to see whole, µm, where it decides how windows overlap.
#[must_use]
pub(crate) fn deciding_object_um(settings: &Settings, model: &SetModel) -> Option<f64> {
    model.terms.max_object_um.filter(|_| settings.overlap == Overlap::Auto)
}

/// Background around slides that are shorter than a window, px; `None`: windows keep their size.
#[must_use]
pub(crate) fn shrink_margin(settings: &Settings, model: &SetModel) -> Option<u32> {
    // TensorRT builds its engines for one size of windows.
    let takes_any_size =
        model.terms.fixed_input.is_none() && !matches!(settings.device, detector::Device::TensorRt(_));
    takes_any_size.then_some(PlanSettings::USUAL_SHRINK_MARGIN)
}

/// IoU above which boxes of one window are one: as given, else the model's own.
#[must_use]
pub(crate) fn window_iou(settings: &Settings, model: &SetModel) -> f32 {
    settings.window_iou.map_or(model.terms.nms_iou, |iou| iou as f32)
}

/// Number that divides the sides of a model's windows, px: its stride, or 1 if the model has one input size
/// and the windows are no multiple of the stride.
#[must_use]
pub(crate) fn multiple_of(settings: &Settings, model: &SetModel) -> u32 {
    let is_fixed = model.terms.fixed_input.is_some();
    let is_multiple = window(settings, model).is_multiple_of(model.terms.stride.max(1));
    if is_fixed && !is_multiple { 1 } else { model.terms.stride }
}

/// Context for opening the models of a job: its settings, its rules, and the score from which detections are
/// given.
pub(crate) struct Opener<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) rules: &'a SlideRules,
    pub(crate) score_floor: f32,
}

impl Opener<'_> {
    /// Opens `model`, whose rules are `of_detector`, by `open`. Where its input is smaller than its windows it gets
    /// them in pieces, merged by those rules.
    ///
    /// # Errors
    ///
    /// Errors of `open`, or [`JobError::Usage`] when windows of that size cannot be cut into pieces.
    pub(crate) fn open(
        &self,
        model: &SetModel,
        of_detector: &DetectorRules,
        open: impl FnOnce(&Opening<'_>) -> Result<OnnxDetector, JobError>,
    ) -> Result<Box<dyn Detector>, JobError> {
        let side = window(self.settings, model) as usize;
        let Some(Cut { piece, overlap }) = Cut::new(self.settings, model) else {
            return Ok(Box::new(open(&self.opening(model, (side, side)))?));
        };
        if model.terms.head.dimensions().is_some() {
            return Err(JobError::usage(format!(
                "the model gives a vector for {} × {} px as a whole, and windows have {side} px: a vector of pieces there is \
                 not; leave --window out",
                piece.0, piece.1
            )));
        }
        if self.settings.keep_raw.is_some() {
            return Err(JobError::usage(format!(
                "--keep-raw cannot keep what the model sees in pieces: it takes {} × {} px and windows have {side} px; \
                 give --window {} or leave one of them out",
                piece.0, piece.1, piece.0
            )));
        }
        let pieces =
            Pieces::new((side, side), piece, overlap, model.terms.stride as usize).map_err(|error| {
                JobError::usage(format!("{error}; leave --window out to take the model's own size"))
            })?;
        let region_classes: Arc<Vec<ClassId>> = Arc::clone(&self.rules.region_classes);
        let stitch = SeamStitch::new(of_detector.clone(), region_classes, model.mpp);
        let detector = open(&self.opening(model, piece))?;
        Ok(Box::new(InPieces::new(Box::new(detector), pieces, Arc::new(stitch))))
    }

    /// Settings for opening `model` for inputs of that width and height, px.
    fn opening(&self, model: &SetModel, input: (usize, usize)) -> Opening<'_> {
        Opening {
            device: &self.settings.device,
            session: self.session(input),
            nms_iou: window_iou(self.settings, model),
            score_floor: self.score_floor,
            mpp: model.mpp,
        }
    }

    /// As many px at once as the settings say, be it in more and smaller inputs.
    fn session(&self, input: (usize, usize)) -> SessionSettings {
        let side = self.settings.window as usize;
        let smaller = (side * side / (input.0 * input.1).max(1)).max(1);
        let session = self.settings.session();
        SessionSettings { batch: session.batch * smaller, window: input, ..session }
    }
}
