//! Rings as paths of SVG.

use std::fmt::Write as _;

use wsi_types::Level0Point;

/// Grid that the points of a path lie on: whole units from a corner.
#[derive(Debug, Clone, Copy)]
pub(super) struct PathGrid {
    pub(super) corner: Level0Point,
    /// Units per level-0 px.
    pub(super) per_px: f64,
}

impl PathGrid {
    /// Adds a closed ring to a path: a place, then steps from corner to corner. A ring without extent on the grid adds
    /// nothing.
    pub(super) fn add_ring(&self, path: &mut String, ring: &[Level0Point]) {
        let mut points: Vec<(i64, i64)> = ring.iter().map(|&point| self.place(point)).collect();
        points.dedup();
        if points.len() < 3 {
            return;
        }
        let (x, y) = points[0];
        // Writing to a text cannot fail.
        let _ = write!(path, "M{x} {y}l");
        for pair in points.windows(2) {
            let _ = write!(path, "{} {} ", pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
        }
        path.truncate(path.trim_end().len());
        path.push('z');
    }

    fn place(&self, point: Level0Point) -> (i64, i64) {
        let [x, y] = ((point - self.corner) * self.per_px).to_array().map(|at| at.round() as i64);
        (x, y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(points: &[(f64, f64)]) -> Vec<Level0Point> {
        points.iter().map(|&(x, y)| Level0Point::new(x, y)).collect()
    }

    #[test]
    fn a_ring_is_steps_from_its_first_corner() {
        let grid = PathGrid { corner: Level0Point::new(1.0, 0.0), per_px: 10.0 };
        let mut path = String::new();
        grid.add_ring(&mut path, &ring(&[(9.0, 98.5), (13.04, 98.5), (13.0, 102.5)]));
        assert_eq!(path, "M80 985l40 0 0 40z");
        grid.add_ring(&mut path, &ring(&[(1.0, 1.0), (1.01, 1.0), (1.0, 1.02)]));
        grid.add_ring(&mut path, &[]);
        assert_eq!(path, "M80 985l40 0 0 40z", "what has no extent is not drawn");
    }
}
