//! Collects what the windows of a slide gave, and ends the slide: merge, write,
//! account, commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::Context as _;
use merger::{
    Cell, MergeReport, PerClass, Region, RegionPainter, SeamAudit, TableContext, WindowOutcome, audit_seams,
    decode_window, encode_window,
    fusion::{Context, apply_context, fuse_scales},
};
use tiler::{ReadCounters, TissueMask};
use whole_file::Staged;
use wsi_types::{ClassId, Level0Box, WindowIndex};

use crate::{
    account::{
        Analysis, Coverage, DetectorFacts, FailureCount, FileFacts, Outcome, RegionCount, RunAccount,
        ThresholdCount, TileCounts, WindowCounts,
    },
    budget::free_bytes,
    commit::{Committed, Committer, Finished, Raw},
    dataset::{Dataset, SlideId, hex, sha256_of},
    detectors::{JobDetector, model_facts, tagged, untagged},
    exit::{Exit, Failure, exit_of},
    gather::{Gathered, Gathering},
    isolate::Mark,
    job::SlideEntry,
    ledger::Ledger,
    lock::SlideLock,
    overview,
    pipeline::Step,
    prepare::{Facts, Job, Look, Preparation, Prepared},
    progress::{Event, Progress},
    regions::{RegionGrid, Sources, regions_of},
    settings::ByteSize,
};

/// Takes the steps of a job as they come.
pub struct Collector<'a> {
    job: &'a Job,
    progress: &'a mut Progress,
    current: Option<SlideRun>,
    committer: Committer,
    /// Bytes on the disk for the slide begun last, as estimated.
    needed: u64,
    incomplete: bool,
    /// Slides that other runs had in hand.
    waited_for: BTreeSet<SlideId>,
}

/// The slide at work.
struct SlideRun {
    facts: Facts,
    /// Per detector.
    gatherings: Vec<Gathering>,
    ledger: Ledger,
    lock: SlideLock,
    /// Gone with the run: the slide is then no longer in hand.
    _mark: Mark,
    /// Per detector: cells no window to come can change.
    cells: Vec<Vec<Cell>>,
    done: usize,
    failed: Vec<(WindowIndex, String)>,
    record: Vec<u8>,
}

