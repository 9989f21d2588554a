//! The whole run on one screen: slides in, one dataset out.

use std::path::PathBuf;

use anyhow::Context as _;
use dataset::{Dataset, RunAccount};
use engine::{
    Engine, Event, Job, JobEnd, JobError, JobPlan, JobSlides, Redo, Relisted, RunOptions, Settings, Shard,
    SlideEntry, Stop, Watch as _, find_slides, put_together, refuse_mistyped, refuse_own_files, sweep_copies,
    try_writing, without_likely_copies,
};
use report::MeasureRemark;
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
};

use crate::{
    exit::{Exit, Failure},
    isolate,
    knobs::AllOptions,
    machine, measure,
    progress::{Problem, Progress, Screen, counted},
    report,
    slide_files::slide_files,
    within::{Assigned, Within},
};

/// Find every cell of the given slides and write one dataset.
///
/// SLIDES are files, folders, quoted globs, or a CSV list with the columns path,
/// id, mpp, override_mpp and map_range (all but the first may be empty or left out). A run that was stopped or killed goes
/// on where it was when the same command is given again; slides that are done are
/// skipped.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill run slides/ -o results\n  \
    slidemill run \"slides/*.svs\" -o results --mpp 0.25 --overlap auto\n  \
    slidemill run slides/ -o results --within rois/ --exclude necrosis\n  \
    slidemill run slides/ -o results --within rois/ --margin-um -200,0,200 --margin-of tumor\n  \
    slidemill run slides/ -o results --shard 2/8\n  \
    slidemill run slides/ -o results --slab 2/8\n  \
    slidemill run night.csv -o results --model tumour.onnx --device cuda --json-logs")]
pub struct Run {
    /// Slides: files, folders, globs, addresses (https://, s3://, gs://, az://), or a CSV list; none: those of the plan in OUT
    #[arg(value_name = "SLIDES")]
    pub slides: Vec<PathBuf>,
    /// Folder for the dataset; made when it is not there
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// Only a part of the job: 2/8 is the second of eight. The parts may run at
    /// once, on several machines that share OUT
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Of each slide only a part of its windows: 2/8 is the second of eight. The parts may run
    /// at once, on several machines that share OUT; the same command without --slab then
    /// takes them together and ends the slides, with the bytes of a run that did it all
    #[arg(long, value_name = "I/N", conflicts_with_all = ["shard", "redo"])]
    pub slab: Option<String>,
    /// Settings file (TOML); flags come before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Do slides again whose results were made by another model or other settings,
    /// or that ended incomplete; interrupted, the same command goes on
    #[arg(long)]
    pub redo: bool,
    /// Where this list says something else of a slide than the list it came with, such as
    /// another patient, take what this one says; without it the list is refused
    #[arg(long)]
    pub correct_columns: bool,
    /// End with 65 where a model gave as many answers in a window as it can, so that
    /// objects may be missing; without it that is a warning
    #[arg(long)]
    pub strict: bool,
    /// One JSON event per line on standard output instead of progress bars
    #[arg(long)]
    pub json_logs: bool,
    /// Measures to make of the cells: hot spots, indices and grades, as a TOML file
    /// (docs/measures.md), or neuroendocrine-who-2019. OUT keeps it, and makes them
    /// again whenever the report is made
    #[arg(long, value_name = "FILE")]
    pub measure: Option<PathBuf>,
    /// Where to look and count.
    #[command(flatten)]
    pub within: Within,
    /// The settings themselves.
    #[command(flatten)]
    pub options: AllOptions,
}

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
    refuse_mistyped(&args.slides)?;
    let dataset = Dataset::at(&args.out).written_by(isolate::job_name());
    let read = args.slides.iter().filter(|slides| slides.is_file()).chain(&args.config);
    refuse_own_files(&dataset, read.map(PathBuf::as_path).chain(args.within.path()))?;
    if args.slides.is_empty() && !dataset.plan().exists() {
        JobPlan::read(&dataset)?;
    }
    make_folder(&dataset)?;
    let stage = stage_of(&args, &dataset);
    let ended = isolate::supervise(&dataset);
    if let Some(folder) = stage {
        // What a worker left that could not end in order.
        sweep_copies(&folder);
    }
    ended
}

