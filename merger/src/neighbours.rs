//! Neighbours of each cell of a slide: distances, counts, density, and the sides of the triangulation between the cells.
//!
//! All cells of a slide are measured together, each from an index in the order of place. Memory beside the cells: 105 bytes per
//! cell with five classes, most of it for the triangulation while that is made.

mod definitions;
mod grid;
mod ground;
mod lanes;
mod mesh;
mod nearest;
mod reach;
mod surroundings;

use wsi_types::Mpp;

pub use self::{
    definitions::{COMPARED, DENSITY_UM, LONGEST_SIDE_UM, NEAR_UM, Place},
    ground::Ground,
};
use self::{
    grid::{Entry, Grid},
    mesh::sides,
    nearest::Nearest,
    surroundings::Surroundings,
};
use crate::MergeError;

/// Measures of the cells around one, which is never its own neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Neighbourhood {
    /// Distance to the nearest neighbour, µm; `None` for a single cell.
    pub nearest_um: Option<f32>,
    /// Distance to the fifth nearest, µm; `None` where there are fewer.
    pub fifth_um: Option<f32>,
    /// Number of neighbours at most [`NEAR_UM`] away.
    pub near: u32,
    /// Cells at most [`DENSITY_UM`] away, this one included, per mm² of the [`Ground`] there.
    pub per_mm2: f32,
    /// Sides of the Delaunay triangulation that end here and are at most [`LONGEST_SIDE_UM`] long. Cells at one place
    /// are one corner.
    pub sides: u32,
    /// Mean length of those sides, µm; `None` without any.
    pub mean_side_um: Option<f32>,
    /// Entropy of the classes of the [`COMPARED`] nearest neighbours, in nats: 0 where all are of one class. `None`
    /// where there are fewer neighbours.
    pub class_entropy: Option<f32>,
}

/// Neighbours of all cells of a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    each: Vec<Neighbourhood>,
    classes: usize,
    /// Neighbours at most [`NEAR_UM`] away, by class, cell after cell.
    near_by_class: Vec<u32>,
}

impl Neighbours {
    /// Measures each of `places`, whose classes are below `classes`. Of two neighbours at the same distance the one that
    /// comes first counts as nearer, and so does the side between corners that lie on one circle depend on nothing but
    /// the list.
    ///
    /// # Errors
    ///
    /// [`MergeError::Centroid`] when a centroid is not finite.
    pub fn new(places: &[Place], mpp: Mpp, classes: usize, ground: &Ground) -> Result<Self, MergeError> {
        let entries = places.iter().zip(0..).map(|(place, rank)| Entry::new(place, mpp, rank));
        let grid = Grid::new(entries.collect())?;
        let sides = sides(&grid)?;
        let mut measured = Self {
            each: vec![Neighbourhood::default(); places.len()],
            classes,
            near_by_class: vec![0; places.len() * classes],
        };
        let mut nearest = Nearest::new(classes);
        let mut around = Surroundings::new(&grid, classes);
        let mut by_class = vec![0; classes];
        let mut seen_mm2 = Vec::new();
        for bin in grid.bins() {
            let cells = grid.places_in(bin);
            if cells.is_empty() {
                continue;
            }
            around.go_to(bin);
            // Together: the cells of a bin lie far apart in the list, and their places would be waited for one by one.
            seen_mm2.clear();
            let labels = grid.labels(cells.clone()).iter();
            seen_mm2.extend(labels.map(|label| ground.seen_mm2(places[label.rank()].centroid)));
            for (place, seen_mm2) in cells.zip(&seen_mm2) {
                let entry = grid.entry(place);
                let rank = entry.label.rank();
                around.look_from(entry.at);
                by_class.fill(0);
                around.count_classes(&mut by_class);
                by_class[entry.label.class()] -= 1;
                measured.near_by_class[rank * classes..][..classes].copy_from_slice(&by_class);
                let near = by_class.iter().sum();
                nearest.find(&entry, &grid, &around, near);
                let sides = &sides[place];
                measured.each[rank] = Neighbourhood {
                    nearest_um: nearest.distance_um(1),
                    fifth_um: nearest.distance_um(5),
                    near,
                    per_mm2: (f64::from(around.in_density_disc(entry.at)) / seen_mm2) as f32,
                    sides: sides.count,
                    mean_side_um: sides.mean_um(),
                    class_entropy: nearest.class_entropy(),
                };
            }
        }
        Ok(measured)
    }

    /// Neighbours of the cell at a place of the list; `None` past its end.
    #[must_use]
    pub fn around(&self, place: usize) -> Option<Around<'_>> {
        let measures = self.each.get(place)?;
        Some(Around { measures, near_by_class: &self.near_by_class[place * self.classes..][..self.classes] })
    }
}

/// Neighbours of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around<'a> {
    /// Their measures.
    pub measures: &'a Neighbourhood,
    /// Number of those at most [`NEAR_UM`] away, by class.
    pub near_by_class: &'a [u32],
}
