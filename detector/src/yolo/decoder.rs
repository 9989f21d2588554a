//! The outputs of one run, window by window.

use fearless_simd::Level;
use rayon::prelude::*;
use wsi_types::{ClassMap, Detection, Embedding, ModelClass, Outline, WindowBox};

use super::{
    Candidate,
    detect::RawHead,
    end2end, nms,
    objectness::{self, Place},
    outline::Outliner,
    segment::{Mask, MaskRoom, Prototypes},
};
use crate::{
    DetectSettings, Manifest, WindowFault,
    detr::{self, Final, Fractions, Queries, ScoreMeaning},
    embedding::VectorRule,
    hover::HoverRule,
    labels::LabelRule,
    manifest::Head,
    points::{Maps, PeakRule},
    semantic::MapRule,
    star::StarRule,
};

/// One output of a model, row-major.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Name in the graph.
    pub name: &'a str,
    /// Its shape, the batch first.
    pub shape: &'a [usize],
    /// Its numbers, as many as the shape says.
    pub data: &'a [f32],
}

impl<'a> TensorView<'a> {
    /// The part of one window, without the batch axis; `None` past the end of the batch.
    pub(crate) fn window(&self, place: usize) -> Option<(&'a [usize], &'a [f32])> {
        let (&batch, shape) = self.shape.split_first()?;
        let size = shape.iter().try_fold(1usize, |size, &side| size.checked_mul(side))?;
        let start = place.checked_mul(size)?;
        let data = self.data.get(start..start.checked_add(size)?)?;
        (place < batch).then_some((shape, data))
    }

    pub(crate) fn fault(&self, expected: String) -> WindowFault {
        WindowFault::Shape { output: self.name.to_owned(), found: self.shape.to_vec(), expected }
    }
}

/// Turns raw outputs into detections. Shared by threads.
#[derive(Debug, Clone)]
pub struct Decoder {
    head: Head,
    classes: usize,
    /// Of a head of points.
    peaks: Option<PeakRule>,
    /// Of a semantic or patch head.
    areas: Option<MapRule>,
    /// Of a star head.
    stars: Option<StarRule>,
    /// Of a hover head.
    hover: Option<HoverRule>,
    /// Of a head of labels.
    labels: Option<LabelRule>,
    /// Of a head of vectors.
    vectors: Option<VectorRule>,
    settings: DetectSettings,
    /// `true` if windows, and outlines of a window, are shared by the threads of the pool.
    shares: bool,
}

impl Decoder {
    /// Decoder for the head and classes of `manifest`.
    #[must_use]
    pub fn new(manifest: &Manifest, settings: &DetectSettings) -> Self {
        let peaks = match (manifest.head, &manifest.points, settings.mpp.or(manifest.mpp)) {
            (Head::Points { activation }, Some(points), Some(mpp)) => {
                Some(PeakRule::new(points, activation, mpp))
            }
            _ => None,
        };
        Self {
            head: manifest.head,
            classes: manifest.classes.len(),
            peaks,
            areas: MapRule::of(manifest),
            stars: StarRule::of(manifest),
            hover: HoverRule::of(manifest),
            labels: LabelRule::of(manifest),
            vectors: VectorRule::of(manifest),
            settings: *settings,
            shares: false,
        }
    }

