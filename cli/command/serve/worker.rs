//! A worker process: it opens what strangers sent, so that the service need not.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::Context as _;
use convert::{CellTable, Choice, DicomIdentity, DicomSlide, Source, read_regions};
use crossbeam_channel::{Receiver, Sender, unbounded};
use dataset::{Dataset, RunAccount};
use engine::{Engine, Job, JobError, Onlooker, RunOptions, Settings, SlideEntry, Watch, try_writing};
use rustix::process::{Resource, Rlimit, setrlimit};
use service::{DicomObject, JobOptions, Measured, Task};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use wsi_types::{Mpp, wording::with_causes};

use super::{
    offer::{Offer, convert_format},
    wire::{Order, Told},
};
use crate::{command::export, exit::Exit, isolate, machine};

/// Does what standard input orders until it is closed.
///
/// # Errors
///
/// When a thread cannot be started, or nobody listens any more.
pub(super) fn work(offer: &Offer, memory: u64) -> anyhow::Result<Exit> {
    isolate::end_with_parent();
    // Answers come before results.
    let _ = rustix::process::nice(5);
    let at_work = AtWork::default();
    at_work.stop_on_signals()?;
    let mut worker = Worker { offer, memory, engines: BTreeMap::new() };
    for Ordered { order, stop } in at_work.read_orders()? {
        let told = match order {
            Order::Open => worker.engine(&JobOptions::default()).map(|_| Told::Opened),
            Order::Run(task) => worker.run(&task, &stop),
            Order::Measure { slide, options } => {
                worker.limited().and_then(|()| measure(offer, &slide, &options).map(Told::Measured))
            }
            Order::Identify { files } => worker.limited().map(|()| Told::Identified(identify(&files))),
            Order::Look(task) => worker.limited().and_then(|()| of_job(&task, look(&task)).map(Told::Looked)),
            Order::Export { task, format } => worker
                .limited()
                .and_then(|()| of_job(&task, export(&task, convert_format(format))).map(Told::Exported)),
            Order::Stop => continue,
        };
        tell(&told.unwrap_or_else(Told::Refused))?;
    }
    Ok(Exit::Done)
}

/// Writes a line to the service.
fn tell(told: &Told) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).context("the service is gone")
}

/// An order, and what stops it.
struct Ordered {
    order: Order,
    stop: engine::Stop,
}

/// Stop of the order that came last.
#[derive(Clone, Default)]
struct AtWork(Arc<Mutex<engine::Stop>>);

impl AtWork {
    fn stop(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ask();
    }

    fn begin(&self) -> engine::Stop {
        let stop = engine::Stop::new();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stop.clone();
        stop
    }

    /// A scheduler, a terminal or the end of the service may signal every process: windows at work end, and standard
    /// input says what is next.
    fn stop_on_signals(&self) -> anyhow::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
        let at_work = self.clone();
        spawn("signals", move || signals.forever().for_each(|_| at_work.stop()))
    }

    fn read_orders(&self) -> anyhow::Result<Receiver<Ordered>> {
        let (sender, orders) = unbounded();
        let at_work = self.clone();
        spawn("orders", move || at_work.read_all(&sender))?;
        Ok(orders)
    }

    fn read_all(&self, orders: &Sender<Ordered>) {
        for line in io::stdin().lock().lines() {
            let Some(order) = line.ok().and_then(|line| serde_json::from_str::<Order>(&line).ok()) else {
                break;
            };
            if matches!(order, Order::Stop) {
                self.stop();
                continue;
            }
            let stop = self.begin();
            if orders.send(Ordered { order, stop }).is_err() {
                break;
            }
        }
        // Nobody wants the rest.
        self.stop();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work).context("cannot start a thread")?;
    Ok(())
}

struct Worker<'a> {
    offer: &'a Offer,
    memory: u64,
    engines: BTreeMap<PathBuf, Engine>,
}

impl Worker<'_> {
    /// The engine with the model of a request; opened once.
    fn engine(&mut self, options: &JobOptions) -> Result<&Engine, String> {
        let model = self.offer.model(options.model.as_deref())?;
        if !self.engines.contains_key(model) {
            let options = RunOptions { model: Some(model.to_owned()), ..self.offer.options.clone() };
            let settings = Settings::on(&machine(), options).map_err(|error| error.to_string())?;
            let engine = Engine::open(&settings).map_err(|error| error.to_string())?;
            // A GPU's libraries map far more than they use.
            if engine.device().to_lowercase().contains("cpu") {
                self.limited()?;
            }
            self.engines.insert(model.to_owned(), engine);
        }
        self.engines.get(model).ok_or_else(|| "a model that was opened is gone".to_owned())
    }

    /// From here on the process takes no more memory than it may.
    fn limited(&self) -> Result<(), String> {
        let limit = Rlimit { current: Some(self.memory), maximum: Some(self.memory) };
        setrlimit(Resource::As, limit)
            .map_err(|error| format!("cannot limit the memory of a worker: {error}"))
    }

    fn run(&mut self, task: &Task, stop: &engine::Stop) -> Result<Told, String> {
        let slide = entry(self.offer, &task.slide, &task.options)?;
        let engine = self.engine(&task.options)?;
        let dataset = Dataset::at(task.out()).written_by(isolate::job_name());
        try_writing(&dataset).map_err(|error| format!("cannot write results: {}", error.kind()))?;
        let ended = Job::new(engine, dataset).run(&[slide], &mut Wire, stop);
        match ended {
            Ok(end) if end.was_stopped => Ok(Told::Stopped),
            Ok(_) => Ok(Told::Ended),
            Err(silent @ (JobError::Silent { .. } | JobError::SilentModel { .. })) => {
                isolate::give_up(&silent)
            }
            Err(error) => Err(without_paths(&error.to_string(), task)),
        }
    }
}

