//! The columns that are known of slides, and those that a cohort is made by.

use std::collections::BTreeSet;

use super::findings::CohortSlide;
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
    /// Checks what is asked for against what the slides have.
    ///
    /// # Errors
    ///
    /// [`ReportError::Columns`] for a column that no slide has.
    pub(super) fn of(slides: &[CohortSlide], asked: &Asked<'_>) -> Result<Self, ReportError> {
        let all: BTreeSet<&String> = slides.iter().flat_map(|slide| slide.columns.keys()).collect();
        let all: Vec<String> = all.into_iter().cloned().collect();
        let by = chosen("--by", asked.by, &all, &USUAL_BY)?;
        let batch = chosen("--batch", asked.batch, &all, &USUAL_BATCH)?;
        Ok(Self { all, by, batch })
    }
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
        let slides = [slide("a", &[("Patient", "P1"), ("arm", "x")], 1.0)];
        let usual = Columns::of(&slides, &Asked { by: &[], batch: &[] }).unwrap();
        assert_eq!(
            (usual.by.as_slice(), usual.batch.as_slice()),
            (&["Patient".to_owned()][..], &["mpp".to_owned()][..])
        );
        let asked = ["arm".to_owned(), "Patient".to_owned()];
        assert_eq!(Columns::of(&slides, &Asked { by: &asked, batch: &asked[..1] }).unwrap().by, asked);
        let wrong = ["patient".to_owned()];
        let error = Columns::of(&slides, &Asked { by: &wrong, batch: &[] }).unwrap_err().to_string();
        assert!(
            error.starts_with("--by: no slide has a column \"patient\"; there are Patient, arm, mpp."),
            "{error}"
        );
    }
}
