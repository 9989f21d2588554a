//! Outlines of masks.
//!
//! The outline is the zero line of the mask's field, interpolated between pixel centres (marching squares,
//! Lorensen & Cline 1987 in two dimensions): a pixel centre is inside the outline exactly where the mask
//! is. Where the box cuts the mask, the outline runs along pixel borders.
//!
//! One ring per object: of several parts (joined over edges, not corners) the largest, the first of equals;
//! holes are filled.

use std::ops::Range;

use wsi_types::{Outline, WindowPoint};

use super::segment::Mask;
use crate::parts::Parts;

/// The outline of `mask` in window px, clockwise as seen (y down); corners that lie within `tolerance` px
/// of the line without them are left out. `None` for a mask without a pixel.
#[must_use]
pub fn outline(mask: &Mask, tolerance: f32) -> Option<Outline> {
    let part = largest_part(mask)?;
    let ring = part.trace(mask);
    Some(simplify(&ring, tolerance).into_boxed_slice())
}

/// One part of a mask.
struct Part {
    /// By pixel: `true` if it is in the part.
    inside: Vec<bool>,
    /// The first pixel in scan order: nothing of the part is above it.
    first: usize,
}

fn largest_part(mask: &Mask) -> Option<Part> {
    let parts = Parts::new(&mask.field, mask.width, is_inside);
    let sizes = parts.sizes();
    // Of equals `max_by_key` gives the last.
    let largest = (0..sizes.len()).rev().max_by_key(|&part| sizes[part])?;
    let mut inside = vec![false; mask.field.len()];
    for run in parts.runs().iter().filter(|run| run.part == largest) {
        inside[run.places()].fill(true);
    }
    Some(Part { inside, first: parts.runs()[largest].start })
}

/// Steps along pixel borders: right, down, left, up.
const STEPS: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

impl Part {
    fn has(&self, mask: &Mask, x: i64, y: i64) -> bool {
        let within = x >= 0 && y >= 0 && x < mask.width as i64 && y < mask.height as i64;
        within && self.inside[y as usize * mask.width + x as usize]
    }

    /// Walks around the part along pixel borders, the part at the right hand, and notes where the zero
    /// line crosses from the pixel inside to the one outside at each step.
    fn trace(&self, mask: &Mask) -> Vec<WindowPoint> {
        let start = ((self.first % mask.width) as i64, (self.first / mask.width) as i64);
        let (mut corner, mut heading) = (start, 0);
        let mut ring = Vec::new();
        loop {
            let inside = right_of(corner, heading);
            let outside = right_of(corner, (heading + 3) % 4);
            ring.push(crossing(mask, inside, outside));
            let step = STEPS[heading];
            corner = (corner.0 + step.0, corner.1 + step.1);
            let (right, left) = (right_of(corner, heading), right_of(corner, (heading + 3) % 4));
            if !self.has(mask, right.0, right.1) {
                heading = (heading + 1) % 4;
            } else if self.has(mask, left.0, left.1) {
                heading = (heading + 3) % 4;
            }
            if (corner, heading) == (start, 0) {
                return ring;
            }
        }
    }
}

/// The pixel ahead of a corner at the right hand of someone heading that way. The pixel at the left hand
/// is the one at the right of someone who has turned left.
fn right_of((x, y): (i64, i64), heading: usize) -> (i64, i64) {
    match heading {
        0 => (x, y),
        1 => (x - 1, y),
        2 => (x - 1, y - 1),
        _ => (x, y - 1),
    }
}

/// Point between the centres of two neighbouring pixels at which the field is zero, window px.
fn crossing(mask: &Mask, inside: (i64, i64), outside: (i64, i64)) -> WindowPoint {
    let share = match (value(mask, inside), value(mask, outside)) {
        // Not positive outside, so the sum is at least the positive value inside.
        (Some(a), Some(b)) if b <= 0.0 => a / (a - b),
        _ => 0.5,
    };
    let [x, y] = [(inside.0, outside.0), (inside.1, outside.1)]
        .map(|(from, to)| from as f32 + 0.5 + (to - from) as f32 * share);
    let (left, top) = (mask.left as f32, mask.top as f32);
    euclid::point2(left + x, top + y)
}

