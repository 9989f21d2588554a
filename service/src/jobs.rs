//! All jobs: who waits, who runs, who has ended.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dataset::Outcome;
use tokio::sync::watch;

use crate::{
    clock::secs_now,
    error::ServiceError,
    format::DicomResult,
    id::JobId,
    job::{Ended, JobView, Lane, Links, Once, Request, State, Task, WindowCount},
    pace::{AtWork, Pace},
    push::{Due, Push, PushState, Targets},
    runner::{Event, RunEnd, Stop, count},
    store::{EventLog, Found, Incoming, Store, outcome_in},
};

/// Shortest time between two reports of a job's progress.
const WINDOWS_TOLD: Duration = Duration::from_millis(250);

/// All jobs of a folder.
pub(crate) struct Jobs {
    pub(crate) store: Store,
    /// Held while files of a series are moved: one series takes instances, or ends, at a time.
    pub(crate) gathering: Mutex<()>,
    /// Jobs that may wait, uploads on their way included.
    most_waiting: usize,
    inner: Mutex<Inner>,
    /// Something may be taken, or nothing more.
    turns: Condvar,
    stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct Inner {
    jobs: BTreeMap<JobId, Entry>,
    lines: [Line; 2],
    reserved: usize,
    once: BTreeMap<String, Known>,
    /// Requests that bring instances of series, by the token's name.
    bringing: BTreeMap<Option<Arc<str>>, usize>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<JobId>,
    running: Option<JobId>,
    pace: Pace,
}

struct Entry {
    request: Request,
    state: State,
    ended: Option<Ended>,
    /// By target.
    pushes: BTreeMap<String, Push>,
    windows: WindowCount,
    /// Of them, done by an earlier run.
    resumed: u64,
    cells: u64,
    queued: Instant,
    began: Option<Instant>,
    stop: Stop,
    /// Counts what happens.
    changed: watch::Sender<u64>,
}

/// State of an `Idempotency-Key`.
#[derive(Clone)]
enum Known {
    /// The first request with it has not ended.
    Coming,
    Job(JobId, Once),
}

/// A place in the queue that nobody else gets; given back when it is dropped.
pub(crate) struct Place(Arc<Jobs>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().reserved -= 1;
    }
}

/// The only request with a key; another one is refused until it is dropped.
pub(crate) struct First {
    jobs: Arc<Jobs>,
    key: String,
}

impl First {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let mut inner = self.jobs.lock();
        if matches!(inner.once.get(&self.key), Some(Known::Coming)) {
            inner.once.remove(&self.key);
        }
    }
}

/// A request that brings instances of series.
pub(crate) struct Bringing {
    jobs: Arc<Jobs>,
    who: Option<Arc<str>>,
}

impl Drop for Bringing {
    fn drop(&mut self) {
        let mut inner = self.jobs.lock();
        if let Some(count) = inner.bringing.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                inner.bringing.remove(&self.who);
            }
        }
    }
}

/// Answer to a request's `Idempotency-Key`.
pub(crate) enum Keyed {
    /// Nobody used it.
    First(First),
    /// It stands for this job.
    Job(JobId, Once),
    /// A request with it is on its way.
    Coming,
}

/// Settings of what happens when a job ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AtEnd<'a> {
    /// `true` if what was sent is kept.
    pub(crate) keep_uploads: bool,
    /// The target that results are sent to.
    pub(crate) push_to: Option<&'a str>,
}

/// A job whose turn it is.
pub(crate) struct Turn {
    pub(crate) task: Task,
    pub(crate) stop: Stop,
    pub(crate) request: Request,
    /// Time that it waited.
    pub(crate) waited: Duration,
    log: Option<EventLog>,
    told: Option<Instant>,
}

/// Jobs by state, and how many wait in each lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) states: BTreeMap<State, u64>,
}

impl Turn {
    /// `true` if its progress was told a moment ago; otherwise it is told now.
    fn is_told_already(&mut self, windows: WindowCount) -> bool {
        let is_recent = self.told.is_some_and(|told| told.elapsed() < WINDOWS_TOLD);
        if is_recent && windows.done < windows.total {
            return true;
        }
        self.told = Some(Instant::now());
        false
    }
}

