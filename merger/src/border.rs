//! Distances from a border: of regions that a person drew, or any other.

use rayon::prelude::*;
use rstar::{PointDistance as _, RTree, primitives::Line};
use wsi_types::{Level0Point, Mpp};

use crate::cell::Cell;
use crate::geometry::edges;
use crate::slabs::Slabs;

/// The border of an area: closed rings around its parts and around their holes, none of which cross.
pub struct Border {
    /// Its sides, by place.
    tree: RTree<Line<[f64; 2]>>,
    /// The same, to tell inside from outside.
    slabs: Slabs,
}

impl Border {
    /// The border that consists of `rings`, whose first points are not repeated, in any order and direction. `None`
    /// when there is none.
    #[must_use]
    pub fn new(rings: &[Vec<Level0Point>]) -> Option<Self> {
        let sides: Vec<_> = rings.iter().flat_map(|ring| edges(ring)).collect();
        let lines = sides.iter().map(|(from, to)| Line::new(from.to_array(), to.to_array()));
        let tree = RTree::bulk_load(lines.collect());
        (!sides.is_empty()).then(|| Self { tree, slabs: Slabs::new(&sides) })
    }

    /// Distance of a point from the nearest side, level-0 px; negative inside.
    #[must_use]
    pub fn signed_distance(&self, point: Level0Point) -> f64 {
        let nearest = self.tree.nearest_neighbor(point.to_array());
        // There is at least one side.
        let distance = nearest.map_or(f64::INFINITY, |side| side.distance_2(&point.to_array()).sqrt());
        if self.slabs.contains(point) { -distance } else { distance }
    }

    /// Notes in each cell how far its centroid lies from the border, µm.
    pub fn measure(&self, cells: &mut [Cell], mpp: Mpp) {
        cells.par_iter_mut().for_each(|cell| {
            cell.distance_um = Some(mpp.times(self.signed_distance(cell.centroid)) as f32);
        });
    }
}

#[cfg(test)]
mod tests {
    use wsi_types::{ClassId, Level0Box, Score};

    use super::*;
    use crate::testing::ring;

    /// A square of 100 px with a hole of 20 px in its middle, and a triangle beside it.
    fn border() -> Border {
        let square = ring(&[(0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0)]);
        let hole = ring(&[(40.0, 40.0), (60.0, 40.0), (60.0, 60.0), (40.0, 60.0)]);
        let triangle = ring(&[(200.0, 0.0), (300.0, 0.0), (200.0, 100.0)]);
        Border::new(&[square, hole, triangle]).unwrap()
    }

    fn at(x: f64, y: f64) -> f64 {
        border().signed_distance(Level0Point::new(x, y))
    }

    #[test]
    fn distances_are_those_of_geometry_and_negative_inside() {
        assert_eq!((at(10.0, 50.0), at(-10.0, 50.0)), (-10.0, 10.0));
        assert_eq!((at(50.0, 50.0), at(30.0, 50.0)), (10.0, -10.0), "a hole is outside");
        assert_eq!(at(-30.0, -40.0), 50.0, "a corner");
        assert_eq!((at(160.0, 50.0), at(130.0, 50.0)), (40.0, 30.0), "the nearest of both");
        let to_slope = (at(230.0, 40.0) + 15.0 * std::f64::consts::SQRT_2).abs();
        assert!(to_slope < 1e-12, "{to_slope}");
        assert_eq!(at(100.0, 70.0), 0.0);
        assert!(Border::new(&[]).is_none());
    }

    #[test]
    fn cells_note_micrometres() {
        let middle = Level0Point::new(10.0, 50.0);
        let score = Score::new(0.5).unwrap();
        let mut cells = vec![Cell::new(1, ClassId(0), score, Level0Box::new(middle, middle))];
        border().measure(&mut cells, Mpp::new(0.25).unwrap());
        assert_eq!(cells[0].distance_um, Some(-2.5));
    }
}
