//! Runs the stages side by side: while one slide is merged and written, the next is already read, so the
//! model never waits between slides.
//!
//! ```text
//! prepare ─► feed ─► detector::Pump ─► collect
//! (open,     (fill   (model, then      (ledger, merge, write;
//!  plan)     batches) its answers)      the caller's thread)
//! ```
//!
//! Channels are bounded. Messages that are not batches travel in the same channels, so order never depends on
//! timing. A stage whose successor is gone ends.
//!
//! A read that never returns cannot be stopped. If nothing comes for too long the caller gets
//! [`JobError::Silent`], or [`JobError::SilentModel`] if the model has the batch, and the threads that hang
//! are left behind.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use dataset::DeviceShare;
use detector::{BatchView, Detector, DetectorError, DeviceAtWork, InFlight, Pump, Received, WindowResult};
use merger::{ColourDeconvolution, Sighting, Texture, WindowOutcome};
use tiler::{Batch, Batcher, ReadCounters, StreamSettings, WindowFault, WindowStream};
use wsi_types::{Detection, DetectorIndex, Stretch, WindowIndex, WindowKey};

use crate::{
    behind::{Behind, Copying},
    error::{JobError, panic_text},
    local_copies::LocalCopies,
    prepare::{Bringing, Facts, NotRun, Preparation, Prepared, prepare},
    settings::Settings,
    slides::SlideEntry,
    work::{Stop, Work},
};

/// Batches beside those that the pump has: one filled, one waiting.
const BATCHES_BEFORE_PUMP: usize = 2;
/// Batches of a job on one device, for which memory is not counted.
const USUAL_BATCHES: usize = 4;

/// Time between two looks at slides that other jobs are working on.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What comes from the stage that prepares slides.
pub(crate) enum Coming {
    /// The next slide.
    Slide(Preparation),
    /// Word that a slide is being copied, where nothing else goes on.
    Copying(Copying),
}

/// One step of the slide at work, in order.
pub(crate) enum Step {
    /// A slide that is not read.
    NotRun(Box<SlideEntry>, NotRun),
    /// A slide is being copied, and none is at work.
    Copying(Copying),
    /// A slide begins.
    Begin(Box<Prepared>),
    /// Windows of it ended, in order, of which so many were out of reach.
    Windows(Vec<(WindowKey, WindowOutcome)>, usize),
    /// A device is given up; the others go on.
    Retired(DeviceAtWork),
    /// All its windows ended, on these devices if there are several.
    End(ReadCounters, Vec<DeviceShare>),
    /// The job stops before all its windows ended.
    Cut,
}

/// Item that goes through the pump: a step that passes unchanged, or a batch.
#[derive(Default)]
struct Fed {
    step: Option<Step>,
    /// Detector of these windows.
    detector: DetectorIndex,
    /// Ends between which their pixels are stretched for it.
    stretch: Option<Stretch>,
    batch: Batch,
    faults: Vec<WindowFault>,
}

impl Fed {
    fn detector(&self) -> DetectorIndex {
        self.detector
    }

    fn view(&self) -> BatchView<'_> {
        let Batch { height, width, windows, pixels } = &self.batch;
        BatchView { height: *height, width: *width, windows, pixels, stretch: self.stretch }
    }
}

impl From<Step> for Fed {
    fn from(step: Step) -> Self {
        Self { step: Some(step), ..Self::default() }
    }
}

/// Source of slides: it sends them to the first channel as they are prepared; the second tells when one has
/// ended.
pub(crate) type Source = Box<dyn FnOnce(&Sender<Coming>, &Receiver<()>) + Send>;

/// Prepares the slides of a job one ahead of the one being read.
pub(crate) fn slides_of(work: Arc<Work>, slides: Vec<SlideEntry>, copies: Option<LocalCopies>) -> Source {
    Box::new(move |out, ended| {
        let tell = |copying| {
            let _ = out.try_send(Coming::Copying(copying));
        };
        let behind = Behind { tell: &tell, ended, stop: &work.stop };
        prepare_all(&slides, &work, copies.as_ref(), &behind, out);
    })
}

