//! Outlines on level 0, and the area that two of them share.
//!
//! Values computed once for each outline mostly suffice to tell if two agree well enough: its area, and the
//! least octagon around it. The shared area is at most that of their boxes or of the smaller outline, and the
//! area they cover together at most that of the octagon around both. Only a pair in doubt is measured, line
//! by line.

use std::cell::OnceCell;
use std::ops::Range;

use wsi_types::{Level0Box, Level0Point, Outline, Placement};

use crate::geometry::{contains_box, greater, lesser, level0_from_window, shared_area};

/// The outline of a detection. It stays as the model drew it: level-0 px are needed only for those of cells.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedOutline {
    ring: Outline,
    placement: Placement,
    /// Computed for the first pair: most settings compare boxes alone.
    extent: OnceCell<Extent>,
}

/// Extent of an outline on level 0.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Extent {
    hull: Octagon,
    /// The enclosed area, px²; `None` for a ring that may cross itself.
    area: Option<f64>,
}

impl PlacedOutline {
    /// The outline of `ring` under `placement`; `None` for a ring of fewer than 3 points, or with one that is
    /// not finite.
    #[must_use]
    pub fn new(placement: Placement, ring: Outline) -> Option<Self> {
        let is_ring = ring.len() >= 3 && ring.iter().all(|point| point.is_finite());
        is_ring.then_some(Self { ring, placement, extent: OnceCell::new() })
    }

    fn extent(&self) -> &Extent {
        self.extent.get_or_init(|| {
            let hull = Octagon::around(self.points());
            Extent { hull, area: Turned::seen_from(hull.bounds().center(), self.points()).star_area() }
        })
    }

    /// Its points in level-0 px, the first one not repeated.
    pub(crate) fn points(&self) -> impl ExactSizeIterator<Item = Level0Point> + Clone {
        self.ring.iter().map(|&point| level0_from_window(&self.placement, point))
    }

    /// The ring in level-0 px.
    pub(crate) fn on_level0(&self) -> Box<[Level0Point]> {
        self.points().collect()
    }

    /// `true` if the outlines share at least `needed` of the area they cover together inside `zone`; `None`
    /// when areas alone do not suffice to tell.
    pub(crate) fn agrees(&self, other: &Self, zone: &Level0Box, needed: f64) -> Option<bool> {
        let (this, that) = (self.extent(), other.extent());
        let (first, second) = (this.area?, that.area?);
        let around = this.hull.with(&that.hull);
        if !contains_box(zone, &around.bounds()) {
            return None;
        }
        let in_boxes = shared_area(&this.hull.bounds(), &that.hull.bounds());
        let most = lesser(in_boxes, lesser(first, second));
        let least = first + second - around.area();
        match [least, most].map(|shared| shared >= needed * (first + second - shared)) {
            [true, _] => Some(true),
            [_, false] => Some(false),
            _ => None,
        }
    }
}

/// Ranges of points along x, y, x + y and x − y.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Octagon {
    min: [f64; 4],
    max: [f64; 4],
}

impl Octagon {
    const NOTHING: Self = Self { min: [f64::INFINITY; 4], max: [f64::NEG_INFINITY; 4] };

    /// The least octagon around `points`.
    fn around(points: impl Iterator<Item = Level0Point>) -> Self {
        let mut all = Self::NOTHING;
        for Level0Point { x, y, .. } in points {
            let at = [x, y, x + y, x - y];
            all.stretch(&at, &at);
        }
        all
    }

    fn stretch(&mut self, min: &[f64; 4], max: &[f64; 4]) {
        for axis in 0..4 {
            self.min[axis] = lesser(min[axis], self.min[axis]);
            self.max[axis] = greater(max[axis], self.max[axis]);
        }
    }

    /// The least octagon around both.
    fn with(mut self, other: &Self) -> Self {
        self.stretch(&other.min, &other.max);
        self
    }

