//! `slidemill report`: the morning report and the summaries, from what is there.

use dataset::Dataset;

use crate::{args, exit::Exit};

/// Writes `report.html` and both summaries anew.
///
/// # Errors
///
/// When there is nothing to report, or the files cannot be written.
pub fn report(args: &args::Report) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out);
    report::write_report(&dataset)?;
    report::write_summary(&dataset)?;
    println!("{}", dataset.report().display());
    Ok(Exit::Done)
}