/// Runs all slides from `source`; hands each step to `collect` on this thread.
///
/// # Errors
///
/// An error of `collect`, an error that stops the model, [`JobError::Silent`] or [`JobError::SilentModel`].
pub(crate) fn run(
    settings: &Settings,
    detectors: Vec<Box<dyn Detector>>,
    stop: &Stop,
    source: Source,
    collect: impl FnMut(Step) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let (prepared_in, prepared) = bounded(0);
    let (fed_in, fed) = bounded(1);
    let room = Room::new(settings);
    let pump = Pump::start_several(detectors, fed, Fed::view, Fed::detector, room.in_flight())?;
    let batches = pump.in_flight() + BATCHES_BEFORE_PUMP;
    let (spare_in, spare) = bounded(batches);
    for _ in 0..batches {
        // There is room for each.
        let _ = spare_in.try_send(Batch::default());
    }
    let (ended_in, ended) = unbounded();
    let feeder = Feeder {
        stop: stop.clone(),
        batch: settings.batch,
        stream: StreamSettings {
            threads: settings.threads,
            ahead_windows: 2 * settings.batch * pump.devices().len().max(1),
            memory_bytes: Some(room.for_reading(batches)),
        },
    };
    let threads = [
        spawn("prepare", move || source(&prepared_in, &ended))?,
        spawn("feed", move || feeder.feed_all(&prepared, &spare, &fed_in))?,
    ];
    let result = drain(settings, pump, &spare_in, &ended_in, collect);
    // Closed, so that stages that wait on these channels end.
    drop((spare_in, ended_in));
    match result {
        // Threads that hang cannot be waited for.
        Err(silent @ (JobError::Silent { .. } | JobError::SilentModel { .. })) => Err(silent),
        other => threads.into_iter().map(join).fold(other, Result::and),
    }
}

/// Memory for pixels, of which batches for several devices take a part.
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: u64,
    batch_bytes: u64,
}

impl Room {
    fn new(settings: &Settings) -> Self {
        let side = u64::from(settings.window);
        Self { bytes: settings.memory, batch_bytes: settings.batch as u64 * side * side * 3 }
    }

    /// At most half of it goes to batches that only keep several devices from waiting for each other.
    fn in_flight(self) -> InFlight {
        InFlight { most: usize::try_from(self.bytes / 2 / self.batch_bytes.max(1)).unwrap_or(usize::MAX) }
    }

    /// What is left of it for reading ahead, beside so many batches.
    fn for_reading(self, batches: usize) -> u64 {
        let more = batches.saturating_sub(USUAL_BATCHES) as u64 * self.batch_bytes;
        self.bytes - more.min(self.bytes / 2)
    }
}

/// The devices of a job, with the windows of the slide at work that each has done.
#[derive(Debug, Default)]
struct Shares(Vec<DeviceShare>);

impl Shares {
    fn new(devices: Vec<DeviceAtWork>) -> Self {
        let shares = devices.into_iter();
        Self(shares.map(|at_work| DeviceShare { device: at_work.name, windows: 0, retired: None }).collect())
    }

    /// Notes which devices are retired now; gives those that were not before.
    fn note_retired(&mut self, devices: Vec<DeviceAtWork>) -> Vec<DeviceAtWork> {
        let mut newly = Vec::new();
        for (share, device) in self.0.iter_mut().zip(devices) {
            if device.retired.is_some() && share.retired.is_none() {
                share.retired.clone_from(&device.retired);
                newly.push(device);
            }
        }
        newly
    }

    fn add(&mut self, device: usize, windows: usize) {
        if let Some(share) = self.0.get_mut(device) {
            share.windows += windows;
        }
    }

    /// Begins to count for the next slide.
    fn begin(&mut self) {
        self.0.iter_mut().for_each(|share| share.windows = 0);
    }