impl<'a> Collector<'a> {
    /// A collector that tells `progress`.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn new(job: &'a Job, progress: &'a mut Progress) -> anyhow::Result<Self> {
        let committer = Committer::start(&job.dataset, &job.ledgers, job.redo().cloned())?;
        let waited_for = BTreeSet::new();
        Ok(Self { job, progress, current: None, committer, needed: 0, incomplete: false, waited_for })
    }

    /// Waits until all slides that ended are committed. Whether some slide of the
    /// job is bad or incomplete, now or from before.
    ///
    /// # Errors
    ///
    /// When results cannot be put in place.
    pub fn finish(self) -> anyhow::Result<bool> {
        let Self { job, progress, committer, needed, mut incomplete, .. } = self;
        for committed in committer.finish().map_err(|error| with_room(error, job, needed))? {
            incomplete |= tell(progress, committed);
        }
        Ok(incomplete)
    }

    /// Takes one step.
    ///
    /// # Errors
    ///
    /// When the output cannot be written: no other slide would fare better.
    pub fn take(&mut self, step: Step) -> anyhow::Result<()> {
        self.take_in_turn(step).map_err(|error| with_room(error, self.job, self.needed))
    }

    fn take_in_turn(&mut self, step: Step) -> anyhow::Result<()> {
        for committed in self.committer.ended()? {
            self.incomplete |= tell(self.progress, committed);
        }
        match step {
            Step::NotRun(entry, preparation) => self.not_run(&entry, preparation),
            Step::Begin(prepared) => self.begin(*prepared),
            Step::Windows(ended) => self.windows(ended),
            Step::End(counters) => self.end(counters),
            Step::Cut => self.cut(),
        }
    }

    fn not_run(&mut self, entry: &SlideEntry, preparation: Preparation) -> anyhow::Result<()> {
        match preparation {
            Preparation::Ready(_) => {}
            Preparation::Skip { id, outcome, reason, aside } => {
                self.incomplete |= outcome != Outcome::Done;
                let name = format!("{}{aside}", entry.name());
                self.progress.tell(&Event::SlideSkipped { slide: id, name, reason });
            }
            Preparation::Busy { id, reason } => {
                if self.waited_for.insert(id.clone()) {
                    let name = entry.name();
                    self.progress.tell(&Event::SlideWaiting { slide: id, name, reason });
                }
            }
            Preparation::NoRoom { reason } => return Err(Failure::output(reason)),
            Preparation::Refused { id, reason, account } => {
                self.incomplete = true;
                note_name(&self.job.dataset, &id, entry)?;
                if account {
                    let account = RunAccount { reason: Some(reason.clone()), ..empty_account(self.job, &id) };
                    write_account(&self.job.dataset, &account)?;
                }
                self.progress.tell(&Event::SlideFailed { slide: id, name: entry.name(), reason });
            }
        }
        Ok(())
    }

    fn begin(&mut self, prepared: Prepared) -> anyhow::Result<()> {
        let Prepared { facts, todo, failed, mut gatherings, ledger, lock, mark } = prepared;
        self.needed = facts.needed_bytes();
        note_name(&self.job.dataset, &facts.id, &facts.entry)?;
        let windows = facts.windows();
        let resumed = windows - todo.iter().map(Vec::len).sum::<usize>();
        self.progress.tell(&Event::SlideStarted {
            slide: facts.id.clone(),
            name: facts.entry.name(),
            windows,
            resumed,
            tissue_mm2: facts.tissue_mm2(),
        });
        for message in facts.warnings.clone() {
            let (slide, name) = (facts.id.clone(), facts.entry.name());
            self.progress.tell(&Event::Warning { slide, name, message });
        }
        let cells = gatherings.iter_mut().map(Gathering::take_final).collect();
        let (done, record) = (resumed - failed.len(), Vec::new());
        self.current =
            Some(SlideRun { facts, gatherings, ledger, lock, _mark: mark, cells, done, failed, record });
        Ok(())
    }

    fn windows(&mut self, ended: Vec<(WindowIndex, WindowOutcome)>) -> anyhow::Result<()> {
        let run = self.current.as_mut().context("windows of no slide")?;
        for (window, outcome) in ended {
            run.take(window, outcome)?;
        }
        for (cells, gathering) in run.cells.iter_mut().zip(&mut run.gatherings) {
            cells.append(&mut gathering.take_final());
        }
        if let Some(reason) = over_budget(self.job.settings.scratch, run) {
            return Err(Failure::output(reason));
        }
        self.progress.tell(&Event::Windows {
            slide: run.facts.id.clone(),
            done: run.done + run.failed.len(),
            failed: run.failed.len(),
            windows: run.facts.windows(),
            cells: run.cells.iter().map(Vec::len).max().unwrap_or(0) as u64,
        });
        Ok(())
    }

    /// The job stops: what is in the ledger stays for the next run.
    fn cut(&mut self) -> anyhow::Result<()> {
        if let Some(mut run) = self.current.take() {
            run.ledger.sync().map_err(Failure::output)?;
        }
        Ok(())
    }

    fn end(&mut self, counters: ReadCounters) -> anyhow::Result<()> {
        let run = self.current.take().context("the end of no slide")?;
        let started = run.facts.started;
        let mut finished = run.finish(self.job, counters)?;
        finished.account.elapsed_secs = started.elapsed().as_secs_f64();
        self.committer.send(finished)
    }
}

/// Why a slide may not go on, if its detections have more than `--scratch`.
fn over_budget(scratch: Option<u64>, run: &SlideRun) -> Option<String> {
    let (bytes, ended, windows) = (run.ledger.bytes(), run.done + run.failed.len(), run.facts.windows());
    let scratch = scratch.filter(|&scratch| scratch < bytes)?;
    let needed = bytes / ended.max(1) as u64 * windows as u64;
    Some(format!(
        "the raw detections of {ended} of {windows} windows have {}, --scratch allows {}: about {} are needed; \
         with that the same command goes on from here",
        ByteSize(bytes),
        ByteSize(scratch),
        ByteSize(needed)
    ))
}

