//! The columns that are known of slides, and those that a cohort is made by.

use std::collections::BTreeSet;

use super::{bands, findings::CohortSlide};
use crate::error::ReportError;

/// Columns that cohorts are made by when nothing is asked for.
const USUAL_BY: [&str; 2] = ["patient", "group"];
/// Columns that say how a slide was made, without their case.
const USUAL_BATCH: [&str; 9] =
    ["scanner", "mpp", "stain", "block", "batch", "site", "laboratory", "date", "scan_date"];

/// Columns that are asked for by name.
pub(super) struct Asked<'a> {
    pub(super) by: &'a [String],
    pub(super) batch: &'a [String],
}

/// The columns of a cohort.
#[derive(Debug, PartialEq)]
pub(super) struct Columns {
    /// All that some slide has.
    pub(super) all: Vec<String>,
    /// Those whose values are groups.
    pub(super) by: Vec<String>,
    /// Those that counts should not depend on.
    pub(super) batch: Vec<String>,
}

impl Columns {
    /// Checks what is asked for against what the slides have. Bands of a column become a column of the slides.
    ///
    /// # Errors
    ///
    /// [`ReportError::Columns`] for a column that no slide has, and for one of many numbers.
    pub(super) fn new(slides: &mut [CohortSlide], asked: &Asked<'_>) -> Result<Self, ReportError> {
        let known = names(slides);
        let bands: Vec<bands::By<'_>> =
            asked.by.iter().map(|text| bands::By::new(text, &known)).collect::<Result<_, _>>()?;
        let by: Vec<String> = bands.iter().map(|asked| asked.column.to_owned()).collect();
        let usual = chosen("--by", &by, &known, &USUAL_BY)?;
        let batch = chosen("--batch", asked.batch, &known, &USUAL_BATCH)?;
        let by = if bands.is_empty() {
            usual
        } else {
            bands.into_iter().map(|asked| asked.into_column(slides)).collect::<Result<_, _>>()?
        };
        Ok(Self { all: names(slides), by, batch })
    }
}

/// Names of all columns that some slide has.
fn names(slides: &[CohortSlide]) -> Vec<String> {
    let names: BTreeSet<&String> = slides.iter().flat_map(|slide| slide.columns.keys()).collect();
    names.into_iter().cloned().collect()
}

/// The columns that are asked for, or the usual ones that are there.
fn chosen(
    option: &str,
    asked: &[String],
    all: &[String],
    usual: &[&str],
) -> Result<Vec<String>, ReportError> {
    if let Some(missing) = asked.iter().find(|name| !all.contains(name)) {
        return Err(ReportError::Columns(format!(
            "{option}: no slide has a column {missing:?}; there are {}. Further columns come from the slide list of `run`, \
             or with --join",
            all.join(", ")
        )));
    }
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    Ok(all.iter().filter(|name| usual.contains(&name.to_lowercase().as_str())).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::{super::example::slide, *};

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        let mut slides = [slide("a", &[("Patient", "P1"), ("arm", "x")], 1.0)];
        let usual = Columns::new(&mut slides, &Asked { by: &[], batch: &[] }).unwrap();
        assert_eq!(
            (usual.by.as_slice(), usual.batch.as_slice()),
            (&["Patient".to_owned()][..], &["mpp".to_owned()][..])
        );
        let asked = ["arm".to_owned(), "Patient".to_owned()];
        assert_eq!(Columns::new(&mut slides, &Asked { by: &asked, batch: &asked[..1] }).unwrap().by, asked);
        let wrong = ["patient".to_owned()];
        let error = Columns::new(&mut slides, &Asked { by: &wrong, batch: &[] }).unwrap_err().to_string();
        assert!(
            error.starts_with("--by: no slide has a column \"patient\"; there are Patient, arm, mpp."),
            "{error}"
        );
    }
}
