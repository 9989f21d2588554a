//! Opens a slide, decides whether there is anything to do, and plans it.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::Context as _;
use detector::Manifest;
use merger::{Layout, WindowOutcome, decode_window};
use sha2::{Digest as _, Sha256};
use tiler::{Plan, PlanSettings, TissueMask, TissueSettings};
use wsi_reader::{Overview, Scale, Slide, SlideInfo};
use wsi_types::{Level0Box, Mpp, RgbBuffer, WindowIndex};

use crate::{
    account::{ModelFacts, Outcome, RunAccount},
    budget::free_bytes,
    dataset::{Dataset, SlideId, hex},
    detectors::{Detectors, JobDetector, model_facts, untagged},
    exit::Failure,
    gather::Gathering,
    isolate::{Mark, Marks},
    job::SlideEntry,
    ledger::{self, Ledger, LedgerHead, Origin},
    lock::{LockError, Locks, SlideLock},
    merging::SlideRules,
    overview,
    redo::Redo,
    settings::{ByteSize, RunOptions, Settings},
};

/// What is done with results that are there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// They stay; those made otherwise are refused.
    Stay,
    /// They are made anew, from the slide.
    Redo(Redo),
    /// They are made anew, from the raw detections that were kept.
    Remerge,
}

/// What holds for all slides of a job.
pub struct Job {
    /// The checked settings.
    pub settings: Settings,
    /// What they were checked from.
    pub options: RunOptions,
    /// Its detectors, at least one.
    pub detectors: Detectors,
    /// What the model runs on, in words.
    pub device: String,
    /// Where results go.
    pub dataset: Dataset,
    /// Where the ledgers of windows lie: beside the results, as a rule.
    pub ledgers: Dataset,
    /// What is done with results that are there already.
    pub before: Before,
    /// Set when the job should end after the windows in flight.
    pub stop: Arc<AtomicBool>,
    /// Marks of slides in hand.
    pub marks: Marks,
    /// Keep other runs off a slide.
    pub locks: Locks,
    /// Slides of this job so far, by id: the path that came first.
    pub claimed: Mutex<BTreeMap<SlideId, PathBuf>>,
}

impl Job {
    /// Whether the job was asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The marks of a run that does all anew.
    #[must_use]
    pub fn redo(&self) -> Option<&Redo> {
        match &self.before {
            Before::Redo(redo) => Some(redo),
            Before::Stay | Before::Remerge => None,
        }
    }

    /// The model, or all models as one, in the words of an account.
    #[must_use]
    pub fn model(&self) -> ModelFacts {
        model_facts(&self.detectors.manifest)
    }

    /// What holds for the cells and regions of all detectors: filters, and which
    /// classes are areas.
    #[must_use]
    pub fn rules(&self) -> &SlideRules {
        &self.detectors.each[0].rules
    }

    /// The score from which windows give detections: the lowest threshold, or
    /// lower when raw detections are kept.
    #[must_use]
    pub fn score_floor(&self) -> f32 {
        score_floor(&self.settings, &self.detectors)
    }
}

/// See [`Job::score_floor`].
#[must_use]
pub fn score_floor(settings: &Settings, detectors: &Detectors) -> f32 {
    let own = detectors.each.iter().map(|detector| settings.merging.score_floor(&detector.manifest));
    own.chain(settings.keep_raw).fold(1.0, f32::min)
}

/// The rules for a model, once settings and model are known to agree.
///
/// # Errors
///
/// A usage failure for a class the model does not have, or for an agreement
/// within windows that leaves nothing for the one between them.
pub fn rules_for(settings: &Settings, manifest: &Manifest) -> anyhow::Result<Arc<SlideRules>> {
    let within = settings.window_iou.unwrap_or_else(|| f64::from(manifest.nms_iou));
    let between = settings.merging.largest_iou(manifest);
    if between > within {
        return Err(Failure::usage(format!(
            "--merge-iou or --class-iou is {between}, above --window-iou {within}: boxes of one window that \
             overlap more than that are one already; give --window-iou {between} too"
        )));
    }
    Ok(Arc::new(settings.merging.of_model(manifest)?))
}

/// What one detector looks at.
#[derive(Clone)]
pub struct Look {
    /// Its windows.
    pub plan: Arc<Plan>,
    /// Where they lie on level 0.
    pub layout: Arc<Layout>,
}