/// An error, with how much room is needed where there is less.
fn with_room(error: anyhow::Error, job: &Job, needed: u64) -> anyhow::Error {
    match free_bytes(job.dataset.root()) {
        Ok(free) if free < needed && exit_of(&error) == Exit::CannotWrite => Failure::output(format!(
            "{error:#}; about {} are needed for the slide at work, {} are free: make room, and the same command \
             goes on",
            ByteSize(needed),
            ByteSize(free)
        )),
        _ => error,
    }
}

/// Says what became of a slide; whether it is bad or incomplete.
fn tell(progress: &mut Progress, committed: Committed) -> bool {
    const TAKEN: &str =
        "another run took this slide over while this one was silent; it is in that run's hands";
    let (account, name, lost) = match committed {
        Committed::Done(account, name) => (account, name, false),
        Committed::Lost(account, name) => (account, name, true),
    };
    let RunAccount { slide, outcome, analysis, elapsed_secs, reason, .. } = &*account;
    let event = match (analysis, outcome) {
        _ if lost => Event::SlideFailed { slide: slide.clone(), name, reason: TAKEN.into() },
        (Some(analysis), Outcome::Done | Outcome::Partial) => Event::SlideFinished {
            slide: slide.clone(),
            name,
            outcome: *outcome,
            cells: account.cells(),
            analysed_mm2: analysis.coverage.analysed_mm2,
            failed_windows: analysis.windows.failed,
            elapsed_secs: *elapsed_secs,
        },
        _ => Event::SlideFailed { slide: slide.clone(), name, reason: reason.clone().unwrap_or_default() },
    };
    progress.tell(&event);
    lost || *outcome != Outcome::Done
}

impl SlideRun {
    fn take(&mut self, window: WindowIndex, outcome: WindowOutcome) -> anyhow::Result<()> {
        self.record.clear();
        encode_window(window, &outcome, &mut self.record);
        self.ledger.append(&self.record).map_err(Failure::output)?;
        match &outcome {
            WindowOutcome::Detections(_) => self.done += 1,
            WindowOutcome::Failed(reason) => self.failed.push((window, reason.clone())),
        }
        let (detector, place) = untagged(window);
        self.gatherings.get_mut(detector).context("a window of no detector")?.push(place, outcome)?;
        Ok(())
    }

