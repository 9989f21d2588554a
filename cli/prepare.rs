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
use merger::{CellMerger, Layout, MergeSettings, PerClass};
use sha2::{Digest as _, Sha256};
use tiler::{Plan, PlanSettings, TissueMask, TissueSettings};
use wsi_reader::{Scale, Slide, SlideInfo};
use wsi_types::{ClassId, Level0Box, Mpp, RgbBuffer, WindowIndex};

use crate::{
    account::{ModelFacts, Outcome, RunAccount},
    budget::free_bytes,
    dataset::{Dataset, SlideId, hex},
    isolate::{Mark, Marks},
    job::SlideEntry,
    ledger::{self, Ledger, LedgerHead},
    lock::{LockError, SlideLock},
    overview, record,
    settings::{ByteSize, Settings},
};

/// What holds for all slides of a job.
pub struct Job {
    /// The checked settings.
    pub settings: Settings,
    /// What the model promises.
    pub manifest: Manifest,
    /// What the model runs on, in words.
    pub device: String,
    /// Where results go.
    pub dataset: Dataset,
    /// Replace results made otherwise.
    pub redo: bool,
    /// Set when the job should end after the windows in flight.
    pub stop: Arc<AtomicBool>,
    /// Marks of slides in hand.
    pub marks: Marks,
    /// Slides of this job so far, by id: the path that came first.
    pub claimed: Mutex<BTreeMap<SlideId, PathBuf>>,
}

impl Job {
    /// Whether the job was asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The model in the words of an account.
    #[must_use]
    pub fn model(&self) -> ModelFacts {
        ModelFacts {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone().unwrap_or_default(),
            sha256: self.manifest.sha256.clone(),
        }
    }

    /// The µm per px of the windows: what the model states, else that of a 20x
    /// objective is not assumed but refused.
    ///
    /// # Errors
    ///
    /// When the model states none.
    pub fn model_mpp(&self) -> anyhow::Result<Mpp> {
        mpp_of(&self.manifest)
    }

    /// Lowest score that is counted.
    #[must_use]
    pub fn min_score(&self) -> f32 {
        self.settings.min_score.unwrap_or(self.manifest.conf)
    }

    /// IoU above which boxes of one class are one cell.
    #[must_use]
    pub fn merge_iou(&self) -> f64 {
        self.settings.merge_iou.unwrap_or_else(|| f64::from(self.manifest.nms_iou))
    }
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
    /// The windows to be seen.
    pub plan: Arc<Plan>,
    /// Where the windows lie on level 0.
    pub layout: Arc<Layout>,
    /// See `RunAccount::fingerprint`.
    pub fingerprint: String,
    /// What went into it.
    pub relevant: BTreeMap<String, String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// When work on it began.
    pub started: Instant,
}

