//! `slidemill verify`: checks that a dataset is as its accounts say.

use dataset::{Dataset, Findings, wording::counted};

use crate::{args, exit::Exit};

/// Computes checksums, rows, ids and counts of a dataset again. Names slides that ended without results, or
/// incomplete; they are no problem of the dataset.
///
/// # Errors
///
/// When there is no dataset.
pub fn verify(args: &args::Verify) -> anyhow::Result<Exit> {
    let findings = Findings::collect(&Dataset::at(&args.out))?;
    print(&findings)?;
    Ok(if findings.problems.is_empty() { Exit::Done } else { Exit::Incomplete })
}

/// Prints all findings, line by line.
///
/// # Errors
///
/// An output failure when it cannot be printed.
pub(super) fn print(findings: &Findings) -> anyhow::Result<()> {
    for line in findings.lacking.iter().chain(&findings.problems) {
        outln!("{line}")?;
    }
    if findings.problems.is_empty() {
        outln!("{}: every file is as it was written", counted(findings.slides.len(), "slide"))?;
    } else {
        outln!(
            "{} found; `slidemill run … --redo` writes the slides named again, `slidemill report` summaries and report",
            counted(findings.problems.len(), "problem")
        )?;
    }
    Ok(())
}
