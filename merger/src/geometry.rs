//! Areas and overlaps of boxes and outlines on level 0.

use rstar::AABB;
use wsi_types::{Level0Box, Level0Point};

/// Whether all four numbers are finite.
pub(crate) fn is_finite(area: &Level0Box) -> bool {
    [area.min.x, area.min.y, area.max.x, area.max.y].iter().all(|value| value.is_finite())
}

/// Area in px²; 0 for a box turned inside out.
pub(crate) fn box_area(area: &Level0Box) -> f64 {
    greater(area.max.x - area.min.x, 0.0) * greater(area.max.y - area.min.y, 0.0)
}

/// Area that two boxes share, in px².
pub(crate) fn shared_area(a: &Level0Box, b: &Level0Box) -> f64 {
    let width = lesser(a.max.x, b.max.x) - greater(a.min.x, b.min.x);
    let height = lesser(a.max.y, b.max.y) - greater(a.min.y, b.min.y);
    greater(width, 0.0) * greater(height, 0.0)
}

/// The lesser of two numbers, `b` where one is NaN: one instruction, which
/// `f64::min` is not.
pub(crate) fn lesser(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// The greater of two numbers, `b` where one is NaN.
pub(crate) fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// `area` grown by `by` on every side.
pub(crate) fn inflate(area: &Level0Box, by: f64) -> Level0Box {
    area.inflate(by, by)
}

/// Whether `inner` lies in `outer`, borders shared or not.
pub(crate) fn contains_box(outer: &Level0Box, inner: &Level0Box) -> bool {
    outer.min.x <= inner.min.x
        && outer.min.y <= inner.min.y
        && inner.max.x <= outer.max.x
        && inner.max.y <= outer.max.y
}

/// The box as `rstar` wants it.
pub(crate) fn envelope(area: &Level0Box) -> AABB<[f64; 2]> {
    AABB::from_corners([area.min.x, area.min.y], [area.max.x, area.max.y])
}

/// What two intervals share over what they cover together; 0 when apart.
pub(crate) fn interval_iou(a: (f64, f64), b: (f64, f64)) -> f64 {
    let shared = (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
    let covered = a.1.max(b.1) - a.0.min(b.0);
    if covered > 0.0 { shared / covered } else { 0.0 }
}

/// Signed area of a closed ring in px², by the shoelace formula; positive when
/// it runs clockwise as seen on a screen (y down).
pub(crate) fn ring_area(ring: &[Level0Point]) -> f64 {
    // Relative to the first point: level-0 coordinates are large, cells small.
    let Some(&origin) = ring.first() else { return 0.0 };
    edges(ring).map(|(p, q)| (p - origin).cross(q - origin)).sum::<f64>() / 2.0
}

/// The point at which a ring's area balances; the mean of its points when it
/// has no area; `None` for an empty ring.
pub(crate) fn ring_centroid(ring: &[Level0Point]) -> Option<Level0Point> {
    let &origin = ring.first()?;
    let area = ring_area(ring);
    if area == 0.0 {
        let sum = ring.iter().fold(euclid::Vector2D::zero(), |sum, &point| sum + (point - origin));
        return Some(origin + sum / ring.len() as f64);
    }
    let moment = edges(ring).fold(euclid::Vector2D::zero(), |sum, (p, q)| {
        let (p, q) = (p - origin, q - origin);
        sum + (p + q) * p.cross(q)
    });
    Some(origin + moment / (6.0 * area))
}

/// Each side of a closed ring, the last joining the end to the start.
pub(crate) fn edges(ring: &[Level0Point]) -> impl Iterator<Item = (Level0Point, Level0Point)> {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// Areas of two outlines within a zone, and of what they share there.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Overlap {
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) shared: f64,
}

/// How many lines an outline is cut into when areas are compared.
const SCAN_LINES: f64 = 48.0;

/// Overlap of two rings inside `zone`, in px², by scan lines: exact along x,
/// sampled along y on at least 48 lines across the smaller ring. Even-odd rule.
pub(crate) fn ring_overlap(a: &[Level0Point], b: &[Level0Point], zone: &Level0Box) -> Overlap {
    let (Some(box_a), Some(box_b)) = (ring_bounds(a), ring_bounds(b)) else { return Overlap::default() };
    let Some(area) = box_a.union(&box_b).intersection(zone) else { return Overlap::default() };
    let smaller = box_a.height().min(box_b.height()).max(f64::MIN_POSITIVE);
    // Bounded, so that a sliver beside a giant does not ask for a million lines.
    let lines = (area.height() / smaller * SCAN_LINES).ceil().clamp(1.0, 4096.0);
    let lines = Lines { top: area.min.y, step: area.height() / lines, count: lines as u32 };
    let (in_a, in_b) = (crossings(a, &lines, zone), crossings(b, &lines, zone));
    let (mut rest_a, mut rest_b) = (in_a.as_slice(), in_b.as_slice());
    let mut sum = Overlap::default();
    for line in 0..lines.count {
        let (on_a, on_b) = (take_line(&mut rest_a, line), take_line(&mut rest_b, line));
        sum.first += length(on_a) * lines.step;
        sum.second += length(on_b) * lines.step;
        sum.shared += shared_length(on_a, on_b) * lines.step;
    }
    sum
}

/// Level lines, evenly apart.
struct Lines {
    top: f64,
    step: f64,
    count: u32,
}

impl Lines {
    fn y(&self, line: u32) -> f64 {
        self.top + (f64::from(line) + 0.5) * self.step
    }

    /// Those from `low` to `high`, and one or two beyond, so that rounding loses
    /// none.
    fn near(&self, low: f64, high: f64) -> std::ops::Range<u32> {
        let at = |y: f64| (y - self.top) / self.step - 0.5;
        let first = greater(at(low) - 1.0, 0.0) as u32;
        let last = greater(at(high) + 2.0, 0.0) as u32;
        first.min(self.count)..last.min(self.count)
    }
}

/// A line, and the x at which a ring crosses it.
type Crossing = (u32, f64);

/// Where `ring` crosses `lines`, line by line, cut to `zone`: pairs enclose its
/// inside. Each side is looked at once, on the lines that it can cross.
fn crossings(ring: &[Level0Point], lines: &Lines, zone: &Level0Box) -> Vec<Crossing> {
    let mut found = Vec::with_capacity(2 * lines.count as usize);
    for (p, q) in edges(ring) {
        for line in lines.near(lesser(p.y, q.y), greater(p.y, q.y)) {
            let y = lines.y(line);
            if (p.y <= y) != (q.y <= y) {
                let x = p.x + (y - p.y) / (q.y - p.y) * (q.x - p.x);
                found.push((line, x.clamp(zone.min.x, zone.max.x)));
            }
        }
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1)));
    found
}