/// Hands events on to the service.
struct Wire;

impl Watch for Wire {
    fn tell(&mut self, event: &engine::Event) {
        if let Ok(serde_json::Value::Object(event)) = serde_json::to_value(event) {
            // Without a service the end of standard input ends the job.
            let _ = tell(&Told::Event(event));
        }
    }
}

fn entry(offer: &Offer, slide: &Path, options: &JobOptions) -> Result<SlideEntry, String> {
    let mut entry = SlideEntry::at(slide);
    (entry.mpp, entry.override_mpp) = (checked(options.mpp)?, checked(options.override_mpp)?);
    entry.frame = options.frame;
    if options.own_grid {
        let mpp = offer.mpp(options.model.as_deref())?;
        entry.override_mpp =
            Some(mpp.ok_or(
                "the model does not say its microns per pixel, so it has no grid to take for own_grid",
            )?);
    }
    Ok(entry)
}

fn checked(mpp: Option<f64>) -> Result<Option<Mpp>, String> {
    mpp.map(Mpp::new).transpose().map_err(|error| error.to_string())
}

/// An answer that names no file.
fn of_job<T>(task: &Task, answer: anyhow::Result<T>) -> Result<T, String> {
    answer.map_err(|error| without_paths(&with_causes(error.as_ref()), task))
}

/// A message without the places it tells of.
fn without_paths(message: &str, task: &Task) -> String {
    [&task.slide, &task.folder]
        .into_iter()
        .fold(message.to_owned(), |text, path| text.replace(&*path.to_string_lossy(), "(a file of the job)"))
}

/// Reads the head of a slide's file, if a job can be made of it.
fn measure(offer: &Offer, slide: &Path, options: &JobOptions) -> Result<Measured, String> {
    let settings = Settings::on(&machine(), offer.options.clone()).map_err(|error| error.to_string())?;
    let entry = entry(offer, slide, options)?;
    let opened =
        entry.open(settings.map_range).map_err(|error| format!("the slide cannot be opened: {error}"))?;
    let info = opened.info();
    if !settings.estimate_mpp {
        wsi_reader::resolve_scale(info, entry.given_scale(&settings)).map_err(|problem| {
            format!("the scale of the slide is not known: {problem}; give it, in microns per pixel, as the option mpp, or ask for own_grid where it has none")
        })?;
    }
    let base = info.pyramid.base();
    Ok(Measured {
        size_px: [base.width(), base.height()],
        is_dicom: info.format == "dicom",
        study_id: info.properties.get("dicom.StudyInstanceUID").cloned(),
        series_id: info.properties.get("dicom.SeriesInstanceUID").cloned(),
    })
}

fn identify(files: &[PathBuf]) -> Vec<Option<DicomObject>> {
    let read = files.iter().map(|file| DicomIdentity::read(file).ok());
    let objects = read.map(|found| {
        let DicomIdentity { class_uid, instance_uid, study_uid, series_uid } = found?;
        Some(DicomObject { class_uid, instance_uid, study_uid, series_uid })
    });
    objects.collect()
}

/// Writes the results so far as a dataset; whether there are any.
fn look(task: &Task) -> anyhow::Result<bool> {
    let mut onlooker = Onlooker::new(&Dataset::at(task.out()), machine());
    let Some(preliminary) = onlooker.look()?.pop() else { return Ok(false) };
    let so_far = task.so_far();
    if so_far.exists() {
        fs::remove_dir_all(&so_far)?;
    }
    fs::rename(preliminary.dataset.root(), &so_far)?;
    let (dataset, account) = (Dataset::at(so_far), preliminary.account);
    dataset.write(&dataset.account(&account.slide), &dataset::sealed(&account)?)?;
    Ok(true)
}

/// Writes the results of a job in a format; gives the file.
fn export(task: &Task, format: convert::Format) -> anyhow::Result<PathBuf> {
    let dataset = Dataset::at(task.out());
    let RunAccount { slide: id, analysis, .. } =
        dataset.read_accounts()?.pop().context("the job has left no account")?;
    let analysis = analysis.context("the job has no results")?;
    let table = dataset.cells(&id);
    let cells = CellTable::open(&table)?;
    let facts = export::facts(&cells, &table, &id, &analysis)?;
    let regions = read_regions(&dataset.regions(&id))?;
    let dicom_slide = match task.slide.exists() {
        true => DicomSlide::open(&task.slide, &facts)?,
        false => None,
    };
    let settings = convert::Settings { dicom_slide, ..convert::Settings::default() };
    let choice = Choice::default();
    let source = Source { facts: &facts, cells: &cells, regions: &regions, choice: &choice };
    let folder = task.exports();
    fs::create_dir_all(&folder)?;
    convert::export(format, &source, &settings, &folder)?;
    Ok(format.path(&folder, &facts))
}
