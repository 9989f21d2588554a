//! The Delaunay triangulation of the cells of a slide.
//!
//! By `spade`, whose tests of where a point lies are exact: cells on a lattice, on a line or on a circle neither stop it
//! nor make it wrong.

use spade::{DelaunayTriangulation, HasPosition, Point2, Triangulation};

use super::{
    definitions::LONGEST_SIDE_UM,
    grid::{Entry, Grid},
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
    let cells = grid.entries();
    let mut sides = vec![Sides::default(); cells.len()];
    let mesh = DelaunayTriangulation::<Corner>::bulk_load(corners(cells))
        .map_err(|_| MergeError::Centroid(cells.first().map_or([0.0; 2], |cell| cell.at)))?;
    for side in mesh.undirected_edges() {
        let ends = side.vertices().map(|end| end.data().first as usize);
        let length_um = cells[ends[0]].square_to(&cells[ends[1]]).sqrt();
        if length_um <= LONGEST_SIDE_UM {
            for end in ends {
                sides[end].count += 1;
                sides[end].sum_um += length_um;
            }
        }
    }
    for at in 1..cells.len() {
        if cells[at].at == cells[at - 1].at {
            sides[at] = sides[at - 1];
        }
    }
    Ok(sides)
}

/// The places of cells, each once; those of cells at one place lie together.
fn corners(cells: &[Entry]) -> Vec<Corner> {
    let firsts = (0..cells.len()).filter(|&at| at == 0 || cells[at].at != cells[at - 1].at);
    firsts.map(|at| Corner { at: cells[at].at, first: at as u32 }).collect()
}