    /// That of each device of several.
    fn of_several(&self) -> Vec<DeviceShare> {
        if self.0.len() > 1 { self.0.clone() } else { Vec::new() }
    }
}

/// The end of a job whose last device failed with `error`.
fn stopped(devices: &[DeviceAtWork], error: &DetectorError) -> JobError {
    const GOES_ON: &str = "the same command goes on";
    if devices.len() < 2 {
        return JobError::again(format!("the model stopped: {error}; {GOES_ON}"));
    }
    let retired = devices.iter().filter_map(|device| Some((&device.name, device.retired.as_ref()?)));
    let each: Vec<String> = retired.map(|(name, reason)| format!("{name}: {reason}")).collect();
    JobError::again(format!("the model stopped on every device; {}; {GOES_ON}", each.join("; ")))
}

/// Tells of devices that are given up, once.
fn tell_retired(
    devices: &mut Vec<DeviceAtWork>,
    collect: &mut impl FnMut(Step) -> Result<(), JobError>,
) -> Result<(), JobError> {
    devices.drain(..).try_for_each(|device| collect(Step::Retired(device)))
}

/// Takes the results from the pump until it ends.
fn drain(
    settings: &Settings,
    mut pump: Pump<Fed>,
    spare: &Sender<Batch>,
    ended: &Sender<()>,
    mut collect: impl FnMut(Step) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let patience = Duration::from_secs(settings.slide_timeout_secs);
    // One for each detector of the slide at work, if its pixels are measured.
    let mut measures: Vec<PixelMeasures> = Vec::new();
    let mut shares = Shares::new(pump.devices());
    // Devices that were retired with windows of a slide that has not begun here.
    let mut untold = Vec::new();
    loop {
        let done = match pump.recv_timeout(patience)? {
            Received::Done(done) => done,
            Received::End => return Ok(()),
            Received::Silent if pump.is_model_silent(patience / 2) => {
                return Err(JobError::SilentModel { patience });
            }
            Received::Silent => return Err(JobError::Silent { patience }),
        };
        let results = done.results.map_err(|error| stopped(&pump.devices(), &error))?;
        untold.extend(shares.note_retired(pump.devices()));
        let step = match done.batch {
            Fed { step: Some(mut step), .. } => {
                match &mut step {
                    Step::Begin(prepared) => {
                        measures = PixelMeasures::of_slide(&prepared.facts, settings);
                        shares.begin();
                    }
                    Step::End(_, of_slide) => *of_slide = shares.of_several(),
                    Step::NotRun(..)
                    | Step::Copying(_)
                    | Step::Windows(..)
                    | Step::Retired(_)
                    | Step::Cut => {}
                }
                step
            }
            fed => {
                shares.add(done.device, results.len());
                let of_detector = measures.get(usize::from(fed.detector.0));
                let pixels = of_detector.map(|measures| (measures, fed.view()));
                let out_of_reach = fed.faults.iter().filter(|fault| fault.out_of_reach).count();
                let windows = in_order(fed.detector, sightings(results, pixels), fed.faults);
                // If this fails, there is only one batch less.
                let _ = spare.try_send(fed.batch);
                Step::Windows(windows, out_of_reach)
            }
        };
        let is_last = matches!(step, Step::NotRun(..) | Step::End(..) | Step::Cut);
        match step {
            Step::Begin(_) => {
                collect(step)?;
                tell_retired(&mut untold, &mut collect)?;
            }
            Step::NotRun(..) | Step::Copying(_) => collect(step)?,
            Step::Windows(..) | Step::Retired(_) | Step::End(..) | Step::Cut => {
                tell_retired(&mut untold, &mut collect)?;
                collect(step)?;
            }
        }
        if is_last {
            let _ = ended.send(());
        }
    }
}

pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, JobError> {
    let thread = thread::Builder::new().name(name.into()).spawn(work);
    thread.map_err(|error| JobError::again(format!("cannot start a thread: {error}")))
}

