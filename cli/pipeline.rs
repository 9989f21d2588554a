//! The stages side by side: while one slide is merged and written, the next is
//! already read, so the model never waits between slides.
//!
//! ```text
//! prepare ─► feed ─► detector::Pump ─► collect
//! (open,     (fill   (model, then      (ledger, merge, write;
//!  plan)     batches) its answers)      the caller's thread)
//! ```
//!
//! Channels are bounded. What is not a batch travels in the same channels, so
//! order never depends on timing. A stage whose successor is gone ends.

use std::{collections::VecDeque, sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use detector::{BatchView, Detector, Pump, WindowResult};
use merger::{ColourDeconvolution, Sighting, WindowOutcome};
use tiler::{Batch, Batcher, ReadCounters, StreamSettings, WindowFault, WindowStream};
use wsi_types::WindowIndex;

use crate::{
    detectors::tagged,
    exit::Failure,
    isolate,
    job::SlideEntry,
    prepare::{Job, Preparation, Prepared, prepare},
};

/// Batches in flight: one filled, one waiting, one at the model, one decoded.
const BATCHES: usize = 4;

/// How often slides that other runs have in hand are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One thing that happened to the slide at work, in order.
pub enum Step {
    /// A slide that is not read.
    NotRun(SlideEntry, Preparation),
    /// A slide begins.
    Begin(Box<Prepared>),
    /// Windows of it ended, in order of window; [`tagged`].
    Windows(Vec<(WindowIndex, WindowOutcome)>),
    /// All its windows ended.
    End(ReadCounters),
    /// The job stops before all its windows ended.
    Cut,
}

/// What goes through the pump: a step that passes untouched, or a batch.
#[derive(Default)]
struct Fed {
    step: Option<Step>,
    batch: Batch,
    faults: Vec<WindowFault>,
}

impl Fed {
    fn view(&self) -> BatchView<'_> {
        let Batch { height, width, windows, pixels } = &self.batch;
        BatchView { height: *height, width: *width, windows, pixels }
    }
}

impl From<Step> for Fed {
    fn from(step: Step) -> Self {
        Self { step: Some(step), ..Self::default() }
    }
}

/// Runs all slides; hands each step to `collect` on this thread.
///
/// # Errors
///
/// What `collect` says, or what stops the model.
pub fn run(
    slides: &[SlideEntry],
    job: &Job,
    detector: Box<dyn Detector>,
    mut collect: impl FnMut(Step) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (prepared_in, prepared) = bounded(0);
    let (fed_in, fed) = bounded(1);
    let (spare_in, spare) = bounded(BATCHES);
    for _ in 0..BATCHES {
        spare_in.send(Batch::default()).context("batches")?;
    }
    let (ended_in, ended) = bounded(slides.len());
    let watchdog = Watchdog::start(job)?;
    let stains = job.settings.stains.then(ColourDeconvolution::default);
    thread::scope(|scope| {
        // Owned here, so that an early return closes the channels and ends all.
        let (mut pump, spare_in, ended_in) = (Pump::start(detector, fed, Fed::view)?, spare_in, ended_in);
        spawn(scope, "prepare", move || prepare_all(slides, job, &ended, &prepared_in))?;
        spawn(scope, "feed", move || feed_all(job, &prepared, &spare, &fed_in))?;
        while let Some(done) = pump.recv()? {
            watchdog.stroke();
            let results = done.results.map_err(|error| {
                Failure::again(format!("the model stopped: {error}; the same command goes on"))
            })?;
            let step = match done.batch {
                Fed { step: Some(step), .. } => step,
                fed => {
                    let pixels = stains.as_ref().map(|stains| (stains, fed.view()));
                    let ended = in_order(sightings(results, pixels), fed.faults);
                    // A store that is full only means one batch less.
                    let _ = spare_in.try_send(fed.batch);
                    Step::Windows(ended)
                }
            };
            let is_last = matches!(step, Step::NotRun(..) | Step::End(_) | Step::Cut);
            collect(step)?;
            if is_last {
                let _ = ended_in.try_send(());
            }
        }
        Ok(())
    })
}

fn spawn<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> anyhow::Result<()> {
    thread::Builder::new().name(name.into()).spawn_scoped(scope, work).context("cannot start a thread")?;
    Ok(())
}

/// Prepares slides one ahead of the one being read; in a job that crashed
/// before, only when the one before has ended. Slides that another run has in
/// hand come back to the end of the line until that run ended them or is gone.
fn prepare_all(
    slides: &[SlideEntry],
    job: &Job,
    ended: &Receiver<()>,
    out: &Sender<(SlideEntry, Preparation)>,
) {
    let mut waiting: VecDeque<&SlideEntry> = slides.iter().collect();
    let mut busy_in_a_row = 0;
    while let Some(entry) = waiting.pop_front() {
        let preparation = prepare(entry, job);
        if matches!(preparation, Preparation::Busy { .. }) {
            waiting.push_back(entry);
            busy_in_a_row += 1;
        } else {
            busy_in_a_row = 0;
        }
        if job.is_stopping() || out.send((entry.clone(), preparation)).is_err() {
            return;
        }
        if job.marks.is_careful() && ended.recv().is_err() {
            return;
        }
        if busy_in_a_row > 0 && busy_in_a_row >= waiting.len() {
            // Nobody here can be told when another process is done.
            let _ = crossbeam_channel::after(LOOK_AGAIN).recv();
            busy_in_a_row = 0;
        }
    }
}