impl Jobs {
    /// The jobs of a folder; those that have not ended wait again, in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Data`] when one cannot be read.
    pub(crate) fn open(store: Store, most_waiting: usize) -> Result<Self, ServiceError> {
        let mut inner = Inner::default();
        let mut cancelled = Vec::new();
        for Found { id, request, ended, pushes } in store.jobs()? {
            if ended.as_ref().is_some_and(|ended| ended.state == State::Cancelled) {
                cancelled.push(id);
                continue;
            }
            inner.add(id, request, ended, pushes);
        }
        for id in cancelled {
            let erased = store.erase(id);
            erased.map_err(|reason| ServiceError::Data {
                doing: "erase a job",
                reason,
                path: store.folder(id),
            })?;
        }
        let (inner, turns, stopping) = (Mutex::new(inner), Condvar::new(), watch::Sender::new(false));
        Ok(Self { store, gathering: Mutex::default(), most_waiting, inner, turns, stopping })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more job.
    ///
    /// # Errors
    ///
    /// When all are taken: how many jobs wait, and the seconds until one is free.
    pub(crate) fn reserve(self: &Arc<Self>) -> Result<Place, (usize, u64)> {
        let mut inner = self.lock();
        let taken = inner.reserved + inner.waiting() + inner.gathering().count();
        if taken >= self.most_waiting {
            return Err((taken - inner.reserved, inner.secs_until_a_place_is_free()));
        }
        inner.reserved += 1;
        Ok(Place(Arc::clone(self)))
    }

    /// Looks up an `Idempotency-Key`; a new one is this request's from now on.
    pub(crate) fn keyed(self: &Arc<Self>, key: String) -> Keyed {
        let mut inner = self.lock();
        match inner.once.get(&key).cloned() {
            Some(Known::Coming) => Keyed::Coming,
            Some(Known::Job(id, once)) => Keyed::Job(id, once),
            None => {
                inner.once.insert(key.clone(), Known::Coming);
                Keyed::First(First { jobs: Arc::clone(self), key })
            }
        }
    }

    /// Makes a job of what came. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn accept(
        &self,
        place: Place,
        incoming: Incoming,
        request: Request,
    ) -> std::io::Result<JobId> {
        let id = self.store.accept(incoming, &request)?;
        self.lock().add(id, request, None, BTreeMap::new());
        drop(place);
        self.turns.notify_all();
        Ok(id)
    }

    /// A job as its client sees it.
    pub(crate) fn view(&self, id: JobId) -> Option<JobView> {
        self.lock().view(id)
    }

    /// Returns the request of a job, and its state.
    pub(crate) fn request(&self, id: JobId) -> Option<(Request, State)> {
        let inner = self.lock();
        inner.jobs.get(&id).map(|entry| (entry.request.clone(), entry.state))
    }

    /// Returns the facts that a worker needs of a job.
    pub(crate) fn task(&self, id: JobId) -> Option<Task> {
        let inner = self.lock();
        inner.jobs.get(&id).map(|entry| self.task_of(id, &entry.request))
    }

    fn task_of(&self, id: JobId, request: &Request) -> Task {
        let folder = self.store.folder(id);
        // An absolute path stays what it is.
        Task { id, slide: folder.join(&request.slide), folder, options: request.options.clone() }
    }

    /// Counts what happens to a job; closed when the job is erased.
    pub(crate) fn follow(&self, id: JobId) -> Option<watch::Receiver<u64>> {
        self.lock().jobs.get(&id).map(|entry| entry.changed.subscribe())
    }

    /// Becomes true when the service is asked to stop.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// `true` if the service was asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// The series of this key: its job, and whether it takes more instances.
    pub(crate) fn series(&self, key: &str) -> Option<(JobId, bool)> {
        let inner = self.lock();
        inner.jobs.iter().find_map(|(id, entry)| {
            let series = entry.request.series.as_ref().filter(|series| series.key == key)?;
            Some((*id, series.is_open && entry.state == State::Gathering))
        })
    }

    /// As long as this lives, no series of this caller is whole.
    pub(crate) fn bringing(self: &Arc<Self>, who: Option<Arc<str>>) -> Bringing {
        *self.lock().bringing.entry(who.clone()).or_default() += 1;
        Bringing { jobs: Arc::clone(self), who }
    }

