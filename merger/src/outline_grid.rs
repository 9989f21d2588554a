//! The grid of the outlines of the cells table: finer than any model draws. Its coordinates are short binary
//! fractions, which compress well.

use wsi_types::{Level0Box, Level0Point};

use crate::cell::Cell;
use crate::geometry::ring_area;

/// Side of the grid's steps, level-0 px. A power of two: coordinates are exact.
pub const OUTLINE_STEP_PX: f64 = 1.0 / 16.0;

/// Moves outlines to the grid, and extends boxes to hold them. Cells without an outline stay as they are, and
/// so do outlines that would have no area on the grid.
pub(crate) fn round_outlines(cells: &mut [Cell]) {
    for cell in cells {
        if let Some(ring) = cell.outline.as_deref().and_then(rounded) {
            cell.bbox = cell.bbox.union(&Level0Box::from_points(&ring));
            cell.outline = Some(ring);
        }
    }
}

/// The ring on the grid, without corners that fall on the one before; `None` when it then has no area.
fn rounded(ring: &[Level0Point]) -> Option<Box<[Level0Point]>> {
    let mut corners: Vec<Level0Point> = ring.iter().map(|&corner| nearest(corner)).collect();
    corners.dedup();
    if corners.len() > 1 && corners.first() == corners.last() {
        corners.pop();
    }
    (ring_area(&corners) != 0.0).then(|| corners.into())
}

fn nearest(point: Level0Point) -> Level0Point {
    (point / OUTLINE_STEP_PX).round() * OUTLINE_STEP_PX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cell, level0, ring};

    #[test]
    fn corners_move_by_half_a_step_at_most_and_do_not_repeat() {
        let drawn = ring(&[(0.03, 0.0), (8.04, 0.01), (8.05, 0.02), (8.0, 8.1), (0.04, 0.02)]);
        let moved = rounded(&drawn).unwrap();
        assert_eq!(moved.to_vec(), ring(&[(0.0, 0.0), (8.0625, 0.0), (8.0, 8.125), (0.0625, 0.0)]));
        assert!(
            moved.iter().all(|corner| (*corner / OUTLINE_STEP_PX) == (*corner / OUTLINE_STEP_PX).round())
        );
    }

    #[test]
    fn what_would_vanish_stays_as_it_is() {
        assert_eq!(rounded(&ring(&[(1.0, 1.0), (1.01, 1.0), (1.01, 1.01)])), None);
        assert_eq!(rounded(&ring(&[(1.0, 1.0), (5.0, 1.01), (9.0, 1.02)])), None);
        assert_eq!(rounded(&[]), None);
    }

    #[test]
    fn a_box_holds_what_moved_out_of_it() {
        let drawn = ring(&[(0.04, 0.04), (8.04, 0.04), (8.04, 8.04), (0.04, 8.04)]);
        let boxed = cell(level0(0.04, 0.04, 8.04, 8.04), 0, 0.5);
        let outlined = crate::Cell { outline: Some(drawn.into()), ..boxed.clone() };
        let mut cells = [outlined, boxed.clone()];
        round_outlines(&mut cells);
        assert_eq!(cells[0].bbox, level0(0.04, 0.04, 8.0625, 8.0625));
        assert_eq!(cells[1], boxed);
    }
}
