//! The Delaunay triangulation of the cells of a slide.
//!
//! By `spade`, whose tests of where a point lies are exact: cells on a lattice, on a line or on a circle neither stop it
//! nor make it wrong.

use spade::{DelaunayTriangulation, HasPosition, Point2, Triangulation};

use super::{
    definitions::LONGEST_SIDE_UM,
    grid::{Grid, square_between},
};
use crate::MergeError;

/// The sides that end at one corner and are not too long.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sides {
    pub(super) count: u32,
    sum_um: f64,
}

impl Sides {
    /// Mean length, µm.
    pub(super) fn mean_um(&self) -> Option<f32> {
        (self.count > 0).then(|| (self.sum_um / f64::from(self.count)) as f32)
    }
}

/// A corner: the place of one or more cells.
struct Corner {
    at: [f64; 2],
    /// The first of these in the grid.
    first: u32,
}

impl HasPosition for Corner {
    type Scalar = f64;

    fn position(&self) -> Point2<f64> {
        let [x, y] = self.at;
        Point2::new(x, y)
    }
}

/// Sides at each cell, in the order of the grid.
///
/// # Errors
///
/// [`MergeError::Centroid`] when a coordinate is out of all bounds.
pub(super) fn sides(grid: &Grid) -> Result<Vec<Sides>, MergeError> {
    let mut sides = vec![Sides::default(); grid.len()];
    let mesh = DelaunayTriangulation::<Corner>::bulk_load(corners(grid))
        .map_err(|_| MergeError::Centroid(if grid.len() > 0 { grid.at(0) } else { [0.0; 2] }))?;
    for side in mesh.undirected_edges() {
        let ends = side.vertices();
        let [one, other] = ends.map(|end| end.data().at);
        let length_um = square_between(one, other).sqrt();
        if length_um <= LONGEST_SIDE_UM {
            for end in ends {
                let sides = &mut sides[end.data().first as usize];
                sides.count += 1;
                sides.sum_um += length_um;
            }
        }
    }
    for place in (1..grid.len()).filter(|&place| grid.at(place) == grid.at(place - 1)) {
        sides[place] = sides[place - 1];
    }
    Ok(sides)
}

/// The places of cells, each once; those of cells at one place lie together.
fn corners(grid: &Grid) -> Vec<Corner> {
    let firsts = (0..grid.len()).filter(|&place| place == 0 || grid.at(place) != grid.at(place - 1));
    firsts.map(|place| Corner { at: grid.at(place), first: place as u32 }).collect()
}