    fn bounds(&self) -> Level0Box {
        Level0Box::new(Level0Point::new(self.min[0], self.min[1]), Level0Point::new(self.max[0], self.max[1]))
    }

    /// The area of its box without four corners; right for an octagon that touches its points on all eight
    /// sides, as the least one does.
    fn area(&self) -> f64 {
        let ([left, top, low_sum, low_difference], [right, bottom, sum, difference]) = (self.min, self.max);
        let corners = [
            low_sum - left - top,
            right - top - difference,
            right + bottom - sum,
            low_difference - left + bottom,
        ];
        (right - left) * (bottom - top) - corners.iter().map(|side| side * side / 2.0).sum::<f64>()
    }
}

/// Turning of the sides of a ring about a point.
struct Turned {
    /// Twice the area of the triangles that they make with it, px², summed.
    sum: f64,
    /// `true` if all sides turn the same way.
    one_way: bool,
    /// Number of sides that cross the level of the point.
    levels: u32,
}

impl Turned {
    fn seen_from(middle: Level0Point, ring: impl Iterator<Item = Level0Point> + Clone) -> Self {
        let (mut low, mut high, mut sum, mut levels) = (0.0, 0.0, 0.0, 0);
        let arms = ring.map(|point| point - middle);
        let mut p = arms.clone().last().unwrap_or_default();
        for q in arms {
            let turn = p.cross(q);
            low = lesser(turn, low);
            high = greater(turn, high);
            sum += turn;
            levels += u32::from((p.y <= 0.0) != (q.y <= 0.0));
            p = q;
        }
        Self { sum, one_way: low == 0.0 || high == 0.0, levels }
    }

    /// The area of a ring that goes round the point once and never back, so that it cannot cross itself;
    /// `None` for any other.
    fn star_area(&self) -> Option<f64> {
        (self.one_way && self.levels == 2).then_some(self.sum.abs() / 2.0)
    }
}

/// Areas of two outlines within a zone, and the area they share there.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Overlap {
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) shared: f64,
}

impl Overlap {
    /// Intersection over union.
    pub(crate) fn iou(&self) -> f64 {
        let all = self.first + self.second - self.shared;
        if all > 0.0 { self.shared / all } else { 0.0 }
    }
}

/// Number of lines an outline is cut into when areas are compared.
const SCAN_LINES: f64 = 48.0;

/// Overlap of two outlines inside `zone`, in px², by scan lines: exact along x, sampled along y on at least
/// 48 lines across the lower one. Even-odd rule. All three areas are 0 if the boxes are apart. Between
/// ellipses the IoU is within 0.01 of the exact one (tested).
pub(crate) fn overlap(a: &PlacedOutline, b: &PlacedOutline, zone: &Level0Box) -> Overlap {
    let (box_a, box_b) = (a.extent().hull.bounds(), b.extent().hull.bounds());
    if shared_area(&box_a, &box_b) <= 0.0 {
        return Overlap::default();
    }
    let Some(area) = box_a.union(&box_b).intersection(zone) else { return Overlap::default() };
    let lower = box_a.height().min(box_b.height()).max(f64::MIN_POSITIVE);
    // Limited, so that a sliver beside a giant does not need a million lines.
    let count = (area.height() / lower * SCAN_LINES).ceil().clamp(1.0, 4096.0);
    let lines = Lines { top: area.min.y, step: area.height() / count, count: count as usize };
    let across = (area.min.x, area.max.x);
    let (in_a, in_b) = (Spans::of(a, &lines, across), Spans::of(b, &lines, across));
    let mut sum = Overlap::default();
    for line in 0..lines.count {
        let (on_a, on_b) = (in_a.on(line), in_b.on(line));
        sum.first += length(on_a);
        sum.second += length(on_b);
        sum.shared += shared_length(on_a, on_b);
    }
    let [first, second, shared] = [sum.first, sum.second, sum.shared].map(|length| length * lines.step);
    Overlap { first, second, shared }
}