    /// Merges what is left, writes all results, and gives the account.
    fn finish(self, job: &Job, counters: ReadCounters) -> anyhow::Result<Finished> {
        let Self { facts, gatherings, mut ledger, lock, cells: before, done, failed, .. } = self;
        let name = facts.entry.name();
        if was_replaced(&facts) {
            // Its windows may be of either file.
            ledger.remove().map_err(Failure::output)?;
            let reason = "the file was replaced or changed while it was read; run it again".to_owned();
            let account = RunAccount { reason: Some(reason), ..empty_account(job, &facts.id) };
            return Ok(Finished { account, name, files: Vec::new(), raw: Raw::None, lock });
        }
        let mut found = Found::of(&facts, gatherings, before);
        let audits = audits(&facts, &found);
        let detectors = detector_facts(job, &found);
        let cells = std::mem::take(&mut found.cells);
        let mut cells = fused(job, &facts, cells, &found.painter, &mut found.dropped);
        filter(job, &facts, &mut cells, &mut found.dropped);

        let windows = WindowCounts { planned: facts.windows(), done, failed: failed.len() };
        let failures = count_failures(&failed);
        let mut account = empty_account(job, &facts.id);
        account.outcome = match windows {
            WindowCounts { failed: 0, .. } => Outcome::Done,
            WindowCounts { done: 0, .. } => Outcome::Failed,
            _ => Outcome::Partial,
        };
        if account.outcome == Outcome::Failed {
            account.reason =
                failures.first().map(|failure| format!("no window could be read: {}", failure.reason));
        }
        account.fingerprint = facts.fingerprint.clone();
        account.settings = facts.relevant.clone();
        account.warnings = facts.warnings.clone();
        let seen = seen(&facts, &failed);
        let coverage = coverage(&facts, seen.as_deref());
        let pictures =
            overview::stage(&job.dataset, &facts.id, &facts.picture, &facts.mask, seen.as_deref())?;
        let mut files = Vec::new();
        account.warnings.extend(audits.iter().filter(|audit| audit.grid_shows).map(|audit| {
            format!(
                "the window grid shows in the cells: {:.2} times as dense near seams as beside them, {:.2} times as large",
                audit.density_ratio, audit.size_ratio
            )
        }));
        let grid = RegionGrid::over(&facts.extent(), facts.scale.mpp);
        let has_regions = job.rules().dense.is_some() || !job.rules().region_classes.is_empty();
        account.warnings.extend(grid.note().filter(|_| has_regions));
        let base = facts.slide.info().pyramid.base();
        let mut analysis = Analysis {
            slide_px: [base.width(), base.height()],
            mpp: facts.scale.mpp.get(),
            mpp_source: facts.scale.source.to_string(),
            model_mpp: job.detectors.each[0].mpp.get(),
            detectors,
            windows,
            failures,
            coverage,
            cells: by_class(&cells, job),
            dropped: found.dropped,
            by_threshold: by_threshold(job, &facts, &cells, &mut ledger)?,
            regions: Vec::new(),
            seam_audit: one_or_all(&audits)?,
            tiles: TileCounts {
                needed: counters.tiles_needed,
                decoded: counters.tiles_decoded,
                failed: counters.tiles_failed,
            },
            files: Vec::new(),
        };
        if account.outcome != Outcome::Failed {
            let sources = Sources {
                tissue: &facts.mask,
                painted: &found.painter,
                seen: facts.looks.iter().enumerate().map(|look| seen_boxes(look, &failed)).collect(),
                grid,
                class_names: &class_names(job),
                slide_key: facts.slide_key(),
            };
            let regions = regions_of(&sources, job.rules(), &mut cells);
            analysis.regions = by_kind(&regions, job);
            for (rows, table) in stage_tables(job, &facts, &mut cells, &regions, &analysis)? {
                analysis.files.push(file_facts(job, &table, Some(rows))?);
                files.push(table);
            }
        }
        for picture in pictures {
            analysis.files.push(file_facts(job, &picture, None)?);
            files.push(picture);
        }
        account.analysis = Some(analysis);
        let raw = if job.settings.keep_raw.is_some() { Raw::Kept(ledger) } else { Raw::Spent(ledger) };
        Ok(Finished { account, name, files, raw, lock })
    }
}

/// Whether another content is where the slide was.
fn was_replaced(facts: &Facts) -> bool {
    let now = wsi_reader::content_id(&facts.entry.path).map(|content| hex(&content.bytes()));
    now.ok().as_ref() != facts.relevant.get("slide_content")
}

/// Writes the tables of a slide; gives each with its rows. Regions first: cells
/// name them.
fn stage_tables(
    job: &Job,
    facts: &Facts,
    cells: &mut [Cell],
    regions: &[Region],
    analysis: &Analysis,
) -> anyhow::Result<[(u64, Staged); 2]> {
    let context = TableContext {
        slide_id: facts.id.to_string(),
        mpp: facts.scale.mpp,
        class_names: class_names(job),
        provenance: provenance(job, facts, analysis)?,
    };
    let (dataset, id) = (&job.dataset, &facts.id);
    let folder = dataset.staged(id);
    let of_regions =
        merger::stage_regions(&folder, &dataset.regions(id), regions, &context).map_err(Failure::output)?;
    let of_cells =
        merger::stage_cells(&folder, &dataset.cells(id), cells, &context).map_err(Failure::output)?;
    Ok([of_regions, of_cells].map(|(written, table)| (written.rows, table)))
}

