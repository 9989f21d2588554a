//! The worker processes of a service: one for each lane, and one for each file that is looked at.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use dataset::Dataset;
use engine::{Marks, sweep};
use service::{
    DicomObject, Event, Format, JobOptions, Lane, Measured, ModelCard, RunEnd, Runner, Stop, Task,
};
use wsi_types::wording::with_causes;

use super::{
    offer::convert_format,
    wire::{Order, Told},
};
use crate::isolate;

/// Time between two checks of whether a run is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Longest that the windows at work may take to end once a run is to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest that looking at the head of a file, or writing a format, may take.
const ERRAND: Duration = Duration::from_secs(600);

/// Workers that may die over the files of one request before the rest of its files is taken for hostile.
const IDENTIFY_DEATHS: u32 = 16;

/// Workers in a row that may die over one job: two cost a slide (see `isolate`), the third says so in its account.
const DEATHS: u32 = 4;

/// The worker processes.
pub(super) struct Workers {
    cards: Vec<ModelCard>,
    lanes: [Mutex<Option<Worker>>; 2],
    /// Result of loading the model of each lane; `None`: not loaded yet.
    opened: [Mutex<Option<Result<(), String>>>; 2],
    /// One look at a time: each replaces the one before.
    looking: Mutex<()>,
    when_refused: Box<dyn Fn() + Send + Sync>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    /// Workers with these models on offer; `when_refused` is called when the model cannot be loaded.
    pub(super) fn new(cards: Vec<ModelCard>, when_refused: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            cards,
            lanes: Default::default(),
            opened: Default::default(),
            looking: Mutex::default(),
            when_refused: Box::new(when_refused),
        }
    }

    /// Why a model could not be loaded.
    pub(super) fn refusal(&self) -> Option<String> {
        self.opened.iter().find_map(|opened| locked(opened).clone()?.err())
    }

    /// Runs a job in the worker of its lane, starting another as long as they die and the job can go on.
    fn run_in_lane(
        &self,
        lane: Lane,
        task: &Task,
        tell: &mut dyn FnMut(Event),
        stop: &Stop,
    ) -> anyhow::Result<RunEnd> {
        let dataset = Dataset::at(task.out()).written_by(isolate::job_name());
        let marks = Marks::new(&dataset);
        let mut worker = locked(&self.lanes[lane as usize]);
        for _ in 0..DEATHS {
            sweep(&dataset);
            let reason = match Worker::started(&mut worker)?.run(task, tell, stop) {
                Some(end) => {
                    marks.forget().context("cannot remove the mark of the job")?;
                    return Ok(end);
                }
                None => worker.take().map_or_else(String::new, Worker::death),
            };
            if stop.is_asked() {
                return Ok(RunEnd::Stopped);
            }
            marks.strike(&reason).context("cannot note that a worker died")?;
            errln!("slidemill: job {}: {reason}; going on with another worker", task.id);
        }
        Ok(RunEnd::Failed(format!("{DEATHS} worker processes in a row died over it")))
    }

    /// Has one order done by a process of its own.
    fn errand(order: &Order) -> Result<Told, String> {
        let mut worker = None;
        let started = Worker::started(&mut worker).map_err(|error| with_causes(error.as_ref()))?;
        let told = started.order(order).ok().and_then(|()| started.told.recv_timeout(ERRAND).ok());
        match (told, worker.take()) {
            (Some(Told::Refused(reason)), _) => Err(reason),
            (Some(told), _) => Ok(told),
            (None, Some(worker)) => Err(format!("the process that opened it died: {}", worker.death())),
            (None, None) => Err("no process could be started".to_owned()),
        }
    }
}

/// Tells which objects files are. Of files that a worker dies over, each half gets another: the file that it died of is
/// none, and costs the others nothing.
fn identify(files: &[PathBuf], deaths_left: &mut u32) -> Result<Vec<Option<DicomObject>>, String> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    match Workers::errand(&Order::Identify { files: files.to_vec() }) {
        Ok(Told::Identified(found)) if found.len() == files.len() => Ok(found),
        Ok(other) => Err(unexpected(&other)),
        Err(_) if files.len() == 1 || *deaths_left == 0 => Ok(vec![None; files.len()]),
        Err(_) => {
            *deaths_left -= 1;
            let (first, second) = files.split_at(files.len() / 2);
            Ok([identify(first, deaths_left)?, identify(second, deaths_left)?].concat())
        }
    }
}

impl Runner for Workers {
    fn models(&self) -> &[ModelCard] {
        &self.cards
    }

    fn prepare(&self, lane: Lane) {
        let mut worker = locked(&self.lanes[lane as usize]);
        let opened =
            Worker::started(&mut worker).map_err(|error| with_causes(error.as_ref())).and_then(Worker::open);
        let is_refused = opened.is_err();
        if is_refused {
            *worker = None;
        }
        *locked(&self.opened[lane as usize]) = Some(opened);
        if is_refused {
            (self.when_refused)();
        }
    }

    fn ready(&self) -> Result<(), String> {
        for opened in &self.opened {
            locked(opened).clone().unwrap_or_else(|| Err("the model is being loaded".to_owned()))?;
        }
        Ok(())
    }

