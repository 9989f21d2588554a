//! What is over all slides of a dataset, in one go.

use dataset::{Dataset, Manifest};

use crate::{
    error::ReportError,
    night::{remove_report, write_report},
    summary::write_summary,
};

/// Writes the summaries and the report, so that none is older than the others, and last the manifest of every file there
/// is. Without an account there is nothing to report.
///
/// # Errors
///
/// When an account cannot be read, or a file not be written.
pub fn write_overall(dataset: &Dataset) -> Result<(), ReportError> {
    write_summary(dataset)?;
    if dataset.read_accounts()?.is_empty() {
        remove_report(dataset)?;
    } else {
        write_report(dataset)?;
    }
    Ok(Manifest::write(dataset)?)
}