fn file_facts(job: &Job, file: &Staged, rows: Option<u64>) -> anyhow::Result<FileFacts> {
    let (bytes, sha256) = sha256_of(file.temporary())?;
    let relative = file.path().strip_prefix(job.dataset.root())?;
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    Ok(FileFacts { path: parts.join("/"), rows, bytes, sha256 })
}

/// What the table says of its own making: nothing that differs between two runs
/// of the same slide, model and settings.
fn provenance(
    job: &Job,
    facts: &Facts,
    analysis: &Analysis,
) -> anyhow::Result<Vec<(String, serde_json::Value)>> {
    let entry = |name: &str, value: serde_json::Result<serde_json::Value>| Ok((name.to_owned(), value?));
    [
        entry("slide", serde_json::to_value(&facts.id)),
        entry("slidemill", serde_json::to_value(env!("CARGO_PKG_VERSION"))),
        entry("model", serde_json::to_value(job.model())),
        entry("detectors", serde_json::to_value(&analysis.detectors)),
        entry("mpp", serde_json::to_value(analysis.mpp)),
        entry("mpp_source", serde_json::to_value(&analysis.mpp_source)),
        entry("sampling", one_or_all(&facts.samplings())),
        entry("settings", serde_json::to_value(&facts.relevant)),
        entry("fingerprint", serde_json::to_value(&facts.fingerprint)),
        entry("bounds", serde_json::to_value(facts.slide.info().bounds)),
        entry("windows", serde_json::to_value(analysis.windows)),
        entry("missing_windows", serde_json::to_value(&analysis.failures)),
        entry("coverage", serde_json::to_value(analysis.coverage)),
        entry("seam_audit", serde_json::to_value(&analysis.seam_audit)),
    ]
    .into_iter()
    .collect()
}

/// One detector's value as it is, several as a list.
fn one_or_all<T: serde::Serialize>(all: &[T]) -> serde_json::Result<serde_json::Value> {
    match all {
        [one] => serde_json::to_value(one),
        _ => serde_json::to_value(all),
    }
}

/// What all detectors found, not yet fused.
struct Found {
    /// Per detector.
    cells: Vec<Vec<Cell>>,
    painter: RegionPainter,
    dropped: BTreeMap<String, u64>,
}

impl Found {
    /// `before`: cells that were taken out earlier, per detector.
    fn of(facts: &Facts, gatherings: Vec<Gathering>, before: Vec<Vec<Cell>>) -> Self {
        let grid = RegionGrid::over(&facts.extent(), facts.scale.mpp);
        let painter = RegionPainter::new(grid.frame, grid.size);
        let mut found = Self { cells: before, painter, dropped: BTreeMap::new() };
        found.cells.resize_with(gatherings.len(), Vec::new);
        for (cells, gathering) in found.cells.iter_mut().zip(gatherings) {
            let gathered = gathering.finish();
            for (reason, count) in dropped(&gathered) {
                note(&mut found.dropped, reason, count);
            }
            cells.extend(gathered.cells);
            found.painter.absorb(gathered.painter);
        }
        found
    }
}

/// The seams of each detector's plan in its own cells.
fn audits(facts: &Facts, found: &Found) -> Vec<SeamAudit> {
    facts.looks.iter().zip(&found.cells).map(|(look, cells)| audit_seams(&look.layout, cells)).collect()
}

fn detector_facts(job: &Job, found: &Found) -> Vec<DetectorFacts> {
    if found.cells.len() < 2 {
        return Vec::new();
    }
    let facts = |(detector, cells): (&JobDetector, &Vec<Cell>)| DetectorFacts {
        model: model_facts(&detector.manifest),
        mpp: detector.mpp.get(),
        cells: cells.len() as u64,
    };
    job.detectors.each.iter().zip(&found.cells).map(facts).collect()
}

