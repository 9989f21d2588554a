//! Bands of a column of numbers: a group for each number would be a group for each slide.

use super::{
    findings::{CohortSlide, is_patient},
    numbers::number_in,
};
use crate::error::ReportError;

/// Start of the name of the first band.
pub(super) const BELOW: &str = "below ";
/// Numbers that a column may have for its values to be names, such as stages.
const MOST_NAMES: usize = 6;

/// A column that groups are asked for by: as it is, or `age:50:65` for bands between these numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct By<'a> {
    pub(super) column: &'a str,
    /// Ascending; none for a column as it is.
    ends: Vec<f64>,
}

impl<'a> By<'a> {
    /// Reads what `--by` asks for. A column that has a colon in its name goes by its name.
    ///
    /// # Errors
    ///
    /// [`ReportError::Columns`] for ends that are no ascending numbers.
    pub(super) fn new(text: &'a str, known: &[String]) -> Result<Self, ReportError> {
        let whole = Self { column: text, ends: Vec::new() };
        if known.iter().any(|name| name == text) {
            return Ok(whole);
        }
        let Some((column, ends)) = text.split_once(':') else { return Ok(whole) };
        let ends: Option<Vec<f64>> = ends.split(':').map(number_in).collect();
        match ends.filter(|ends| ends.is_sorted_by(|one, other| one < other)) {
            Some(ends) => Ok(Self { column, ends }),
            None => Err(ReportError::Columns(format!(
                "--by: {text:?} does not say bands, expected ascending numbers after the column such as {column}:50:65"
            ))),
        }
    }

    /// The column whose values are the groups. Bands become a column of the slides.
    ///
    /// # Errors
    ///
    /// [`ReportError::Columns`] for a value that is no number where bands are asked for, and for a column of many numbers
    /// where none are.
    pub(super) fn into_column(self, slides: &mut [CohortSlide]) -> Result<String, ReportError> {
        if self.ends.is_empty() {
            self.refuse_numbers(slides)?;
            return Ok(self.column.to_owned());
        }
        let name = format!("{} band", self.column);
        for slide in slides {
            let Some(value) = slide.columns.get(self.column) else { continue };
            let band = number_in(value).map(|number| self.band(number)).ok_or_else(|| {
                ReportError::Columns(format!(
                    "--by: the column {:?} has a value that is no number, so it has no bands",
                    self.column
                ))
            })?;
            slide.columns.insert(name.clone(), band);
        }
        Ok(name)
    }

    /// The band of a number in words; its lower end is in it.
    fn band(&self, number: f64) -> String {
        let place = self.ends.partition_point(|&end| end <= number);
        match (place.checked_sub(1).map(|below| self.ends[below]), self.ends.get(place)) {
            (None, Some(end)) => format!("{BELOW}{end}"),
            (Some(from), Some(end)) => format!("{from} to below {end}"),
            (from, None) => format!("{} and more", from.unwrap_or(f64::NEG_INFINITY)),
        }
    }

    /// Refuses a column of quantities, such as ages: of a slide or two in each group nothing can be said.
    fn refuse_numbers(&self, slides: &[CohortSlide]) -> Result<(), ReportError> {
        let mut values: Vec<&str> = slides.iter().filter_map(|slide| slide.group(self.column)).collect();
        let with = values.len();
        values.sort_unstable();
        values.dedup();
        let are_numbers = values.iter().all(|value| number_in(value).is_some());
        // A number that few slides have names nothing that they share; a number of a patient is a name.
        if is_patient(self.column) || !are_numbers || values.len() <= MOST_NAMES || with >= 3 * values.len() {
            return Ok(());
        }
        Err(ReportError::Columns(format!(
            "--by: the column {0:?} has {1} different numbers for {with} slides, too many to be groups; say bands between \
             numbers, such as --by {0}:50:65",
            self.column,
            values.len()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::example::slide, *};

    fn aged(ages: &[&str]) -> Vec<CohortSlide> {
        ages.iter().map(|age| slide("a", &[("age", age)], 1.0)).collect()
    }

    fn column(asked: &str, slides: &mut [CohortSlide]) -> Result<String, String> {
        let known = ["age".to_owned(), "a:b".to_owned(), "patient".to_owned()];
        let asked = By::new(asked, &known).map_err(|error| error.to_string())?;
        asked.into_column(slides).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_become_bands_in_words() {
        let mut slides = aged(&["49.9", "50", "64", "65", "90", "-1"]);
        slides.push(slide("without", &[], 1.0));
        assert_eq!(column("age:50:65", &mut slides).unwrap(), "age band");
        let bands: Vec<_> = slides.iter().map(|slide| slide.group("age band")).collect();
        let expected =
            ["below 50", "50 to below 65", "50 to below 65", "65 and more", "65 and more", "below 50"];
        assert_eq!(bands[..6], expected.map(Some));
        assert_eq!(bands[6], None);
        for (asked, expected) in [
            ("age:50:50", "\"age:50:50\" does not say bands, expected ascending numbers"),
            ("age:x", "does not say bands"),
        ] {
            assert!(column(asked, &mut slides).unwrap_err().contains(expected), "{asked}");
        }
        let error = column("age:50", &mut aged(&["40", "old"])).unwrap_err();
        assert!(error.contains("\"age\" has a value that is no number") && !error.contains("old"), "{error}");
        assert_eq!(column("a:b", &mut slides).unwrap(), "a:b");
    }

    /// Each age was a group of one slide.
    #[test]
    fn a_column_of_many_numbers_is_no_group() {
        let ages = ["41", "42", "43", "44", "45", "46", "47"];
        let error = column("age", &mut aged(&ages)).unwrap_err();
        assert!(
            error.starts_with("--by: the column \"age\" has 7 different numbers for 7 slides"),
            "{error}"
        );
        assert!(error.ends_with("such as --by age:50:65"), "{error}");
        assert!(column("age", &mut aged(&ages[..6])).is_ok(), "so few may be stages");
        assert!(column("age", &mut aged(&[&ages[..6], &["old"]].concat())).is_ok());
        let names: Vec<_> = ages.iter().map(|age| slide("a", &[("patient", age)], 1.0)).collect();
        assert!(column("patient", &mut names.clone()).is_ok(), "a number of a patient is a name");
        assert!(column("age", &mut aged(&ages.repeat(3))).is_ok(), "each has several slides");
    }
}
