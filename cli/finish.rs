//! Collects what the windows of a slide gave, and ends the slide: merge, write,
//! account, commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Write as _},
};

use anyhow::Context as _;
use merger::{Cell, CellMerger, MergeReport, audit_seams, table::TableContext};
use tiler::{Plan, ReadCounters, TissueMask};
use wsi_types::WindowIndex;

use crate::{
    account::{Analysis, Coverage, FailureCount, FileFacts, Outcome, RunAccount, TileCounts, WindowCounts},
    dataset::{Dataset, SlideId, hex, sha256_of, write_whole},
    exit::Failure,
    isolate::Mark,
    job::SlideEntry,
    ledger::Ledger,
    lock::SlideLock,
    overview,
    pipeline::{self, Step},
    prepare::{Facts, Job, Preparation, Prepared},
    progress::{Event, Progress},
    record,
};

/// Takes the steps of a job as they come.
pub struct Collector<'a> {
    job: &'a Job,
    progress: &'a mut Progress,
    current: Option<SlideRun>,
    incomplete: bool,
    /// Slides that other runs had in hand.
    waited_for: BTreeSet<SlideId>,
}

/// The slide at work.
struct SlideRun {
    facts: Facts,
    merger: CellMerger,
    ledger: Ledger,
    lock: SlideLock,
    /// Gone with the run: the slide is then no longer in hand.
    _mark: Mark,
    /// Cells no window to come can change.
    cells: Vec<Cell>,
    done: usize,
    failed: Vec<(WindowIndex, String)>,
    record: Vec<u8>,
}

impl<'a> Collector<'a> {
    /// A collector that tells `progress`.
    #[must_use]
    pub fn new(job: &'a Job, progress: &'a mut Progress) -> Self {
        Self { job, progress, current: None, incomplete: false, waited_for: BTreeSet::new() }
    }

    /// Whether some slide of the job is bad or incomplete, now or from before.
    #[must_use]
    pub fn incomplete(&self) -> bool {
        self.incomplete
    }

    /// Takes one step.
    ///
    /// # Errors
    ///
    /// When the output cannot be written: no other slide would fare better.
    pub fn take(&mut self, step: Step) -> anyhow::Result<()> {
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
        let Prepared { facts, todo, failed, mut merger, ledger, lock, mark } = prepared;
        note_name(&self.job.dataset, &facts.id, &facts.entry)?;
        let windows = facts.plan.windows().len();
        let resumed = windows - todo.len();
        self.progress.tell(&Event::SlideStarted {
            slide: facts.id.clone(),
            name: facts.entry.name(),
            windows,
            resumed,
            tissue_mm2: facts.plan.tissue_mm2(),
        });
        for message in facts.warnings.clone() {
            self.progress.tell(&Event::Warning { slide: Some(facts.id.clone()), message });
        }
        let (cells, done, record) = (merger.take_final(), resumed - failed.len(), Vec::new());
        self.current =
            Some(SlideRun { facts, merger, ledger, lock, _mark: mark, cells, done, failed, record });
        Ok(())
    }

