//! `slidemill merge`: cells and regions anew, from the raw detections that a run
//! kept, with other thresholds, rules and filters. The model is not run.

use std::sync::{Arc, Mutex, atomic::AtomicBool};

use anyhow::Context as _;
use tiler::ReadCounters;

use crate::{
    account::{Outcome, RunAccount},
    args,
    dataset::{Dataset, SlideId, hex},
    detectors::Detectors,
    exit::{Exit, Failure},
    finish::Collector,
    isolate::Marks,
    ledger::{LedgerError, LedgerHead, Origin, StoredModel},
    lock::Locks,
    merging::MergeOptions,
    pipeline::Step,
    prepare::{Before, Job, Preparation, plan_slide},
    progress::{Event, Progress},
    report,
    settings::{RunOptions, Settings},
};

/// Merges all slides of a dataset whose raw detections were kept.
///
/// # Errors
///
/// A usage failure for wrong settings, an input failure when nothing was kept,
/// an output failure when tables cannot be written.
pub fn merge(args: args::Merge) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
    let wanted = args.options.or(file.merging);
    let from = Dataset::at(&args.out);
    let into = Dataset::at(args.into.as_ref().unwrap_or(&args.out));
    let kept = kept(&from)?;
    if kept.is_empty() {
        return Err(Failure::input(format!(
            "no raw detections of a finished slide are here; `slidemill run --keep-raw` keeps them: {}",
            args.out.display()
        )));
    }
    // What is wrong with the settings is wrong for every slide: said once, before anything is written.
    let jobs = kept.into_iter().map(|kept| Ok((job_for(&kept, &wanted, &from, &into)?, kept)));
    let jobs = jobs.collect::<anyhow::Result<Vec<_>>>()?;
    let mut progress = Progress::new(args.json_logs, &into);
    if let Some((job, _)) = jobs.first() {
        let model = job.model();
        progress.tell(&Event::JobStarted {
            slides: jobs.len(),
            model: format!("{} {}", model.name, model.version),
            device: "detections that were kept".into(),
        });
    }
    let mut incomplete = false;
    for (job, kept) in &jobs {
        incomplete |= merge_slide(job, kept, &mut progress)?;
    }
    let totals = progress.finish(false);
    report::write_summary(&into)?;
    Ok(if incomplete || totals.failed > 0 { Exit::Incomplete } else { Exit::Done })
}

/// A finished slide whose raw detections are there.
struct Kept {
    head: LedgerHead,
    account: RunAccount,
}

fn kept(dataset: &Dataset) -> anyhow::Result<Vec<Kept>> {
    let accounts = dataset.accounts()?;
    let of = |path: &std::path::PathBuf| {
        let account = RunAccount::read(path).ok()?;
        let head = LedgerHead::read(&dataset.ledger(&account.slide))?;
        (account.outcome != Outcome::Failed).then_some(Kept { head, account })
    };
    Ok(accounts.iter().filter_map(of).collect())
}

/// The job that made `kept`, with other rules for what comes after the model.
fn job_for(kept: &Kept, wanted: &MergeOptions, from: &Dataset, into: &Dataset) -> anyhow::Result<Job> {
    let Origin { options, models, .. } = &kept.head.origin;
    let floor = kept.head.score_floor;
    let options = RunOptions {
        merging: wanted.clone().or(options.merging.clone()),
        keep_raw: Some(true),
        raw_floor: Some(floor),
        ..options.clone()
    };
    let settings = Settings::new(options.clone())?;
    let detectors = Detectors::with(&settings, models.iter().map(StoredModel::manifest).collect())?;
    let own = detectors.each.iter().map(|detector| settings.merging.score_floor(&detector.manifest));
    let lowest = own.fold(1.0, f32::min);
    if lowest < floor {
        return Err(Failure::usage(format!(
            "detections were kept from score {floor} on, {lowest} asks for lower ones: run again with \
             --keep-raw --raw-floor {lowest} --redo"
        )));
    }
    Ok(Job {
        detectors,
        settings,
        options,
        device: kept.account.device.clone(),
        dataset: into.clone(),
        ledgers: from.clone(),
        before: Before::Remerge,
        stop: Arc::new(AtomicBool::new(false)),
        marks: Marks::of(into),
        locks: Locks::of(into),
        claimed: Mutex::default(),
    })
}

/// Whether the slide ended incomplete.
fn merge_slide(job: &Job, kept: &Kept, progress: &mut Progress) -> anyhow::Result<bool> {
    let Origin { slide, id, .. } = &kept.head.origin;
    let mut collector = Collector::new(job, progress)?;
    match prepared(job, kept) {
        Ok(Preparation::Ready(prepared)) => {
            let tiles = kept.account.analysis.as_ref().map(|analysis| analysis.tiles).unwrap_or_default();
            let counters = ReadCounters {
                tiles_needed: tiles.needed,
                tiles_decoded: tiles.decoded,
                tiles_failed: tiles.failed,
                ..ReadCounters::default()
            };
            collector.take(Step::Begin(prepared))?;
            collector.take(Step::End(counters))?;
        }
        Ok(Preparation::Busy { id, reason }) => {
            let refused = Preparation::Refused { id, reason, account: false };
            collector.take(Step::NotRun(slide.clone(), refused))?;
        }
        Ok(other) => collector.take(Step::NotRun(slide.clone(), other))?,
        // The results there are stay as they are.
        Err(error) => {
            let refused =
                Preparation::Refused { id: id.clone(), reason: format!("{error:#}"), account: false };
            collector.take(Step::NotRun(slide.clone(), refused))?;
        }
    }
    collector.finish()
}

fn prepared(job: &Job, kept: &Kept) -> anyhow::Result<Preparation> {
    let Origin { slide, id, .. } = &kept.head.origin;
    if !slide.path.exists() {
        let list = job.ledgers.names();
        anyhow::bail!("the slide is not where it was (see {}); its tissue is needed", list.display());
    }
    let content = wsi_reader::content_id(&slide.path)?.bytes();
    anyhow::ensure!(
        slide.id.is_some() || SlideId::from_content(&content) == *id,
        "the slide is no longer the one that was run"
    );
    let mark = job.marks.take(&slide.path).context("cannot mark the slide as in hand")?;
    let preparation = plan_slide(slide, job, id, &hex(&content), mark).map_err(told_for_merging)?;
    if let Preparation::Ready(prepared) = &preparation {
        let missing: usize = prepared.todo.iter().map(Vec::len).sum();
        anyhow::ensure!(
            missing == 0,
            "the raw detections of {missing} windows are missing; `slidemill run … --keep-raw --redo` makes them anew"
        );
    }
    Ok(preparation)
}

/// A run can start a slide anew, merging cannot.
fn told_for_merging(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(LedgerError::OtherRun(changes)) => anyhow::anyhow!(
            "the raw detections that were kept are of another run{changes}; `slidemill run … --keep-raw --redo` makes \
             them anew"
        ),
        _ => error,
    }
}
