//! Star heads: the distances from a point inside an object to its border, along rays (Schmidt et al., MICCAI 2018).
//!
//! | output | numbers |
//! | --- | --- |
//! | `prob`, one channel | the probability that a place is well inside an object |
//! | `dist`, a channel per ray | px of the window from the place to the border; ray `k` of `n` at `2πk/n` from the x axis, towards y |
//! | `prob_class`, a channel per class, and one of none | scores of the classes |
//!
//! A place of a map stands for the first px, in both axes, of those that it covers, and distances are between centres of
//! px. Of outlines that share more than a given part of the smaller one, the best stays: StarDist's own rule. Shares are
//! counted along the centre lines of the rows of px, of whole objects; what is given ends at the border of the window.

use std::{cmp::Ordering, ops::Range};

use wsi_types::{Detection, ModelClass, Outline, Score, WindowBox, WindowPoint, WindowPx};

use crate::{
    Manifest, WindowFault,
    manifest::{Activation, Background, ChannelAxis, Head, Star},
    yolo::{TensorView, all_finite, check_probability, first_largest, sigmoid},
};

/// Rule that makes objects of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StarRule {
    activation: Activation,
    axis: ChannelAxis,
    /// Place of the score that is of no class; `None` without scores of classes.
    background: Option<Background>,
    classes: usize,
    star: Star,
}

impl StarRule {
    /// The rule of a model with a star head; `None` for others.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        let Head::Star { activation, channels: axis, classes: background } = manifest.head else {
            return None;
        };
        Some(Self { activation, axis, background, classes: manifest.classes.len(), star: manifest.star? })
    }

    /// The objects, best first, of the window at `place`, which has `size` (width, height) px: those whose score is
    /// greater than `floor`.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when the answer has another shape or cannot be what the head promises.
    pub(crate) fn detections(
        &self,
        outputs: &[TensorView<'_>],
        place: usize,
        size: (usize, usize),
        floor: f32,
    ) -> Result<Vec<Detection>, WindowFault> {
        let [probability, distances, scores @ ..] = outputs else { return Err(WindowFault::NoOutput) };
        let probability = self.maps(probability, place, 1)?;
        let rays =
            self.maps(distances, place, distances.shape.get(self.channel_axis()).copied().unwrap_or(0))?;
        let classes = match (self.background, scores.first()) {
            (None, _) => None,
            (Some(background), Some(scores)) => {
                Some(self.maps(scores, place, self.classes + background.scores())?)
            }
            (Some(_), None) => return Err(WindowFault::NoOutput),
        };
        let wrong_size = || distances.fault(format!("as many rows and columns as {}", outputs[0].name));
        if !rays.covers_places_of(&probability) || rays.channels < 3 {
            return Err(wrong_size());
        }
        if classes.as_ref().is_some_and(|classes| !classes.covers_places_of(&probability)) {
            return Err(wrong_size());
        }
        let rays = Rays::new(rays, size, self.star.log).ok_or_else(|| {
            let (width, height) = size;
            outputs[0].fault(format!("places that are squares of whole px of the {width} × {height}"))
        })?;
        let kept = self.kept(self.candidates(&probability, floor)?, &rays, size);
        let detections = kept.into_iter().map(|Shape { score, place, .. }| {
            let outline = rays.outline(place);
            let bbox = WindowBox::from_points(&*outline);
            Detection { bbox, class: self.class(classes.as_ref(), place), score, outline: Some(outline) }
        });
        Ok(detections.collect())
    }

    fn channel_axis(&self) -> usize {
        match self.axis {
            ChannelAxis::First => 1,
            ChannelAxis::Last => 3,
        }
    }

    fn maps<'a>(
        &self,
        output: &TensorView<'a>,
        place: usize,
        channels: usize,
    ) -> Result<Maps<'a>, WindowFault> {
        let maps = match (self.axis, output.window(place)) {
            (ChannelAxis::First, Some((&[found, rows, columns], values))) if found == channels => {
                Maps { values, channels, rows, columns, steps: (rows * columns, 1) }
            }
            (ChannelAxis::Last, Some((&[rows, columns, found], values))) if found == channels => {
                Maps { values, channels, rows, columns, steps: (1, channels) }
            }
            (ChannelAxis::First, _) => {
                return Err(output.fault(format!("[batch, {channels}, rows, columns]")));
            }
            (ChannelAxis::Last, _) => return Err(output.fault(format!("[batch, rows, columns, {channels}]"))),
        };
        if all_finite(maps.values) { Ok(maps) } else { Err(WindowFault::NotFinite { part: "maps" }) }
    }

    /// Places whose score is greater than `floor`, best first and of equals in row order.
    fn candidates(&self, probability: &Maps<'_>, floor: f32) -> Result<Vec<Candidate>, WindowFault> {
        let mut found = Vec::new();
        for (place, &value) in probability.values.iter().enumerate() {
            let score = match self.activation {
                Activation::Sigmoid => sigmoid(value),
                Activation::Softmax | Activation::None => {
                    check_probability(value)?;
                    value
                }
            };
            found.extend(Score::new(score).filter(|_| score > floor).map(|score| Candidate { score, place }));
        }
        found.sort_unstable_by(Candidate::best_first);
        Ok(found)
    }

    /// Shapes of the candidates that share too little with each better one that stays.
    fn kept(&self, candidates: Vec<Candidate>, rays: &Rays<'_>, size: (usize, usize)) -> Vec<Shape> {
        let mut kept = Kept::new(size);
        for candidate in candidates {
            let shape = rays.shape(candidate);
            if !kept.suppresses(&shape.spans, self.star.overlap) {
                kept.push(shape);
            }
        }
        kept.shapes
    }

    /// The class of the largest score at a place, the first of equals: an object is of a class even where the score of
    /// no class is larger.
    fn class(&self, scores: Option<&Maps<'_>>, place: usize) -> ModelClass {
        let first = self.background.map_or(0, Background::first_class);
        let of_classes =
            scores.map(|scores| (first..first + self.classes).map(|class| scores.at(class, place)));
        ModelClass(of_classes.and_then(first_largest).map_or(0, |class| class as u16))
    }
}