/// The folder that slides are copied to, if that is known before the worker looks at the options.
fn stage_of(args: &Run, dataset: &Dataset) -> Option<PathBuf> {
    let of_file = args.config.as_deref().and_then(|file| RunOptions::from_file(file).ok());
    let of_plan = JobPlan::read(dataset).ok().filter(|_| args.slides.is_empty()).map(|plan| plan.options);
    let options = [Some(args.options.0.clone()), of_file, of_plan];
    options.into_iter().flatten().find_map(|options| options.stage)
}

/// The whole run, in this process.
///
/// # Errors
///
/// A failure that ends the job as a whole; what is wrong with one slide is in
/// the account of that slide and in the exit code.
pub fn run(args: Run) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
    let options = args.options.0.or(file);
    let shard = part_of("--shard", args.shard)?;
    let slab = part_of("--slab", args.slab)?;
    let dataset = Dataset::at(args.out).written_by(isolate::job_name());
    let typed: Vec<_> = args.slides.iter().map(|path| path.to_string_lossy()).collect();
    let asked = (typed, &options, shard.map(|shard| shard.to_string()), args.within.typed());
    let redo = args.redo.then(|| Redo::new(&dataset, &asked)).transpose()?;
    let mut found = JobSlides::default();
    let (slides, options) = if args.slides.is_empty() {
        if args.within.path().is_some() {
            return Err(Failure::usage(
                "--within is given for a planned job: give it to `slidemill plan`, which keeps the regions of interest",
            ));
        }
        args.within.refuse_margin(
            "for a planned job: give it to `slidemill plan`, which keeps the regions of interest and their bands",
        )?;
        let plan = JobPlan::read(&dataset)?;
        let options = options.or(plan.options.clone());
        plan.check(&Settings::on(&machine(), options.clone())?)?;
        (plan.entries(shard), options)
    } else {
        found = find_slides(&args.slides)?;
        let Assigned { mut slides, notes } = args.within.assign(std::mem::take(&mut found.slides))?;
        found.notes.extend(notes);
        put_together(&mut slides)?;
        let mine = match shard {
            Some(shard) => shard.keep(slides, SlideEntry::bytes),
            None => slides,
        };
        (mine, options)
    };
    let settings = Settings::on(&machine(), options)?;
    let definition = measure::definition(args.measure.as_deref(), &dataset)?;
    make_folder(&dataset)?;
    if let Some(definition) = definition {
        definition.write(&dataset)?;
    }
    found.notes.extend(agree(&Relisted::find(&dataset, &slides)?, args.correct_columns)?);

    let engine = match Engine::open(&settings) {
        Err(silent @ JobError::SilentModel { .. }) => isolate::give_up(&silent),
        opened => opened?,
    };
    let to_come = without_likely_copies(&slides);
    let sizes = to_come.into_iter().map(|entry| (entry.name(), entry.bytes()));
    let mut progress = Progress::new(args.json_logs, &dataset).expecting(sizes);
    let stop = Stop::new();
    stop_on_signals(&stop, progress.screen())?;
    for message in found.remarks() {
        progress.tell(&Event::Note { message });
    }
    let job = Job::new(&engine, dataset.clone());
    let job = match redo {
        Some(redo) => job.redo(redo),
        None => job,
    };
    let job = match slab {
        Some(slab) => job.slab(slab),
        None => job,
    };
    let ended = match job.run(&slides, &mut progress, &stop) {
        Err(silent @ (JobError::Silent { .. } | JobError::SilentModel { .. })) => isolate::give_up(&silent),
        ended => ended?,
    };
    let remarks = report::write_overall(&dataset, &slide_files(&dataset))?;
    if args.json_logs {
        measure::tell_as_notes(&remarks, &mut progress);
    } else {
        tell_end(progress.problems(), &remarks, &dataset);
    }
    let is_full = args.strict && has_full_windows(&dataset)?;
    let exit = exit(&ended);
    Ok(if is_full && exit == Exit::Done { Exit::Incomplete } else { exit })
}