/// The cells of all detectors as one table.
fn fused(
    job: &Job,
    facts: &Facts,
    mut scales: Vec<Vec<Cell>>,
    painter: &RegionPainter,
    dropped: &mut BTreeMap<String, u64>,
) -> Vec<Cell> {
    if scales.len() < 2 {
        return scales.pop().unwrap_or_default();
    }
    let rules = &job.settings.merging;
    let before: u64 = scales.iter().map(|cells| cells.len() as u64).sum();
    if rules.fuse.scores().is_some() {
        let all = fuse_scales(&scales, facts.scale.mpp, &rules.fusion);
        let views: u64 = all.iter().map(|fused| fused.scores.iter().flatten().count() as u64).sum();
        note(dropped, "the same cell of another detector", views - all.len() as u64);
        note(dropped, "fused, below the least score", before - views);
        return all.into_iter().map(|fused| fused.cell).collect();
    }
    let mut cells = scales.swap_remove(0);
    note(dropped, "a cell of a detector that gives context", before - cells.len() as u64);
    let regions = painter.regions(|class| class.0.to_string(), &job.rules().region, facts.slide_key());
    let contexts: Vec<Context> =
        regions.iter().map(|region| Context { score: region.score.unwrap_or_default() }).collect();
    let (weight, outside) = (rules.context_weight, rules.context_outside);
    // Without a threshold of its own, what context leaves nothing of is gone.
    let least = rules.fusion.min_score.max(f32::MIN_POSITIVE);
    let vetoed = apply_context(&mut cells, &regions, &contexts, weight, outside, least);
    note(dropped, "vetoed by its context", vetoed);
    cells
}

/// Counts what went for a reason.
fn note(dropped: &mut BTreeMap<String, u64>, reason: &str, count: u64) {
    if count > 0 {
        *dropped.entry(reason.to_owned()).or_default() += count;
    }
}

/// The account of a slide without results.
fn empty_account(job: &Job, id: &SlideId) -> RunAccount {
    RunAccount {
        slide: id.clone(),
        outcome: Outcome::Failed,
        reason: None,
        slidemill: env!("CARGO_PKG_VERSION").into(),
        model: job.model(),
        device: job.device.clone(),
        fingerprint: String::new(),
        settings: BTreeMap::new(),
        analysis: None,
        warnings: Vec::new(),
        elapsed_secs: 0.0,
    }
}

fn write_account(dataset: &Dataset, account: &RunAccount) -> anyhow::Result<()> {
    let path = dataset.account(&account.slide);
    dataset.write(&path, &serde_json::to_vec_pretty(account)?).map_err(|error| {
        Failure::output(format!("cannot write the run account: {error}: {}", path.display()))
    })
}

/// Adds a line to the private list of names, once.
fn note_name(dataset: &Dataset, id: &SlideId, entry: &SlideEntry) -> anyhow::Result<()> {
    let path = dataset.names();
    let write = || -> io::Result<()> {
        let known = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => "id,path\n".into(),
            Err(error) => return Err(error),
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([id.as_str(), &entry.path.to_string_lossy()])?;
        let line = String::from_utf8_lossy(&writer.into_inner().map_err(io::Error::other)?).into_owned();
        if known.contains(&line) {
            return Ok(());
        }
        let start = if path.exists() { "" } else { known.as_str() };
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{start}{line}").as_bytes())
    };
    write().map_err(|error| {
        Failure::output(format!("cannot write the list of slides: {error}: {}", path.display()))
    })
}

/// Failed windows by reason and detector, most frequent first.
fn count_failures(failed: &[(WindowIndex, String)]) -> Vec<FailureCount> {
    let mut by_reason: BTreeMap<(&str, usize), Vec<u32>> = BTreeMap::new();
    for (window, reason) in failed {
        let (detector, place) = untagged(*window);
        by_reason.entry((reason, detector)).or_default().push(place.0);
    }
    let mut counts: Vec<_> = by_reason
        .into_iter()
        .map(|((reason, detector), mut windows)| {
            windows.sort_unstable();
            FailureCount { reason: reason.to_owned(), detector, windows }
        })
        .collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.windows.len()));
    counts
}

fn class_names(job: &Job) -> Vec<String> {
    job.detectors.manifest.classes.iter().map(|class| class.name.clone()).collect()
}