    /// The same, whose windows, and the outlines of each, are decoded at once on rayon's threads. Its answers are the same.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shares: true, ..self }
    }

    /// What [`window`](Self::window) gives for each of the first windows of a batch.
    pub fn windows(
        &self,
        outputs: &[TensorView<'_>],
        windows: usize,
        (width, height): (usize, usize),
    ) -> Vec<Result<Found, WindowFault>> {
        if self.shares {
            (0..windows).into_par_iter().map(|place| self.window(outputs, place, width, height)).collect()
        } else {
            (0..windows).map(|place| self.window(outputs, place, width, height)).collect()
        }
    }

    /// Detections in the window at `place` in the batch, or the class of each of its places, or its vector. `width` and `height` are the window's, px.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when its numbers are not a valid answer.
    pub fn window(
        &self,
        outputs: &[TensorView<'_>],
        place: usize,
        width: usize,
        height: usize,
    ) -> Result<Found, WindowFault> {
        if let Some(areas) = &self.areas {
            let output = outputs.first().ok_or(WindowFault::NoOutput)?;
            let map = areas.map(output, place, (width, height))?;
            return Ok(Found { map: Some(map), ..Found::default() });
        }
        if let Some(vectors) = &self.vectors {
            let output = outputs.first().ok_or(WindowFault::NoOutput)?;
            return Ok(Found { embedding: Some(vectors.vector(output, place)?), ..Found::default() });
        }
        if let Some(stars) = &self.stars {
            let detections = stars.detections(outputs, place, (width, height), self.settings.score_floor)?;
            return Ok(Found { detections, ..Found::default() });
        }
        let tolerance = self.settings.outline_tolerance_px;
        if self.hover.is_some() || self.labels.is_some() {
            let Instances { each, is_full } = self.instances(outputs, place, width, height)?;
            let detections = self.each(&each, |(candidate, mask), pencil| {
                let outline = mask.as_ref().and_then(|mask| pencil.outliner.outline(mask, tolerance));
                Ok(detection(candidate, outline))
            });
            return Ok(Found { detections: detections?, is_full, ..Found::default() });
        }
        let Kept { candidates, masks, is_full } = self.kept(outputs, place, width, height)?;
        let detections = match masks {
            None => candidates.iter().map(|candidate| detection(candidate, None)).collect(),
            Some(masks) => self.each(&candidates, |candidate, pencil| {
                masks.draw(candidate, pencil)?;
                Ok(detection(candidate, pencil.outliner.outline(&pencil.room.mask, tolerance)))
            })?,
        };
        Ok(Found { detections, is_full, ..Found::default() })
    }

    /// Detections made of some answers, in order; or the fault of the first that has one.
    fn each<T: Sync>(
        &self,
        answers: &[T],
        make: impl Fn(&T, &mut Pencil) -> Result<Detection, WindowFault> + Sync,
    ) -> Result<Vec<Detection>, WindowFault> {
        /// So few that a window of any size is shared evenly, and so many that sharing costs nothing.
        const AT_ONCE: usize = 128;
        if !self.shares || answers.len() <= AT_ONCE {
            return in_turn(answers, &make);
        }
        let parts: Vec<_> = answers.par_chunks(AT_ONCE).map(|part| in_turn(part, &make)).collect();
        let mut detections = Vec::with_capacity(answers.len());
        for part in parts {
            detections.extend(part?);
        }
        Ok(detections)
    }

    /// `true` if `answers` are all that the model can give for a window: it may have seen more.
    fn is_full(&self, outputs: &[TensorView<'_>], answers: usize) -> bool {
        let most = outputs.first().and_then(|output| output.shape.get(1)).copied().unwrap_or(usize::MAX);
        self.head.is_end_to_end() && most > 0 && answers as f64 >= FULL * most as f64
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
    ) -> Result<Instances, WindowFault> {
        if let Some(hover) = &self.hover {
            return hover.instances(outputs, place, (width, height), self.settings.score_floor);
        }
        if let Some(labels) = &self.labels {
            let output = outputs.first().ok_or(WindowFault::NoOutput)?;
            return labels.instances(output, place, (width, height));
        }
        let Kept { candidates, masks, is_full } = self.kept(outputs, place, width, height)?;
        let Some(masks) = masks else {
            let each = candidates.into_iter().map(|candidate| (candidate, None)).collect();
            return Ok(Instances { each, is_full });
        };
        let mut pencil = Pencil::default();
        let masked = candidates.into_iter().map(|candidate| {
            masks.draw(&candidate, &mut pencil)?;
            Ok((candidate, Some(pencil.room.mask.clone())))
        });
        Ok(Instances { each: masked.collect::<Result<_, WindowFault>>()?, is_full })
    }

    /// The answers of a head of boxes that stay.
    fn kept<'a>(
        &'a self,
        outputs: &[TensorView<'a>],
        place: usize,
        width: usize,
        height: usize,
    ) -> Result<Kept<'a>, WindowFault> {
        let answers = self.answers(outputs, place, width, height)?;
        let mut candidates = Vec::new();
        answers.candidates(self.classes, self.settings.score_floor, &mut candidates)?;
        if answers.is_in_px() {
            check_px(&candidates)?;
        }
        let is_full = self.is_full(outputs, candidates.len());
        if !self.head.has_duplicates() || self.settings.keep_raw {
            candidates.sort_unstable_by(nms::best_first);
        } else {
            let DetectSettings { nms_iou, class_agnostic, .. } = self.settings;
            nms::suppress(&mut candidates, nms_iou, class_agnostic, width, height);
        }
        if matches!(self.head, Head::DetrFinal { .. }) {
            detr::keep_one_per_query(&mut candidates);
        }
        let masks = match (outputs.get(1), self.head.coefficients()) {
            (Some(tensor), coefficients @ 1..) => {
                let prototypes = Prototypes::new(tensor, place, coefficients, (width, height))?;
                Some(Masks { answers, prototypes, coefficients })
            }
            _ => None,
        };
        Ok(Kept { candidates, masks, is_full })
    }

    /// The answers of one window, checked for shape.
    fn answers<'a>(
        &'a self,
        outputs: &[TensorView<'a>],
        place: usize,
        width: usize,
        height: usize,
    ) -> Result<Answers<'a>, WindowFault> {
        let boxes = outputs.first().ok_or(WindowFault::NoOutput)?;
        let (classes, coefficients) = (self.classes, self.head.coefficients());
        match self.head {
            Head::EndToEnd | Head::EndToEndSegment { .. } => {
                let columns = end2end::COLUMNS + coefficients;
                Ok(Answers::Rows { data: rows(boxes, place, columns)?.1, columns })
            }
            Head::DetrRows => {
                let (_, data) = rows(boxes, place, detr::BOX_COLUMNS + classes)?;
                Ok(Answers::QueryRows { data, window: Fractions::new(width, height) })
            }
            Head::Detr { activation, background } => {
                let meaning = ScoreMeaning { classes, activation, background };
                Queries::new(outputs, place, meaning, Fractions::new(width, height)).map(Answers::Queries)
            }
            Head::DetrFinal { joined } => Final::new(outputs, place, joined, classes).map(Answers::Final),
            Head::Points { .. } => {
                // A manifest of that head has its section and an mpp.
                let rule = self.peaks.as_ref().ok_or(WindowFault::NoOutput)?;
                Maps::new(boxes, place, rule, (width, height)).map(Answers::Maps)
            }
            Head::Objectness { grid } => {
                let (anchors, data) = rows(boxes, place, objectness::COLUMNS + classes)?;
                if !grid {
                    return Ok(Answers::Places { data, places: None });
                }
                let places = Place::all(width, height, anchors);
                let Some(places) = places else {
                    let expected = format!("a row per place of the grids over {width} × {height} px");
                    return Err(boxes.fault(expected));
                };
                Ok(Answers::Places { data, places: Some(places) })
            }
            // Their maps and vectors are read elsewhere.
            Head::Semantic { .. }
            | Head::Patch { .. }
            | Head::Star { .. }
            | Head::Hover { .. }
            | Head::Labels
            | Head::Embedding { .. } => Err(WindowFault::NoOutput),
            Head::Detect | Head::Segment { .. } => self.columns(boxes, place),
        }
    }

    fn columns<'a>(&self, boxes: &TensorView<'a>, place: usize) -> Result<Answers<'a>, WindowFault> {
        let rows = 4 + self.classes + self.head.coefficients();
        if let Some((&[found, anchors], data)) = boxes.window(place)
            && found == rows
            && let Some(head) = RawHead::new(data, self.classes, anchors)
        {
            let weights = &data[(4 + self.classes) * anchors..];
            return Ok(Answers::Columns { head, weights, anchors });
        }
        Err(boxes.fault(format!("[batch, {rows}, anchors]")))
    }
}