/// Maps of one window.
struct Maps<'a> {
    values: &'a [f32],
    channels: usize,
    rows: usize,
    columns: usize,
    /// Numbers from one channel to the next, and from one place to the next.
    steps: (usize, usize),
}

impl Maps<'_> {
    fn at(&self, channel: usize, place: usize) -> f32 {
        self.values[channel * self.steps.0 + place * self.steps.1]
    }

    fn covers_places_of(&self, other: &Maps<'_>) -> bool {
        (self.rows, self.columns) == (other.rows, other.columns)
    }
}

/// A place that may be inside an object.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    score: Score,
    /// In row order.
    place: usize,
}

impl Candidate {
    fn best_first(&self, other: &Self) -> Ordering {
        other.score.cmp(&self.score).then(self.place.cmp(&other.place))
    }
}

/// A direction, or a way, in px of the window.
type Ray = euclid::Vector2D<f32, WindowPx>;

/// Distances of a window along its rays.
struct Rays<'a> {
    distances: Maps<'a>,
    log: bool,
    /// Px of the window per place.
    px_per_place: usize,
    /// Width and height of the window, px.
    size: (f32, f32),
    /// Unit vectors along the rays.
    directions: Vec<Ray>,
}

impl<'a> Rays<'a> {
    /// A distance of StarDist's is at least this, px.
    const SHORTEST_PX: f32 = 1e-3;

    /// `None` unless places are squares of whole px.
    fn new(distances: Maps<'a>, (width, height): (usize, usize), log: bool) -> Option<Self> {
        let Maps { rows, columns, channels, .. } = distances;
        let px_per_place = width.checked_div(columns)?;
        if px_per_place == 0 || px_per_place * columns != width || px_per_place * rows != height {
            return None;
        }
        let directions = (0..channels).map(|ray| {
            let angle = std::f64::consts::TAU * ray as f64 / channels as f64;
            euclid::vec2(angle.cos() as f32, angle.sin() as f32)
        });
        let size = (width as f32, height as f32);
        Some(Self { log, px_per_place, size, directions: directions.collect(), distances })
    }

    /// The object around a candidate, beyond the window too, by one window at most.
    fn shape(&self, Candidate { score, place }: Candidate) -> Shape {
        let longest = self.size.0.max(self.size.1);
        let centre = self.centre(place);
        let ring: Vec<WindowPoint> =
            self.reaches(place).map(|(ray, reach)| centre + ray * reach.min(longest)).collect();
        Shape { score, place, spans: Spans::new(&ring) }
    }

    /// The part of an object in the window: its rays end at the border. Clockwise as seen.
    fn outline(&self, place: usize) -> Outline {
        let (start, end) = (WindowPoint::zero(), euclid::point2(self.size.0, self.size.1));
        let centre = self.centre(place);
        self.reaches(place)
            // Rounding may lead beyond the border by a little.
            .map(|(ray, reach)| (centre + ray * reach.min(self.to_border(centre, ray))).clamp(start, end))
            .collect()
    }