    fn windows(&mut self, ended: Vec<(WindowIndex, pipeline::Outcome)>) -> anyhow::Result<()> {
        let run = self.current.as_mut().context("windows of no slide")?;
        for (window, outcome) in ended {
            run.take(window, outcome)?;
        }
        run.cells.append(&mut run.merger.take_final());
        self.progress.tell(&Event::Windows {
            slide: run.facts.id.clone(),
            done: run.done + run.failed.len(),
            failed: run.failed.len(),
            windows: run.facts.plan.windows().len(),
            cells: run.cells.len() as u64,
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
        let (id, name, started) = (run.facts.id.clone(), run.facts.entry.name(), run.facts.started);
        let failed_windows = run.failed.len();
        // The lock is held until the account stands: it is the commit.
        let (mut account, _lock) = run.finish(self.job, counters)?;
        account.elapsed_secs = started.elapsed().as_secs_f64();
        write_account(&self.job.dataset, &account)?;
        self.incomplete |= account.outcome != Outcome::Done;
        self.progress.tell(&match (&account.analysis, account.outcome) {
            (Some(analysis), Outcome::Done | Outcome::Partial) => Event::SlideFinished {
                slide: id,
                name,
                outcome: account.outcome,
                cells: account.cells(),
                analysed_mm2: analysis.coverage.analysed_mm2,
                failed_windows,
                elapsed_secs: account.elapsed_secs,
            },
            _ => Event::SlideFailed { slide: id, name, reason: account.reason.unwrap_or_default() },
        });
        Ok(())
    }
}

impl SlideRun {
    fn take(&mut self, window: WindowIndex, outcome: pipeline::Outcome) -> anyhow::Result<()> {
        self.record.clear();
        record::encode(window, &outcome, &mut self.record);
        self.ledger.append(&self.record).map_err(Failure::output)?;
        match &outcome {
            Ok(_) => self.done += 1,
            Err(reason) => self.failed.push((window, reason.clone())),
        }
        self.merger.push(window, record::for_merger(outcome))?;
        Ok(())
    }

    /// Merges what is left, writes the tables, and gives the account.
    fn finish(self, job: &Job, counters: ReadCounters) -> anyhow::Result<(RunAccount, SlideLock)> {
        let Self { facts, merger, mut ledger, lock, mut cells, done, failed, .. } = self;
        anyhow::ensure!(lock.is_ours(), "another run took slide {} over", facts.id);
        if was_replaced(&facts) {
            // Its windows may be of either file.
            ledger.remove().map_err(Failure::output)?;
            let reason = "the file was replaced or changed while it was read; run it again".to_owned();
            let account = RunAccount { reason: Some(reason), ..empty_account(job, &facts.id) };
            return Ok((account, lock));
        }
        let (rest, report) = merger.finish();
        cells.extend(rest);

        let windows = WindowCounts { planned: facts.plan.windows().len(), done, failed: failed.len() };
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
        let seen = seen(&facts.mask, &facts.plan, &failed);
        let coverage = coverage(&facts.mask, &facts.plan, seen.as_deref());
        overview::write(&job.dataset, &facts.id, &facts.picture, &facts.mask, seen.as_deref())?;
        let audit = audit_seams(&facts.layout, &cells);
        if audit.grid_shows {
            account.warnings.push(format!(
                "the window grid shows in the cells: {:.2} times as dense near seams as beside them, {:.2} times as large",
                audit.density_ratio, audit.size_ratio
            ));
        }
        let base = facts.slide.info().pyramid.base();
        let mut analysis = Analysis {
            slide_px: [base.width(), base.height()],
            mpp: facts.scale.mpp.get(),
            mpp_source: facts.scale.source.to_string(),
            model_mpp: job.model_mpp()?.get(),
            windows,
            failures,
            coverage,
            cells: by_class(&cells, job),
            dropped: dropped(&report),
            seam_audit: serde_json::to_value(&audit)?,
            tiles: TileCounts {
                needed: counters.tiles_needed,
                decoded: counters.tiles_decoded,
                failed: counters.tiles_failed,
            },
            files: Vec::new(),
        };
        if account.outcome != Outcome::Failed {
            analysis.files = write_tables(job, &facts, &mut cells, &analysis)?;
        }
        account.analysis = Some(analysis);
        if job.settings.keep_raw {
            ledger.sync().map_err(Failure::output)?;
        } else {
            ledger.remove().map_err(Failure::output)?;
        }
        Ok((account, lock))
    }
}

/// Whether another content is where the slide was.
fn was_replaced(facts: &Facts) -> bool {
    let now = wsi_reader::content_id(&facts.entry.path).map(|content| hex(&content.bytes()));
    now.ok().as_ref() != facts.relevant.get("slide_content")
}

/// Writes the tables of a slide; gives the facts of each file.
fn write_tables(
    job: &Job,
    facts: &Facts,
    cells: &mut [Cell],
    analysis: &Analysis,
) -> anyhow::Result<Vec<FileFacts>> {
    let context = TableContext {
        slide_id: facts.id.to_string(),
        mpp: facts.scale.mpp,
        class_names: job.manifest.classes.iter().map(|class| class.name.clone()).collect(),
        provenance: provenance(job, facts, analysis)?,
    };
    let path = job.dataset.cells(&facts.id);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::output(format!("cannot make a folder: {error}: {}", folder.display()))
        })?;
    }
    let written = merger::table::write_cells(&path, cells, &context).map_err(Failure::output)?;
    let (bytes, sha256) = sha256_of(&path)?;
    let relative = path.strip_prefix(job.dataset.root())?;
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    Ok(vec![FileFacts { path: parts.join("/"), rows: written.rows, bytes, sha256 }])
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
        entry("mpp", serde_json::to_value(analysis.mpp)),
        entry("mpp_source", serde_json::to_value(&analysis.mpp_source)),
        entry("sampling", serde_json::to_value(facts.plan.sampling())),
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
    write_whole(&path, &serde_json::to_vec_pretty(account)?).map_err(|error| {
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

/// Failed windows by reason, most frequent first.
fn count_failures(failed: &[(WindowIndex, String)]) -> Vec<FailureCount> {
    let mut by_reason: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (window, reason) in failed {
        by_reason.entry(reason).or_default().push(window.0);
    }
    let mut counts: Vec<_> = by_reason
        .into_iter()
        .map(|(reason, mut windows)| {
            windows.sort_unstable();
            FailureCount { reason: reason.to_owned(), windows }
        })
        .collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.windows.len()));
    counts
}

