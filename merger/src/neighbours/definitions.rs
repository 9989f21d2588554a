//! Radii and numbers that the columns of neighbours are named after.

use wsi_types::{ClassId, Level0Point};

/// Radius in which neighbours are counted, µm.
pub const NEAR_UM: f64 = 50.0;
/// Radius in which density is measured, µm.
pub const DENSITY_UM: f64 = 100.0;
/// Longest side of the triangulation that joins two neighbours, µm.
pub const LONGEST_SIDE_UM: f64 = 50.0;
/// Number of nearest neighbours whose classes are compared.
pub const COMPARED: usize = 10;

/// A cell as its neighbours see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Its centroid, in level-0 px.
    pub centroid: Level0Point,
    /// Its class.
    pub class: ClassId,
}