    /// Takes note that instances of a series came.
    pub(crate) fn touch(&self, id: JobId) {
        if let Some(entry) = self.lock().jobs.get_mut(&id) {
            entry.queued = Instant::now();
        }
    }

    /// Series that nothing came for in so long, and whose caller brings nothing now.
    pub(crate) fn quiet(&self, quiet: Duration) -> Vec<JobId> {
        let inner = self.lock();
        let is_quiet = |entry: &Entry| {
            let is_bringing = inner.bringing.keys().any(|who| who.as_deref() == entry.request.by.as_deref());
            !is_bringing && entry.queued.elapsed() >= quiet
        };
        inner.gathering().filter(|(_, entry)| is_quiet(entry)).map(|(id, _)| id).collect()
    }

    /// Lets a series take no more instances; its request, if it was one that did.
    pub(crate) fn close(&self, id: JobId) -> Option<Request> {
        let mut inner = self.lock();
        let entry = inner.jobs.get_mut(&id).filter(|entry| entry.state == State::Gathering)?;
        entry.request.series.as_mut().filter(|series| series.is_open)?.is_open = false;
        Some(entry.request.clone())
    }

    /// Lets a series that was closed wait for its turn, or end, when it is no slide.
    pub(crate) fn settle(&self, id: JobId, request: Request, refusal: Option<String>) {
        let mut inner = self.lock();
        let Some(entry) = inner.jobs.get_mut(&id) else { return };
        // Otherwise the next start settles it.
        let _ = self.store.note(id, &request);
        let lane = request.lane;
        entry.request = request;
        entry.queued = Instant::now();
        match refusal {
            None => {
                entry.state = State::Queued;
                inner.line(lane).waiting.push_back(id);
                inner.tell_the_waiting(lane);
            }
            reason => {
                let ended = Ended::now(State::Failed, reason);
                let _ = self.store.end(id, &ended);
                (entry.state, entry.ended) = (State::Failed, Some(ended));
                let _ = self.store.erase_upload(id);
            }
        }
        inner.changed(id);
        self.turns.notify_all();
    }