/// What is known of a slide that is to be read.
pub struct Facts {
    /// As given by the user.
    pub entry: SlideEntry,
    /// Names it in outputs.
    pub id: SlideId,
    /// The open file.
    pub slide: Arc<dyn Slide>,
    /// µm per level-0 px, and where that is from.
    pub scale: Scale,
    /// Where there is tissue.
    pub mask: TissueMask,
    /// The whole slide, small; never its label.
    pub picture: RgbBuffer,
    /// What each detector looks at.
    pub looks: Vec<Look>,
    /// See `RunAccount::fingerprint`.
    pub fingerprint: String,
    /// What went into it.
    pub relevant: BTreeMap<String, String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// When work on it began.
    pub started: Instant,
}

impl Facts {
    /// Windows of all detectors.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.looks.iter().map(|look| look.plan.windows().len()).sum()
    }

    /// What the slide covers, level-0 px.
    #[must_use]
    pub fn extent(&self) -> Level0Box {
        extent(self.slide.info())
    }

    /// What ids of its cells and regions start from.
    #[must_use]
    pub fn slide_key(&self) -> u64 {
        self.looks.first().map_or(0, |look| look.layout.slide_key())
    }

    /// Where the pixels of each detector come from.
    #[must_use]
    pub fn samplings(&self) -> Vec<wsi_types::Sampling> {
        self.looks.iter().map(|look| *look.plan.sampling()).collect()
    }

    /// Bytes on the disk that it may need, as estimated before it began.
    #[must_use]
    pub fn needed_bytes(&self) -> u64 {
        needed_bytes(self.tissue_mm2(), self.looks.len())
    }

    /// Tissue that the mask found.
    #[must_use]
    pub fn tissue_mm2(&self) -> f64 {
        self.looks.first().map_or(0.0, |look| look.plan.tissue_mm2())
    }
}

/// A slide ready to be read, as far as an earlier run got.
pub struct Prepared {
    /// What is known of it.
    pub facts: Facts,
    /// Per detector: windows not yet in the ledger, in plan order, as places in its
    /// plan.
    pub todo: Vec<Vec<WindowIndex>>,
    /// Windows in the ledger that failed; [`tagged`](crate::detectors::tagged).
    pub failed: Vec<(WindowIndex, String)>,
    /// Per detector, fed with what the ledger held.
    pub gatherings: Vec<Gathering>,
    /// Takes what comes.
    pub ledger: Ledger,
    /// Keeps other runs off this slide.
    pub lock: SlideLock,
    /// Says that this process has it in hand.
    pub mark: Mark,
}

/// What comes of looking at one entry of the job.
pub enum Preparation {
    /// To be read.
    Ready(Box<Prepared>),
    /// Nothing to do.
    Skip {
        /// Names it in outputs.
        id: SlideId,
        /// How it ended before.
        outcome: Outcome,
        /// In words.
        reason: String,
        /// More of it, for the terminal only: it may name files.
        aside: String,
    },
    /// Another run is at work on it; to be looked at again.
    Busy {
        /// Names it in outputs.
        id: SlideId,
        /// Who.
        reason: String,
    },
    /// There is no room for its results, nor for any other's.
    NoRoom {
        /// In words.
        reason: String,
    },
    /// It cannot be analysed.
    Refused {
        /// Names it in outputs.
        id: SlideId,
        /// What was tried, found and expected; no path.
        reason: String,
        /// Whether an account of the failure is written. Not for a refusal that
        /// protects results already there.
        account: bool,
    },
}

/// Looks at one slide of the job. Never fails as a whole: what is wrong with a
/// slide costs that slide.
pub fn prepare(entry: &SlideEntry, job: &Job) -> Preparation {
    let mut id = id_by_name(entry);
    let refused = |id, reason| Preparation::Refused { id, reason, account: true };
    if let Some(reason) = job.marks.given_up(&entry.path) {
        return refused(id, reason);
    }
    let prepared = catch_unwind(AssertUnwindSafe(|| {
        let mark = job.marks.take(&entry.path).context("cannot mark the slide as in hand")?;
        let content = wsi_reader::content_id(&entry.path)?.bytes();
        if entry.id.is_none() {
            id = SlideId::from_content(&content);
        }
        match claim(entry, job, &id) {
            Some(twin) => Ok(twin),
            None => plan_slide(entry, job, &id, &hex(&content), mark),
        }
    }));
    match prepared {
        Ok(Ok(preparation)) => preparation,
        Ok(Err(error)) if matches!(error.downcast_ref(), Some(LockError::Held { .. })) => {
            Preparation::Busy { id, reason: error.to_string() }
        }
        Ok(Err(error)) => refused(id, in_words(&error)),
        Err(panic) => {
            refused(id, format!("internal error, please report it: {}", panic_text(panic.as_ref())))
        }
    }
}

