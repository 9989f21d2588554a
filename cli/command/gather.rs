//! `slidemill gather`: checks that all parts of a planned job are done, and writes the summaries and the
//! report over all of them.

use std::collections::BTreeSet;

use dataset::{Dataset, Findings, RunAccount, wording::counted};
use engine::JobPlan;

use crate::{args, command::verify, exit::Exit, slide_files::slide_files};

/// Checks a planned job and writes the files that cover all its slides.
///
/// # Errors
///
/// A usage failure when there is no plan, an output failure when a file cannot
/// be written.
pub fn gather(args: &args::Gather) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out);
    let plan = JobPlan::read(&dataset)?;
    let mut missing = 0;
    let mut seen = BTreeSet::new();
    for planned in plan.slides.iter().filter(|planned| seen.insert(&planned.slide)) {
        let problem = match RunAccount::read(&dataset.account(&planned.slide)) {
            Err(_) => Some("is not done yet".to_owned()),
            Ok(account) if account.has_results() => other_settings(&plan, &account),
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            outln!("{} {problem}: {}", planned.slide, planned.path.display())?;
            missing += 1;
        }
    }
    if missing > 0 {
        outln!(
            "{} of {} to be run: `slidemill run -o {}` goes on",
            missing,
            counted(seen.len(), "slide"),
            args.out.display()
        )?;
    }
    if dataset.accounts()?.is_empty() {
        return Ok(Exit::Incomplete);
    }
    report::write_overall(&dataset, &slide_files(&dataset))?;
    let findings = Findings::collect(&dataset)?;
    verify::print(&findings)?;
    outln!("{}", dataset.report().display())?;
    Ok(if missing == 0 && findings.is_complete() { Exit::Done } else { Exit::Incomplete })
}

/// Settings of an account that differ from the plan, in words; `None` if there are none.
fn other_settings(plan: &JobPlan, account: &RunAccount) -> Option<String> {
    let changed = plan.settings.differences(&account.settings.clone().into());
    (!changed.is_empty()).then(|| format!("was made with other settings than planned ({changed})"))
}