    /// Waits for a job in this lane; `None` when the service stops.
    pub(crate) fn take(&self, lane: Lane) -> Option<Turn> {
        let mut inner = self.lock();
        loop {
            if self.is_stopping() {
                return None;
            }
            if let Some(id) = inner.line(lane).waiting.pop_front() {
                let turn = self.begin(&mut inner, id);
                if turn.is_some() {
                    return turn;
                }
                continue;
            }
            inner = self.turns.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn begin(&self, inner: &mut Inner, id: JobId) -> Option<Turn> {
        let entry = inner.jobs.get_mut(&id)?;
        entry.state = State::Running;
        entry.began = Some(Instant::now());
        let turn = Turn {
            task: self.task_of(id, &entry.request),
            stop: entry.stop.clone(),
            request: entry.request.clone(),
            waited: entry.queued.elapsed(),
            log: EventLog::open(&self.store.folder(id)).ok(),
            told: None,
        };
        let lane = entry.request.lane;
        inner.line(lane).running = Some(id);
        inner.tell_the_waiting(lane);
        inner.changed(id);
        Some(turn)
    }

    /// Takes note of an event of a job that runs, and tells those who follow it.
    pub(crate) fn note(&self, turn: &mut Turn, event: &Event) {
        let progress = Progress::of_event(event);
        // Of the windows of a slide, that some have ended is told now and then, and that all have.
        let is_rare = match progress {
            Some(Progress::Windows(windows, _)) => turn.is_told_already(windows),
            _ => false,
        };
        if !is_rare
            && let Some(log) = &mut turn.log
            && log.append(event).is_err()
        {
            // The disk is full or gone: the job itself will say so.
            turn.log = None;
        }
        let mut inner = self.lock();
        if let (Some(progress), Some(entry)) = (progress, inner.jobs.get_mut(&turn.task.id)) {
            entry.note(progress);
        }
        if !is_rare {
            inner.changed(turn.task.id);
        }
    }

    /// Takes note of the end of a run.
    pub(crate) fn end(&self, turn: Turn, end: RunEnd, settings: &AtEnd<'_>) {
        let id = turn.task.id;
        let outcome = match end {
            RunEnd::Stopped => None,
            RunEnd::Failed(reason) => Some((State::Failed, Some(reason))),
            RunEnd::Ended => Some(outcome(&self.store.folder(id))),
        };
        let mut inner = self.lock();
        let lane = turn.request.lane;
        inner.line(lane).running = None;
        let Some(entry) = inner.jobs.get_mut(&id) else { return };
        if entry.state == State::Cancelled {
            drop(inner);
            self.erase(id);
            return;
        }
        let Some((state, reason)) = outcome else {
            entry.state = State::Queued;
            inner.line(lane).waiting.push_front(id);
            inner.changed(id);
            return;
        };
        let took = entry.began.map(|began| began.elapsed()).unwrap_or_default();
        let ended = Ended::now(state, reason);
        if let Some(target) = settings.push_to.filter(|_| state.has_results()) {
            entry.push_at_end(target, state);
            let _ = self.store.note_pushes(id, &entry.pushes);
        }
        // A job whose end was not noted is run again by the next start, which finds it done.
        let _ = self.store.end(id, &ended);
        entry.state = state;
        entry.ended = Some(ended);
        if state.has_results() {
            inner.line(lane).pace.note(turn.request.measured.mpx(), took);
        }
        inner.tell_the_waiting(lane);
        inner.changed(id);
        drop(inner);
        // It may be pushed.
        self.turns.notify_all();
        if turn.request.is_upload && !settings.keep_uploads {
            let _ = self.store.erase_upload(id);
        }
    }

    /// Takes a job back and erases it, at once or as soon as its worker lets go of it. Whether it was there.
    pub(crate) fn cancel(&self, id: JobId) -> bool {
        let mut inner = self.lock();
        let Some(entry) = inner.jobs.get_mut(&id) else { return false };
        if entry.state == State::Running || entry.state == State::Cancelled {
            entry.state = State::Cancelled;
            entry.stop.ask();
            let ended = Ended::now(State::Cancelled, None);
            // So that the next start erases it, should this one be killed first.
            let _ = self.store.end(id, &ended);
            entry.ended = Some(ended);
            inner.changed(id);
        } else {
            drop(inner);
            self.erase(id);
        }
        true
    }

    fn erase(&self, id: JobId) {
        // First: nobody takes it up, or follows it, who comes later.
        let entry = self.lock().remove(id);
        drop(entry);
        // Files that cannot be erased now are tried again with the trash, at the next start.
        let _ = self.store.erase(id);
    }

    /// Erases jobs that ended before this second since 1970.
    pub(crate) fn expire(&self, before: u64) {
        let inner = self.lock();
        let old = inner.jobs.iter().filter(|(_, entry)| entry.ended_before(before));
        let old: Vec<JobId> = old.map(|(id, _)| *id).collect();
        drop(inner);
        old.into_iter().for_each(|id| self.erase(id));
    }

    /// Takes no more jobs, and asks those that run to stop after the windows at work.
    pub(crate) fn stop(&self) {
        let inner = self.lock();
        self.stopping.send_replace(true);
        for id in inner.lines.iter().filter_map(|line| line.running) {
            if let Some(entry) = inner.jobs.get(&id) {
                entry.stop.ask();
            }
        }
        self.turns.notify_all();
    }

    /// Asks for results of a job to be sent to a target; how that stands. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn push(
        &self,
        id: JobId,
        target: &str,
        objects: &[DicomResult],
    ) -> std::io::Result<Option<PushState>> {
        let mut inner = self.lock();
        let Some(entry) = inner.jobs.get_mut(&id) else { return Ok(None) };
        let mut pushes = entry.pushes.clone();
        let push = pushes.entry(target.to_owned()).or_default();
        let is_new = push.want(objects);
        let state = push.state;
        if is_new {
            self.store.note_pushes(id, &pushes)?;
            entry.pushes = pushes;
            inner.changed(id);
            self.turns.notify_all();
        }
        Ok(Some(state))
    }

    /// Waits for results that are to be sent to this target; `None` when the service stops.
    pub(crate) fn next_push(&self, target: &str) -> Option<Due> {
        let mut inner = self.lock();
        while !self.is_stopping() {
            let times = inner.jobs.iter().filter_map(|(id, entry)| Some((entry.push_at(target)?, *id)));
            let left = match times.min() {
                None => None,
                Some((at, id)) => match at.saturating_sub(secs_now()) {
                    0 => return inner.jobs.get(&id).map(|entry| self.due(id, entry, target)),
                    left => Some(Duration::from_secs(left)),
                },
            };
            inner = match left {
                None => self.turns.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.turns.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        None
    }

    fn due(&self, id: JobId, entry: &Entry, target: &str) -> Due {
        Due {
            id,
            task: self.task_of(id, &entry.request),
            study_uid: entry.request.measured.study_id.clone(),
            objects: entry.pushes.get(target).map(Push::waiting).unwrap_or_default(),
        }
    }

    /// Changes a push, if the job is still there.
    pub(crate) fn change_push(&self, id: JobId, target: &str, change: impl FnOnce(&mut Push)) {
        let mut inner = self.lock();
        let Some(entry) = inner.jobs.get_mut(&id) else { return };
        let Some(push) = entry.pushes.get_mut(target) else { return };
        change(push);
        // What is not noted is sent again by the next start: to a server it is the same object.
        let _ = self.store.note_pushes(id, &entry.pushes);
        inner.changed(id);
    }

    /// Gives up what waits for targets that are no more.
    pub(crate) fn give_up_pushes_but_to(&self, targets: &Targets) {
        let mut inner = self.lock();
        for (id, entry) in &mut inner.jobs {
            let mut has_changed = false;
            for (_, push) in entry
                .pushes
                .iter_mut()
                .filter(|(name, push)| push.state == PushState::Waiting && !targets.has(name))
            {
                push.give_up("the service has no target of this name any more");
                has_changed = true;
            }
            if has_changed {
                let _ = self.store.note_pushes(*id, &entry.pushes);
            }
        }
    }

    /// Jobs that have not ended, or whose results are to be sent.
    pub(crate) fn unfinished(&self) -> usize {
        self.lock().jobs.values().filter(|entry| !entry.state.is_over() || entry.is_pushed()).count()
    }

    pub(crate) fn census(&self) -> Census {
        let mut states: BTreeMap<State, u64> = State::ALL.into_iter().map(|state| (state, 0)).collect();
        for entry in self.lock().jobs.values() {
            *states.entry(entry.state).or_default() += 1;
        }
        Census { states }
    }
}

impl Ended {
    /// A job that ends at this moment.
    pub(crate) fn now(state: State, reason: Option<String>) -> Self {
        Self { state, reason, at: dataset::clock::timestamp(), at_secs: secs_now() }
    }
}

/// Reads how the slide of a job ended.
fn outcome(folder: &std::path::Path) -> (State, Option<String>) {
    match outcome_in(folder) {
        Some(account) => match account.outcome {
            Outcome::Done => (State::Done, None),
            Outcome::Partial => (State::Partial, None),
            Outcome::Failed => (State::Failed, account.reason),
        },
        None => (State::Failed, Some("the job ended and left no account of its slide".to_owned())),
    }
}

/// Progress of a job, as an event tells it.
enum Progress {
    Planned { windows: u64, resumed: u64 },
    Windows(WindowCount, u64),
    Finished { cells: u64 },
}

impl Progress {
    fn of_event(event: &Event) -> Option<Self> {
        match event.get("event")?.as_str()? {
            "slide_started" => {
                Some(Self::Planned { windows: count(event, "windows"), resumed: count(event, "resumed") })
            }
            "windows" => {
                let [done, total, failed] = ["done", "windows", "failed"].map(|name| count(event, name));
                Some(Self::Windows(WindowCount { done, total, failed }, count(event, "cells")))
            }
            "slide_finished" => Some(Self::Finished { cells: count(event, "cells") }),
            _ => None,
        }
    }
}

impl Entry {
    /// Lets its results be sent, unless a run before this one did.
    fn push_at_end(&mut self, target: &str, state: State) {
        if self.pushes.contains_key(target) {
            return;
        }
        let mut push = Push::default();
        match self.request.push_refusal(state) {
            Some(reason) => push.give_up(reason),
            None => {
                push.want(&DicomResult::USUAL);
            }
        }
        self.pushes.insert(target.to_owned(), push);
    }

    /// One that was taken back is erased when its worker lets go of it, one that is pushed when that has ended.
    fn ended_before(&self, secs: u64) -> bool {
        self.state != State::Cancelled
            && !self.is_pushed()
            && self.ended.as_ref().is_some_and(|ended| ended.at_secs < secs)
    }

    /// `true` while its results are to be sent.
    fn is_pushed(&self) -> bool {
        self.pushes.values().any(|push| push.state == PushState::Waiting)
    }

    /// Seconds since 1970 at which its results are to be sent to this target.
    fn push_at(&self, target: &str) -> Option<u64> {
        // One that was killed before its end was noted is run again first.
        self.pushes.get(target)?.next_at_secs.filter(|_| self.state.has_results())
    }

    fn note(&mut self, progress: Progress) {
        match progress {
            Progress::Planned { windows, resumed } => {
                self.windows = WindowCount { done: resumed, total: windows, failed: 0 };
                self.resumed = resumed;
            }
            Progress::Windows(windows, cells) => (self.windows, self.cells) = (windows, cells),
            Progress::Finished { cells } => self.cells = cells,
        }
    }

    fn secs_left(&self, pace: Pace) -> Option<f64> {
        let WindowCount { done, total, .. } = self.windows;
        let at_work = AtWork {
            for_secs: self.began.map_or(0.0, |began| began.elapsed().as_secs_f64()),
            ended: done.saturating_sub(self.resumed),
            left: total.saturating_sub(done),
            mpx: self.request.measured.mpx(),
        };
        at_work.secs_left(pace)
    }
}

impl Inner {
    fn line(&mut self, lane: Lane) -> &mut Line {
        &mut self.lines[lane as usize]
    }

    fn waiting(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    fn add(&mut self, id: JobId, request: Request, ended: Option<Ended>, pushes: BTreeMap<String, Push>) {
        let is_open = request.series.as_ref().is_some_and(|series| series.is_open);
        let begun = if is_open { State::Gathering } else { State::Queued };
        let state = ended.as_ref().map_or(begun, |ended| ended.state);
        if let Some(once) = &request.once {
            self.once.insert(once.key.clone(), Known::Job(id, once.clone()));
        }
        if state == State::Queued {
            self.line(request.lane).waiting.push_back(id);
        }
        let entry = Entry {
            request,
            state,
            ended,
            pushes,
            windows: WindowCount::default(),
            resumed: 0,
            cells: 0,
            queued: Instant::now(),
            began: None,
            stop: Stop::default(),
            changed: watch::Sender::new(0),
        };
        self.jobs.insert(id, entry);
    }

    /// Series whose instances still come.
    fn gathering(&self) -> impl Iterator<Item = (JobId, &Entry)> {
        let jobs = self.jobs.iter().filter(|(_, entry)| entry.state == State::Gathering);
        jobs.map(|(id, entry)| (*id, entry))
    }

    fn remove(&mut self, id: JobId) -> Option<Entry> {
        let entry = self.jobs.remove(&id)?;
        let lane = entry.request.lane;
        self.line(lane).waiting.retain(|waiting| *waiting != id);
        if let Some(once) = &entry.request.once {
            self.once.remove(&once.key);
        }
        self.tell_the_waiting(lane);
        Some(entry)
    }

    fn changed(&self, id: JobId) {
        if let Some(entry) = self.jobs.get(&id) {
            entry.changed.send_modify(|count| *count += 1);
        }
    }

    /// Their places have changed.
    fn tell_the_waiting(&self, lane: Lane) {
        self.lines[lane as usize].waiting.iter().for_each(|id| self.changed(*id));
    }

    fn view(&self, id: JobId) -> Option<JobView> {
        let entry = self.jobs.get(&id)?;
        let Entry { request, state, ended, .. } = entry;
        let line = &self.lines[request.lane as usize];
        let place = line.waiting.iter().position(|waiting| *waiting == id);
        let eta_s = match place {
            Some(place) => self.secs_until_the_end(line, place),
            None if *state == State::Running => entry.secs_left(line.pace),
            None => None,
        };
        Some(JobView {
            id,
            state: *state,
            reason: ended.as_ref().and_then(|ended| ended.reason.clone()),
            lane: request.lane,
            place,
            eta_s: eta_s.map(|secs| (secs * 10.0).round() / 10.0),
            windows: entry.windows,
            cells: entry.cells,
            accepted: request.accepted.clone(),
            ended: ended.as_ref().map(|ended| ended.at.clone()),
            pushes: entry.pushes.clone(),
            links: Links::of_job(id),
        })
    }

    /// Of the job at this place of a line.
    fn secs_until_the_end(&self, line: &Line, place: usize) -> Option<f64> {
        let before = line.waiting.iter().take(place + 1).chain(&line.running);
        let left = before.filter_map(|id| self.jobs.get(id)).map(|entry| match entry.state {
            State::Running | State::Cancelled => entry.secs_left(line.pace),
            _ => line.pace.secs(entry.request.measured.mpx()),
        });
        left.sum()
    }

    fn secs_until_a_place_is_free(&self) -> u64 {
        const UNKNOWN: f64 = 10.0;
        const MOST: f64 = 3600.0;
        let running = self.lines.iter().filter_map(|line| Some((line, self.jobs.get(&line.running?)?)));
        let left = running.filter_map(|(line, entry)| entry.secs_left(line.pace));
        left.reduce(f64::min).unwrap_or(UNKNOWN).clamp(1.0, MOST).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::job::{JobOptions, Measured};

    fn request(lane: Lane) -> Request {
        Request {
            slide: "upload/slide".into(),
            is_upload: true,
            options: JobOptions::default(),
            measured: Measured { size_px: [1000, 1000], ..Measured::default() },
            lane,
            by: None,
            once: None,
            accepted: String::new(),
            series: None,
        }
    }

    fn accept(jobs: &Arc<Jobs>, request: Request) -> JobId {
        let place = jobs.reserve().unwrap_or_else(|full| panic!("{full:?}"));
        jobs.accept(place, jobs.store.incoming().unwrap(), request).unwrap()
    }

    fn open(folder: &std::path::Path) -> Arc<Jobs> {
        Arc::new(Jobs::open(Store::open(folder).unwrap(), 3).unwrap())
    }

    fn windows(done: u64) -> Event {
        let event =
            serde_json::json!({"event": "windows", "done": done, "windows": 4, "failed": 0, "cells": 9});
        event.as_object().unwrap().clone()
    }

    #[test]
    fn a_small_picture_does_not_wait_behind_slides() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = open(folder.path());
        let [first, second] = [(); 2].map(|()| accept(&jobs, request(Lane::Large)));
        let small = accept(&jobs, request(Lane::Small));
        let place = |id| jobs.view(id).unwrap().place;
        assert_eq!((place(first), place(second), place(small)), (Some(0), Some(1), Some(0)));
        assert_eq!(jobs.take(Lane::Large).unwrap().task.id, first);
        assert_eq!(jobs.take(Lane::Small).unwrap().task.id, small);
        assert_eq!((place(first), place(second)), (None, Some(0)));
    }

    #[test]
    fn a_full_queue_says_when_to_come_again_and_places_on_their_way_count() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = open(folder.path());
        let reserved = jobs.reserve().ok().unwrap();
        accept(&jobs, request(Lane::Large));
        accept(&jobs, request(Lane::Large));
        assert_eq!(jobs.reserve().err(), Some((2, 10)));
        drop(reserved);
        assert!(jobs.reserve().is_ok());
        let _turn = jobs.take(Lane::Large).unwrap();
        assert!(jobs.reserve().is_ok(), "what runs does not wait");
    }

    #[test]
    fn time_left_adds_up_over_those_before() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = open(folder.path());
        let [first, second] = [(); 2].map(|()| accept(&jobs, request(Lane::Large)));
        assert_eq!(jobs.view(second).unwrap().eta_s, None, "nothing has ended yet");
        jobs.lock().line(Lane::Large).pace.note(1.0, Duration::from_secs(8));
        assert_eq!(jobs.view(first).unwrap().eta_s, Some(8.0));
        assert_eq!(jobs.view(second).unwrap().eta_s, Some(16.0));
        let mut turn = jobs.take(Lane::Large).unwrap();
        jobs.note(&mut turn, &windows(4));
        assert_eq!(jobs.view(first).unwrap().eta_s, Some(0.0));
        assert_eq!(jobs.view(second).unwrap().eta_s, Some(8.0));
        let view = jobs.view(first).unwrap();
        assert_eq!((view.windows.done, view.windows.total, view.cells), (4, 4, 9));
    }

    #[test]
    fn what_was_not_ended_is_taken_up_again_by_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = open(folder.path());
        let [first, second] = [(); 2].map(|()| accept(&jobs, request(Lane::Large)));
        let turn = jobs.take(Lane::Large).unwrap();
        jobs.end(turn, RunEnd::Failed("no slide".into()), &AtEnd::default());
        assert!(!folder.path().join(format!("jobs/{first}/upload")).exists(), "what was sent is erased");
        let turn = jobs.take(Lane::Large).unwrap();
        jobs.stop();
        assert!(turn.stop.is_asked());
        jobs.end(turn, RunEnd::Stopped, &AtEnd::default());
        assert_eq!((jobs.unfinished(), jobs.take(Lane::Large).is_none()), (1, true));
        drop(jobs);

        let jobs = open(folder.path());
        let view = jobs.view(first).unwrap();
        assert_eq!((view.state, view.reason.as_deref()), (State::Failed, Some("no slide")));
        assert_eq!(jobs.take(Lane::Large).unwrap().task.id, second);
    }

    #[test]
    fn a_job_that_is_taken_back_is_erased_when_its_worker_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = open(folder.path());
        let [running, waiting] = [(); 2].map(|()| accept(&jobs, request(Lane::Large)));
        let turn = jobs.take(Lane::Large).unwrap();
        assert!(jobs.cancel(waiting) && jobs.view(waiting).is_none());
        assert!(jobs.cancel(running) && turn.stop.is_asked());
        assert_eq!(jobs.view(running).unwrap().state, State::Cancelled);
        jobs.end(turn, RunEnd::Stopped, &AtEnd::default());
        assert!(jobs.view(running).is_none() && !jobs.cancel(running));
        assert_eq!(fs::read_dir(folder.path().join("jobs")).unwrap().count(), 0);
    }