/// Share of the answers a model can give from which a window counts as full.
const FULL: f64 = 0.98;

/// Refuses boxes that all lie within the first px: fractions of the window, which would pass for specks.
fn check_px(candidates: &[Candidate]) -> Result<(), WindowFault> {
    // A box centred within 0 to 1 and as wide as that reaches half as far out on either side.
    const REACH: f32 = 1.5;
    let sides = candidates
        .iter()
        .flat_map(|Candidate { bbox: WindowBox { min, max, .. }, .. }| [min.x, min.y, max.x, max.y]);
    let are_fractions = !candidates.is_empty() && sides.into_iter().all(|side| side.abs() <= REACH);
    if are_fractions { Err(WindowFault::BoxesInFractions { boxes: candidates.len() }) } else { Ok(()) }
}

/// The number of rows that a head answers for one window, and the rows, each of `columns` numbers.
fn rows<'a>(boxes: &TensorView<'a>, place: usize, columns: usize) -> Result<(usize, &'a [f32]), WindowFault> {
    match boxes.window(place) {
        Some((&[rows, found], data)) if found == columns => Ok((rows, data)),
        _ => Err(boxes.fault(format!("[batch, answers, {columns}]"))),
    }
}

/// The answers of one window that stay.
#[derive(Debug)]
pub struct Instances {
    /// Answers, best first, with their masks when the head has any.
    pub each: Vec<(Candidate, Option<Mask>)>,
    /// `true` if the window is full, as in [`Found`].
    pub is_full: bool,
}

