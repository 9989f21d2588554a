//! Files over all slides of a dataset, written in one go.

use dataset::{Dataset, Manifest};

use crate::{
    error::ReportError,
    measured::{measured_slides, remove_measures, write_measures},
    night::{remove_private_report, remove_report, rewrite_private_report, write_report_with},
    slide_files::SlideFiles,
    summary::write_summary,
};

/// Writes the summaries, the measures that the dataset asks for, the report and the private one if there is one, so that
/// none is older than the others, and last the manifest of every file there is. `files` are those of the slides, for what the report shows at full
/// size. Without an account there is nothing to report.
///
/// # Errors
///
/// When an account cannot be read, or a file not be written.
pub fn write_overall(dataset: &Dataset, files: &SlideFiles) -> Result<(), ReportError> {
    write_summary(dataset)?;
    let measured = measured_slides(dataset)?;
    match &measured {
        Some(measured) => write_measures(dataset, measured)?,
        None => remove_measures(dataset)?,
    }
    if dataset.read_accounts()?.is_empty() {
        remove_report(dataset)?;
        remove_private_report(dataset)?;
    } else {
        write_report_with(dataset, files, measured.as_ref())?;
        rewrite_private_report(dataset, files, measured.as_ref())?;
    }
    Ok(Manifest::write(dataset)?)
}
