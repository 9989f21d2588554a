//! DETR kinds: a fixed number of queries, one answer each, duplicates already gone.
//!
//! | head | tensors | who |
//! | --- | --- | --- |
//! | rows | `[B, Q, 4+nc]`: box, then one probability per class | RT-DETR exported by Ultralytics |
//! | queries | boxes `[B, Q, 4]`, raw scores `[B, Q, nc]`, or `nc+1` with a background | RF-DETR, DETR, RT-DETR of transformers |
//! | final | corners `[B, K, 4]` in px, scores `[B, K]`, labels `[B, K]` | RT-DETR, D-FINE, DEIM, mmdeploy |
//!
//! In rows and queries a box is centre x, centre y, width and height as fractions of the window. A query is one object
//! and gets its best class, where trainers' own lists may name it once more with its second.

use std::collections::BTreeSet;

use wsi_types::{Score, WindowBox};

use crate::{
    WindowFault,
    manifest::{Activation, Background},
    yolo::{Candidate, TensorView, all_finite, check_probability, end2end, first_largest, sigmoid},
};

/// Sides before the scores.
pub const BOX_COLUMNS: usize = 4;

/// Largest coordinate of a centre, in sides of the window; a larger one is not a fraction.
const FARTHEST: f32 = 2.0;

/// A window's size in px, to turn fractions into boxes in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fractions {
    width: f32,
    height: f32,
}

impl Fractions {
    /// Fractions of a window of `width` × `height` px.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width: width as f32, height: height as f32 }
    }

    /// The box of centre, width and height as fractions.
    pub(crate) fn to_box(self, [x, y, width, height]: [f32; 4]) -> Result<WindowBox, WindowFault> {
        if x.abs() > FARTHEST || y.abs() > FARTHEST {
            return Err(WindowFault::BoxesInPx { x, y });
        }
        let (half_width, half_height) = (width.max(0.0) * 0.5, height.max(0.0) * 0.5);
        Ok(WindowBox::new(
            euclid::point2((x - half_width) * self.width, (y - half_height) * self.height),
            euclid::point2((x + half_width) * self.width, (y + half_height) * self.height),
        ))
    }
}

/// Appends each row of `[Q, 4+nc]` whose best score is greater than `floor` to `found`, in row order; of equal
/// classes the first.
///
/// # Errors
///
/// [`WindowFault`] when a number is NaN or infinite, a score is not a probability, or a box is not in
/// fractions.
pub(crate) fn row_candidates(
    rows: &[f32],
    classes: usize,
    window: Fractions,
    floor: f32,
    found: &mut Vec<Candidate>,
) -> Result<(), WindowFault> {
    for (query, row) in rows.chunks_exact(BOX_COLUMNS + classes).enumerate() {
        let (sides, scores) = row.split_at(BOX_COLUMNS);
        if !all_finite(row) {
            let part = if all_finite(sides) { "scores" } else { "boxes" };
            return Err(WindowFault::NotFinite { part });
        }
        let bbox = window.to_box([sides[0], sides[1], sides[2], sides[3]])?;
        let mut best: Option<(u16, f32)> = None;
        for (class, &score) in (0u16..).zip(scores) {
            check_probability(score)?;
            if best.is_none_or(|(_, best)| score > best) {
                best = Some((class, score));
            }
        }
        let passing = best.filter(|(_, score)| *score > floor);
        if let Some((class, score)) = passing.and_then(|(class, score)| Some((class, Score::new(score)?))) {
            found.push(Candidate { bbox, score, class, anchor: query as u32 });
        }
    }
    Ok(())
}

/// The raw answers of one window.
pub(crate) struct Queries<'a> {
    boxes: &'a [f32],
    scores: &'a [f32],
    meaning: ScoreMeaning,
    window: Fractions,
}

/// Meaning of the raw scores of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScoreMeaning {
    pub(crate) classes: usize,
    pub(crate) activation: Activation,
    pub(crate) background: Background,
}

impl ScoreMeaning {
    fn columns(self) -> usize {
        self.classes + self.background.scores()
    }