/// The answers of a head of boxes that stay.
struct Kept<'a> {
    /// Best first.
    candidates: Vec<Candidate>,
    /// If the head has any.
    masks: Option<Masks<'a>>,
    is_full: bool,
}

/// What the masks of one window are made of.
struct Masks<'a> {
    answers: Answers<'a>,
    prototypes: Prototypes<'a>,
    coefficients: usize,
}

/// Room for drawing one mask and outline after the other.
#[derive(Debug, Default)]
struct Pencil {
    weights: Vec<f32>,
    room: MaskRoom,
    outliner: Outliner,
}

impl Masks<'_> {
    /// Draws the mask of an answer.
    fn draw(&self, candidate: &Candidate, pencil: &mut Pencil) -> Result<(), WindowFault> {
        pencil.weights.resize(self.coefficients, 0.0);
        self.answers.weights(candidate.anchor as usize, &mut pencil.weights);
        self.prototypes.draw(Level::new(), &pencil.weights, &candidate.bbox, &mut pencil.room)
    }
}

fn detection(candidate: &Candidate, outline: Option<Outline>) -> Detection {
    let &Candidate { bbox, score, class, .. } = candidate;
    Detection { bbox, class: ModelClass(class), score, outline }
}

/// Detections made of some answers, one after the other.
fn in_turn<T>(
    answers: &[T],
    make: &impl Fn(&T, &mut Pencil) -> Result<Detection, WindowFault>,
) -> Result<Vec<Detection>, WindowFault> {
    let mut pencil = Pencil::default();
    answers.iter().map(|answer| make(answer, &mut pencil)).collect()
}

/// Detections of one window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Detections, window px, best first.
    pub detections: Vec<Detection>,
    /// `true` if the model gave as many answers as it can: there may be more objects than it could say.
    pub is_full: bool,
    /// The class at each place; of a semantic head, which finds no detections.
    pub map: Option<ClassMap>,
    /// The vector of the window; of a head of vectors, which finds no detections.
    pub embedding: Option<Embedding>,
}