fn by_class(cells: &[Cell], job: &Job) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> =
        job.manifest.classes.iter().map(|class| (class.name.clone(), 0)).collect();
    for (class, count) in merger::cell::count_by_class(cells) {
        let name = job.manifest.classes.get(usize::from(class.0));
        *counts
            .entry(name.map_or_else(|| format!("class {}", class.0), |class| class.name.clone()))
            .or_default() += count;
    }
    counts
}

/// Raw detections that did not become rows of their own, by reason.
fn dropped(report: &MergeReport) -> BTreeMap<String, u64> {
    let counts = &report.counts;
    [
        ("below the score threshold", counts.below_score),
        ("not a finite box", counts.not_finite),
        ("a box without area", counts.no_area),
        ("outside the slide", counts.outside),
        ("cut by a window that another saw past", counts.yielded),
        ("another view of the same cell", counts.same_class),
        ("another class on the same cell", counts.other_class),
        ("cut, where a better view found nothing", counts.unconfirmed),
        ("piece of a cell larger than the overlap", counts.joined_pieces),
    ]
    .into_iter()
    .filter(|&(_, count)| count > 0)
    .map(|(reason, count)| (reason.to_owned(), count))
    .collect()
}

/// Which px of the mask at least one window with a result saw; `None` when no
/// window failed.
fn seen(mask: &TissueMask, plan: &Plan, failed: &[(WindowIndex, String)]) -> Option<Vec<bool>> {
    if failed.is_empty() {
        return None;
    }
    let mut missing = vec![false; plan.windows().len()];
    for (window, _) in failed {
        missing[window.0 as usize] = true;
    }
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let mut seen = vec![false; width * height];
    for window in plan.windows().iter().filter(|window| !missing[window.index.0 as usize]) {
        let area = window.level0_box();
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
    Some(seen)
}

/// Tissue that was seen, at the mask's resolution.
fn coverage(mask: &TissueMask, plan: &Plan, seen: Option<&[bool]>) -> Coverage {
    let tissue_mm2 = plan.tissue_mm2();
    let tissue = mask.bits().iter().filter(|&&tissue| tissue).count();
    let fraction = match seen {
        Some(seen) if tissue > 0 => {
            let both = mask.bits().iter().zip(seen).filter(|&(&tissue, &seen)| tissue && seen).count();
            both as f64 / tissue as f64
        }
        _ => 1.0,
    };
    Coverage { tissue_mm2, analysed_mm2: tissue_mm2 * fraction, fraction }
}