    /// The best class of a query and its probability; of equal ones the first.
    fn best(self, scores: &[f32]) -> Result<Option<(u16, f32)>, WindowFault> {
        let of_classes = match self.background {
            Background::None | Background::Last => &scores[..self.classes],
            Background::First => &scores[1..],
        };
        // Sigmoid and softmax keep the order.
        let Some(class) = first_largest(of_classes.iter().copied()) else { return Ok(None) };
        let score = of_classes[class];
        let probability = match self.activation {
            Activation::Sigmoid => sigmoid(score),
            // Never overflows: the score is one of those summed up, and a far larger one makes it 0.
            Activation::Softmax => 1.0 / scores.iter().map(|&other| (other - score).exp()).sum::<f32>(),
            Activation::None => {
                of_classes.iter().try_for_each(|&score| check_probability(score))?;
                score
            }
        };
        Ok(Some((class as u16, probability)))
    }
}

impl<'a> Queries<'a> {
    /// The answers of the window at `place` in `outputs`, boxes first.
    ///
    /// # Errors
    ///
    /// [`WindowFault::Shape`] when the outputs do not have these shapes.
    pub(crate) fn new(
        outputs: &[TensorView<'a>],
        place: usize,
        meaning: ScoreMeaning,
        window: Fractions,
    ) -> Result<Self, WindowFault> {
        let [boxes, scores, ..] = outputs else { return Err(WindowFault::NoOutput) };
        let (queries, box_rows) = columns(boxes, place, BOX_COLUMNS, None)?;
        let (_, score_rows) = columns(scores, place, meaning.columns(), Some(queries))?;
        Ok(Self { boxes: box_rows, scores: score_rows, meaning, window })
    }

    /// Appends each query whose best score is greater than `floor` to `found`, in order.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when a number is NaN or infinite, a score is not a probability, or a box is not in
    /// fractions.
    pub(crate) fn candidates(&self, floor: f32, found: &mut Vec<Candidate>) -> Result<(), WindowFault> {
        if !all_finite(self.boxes) {
            return Err(WindowFault::NotFinite { part: "boxes" });
        }
        if !all_finite(self.scores) {
            return Err(WindowFault::NotFinite { part: "scores" });
        }
        let rows = self.boxes.chunks_exact(BOX_COLUMNS).zip(self.scores.chunks_exact(self.meaning.columns()));
        for (anchor, (sides, scores)) in (0u32..).zip(rows) {
            let bbox = self.window.to_box([sides[0], sides[1], sides[2], sides[3]])?;
            let best = self.meaning.best(scores)?.filter(|(_, score)| *score > floor);
            if let Some((class, score)) = best.and_then(|(class, score)| Some((class, Score::new(score)?))) {
                found.push(Candidate { bbox, score, class, anchor });
            }
        }
        Ok(())
    }
}

/// The decoded answers of one window.
pub(crate) struct Final<'a> {
    /// Corners, then the score if it is joined to them.
    boxes: &'a [f32],
    /// `None`: joined to the boxes.
    scores: Option<&'a [f32]>,
    labels: &'a [f32],
    classes: usize,
}

