//! Choice of measures: a file, or a scheme that ships with slidemill.

use std::{fs, io, path::Path};

use dataset::{CellMeasure, Dataset};
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

    /// That of a text, which was read from `path`.
    pub(super) fn new(text: String, path: &Path) -> Result<Self, ReportError> {
        let measures = Measures::from_toml(&text).map_err(|error| ReportError::measures(error, path))?;
        if measures.hot_spots.is_empty() && measures.indices.is_empty() {
            return Err(ReportError::measures("it has no [[hot-spot]] and no [[index]]", path));
        }
        if let Some(name) = unknown_column(&measures) {
            let known: Vec<_> = CellMeasure::all().iter().map(CellMeasure::name).collect();
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

    pub(super) fn into_measures(self) -> Measures {
        self.measures
    }
}

/// The first column that is asked of and not known.
fn unknown_column(measures: &Measures) -> Option<&str> {
    let asked = selections(measures).flat_map(|selection| selection.ranges.keys());
    asked.map(String::as_str).find(|name| CellMeasure::named(name).is_none())
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

    const MANUAL: &str = include_str!("../../../docs/measures.md");

    #[test]
    fn the_manual_names_every_column() {
        let (_, list) = MANUAL.split_once("Columns for `where`").unwrap();
        let (list, _) = list.split_once("\n## ").unwrap();
        for measure in CellMeasure::all() {
            assert!(list.contains(&format!("`{}`", measure.name())), "{}", measure.name());
        }
    }

    #[test]
    fn the_examples_of_the_manual_can_be_used() {
        let examples = MANUAL.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let read = examples.map(|example| Definition::new(example.to_owned(), Path::new("docs/measures.md")));
        let measures: Vec<Measures> = read.map(|definition| definition.unwrap().measures).collect();
        let [counts, columns, stains] = measures.as_slice() else { panic!("{measures:?}") };
        let area_mm2 = counts.hot_spots[1].field.area_mm2();
        assert!((area_mm2 - 2.38).abs() < 0.005, "{area_mm2}");
        assert_eq!((counts.indices.len(), counts.schemes.len(), columns.indices.len()), (3, 1, 1));
        let names: Vec<_> = stains.indices.iter().map(|index| index.name.as_str()).collect();
        assert_eq!(names, ["Ki-67", "ER 0", "ER 1+", "ER 2+", "ER 3+", "ER"]);
    }

    #[test]
    fn schemes_that_ship_are_known_by_name() {
        for name in schemes::NAMES {
            assert!(!Definition::open(Path::new(name)).unwrap().measures.indices.is_empty(), "{name}");
        }
    }
}
