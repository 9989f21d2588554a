//! `slidemill report`: the morning report and the summaries, from what is there.

use crate::{args, dataset::Dataset, exit::Exit, report, summary};

/// Writes `report.html` and both summaries anew.
///
/// # Errors
///
/// An input failure when there is nothing to report, an output failure when
/// the files cannot be written.
pub fn report(args: &args::Report) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out);
    report::write(&dataset)?;
    summary::write(&dataset)?;
    println!("{}", dataset.report().display());
    Ok(Exit::Done)
}
