//! Slides by patient, group or any other column of their list: what was found in each, with intervals over its slides;
//! grades of patients; slides that stand apart; and what differs between scanners, scales or stains.
//!
//! Made from accounts and measures alone, so thousands of slides take seconds. What it writes names patients and groups
//! as the list does, and slides by their id: it is as private as the columns that were asked for.

mod bands;
mod batches;
mod clinical;
mod columns;
#[cfg(test)]
mod example;
mod findings;
mod grades;
mod groups;
mod made;
mod numbers;
mod outliers;
mod page;
mod pool;
mod strips;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
};

use dataset::{Dataset, wording::counted};

use crate::error::ReportError;
pub use clinical::Clinical;
use columns::{Asked, Columns};
use findings::Read;
pub use findings::SlideColumns;
use grades::grades;
use made::Cohort;

/// What is asked of a cohort.
#[derive(Debug, Clone, Copy)]
pub struct CohortQuestion<'a> {
    /// Columns whose values are groups of slides, or `age:50:65` for bands between numbers; none: `patient` and `group`,
    /// where they are there.
    pub by: &'a [String],
    /// Columns that counts may depend on without any biology; none: the usual ones that are there.
    pub batch: &'a [String],
    /// A table with more columns.
    pub join: Option<&'a Clinical>,
}

/// What became of the slides of a cohort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CohortEnd {
    /// Path of the page.
    pub page: PathBuf,
    /// Slides that it is made of.
    pub slides: usize,
    /// Remarks for the user, without names.
    pub remarks: Vec<String>,
}

/// Writes a cohort as a page and as tables into the folder `into`, over files of the same names that are there.
///
/// # Errors
///
/// When a column is asked for that is not there, a table cannot be joined, no slide has results, or a file cannot be
/// read or written.
pub fn write_cohort(
    dataset: &Dataset,
    known: &SlideColumns,
    question: &CohortQuestion<'_>,
    into: &Path,
) -> Result<CohortEnd, ReportError> {
    let Read { mut slides, failed, definition } = findings::read(dataset, known)?;
    if slides.is_empty() {
        return Err(ReportError::nothing_to_report(dataset));
    }
    let mut remarks = Vec::new();
    if failed > 0 {
        remarks.push(format!("{} without results: not in the cohort", counted(failed, "slide")));
    }
    if let Some(clinical) = question.join {
        remarks.extend(clinical.join(&mut slides)?);
    }
    let columns = Columns::new(&mut slides, &Asked { by: question.by, batch: question.batch })?;
    let cohort = Cohort::new(&slides, &columns, &definition);
    for (name, bytes) in files(&cohort)? {
        write(dataset, &into.join(name), &bytes)?;
    }
    Ok(CohortEnd { page: into.join(COHORT_FILES[0]), slides: slides.len(), remarks })
}

/// Names of all files of a cohort, in the order they are written.
pub const COHORT_FILES: [&str; 11] = [
    "cohort.html",
    "cohort.csv",
    "cohort.parquet",
    "grades.csv",
    "grades.parquet",
    "slides.csv",
    "slides.parquet",
    "outliers.csv",
    "outliers.parquet",
    "batches.csv",
    "batches.parquet",
];

fn write(dataset: &Dataset, path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let written = if path.starts_with(dataset.private()) {
        dataset.write(path, bytes)
    } else {
        fs::create_dir_all(whole_file::folder_of(path)).and_then(|()| whole_file::write_bytes(path, bytes))
    };
    written.map_err(|reason| ReportError::write("the cohort", reason, path.to_owned()))
}

/// The name and bytes of each of [`COHORT_FILES`].
fn files(cohort: &Cohort<'_>) -> Result<Vec<(&'static str, Vec<u8>)>, ReportError> {
    let tables = [
        groups::table(&cohort.groups),
        grades::table(&grades(&cohort.groups, &cohort.definition.schemes)),
        findings::table(cohort.slides, &cohort.columns.all),
        outliers::table(&cohort.outliers),
        batches::table(&cohort.batches),
    ];
    let mut bytes = vec![page::page(cohort).into_bytes()];
    for table in &tables {
        bytes.extend([table.csv()?, table.parquet()?]);
    }
    Ok(COHORT_FILES.into_iter().zip(bytes).collect())
}