fn join(thread: JoinHandle<()>) -> Result<(), JobError> {
    thread.join().map_err(|panic| JobError::fault(panic_text(panic.as_ref())))
}

/// Prepares slides one ahead of the one being read; in a job that crashed before, only when the one before
/// has ended. Slides that another job is working on go to the end of the line, again and again, until that
/// job has ended them or is gone.
fn prepare_all(
    slides: &[SlideEntry],
    work: &Work,
    copies: Option<&LocalCopies>,
    behind: &Behind<'_>,
    out: &Sender<Coming>,
) {
    let bringing = copies.map(|copies| Bringing { copies, behind });
    let mut waiting: VecDeque<&SlideEntry> = slides.iter().collect();
    let mut busy_in_a_row = 0;
    while let Some(entry) = waiting.pop_front() {
        let Some(preparation) = prepare(entry, work, bringing.as_ref()) else { return };
        if matches!(preparation, Preparation::NotRun(_, NotRun::Busy { .. })) {
            waiting.push_back(entry);
            busy_in_a_row += 1;
        } else {
            busy_in_a_row = 0;
        }
        if work.stop.is_asked() || out.send(Coming::Slide(preparation)).is_err() {
            return;
        }
        if work.marks.is_careful() && behind.ended.recv().is_err() {
            return;
        }
        if busy_in_a_row > 0 && busy_in_a_row >= waiting.len() {
            // No message comes when another process is done.
            let _ = crossbeam_channel::after(LOOK_AGAIN).recv();
            busy_in_a_row = 0;
        }
    }
}

/// Reads windows into batches.
struct Feeder {
    stop: Stop,
    batch: usize,
    stream: StreamSettings,
}

impl Feeder {
    fn feed_all(&self, prepared: &Receiver<Coming>, spare: &Receiver<Batch>, out: &Sender<Fed>) {
        let mut idle = Vec::new();
        for coming in prepared {
            let fed = match coming {
                Coming::Copying(copying) => out.send(Step::Copying(copying).into()).ok(),
                Coming::Slide(Preparation::Ready(prepared)) => self.feed(prepared, spare, &mut idle, out),
                Coming::Slide(Preparation::NotRun(entry, why)) => {
                    out.send(Step::NotRun(entry, why).into()).ok()
                }
            };
            if fed.is_none() {
                return;
            }
        }
    }

    /// Reads one slide's windows into batches, detector by detector. `None` if the successor is gone.
    fn feed(
        &self,
        prepared: Box<Prepared>,
        spare: &Receiver<Batch>,
        idle: &mut Vec<Batch>,
        out: &Sender<Fed>,
    ) -> Option<()> {
        let slide = Arc::clone(&prepared.facts.survey.slide);
        let plans: Vec<_> = prepared.facts.survey.plans.iter().cloned().zip(prepared.todo.clone()).collect();
        let mut counters = ReadCounters::default();
        let stretches = prepared.facts.stretches.clone();
        let mut begin = Some(prepared);
        for (detector, (plan, todo)) in DetectorIndex::all(plans.len()).zip(plans) {
            let mut stream = WindowStream::start(Arc::clone(&slide), plan, todo, self.stream);
            if let Some(prepared) = begin.take() {
                out.send(Step::Begin(prepared).into()).ok()?;
            }
            loop {
                if self.stop.is_asked() {
                    return out.send(Step::Cut.into()).ok();
                }
                let mut batch = idle.pop().or_else(|| spare.recv().ok())?;
                let mut faults = Vec::new();
                let filled = Batcher::new(self.batch).fill(&mut stream, &mut batch, &mut faults);
                if !filled && faults.is_empty() {
                    idle.push(batch);
                    break;
                }
                let stretch = stretches.of_detector(detector);
                out.send(Fed { step: None, detector, stretch, batch, faults }).ok()?;
            }
            add(&mut counters, &stream.counters());
        }
        out.send(Step::End(counters, Vec::new()).into()).ok()
    }
}