/// A slide ready to be read, as far as an earlier run got.
pub struct Prepared {
    /// What is known of it.
    pub facts: Facts,
    /// Windows not yet in the ledger, in plan order.
    pub todo: Vec<WindowIndex>,
    /// Windows in the ledger that failed.
    pub failed: Vec<(WindowIndex, String)>,
    /// Fed with what the ledger held.
    pub merger: CellMerger,
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

fn plan_slide(
    entry: &SlideEntry,
    job: &Job,
    id: &SlideId,
    content: &str,
    mark: Mark,
) -> anyhow::Result<Preparation> {
    let started = Instant::now();
    let slide = wsi_reader::with_reduced_levels(wsi_reader::open(&entry.path)?);
    let given = entry.mpp.or(job.settings.mpp).map(Mpp::get);
    let scale = wsi_reader::resolve_scale(slide.info(), given).map_err(|problem| {
        anyhow::anyhow!("{problem}; give it with --mpp, or in the mpp column of a slide list")
    })?;
    let relevant = relevant(job, content, &scale)?;
    let fingerprint = fingerprint(&relevant)?;
    if let Some(ended) = ended_before(job, id, &fingerprint, &relevant) {
        return Ok(ended);
    }

    let lock = SlideLock::take(&job.dataset.private().join("locks").join(format!("{id}.lock")))?;
    // Another run may have ended it while we waited for nothing.
    if let Some(ended) = ended_before(job, id, &fingerprint, &relevant) {
        return Ok(ended);
    }
    if job.redo {
        ledger::discard(&job.dataset.ledger(id)).context("cannot remove the old window ledger")?;
    }

    let (mask, picture, mut warnings) = tissue(slide.as_ref(), scale.mpp, job)?;
    let settings = plan_settings_for(&job.settings, &job.manifest, job.model_mpp()?);
    let plan = Plan::new(&slide.info().pyramid, scale.mpp, &mask, &settings)?;
    if let Some(reason) = no_room(&plan, job) {
        return Ok(Preparation::NoRoom { reason });
    }
    let layout = Arc::new(layout(&plan, slide.info(), scale.mpp, content)?);
    let mut merger = CellMerger::new(Arc::clone(&layout), merge_settings(job)?);
    let mut seen = vec![false; plan.windows().len()];
    let mut failed = Vec::new();
    let head = LedgerHead::new(fingerprint.clone(), seen.len());
    let ledger = Ledger::open(&job.dataset.ledger(id), &head, |record| {
        let Some((window, outcome)) = record::decode(record) else { return false };
        let fresh = seen.get_mut(window.0 as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        if fresh && let Err(reason) = &outcome {
            failed.push((window, reason.clone()));
        }
        fresh && merger.push(window, record::for_merger(outcome)).is_ok()
    })?;
    let todo =
        plan.windows().iter().map(|window| window.index).filter(|index| !seen[index.0 as usize]).collect();
    warnings.sort();
    let facts = Facts {
        entry: entry.clone(),
        id: id.clone(),
        slide,
        scale,
        mask,
        picture,
        plan: Arc::new(plan),
        layout,
        fingerprint,
        relevant,
        warnings,
        started,
    };
    Ok(Preparation::Ready(Box::new(Prepared { facts, todo, failed, merger, ledger, lock, mark })))
}

/// What is wanting on the disk for a slide, if anything is. The estimate is for
/// dense tissue: 10 000 cells per mm², each seen by some four windows, 20 to 30
/// bytes each time, and a row of the table.
fn no_room(plan: &Plan, job: &Job) -> Option<String> {
    const PER_MM2: f64 = 3e6;
    const ALWAYS: u64 = 1 << 20;
    let needed = (plan.tissue_mm2() * PER_MM2) as u64 + ALWAYS;
    let says = |found: u64, what: &str| {
        format!(
            "no room for a slide of {:.1} mm² of tissue: about {} needed, {} {what}",
            plan.tissue_mm2(),
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
        let picture = wsi_reader::overview(slide, overview::SIDE_PX).pixels;
        return Ok((TissueMask::full(slide.info()), picture, Vec::new()));
    }
    let (mask, picture) = TissueMask::compute_with_picture(slide, Some(mpp), &TissueSettings::default())?;
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
    let base = info.pyramid.base();
    let extent = Level0Box::from_size(euclid::size2(f64::from(base.width()), f64::from(base.height())));
    Ok(Layout::new(plan.windows(), extent, mpp)?.with_slide_id(content))
}

fn merge_settings(job: &Job) -> anyhow::Result<MergeSettings> {
    let settings = MergeSettings {
        iou: PerClass::all(job.merge_iou()),
        cross_class_iou: job.settings.cross_class_iou,
        min_score: min_scores(job),
        ..MergeSettings::default()
    };
    settings.validate()?;
    Ok(settings)
}

/// The user's threshold for all classes, or the model's for each.
fn min_scores(job: &Job) -> PerClass<f32> {
    let mut scores = PerClass::all(job.min_score());
    if job.settings.min_score.is_none() {
        let own = |(index, class): (usize, &detector::ClassInfo)| Some((ClassId(index as u16), class.conf?));
        scores.class = job.manifest.classes.iter().enumerate().filter_map(own).collect();
    }
    scores
}

/// Everything that can change the result of a slide, by name.
fn relevant(job: &Job, content: &str, scale: &Scale) -> anyhow::Result<BTreeMap<String, String>> {
    let mut relevant = result_settings(&job.settings, &job.manifest)?;
    relevant.insert("slide_content".into(), content.to_owned());
    relevant.insert("mpp".into(), scale.mpp.get().to_string());
    Ok(relevant)
}

/// Everything that can change the results of a job, by name, but for what is the
/// slides' own.
///
/// # Errors
///
/// When the model does not say its µm per px.
pub fn result_settings(settings: &Settings, manifest: &Manifest) -> anyhow::Result<BTreeMap<String, String>> {
    let mut relevant = settings.result_relevant();
    relevant.extend(
        [
            ("model_sha256", manifest.sha256.clone()),
            ("model_mpp", mpp_of(manifest)?.get().to_string()),
            ("min_score", settings.min_score.unwrap_or(manifest.conf).to_string()),
            ("slidemill", env!("CARGO_PKG_VERSION").to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(relevant)
}

fn mpp_of(manifest: &Manifest) -> anyhow::Result<Mpp> {
    manifest.mpp.context(
        "the model does not say at which µm/px it works; add `mpp = 0.25` (or what it was trained at) to a \
         TOML manifest beside it",
    )
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
    if job.redo || account.outcome == Outcome::Failed {
        return None;
    }
    let id = id.clone();
    if account.fingerprint == fingerprint {
        let reason = match account.outcome {
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
    let reason = format!("results made otherwise are here ({}); --redo replaces them", changed.join("; "));
    Some(Preparation::Refused { id, reason, account: false })
}
