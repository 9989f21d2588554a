//! `slidemill forget`: takes slides out of a dataset.

use dataset::{Dataset, wording::counted};

use crate::{args, exit::Exit, isolate, measure, slide_files::slide_files};

/// Removes all data of slides from a dataset, and the report that names files; writes summaries, report and
/// manifest again.
///
/// # Errors
///
/// A usage failure for a slide that the dataset does not have, an output failure when a file cannot be
/// removed or written.
pub fn forget(args: &args::Forget) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out).written_by(isolate::job_name());
    let ids = engine::forget(&dataset, &args.slides)?;
    report::remove_private_report(&dataset)?;
    measure::tell(&report::write_overall(&dataset, &slide_files(&dataset))?);
    for id in &ids {
        outln!("forgot    {id}")?;
    }
    outln!("left      {}", counted(dataset.accounts()?.len(), "slide"))?;
    Ok(Exit::Done)
}
