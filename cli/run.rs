//! The whole run on one screen: slides in, one dataset out.

use std::sync::{Arc, Mutex, atomic::AtomicBool};

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

use crate::{
    args::Run,
    dataset::Dataset,
    detectors::{self, Detectors},
    exit::{Exit, Failure},
    finish::Collector,
    isolate::{self, Marks},
    job::{SlideEntry, slides_in},
    job_plan::JobPlan,
    lock::Locks,
    pipeline,
    prepare::{Before, Job, score_floor},
    progress::{Event, Progress, Totals},
    redo::Redo,
    report,
    settings::{RunOptions, Settings},
    shard::Shard,
};

/// `slidemill run`: in a child process, so that a crash costs one slide.
///
/// # Errors
///
/// As [`run`].
pub fn run_isolated(args: Run) -> anyhow::Result<Exit> {
    if isolate::is_child() {
        isolate::end_with_parent();
        return run(args);
    }
    let dataset = Dataset::at(&args.out);
    if args.slides.is_empty() && !dataset.plan().exists() {
        JobPlan::read(&dataset)?;
    }
    make_folder(&dataset)?;
    isolate::supervise(&dataset)
}

/// The whole run, in this process.
///
/// # Errors
///
/// A failure that ends the job as a whole; what is wrong with one slide is in
/// the account of that slide and in the exit code.
pub fn run(args: Run) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
    let options = args.options.or(file);
    let shard: Option<Shard> = args.shard.map(|text| text.parse().map_err(shard_failure)).transpose()?;
    let dataset = Dataset::at(args.out).written_by(isolate::job_name());
    let asked = (&args.slides, &options, shard.map(|shard| shard.to_string()));
    let redo = args.redo.then(|| Redo::of(&dataset, &asked)).transpose()?;
    let (slides, options) = if args.slides.is_empty() {
        let plan = JobPlan::read(&dataset)?;
        let options = options.or(plan.options.clone());
        plan.check(&Settings::new(options.clone())?)?;
        (plan.entries(shard), options)
    } else {
        let slides = slides_in(&args.slides)?;
        let mine = match shard {
            Some(shard) => shard.keep(slides, file_bytes),
            None => slides,
        };
        (mine, options)
    };
    let settings = Settings::new(options.clone())?;
    make_folder(&dataset)?;

    let detectors = Detectors::of(&settings)?;
    let detector = detectors::open(&settings, &detectors, score_floor(&settings, &detectors))?;
    let job = Job {
        device: detector.device_used(),
        detectors,
        settings,
        options,
        marks: Marks::of(&dataset),
        locks: Locks::of(&dataset),
        ledgers: dataset.clone(),
        dataset,
        before: match redo {
            Some(redo) => Before::Redo(redo),
            None => Before::Stay,
        },
        stop: stop_on_signals()?,
        claimed: Mutex::default(),
    };

    let mut progress = Progress::new(args.json_logs, &job.dataset);
    let model = job.model();
    progress.tell(&Event::JobStarted {
        slides: slides.len(),
        model: format!("{} {}", model.name, model.version),
        device: job.device.clone(),
    });
    let mut collector = Collector::new(&job, &mut progress)?;
    let ended = pipeline::run(&slides, &job, detector, |step| collector.take(step));
    // Slides that ended are committed whatever stopped the others.
    let incomplete = match (ended, collector.finish()) {
        (Ok(()), committed) => committed,
        (Err(error), _) => Err(error),
    };
    let totals = progress.finish(job.is_stopping() || incomplete.is_err());
    let incomplete = incomplete?;
    if let Some(redo) = job.redo().filter(|_| !job.is_stopping()) {
        redo.forget();
    }
    report::write_summary(&job.dataset)?;
    if !job.dataset.accounts()?.is_empty() {
        report::write_report(&job.dataset)?;
    }
    Ok(exit(&job, &totals, incomplete))
}

fn shard_failure(reason: String) -> anyhow::Error {
    Failure::usage(format!("--shard: {reason}"))
}

/// What parts of a list without a plan are balanced by.
fn file_bytes(entry: &SlideEntry) -> u64 {
    std::fs::metadata(&entry.path).map_or(0, |facts| facts.len())
}

fn exit(job: &Job, totals: &Totals, incomplete: bool) -> Exit {
    if job.is_stopping() {
        eprintln!("Stopped. All finished windows are kept: the same command goes on from here.");
        Exit::Again
    } else if totals.failed > 0 || incomplete {
        Exit::Incomplete
    } else {
        Exit::Done
    }
}

fn make_folder(dataset: &Dataset) -> anyhow::Result<()> {
    // Its own name: other runs may begin at the same moment.
    let probe = dataset.private().join(format!("probe-{}", isolate::job_name()));
    dataset.write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(|error| {
        Failure::output(format!("cannot write to the output folder: {error}: {}", dataset.root().display()))
    })
}

/// The first Ctrl-C or SIGTERM asks for an orderly end, the second quits now:
/// the ledger on disk is whole at any moment.
fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(Exit::Again.code());
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen to signals")?;
    }
    // From the supervisor: see `isolate`.
    signal_hook::flag::register(SIGUSR1, Arc::clone(&stop)).context("cannot listen to signals")?;
    Ok(stop)
}
