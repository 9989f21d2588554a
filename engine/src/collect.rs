//! Collects the results of a slide's windows, and ends the slide: answer, write, account, commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    time::{Duration, Instant},
};

use dataset::{Dataset, DeviceShare, Outcome, RunAccount, SlideId, TileCounts, hex, wording::counted};
use detector::DeviceAtWork;
use merger::{Cell, WindowOutcome, decode_window, encode_window};
use tiler::ReadCounters;
use wsi_types::WindowKey;

use crate::{
    answer::{FULL_ANSWER, SlideAnswer, by_threshold, cells_of},
    behind::Copying,
    budget::free_bytes,
    byte_size::ByteSize,
    desk::{Committed, Committer, Finished, Ledger, Raw},
    error::JobError,
    events::{Event, Undone, Watch},
    pipeline::Step,
    prepare::{Facts, Held, NotRun, Prepared},
    rules::SlideRules,
    shard::Shard,
    sightings::Sightings,
    slides::SlideEntry,
    work::{Recipe, Work},
};

/// Takes the steps of a job as they come.
pub(crate) struct Collector<'a> {
    work: &'a Work,
    watch: &'a mut dyn Watch,
    current: Option<SlideRun>,
    committer: Committer,
    /// Bytes on the disk for the slide begun last, as estimated.
    needed: u64,
    undone: Undone,
    /// Slides that other jobs were working on.
    waited_for: BTreeSet<SlideId>,
    /// Copies that were left out, by the slide they are copies of.
    copies: BTreeMap<SlideId, usize>,
    /// Name of the slide whose copying was told last, and when.
    copy_told: Option<(String, Instant)>,
}

/// What is said of a slide whose windows may be of two files.
const REPLACED: &str = "the file was replaced or changed while it was read; run it again";

/// Time between two words on the copy of a slide.
const COPY_WORD: Duration = Duration::from_secs(60);

/// The slide at work.
struct SlideRun {
    facts: Facts,
    sightings: Sightings,
    held: Held,
    record: Vec<u8>,
    /// Windows that only a server or the network did not give.
    out_of_reach: usize,
}