/// The crossings of `line`, which come next in `rest` if there are any.
fn take_line<'a>(rest: &mut &'a [Crossing], line: u32) -> &'a [Crossing] {
    let count = rest.iter().take_while(|crossing| crossing.0 == line).count();
    let (of_line, after) = rest.split_at(count);
    *rest = after;
    of_line
}

/// The smallest box around `ring`; `None` when it is empty.
pub(crate) fn ring_bounds(ring: &[Level0Point]) -> Option<Level0Box> {
    (!ring.is_empty()).then(|| Level0Box::from_points(ring))
}

fn length(spans: &[Crossing]) -> f64 {
    spans.chunks_exact(2).map(|span| span[1].1 - span[0].1).sum()
}

fn shared_length(a: &[Crossing], b: &[Crossing]) -> f64 {
    let common = |p: &[Crossing], q: &[Crossing]| (p[1].1.min(q[1].1) - p[0].1.max(q[0].1)).max(0.0);
    a.chunks_exact(2).flat_map(|p| b.chunks_exact(2).map(move |q| common(p, q))).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{level0, ring};
    use proptest::prelude::*;

    #[test]
    fn boxes_apart_share_nothing_on_either_axis() {
        let (a, b) = (level0(0.0, 0.0, 10.0, 10.0), level0(20.0, 20.0, 30.0, 30.0));
        assert_eq!(shared_area(&a, &b), 0.0);
    }

    #[test]
    fn a_far_ring_keeps_its_area_and_centre() {
        let square = ring(&[(1e7, 1e7), (1e7 + 4.0, 1e7), (1e7 + 4.0, 1e7 + 2.0), (1e7, 1e7 + 2.0)]);
        assert_eq!(ring_area(&square), 8.0);
        assert_eq!(ring_centroid(&square).unwrap(), Level0Point::new(1e7 + 2.0, 1e7 + 1.0));
    }

    proptest! {
        #[test]
        fn crossings_are_those_of_every_side_with_every_line(
            points in proptest::collection::vec((0.0..40.0_f64, 0.0..40.0_f64), 3..12),
            top in 0.0..20.0_f64,
            step in 0.05..3.0_f64,
        ) {
            let ring = ring(&points);
            let lines = Lines { top, step, count: 24 };
            let zone = level0(5.0, 0.0, 30.0, 40.0);
            let on = |line: u32| {
                let y = lines.y(line);
                let sides = edges(&ring).filter(move |(p, q)| (p.y <= y) != (q.y <= y));
                let x = sides.map(|(p, q)| p.x + (y - p.y) / (q.y - p.y) * (q.x - p.x));
                let mut x: Vec<f64> = x.map(|x| x.clamp(5.0, 30.0)).collect();
                x.sort_unstable_by(f64::total_cmp);
                x.into_iter().map(move |x| (line, x))
            };
            let expected: Vec<Crossing> = (0..24).flat_map(on).collect();
            prop_assert_eq!(crossings(&ring, &lines, &zone), expected);
        }
    }

    #[test]
    fn ring_overlap_is_cut_to_the_zone() {
        let a = ring(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]);
        let b = ring(&[(5.0, 5.0), (15.0, 5.0), (15.0, 15.0), (5.0, 15.0)]);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
        let all = ring_overlap(&a, &b, &level0(0.0, 0.0, 20.0, 20.0));
        close(all.first, 100.0);
        close(all.second, 100.0);
        close(all.shared, 25.0);
        let half = ring_overlap(&a, &b, &level0(0.0, 0.0, 7.5, 20.0));
        close(half.second, 25.0);
        close(half.shared, 12.5);
    }
}
