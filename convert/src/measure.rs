//! Measures of cells that are handed on beside their class and place: one list for all formats.

use merger::{CellMeasure, CellRow, TableHeader};

/// The unit of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Shares, scores, optical densities, counts and entropies.
    None,
    /// Micrometres.
    Um,
    /// Square micrometres.
    Um2,
    /// A number per square millimetre.
    PerMm2,
    /// Degrees.
    Degrees,
}

/// A measure of the cells of a table.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Its name in tables and stores: that of our column, of a list by class with the name of the class.
    pub name: String,
    /// What QuPath calls it; in QuPath's manner, where it does not know it.
    pub qupath: String,
    /// Its unit.
    pub unit: Unit,
    value: Value,
}

/// Source of a value in a row of the cells table.
#[derive(Debug, Clone, Copy)]
enum Value {
    Column(CellMeasure),
    /// Other cells nearby, of the class of that place.
    NearOfClass(usize),
}

impl Measure {
    /// The value of a cell, where it was measured.
    pub(crate) fn of(&self, cell: &CellRow) -> Option<f32> {
        let value = match self.value {
            Value::Column(measure) => measure.of(cell).map(|value| value as f32),
            Value::NearOfClass(class) => cell.n_by_class_50um.get(class).map(|&count| count as f32),
        };
        value.filter(|value| value.is_finite())
    }
}

/// A column of the cells table that is a measure: its name, what QuPath calls it, its unit.
type MeasureColumn = (&'static str, &'static str, Unit);

/// All columns that are measures, in the order they are handed on. Counts are below 2^24 and stay exact.
const COLUMNS: [MeasureColumn; 32] = [
    (SCORE, "Detection probability", Unit::None),
    (AREA, "Area µm^2", Unit::Um2),
    ("perimeter_um", "Length µm", Unit::Um),
    ("circularity", "Circularity", Unit::None),
    ("solidity", "Solidity", Unit::None),
    ("eccentricity", "Eccentricity", Unit::None),
    ("max_diam_um", "Max diameter µm", Unit::Um),
    ("min_diam_um", "Min diameter µm", Unit::Um),
    ("nucleus_orientation_deg", "Orientation °", Unit::Degrees),
    ("elongation", "Elongation", Unit::None),
    ("hematoxylin_od", "Hematoxylin OD mean", Unit::None),
    ("eosin_od", "Eosin OD mean", Unit::None),
    ("dab_od", "DAB OD mean", Unit::None),
    ("dab_ring_od", "DAB ring OD mean", Unit::None),
    ("hematoxylin_od_sd", "Hematoxylin OD std dev", Unit::None),
    ("hematoxylin_od_p10", "Hematoxylin OD 10th percentile", Unit::None),
    ("hematoxylin_od_p90", "Hematoxylin OD 90th percentile", Unit::None),
    ("eosin_od_sd", "Eosin OD std dev", Unit::None),
    ("eosin_od_p10", "Eosin OD 10th percentile", Unit::None),
    ("eosin_od_p90", "Eosin OD 90th percentile", Unit::None),
    ("glcm_contrast", "Hematoxylin: GLCM contrast", Unit::None),
    ("glcm_homogeneity", "Hematoxylin: GLCM homogeneity", Unit::None),
    ("glcm_entropy", "Hematoxylin: GLCM entropy", Unit::None),
    ("glcm_correlation", "Hematoxylin: GLCM correlation", Unit::None),
    ("distance_um", "Signed distance to region of interest µm", Unit::Um),
    ("nn1_um", "Distance to nearest cell µm", Unit::Um),
    ("nn5_um", "Distance to 5th nearest cell µm", Unit::Um),
    ("local_density_mm2", "Cells per mm^2 within 100 µm", Unit::PerMm2),
    ("delaunay_degree", "Delaunay: Num neighbors", Unit::None),
    ("delaunay_mean_um", "Delaunay: Mean distance µm", Unit::Um),
    ("clustering_entropy", "Class entropy of 10 nearest cells", Unit::None),
    ("n_50um", "Num cells within 50 µm", Unit::None),
];

/// The column with the score.
pub(crate) const SCORE: &str = "score";
/// The column with the area.
pub(crate) const AREA: &str = "area_um2";
/// The column of a list by class, each item of which is a measure.
const NEAR_BY_CLASS: &str = "n_by_class_50um";

/// Columns of the cells table that measures are made of; a table may lack some.
pub(crate) fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.into_iter().map(|(name, ..)| name).chain([NEAR_BY_CLASS])
}

/// The measures that a table has.
pub(crate) fn measures_of(header: &TableHeader) -> Vec<Measure> {
    let there = COLUMNS.into_iter().filter(|(name, ..)| header.has_column(name));
    let columns = there.filter_map(|(name, qupath, unit)| {
        let value = Value::Column(CellMeasure::named(name)?);
        Some(Measure { name: name.to_owned(), qupath: qupath.to_owned(), unit, value })
    });
    let classes = header.class_names.as_slice().iter().enumerate();
    let by_class = classes.filter(|_| header.has_column(NEAR_BY_CLASS)).map(|(place, class)| Measure {
        name: format!("n_50um_{class}"),
        qupath: format!("Num {class} within 50 µm"),
        unit: Unit::None,
        value: Value::NearOfClass(place),
    });
    columns.chain(by_class).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Sides of the box are in the outline, and are handed on by none.
    #[test]
    fn every_measure_of_the_cells_table_is_handed_on() {
        let ours: BTreeSet<&str> = COLUMNS.into_iter().map(|(name, ..)| name).collect();
        let all: BTreeSet<&str> = CellMeasure::all().iter().map(CellMeasure::name).collect();
        assert!(ours.is_subset(&all), "{ours:?}");
        assert_eq!(all.difference(&ours).copied().collect::<Vec<_>>(), ["height_um", "width_um"]);
    }
}