impl<'a> Final<'a> {
    /// The answers of the window at `place` in `outputs`: boxes, scores unless `joined`, labels.
    ///
    /// # Errors
    ///
    /// [`WindowFault::Shape`] when the outputs do not have these shapes.
    pub(crate) fn new(
        outputs: &[TensorView<'a>],
        place: usize,
        joined: bool,
        classes: usize,
    ) -> Result<Self, WindowFault> {
        let (boxes, scores, labels) = match outputs {
            [boxes, labels, ..] if joined => (boxes, None, labels),
            [boxes, scores, labels, ..] => (boxes, Some(scores), labels),
            _ => return Err(WindowFault::NoOutput),
        };
        let (answers, rows) = columns(boxes, place, BOX_COLUMNS + usize::from(joined), None)?;
        let scores = scores.map(|scores| values(scores, place, answers)).transpose()?;
        Ok(Self { boxes: rows, scores, labels: values(labels, place, answers)?, classes })
    }

    /// Appends each answer whose score is greater than `floor` to `found`, in order.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when a number is NaN or infinite, a score is not a probability, or a label is not a
    /// class.
    pub(crate) fn candidates(&self, floor: f32, found: &mut Vec<Candidate>) -> Result<(), WindowFault> {
        let columns = BOX_COLUMNS + usize::from(self.scores.is_none());
        for (place, (row, &label)) in self.boxes.chunks_exact(columns).zip(self.labels).enumerate() {
            let score = self.scores.map_or_else(|| row[BOX_COLUMNS], |scores| scores[place]);
            // The layout of an end-to-end head, whose decoding refuses wild numbers already.
            let row = [row[0], row[1], row[2], row[3], score, label];
            let before = found.len();
            end2end::candidates(&row, end2end::COLUMNS, self.classes, floor, found)?;
            found[before..].iter_mut().for_each(|candidate| candidate.anchor = place as u32);
        }
        Ok(())
    }
}

/// Drops answers whose box equals that of a better one to the last bit: lists of the best scores name a query
/// once per class. `candidates` are best first.
pub(crate) fn keep_one_per_query(candidates: &mut Vec<Candidate>) {
    let mut taken = BTreeSet::new();
    candidates.retain(|Candidate { bbox, .. }| {
        taken.insert([bbox.min.x, bbox.min.y, bbox.max.x, bbox.max.y].map(f32::to_bits))
    });
}

/// The rows of a window in `[batch, rows, columns]`, and their number, which must be `rows` if given.
fn columns<'a>(
    output: &TensorView<'a>,
    place: usize,
    columns: usize,
    rows: Option<usize>,
) -> Result<(usize, &'a [f32]), WindowFault> {
    match output.window(place) {
        Some((&[found, width], data)) if width == columns && rows.is_none_or(|rows| rows == found) => {
            Ok((found, data))
        }
        _ => {
            let rows = rows.map_or_else(|| "answers".to_owned(), |rows| rows.to_string());
            Err(output.fault(format!("[batch, {rows}, {columns}]")))
        }
    }
}

