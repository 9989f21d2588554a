//! `slidemill report`: the report, the summaries and the manifest again, from what is under OUT.

use dataset::{Dataset, Manifest};
use report::{ReportError, SlideFiles};

use crate::{annotations::slide_paths, args, exit::Exit, measure, slide_files::slide_files};

/// Writes the report of all slides that have an account, the summaries and the manifest.
///
/// # Errors
///
/// An input failure when there is no account, an output failure when the report
/// cannot be written.
pub fn report(args: &args::Report) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out);
    if dataset.accounts()?.is_empty() {
        return Err(ReportError::nothing_to_report(&dataset).into());
    }
    if let Some(definition) = measure::definition(args.measure.as_deref(), &dataset)? {
        definition.write(&dataset)?;
    }
    let files = slide_files(&dataset);
    report::write_overall(&dataset, &files)?;
    outln!("{}", dataset.report().display())?;
    if args.private {
        let named: SlideFiles = slide_paths(&dataset)?.into_iter().collect();
        outln!("{}", report::write_private_report(&dataset, &files, &named.names())?.display())?;
        Manifest::write(&dataset)?;
    }
    Ok(Exit::Done)
}