    fn measure(&self, slide: &Path, options: &JobOptions) -> Result<Measured, String> {
        let order = Order::Measure { slide: slide.to_owned(), options: options.clone() };
        match Self::errand(&order)? {
            Told::Measured(measured) => Ok(measured),
            other => Err(unexpected(&other)),
        }
    }

    fn identify(&self, files: &[PathBuf]) -> Result<Vec<Option<DicomObject>>, String> {
        identify(files, &mut { IDENTIFY_DEATHS })
    }

    fn run(&self, lane: Lane, task: &Task, tell: &mut dyn FnMut(Event), stop: &Stop) -> RunEnd {
        // Messages that name files go to the operator alone.
        self.run_in_lane(lane, task, tell, stop).unwrap_or_else(|error| {
            errln!("slidemill: job {}: {}", task.id, with_causes(error.as_ref()));
            RunEnd::Failed(
                "the service could not run it; its operator finds the reason in its log".to_owned(),
            )
        })
    }

    fn look(&self, task: &Task) -> Result<bool, String> {
        let _one = locked(&self.looking);
        match Self::errand(&Order::Look(task.clone()))? {
            Told::Looked(is_some) => Ok(is_some),
            other => Err(unexpected(&other)),
        }
    }

    fn export(&self, task: &Task, format: Format) -> Result<PathBuf, String> {
        if let Some(path) = exported(&task.exports(), convert_format(format)) {
            return Ok(path);
        }
        match Self::errand(&Order::Export { task: task.clone(), format })? {
            Told::Exported(path) => Ok(path),
            other => Err(unexpected(&other)),
        }
    }
}

/// Path of the file in that format that was written before, if there is one.
fn exported(folder: &Path, format: convert::Format) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A slide's id has no other point-and-ending of these.
        !name.starts_with(whole_file::TEMPORARY_PREFIX) && name.ends_with(format.ending())
    })
}

fn unexpected(told: &Told) -> String {
    format!("a worker answered out of turn: {told:?}")
}

/// A worker process.
struct Worker {
    child: Child,
    orders: ChildStdin,
    told: Receiver<Told>,
}

impl Worker {
    /// The worker that is there, or a new one.
    fn started(place: &mut Option<Self>) -> anyhow::Result<&mut Self> {
        if place.as_mut().is_some_and(|worker| !matches!(worker.child.try_wait(), Ok(None))) {
            *place = None;
        }
        match place {
            Some(worker) => Ok(worker),
            None => Ok(place.insert(Self::start()?)),
        }
    }

    fn start() -> anyhow::Result<Self> {
        /// Events that wait to be read.
        const EVENTS: usize = 64;
        let mut command = isolate::child_command()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a worker process")?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            anyhow::bail!("a worker process has no standard input or output");
        };
        let (sender, told) = bounded(EVENTS);
        thread::Builder::new()
            .name("worker".into())
            .spawn(move || read_all(answers, &sender))
            .context("cannot start a thread")?;
        Ok(Self { child, orders, told })
    }

    fn order(&mut self, order: &Order) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line)
    }

    fn open(&mut self) -> Result<(), String> {
        let told = self.order(&Order::Open).ok().and_then(|()| self.told.recv().ok());
        match told {
            Some(Told::Opened) => Ok(()),
            Some(Told::Refused(reason)) => Err(reason),
            Some(other) => Err(unexpected(&other)),
            None => Err("the worker process died while it loaded the model".to_owned()),
        }
    }

    /// `None` when the process died, or had to be ended.
    fn run(&mut self, task: &Task, tell: &mut dyn FnMut(Event), stop: &Stop) -> Option<RunEnd> {
        self.order(&Order::Run(task.clone())).ok()?;
        let mut asked: Option<Instant> = None;
        loop {
            match self.told.recv_timeout(LOOK) {
                Ok(Told::Event(event)) => tell(event),
                Ok(Told::Ended) => return Some(RunEnd::Ended),
                Ok(Told::Stopped) => return Some(RunEnd::Stopped),
                Ok(Told::Refused(reason)) => return Some(RunEnd::Failed(reason)),
                Ok(other) => return Some(RunEnd::Failed(unexpected(&other))),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            match asked {
                None if stop.is_asked() => {
                    asked = Some(Instant::now());
                    self.order(&Order::Stop).ok()?;
                }
                Some(asked) if asked.elapsed() > PATIENCE => return None,
                _ => {}
            }
        }
    }

    /// Ends the process, if it has not ended; why it did, in words.
    fn death(mut self) -> String {
        // One that closed its output is ending; one that is silent is ended.
        if self.told.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let _ = self.child.kill();
        }
        self.child.wait().map_or_else(|error| error.to_string(), isolate::reason)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It holds nothing that is not on the disk.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(answers: ChildStdout, told: &Sender<Told>) {
    // When the run that waits is gone, so is the process.
    let _ = BufReader::new(answers).lines().map_while(parsed).try_for_each(|line| told.send(line));
}

fn parsed(line: std::io::Result<String>) -> Option<Told> {
    serde_json::from_str(&line.ok()?).ok()
}
