//! Choice of measures: a file, or a scheme that ships with slidemill.

use std::{fs, io, path::Path};

use dataset::{CellRow, Dataset};
use measures::{
    Measures,
    index::{Over, Selection},
    schemes,
};

use crate::error::ReportError;

/// The measures of a dataset, as they were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    text: String,
    measures: Measures,
}

/// The value of a column of the cells table; `None` where a cell has none.
pub(super) type ColumnValue = fn(&CellRow) -> Option<f64>;

/// Columns that a definition can ask of.
const COLUMNS: [(&str, ColumnValue); 15] = [
    ("score", |cell| Some(cell.score.into())),
    ("area_um2", |cell| Some(cell.area_um2.into())),
    ("perimeter_um", |cell| cell.perimeter_um.map(f64::from)),
    ("circularity", |cell| cell.circularity.map(f64::from)),
    ("solidity", |cell| cell.solidity.map(f64::from)),
    ("eccentricity", |cell| cell.eccentricity.map(f64::from)),
    ("max_diam_um", |cell| cell.max_diam_um.map(f64::from)),
    ("min_diam_um", |cell| cell.min_diam_um.map(f64::from)),
    ("hematoxylin_od", |cell| cell.hematoxylin_od.map(f64::from)),
    ("eosin_od", |cell| cell.eosin_od.map(f64::from)),
    ("dab_od", |cell| cell.dab_od.map(f64::from)),
    ("dab_ring_od", |cell| cell.dab_ring_od.map(f64::from)),
    ("width_um", |cell| Some(cell.width_um.into())),
    ("height_um", |cell| Some(cell.height_um.into())),
    ("distance_um", |cell| cell.distance_um.map(f64::from)),
];

/// The column of that name.
pub(super) fn column(name: &str) -> Option<ColumnValue> {
    COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

impl Definition {
    /// A file, or the name of a scheme that ships with slidemill.
    ///
    /// # Errors
    ///
    /// [`ReportError::Measures`] when it is neither, or with its line when it cannot be used.
    pub fn open(what: &Path) -> Result<Self, ReportError> {
        match what.to_str().and_then(schemes::named) {
            Some(text) => Self::new(text.to_owned(), what),
            None => match fs::read_to_string(what) {
                Ok(text) => Self::new(text, what),
                Err(error) => {
                    let known = schemes::NAMES.join(", ");
                    let problem =
                        format!("cannot read it: {error}; expected a file, or one of the schemes {known}");
                    Err(ReportError::measures(problem, what))
                }
            },
        }
    }

    /// That of a dataset, if it has one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn read(dataset: &Dataset) -> Result<Option<Self>, ReportError> {
        let path = dataset.measures();
        match fs::read_to_string(&path) {
            Ok(text) => Self::new(text, &path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReportError::measures(format!("cannot read it: {error}"), &path)),
        }
    }

    /// Makes it that of a dataset: from then on its measures are made whenever its report is.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, dataset: &Dataset) -> Result<(), ReportError> {
        let path = dataset.measures();
        let written = dataset.write(&path, self.text.as_bytes());
        written.map_err(|reason| ReportError::write("the definition of the measures", reason, path))
    }

    fn new(text: String, path: &Path) -> Result<Self, ReportError> {
        let measures = Measures::from_toml(&text).map_err(|error| ReportError::measures(error, path))?;
        if measures.hot_spots.is_empty() && measures.indices.is_empty() {
            return Err(ReportError::measures("it has no [[hot-spot]] and no [[index]]", path));
        }
        if let Some(name) = unknown_column(&measures) {
            let known: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
            let problem = format!("where asks of {name:?}, expected one of {}", known.join(", "));
            return Err(ReportError::measures(problem, path));
        }
        Ok(Self { text, measures })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn measures(&self) -> &Measures {
        &self.measures
    }
}

/// The first column that is asked of and not known.
fn unknown_column(measures: &Measures) -> Option<&str> {
    let asked = selections(measures).flat_map(|selection| selection.ranges.keys());
    asked.map(String::as_str).find(|name| column(name).is_none())
}

/// All selections of cells.
pub(super) fn selections(measures: &Measures) -> impl Iterator<Item = &Selection> {
    let others = measures.indices.iter().flat_map(|index| match &index.over {
        Over::Share(others) | Over::Ratio(others) => vec![others],
        Over::Area { .. } => Vec::new(),
        Over::HScore { all, stronger: [moderate, strong] } => vec![all, moderate, strong],
    });
    let of_spots = measures.hot_spots.iter().map(|spot| &spot.cells);
    of_spots.chain(measures.indices.iter().map(|index| &index.of)).chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Definition::new(text.to_owned(), Path::new("m.toml")).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_place() {
        assert_eq!(refusal(""), "measures: it has no [[hot-spot]] and no [[index]]: m.toml");
        let index = "[[index]]\nname = \"n\"\nof = { class = [\"a\"] }\nper-mm3 = 2\n";
        assert!(
            refusal(index).starts_with("measures: line 4: unknown field `per-mm3`"),
            "{}",
            refusal(index)
        );
        let column = "[[index]]\nname = \"n\"\nof = { where = { size = { min = 3 } } }\nper-mm2 = 2\n";
        assert!(refusal(column).contains("where asks of \"size\", expected one of score, area_um2"));
        let missing = Definition::open(Path::new("none.toml")).unwrap_err().to_string();
        assert!(missing.contains("neuroendocrine-who-2019") && missing.ends_with(": none.toml"), "{missing}");
    }

    #[test]
    fn the_example_of_the_manual_can_be_used() {
        let manual = include_str!("../../../docs/measures.md");
        let example = manual.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let measures = Definition::new(example.to_owned(), Path::new("docs/measures.md")).unwrap().measures;
        let area_mm2 = measures.hot_spots[1].field.area_mm2();
        assert!((area_mm2 - 2.38).abs() < 0.005, "{area_mm2}");
        assert_eq!((measures.indices.len(), measures.schemes.len()), (3, 1));
        let columns = COLUMNS.map(|(name, _)| format!("`{name}`")).join(", ");
        assert!(manual.replace('\n', " ").contains(&columns), "the manual lists all columns: {columns}");
    }

    #[test]
    fn the_example_for_immunohistochemistry_can_be_used() {
        let manual = include_str!("../../../docs/measures.md");
        let example = manual.split("```toml\n").nth(2).and_then(|rest| rest.split("```").next()).unwrap();
        let measures = Definition::new(example.to_owned(), Path::new("docs/measures.md")).unwrap().measures;
        let names: Vec<_> = measures.indices.iter().map(|index| index.name.as_str()).collect();
        assert_eq!(names, ["Ki-67", "ER 0", "ER 1+", "ER 2+", "ER 3+", "ER"]);
    }

    #[test]
    fn schemes_that_ship_are_known_by_name() {
        for name in schemes::NAMES {
            assert!(!Definition::open(Path::new(name)).unwrap().measures.indices.is_empty(), "{name}");
        }
    }
}
