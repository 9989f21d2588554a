//! Closed rings of points, the first not repeated.

use crate::{Level0Box, Level0Point};

/// Cuts one ring to a box, side by side (Sutherland and Hodgman, Commun. ACM 17, 1974).
/// Parts that leave the box and come back stay joined along its side, which adds no
/// area. Empty when nothing is left.
#[must_use]
pub fn clip_ring(ring: &[Level0Point], bounds: Level0Box) -> Vec<Level0Point> {
    let Level0Box { min, max } = bounds;
    let left = clip_half(ring, |p| p.x - min.x);
    let right = clip_half(&left, |p| max.x - p.x);
    let top = clip_half(&right, |p| p.y - min.y);
    clip_half(&top, |p| max.y - p.y)
}

/// Keeps the side where `depth` is not negative.
fn clip_half(ring: &[Level0Point], depth: impl Fn(Level0Point) -> f64) -> Vec<Level0Point> {
    let mut kept = Vec::with_capacity(ring.len() + 4);
    for (a, b) in segments(ring) {
        let (depth_a, depth_b) = (depth(a), depth(b));
        if depth_a >= 0.0 {
            kept.push(a);
        }
        if (depth_a >= 0.0) != (depth_b >= 0.0) {
            kept.push(a.lerp(b, depth_a / (depth_a - depth_b)));
        }
    }
    kept
}

/// Neighbouring points of a closed ring, the last with the first.
pub fn segments(ring: &[Level0Point]) -> impl Iterator<Item = (Level0Point, Level0Point)> + '_ {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}