impl<'a> Collector<'a> {
    /// A collector that tells `watch`.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub(crate) fn new(work: &'a Work, watch: &'a mut dyn Watch) -> Result<Self, JobError> {
        let committer = Committer::start(&work.results)?;
        Ok(Self {
            work,
            watch,
            current: None,
            committer,
            needed: 0,
            undone: Undone::Nothing,
            waited_for: BTreeSet::new(),
            copies: BTreeMap::new(),
            copy_told: None,
        })
    }

    /// Waits until all slides that ended are committed. Returns what is undone of the slides of the job, now or from
    /// before.
    ///
    /// # Errors
    ///
    /// When results cannot be put in place.
    pub(crate) fn finish(self) -> Result<Undone, JobError> {
        let Self { work, watch, committer, needed, mut undone, copies, .. } = self;
        for committed in committer.finish().map_err(|error| with_room(error, work, needed))? {
            undone.worsen(tell(watch, committed));
        }
        // A slide has its account only now.
        for (id, count) in copies.iter().filter(|_| work.slab.is_none()) {
            note_copies(work, id, *count)?;
        }
        Ok(undone)
    }

    /// Leaves the mark of the slide at work: it never ended, and the process that started this one must know.
    pub(crate) fn leave_mark(&mut self) {
        if let Some(run) = self.current.take() {
            run.held.mark.leave();
        }
    }

    /// Takes one step.
    ///
    /// # Errors
    ///
    /// When the output cannot be written: other slides would fail in the same way.
    pub(crate) fn take(&mut self, step: Step) -> Result<(), JobError> {
        self.take_in_turn(step).map_err(|error| with_room(error, self.work, self.needed))
    }

    fn take_in_turn(&mut self, step: Step) -> Result<(), JobError> {
        for committed in self.committer.ended()? {
            self.undone.worsen(tell(self.watch, committed));
        }
        match step {
            Step::NotRun(entry, why) => self.not_run(&entry, why),
            Step::Copying(copying) => {
                self.copying(copying);
                Ok(())
            }
            Step::Begin(prepared) => self.begin(*prepared),
            Step::Windows(ended, out_of_reach) => self.windows(ended, out_of_reach),
            Step::Retired(device) => {
                self.watch.tell(&retired(self.current.as_ref().map(|run| &run.facts), &device));
                Ok(())
            }
            Step::End(counters, devices) => self.end(counters, devices),
            Step::Cut => self.cut(),
        }
    }

    /// Tells how far a copy is, each minute.
    fn copying(&mut self, Copying { name, done, bytes }: Copying) {
        let is_told = (self.copy_told.as_ref())
            .is_some_and(|(slide, when)| *slide == name && when.elapsed() < COPY_WORD);
        if !is_told {
            self.copy_told = Some((name.clone(), Instant::now()));
            self.watch.tell(&Event::SlideCopying { name, done, bytes });
        }
    }

    fn not_run(&mut self, entry: &SlideEntry, why: NotRun) -> Result<(), JobError> {
        if let NotRun::Busy { id, .. } = &why
            && !self.waited_for.insert(id.clone())
        {
            return Ok(());
        }
        if let NotRun::Skip { id, copy: true, .. } = &why {
            *self.copies.entry(id.clone()).or_default() += 1;
        }
        self.undone.worsen(not_run(self.work, self.watch, entry, why)?);
        Ok(())
    }

    fn begin(&mut self, prepared: Prepared) -> Result<(), JobError> {
        let Prepared { mut facts, mut sightings, held, .. } = prepared;
        facts.time.resume();
        let held = held.ok_or_else(|| JobError::fault("a slide without a ledger"))?;
        self.needed = facts.needed_bytes();
        let results = &self.work.results;
        let noted = self.work.names.note(&facts.id, &facts.entry)?;
        let contradiction = noted.contradiction();
        self.undone.worsen(Undone::bad(contradiction.is_some()));
        facts.warnings.extend(contradiction);
        clear_failure(results, &facts.entry).map_err(|error| {
            let root = results.root().display();
            JobError::output(format!("cannot remove the account of an earlier failure: {error}: {root}"))
        })?;
        begun(self.watch, &facts, sightings.ended());
        // This is not put into the account, which would still say so after they are forgotten.
        for message in superseded(results, noted.others) {
            let (slide, name) = (facts.id.clone(), facts.entry.name());
            self.watch.tell(&Event::Warning { slide, name, message });
        }
        sightings.settle();
        self.current = Some(SlideRun { facts, sightings, held, record: Vec::new(), out_of_reach: 0 });
        Ok(())
    }

    fn windows(
        &mut self,
        ended: Vec<(WindowKey, WindowOutcome)>,
        out_of_reach: usize,
    ) -> Result<(), JobError> {
        let run = self.current.as_mut().ok_or_else(|| JobError::fault("windows of no slide"))?;
        run.out_of_reach += out_of_reach;
        for (window, outcome) in ended {
            run.take(window, outcome)?;
        }
        run.sightings.settle();
        if let Some(reason) = over_budget(self.work.recipe.settings.scratch, run) {
            return Err(JobError::output(reason));
        }
        self.watch.tell(&so_far(&run.facts, &run.sightings));
        Ok(())
    }

    /// Ends the slide at work early, as the job stops: the windows in the ledger stay for the next run.
    fn cut(&mut self) -> Result<(), JobError> {
        if let Some(mut run) = self.current.take() {
            run.held.ledger.sync()?;
        }
        Ok(())
    }

    fn end(&mut self, counters: ReadCounters, devices: Vec<DeviceShare>) -> Result<(), JobError> {
        let run = self.current.take().ok_or_else(|| JobError::fault("the end of no slide"))?;
        if let Some(slab) = self.work.slab {
            return self.end_of_slab(run, slab);
        }
        let tiles = TileCounts {
            needed: counters.tiles_needed,
            decoded: counters.tiles_decoded,
            failed: counters.tiles_failed,
            absent: counters.tiles_absent,
        };
        let mut finished = run.finish(self.work, tiles)?;
        finished.account.devices = devices;
        self.committer.send(finished)
    }

    /// Leaves the windows of a part in its ledger, for the job that ends the slide.
    fn end_of_slab(&mut self, run: SlideRun, slab: Shard) -> Result<(), JobError> {
        let missing =
            if run.lacks_only_what_is_out_of_reach() { Undone::OutOfReach } else { Undone::Nothing };
        let SlideRun { facts, sightings, mut held, .. } = run;
        let (slide, name) = (facts.id.clone(), facts.entry.name());
        if was_replaced(&facts) {
            held.ledger.remove()?;
            self.undone.worsen(Undone::Bad);
            self.watch.tell(&Event::SlideFailed { slide, name, reason: REPLACED.to_owned() });
            return Ok(());
        }
        held.ledger.sync()?;
        // Windows that failed are told of by the job that ends the slide.
        self.undone.worsen(missing);
        self.watch.tell(&Event::SlabFinished {
            slide,
            name,
            slab: slab.to_string(),
            windows: facts.windows,
            failed_windows: sightings.failed().len(),
            elapsed_secs: facts.time.secs(),
        });
        Ok(())
    }
}