    /// Each ray of a place with the distance to the border of its object, px.
    fn reaches(&self, place: usize) -> impl Iterator<Item = (Ray, f32)> {
        self.directions.iter().enumerate().map(move |(ray, &direction)| {
            let stated = self.distances.at(ray, place);
            let px = if self.log { stated.exp() } else { stated };
            (direction, px.max(Self::SHORTEST_PX))
        })
    }

    /// Centre of the first px of a place.
    fn centre(&self, place: usize) -> WindowPoint {
        let (row, column) = (place / self.distances.columns, place % self.distances.columns);
        let [x, y] = [column, row].map(|place| (place * self.px_per_place) as f32 + 0.5);
        euclid::point2(x, y)
    }

    /// Length of a ray from a place to the border of the window.
    fn to_border(&self, from: WindowPoint, ray: Ray) -> f32 {
        along(from.x, ray.x, self.size.0).min(along(from.y, ray.y, self.size.1))
    }
}

/// Steps of `step` from `at` to the end of an axis of length `side`; infinite for a step that goes nowhere.
fn along(at: f32, step: f32, side: f32) -> f32 {
    match step.total_cmp(&0.0) {
        _ if step == 0.0 => f32::INFINITY,
        Ordering::Greater => (side - at) / step,
        _ => at / -step,
    }
}

/// An object, and the area that it covers.
struct Shape {
    score: Score,
    place: usize,
    spans: Spans,
}

/// The area inside a ring as spans of the centre lines of rows of px.
#[derive(Debug, PartialEq)]
struct Spans {
    /// In order of rows, then of columns; those of a row do not overlap.
    each: Vec<Span>,
    area: f32,
}

/// A part of a row, px.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    row: i32,
    from: f32,
    to: f32,
}

impl Spans {
    fn new(ring: &[WindowPoint]) -> Self {
        let mut crossings: Vec<(i32, f32)> = Vec::with_capacity(ring.len() * 2);
        for (place, a) in ring.iter().enumerate() {
            let b = ring[(place + 1) % ring.len()];
            push_crossings(*a, b, &mut crossings);
        }
        crossings.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let each: Vec<Span> = (crossings.chunks_exact(2))
            .map(|pair| Span { row: pair[0].0, from: pair[0].1, to: pair[1].1 })
            .collect();
        let area = each.iter().map(|span| span.to - span.from).sum();
        Self { each, area }
    }

    /// Px of both.
    fn shared(&self, other: &Self) -> f32 {
        let (mut a, mut b, mut shared) = (0, 0, 0.0);
        while let (Some(ours), Some(theirs)) = (self.each.get(a), other.each.get(b)) {
            if ours.row == theirs.row {
                shared += (ours.to.min(theirs.to) - ours.from.max(theirs.from)).max(0.0);
            }
            if (ours.row, ours.to) < (theirs.row, theirs.to) { a += 1 } else { b += 1 }
        }
        shared
    }

    /// Rows and columns that hold it, from and to; `None` if it covers no centre line.
    fn bounds(&self) -> Option<(Range<f32>, Range<f32>)> {
        let (first, last) = (self.each.first()?.row, self.each.last()?.row);
        let left = self.each.iter().map(|span| span.from).fold(f32::INFINITY, f32::min);
        let right = self.each.iter().map(|span| span.to).fold(f32::NEG_INFINITY, f32::max);
        Some((first as f32..last as f32, left..right))
    }
}

/// Where the line from `a` to `b` crosses the centre lines of rows. A corner on such a line is below it.
fn push_crossings(a: WindowPoint, b: WindowPoint, crossings: &mut Vec<(i32, f32)>) {
    let (upper, lower) = if a.y <= b.y { (a, b) } else { (b, a) };
    // Row r has its centre line at r + 0.5.
    let rows = (upper.y - 0.5).ceil() as i32..(lower.y - 0.5).ceil() as i32;
    let slope = (lower.x - upper.x) / (lower.y - upper.y);
    crossings.extend(rows.map(|row| (row, upper.x + (row as f32 + 0.5 - upper.y) * slope)));
}

/// Shapes that stay, and a grid of cells that finds those near a place.
struct Kept {
    shapes: Vec<Shape>,
    rows: usize,
    columns: usize,
    /// Shapes that reach into each cell.
    cells: Vec<Vec<u32>>,
}

