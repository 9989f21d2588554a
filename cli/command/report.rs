//! `slidemill report`: the report, the summaries and the manifest again, from what is under OUT.

use dataset::{Dataset, Manifest};
use report::{ReportError, ReportForm, want_print_pages};

use crate::{
    args,
    exit::Exit,
    measure,
    slide_files::{named_slide_files, slide_files},
};

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
    let pages = args.print.then(|| want_print_pages(&dataset, ReportForm::Shared)).transpose()?;
    measure::tell(&report::write_overall(&dataset, &slide_files(&dataset))?);
    outln!("{}", dataset.report().display())?;
    if let Some(folder) = pages {
        outln!("{}", folder.display())?;
    }
    if args.private {
        private_report(args, &dataset)?;
    }
    Ok(Exit::Done)
}

fn private_report(args: &args::Report, dataset: &Dataset) -> anyhow::Result<()> {
    let files = named_slide_files(dataset)?;
    let pages = args.print.then(|| want_print_pages(dataset, ReportForm::Private)).transpose()?;
    outln!("{}", report::write_private_report(dataset, &files)?.display())?;
    if let Some(folder) = pages {
        outln!("{}", folder.display())?;
    }
    Ok(Manifest::write(dataset)?)
}