fn by_class(cells: &[Cell], job: &Job) -> BTreeMap<String, u64> {
    with_names(merger::cell::count_by_class(cells), job)
}

/// Counts of all classes the model has, by name, be they 0.
fn with_names(counts: impl IntoIterator<Item = (ClassId, u64)>, job: &Job) -> BTreeMap<String, u64> {
    let is_object = |index: usize| !job.rules().region_classes.contains(&ClassId(index as u16));
    let classes = job.detectors.manifest.classes.iter().enumerate().filter(|(index, _)| is_object(*index));
    let mut named: BTreeMap<String, u64> = classes.map(|(_, class)| (class.name.clone(), 0)).collect();
    for (class, count) in counts {
        let known = job.detectors.manifest.classes.get(usize::from(class.0));
        let name = known.map_or_else(|| format!("class {}", class.0), |class| class.name.clone());
        *named.entry(name).or_default() += count;
    }
    named
}

fn by_kind(regions: &[Region], job: &Job) -> Vec<RegionCount> {
    let mut kinds: BTreeMap<&str, Vec<&Region>> = BTreeMap::new();
    for region in regions {
        kinds.entry(&region.kind).or_default().push(region);
    }
    let mm2 = |regions: &[&Region], area: fn(&Region) -> f64| {
        regions.iter().map(|region| area(region)).sum::<f64>() * 1e-6
    };
    let count = |(kind, regions): (&str, Vec<&Region>)| RegionCount {
        kind: kind.to_owned(),
        regions: regions.len() as u64,
        area_mm2: mm2(&regions, |region| region.area_um2),
        analysed_mm2: mm2(&regions, Region::analysed_um2),
        cells: with_names(
            regions.iter().flat_map(|region| region.cells.iter().map(|(&class, &count)| (class, count))),
            job,
        ),
    };
    kinds.into_iter().map(count).collect()
}