/// Side of a cell: about one nucleus, px.
const CELL_PX: usize = 32;

impl Kept {
    fn new((width, height): (usize, usize)) -> Self {
        let [rows, columns] = [height, width].map(|side| side.div_ceil(CELL_PX));
        Self { shapes: Vec::new(), rows, columns, cells: vec![Vec::new(); rows * columns] }
    }

    fn push(&mut self, shape: Shape) {
        let place = self.shapes.len() as u32;
        for cell in self.cells_of(&shape.spans) {
            self.cells[cell].push(place);
        }
        self.shapes.push(shape);
    }

    /// `true` if one that stays shares more than `overlap` of the smaller of both.
    fn suppresses(&self, spans: &Spans, overlap: f64) -> bool {
        self.cells_of(spans).flat_map(|cell| &self.cells[cell]).any(|&near| {
            let near = &self.shapes[near as usize].spans;
            let smaller = near.area.min(spans.area);
            smaller > 0.0 && f64::from(near.shared(spans)) / f64::from(smaller) > overlap
        })
    }

    /// Cells that the spans reach into, by number. Those beyond the window are in the cells at its border.
    fn cells_of(&self, spans: &Spans) -> impl Iterator<Item = usize> + use<> {
        let (rows, columns) = (self.rows, self.columns);
        spans.bounds().into_iter().flat_map(move |(down, across)| {
            cells(&down, rows)
                .flat_map(move |row| cells(&across, columns).map(move |column| row * columns + column))
        })
    }
}