/// The numbers of a window in `[batch, count]`.
fn values<'a>(output: &TensorView<'a>, place: usize, count: usize) -> Result<&'a [f32], WindowFault> {
    match output.window(place) {
        Some((&[found], data)) if found == count => Ok(data),
        _ => Err(output.fault(format!("[batch, {count}]"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(rows: &[f32], classes: usize) -> Result<Vec<Candidate>, WindowFault> {
        let mut found = Vec::new();
        row_candidates(rows, classes, Fractions::new(640, 320), 0.5, &mut found).map(|()| found)
    }

    #[test]
    fn rows_are_fractions_of_the_window() {
        let found = decode(&[0.5, 0.25, 0.1, 0.2, 0.3, 0.9, 0.1, 0.1, 0.1, 0.1, 0.5, 0.2], 2).unwrap();
        let bbox = WindowBox::new(euclid::point2(288., 48.), euclid::point2(352., 112.));
        assert_eq!(found.len(), 1, "a score at the floor does not pass");
        assert!(
            (found[0].bbox.min - bbox.min).length() < 1e-4 && (found[0].bbox.max - bbox.max).length() < 1e-4
        );
        assert_eq!((found[0].class, found[0].anchor), (1, 0));
    }

    #[test]
    fn px_and_logits_are_faults() {
        assert_eq!(decode(&[320., 40., 9., 9., 0.9], 1), Err(WindowFault::BoxesInPx { x: 320., y: 40. }));
        assert_eq!(decode(&[0.5, 0.5, 0.1, 0.1, -3.0], 1), Err(WindowFault::ScoreRange { score: -3.0 }));
        assert_eq!(decode(&[0.5, f32::NAN, 0.1, 0.1, 0.0], 1), Err(WindowFault::NotFinite { part: "boxes" }));
    }

    fn view<'a>(name: &'a str, shape: &'a [usize], data: &'a [f32]) -> TensorView<'a> {
        TensorView { name, shape, data }
    }

    fn queries(scores: &[f32], meaning: ScoreMeaning) -> Result<Vec<(u16, f32)>, WindowFault> {
        let count = scores.len() / meaning.columns();
        let boxes = [0.5, 0.5, 0.1, 0.1].repeat(count);
        let (box_shape, score_shape) = ([1, count, 4], [1, count, meaning.columns()]);
        let outputs = [view("pred_boxes", &box_shape, &boxes), view("logits", &score_shape, scores)];
        let queries = Queries::new(&outputs, 0, meaning, Fractions::new(64, 64))?;
        let mut found = Vec::new();
        queries.candidates(0.5, &mut found)?;
        Ok(found.iter().map(|candidate| (candidate.class, candidate.score.get())).collect())
    }

    #[test]
    fn the_background_is_no_class_wherever_it_stands() {
        let meaning = |activation, background| ScoreMeaning { classes: 2, activation, background };
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let last = queries(&[0.1, 2.0, 9.0], meaning(Activation::Sigmoid, Background::Last)).unwrap();
        assert_eq!(last, [(1, sigmoid(2.0))]);
        let first = queries(&[9.0, 0.1, 2.0], meaning(Activation::Sigmoid, Background::First)).unwrap();
        assert_eq!(first, [(1, sigmoid(2.0))]);
        // The softmax of 0, ln 6 and 0 is 1/8, 6/8 and 1/8; a sure background leaves nothing.
        let soft = meaning(Activation::Softmax, Background::Last);
        let found = queries(&[0.0, 6f32.ln(), 0.0, 80.0, 0.0, 200.0], soft).unwrap();
        assert!(found.len() == 1 && found[0].0 == 1 && (found[0].1 - 0.75).abs() < 1e-6, "{found:?}");
        let plain = meaning(Activation::None, Background::None);
        assert_eq!(queries(&[0.9, 0.2], plain).unwrap(), [(0, 0.9)]);
        assert_eq!(queries(&[0.9, -7.0], plain), Err(WindowFault::ScoreRange { score: -7.0 }));
        assert_eq!(queries(&[0.9, f32::NAN], plain), Err(WindowFault::NotFinite { part: "scores" }));
    }

    #[test]
    fn scores_of_other_queries_are_a_fault() {
        let (boxes, scores) = ([0.5; 8], [0.0; 3]);
        let outputs = [view("dets", &[1, 2, 4], &boxes), view("labels", &[1, 3, 1], &scores)];
        let meaning =
            ScoreMeaning { classes: 1, activation: Activation::Sigmoid, background: Background::None };
        let fault = Queries::new(&outputs, 0, meaning, Fractions::new(64, 64)).err().unwrap().to_string();
        assert!(fault.contains("labels has shape [1, 3, 1], expected [batch, 2, 1]"), "{fault}");
    }

    #[test]
    fn joined_and_separate_scores_are_read_alike() {
        let corners = [[1., 2., 9., 8.], [0., 0., 4., 4.], [1., 2., 9., 8.]];
        let (scores, labels) = ([0.9, 0.4, 0.8], [1.0, -1.0, 0.0]);
        let joined: Vec<f32> = corners
            .iter()
            .zip(scores)
            .flat_map(|(corners, score)| corners.iter().copied().chain([score]))
            .collect();
        let separate = corners.concat();
        let outputs = [
            view("boxes", &[1, 3, 4], &separate),
            view("scores", &[1, 3], &scores),
            view("labels", &[1, 3], &labels),
        ];
        let of_mmdeploy = [view("dets", &[1, 3, 5], &joined), view("labels", &[1, 3], &labels)];
        let mut both = [(&outputs[..], false), (&of_mmdeploy[..], true)].map(|(outputs, joined)| {
            let mut found = Vec::new();
            Final::new(outputs, 0, joined, 2).unwrap().candidates(0.5, &mut found).unwrap();
            found
        });
        assert_eq!(both[0], both[1]);
        assert_eq!(both[0].iter().map(|c| (c.class, c.anchor)).collect::<Vec<_>>(), [(1, 0), (0, 2)]);
        keep_one_per_query(&mut both[0]);
        assert_eq!(both[0].len(), 1);
        let no_class = [view("dets", &[1, 3, 5], &joined), view("labels", &[1, 3], &[2.0; 3])];
        let mut found = Vec::new();
        let fault = Final::new(&no_class, 0, true, 2).unwrap().candidates(0.5, &mut found);
        assert!(matches!(fault, Err(WindowFault::NoSuchClass { last: 1, .. })));
    }
}
