//! `slidemill merge`: cells and regions again, from the raw detections that a run
//! kept, with other thresholds, rules and filters. The model is not run.

use dataset::Dataset;
use engine::{RunOptions, remerge};

use crate::{args, exit::Exit, isolate, machine, progress::Progress, report};

/// Merges all slides of a dataset whose raw detections were kept; names the others, and ends incomplete then.
///
/// # Errors
///
/// A usage failure for wrong settings, an input failure when nothing was kept,
/// an output failure when tables cannot be written.
pub fn merge(args: args::Merge) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
    let from = Dataset::at(&args.out);
    let into = Dataset::at(args.into.as_ref().unwrap_or(&args.out)).written_by(isolate::job_name());
    let mut progress = Progress::new(args.json_logs, &into);
    let ended = remerge(&from, &into, &args.options.0.or(file), &machine(), &mut progress)?;
    report::write_overall(&into)?;
    Ok(if ended.is_complete { Exit::Done } else { Exit::Incomplete })
}