/// Tells that a slide is not read, and the reason; writes the account of one that cannot be read. Returns what is undone of
/// it.
///
/// # Errors
///
/// [`JobError::Output`] when there is no room, or the account cannot be written.
pub(crate) fn not_run(
    work: &Work,
    watch: &mut dyn Watch,
    entry: &SlideEntry,
    why: NotRun,
) -> Result<Undone, JobError> {
    match why {
        NotRun::Skip { id, outcome, reason, aside, copy } => {
            // A copy is in the list under the id of its twin.
            let contradicts = note(work, watch, &id, entry)?;
            let name = format!("{}{aside}", entry.name());
            watch.tell(&Event::SlideSkipped { slide: id, name, reason, copy });
            Ok(Undone::bad(contradicts || outcome != Outcome::Done))
        }
        NotRun::Busy { id, reason } => {
            watch.tell(&Event::SlideWaiting { slide: id, name: entry.name(), reason });
            Ok(Undone::Nothing)
        }
        NotRun::NoRoom { reason } => Err(JobError::output(reason)),
        NotRun::Exhausted { reason } => Err(JobError::again(reason)),
        NotRun::Refused { id, reason, account, out_of_reach } => {
            let contradicts = note(work, watch, &id, entry)?;
            if account {
                write_account(&work.results, &work.recipe.maker.failed(&id, reason.as_str()))?;
            }
            watch.tell(&Event::SlideFailed { slide: id, name: entry.name(), reason });
            Ok(if out_of_reach && !contradicts { Undone::OutOfReach } else { Undone::Bad })
        }
    }
}

/// Notes a slide that is not read in the private lists; warns, and gives `true`, if they say something else of it.
fn note(work: &Work, watch: &mut dyn Watch, id: &SlideId, entry: &SlideEntry) -> Result<bool, JobError> {
    let contradiction = work.names.note(id, entry)?.contradiction();
    for message in contradiction.iter().cloned() {
        watch.tell(&Event::Warning { slide: id.clone(), name: entry.name(), message });
    }
    Ok(contradiction.is_some())
}

/// Tells that a slide begins, of which `resumed` windows are done, with its warnings and doubts.
pub(crate) fn begun(watch: &mut dyn Watch, facts: &Facts, resumed: usize) {
    watch.tell(&Event::SlideStarted {
        slide: facts.id.clone(),
        name: facts.entry.name(),
        windows: facts.windows,
        resumed,
        tissue_mm2: facts.survey.tissue_mm2(),
    });
    let doubts = facts.doubts.iter().map(|doubt| format!("doubtful: {doubt}"));
    for message in facts.warnings.iter().cloned().chain(doubts) {
        watch.tell(&Event::Warning { slide: facts.id.clone(), name: facts.entry.name(), message });
    }
}

/// Tells that a device is given up, of the slide at work if there is one.
pub(crate) fn retired(facts: Option<&Facts>, device: &DeviceAtWork) -> Event {
    let reason = device.retired.as_deref().unwrap_or_default();
    let message = format!("device {} is retired, its windows go to the others: {reason}", device.name);
    match facts {
        Some(facts) => Event::Warning { slide: facts.id.clone(), name: facts.entry.name(), message },
        None => Event::Note { message },
    }
}

/// Reason that a slide may not go on, if its detections take more than `--scratch`.
fn over_budget(scratch: Option<u64>, run: &SlideRun) -> Option<String> {
    let (bytes, ended, windows) = (run.held.ledger.bytes(), run.sightings.ended(), run.facts.windows);
    let scratch = scratch.filter(|&scratch| scratch < bytes)?;
    let needed = bytes / ended.max(1) as u64 * windows as u64;
    Some(format!(
        "the raw detections of {ended} of {} have {}, --scratch allows {}: about {} are needed; with that the same \
         command goes on from here",
        counted(windows, "window"),
        ByteSize(bytes),
        ByteSize(scratch),
        ByteSize(needed)
    ))
}

