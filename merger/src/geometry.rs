//! Areas and overlaps of boxes and outlines on level 0.

use rstar::AABB;
use wsi_types::{Level0Box, Level0Point, Placement, WindowPoint};

/// `true` if all four numbers are finite.
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

/// `true` if `inner` lies in `outer`, borders shared or not.
pub(crate) fn contains_box(outer: &Level0Box, inner: &Level0Box) -> bool {
    outer.min.x <= inner.min.x
        && outer.min.y <= inner.min.y
        && inner.max.x <= outer.max.x
        && inner.max.y <= outer.max.y
}

/// The box in the type of `rstar`.
pub(crate) fn envelope(area: &Level0Box) -> AABB<[f64; 2]> {
    AABB::from_corners([area.min.x, area.min.y], [area.max.x, area.max.y])
}

/// Intersection over union of two intervals; 0 when apart.
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

/// The only arithmetic between the two frames.
pub(crate) fn level0_from_window(placement: &Placement, point: WindowPoint) -> Level0Point {
    placement.transform_point(point.cast())
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

/// The smallest box around `ring`; `None` when it is empty.
pub(crate) fn ring_bounds(ring: &[Level0Point]) -> Option<Level0Box> {
    (!ring.is_empty()).then(|| Level0Box::from_points(ring))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{level0, ring};

    #[test]
    fn boxes_apart_share_nothing_on_either_axis() {
        let (a, b) = (level0(0.0, 0.0, 10.0, 10.0), level0(20.0, 20.0, 30.0, 30.0));
        assert_eq!(shared_area(&a, &b), 0.0);
    }

    #[test]
    fn intervals_share_their_overlap_of_what_they_cover() {
        assert_eq!(interval_iou((0.0, 10.0), (5.0, 20.0)), 0.25);
        assert_eq!(interval_iou((5.0, 20.0), (0.0, 10.0)), 0.25);
        assert_eq!(interval_iou((0.0, 10.0), (2.0, 7.0)), 0.5);
        assert_eq!(interval_iou((0.0, 10.0), (11.0, 20.0)), 0.0);
        assert_eq!(interval_iou((3.0, 3.0), (3.0, 3.0)), 0.0);
    }

    #[test]
    fn a_far_ring_keeps_its_area_and_centre() {
        let square = ring(&[(1e7, 1e7), (1e7 + 4.0, 1e7), (1e7 + 4.0, 1e7 + 2.0), (1e7, 1e7 + 2.0)]);
        assert_eq!(ring_area(&square), 8.0);
        assert_eq!(ring_centroid(&square).unwrap(), Level0Point::new(1e7 + 2.0, 1e7 + 1.0));
    }
}
