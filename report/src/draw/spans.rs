//! Pixels that lie inside rings.

use std::ops::Range;

use super::view::{PictureBox, PicturePoint};

/// The corners of a ring, each with the next, the last with the first.
pub(super) fn sides(ring: &[PicturePoint]) -> impl Iterator<Item = (PicturePoint, PicturePoint)> {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// Hands `each` the pixels of a picture of this width and height whose middles lie
/// inside `rings` (even-odd rule): a row, and a span of columns. Parts outside the
/// picture are left out.
pub(super) fn for_each_span(
    rings: &[Vec<PicturePoint>],
    (width, height): (usize, usize),
    mut each: impl FnMut(usize, Range<usize>),
) {
    let bounds = PictureBox::from_points(rings.iter().flatten());
    let clamp = |value: f64, most: usize| value.clamp(0.0, most as f64) as usize;
    for y in clamp(bounds.min.y.floor(), height)..clamp(bounds.max.y.ceil(), height) {
        let middle = y as f64 + 0.5;
        let crossing = |(from, to): (PicturePoint, PicturePoint)| {
            let crosses = (from.y <= middle) != (to.y <= middle);
            crosses.then(|| from.x + (middle - from.y) / (to.y - from.y) * (to.x - from.x))
        };
        let mut crossings: Vec<f64> =
            rings.iter().flat_map(|ring| sides(ring)).filter_map(crossing).collect();
        crossings.sort_unstable_by(f64::total_cmp);
        for pair in crossings.as_chunks::<2>().0 {
            let [from, to] = pair.map(|x| clamp((x - 0.5).ceil(), width));
            each(y, from..to);
        }
    }
}