fn is_inside(value: f32) -> bool {
    value > 0.0
}

fn value(mask: &Mask, (x, y): (i64, i64)) -> Option<f32> {
    let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
    (x < mask.width && y < mask.height).then(|| mask.field[y * mask.width + x])
}

/// Leaves out corners of a ring that lie within `tolerance` of the line without them (Douglas & Peucker
/// 1973), started from its first point and the one farthest from it. Never fewer than 3 points.
fn simplify(ring: &[WindowPoint], tolerance: f32) -> Vec<WindowPoint> {
    let (Some(&first), true) = (ring.first(), tolerance > 0.0 && ring.len() > 4) else {
        return ring.to_vec();
    };
    let far = farthest(1..ring.len(), |i| (ring[i] - first).square_length()).map_or(1, |(far, _)| far);
    let mut keep = vec![false; ring.len()];
    keep[0] = true;
    keep[far] = true;
    let mut open = vec![(0, far), (far, ring.len())];
    while let Some((from, to)) = open.pop() {
        let (a, b) = (ring[from], ring[to % ring.len()]);
        let off = farthest(from + 1..to, |i| distance_to_segment(ring[i], a, b));
        if let Some((corner, _)) = off.filter(|(_, distance)| *distance > tolerance) {
            keep[corner] = true;
            open.extend([(from, corner), (corner, to)]);
        }
    }
    let kept: Vec<WindowPoint> =
        ring.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(&point, _)| point).collect();
    if kept.len() < 3 { ring.to_vec() } else { kept }
}

/// The index with the greatest distance, the last of equals, and that distance.
fn farthest(indices: Range<usize>, distance: impl Fn(usize) -> f32) -> Option<(usize, f32)> {
    indices.map(|i| (i, distance(i))).max_by(|(_, a), (_, b)| a.total_cmp(b))
}

