//! The outputs of one run, window by window.

use wsi_types::{ClassId, Detection};

use super::{
    Candidate,
    detect::RawHead,
    end2end, nms,
    outline::outline,
    segment::{Mask, Prototypes},
};
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
    pub(super) fn window(&self, place: usize) -> Option<(&'a [usize], &'a [f32])> {
        let (&batch, shape) = self.shape.split_first()?;
        let size = shape.iter().try_fold(1usize, |size, &side| size.checked_mul(side))?;
        let start = place.checked_mul(size)?;
        let data = self.data.get(start..start.checked_add(size)?)?;
        (place < batch).then_some((shape, data))
    }

    pub(super) fn fault(&self, expected: String) -> WindowFault {
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
        let outlined = |(candidate, mask): (Candidate, Option<Mask>)| Detection {
            bbox: candidate.bbox,
            class: ClassId(candidate.class),
            score: candidate.score,
            outline: mask.and_then(|mask| outline(&mask, self.settings.outline_tolerance_px)),
        };
        Ok(self.instances(outputs, place, width, height)?.into_iter().map(outlined).collect())
    }

    /// The answers of the window at `place` that stay, best first, with their masks when the head has any.
    ///
    /// # Errors
    ///
    /// As [`Decoder::window`].
    pub fn instances(
        &self,
        outputs: &[TensorView<'_>],
        place: usize,
        width: usize,
        height: usize,
    ) -> Result<Vec<(Candidate, Option<Mask>)>, WindowFault> {
        let boxes = outputs.first().ok_or(WindowFault::NoOutput)?;
        let answers = self.answers(boxes, place)?;
        let mut candidates = Vec::new();
        answers.candidates(self.classes, self.settings.score_floor, &mut candidates)?;
        if self.head.is_end_to_end() || self.settings.keep_raw {
            candidates.sort_unstable_by(nms::best_first);
        } else {
            let DetectSettings { nms_iou, class_agnostic, .. } = self.settings;
            nms::suppress(&mut candidates, nms_iou, class_agnostic, width, height);
        }
        let (Some(tensor), coefficients @ 1..) = (outputs.get(1), self.head.coefficients()) else {
            return Ok(candidates.into_iter().map(|candidate| (candidate, None)).collect());
        };
        let prototypes = Prototypes::new(tensor, place, coefficients)?;
        let mut weights = vec![0.0; coefficients];
        let masked = |candidate: Candidate| {
            answers.weights(candidate.anchor as usize, &mut weights);
            let mask = prototypes.mask(&weights, &candidate.bbox, width, height)?;
            Ok((candidate, Some(mask)))
        };
        candidates.into_iter().map(masked).collect()
    }

    /// The answers of one window, checked for shape.
    fn answers<'a>(&self, boxes: &TensorView<'a>, place: usize) -> Result<Answers<'a>, WindowFault> {
        let coefficients = self.head.coefficients();
        let window = boxes.window(place);
        if self.head.is_end_to_end() {
            let columns = end2end::COLUMNS + coefficients;
            match window {
                Some((&[_, found], data)) if found == columns => Ok(Answers::Rows { data, columns }),
                _ => Err(boxes.fault(format!("[batch, answers, {columns}]"))),
            }
        } else {
            let rows = 4 + self.classes + coefficients;
            let fault = || boxes.fault(format!("[batch, {rows}, anchors]"));
            match window {
                Some((&[found, anchors], data)) if found == rows => {
                    let head = RawHead::new(data, self.classes, anchors).ok_or_else(fault)?;
                    let weights = &data[(4 + self.classes) * anchors..];
                    Ok(Answers::Columns { head, weights, anchors })
                }
                _ => Err(fault()),
            }
        }
    }
}

/// The answers of one window.
enum Answers<'a> {
    /// One column per anchor; `weights` are the rows of mask coefficients.
    Columns { head: RawHead<'a>, weights: &'a [f32], anchors: usize },
    /// One row per answer.
    Rows { data: &'a [f32], columns: usize },
}

