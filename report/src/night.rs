//! `OUT/report.html`: the morning report, one file that needs no network.
//!
//! Made from what is under `OUT` alone: run accounts, cell tables, overviews. It
//! names slides by id and holds no path, no property of a slide file and no
//! label. But for the time it states, equal inputs give equal bytes.

mod charts;
mod cohort;
mod figures;
mod regions;
mod section;
mod slide;
mod words;

use dataset::{Dataset, DatasetError};
use rayon::prelude::*;

use crate::{clock, error::ReportError};
use slide::SlideReport;

/// Writes the report of all slides that have an account.
///
/// A table or picture that cannot be read is said in its slide's section: one
/// broken file does not take the report of a night.
///
/// # Errors
///
/// When there is no account or one cannot be read, or the report cannot be
/// written.
pub fn write_report(dataset: &Dataset) -> Result<(), ReportError> {
    let accounts = dataset.read_accounts()?;
    if accounts.is_empty() {
        return Err(ReportError::Dataset(DatasetError::NoAccounts {
            purpose: ", so there is nothing to report",
            root: dataset.root().to_owned(),
        }));
    }
    let slides: Vec<_> =
        accounts.into_par_iter().map(|account| SlideReport::read(dataset, account)).collect();
    let html = cohort::render(&slides, &clock::now())?;
    let path = dataset.report();
    dataset.write(&path, html.as_bytes()).map_err(|reason| ReportError::write("the report", reason, path))
}