    #[test]
    fn a_killed_service_erases_at_start_what_was_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = open(folder.path());
        let id = accept(&jobs, request(Lane::Small));
        let _turn = jobs.take(Lane::Small).unwrap();
        jobs.cancel(id);
        drop(jobs);
        let jobs = open(folder.path());
        assert!(jobs.view(id).is_none());
        assert_eq!(fs::read_dir(folder.path().join("jobs")).unwrap().count(), 0);
    }

    #[test]
    fn jobs_are_erased_when_their_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = open(folder.path());
        let [ended, waiting] = [(); 2].map(|()| accept(&jobs, request(Lane::Small)));
        let turn = jobs.take(Lane::Small).unwrap();
        jobs.end(turn, RunEnd::Failed("no".into()), &AtEnd::default());
        jobs.expire(secs_now() - 60);
        assert!(jobs.view(ended).is_some());
        jobs.expire(secs_now() + 60);
        assert!(jobs.view(ended).is_none() && jobs.view(waiting).is_some());
    }

    #[test]
    fn a_key_stands_for_one_job() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = open(folder.path());
        let once = Once { key: "k".into(), content: "c".into() };
        let Keyed::First(first) = jobs.keyed("k".into()) else { panic!("nobody used it") };
        assert!(matches!(jobs.keyed("k".into()), Keyed::Coming));
        drop(first);
        let Keyed::First(first) = jobs.keyed("k".into()) else { panic!("the first gave up") };
        let id = accept(&jobs, Request { once: Some(once.clone()), ..request(Lane::Small) });
        drop(first);
        assert!(matches!(jobs.keyed("k".into()), Keyed::Job(known, its) if known == id && its == once));
        drop(jobs);
        let jobs = open(folder.path());
        assert!(
            matches!(jobs.keyed("k".into()), Keyed::Job(known, _) if known == id),
            "a restart forgets none"
        );
        jobs.cancel(id);
        assert!(matches!(jobs.keyed("k".into()), Keyed::First(_)));
    }
}