/// An error with its causes, each said once.
fn in_words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{cause}");
        }
    }
    text
}

/// Names a slide whose content cannot be read.
fn id_by_name(entry: &SlideEntry) -> SlideId {
    entry.id.clone().unwrap_or_else(|| SlideId::from_content(&Sha256::digest(entry.name()).into()))
}

/// The id a run gives a slide, and the hash of its content where that can be
/// read.
#[must_use]
pub fn slide_id(entry: &SlideEntry) -> (SlideId, Option<[u8; 32]>) {
    match wsi_reader::content_id(&entry.path) {
        Ok(content) => {
            let content = content.bytes();
            (entry.id.clone().unwrap_or_else(|| SlideId::from_content(&content)), Some(content))
        }
        Err(_) => (id_by_name(entry), None),
    }
}

/// Notes that this job has the slide; a copy of one it has already is skipped.
fn claim(entry: &SlideEntry, job: &Job, id: &SlideId) -> Option<Preparation> {
    let mut claimed = job.claimed.lock().unwrap_or_else(PoisonError::into_inner);
    let first = claimed.entry(id.clone()).or_insert_with(|| entry.path.clone());
    (*first != entry.path).then(|| Preparation::Skip {
        id: id.clone(),
        outcome: Outcome::Done,
        reason: "its content is that of another slide of this job".into(),
        aside: format!(" (a copy of {})", first.display()),
    })
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// Opens a slide and plans it, unless its results are there already; windows
/// that the ledger holds are done.
///
/// # Errors
///
/// What is wrong with the slide, or with its ledger.
pub fn plan_slide(
    entry: &SlideEntry,
    job: &Job,
    id: &SlideId,
    content: &str,
    mark: Mark,
) -> anyhow::Result<Preparation> {
    let started = Instant::now();
    let slide = wsi_reader::with_reduced_levels(entry.open(job.settings.map_range)?);
    let given = entry.mpp.or(job.settings.mpp).map(Mpp::get);
    let scale = wsi_reader::resolve_scale(slide.info(), given).map_err(|problem| {
        anyhow::anyhow!("{problem}; give it with --mpp, or in the mpp column of a slide list")
    })?;
    let of_windows = detection_relevant(job, content, &scale, slide.info());
    let mut relevant = of_windows.clone();
    relevant.extend(named(job.settings.merging.result_relevant(&job.detectors.manifest)));
    let fingerprint = fingerprint(&relevant)?;
    if let Some(ended) = ended_before(job, id, &fingerprint, &relevant) {
        return Ok(ended);
    }

    let lock = job.locks.take(id)?;
    // Another run may have ended it while we waited for nothing.
    if let Some(ended) = ended_before(job, id, &fingerprint, &relevant) {
        return Ok(ended);
    }
    mend(job, id)?;

    let (mask, picture, mut warnings) = tissue(slide.as_ref(), scale.mpp, job)?;
    let look = |detector: &JobDetector| {
        let settings = plan_settings_for(&job.settings, &detector.manifest, detector.mpp);
        let plan = Arc::new(Plan::new(&slide.info().pyramid, scale.mpp, &mask, &settings)?);
        let layout = Arc::new(layout(&plan, slide.info(), scale.mpp, content)?);
        anyhow::Ok(Look { plan, layout })
    };
    let looks = job.detectors.each.iter().map(look).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(reason) = no_room(&looks, job) {
        return Ok(Preparation::NoRoom { reason });
    }
    let gathering =
        |(look, detector): (&Look, &JobDetector)| Gathering::new(Arc::clone(&look.layout), detector);
    let mut gatherings: Vec<Gathering> = looks.iter().zip(&job.detectors.each).map(gathering).collect();
    let mut seen: Vec<Vec<bool>> = looks.iter().map(|look| vec![false; look.plan.windows().len()]).collect();
    let mut failed = Vec::new();
    let head = LedgerHead::new(
        self::fingerprint(&of_windows)?,
        seen.iter().map(Vec::len).sum(),
        job.score_floor(),
        Origin {
            slide: entry.clone(),
            id: id.clone(),
            options: job.options.clone(),
            models: job.detectors.stored(),
        },
    )
    .with_settings(of_windows);
    let ledger = Ledger::open(&job.ledgers.ledger(id), &head, |record| {
        let Ok((window, outcome)) = decode_window(record) else { return false };
        let (detector, place) = untagged(window);
        let seen = seen.get_mut(detector).and_then(|seen| seen.get_mut(place.0 as usize));
        let fresh = seen.is_some_and(|seen| !std::mem::replace(seen, true));
        if fresh && let WindowOutcome::Failed(reason) = &outcome {
            failed.push((window, reason.clone()));
        }
        fresh && gatherings.get_mut(detector).is_some_and(|gathering| gathering.push(place, outcome).is_ok())
    })?;
    let todo = looks.iter().zip(&seen).map(|(look, seen)| {
        let indices = look.plan.windows().iter().map(|window| window.index);
        indices.filter(|index| !seen[index.0 as usize]).collect()
    });
    let todo = todo.collect();
    warnings.sort();
    let facts = Facts {
        entry: entry.clone(),
        id: id.clone(),
        slide,
        scale,
        mask,
        picture,
        looks,
        fingerprint,
        relevant,
        warnings,
        started,
    };
    Ok(Preparation::Ready(Box::new(Prepared { facts, todo, failed, gatherings, ledger, lock, mark })))
}

/// Puts away what a run that was cut off left of a slide, and what is to be done
/// anew. Nobody else is at work on it.
fn mend(job: &Job, id: &SlideId) -> anyhow::Result<()> {
    let (ledger, spent) = (job.ledgers.ledger(id), job.ledgers.spent(id));
    ledger::discard(&job.dataset.staged(id)).context("cannot remove results that were not committed")?;
    ledger::take_back(&spent, &ledger).context("cannot take the window ledger back")?;
    if let Some(redo) = job.redo().filter(|redo| !redo.has_begun(id)) {
        ledger::discard(&ledger).context("cannot remove the old window ledger")?;
        redo.note_begun(id).context("cannot note that the slide is done anew")?;
    }
    Ok(())
}

/// Bytes on the disk that a slide may need: dense tissue has 10 000 cells per mm²,
/// each seen by some four windows of each detector, 20 to 30 bytes each time, and a
/// row of the table.
fn needed_bytes(tissue_mm2: f64, detectors: usize) -> u64 {
    const PER_MM2: f64 = 3e6;
    const ALWAYS: u64 = 1 << 20;
    (tissue_mm2 * PER_MM2 * detectors as f64) as u64 + ALWAYS
}

/// What is wanting on the disk for a slide, if anything is.
fn no_room(looks: &[Look], job: &Job) -> Option<String> {
    let tissue_mm2 = looks.first().map_or(0.0, |look| look.plan.tissue_mm2());
    let needed = needed_bytes(tissue_mm2, looks.len());
    let says = |found: u64, what: &str| {
        format!(
            "no room for a slide of {:.1} mm² of tissue: about {} needed, {} {what}",
            tissue_mm2,
            ByteSize(needed),
            ByteSize(found)
        )
    };
    if let Some(scratch) = job.settings.scratch.filter(|&scratch| scratch < needed) {
        return Some(says(scratch, "given by --scratch"));
    }
    // A file system that does not say how full it is will say so when it is full.
    let free = free_bytes(job.dataset.root()).ok().filter(|&free| free < needed)?;
    Some(says(free, "free"))
}

/// The tissue mask the settings ask for, a small picture of the slide, and the
/// mask's warnings.
///
/// # Errors
///
/// When not even the small level can be read.
pub fn tissue(
    slide: &dyn Slide,
    mpp: Mpp,
    job: &Job,
) -> anyhow::Result<(TissueMask, RgbBuffer, Vec<String>)> {
    if !job.settings.tissue_mask {
        let picture = Overview::whole(slide, overview::SIDE_PX).pixels;
        return Ok((TissueMask::full(slide.info()), picture, Vec::new()));
    }
    let (mask, picture) = TissueMask::compute_with_picture(slide, Some(mpp), &TissueSettings::default());
    let warnings = mask.notes().iter().map(ToString::to_string).collect();
    Ok((mask, picture, warnings))
}

/// How these settings and this model cut slides into windows.
#[must_use]
pub fn plan_settings_for(settings: &Settings, manifest: &Manifest, model_mpp: Mpp) -> PlanSettings {
    PlanSettings {
        window: settings.window,
        overlap: settings.overlap,
        max_object_um: manifest.max_object_um,
        max_enlarge: settings.max_enlarge,
        multiple_of: manifest.stride,
        ..PlanSettings::new(model_mpp)
    }
}

fn layout(plan: &Plan, info: &SlideInfo, mpp: Mpp, content: &str) -> anyhow::Result<Layout> {
    Ok(Layout::new(plan.windows(), extent(info), mpp)?.with_slide_id(content))
}

fn extent(info: &SlideInfo) -> Level0Box {
    let base = info.pyramid.base();
    Level0Box::from_size(euclid::size2(f64::from(base.width()), f64::from(base.height())))
}

/// Everything that can change what a window of a slide gives, by name.
fn detection_relevant(job: &Job, content: &str, scale: &Scale, info: &SlideInfo) -> BTreeMap<String, String> {
    let of_slide = [("slide_content", content.to_owned()), ("mpp", scale.mpp.get().to_string())];
    // Of slides it applies to alone: the others are what they were without it.
    let mapping = info.mapping.map(|mapping| ("map_range", mapping.to_string()));
    detection_settings(&job.settings, &job.detectors)
        .chain(named(of_slide.into_iter().chain(mapping)))
        .collect()
}

/// Everything that can change the results of a job, by name, but for what is the
/// slides' own.
#[must_use]
pub fn result_settings(settings: &Settings, detectors: &Detectors) -> BTreeMap<String, String> {
    let after = named(settings.merging.result_relevant(&detectors.manifest));
    detection_settings(settings, detectors).chain(after).collect()
}

/// What of that can change what a window gives.
fn detection_settings(
    settings: &Settings,
    detectors: &Detectors,
) -> impl Iterator<Item = (String, String)> + use<> {
    let of_models = [
        ("model_sha256", detectors.manifest.sha256.clone()),
        ("model_mpp", detectors.mpps()),
        ("slidemill", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    named(settings.detection_relevant().into_iter().chain(of_models))
}

fn named(pairs: impl IntoIterator<Item = (&'static str, String)>) -> impl Iterator<Item = (String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value))
}

fn fingerprint(relevant: &BTreeMap<String, String>) -> anyhow::Result<String> {
    Ok(hex(&Sha256::digest(serde_json::to_vec(relevant)?)))
}

/// Whether results of this slide are there already.
fn ended_before(
    job: &Job,
    id: &SlideId,
    fingerprint: &str,
    relevant: &BTreeMap<String, String>,
) -> Option<Preparation> {
    let account = RunAccount::read(&job.dataset.account(id)).ok()?;
    let stays = match &job.before {
        Before::Stay => true,
        Before::Redo(redo) => redo.is_done(id),
        Before::Remerge => false,
    };
    if !stays || account.outcome == Outcome::Failed {
        return None;
    }
    // Left by a run that was cut off between the account and its end.
    let _ = ledger::discard(&job.ledgers.spent(id));
    let id = id.clone();
    if account.fingerprint == fingerprint {
        let reason = match account.outcome {
            _ if job.redo().is_some() => "done anew by this command before it was interrupted",
            Outcome::Partial => "done before, incomplete; --redo does it again",
            _ => "done before with the same model and settings",
        };
        let aside = String::new();
        return Some(Preparation::Skip { id, outcome: account.outcome, reason: reason.into(), aside });
    }
    let changed: Vec<String> = relevant
        .iter()
        .filter(|(name, value)| account.settings.get(*name) != Some(value))
        .map(|(name, value)| {
            let before = account.settings.get(name).map_or("not set", String::as_str);
            format!("{name} was {before}, now {value}")
        })
        .collect();
    let again = match LedgerHead::read(&job.ledgers.ledger(&id)) {
        Some(_) => "--redo replaces them, `slidemill merge` merges the raw detections that were kept anew",
        None => "--redo replaces them",
    };
    let reason = format!("results made otherwise are here ({}); {again}", changed.join("; "));
    Some(Preparation::Refused { id, reason, account: false })
}
