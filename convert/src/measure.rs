//! Measures of cells that are handed on beside their class and place: one list for all formats.

use merger::{CellRow, TableHeader};

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
    Column(fn(&CellRow) -> Option<f32>),
    /// Other cells nearby, of the class of that place.
    NearOfClass(usize),
}

impl Measure {
    /// The value of a cell, where it was measured.
    pub(crate) fn of(&self, cell: &CellRow) -> Option<f32> {
        let value = match self.value {
            Value::Column(value) => value(cell),
            Value::NearOfClass(class) => cell.n_by_class_50um.get(class).map(|&count| count as f32),
        };
        value.filter(|value| value.is_finite())
    }
}

/// A column of the cells table that is a measure: its name, what QuPath calls it, its unit, its value.
type MeasureColumn = (&'static str, &'static str, Unit, fn(&CellRow) -> Option<f32>);

/// All columns that are measures, in the order they are handed on. Counts are below 2^24 and stay exact.
const COLUMNS: [MeasureColumn; 32] = [
    (SCORE, "Detection probability", Unit::None, |cell| Some(cell.score)),
    (AREA, "Area µm^2", Unit::Um2, |cell| Some(cell.area_um2)),
    ("perimeter_um", "Length µm", Unit::Um, |cell| cell.perimeter_um),
    ("circularity", "Circularity", Unit::None, |cell| cell.circularity),
    ("solidity", "Solidity", Unit::None, |cell| cell.solidity),
    ("eccentricity", "Eccentricity", Unit::None, |cell| cell.eccentricity),
    ("max_diam_um", "Max diameter µm", Unit::Um, |cell| cell.max_diam_um),
    ("min_diam_um", "Min diameter µm", Unit::Um, |cell| cell.min_diam_um),
    ("nucleus_orientation_deg", "Orientation °", Unit::Degrees, |cell| cell.nucleus_orientation_deg),
    ("elongation", "Elongation", Unit::None, |cell| cell.elongation),
    ("hematoxylin_od", "Hematoxylin OD mean", Unit::None, |cell| cell.hematoxylin_od),
    ("eosin_od", "Eosin OD mean", Unit::None, |cell| cell.eosin_od),
    ("dab_od", "DAB OD mean", Unit::None, |cell| cell.dab_od),
    ("dab_ring_od", "DAB ring OD mean", Unit::None, |cell| cell.dab_ring_od),
    ("hematoxylin_od_sd", "Hematoxylin OD std dev", Unit::None, |cell| cell.hematoxylin_od_sd),
    ("hematoxylin_od_p10", "Hematoxylin OD 10th percentile", Unit::None, |cell| cell.hematoxylin_od_p10),
    ("hematoxylin_od_p90", "Hematoxylin OD 90th percentile", Unit::None, |cell| cell.hematoxylin_od_p90),
    ("eosin_od_sd", "Eosin OD std dev", Unit::None, |cell| cell.eosin_od_sd),
    ("eosin_od_p10", "Eosin OD 10th percentile", Unit::None, |cell| cell.eosin_od_p10),
    ("eosin_od_p90", "Eosin OD 90th percentile", Unit::None, |cell| cell.eosin_od_p90),
    ("glcm_contrast", "Hematoxylin: GLCM contrast", Unit::None, |cell| cell.glcm_contrast),
    ("glcm_homogeneity", "Hematoxylin: GLCM homogeneity", Unit::None, |cell| cell.glcm_homogeneity),
    ("glcm_entropy", "Hematoxylin: GLCM entropy", Unit::None, |cell| cell.glcm_entropy),
    ("glcm_correlation", "Hematoxylin: GLCM correlation", Unit::None, |cell| cell.glcm_correlation),
    ("distance_um", "Signed distance to region of interest µm", Unit::Um, |cell| cell.distance_um),
    ("nn1_um", "Distance to nearest cell µm", Unit::Um, |cell| cell.nn1_um),
    ("nn5_um", "Distance to 5th nearest cell µm", Unit::Um, |cell| cell.nn5_um),
    ("local_density_mm2", "Cells per mm^2 within 100 µm", Unit::PerMm2, |cell| cell.local_density_mm2),
    ("delaunay_degree", "Delaunay: Num neighbors", Unit::None, |cell| cell.delaunay_degree.map(count)),
    ("delaunay_mean_um", "Delaunay: Mean distance µm", Unit::Um, |cell| cell.delaunay_mean_um),
    ("clustering_entropy", "Class entropy of 10 nearest cells", Unit::None, |cell| cell.clustering_entropy),
    ("n_50um", "Num cells within 50 µm", Unit::None, |cell| cell.n_50um.map(count)),
];

/// The column with the score.
pub(crate) const SCORE: &str = "score";
/// The column with the area.
pub(crate) const AREA: &str = "area_um2";
/// The column of a list by class, each item of which is a measure.
const NEAR_BY_CLASS: &str = "n_by_class_50um";

fn count(cells: u32) -> f32 {
    cells as f32
}

/// Columns of the cells table that measures are made of; a table may lack some.
pub(crate) fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.into_iter().map(|(name, ..)| name).chain([NEAR_BY_CLASS])
}

/// The measures that a table has.
pub(crate) fn measures_of(header: &TableHeader) -> Vec<Measure> {
    let there = COLUMNS.into_iter().filter(|(name, ..)| header.has_column(name));
    let columns = there.map(|(name, qupath, unit, value)| Measure {
        name: name.to_owned(),
        qupath: qupath.to_owned(),
        unit,
        value: Value::Column(value),
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