fn feed_all(
    job: &Job,
    prepared: &Receiver<(SlideEntry, Preparation)>,
    spare: &Receiver<Batch>,
    out: &Sender<Fed>,
) {
    let mut idle = Vec::new();
    for (entry, preparation) in prepared {
        let fed = match preparation {
            Preparation::Ready(prepared) => feed(*prepared, job, spare, &mut idle, out),
            other => out.send(Step::NotRun(entry, other).into()).ok(),
        };
        if fed.is_none() {
            return;
        }
    }
}

/// Reads one slide's windows into batches, detector by detector. `None` when the
/// successor is gone.
fn feed(
    prepared: Prepared,
    job: &Job,
    spare: &Receiver<Batch>,
    idle: &mut Vec<Batch>,
    out: &Sender<Fed>,
) -> Option<()> {
    let settings = StreamSettings {
        threads: job.settings.threads,
        ahead_windows: 2 * job.settings.batch,
        memory_bytes: Some(job.settings.memory),
    };
    let slide = Arc::clone(&prepared.facts.slide);
    let plans = prepared.facts.looks.iter().map(|look| Arc::clone(&look.plan));
    let looks: Vec<_> = plans.zip(prepared.todo.clone()).collect();
    let mut counters = ReadCounters::default();
    let mut begin = Some(prepared);
    for (detector, (plan, todo)) in looks.into_iter().enumerate() {
        let mut stream = WindowStream::start(Arc::clone(&slide), plan, todo, settings);
        if let Some(prepared) = begin.take() {
            out.send(Step::Begin(Box::new(prepared)).into()).ok()?;
        }
        loop {
            if job.is_stopping() {
                return out.send(Step::Cut.into()).ok();
            }
            let mut batch = idle.pop().or_else(|| spare.recv().ok())?;
            let mut faults = Vec::new();
            let filled = Batcher::new(job.settings.batch).fill(&mut stream, &mut batch, &mut faults);
            if !filled && faults.is_empty() {
                idle.push(batch);
                break;
            }
            batch.windows.iter_mut().for_each(|window| *window = tagged(detector, *window));
            faults.iter_mut().for_each(|fault| fault.window = tagged(detector, fault.window));
            out.send(Fed { step: None, batch, faults }).ok()?;
        }
        add(&mut counters, &stream.counters());
    }
    out.send(Step::End(counters).into()).ok()
}

/// Adds the tiles that one detector needed to those of the ones before.
fn add(all: &mut ReadCounters, more: &ReadCounters) {
    all.tiles_needed += more.tiles_needed;
    all.tiles_decoded += more.tiles_decoded;
    all.tiles_failed += more.tiles_failed;
    all.tiles_absent += more.tiles_absent;
}

/// What the model found in each window of a batch, with its stains where
/// `pixels` are given.
fn sightings(
    results: Vec<WindowResult>,
    pixels: Option<(&ColourDeconvolution, BatchView<'_>)>,
) -> Vec<(WindowIndex, WindowOutcome)> {
    let mut of_windows = pixels
        .into_iter()
        .flat_map(|(stains, batch)| batch.iter().map(move |(_, pixels)| (stains, pixels, batch.width)));
    let outcome = |result: WindowResult| {
        let pixels = of_windows.next();
        let measured = |detection| Sighting {
            stains: pixels.and_then(|(stains, pixels, width)| stains.of_detection(&detection, pixels, width)),
            detection,
        };
        let outcome = match result.outcome {
            Ok(detections) => WindowOutcome::Detections(detections.into_iter().map(measured).collect()),
            Err(fault) => WindowOutcome::Failed(fault.to_string()),
        };
        (result.window, outcome)
    };
    results.into_iter().map(outcome).collect()
}

/// What the windows of a batch gave, in order of window.
fn in_order(
    inferred: Vec<(WindowIndex, WindowOutcome)>,
    faults: Vec<WindowFault>,
) -> Vec<(WindowIndex, WindowOutcome)> {
    let unread = faults.into_iter().map(|fault| (fault.window, WindowOutcome::Failed(fault.reason)));
    let mut ended: Vec<_> = unread.chain(inferred).collect();
    ended.sort_by_key(|(window, _)| *window);
    ended
}

/// Ends the process when nothing happens for too long: a read that never
/// returns cannot be taken back, but its process can.
struct Watchdog {
    strokes: Sender<()>,
}

impl Watchdog {
    fn start(job: &Job) -> anyhow::Result<Self> {
        let (strokes, stroked) = bounded(1);
        let patience = Duration::from_secs(job.settings.slide_timeout_secs);
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                loop {
                    match stroked.recv_timeout(patience) {
                        Ok(()) => {}
                        Err(RecvTimeoutError::Timeout) => isolate::give_up(patience),
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { strokes })
    }

    /// Something happened.
    fn stroke(&self) {
        let _ = self.strokes.try_send(());
    }
}