/// Adds the tiles that one detector needed to those of earlier detectors.
fn add(all: &mut ReadCounters, more: &ReadCounters) {
    all.tiles_needed += more.tiles_needed;
    all.tiles_decoded += more.tiles_decoded;
    all.tiles_failed += more.tiles_failed;
    all.tiles_absent += more.tiles_absent;
}

/// Measures of the pixels of each detection.
struct PixelMeasures {
    /// Unmixes the stains that are measured.
    stains: Option<ColourDeconvolution>,
    /// Unmixes hematoxylin and eosin, whose texture is measured.
    texture: Option<ColourDeconvolution>,
}

impl PixelMeasures {
    /// Those in the windows of each plan of a slide; none if the job asks for none.
    fn of_slide(facts: &Facts, settings: &Settings) -> Vec<Self> {
        let texture = settings.merging.features.texture;
        let of_plan = |stains: Option<ColourDeconvolution>| {
            (stains.is_some() || texture)
                .then(|| Self { stains, texture: texture.then(ColourDeconvolution::default) })
        };
        facts.deconvolutions().filter_map(of_plan).collect()
    }

    /// A detection with its measures; the `pixels` of its window are `width` px wide.
    fn sighting(&self, detection: Detection, pixels: &[u8], width: usize) -> Sighting {
        let stains = self.stains.as_ref().and_then(|unmix| unmix.of_detection(&detection, pixels, width));
        let texture =
            self.texture.as_ref().and_then(|unmix| Texture::of_detection(unmix, &detection, pixels, width));
        Sighting { stains, texture: texture.map(Box::new), detection }
    }
}

/// Detections of the model in each window of a batch, with their measures if `pixels` are given.
fn sightings(
    results: Vec<WindowResult>,
    pixels: Option<(&PixelMeasures, BatchView<'_>)>,
) -> Vec<(WindowIndex, WindowOutcome)> {
    let mut of_windows = pixels
        .into_iter()
        .flat_map(|(measures, batch)| batch.iter().map(move |(_, pixels)| (measures, pixels, batch.width)));
    results.into_iter().map(|result| (result.window, outcome(result, of_windows.next()))).collect()
}

/// Outcome of one window, with the measures of its detections if its pixels are given.
fn outcome(result: WindowResult, pixels: Option<(&PixelMeasures, &[u8], usize)>) -> WindowOutcome {
    let detections = match (result.outcome, result.map) {
        (Err(fault), _) => return WindowOutcome::Failed(fault.to_string()),
        (Ok(_), Some(map)) => return WindowOutcome::Map(map),
        (Ok(detections), None) => detections,
    };
    if let Some(vector) = result.embedding {
        return WindowOutcome::Vector(vector);
    }
    let seen = detections.into_iter().map(|detection| match pixels {
        Some((measures, pixels, width)) => measures.sighting(detection, pixels, width),
        None => detection.into(),
    });
    let seen = seen.collect();
    if result.is_full { WindowOutcome::Full(seen) } else { WindowOutcome::Detections(seen) }
}

/// Outcome of a window without pixels.
fn unread(fault: WindowFault) -> WindowOutcome {
    if fault.of_device { WindowOutcome::Unread(fault.reason) } else { WindowOutcome::Failed(fault.reason) }
}

/// Outcomes of the windows of a batch, in order of window.
fn in_order(
    detector: DetectorIndex,
    inferred: Vec<(WindowIndex, WindowOutcome)>,
    faults: Vec<WindowFault>,
) -> Vec<(WindowKey, WindowOutcome)> {
    let unread = faults.into_iter().map(|fault| (fault.window, unread(fault)));
    let ended = unread.chain(inferred).map(|(window, outcome)| (WindowKey::new(detector, window), outcome));
    let mut ended: Vec<_> = ended.collect();
    ended.sort_by_key(|(key, _)| *key);
    ended
}
