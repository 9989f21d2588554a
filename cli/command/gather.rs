//! `slidemill gather`: checks that all parts of a planned job are done, and writes the summaries and the
//! report over all of them.

use dataset::{Dataset, Findings, wording::counted};
use engine::{JobPlan, WorkLeft};

use crate::{args, command::verify, exit::Exit, measure, slide_files::slide_files};

/// Checks a planned job and writes the files that cover all its slides.
///
/// # Errors
///
/// A usage failure when there is no plan, an output failure when a file cannot
/// be written.
pub fn gather(args: &args::Gather) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out);
    let plan = JobPlan::read(&dataset)?;
    let slides = plan.left(&dataset);
    let missing: Vec<_> =
        slides.iter().filter_map(|(planned, left)| Some((planned, problem(left.as_ref()?)?))).collect();
    for (planned, problem) in &missing {
        outln!("{} {problem}: {}", planned.slide, wsi_reader::without_secrets(&planned.path).display())?;
    }
    if !missing.is_empty() {
        outln!(
            "{} of {} to be run: `slidemill run -o {}` goes on",
            missing.len(),
            counted(slides.len(), "slide"),
            args.out.display()
        )?;
    }
    if dataset.accounts()?.is_empty() {
        return Ok(Exit::Incomplete);
    }
    measure::tell(&report::write_overall(&dataset, &slide_files(&dataset))?);
    let findings = Findings::collect(&dataset)?;
    verify::print(&findings)?;
    outln!("{}", dataset.report().display())?;
    Ok(if missing.is_empty() && findings.is_complete() { Exit::Done } else { Exit::Incomplete })
}

/// Why a run of the plan has to go on with a slide; slides with an outcome of their own are named by it.
fn problem(left: &WorkLeft) -> Option<String> {
    match left {
        WorkLeft::All => Some("is not done yet".into()),
        WorkLeft::OtherSettings(changed) => {
            Some(format!("was made with other settings than planned ({changed})"))
        }
        WorkLeft::Lost(lost) => Some(format!("is to be done again: {lost}")),
        WorkLeft::Failed | WorkLeft::Windows => None,
    }
}
