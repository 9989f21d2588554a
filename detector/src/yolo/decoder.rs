//! The outputs of one run, window by window.

use wsi_types::{ClassId, Detection};

use super::{Candidate, detect::RawHead, end2end, nms};
use crate::{DetectSettings, Manifest, WindowFault, manifest::Head};

/// One output of a model, row-major.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// As the graph names it.
    pub name: &'a str,
    /// The batch first.
    pub shape: &'a [usize],
    /// As many numbers as the shape says.
    pub data: &'a [f32],
}

impl<'a> TensorView<'a> {
    /// The part of one window, without the batch axis; `None` past the end of the batch.
    fn window(&self, place: usize) -> Option<(&'a [usize], &'a [f32])> {
        let (&batch, shape) = self.shape.split_first()?;
        let size = shape.iter().try_fold(1usize, |size, &side| size.checked_mul(side))?;
        let start = place.checked_mul(size)?;
        let data = self.data.get(start..start.checked_add(size)?)?;
        (place < batch).then_some((shape, data))
    }

    fn fault(&self, expected: String) -> WindowFault {
        WindowFault::Shape { output: self.name.to_owned(), found: self.shape.to_vec(), expected }
    }
}

/// Turns raw outputs into detections. Shared by threads.
#[derive(Debug, Clone)]
pub struct Decoder {
    head: Head,
    classes: usize,
    settings: DetectSettings,
}

impl Decoder {
    /// For the head and classes of `manifest`.
    #[must_use]
    pub fn new(manifest: &Manifest, settings: &DetectSettings) -> Self {
        Self { head: manifest.head, classes: manifest.classes.len(), settings: *settings }
    }

    /// The detections of the window at `place` in the batch, best first. `width` and `height` are the
    /// window's, px.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when its numbers are no answer.
    pub fn window(
        &self,
        outputs: &[TensorView<'_>],
        place: usize,
        width: usize,
        height: usize,
    ) -> Result<Vec<Detection>, WindowFault> {
        let [boxes, ..] = outputs else {
            return Err(WindowFault::Shape {
                output: String::new(),
                found: vec![],
                expected: "an output".to_owned(),
            });
        };
        let mut candidates = Vec::new();
        self.candidates(boxes, place, &mut candidates)?;
        if self.head.is_end_to_end() || self.settings.keep_raw {
            candidates.sort_unstable_by(nms::best_first);
        } else {
            let DetectSettings { nms_iou, class_agnostic, .. } = self.settings;
            nms::suppress(&mut candidates, nms_iou, class_agnostic, width, height);
        }
        Ok(candidates.iter().map(detection).collect())
    }

    fn candidates(
        &self,
        boxes: &TensorView<'_>,
        place: usize,
        found: &mut Vec<Candidate>,
    ) -> Result<(), WindowFault> {
        let floor = self.settings.score_floor;
        let coefficients = self.head.coefficients();
        let window = boxes.window(place);
        if self.head.is_end_to_end() {
            let columns = end2end::COLUMNS + coefficients;
            match window {
                Some(([_, found_columns], data)) if *found_columns == columns => {
                    end2end::candidates(data, columns, self.classes, floor, found)
                }
                _ => Err(boxes.fault(format!("[batch, answers, {columns}]"))),
            }
        } else {
            let rows = 4 + self.classes + coefficients;
            let head = match window {
                Some((&[found_rows, anchors], data)) if found_rows == rows => {
                    RawHead::new(data, self.classes, anchors)
                }
                _ => None,
            };
            let head = head.ok_or_else(|| boxes.fault(format!("[batch, {rows}, anchors]")))?;
            head.candidates(floor, found)
        }
    }
}

fn detection(candidate: &Candidate) -> Detection {
    Detection { bbox: candidate.bbox, class: ClassId(candidate.class), score: candidate.score, outline: None }
}
