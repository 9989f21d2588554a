//! A table with more columns: what a clinic knows of slides or of patients.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use dataset::wording::counted;
use eval::truth::{read_text, sheet::Sheet};

use super::findings::CohortSlide;
use crate::error::ReportError;

/// A table as spreadsheets write it: a line for each slide, patient or other thing that slides belong to.
#[derive(Debug)]
pub struct Clinical {
    sheet: Sheet,
    path: PathBuf,
}

/// Names of the column that names slides by id.
const SLIDE: [&str; 2] = ["slide_id", "id"];

impl Clinical {
    /// Reads a table.
    ///
    /// # Errors
    ///
    /// [`ReportError::Columns`] when it cannot be read or is no table.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let sheet = read_text(path).and_then(|(text, _)| Sheet::new(&text, path));
        // Its message ends with the path.
        let sheet = sheet.map_err(|error| ReportError::Columns(format!("--join: {error}")))?;
        Ok(Self { sheet, path: path.to_owned() })
    }

    /// Gives each slide the columns of its line, by the id of the slide or by the first column that slides have too.
    /// Returns remarks on lines and slides that are alone.
    ///
    /// # Errors
    ///
    /// [`ReportError::Columns`] when no column says which slides a line is about, two lines say it of the same, or a column
    /// has other values than slides have.
    pub(super) fn join(&self, slides: &mut [CohortSlide]) -> Result<Vec<String>, ReportError> {
        let names: Vec<String> = self.sheet.header.iter().map(|name| name.trim().to_owned()).collect();
        let key = self.key(&names, slides)?;
        let mut lines = self.lines(key, &names[key])?;
        let mut without = 0;
        let mut used = BTreeSet::new();
        for slide in slides {
            let own = if is_slide(&names[key]) {
                Some(slide.id.to_string())
            } else {
                slide.columns.get(&names[key]).cloned()
            };
            let Some((own, line)) =
                own.and_then(|own| lines.get(&own).map(|&line| (own, &self.sheet.rows[line])))
            else {
                without += 1;
                continue;
            };
            used.insert(own);
            for (place, name) in
                names.iter().enumerate().filter(|(place, name)| *place != key && !name.is_empty())
            {
                let value = line.get(place).unwrap_or_default().trim();
                if value.is_empty() {
                    continue;
                }
                let before = slide.columns.insert(name.clone(), value.to_owned());
                // An empty field says nothing.
                if before.is_some_and(|before| !before.is_empty() && before != value) {
                    return Err(self.wrong(format!(
                        "its column {name:?} says something else of a slide than is known of it"
                    )));
                }
            }
        }
        lines.retain(|name, _| !used.contains(name));
        let remarks = [
            (without, format!("{} without a line in it", counted(without, "slide"))),
            (lines.len(), format!("{} of it about no slide", counted(lines.len(), "line"))),
        ];
        let remarks = remarks.into_iter().filter(|(count, _)| *count > 0);
        Ok(remarks.map(|(_, text)| format!("--join: {text}")).collect())
    }

    /// The column that says which slides a line is about.
    fn key(&self, names: &[String], slides: &[CohortSlide]) -> Result<usize, ReportError> {
        let known: BTreeSet<&str> =
            slides.iter().flat_map(|slide| slide.columns.keys().map(String::as_str)).collect();
        let of_slide = names.iter().position(|name| is_slide(name));
        // Every slide has a scale: a table of scales says nothing of slides.
        let shared = names.iter().position(|name| name != "mpp" && known.contains(name.as_str()));
        of_slide.or(shared).ok_or_else(|| {
            let known: Vec<&str> = known.iter().copied().filter(|name| *name != "mpp").collect();
            let expected = if known.is_empty() { String::new() } else { format!(" or {}", known.join(", ")) };
            self.wrong(format!(
                "its columns are {}, expected one of slides: slide_id{expected}",
                names.join(", ")
            ))
        })
    }

    /// Places of the lines by what they are about.
    fn lines(&self, key: usize, name: &str) -> Result<BTreeMap<String, usize>, ReportError> {
        let mut lines = BTreeMap::new();
        for (place, row) in self.sheet.rows.iter().enumerate() {
            let about = row.get(key).unwrap_or_default().trim();
            if about.is_empty() {
                continue;
            }
            if lines.insert(about.to_owned(), place).is_some() {
                let line = self.sheet.line(row);
                return Err(self.wrong(format!("line {line}: an earlier line has the same {name}")));
            }
        }
        Ok(lines)
    }

    fn wrong(&self, problem: String) -> ReportError {
        ReportError::Columns(format!("--join: {problem}: {}", self.path.display()))
    }
}

fn is_slide(name: &str) -> bool {
    SLIDE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::{super::example::slide, *};

    fn joined(text: &str, slides: &mut [CohortSlide]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clinical.csv");
        std::fs::write(&path, text).unwrap();
        Clinical::open(&path).and_then(|clinical| clinical.join(slides)).map_err(|error| error.to_string())
    }

    fn slides() -> Vec<CohortSlide> {
        vec![
            slide("a", &[("patient", "P1")], 1.0),
            slide("b", &[("patient", "P1")], 1.0),
            slide("c", &[], 1.0),
        ]
    }

    #[test]
    fn lines_reach_the_slides_they_are_about() {
        let mut of_patients = slides();
        let told = joined("age;patient;arm\n64; P1 ;x\n70;P9;y\n", &mut of_patients).unwrap();
        assert_eq!(told, ["--join: 1 slide without a line in it", "--join: 1 line of it about no slide"]);
        let ages: Vec<_> =
            of_patients.iter().map(|slide| slide.columns.get("age").map(String::as_str)).collect();
        assert_eq!(ages, [Some("64"), Some("64"), None]);
        let mut of_slides = slides();
        assert_eq!(
            joined("patient,slide_id\nP1,a\nP1,b\nP2,c\n", &mut of_slides).unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(of_slides[2].columns["patient"], "P2");
    }

    #[test]
    fn an_empty_value_is_filled_from_either_side() {
        let mut slides = [slide("a", &[("patient", "P1"), ("stain", "")], 1.0)];
        joined("patient,stain\nP1,H-DAB\n", &mut slides).unwrap();
        assert_eq!(slides[0].columns["stain"], "H-DAB");
        joined("patient,stain\nP1,\n", &mut slides).unwrap();
        assert_eq!(slides[0].columns["stain"], "H-DAB");
    }

    #[test]
    fn what_could_mean_two_things_is_refused_without_its_values() {
        for (text, expected) in [
            ("name,age\nP1,3\n", "its columns are name, age, expected one of slides: slide_id or patient"),
            ("patient,age\nP1,3\nP1,4\n", "line 3: an earlier line has the same patient"),
            ("slide_id,patient\na,P7\n", "its column \"patient\" says something else of a slide"),
            ("patient,age\nP1\n", "line 2"),
        ] {
            let error = joined(text, &mut slides()).unwrap_err();
            assert!(error.starts_with("--join: ") && error.contains(expected), "{error}");
            // The folder has a random name.
            let (said, path) = error.rsplit_once(": ").unwrap();
            assert!(
                path.ends_with("clinical.csv") && !said.contains("P1") && !said.contains("P7"),
                "{error}"
            );
        }
    }
}