impl Answers<'_> {
    fn candidates(&self, classes: usize, floor: f32, found: &mut Vec<Candidate>) -> Result<(), WindowFault> {
        match self {
            Self::Columns { head, .. } => head.candidates(floor, found),
            Self::Rows { data, columns } => end2end::candidates(data, *columns, classes, floor, found),
        }
    }

    /// The mask coefficients of one answer.
    fn weights(&self, anchor: usize, into: &mut [f32]) {
        match self {
            Self::Columns { weights, anchors, .. } => {
                for (into, row) in into.iter_mut().zip(weights.chunks_exact(*anchors)) {
                    *into = row[anchor];
                }
            }
            Self::Rows { data, columns } => {
                let row = &data[anchor * columns..][..*columns];
                into.copy_from_slice(&row[end2end::COLUMNS..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn decoder(head: Head, classes: &[&str]) -> Decoder {
        let manifest = Manifest { head, ..Manifest::without_model("test", classes, None) };
        Decoder::new(&manifest, &DetectSettings::default())
    }

    fn view<'a>(shape: &'a [usize], data: &'a [f32]) -> TensorView<'a> {
        TensorView { name: "output", shape, data }
    }

    /// One object of 8 × 8 px at (4, 4), whose mask is its left half; the second window of a batch of two.
    fn segment_case(boxes: &[f32], box_shape: [usize; 3], head: Head) {
        let boxes = [vec![0.0; boxes.len()], boxes.to_vec()].concat();
        let plane: Vec<f32> = (0..16).map(|i| if i % 4 < 2 { 1.0 } else { -1.0 }).collect();
        let prototypes = [vec![f32::NAN; 32], plane.clone(), plane].concat();
        let outputs = [view(&box_shape, &boxes), view(&[2, 2, 4, 4], &prototypes)];
        let decoder = decoder(head, &["a"]);
        assert_eq!(decoder.window(&outputs, 0, 16, 16), Ok(vec![]));
        let found = decoder.window(&outputs, 1, 16, 16).unwrap();
        let outline = found[0].outline.as_ref().unwrap();
        let far = outline.iter().map(|p| p.x).fold(0.0, f32::max);
        assert_eq!((found.len(), far, outline.iter().map(|p| p.y).fold(99.0, f32::min)), (1, 8.0, 4.0));
        assert!(decoder.window(&outputs, 2, 16, 16).is_err());
    }

    #[test]
    fn raw_segment_heads_give_outlines() {
        segment_case(&[8., 8., 8., 8., 0.9, 0.5, 0.5], [2, 7, 1], Head::Segment { coefficients: 2 });
    }

    #[test]
    fn end_to_end_segment_heads_give_outlines() {
        segment_case(
            &[4., 4., 12., 12., 0.9, 0.0, 0.5, 0.5],
            [2, 1, 8],
            Head::EndToEndSegment { coefficients: 2 },
        );
    }

    #[test]
    fn end_to_end_answers_are_not_suppressed() {
        let row = [1., 1., 9., 9., 0.9, 0.0];
        let data = [row, row].concat();
        let found = decoder(Head::EndToEnd, &["a"]).window(&[view(&[1, 2, 6], &data)], 0, 16, 16).unwrap();
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn other_shapes_are_faults() {
        let decoder = decoder(Head::Detect, &["a", "b"]);
        for shape in [&[1, 5, 4][..], &[1, 4, 6], &[1, 24], &[24], &[], &[1, 6, 400]] {
            let fault = decoder.window(&[view(shape, &[0.5; 24])], 0, 16, 16).unwrap_err();
            assert!(
                matches!(fault, WindowFault::Shape { expected, .. } if expected == "[batch, 6, anchors]")
            );
        }
        assert_eq!(decoder.window(&[], 0, 16, 16), Err(WindowFault::NoOutput));
        assert_eq!(decoder.window(&[view(&[1, 6, 0], &[])], 0, 16, 16), Ok(vec![]));
    }
}