/// Refuses a list that says something else of slides than is known of them, unless it is to be taken; a note for the user
/// then.
pub(crate) fn agree(relisted: &Relisted<'_>, correct: bool) -> anyhow::Result<Option<String>> {
    if correct {
        return Ok(relisted.correct()?);
    }
    relisted.refuse()?;
    Ok(None)
}

/// `true` if a model gave as many answers as it can in some window of the dataset.
fn has_full_windows(dataset: &Dataset) -> anyhow::Result<bool> {
    let accounts = dataset.accounts()?;
    let analyses = accounts.iter().filter_map(|path| RunAccount::read(path).ok()?.analysis);
    Ok(analyses.into_iter().any(|analysis| analysis.windows.full > 0))
}

/// The part that a flag names.
fn part_of(flag: &str, typed: Option<String>) -> anyhow::Result<Option<Shard>> {
    let parsed = typed.map(|text| text.parse()).transpose();
    parsed.map_err(|reason: String| Failure::usage(format!("{flag}: {reason}")))
}

/// Slides with problems that are named at the end of a run; the others are in the report.
const NAMED: usize = 20;

/// Names the slides that somebody has to look after, the measures that lack a value, and the report.
fn tell_end(problems: &[Problem], remarks: &[MeasureRemark], dataset: &Dataset) {
    if !problems.is_empty() {
        errln!("To be looked at: {}", counted(problems.len(), "slide"));
    }
    for Problem { name, reason } in problems.iter().take(NAMED) {
        errln!("  {name}: {reason}");
    }
    if problems.len() > NAMED {
        errln!("  and {} more, which the report names", problems.len() - NAMED);
    }
    measure::tell(remarks);
    if dataset.report().exists() {
        errln!("report    {}", dataset.report().display());
    }
}

fn exit(ended: &JobEnd) -> Exit {
    if ended.was_stopped {
        errln!("Stopped. All finished windows are kept: the same command goes on from here.");
        Exit::Again
    } else if ended.is_complete {
        Exit::Done
    } else if ended.is_out_of_reach {
        errln!(
            "A server or the network did not give all that is missing, and no slide is to blame: the same command tries \
             these slides again, and no others."
        );
        Exit::Again
    } else {
        Exit::Incomplete
    }
}

fn make_folder(dataset: &Dataset) -> anyhow::Result<()> {
    try_writing(dataset).map_err(|error| {
        Failure::output(format!("cannot write to the output folder: {error}: {}", dataset.root().display()))
    })
}

/// The first Ctrl-C or SIGTERM asks for an orderly end and says so at once, the second quits now: the ledger on disk is
/// whole at any moment. SIGUSR1 and SIGUSR2 are the supervisor's way to ask and to quit: a scheduler that signals it and
/// this process has signalled once, in whatever order they come. See `isolate`.
fn stop_on_signals(stop: &Stop, screen: Screen) -> anyhow::Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2]).context("cannot listen to signals")?;
    let stop = stop.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut direct = 0;
            for signal in signals.forever() {
                direct += u32::from(matches!(signal, SIGINT | SIGTERM));
                if signal == SIGUSR2 || direct > 1 {
                    screen.clear();
                    std::process::exit(i32::from(Exit::Again.code()));
                }
                if !stop.is_asked() {
                    stop.ask();
                    screen.say("Stopping after the windows at work; Ctrl-C once more quits at once.");
                }
            }
        })
        .context("cannot start a thread")?;
    Ok(())
}