/// Level lines, evenly apart.
struct Lines {
    top: f64,
    step: f64,
    count: usize,
}

impl Lines {
    fn y(&self, line: usize) -> f64 {
        self.top + (line as f64 + 0.5) * self.step
    }

    /// Number of lines above `y`. A side crosses those between its ends: as each corner is looked up once, no
    /// line is crossed an odd number of times.
    fn above(&self, y: f64) -> usize {
        let above = ((y - self.top) / self.step + 0.5) as i32;
        (above.max(0) as usize).min(self.count)
    }
}

/// Crossings of lines and a ring, line by line and from left to right: pairs enclose its inside.
struct Spans {
    /// Per line, the start of its crossings; one more at the end.
    starts: Vec<u32>,
    x: Vec<f64>,
}

impl Spans {
    /// The spans of `ring`, cut to x from `left` to `right`.
    fn of(ring: &PlacedOutline, lines: &Lines, (left, right): (f64, f64)) -> Self {
        let mut corners: Vec<(Level0Point, usize)> = Vec::with_capacity(ring.ring.len() + 1);
        corners.extend(ring.points().map(|point| (point, lines.above(point.y))));
        corners.push(corners[0]);
        // Counted one place further on, so that filling moves each start to its final value.
        let mut starts = vec![0_u32; lines.count + 2];
        for side in corners.windows(2) {
            for line in between(side[0].1, side[1].1) {
                starts[line + 2] += 1;
            }
        }
        for line in 2..starts.len() {
            starts[line] += starts[line - 1];
        }
        let mut x = vec![0.0; starts[lines.count + 1] as usize];
        for side in corners.windows(2) {
            let ((p, above_p), (q, above_q)) = (side[0], side[1]);
            let slope = (q.x - p.x) / (q.y - p.y);
            let [low, high] = [lesser(p.x, q.x), greater(p.x, q.x)].map(|x| lesser(greater(x, left), right));
            for line in between(above_p, above_q) {
                let at = p.x + (lines.y(line) - p.y) * slope;
                x[starts[line + 1] as usize] = lesser(greater(at, low), high);
                starts[line + 1] += 1;
            }
        }
        let spans = Self { starts, x };
        spans.sorted()
    }

    fn sorted(mut self) -> Self {
        for ends in self.starts.windows(2) {
            let on_line = &mut self.x[ends[0] as usize..ends[1] as usize];
            match on_line {
                [] => {}
                [a, b] => (*a, *b) = (lesser(*a, *b), greater(*a, *b)),
                _ => on_line.sort_unstable_by(f64::total_cmp),
            }
        }
        self
    }

    fn on(&self, line: usize) -> &[f64] {
        &self.x[self.starts[line] as usize..self.starts[line + 1] as usize]
    }
}

/// The lines crossed by a side whose ends have `p` and `q` lines above them.
fn between(p: usize, q: usize) -> Range<usize> {
    p.min(q)..p.max(q)
}

fn length(on_line: &[f64]) -> f64 {
    on_line.chunks_exact(2).map(|span| span[1] - span[0]).sum()
}

