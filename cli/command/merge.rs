//! `slidemill merge`: cells and regions again, from the raw detections that a run
//! kept, with other thresholds, rules and filters. The model is not run.

use dataset::Dataset;
use engine::{Event, Interests, RunOptions, SlideEntry, Watch as _, kept_slides, remerge};

use crate::{
    args,
    exit::{Exit, Failure},
    isolate, machine, measure,
    progress::Progress,
    report,
    slide_files::slide_files,
    within::Within,
};

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
    let definition = measure::definition(args.measure.as_deref(), &into)?;
    let mut notes = Vec::new();
    let within = interests(&args.within, &from, &mut notes)?;
    let mut progress = Progress::new(args.json_logs, &into);
    for message in notes {
        progress.tell(&Event::Note { message });
    }
    let ended = remerge(&from, &into, &args.options.0.or(file), &within, &machine(), &mut progress)?;
    if let Some(definition) = definition {
        definition.write(&into)?;
    }
    let remarks = report::write_overall(&into, &slide_files(&from))?;
    if args.json_logs {
        measure::tell_as_notes(&remarks, &mut progress);
    } else {
        measure::tell(&remarks);
    }
    Ok(if ended.is_complete { Exit::Done } else { Exit::Incomplete })
}

/// The regions of interest that were given, or other bands along those of the run, by slide. The other slides are counted
/// where their run did.
fn interests(within: &Within, from: &Dataset, notes: &mut Vec<String>) -> anyhow::Result<Interests> {
    if within.path().is_none() {
        return if within.has_margin() { other_bands(within, from) } else { Ok(Interests::new()) };
    }
    if within.skips() {
        return Err(Failure::usage(
            "--without-roi is skip, but merging leaves no slide out: --without-roi whole counts those as their run did",
        ));
    }
    let assigned = within.assign(kept_slides(from)?.into_iter().map(without_interest).collect())?;
    notes.extend(assigned.notes);
    let given = assigned.slides.into_iter().filter_map(|slide| Some((slide.id?, slide.within?)));
    Ok(given.collect())
}

/// The regions of the run, with the bands that are given.
fn other_bands(within: &Within, from: &Dataset) -> anyhow::Result<Interests> {
    let own = kept_slides(from)?.into_iter().filter_map(|slide| Some((slide.id?, slide.within?)));
    let mut interests: Interests = own.collect();
    if interests.is_empty() {
        within.refuse_margin(
            "without --within, and the run was not limited to regions of interest: name them with --within",
        )?;
    }
    within.set_margins(interests.values_mut())?;
    Ok(interests)
}

/// Those of its run are not those that were given.
fn without_interest(mut slide: SlideEntry) -> SlideEntry {
    slide.within = None;
    slide
}
