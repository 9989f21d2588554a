//! `slidemill status`: the state of a job, from the file it keeps.

use std::io::ErrorKind;

use engine::JobPlan;

use crate::{
    account::{Outcome, RunAccount},
    args,
    dataset::Dataset,
    exit::{Exit, Failure},
    progress::{JobState, JobStatus, counted, fixed, left_out, rate, span},
};

/// A running job without a sign of life for this long is probably gone.
const SILENCE_SECS: f64 = 900.0;

/// Prints the state of the jobs that write to `OUT`.
///
/// # Errors
///
/// An input failure when there is no job.
pub fn status(args: &args::Status) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out);
    if let Some(parts) = args.parts_left {
        let left = JobPlan::read(&dataset)?.parts_left(&dataset, parts);
        outln!("{}", ranges(&left))?;
        return Ok(Exit::Done);
    }
    let jobs = JobStatus::read_all(&dataset.status()).map_err(|error| {
        let found = if error.kind() == ErrorKind::NotFound {
            "no job has written here".into()
        } else {
            error.to_string()
        };
        Failure::input(format!("cannot show the status: {found}: {}", args.out.display()))
    })?;
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&jobs)?)?;
    } else {
        outln!("{}", ended(&dataset)?)?;
        for job in &jobs {
            out!("\n{}", describe(job))?;
        }
    }
    Ok(Exit::Done)
}

/// Ascending numbers with each run of neighbours as one range: `2,5-8`.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let texts: Vec<String> = runs
        .map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            [only] => only.to_string(),
            [] => String::new(),
        })
        .collect();
    texts.join(",")
}

/// Line with the number of slides that all jobs together have ended, and of those planned.
fn ended(dataset: &Dataset) -> anyhow::Result<String> {
    let accounts = dataset.accounts()?;
    let accounts: Vec<_> = accounts.iter().filter_map(|path| RunAccount::read(path).ok()).collect();
    let count = |outcome| accounts.iter().filter(|account| account.outcome == outcome).count();
    let plan = JobPlan::read(dataset).ok();
    let planned =
        plan.as_ref().map_or_else(String::new, |plan| format!(" of {} planned", plan.once().count()));
    let met: usize = accounts.iter().map(|account| account.copies).sum();
    // A part of a job that does not have the slide itself takes a copy for a slide that was done before.
    let copies = met.max(plan.as_ref().map_or(0, JobPlan::copies));
    let lost = accounts.iter().filter(|account| account.lost_file(dataset.root()).is_some()).count();
    Ok(format!(
        "dataset  {}{planned}: {} done, {} incomplete, {} failed{}{}",
        counted(accounts.len(), "slide"),
        count(Outcome::Done),
        count(Outcome::Partial),
        count(Outcome::Failed),
        left_out(copies),
        no_longer_whole(lost)
    ))
}

/// Words for slides whose files are not as they were written; empty for none.
fn no_longer_whole(lost: usize) -> String {
    if lost == 0 {
        return String::new();
    }
    format!(
        "; of {} a table or picture is missing or changed, which `slidemill verify` names: run it again",
        counted(lost, "slide")
    )
}

fn describe(status: &JobStatus) -> String {
    let totals = &status.totals;
    let state = match status.state {
        JobState::Finished => "finished".to_owned(),
        JobState::Interrupted => "stopped; the same command goes on".to_owned(),
        JobState::Running if status.age_secs() > SILENCE_SECS => {
            format!(
                "no sign of life for {}; if process {} is gone, the same command goes on",
                span(status.age_secs()),
                status.process
            )
        }
        JobState::Running => format!("running, process {} on {}", status.process, status.host),
    };
    let mut text = format!("job      {state}\n");
    text += &format!(
        "slides   {} of {}: {} done, {} incomplete, {} failed, {} done before{}\n",
        totals.ended(),
        status.slides,
        totals.done,
        totals.partial,
        totals.failed,
        totals.skipped,
        left_out(totals.copies)
    );
    text += &format!(
        "so far   {} in {} mm² of tissue, {}\n",
        counted(totals.cells as usize, "cell"),
        fixed(totals.analysed_mm2, 2),
        span(totals.elapsed_secs)
    );
    if let Some(current) = &status.current {
        text += &format!(
            "at work  {}: {} of {}, {} failed, {}{}\n",
            current.slide,
            current.done,
            counted(current.windows, "window"),
            current.failed,
            counted(current.cells as usize, "cell"),
            status.windows_per_sec.map_or_else(String::new, |pace| format!(", {}", rate(pace)))
        );
    }
    if let Some(left) = status.left_secs.filter(|_| status.state == JobState::Running) {
        text += &format!("left     about {}\n", span(left));
    }
    text += &format!("updated  {} ago\n", span(status.age_secs()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_in_ranges() {
        assert_eq!(ranges(&[2, 5, 6, 7, 8, 10, 11]), "2,5-8,10-11");
        assert_eq!((ranges(&[]), ranges(&[3])), (String::new(), "3".into()));
    }
}