/// The answers of one window.
enum Answers<'a> {
    /// One column per anchor; `weights` are the rows of mask coefficients.
    Columns { head: RawHead<'a>, weights: &'a [f32], anchors: usize },
    /// One row per answer.
    Rows { data: &'a [f32], columns: usize },
    /// One row per place of a grid; `places` where boxes are relative to them.
    Places { data: &'a [f32], places: Option<Vec<Place>> },
    /// One row per query.
    QueryRows { data: &'a [f32], window: Fractions },
    /// Boxes and raw scores per query.
    Queries(Queries<'a>),
    /// Decoded in the graph.
    Final(Final<'a>),
    /// Maps whose peaks are objects.
    Maps(Maps<'a>),
}

impl Answers<'_> {
    fn candidates(&self, classes: usize, floor: f32, found: &mut Vec<Candidate>) -> Result<(), WindowFault> {
        match self {
            Self::Columns { head, .. } => head.candidates(floor, found),
            Self::Rows { data, columns } => end2end::candidates(data, *columns, classes, floor, found),
            Self::Places { data, places } => {
                objectness::Rows { data, classes }.candidates(places.as_deref(), floor, found)
            }
            Self::QueryRows { data, window } => detr::row_candidates(data, classes, *window, floor, found),
            Self::Queries(queries) => queries.candidates(floor, found),
            Self::Final(answers) => answers.candidates(floor, found),
            Self::Maps(maps) => maps.candidates(floor, found),
        }
    }

    /// `true` if the model answers boxes in window px, without our help.
    fn is_in_px(&self) -> bool {
        match self {
            Self::Columns { .. } | Self::Rows { .. } | Self::Places { places: None, .. } | Self::Final(_) => {
                true
            }
            Self::Places { places: Some(_), .. }
            | Self::QueryRows { .. }
            | Self::Queries(_)
            | Self::Maps(_) => false,
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
            // Heads without masks.
            Self::Places { .. }
            | Self::QueryRows { .. }
            | Self::Queries(_)
            | Self::Final(_)
            | Self::Maps(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(decoder.window(&outputs, 0, 16, 16), Ok(Found::default()));
        let found = decoder.window(&outputs, 1, 16, 16).unwrap().detections;
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
        assert_eq!((found.detections.len(), found.is_full), (2, true));
    }

    #[test]
    fn an_answer_is_full_when_hardly_a_row_is_left() {
        let decoder = decoder(Head::EndToEnd, &["a"]);
        for (objects, is_full) in [(97, false), (98, true), (100, true), (0, false)] {
            let rows = (0..100)
                .flat_map(|i| [i as f32, 9., i as f32 + 8., 17., if i < objects { 0.9 } else { 0.1 }, 0.]);
            let data: Vec<f32> = rows.collect();
            let found = decoder.window(&[view(&[1, 100, 6], &data)], 0, 128, 128).unwrap();
            assert_eq!((found.detections.len(), found.is_full), (objects, is_full));
        }
    }

    #[test]
    fn boxes_in_fractions_are_a_fault_never_specks() {
        let decoder = decoder(Head::Detect, &["a"]);
        let fractions = [[0.5, 0.2], [0.5, 0.2], [0.02, 0.03], [0.02, 0.03], [0.9, 0.8]].concat();
        let fault = decoder.window(&[view(&[1, 5, 2], &fractions)], 0, 640, 640).unwrap_err();
        assert_eq!(fault, WindowFault::BoxesInFractions { boxes: 2 });
        assert!(!fault.breaks_contract() && WindowFault::BoxesInFractions { boxes: 3 }.breaks_contract());
        // One object elsewhere shows that the answers are px.
        let px = [[0.5, 300.0], [0.5, 300.0], [0.02, 20.0], [0.02, 20.0], [0.9, 0.8]].concat();
        assert_eq!(decoder.window(&[view(&[1, 5, 2], &px)], 0, 640, 640).unwrap().detections.len(), 2);
    }

    #[test]
    fn objectness_heads_are_decoded_from_their_grids() {
        let mut rows = vec![0.0; 21 * 6];
        rows[5 * 6..6 * 6].copy_from_slice(&[0.5, 0.5, 0.0, 0.0, 0.9, 0.9]);
        let decoder = decoder(Head::Objectness { grid: true }, &["a"]);
        let found = decoder.window(&[view(&[1, 21, 6], &rows)], 0, 32, 32).unwrap();
        let bbox = WindowBox::new(euclid::point2(8., 8.), euclid::point2(16., 16.));
        assert_eq!(found.detections[0].bbox, bbox);
        let fault = decoder.window(&[view(&[1, 20, 6], &rows[..120])], 0, 32, 32).unwrap_err();
        assert!(matches!(fault, WindowFault::Shape { .. }), "{fault}");
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
        assert_eq!(decoder.window(&[view(&[1, 6, 0], &[])], 0, 16, 16), Ok(Found::default()));
    }
}