/// Raw detections that did not become rows of their own, by reason.
fn dropped(gathered: &Gathered) -> [(&'static str, u64); 10] {
    let MergeReport { counts, .. } = &gathered.report;
    [
        ("below the score threshold", counts.below_score),
        ("not a finite box", counts.not_finite),
        ("a box without area", counts.no_area),
        ("outside the slide", counts.outside),
        ("cut by a window that another saw past", counts.yielded),
        ("another view of the same cell", counts.same_class),
        ("another class on the same cell", counts.other_class),
        ("at the rim of a window, where a better view found nothing", counts.unconfirmed),
        ("piece of a cell larger than the overlap", counts.joined_pieces),
        ("part of a region", gathered.painted),
    ]
}

/// Takes out the cells that the filters refuse; counts them by reason.
fn filter(job: &Job, facts: &Facts, cells: &mut Vec<Cell>, dropped: &mut BTreeMap<String, u64>) {
    for (measure, count) in job.rules().filter.apply(cells, facts.scale.mpp) {
        note(dropped, &format!("cell filtered by {measure}"), count);
    }
}

/// Steps between thresholds, per 1.
const THRESHOLD_STEPS: u32 = 20;

/// See [`ThresholdCount`].
fn by_threshold(
    job: &Job,
    facts: &Facts,
    cells: &[Cell],
    ledger: &mut Ledger,
) -> anyhow::Result<Vec<ThresholdCount>> {
    let classes = (0..job.detectors.manifest.classes.len()).map(|class| ClassId(class as u16));
    let least = |class| job.detectors.each.iter().map(move |each| each.rules.merge.min_score.get(class));
    let own = classes.flat_map(least).fold(0.0, f32::max);
    let floor = if job.settings.keep_raw.is_some() { job.score_floor() } else { own };
    let mut counts = Vec::new();
    for min_score in (0..THRESHOLD_STEPS).map(|step| step as f32 / THRESHOLD_STEPS as f32) {
        let cells = if min_score >= own {
            let at_least = cells.iter().filter(|cell| cell.score.get() >= min_score);
            with_names(at_least.map(|cell| (cell.class, 1)), job)
        } else if min_score >= floor {
            by_class(&merged_at(min_score, job, facts, ledger)?, job)
        } else {
            continue;
        };
        counts.push(ThresholdCount { min_score, cells });
    }
    Ok(counts)
}

/// The cells that this threshold for all classes gives.
fn merged_at(min_score: f32, job: &Job, facts: &Facts, ledger: &mut Ledger) -> anyhow::Result<Vec<Cell>> {
    let gathering = |(look, detector): (&Look, &JobDetector)| {
        let mut rules = (*detector.rules).clone();
        rules.merge.min_score = PerClass::all(min_score);
        Gathering::with_rules(Arc::clone(&look.layout), detector, Arc::new(rules))
    };
    let mut gatherings: Vec<Gathering> = facts.looks.iter().zip(&job.detectors.each).map(gathering).collect();
    let mut unread = None;
    ledger
        .replay(|record| {
            let pushed = decode_window(record).and_then(|(window, outcome)| {
                let (detector, place) = untagged(window);
                let gathering = gatherings.get_mut(detector);
                gathering.map_or(Ok(()), |gathering| gathering.push(place, outcome))
            });
            unread = unread.take().or(pushed.err());
        })
        .map_err(Failure::output)?;
    if let Some(error) = unread {
        return Err(error.into());
    }
    let mut found = Found::of(facts, gatherings, Vec::new());
    let cells = std::mem::take(&mut found.cells);
    let mut cells = fused(job, facts, cells, &found.painter, &mut BTreeMap::new());
    filter(job, facts, &mut cells, &mut BTreeMap::new());
    Ok(cells)
}

/// Windows of one detector with a result, on level 0.
fn seen_boxes((detector, look): (usize, &Look), failed: &[(WindowIndex, String)]) -> Vec<Level0Box> {
    let failed: BTreeSet<WindowIndex> = failed.iter().map(|(window, _)| *window).collect();
    let windows = look.plan.windows().iter();
    let seen = windows.filter(|window| !failed.contains(&tagged(detector, window.index)));
    seen.map(wsi_types::Window::level0_box).collect()
}

/// The px of the mask that each detector saw in at least one window with a
/// result; `None` when no window failed.
fn seen(facts: &Facts, failed: &[(WindowIndex, String)]) -> Option<Vec<bool>> {
    if failed.is_empty() {
        return None;
    }
    let boxes = facts.looks.iter().enumerate().map(|look| seen_boxes(look, failed));
    let each = boxes.map(|boxes| seen_px(&facts.mask, &boxes));
    each.reduce(|all, next| all.iter().zip(next).map(|(&all, next)| all && next).collect())
}

/// Tissue that was seen, at the mask's resolution.
fn coverage(facts: &Facts, seen: Option<&[bool]>) -> Coverage {
    let (tissue_mm2, bits) = (facts.tissue_mm2(), facts.mask.bits());
    let tissue = bits.iter().filter(|&&tissue| tissue).count();
    let fraction = match seen {
        Some(seen) if tissue > 0 => {
            let both = bits.iter().zip(seen).filter(|&(&tissue, &seen)| tissue && seen).count();
            both as f64 / tissue as f64
        }
        _ => 1.0,
    };
    Coverage { tissue_mm2, analysed_mm2: tissue_mm2 * fraction, fraction }
}

/// The px of the mask whose centres some of `boxes` hold.
fn seen_px(mask: &TissueMask, boxes: &[Level0Box]) -> Vec<bool> {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let mut seen = vec![false; width * height];
    for area in boxes {
        let span = |low: f64, high: f64, step: f64, end: usize| {
            let first = (low / step - 0.5).ceil().max(0.0) as usize;
            let last = ((high / step - 0.5).ceil().max(0.0) as usize).min(end);
            first.min(last)..last
        };
        let columns = span(area.min.x, area.max.x, mask.downsample().0, width);
        for row in span(area.min.y, area.max.y, mask.downsample().1, height) {
            seen[row * width..][columns.clone()].fill(true);
        }
    }
    seen
}