fn shared_length(a: &[f64], b: &[f64]) -> f64 {
    let pairs = a.chunks_exact(2).flat_map(|p| b.chunks_exact(2).map(move |q| (p, q)));
    pairs.map(|(p, q)| greater(lesser(p[1], q[1]) - greater(p[0], q[0]), 0.0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{edges, ring_area};
    use crate::testing::level0;
    use proptest::prelude::*;
    use wsi_types::WindowPoint;

    /// Largest error found of an agreement measured by lines.
    const IOU_OFF: f64 = 0.01;

    fn placed(points: &[(f32, f32)]) -> PlacedOutline {
        let ring = points.iter().map(|&(x, y)| WindowPoint::new(x, y)).collect();
        PlacedOutline::new(Placement::new(1.0, 1.0, 90_000.0, 70_000.0), ring).unwrap()
    }

    fn outline(points: &[(f32, f32)]) -> Option<PlacedOutline> {
        let ring = points.iter().map(|&(x, y)| WindowPoint::new(x, y)).collect();
        PlacedOutline::new(Placement::new(2.0, 2.0, 0.0, 0.0), ring)
    }

    fn everywhere() -> Level0Box {
        level0(0.0, 0.0, 1e6, 1e6)
    }

    /// Any closed line.
    fn scribble() -> impl Strategy<Value = PlacedOutline> {
        proptest::collection::vec((0.0..40.0_f32, 0.0..40.0_f32), 3..12).prop_map(|points| placed(&points))
    }

    /// An ellipse, turned.
    fn ellipse() -> impl Strategy<Value = PlacedOutline> {
        let size = 3.0..30.0_f32;
        (3..40_u8, 0.0..12.0_f32, 0.0..12.0_f32, size.clone(), size, 0.0..3.2_f32).prop_map(
            |(corners, x, y, a, b, turned)| {
                let corners = (0..corners).map(|step| {
                    let (sine, cosine) =
                        (f32::from(step) / f32::from(corners) * std::f32::consts::TAU).sin_cos();
                    let (along, up) = (a * cosine, b * sine);
                    (
                        x + along * turned.cos() - up * turned.sin(),
                        y + along * turned.sin() + up * turned.cos(),
                    )
                });
                placed(&corners.collect::<Vec<_>>())
            },
        )
    }

    /// The area that a convex ring and another one share, exactly (Sutherland and Hodgman 1974).
    fn clipped_area(subject: &PlacedOutline, convex: &PlacedOutline) -> f64 {
        let clip = convex.on_level0();
        let side = ring_area(&clip).signum();
        let mut rest = subject.on_level0().into_vec();
        for (p, q) in edges(&clip) {
            let mut kept = Vec::new();
            for (a, b) in edges(&rest) {
                let [of_a, of_b] = [a, b].map(|point| side * (q - p).cross(point - p));
                if of_a >= 0.0 {
                    kept.push(a);
                }
                if (of_a >= 0.0) != (of_b >= 0.0) {
                    kept.push(a + (b - a) * (of_a / (of_a - of_b)));
                }
            }
            rest = kept;
        }
        ring_area(&rest).abs()
    }

    fn exact_iou(a: &PlacedOutline, b: &PlacedOutline) -> f64 {
        let shared = clipped_area(a, b);
        shared / (ring_area(&a.on_level0()).abs() + ring_area(&b.on_level0()).abs() - shared)
    }

    #[test]
    fn a_ring_that_crosses_itself_has_no_area_that_is_known() {
        assert_eq!(placed(&[(0.0, 0.0), (10.0, 0.0), (10.0, 8.0), (0.0, 8.0)]).extent().area, Some(80.0));
        assert_eq!(placed(&[(0.0, 0.0), (10.0, 8.0), (10.0, 0.0), (0.0, 8.0)]).extent().area, None);
        let round = [(0.0, 0.0), (10.0, 0.0), (10.0, 8.0), (0.0, 8.0)];
        assert_eq!(placed(&[round, round].concat()).extent().area, None);
    }

    #[test]
    fn what_encloses_nothing_or_is_not_finite() {
        assert_eq!(outline(&[]), None);
        assert_eq!(outline(&[(0.0, 0.0), (1.0, 1.0)]), None);
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(outline(&[(0.0, 0.0), (1.0, 1.0), (bad, 3.0), (5.0, 5.0)]), None);
        }
        let flat = outline(&[(0.0, 0.0), (1.0, 1.0), (3.0, 3.0)]).unwrap();
        assert_eq!(overlap(&flat, &flat, &everywhere()).iou(), 0.0);
    }

    #[test]
    fn overlap_is_cut_to_the_zone() {
        let a = placed(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]);
        let b = placed(&[(5.0, 5.0), (15.0, 5.0), (15.0, 15.0), (5.0, 15.0)]);
        let all = overlap(&a, &b, &everywhere());
        let zone = level0(90_000.0, 70_000.0, 90_007.5, 70_020.0);
        let half = overlap(&a, &b, &zone);
        let areas = [all.first, all.second, all.shared, half.second, half.shared];
        for (found, expected) in areas.into_iter().zip([100.0, 100.0, 25.0, 25.0, 12.5]) {
            assert!((found - expected).abs() < 1e-6, "{areas:?}");
        }
        // Whole areas tell nothing of what lies within a zone.
        assert_eq!((a.agrees(&b, &zone, 0.01), a.agrees(&b, &zone, 0.5)), (None, None));
        assert_eq!(a.agrees(&b, &everywhere(), 0.5), Some(false));
        assert_eq!(a.agrees(&a, &everywhere(), 0.5), Some(true));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn spans_are_the_crossings_of_every_side_with_every_line(
            ring in scribble(),
            top in 0.0..20.0_f64,
            step in 0.05..3.0_f64,
        ) {
            let lines = Lines { top: 70_000.0 + top, step, count: 24 };
            let across = (90_005.0, 90_030.0);
            let spans = Spans::of(&ring, &lines, across);
            let points = ring.on_level0();
            // Rounding decides the side of a line for a corner that lies on it.
            let clear = (0..lines.count)
                .filter(|&line| points.iter().all(|point| (point.y - lines.y(line)).abs() > 1e-6));
            for line in clear {
                let y = lines.y(line);
                let sides = edges(&points).filter(move |(p, q)| (p.y <= y) != (q.y <= y));
                let x = sides.map(|(p, q)| p.x + (y - p.y) / (q.y - p.y) * (q.x - p.x));
                let mut x: Vec<f64> = x.map(|x| x.clamp(across.0, across.1)).collect();
                x.sort_unstable_by(f64::total_cmp);
                prop_assert_eq!(spans.on(line).len(), x.len());
                prop_assert!(spans.on(line).iter().zip(&x).all(|(found, x)| (found - x).abs() < 1e-3));
            }
        }

        #[test]
        fn measured_agreement_is_near_the_exact_one(a in ellipse(), b in ellipse()) {
            let (found, exact) = (overlap(&a, &b, &everywhere()).iou(), exact_iou(&a, &b));
            prop_assert!((found - exact).abs() <= IOU_OFF, "{found} for {exact}");
        }

        #[test]
        fn what_areas_tell_is_so(a in ellipse(), b in ellipse(), needed in 0.05..0.95_f64) {
            let exact = exact_iou(&a, &b);
            match a.agrees(&b, &everywhere(), needed) {
                Some(true) => prop_assert!(exact >= needed - 1e-9, "{exact}"),
                Some(false) => prop_assert!(exact < needed + 1e-9, "{exact}"),
                None => {}
            }
            prop_assert_eq!(a.agrees(&b, &everywhere(), needed), b.agrees(&a, &everywhere(), needed));
        }

        #[test]
        fn what_areas_tell_of_scribbles_is_measured_too(
            a in scribble(),
            b in scribble(),
            needed in 0.05..0.95_f64,
        ) {
            let measured = overlap(&a, &b, &everywhere()).iou();
            if let Some(told) = a.agrees(&b, &everywhere(), needed) {
                prop_assert!(told == (measured >= needed) || (measured - needed).abs() < 0.05, "{measured}");
            }
        }

        #[test]
        fn an_octagon_holds_its_ring_and_is_no_larger_than_its_box(ring in scribble()) {
            let Extent { hull, area: inside } = *ring.extent();
            let (area, bounds) = (hull.area(), hull.bounds());
            let corners = ring.on_level0();
            prop_assert!(inside.is_none_or(|inside| inside <= area + 1e-6));
            prop_assert!(area <= bounds.area() + 1e-6 && corners.iter().all(|point| contains_box(&bounds, &Level0Box::new(*point, *point))));
        }
    }
}