fn distance_to_segment(p: WindowPoint, a: WindowPoint, b: WindowPoint) -> f32 {
    let (along, to_p) = (b - a, p - a);
    let length = along.square_length();
    let share = if length > 0.0 { (to_p.dot(along) / length).clamp(0.0, 1.0) } else { 0.0 };
    (to_p - along * share).length()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(left: usize, top: usize, rows: &[&str]) -> Mask {
        let width = rows[0].len();
        let field =
            rows.iter().flat_map(|row| row.bytes().map(|b| if b == b'#' { 1.0 } else { -1.0 })).collect();
        Mask { left, top, width, height: rows.len(), field }
    }

    fn points(ring: &[WindowPoint]) -> Vec<(f32, f32)> {
        ring.iter().map(|p| (p.x, p.y)).collect()
    }

    /// Twice the area, positive for clockwise rings with y down.
    fn area(ring: &[WindowPoint]) -> f32 {
        let next = ring.iter().cycle().skip(1);
        ring.iter().zip(next).map(|(a, b)| a.x * b.y - b.x * a.y).sum::<f32>() / 2.0
    }

    /// Even-odd rule.
    fn contains(ring: &[WindowPoint], x: f32, y: f32) -> bool {
        let next = ring.iter().cycle().skip(1);
        ring.iter().zip(next).fold(false, |inside, (a, b)| {
            let crosses = (a.y > y) != (b.y > y) && x < (b.x - a.x) * (y - a.y) / (b.y - a.y) + a.x;
            inside != crosses
        })
    }

    #[test]
    fn one_pixel_is_a_diamond() {
        let ring = outline(&mask(10, 20, &["...", ".#.", "..."]), 0.0).unwrap();
        assert_eq!(points(&ring), [(11.5, 21.0), (12.0, 21.5), (11.5, 22.0), (11.0, 21.5)]);
    }

    #[test]
    fn the_largest_part_is_taken_and_holes_are_filled() {
        let ring = outline(&mask(0, 0, &["#.....", "..###.", "..#.#.", "..###.", "......"]), 0.0).unwrap();
        assert!(!contains(&ring, 0.5, 0.5));
        assert!(contains(&ring, 3.5, 2.5), "the hole");
        assert_eq!(area(&ring), 9.0 - 4.0 * 0.125);
        assert!(outline(&mask(0, 0, &["..", ".."]), 0.0).is_none());
    }

    #[test]
    fn corners_do_not_join() {
        let ring = outline(&mask(0, 0, &["##.", "##.", "..#"]), 0.0).unwrap();
        assert!(contains(&ring, 0.5, 0.5) && !contains(&ring, 2.5, 2.5));
    }

    #[test]
    fn the_line_is_where_the_field_is_zero() {
        let mut mask = mask(0, 0, &["...", ".#.", "..."]);
        mask.field[4] = 3.0;
        let ring = outline(&mask, 0.0).unwrap();
        assert_eq!(points(&ring)[1], (1.5 + 0.75, 1.5));
    }

    #[test]
    fn straight_runs_lose_their_corners() {
        let long = mask(0, 0, &["########", "########"]);
        assert_eq!(outline(&long, 0.0).unwrap().len(), 20);
        let ring = outline(&long, 0.01).unwrap();
        assert!(ring.len() <= 8, "{}", ring.len());
        assert_eq!(area(&ring), area(&outline(&long, 0.0).unwrap()));
    }

    /// The pixels of the part that `start` is in, joined one by one.
    fn flooded(mask: &Mask, start: usize) -> Vec<bool> {
        let mut inside = vec![false; mask.field.len()];
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            if mask.field[at] <= 0.0 || std::mem::replace(&mut inside[at], true) {
                continue;
            }
            let (x, y) = (at % mask.width, at / mask.width);
            let steps = [(x > 0, -1), (x + 1 < mask.width, 1), (y > 0, -9), (y + 1 < mask.height, 9)];
            open.extend(steps.iter().filter(|(there, _)| *there).map(|(_, by)| at.strict_add_signed(*by)));
        }
        inside
    }

    proptest! {
        #[test]
        fn the_largest_part_is_that_of_a_flood_fill(field in proptest::collection::vec(-1f32..1.0, 9 * 12)) {
            let mask = Mask { left: 0, top: 0, width: 9, height: 12, field };
            let parts = (0..mask.field.len()).filter(|&at| mask.field[at] > 0.0).map(|at| (at, flooded(&mask, at)));
            let size = |inside: &[bool]| inside.iter().filter(|&&pixel| pixel).count();
            let largest = parts.reduce(|a, b| if size(&b.1) > size(&a.1) { b } else { a });
            let found = largest_part(&mask).map(|part| (part.first, part.inside));
            prop_assert_eq!(found, largest);
        }

        /// The outline holds exactly the pixel centres of its part, holes filled.
        #[test]
        fn pixel_centres_tell_inside_from_outside(
            field in proptest::collection::vec(-1f32..1.0, 63), tolerance in prop_oneof![Just(0f32), Just(1e-4)]
        ) {
            let mask = Mask { left: 5, top: 3, width: 9, height: 7, field };
            if let Some(ring) = outline(&mask, tolerance) {
                let part = largest_part(&mask).unwrap();
                prop_assert!(area(&ring) > 0.0);
                for y in 0..7 {
                    for x in 0..9 {
                        let held = contains(&ring, 5.5 + x as f32, 3.5 + y as f32);
                        let inside = part.has(&mask, x, y);
                        // A pixel the part encloses is held too.
                        prop_assert!(held || !inside, "({x}, {y})");
                        let on_border = x == 0 || y == 0 || x == 8 || y == 6;
                        prop_assert!(!(on_border && held && !inside), "({x}, {y})");
                    }
                }
            }
        }
    }
}
