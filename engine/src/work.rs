//! Settings and state shared by all slides of a job.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use dataset::{Dataset, RunAccount, SlideId};
use wsi_types::RegionsOfInterest;

use crate::{
    budget::Machine,
    desk::{Desks, LedgerHead, Marks, Redo},
    error::JobError,
    models::ModelSet,
    name_list::NameList,
    options::RunOptions,
    settings::Settings,
    shard::Shard,
    slides::SlideEntry,
    store::Maker,
};

/// Settings and models applied to each slide.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The checked settings.
    pub(crate) settings: Settings,
    /// Models, what they run on, and the rules.
    pub(crate) maker: Maker,
}

impl Recipe {
    /// That of the windows in a ledger, with these options in place of its own; `device` in words.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] for settings that do not go together.
    pub(crate) fn of_ledger(
        head: &LedgerHead,
        options: RunOptions,
        device: &str,
        machine: &Machine,
    ) -> Result<Self, JobError> {
        let settings = Settings::on(machine, options)?;
        let models = ModelSet::new(&settings.detectors, head.origin.models.clone())?;
        let rules = settings.merging.for_models(&models, settings.window_iou)?;
        Ok(Self { settings, maker: Maker { models, device: device.to_owned(), rules } })
    }

    /// See [`score_floor`].
    pub(crate) fn score_floor(&self) -> f32 {
        score_floor(&self.settings, &self.maker.models)
    }
}

/// The score from which windows give detections: the lowest threshold, or lower when raw detections are kept.
pub(crate) fn score_floor(settings: &Settings, models: &ModelSet) -> f32 {
    settings.keep_raw.into_iter().fold(settings.merging.score_floor(models), f32::min)
}

/// Treatment of results that are there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Before {
    /// They stay; those made with other settings are refused.
    Stay,
    /// They are made again, from the slide.
    Redo(Redo),
    /// They are made again, from the raw detections that were kept.
    Remerge,
}

/// Asks a job to end after the windows at work, so that the next one goes on from there.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Not asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the job to end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// `true` if it was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a signal handler.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// Regions of interest by slide.
pub type Interests = BTreeMap<SlideId, RegionsOfInterest>;

/// One job, as its stages see it.
pub(crate) struct Work {
    pub(crate) recipe: Arc<Recipe>,
    /// Dataset that results go to.
    pub(crate) results: Dataset,
    /// Private corners of slides.
    pub(crate) desks: Desks,
    /// Marks of slides at work.
    pub(crate) marks: Marks,
    /// List of the file of each id.
    pub(crate) names: Arc<NameList>,
    /// Treatment of results that are there already.
    pub(crate) before: Before,
    /// Regions of interest in which cells of some slides are counted, other than those windows were planned for.
    pub(crate) counted_within: Interests,
    /// Part of the windows of each slide that is done, if not all: then no slide is ended.
    pub(crate) slab: Option<Shard>,
    /// Set when the job should end after the windows in flight.
    pub(crate) stop: Stop,
    /// Slides of this job so far, by id: the path that came first.
    claimed: Mutex<BTreeMap<SlideId, PathBuf>>,
    /// Slides that have results from before, by content.
    known: OnceLock<BTreeMap<String, Vec<SlideId>>>,
}

impl Work {
    /// A job that writes to `results` and keeps windows in `ledgers`.
    pub(crate) fn new(
        recipe: Arc<Recipe>,
        results: Dataset,
        ledgers: &Dataset,
        before: Before,
        stop: Stop,
    ) -> Self {
        let redo = match &before {
            Before::Redo(redo) => Some(redo.clone()),
            Before::Stay | Before::Remerge => None,
        };
        Self {
            desks: Desks::new(&results, ledgers, redo),
            marks: Marks::new(&results),
            names: Arc::new(NameList::new(&results)),
            claimed: Mutex::default(),
            known: OnceLock::new(),
            slab: None,
            counted_within: Interests::new(),
            recipe,
            results,
            before,
            stop,
        }
    }

    /// The same, for this part of the windows of each slide, or for all of them.
    pub(crate) fn of_slab(self, slab: Option<Shard>) -> Self {
        Self { desks: self.desks.of_slab(slab), slab, ..self }
    }

    /// The same, with regions of interest of its own.
    pub(crate) fn counting_within(self, counted_within: Interests) -> Self {
        Self { counted_within, ..self }
    }

    /// The same, with a list of names that is read already.
    pub(crate) fn with_names(self, names: Arc<NameList>) -> Self {
        Self { names, ..self }
    }

    /// The place of another file that has this id: of a slide with results from before, where it is still there, or of
    /// one of this job.
    pub(crate) fn with_same_samples(&self, entry: &SlideEntry, id: &SlideId) -> Option<PathBuf> {
        let of_this_job = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        of_this_job.filter(|first| *first != entry.path).or_else(|| self.made_elsewhere(entry, id))
    }

    /// The place where a slide was when its results were made, if that is another file than this one.
    fn made_elsewhere(&self, entry: &SlideEntry, id: &SlideId) -> Option<PathBuf> {
        if !self.results.has_results(id) {
            return None;
        }
        // A list that cannot be read is an error when the slide is noted.
        let paths = self.names.paths_of(id).unwrap_or_default();
        if paths.contains(&entry.place()) {
            return None;
        }
        let mut others = paths.into_iter().map(PathBuf::from).filter(|path| !is_one_file(path, &entry.path));
        // In place of a slide that was moved there may be another.
        others.find(|path| SlideEntry::at(path).content().is_ok_and(|other| entry.id_with(&other) == *id))
    }

    /// Notes that this job has the slide; the path of one with the same content that it has already.
    pub(crate) fn claim(&self, entry: &SlideEntry, id: &SlideId) -> Option<PathBuf> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = claimed.entry(id.clone()).or_insert_with(|| entry.path.clone());
        (*first != entry.path).then(|| first.clone())
    }

    /// The id under which results of the same content were there when the job began, if not under this one.
    pub(crate) fn known_as(&self, content: &str, id: &SlideId) -> Option<SlideId> {
        let known = self.known.get_or_init(|| ids_by_content(&self.results));
        let ids = known.get(content).filter(|ids| !ids.contains(id))?;
        ids.iter().find(|other| self.results.account(other).exists()).cloned()
    }
}

/// `true` if two paths lead to one file.
fn is_one_file(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// Accounts that cannot be read are the business of their own slides.
pub(crate) fn ids_by_content(dataset: &Dataset) -> BTreeMap<String, Vec<SlideId>> {
    let accounts = dataset.accounts().unwrap_or_default();
    let mut ids: BTreeMap<String, Vec<SlideId>> = BTreeMap::new();
    for mut account in accounts.iter().filter_map(|path| RunAccount::read(path).ok()) {
        let content = account.settings.remove("slide_content");
        if let Some(content) = content.filter(|_| account.has_results()) {
            ids.entry(content).or_default().push(account.slide);
        }
    }
    ids
}
