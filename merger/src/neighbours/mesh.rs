//! The Delaunay triangulation of the cells of a slide.
//!
//! By `spade`, whose tests of where a point lies are exact: cells on a lattice, on a line or on a circle neither stop it
//! nor make it wrong.

use std::ops::Range;

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
    let mesh = triangulation(grid).map_err(MergeError::Centroid)?;
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

/// The triangulation of the places of cells, or the place that is out of all bounds.
///
/// Each corner is put in beside the one before, along a curve that fills the area: the search for its triangle is short, and
/// what it touches was touched just before. (`bulk_load` of the same corners takes a third longer.)
fn triangulation(grid: &Grid) -> Result<DelaunayTriangulation<Corner>, [f64; 2]> {
    let corners = grid.len();
    let mut mesh = DelaunayTriangulation::<Corner>::with_capacity(corners, 3 * corners, 2 * corners);
    let mut last = None;
    for bin in grid.bins_along_curve() {
        for corner in corners_in(grid, grid.places_in(bin)) {
            let at = corner.at;
            let put_in = match last {
                None => mesh.insert(corner),
                Some(last) => mesh.insert_with_hint(corner, last),
            };
            last = Some(put_in.map_err(|_| at)?);
        }
    }
    Ok(mesh)
}

/// The places of cells of a bin, each once; cells at one place lie in one bin, together.
fn corners_in(grid: &Grid, places: Range<usize>) -> impl Iterator<Item = Corner> {
    let first = places.start;
    places
        .filter(move |&place| place == first || grid.at(place) != grid.at(place - 1))
        .map(|place| Corner { at: grid.at(place), first: place as u32 })
}
