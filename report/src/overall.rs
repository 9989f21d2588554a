//! Files over all slides of a dataset, written in one go.

use dataset::{Dataset, Manifest};

use crate::{
    error::ReportError,
    measured::{MeasureRemark, remarks, remove_measures, write_measures},
    night::{Night, remove_private_report, remove_report},
    slide_files::SlideFiles,
    summary::write_summary,
};

/// Writes the summaries, the report, the private one if there is one, and the measures that the dataset asks for, so that
/// none is older than the others, and last the manifest of every file there is. The cells of each slide are read once for
/// report and measures. `files` are those of the slides, for what the report shows at full size. Without an account
/// there is nothing to report.
///
/// Returns what to know before the measures are used: those without a value, and why.
///
/// # Errors
///
/// When an account cannot be read, or a file not be written.
pub fn write_overall(dataset: &Dataset, files: &SlideFiles) -> Result<Vec<MeasureRemark>, ReportError> {
    write_summary(dataset)?;
    let night = Night::open(dataset, files)?;
    if dataset.read_accounts()?.is_empty() {
        remove_report(dataset)?;
        remove_private_report(dataset)?;
    } else {
        night.write_report()?;
        night.rewrite_private_report()?;
    }
    let measured = night.into_measured();
    match &measured {
        Some(measured) => write_measures(dataset, measured)?,
        None => remove_measures(dataset)?,
    }
    Manifest::write(dataset)?;
    Ok(remarks(&measured.unwrap_or_default()))
}