/// Event with the progress of a slide.
pub(crate) fn so_far(facts: &Facts, sightings: &Sightings) -> Event {
    Event::Windows {
        slide: facts.id.clone(),
        done: sightings.ended(),
        failed: sightings.failed().len(),
        windows: facts.windows,
        cells: sightings.settled(),
    }
}

/// Adds the room needed to an error, if less is free.
pub(crate) fn with_room(error: JobError, work: &Work, needed: u64) -> JobError {
    match (free_bytes(work.results.root()), error) {
        (Ok(free), JobError::Output(reason)) if free < needed => JobError::output(format!(
            "{reason}; about {} are needed for the slide at work, {} are free: make room, and the same command \
             goes on",
            ByteSize(needed),
            ByteSize(free)
        )),
        (_, error) => error,
    }
}

/// The warnings that name windows in which objects may be missing.
fn full_windows(warnings: &[String]) -> impl Iterator<Item = &String> {
    warnings.iter().filter(|warning| warning.contains(FULL_ANSWER))
}

/// Tells the end of a slide; returns what is undone of it.
pub(crate) fn tell(watch: &mut dyn Watch, committed: Committed) -> Undone {
    const TAKEN: &str =
        "another run took this slide over while this one was silent; it belongs to that run now";
    let Committed { account, name, is_lost, out_of_reach } = committed;
    let RunAccount { slide, outcome, analysis, elapsed_secs, reason, doubts, .. } = &account;
    let full = analysis.iter().filter(|analysis| !is_lost && analysis.windows.full > 0);
    for message in full.flat_map(|_| full_windows(&account.warnings)) {
        watch.tell(&Event::Warning { slide: slide.clone(), name: name.clone(), message: message.clone() });
    }
    let event = match (analysis, outcome) {
        _ if is_lost => Event::SlideFailed { slide: slide.clone(), name, reason: TAKEN.into() },
        (Some(analysis), Outcome::Done | Outcome::Partial) => Event::SlideFinished {
            slide: slide.clone(),
            name,
            outcome: *outcome,
            doubts: doubts.clone(),
            cells: account.cells(),
            analysed_mm2: analysis.coverage.analysed_mm2,
            failed_windows: analysis.windows.failed,
            elapsed_secs: *elapsed_secs,
        },
        _ => Event::SlideFailed { slide: slide.clone(), name, reason: reason.clone().unwrap_or_default() },
    };
    watch.tell(&event);
    match outcome {
        _ if is_lost => Undone::Bad,
        Outcome::Done => Undone::Nothing,
        _ if out_of_reach => Undone::OutOfReach,
        Outcome::Partial | Outcome::Failed => Undone::Bad,
    }
}

impl SlideRun {
    fn take(&mut self, window: WindowKey, outcome: WindowOutcome) -> Result<(), JobError> {
        // Another run may read windows that the device did not give this one.
        if !matches!(outcome, WindowOutcome::Unread(_)) {
            self.record.clear();
            encode_window(window, &outcome, &mut self.record);
            self.held.ledger.append(&self.record)?;
        }
        Ok(self.sightings.push(window, outcome)?)
    }

    /// `true` if windows are missing, all of them because a server or the network did not give them.
    fn lacks_only_what_is_out_of_reach(&self) -> bool {
        self.out_of_reach > 0 && self.out_of_reach == self.sightings.failed().len()
    }

    /// Makes the answer of the slide, and writes it to a place where it waits for its final names.
    fn finish(self, work: &Work, tiles: TileCounts) -> Result<Finished, JobError> {
        let out_of_reach = self.lacks_only_what_is_out_of_reach();
        let Self { facts, sightings, held, .. } = self;
        if was_replaced(&facts) {
            return replaced(&work.recipe, &facts, held);
        }
        Ok(Finished { out_of_reach, ..finish(work, facts, sightings, held, tiles)? })
    }
}

/// Ends a slide whose windows may be of two files.
fn replaced(recipe: &Recipe, facts: &Facts, held: Held) -> Result<Finished, JobError> {
    held.ledger.remove()?;
    let mut account = recipe.maker.failed(&facts.id, REPLACED);
    account.elapsed_secs = facts.time.secs();
    let (name, desk) = (facts.entry.name(), held.desk);
    Ok(Finished { account, name, files: Vec::new(), raw: Raw::None, desk, out_of_reach: false })
}