/// Cells of one axis, of so many, that hold these px.
fn cells(px: &Range<f32>, all: usize) -> Range<usize> {
    // `as` takes negative numbers to 0.
    let [first, last] = [px.start, px.end].map(|px| (px as usize / CELL_PX).min(all - 1));
    first..last + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: StarRule = StarRule {
        activation: Activation::None,
        axis: ChannelAxis::First,
        background: None,
        classes: 1,
        star: Star { overlap: 0.3, log: false },
    };

    /// Answers for maps of `columns` places in a row and 4 rays, at 2 px of the window per place.
    fn found(
        rule: &StarRule,
        columns: usize,
        probability: &[f32],
        distances: &[f32],
        classes: &[f32],
    ) -> Result<Vec<Detection>, WindowFault> {
        let rows = probability.len() / columns;
        let shape = |channels| match rule.axis {
            ChannelAxis::First => [1, channels, rows, columns],
            ChannelAxis::Last => [1, rows, columns, channels],
        };
        let shapes = [1, distances.len() / probability.len(), classes.len() / probability.len()].map(shape);
        let names = ["prob", "dist", "prob_class"];
        let data = [probability, distances, classes];
        let outputs: Vec<TensorView<'_>> =
            (0..3).map(|i| TensorView { name: names[i], shape: &shapes[i], data: data[i] }).collect();
        let outputs = if classes.is_empty() { &outputs[..2] } else { &outputs[..] };
        rule.detections(outputs, 0, (columns * 2, rows * 2), 0.5)
    }

    /// A map of one ray after the other, each of the same distance everywhere.
    fn everywhere(places: usize, distances: [f32; 4]) -> Vec<f32> {
        distances.iter().flat_map(|&distance| std::iter::repeat_n(distance, places)).collect()
    }

    fn corners(detection: &Detection) -> Vec<(f32, f32)> {
        detection.outline.as_ref().unwrap().iter().map(|corner| (corner.x, corner.y)).collect()
    }

    #[test]
    fn rays_become_the_outline_around_the_first_px_of_a_place() {
        let mut probability = vec![0.1; 8 * 8];
        probability[3 * 8 + 4] = 0.9;
        let detections = found(&PLAIN, 8, &probability, &everywhere(64, [3.0, 2.0, 4.0, 1.0]), &[]).unwrap();
        let [only] = &detections[..] else { panic!("{detections:?}") };
        // Place (4, 3) begins with px (8, 6), whose centre is at (8.5, 6.5).
        let near = |(a, b): ((f32, f32), (f32, f32))| (a.0 - b.0).abs() < 1e-5 && (a.1 - b.1).abs() < 1e-5;
        let expected = [(11.5, 6.5), (8.5, 8.5), (4.5, 6.5), (8.5, 5.5)];
        assert!(corners(only).into_iter().zip(expected).all(near), "{only:?}");
        let bbox = only.bbox;
        assert!(
            near(((bbox.min.x, bbox.min.y), (4.5, 5.5))) && near(((bbox.max.x, bbox.max.y), (11.5, 8.5)))
        );
        assert_eq!((only.class, only.score.get()), (ModelClass(0), 0.9));
    }

    #[test]
    fn rays_end_at_the_border_and_are_never_negative() {
        let mut probability = vec![0.1; 4 * 4];
        probability[0] = 0.9;
        let detections =
            found(&PLAIN, 4, &probability, &everywhere(16, [1e30, 2.0, 5.0, -1.0]), &[]).unwrap();
        let expected = [(8.0, 0.5), (0.5, 2.5), (0.0, 0.5), (0.5, 0.499)];
        for ((x, y), (wanted_x, wanted_y)) in corners(&detections[0]).into_iter().zip(expected) {
            assert!((x - wanted_x).abs() < 1e-5 && (y - wanted_y).abs() < 1e-5, "{detections:?}");
        }
    }

    #[test]
    fn distances_may_be_logarithms() {
        let log = StarRule { star: Star { overlap: 0.3, log: true }, ..PLAIN };
        let mut probability = vec![0.1; 16];
        probability[5] = 0.9;
        let [plain, of_logs] = [(PLAIN, 2.0f32), (log, 2f32.ln())].map(|(rule, distance)| {
            found(&rule, 4, &probability, &everywhere(16, [distance; 4]), &[]).unwrap()[0].bbox
        });
        assert!((plain.max.x - of_logs.max.x).abs() < 1e-5 && (plain.width() - 4.0).abs() < 1e-5);
    }

    #[test]
    fn of_outlines_that_share_more_of_the_smaller_the_best_stays() {
        // Diamonds with rays of 4 px, whose rows are 2, 4, 6, 8, 6, 4 and 2 px wide. Centres 4 px apart in one row share
        // 2, 4 and 2 of the 32.
        let mut probability = vec![0.1; 16 * 16];
        (probability[8 * 16 + 7], probability[8 * 16 + 9]) = (0.8, 0.9);
        let distances = everywhere(256, [4.0; 4]);
        for (overlap, expected) in [(0.249, vec![0.9]), (0.251, vec![0.9, 0.8])] {
            let rule = StarRule { star: Star { overlap, log: false }, ..PLAIN };
            let detections = found(&rule, 16, &probability, &distances, &[]).unwrap();
            let scores: Vec<f32> = detections.iter().map(|detection| detection.score.get()).collect();
            assert_eq!(scores, expected);
        }
    }

    #[test]
    fn an_object_is_of_its_best_class_even_where_none_is_likelier() {
        let rule = StarRule { background: Some(Background::First), classes: 2, ..PLAIN };
        let mut probability = vec![0.1; 16];
        probability[5] = 0.9;
        let distances = everywhere(16, [2.0; 4]);
        for (scores, expected) in [([0.6, 0.1, 0.3], 1), ([0.2, 0.4, 0.4], 0)] {
            let classes: Vec<f32> = scores.iter().flat_map(|&score| std::iter::repeat_n(score, 16)).collect();
            let detections = found(&rule, 4, &probability, &distances, &classes).unwrap();
            assert_eq!(detections[0].class, ModelClass(expected));
            let last = StarRule { axis: ChannelAxis::Last, ..rule.clone() };
            let [distances, classes] = [&distances, &classes].map(|maps| channels_last(maps, 16));
            assert_eq!(found(&last, 4, &probability, &distances, &classes).unwrap(), detections);
        }
    }

    /// The same maps with their channels last.
    fn channels_last(maps: &[f32], places: usize) -> Vec<f32> {
        (0..places).flat_map(|place| maps.iter().skip(place).step_by(places).copied()).collect()
    }

    #[test]
    fn other_shapes_logits_and_wild_numbers_are_faults() {
        let distances = everywhere(16, [2.0; 4]);
        let answer = |probability: &[f32], distances: &[f32]| found(&PLAIN, 4, probability, distances, &[]);
        assert_eq!(answer(&[7.0; 16], &distances), Err(WindowFault::ScoreRange { score: 7.0 }));
        let not_finite = Err(WindowFault::NotFinite { part: "maps" });
        assert_eq!(answer(&[f32::NAN; 16], &distances), not_finite);
        assert_eq!(answer(&[0.1; 16], &everywhere(16, [f32::INFINITY; 4])), not_finite);
        assert!(matches!(answer(&[0.1; 16], &[2.0; 32]), Err(WindowFault::Shape { .. })));
        let shapes = [[1, 1, 4, 4], [1, 4, 4, 4]];
        let outputs = [("prob", &shapes[0], &[0.1; 16][..]), ("dist", &shapes[1], &distances[..])]
            .map(|(name, shape, data)| TensorView { name, shape, data });
        let fault = PLAIN.detections(&outputs, 0, (9, 8), 0.5).unwrap_err().to_string();
        assert!(fault.contains("places that are squares of whole px of the 9 × 8"), "{fault}");
        assert_eq!(PLAIN.detections(&outputs[..1], 0, (8, 8), 0.5), Err(WindowFault::NoOutput));
    }

    /// A ring around `centre` with these distances along its rays.
    fn ring(centre: (f32, f32), distances: &[f32]) -> Vec<WindowPoint> {
        let angle = |ray| std::f32::consts::TAU * ray as f32 / distances.len() as f32;
        let corner = |(ray, distance): (usize, &f32)| {
            euclid::point2(centre.0 + angle(ray).cos() * distance, centre.1 + angle(ray).sin() * distance)
        };
        distances.iter().enumerate().map(corner).collect()
    }

    /// Lengths of the centre lines inside both rings, in steps of a hundredth of a px.
    fn stepped(rings: &[&[WindowPoint]]) -> f32 {
        let inside = |x: f32, y: f32| rings.iter().all(|ring| holds(ring, x, y));
        let columns =
            |row: usize| (0..6400).filter(|&x| inside((x as f32 + 0.5) / 100.0, row as f32 + 0.5)).count();
        (0..64).map(columns).sum::<usize>() as f32 / 100.0
    }

    /// By the number of sides to the right of a place.
    fn holds(ring: &[WindowPoint], x: f32, y: f32) -> bool {
        let sides = (0..ring.len()).map(|place| (ring[place], ring[(place + 1) % ring.len()]));
        let crossed = sides
            .filter(|(a, b)| (a.y <= y) != (b.y <= y) && x < a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
        crossed.count() % 2 == 1
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn spans_measure_what_lies_inside(
            first in proptest::collection::vec(0.5f32..14.0, 3..12),
            second in proptest::collection::vec(0.5f32..14.0, 3..12),
            at in (16f32..48.0, 16f32..48.0), by in (-12f32..12.0, -12f32..12.0),
        ) {
            let first = ring(at, &first);
            let second = ring((at.0 + by.0, at.1 + by.1), &second);
            let [a, b] = [&first, &second].map(|ring| Spans::new(ring));
            prop_assert!((a.area - stepped(&[&first])).abs() < 0.7, "{} {}", a.area, stepped(&[&first]));
            let shared = stepped(&[&first, &second]);
            prop_assert!((a.shared(&b) - shared).abs() < 0.7, "{} {shared}", a.shared(&b));
            prop_assert_eq!(a.shared(&b), b.shared(&a));
        }

        /// Cells of the grid do not show: the same stay as when each is compared with all.
        #[test]
        fn the_same_stay_as_when_all_are_compared(
            values in proptest::collection::vec(0u8..20, 24 * 24), distance in 2f32..40.0, overlap in 0.05f64..0.6,
        ) {
            let rule = StarRule { star: Star { overlap, log: false }, ..PLAIN };
            let probability: Vec<f32> = values.iter().map(|&value| f32::from(value) / 20.0).collect();
            let distances = everywhere(24 * 24, [distance, distance * 0.5, distance, distance * 0.7]);
            let maps = |values, channels| Maps { values, channels, rows: 24, columns: 24, steps: (24 * 24, 1) };
            let rays = Rays::new(maps(&distances, 4), (48, 48), false).unwrap();
            let mut expected: Vec<Shape> = Vec::new();
            for candidate in rule.candidates(&maps(&probability, 1), 0.5).unwrap() {
                let shape = rays.shape(candidate);
                let is_free = expected.iter().all(|kept| {
                    let smaller = f64::from(kept.spans.area.min(shape.spans.area));
                    f64::from(kept.spans.shared(&shape.spans)) <= overlap * smaller
                });
                if is_free {
                    expected.push(shape);
                }
            }
            let found = found(&rule, 24, &probability, &distances, &[]).unwrap();
            let boxes = expected.iter().map(|shape| WindowBox::from_points(&*rays.outline(shape.place)));
            prop_assert!(found.iter().map(|detection| detection.bbox).eq(boxes));
        }
    }
}