/// Makes the answer of a slide whose windows all ended, and writes it to a place where it waits for its final
/// names.
///
/// # Errors
///
/// [`JobError::Output`] when the answer cannot be written or the ledger cannot be read.
pub(crate) fn finish(
    work: &Work,
    facts: Facts,
    sightings: Sightings,
    held: Held,
    tiles: TileCounts,
) -> Result<Finished, JobError> {
    let Recipe { settings, maker } = &*work.recipe;
    let Held { mut ledger, desk, mark: _mark } = held;
    let keeps = settings.keep_raw.is_some();
    let mut answer = SlideAnswer::new(&facts.survey, sightings, &maker.rules);
    let floor = if keeps { work.recipe.score_floor() } else { maker.rules.highest_threshold() };
    let merged_at = |score| merged_at(score, &maker.rules, &facts, &mut ledger);
    let by_threshold = by_threshold(&answer.cells, &maker.rules, floor, merged_at)?;
    let (mut account, files) =
        maker.stage(&work.results, &facts.subject(), &mut answer, by_threshold, tiles)?;
    account.elapsed_secs = facts.time.secs();
    let raw = if keeps || account.may_be_completed() { Raw::Kept(ledger) } else { Raw::Spent(ledger) };
    Ok(Finished { account, name: facts.entry.name(), files, raw, desk, out_of_reach: false })
}

/// Cells found with this threshold for all classes.
fn merged_at(
    min_score: f32,
    rules: &SlideRules,
    facts: &Facts,
    ledger: &mut Ledger,
) -> Result<Vec<Cell>, JobError> {
    let rules = rules.at_score(min_score);
    let mut sightings = Sightings::new(&facts.layouts, &rules);
    let mut unread = None;
    ledger.replay(|record| {
        let decoded = decode_window(record);
        // No threshold changes areas, which take the most time.
        let pushed = decoded.and_then(|(window, outcome)| sightings.push(window, outcome.objects()));
        unread = unread.take().or(pushed.err());
    })?;
    match unread {
        Some(error) => Err(error.into()),
        None => Ok(cells_of(&facts.survey, sightings, &rules)),
    }
}

/// `true` if the file of the slide has other content now.
fn was_replaced(facts: &Facts) -> bool {
    match facts.entry.content() {
        Ok(content) => Some(hex(&content).as_str()) != facts.made_with.get("slide_content"),
        // A server that is away now gave bytes of one version only.
        Err(_) => !wsi_reader::is_address(&facts.entry.path),
    }
}

fn write_account(dataset: &Dataset, account: &RunAccount) -> Result<(), JobError> {
    let path = dataset.account(&account.slide);
    let text = dataset::sealed(account).map_err(JobError::fault)?;
    dataset.write(&path, &text).map_err(|error| {
        JobError::output(format!("cannot write the run account: {error}: {}", path.display()))
    })
}

/// Says in the account of a slide how many copies of it were left out.
fn note_copies(work: &Work, id: &SlideId, copies: usize) -> Result<(), JobError> {
    // Another job that has the slide now writes its account.
    let Ok(_desk) = work.desks.take(id) else { return Ok(()) };
    match RunAccount::read(&work.results.account(id)) {
        Ok(account) if account.copies != copies => {
            write_account(&work.results, &RunAccount { copies, ..account })
        }
        // A slide that was cut off has none yet: the job that ends it meets its copies again.
        _ => Ok(()),
    }
}

/// Warnings about earlier files at the path of a slide whose results are still there.
fn superseded(dataset: &Dataset, others: Vec<SlideId>) -> impl Iterator<Item = String> {
    let with_results = others.into_iter().filter(|id| dataset.has_results(id));
    with_results.map(|id| {
        format!(
            "another file was in this place before, whose results are still here and counted as {id}; `slidemill forget \
             OUT {id}` takes them out"
        )
    })
}

/// Removes the account that says that a slide could not be read.
fn clear_failure(dataset: &Dataset, entry: &SlideEntry) -> io::Result<()> {
    let unreadable = if dataset.secret().exists() { Some(entry.id_of_unreadable(dataset)?) } else { None };
    for id in unreadable.into_iter().chain([entry.id_by_name_of_before()]).filter(|_| entry.id.is_none()) {
        let path = dataset.account(&id);
        if RunAccount::read(&path).is_ok_and(|account| account.outcome == Outcome::Failed) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
