//! Slides that a job is analysing, or left unfinished, as far as their ledgers go: looked at from outside, while the
//! job goes on. Nothing of the job is touched or locked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::PathBuf,
};

use dataset::{Dataset, Outcome, RunAccount, SlideId, TileCounts, hex};
use merger::{WindowOutcome, decode_window};
use tiler::Survey;
use whole_file::Staged;
use wsi_types::{
    Window, WindowKey,
    wording::{counted, with_causes},
};

use crate::{
    answer::SlideAnswer,
    budget::Machine,
    desk::{HeadError, LedgerHead, for_each_whole_record, onlooker_folder},
    error::JobError,
    fingerprint,
    prepare::{Facts, SlideError, dyes_of, survey_settings_of},
    remerge::content_of,
    settings::Settings,
    sightings::Sightings,
    stretching::Stretches,
    work::Recipe,
    work_time::WorkTime,
};

/// The reason of windows that the job has not come to yet, in accounts of slides that are watched.
pub const NOT_YET: &str = "not analysed yet";

/// Hands over the results of the windows in the ledger of a slide, in the order in which they ended, up to
/// the first record that is not whole. None if there is no ledger.
///
/// # Errors
///
/// When the ledger cannot be read.
pub fn for_each_window(
    dataset: &Dataset,
    id: &SlideId,
    mut each: impl FnMut(WindowKey, WindowOutcome),
) -> io::Result<()> {
    let file = match File::open(windows_file(dataset, id)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    for_each_whole_record(file, |record| match decode_window(record) {
        Ok((key, outcome)) => {
            each(key, outcome);
            true
        }
        Err(_) => false,
    })
}

/// File of a slide's windows while it is analysed, and after that with `--keep-raw`.
#[must_use]
pub fn windows_file(dataset: &Dataset, id: &SlideId) -> PathBuf {
    LedgerHead::windows_file(&dataset.ledger(id))
}

/// Slides of a dataset that have a ledger and no results yet.
pub struct Onlooker {
    of: Dataset,
    /// Holds what is preliminary; of this process alone.
    own: Dataset,
    machine: Machine,
    watched: BTreeMap<SlideId, Watched>,
}

/// A slide that was looked at before.
struct Watched {
    known: Result<Known, String>,
    /// Length of the ledger when it was last answered, bytes.
    answered_at: Option<u64>,
    last: Option<Preliminary>,
}

/// Facts that stay the same while the windows of a slide end.
struct Known {
    head: LedgerHead,
    facts: Facts,
    recipe: Recipe,
}

/// The results of a slide as far as its windows have ended.
#[derive(Debug, Clone)]
pub struct Preliminary {
    /// Holds the tables and pictures that `account` names.
    pub dataset: Dataset,
    /// As of a slide that ended with those windows; the others have the reason [`NOT_YET`].
    pub account: RunAccount,
    /// Path of the slide's file.
    pub path: PathBuf,
    /// Per detector: the windows of its plan.
    pub windows: Vec<Vec<Window>>,
}

impl Onlooker {
    /// Of a dataset. What is preliminary is kept in a folder of this process until it is dropped, or until the next
    /// job finds the process gone.
    #[must_use]
    pub fn new(of: &Dataset, machine: Machine) -> Self {
        let own = Dataset::at(onlooker_folder(of));
        Self { of: of.clone(), own, machine, watched: BTreeMap::new() }
    }

    /// Every slide that has windows and no results yet, in order of id. Slides that cannot be looked at are left out:
    /// the job itself names them.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when preliminary tables cannot be written.
    pub fn look(&mut self) -> Result<Vec<Preliminary>, JobError> {
        let at_work = at_work(&self.of);
        self.watched.retain(|id, _| at_work.contains(id));
        let mut found = Vec::new();
        for id in at_work {
            let (of, machine) = (&self.of, &self.machine);
            let watched = self.watched.entry(id.clone()).or_insert_with(|| Watched::new(of, &id, machine));
            found.extend(watched.look(&self.of, &self.own)?);
        }
        Ok(found)
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        // Otherwise the next job does.
        let _ = fs::remove_dir_all(self.own.root());
    }
}

/// Slides with a ledger that belongs to no results.
fn at_work(dataset: &Dataset) -> BTreeSet<SlideId> {
    let ledgers = fs::read_dir(dataset.private().join("ledger")).into_iter().flatten().flatten();
    let ids = ledgers.filter_map(|entry| SlideId::new(entry.file_name().to_string_lossy()).ok());
    ids.filter(|id| !dataset.has_results(id)).collect()
}

impl Watched {
    fn new(dataset: &Dataset, id: &SlideId, machine: &Machine) -> Self {
        Self { known: Known::read(dataset, id, machine), answered_at: None, last: None }
    }

    /// The results so far, made again when windows have ended since.
    fn look(&mut self, of: &Dataset, own: &Dataset) -> Result<Option<Preliminary>, JobError> {
        let Ok(known) = &self.known else { return Ok(None) };
        let length = fs::metadata(windows_file(of, &known.facts.id)).ok().map(|data| data.len());
        if length.is_some() && length != self.answered_at {
            // A ledger that went away meanwhile has ended: the next look finds the results.
            if let Ok(sightings) = known.sightings(of) {
                self.last = known.answer(sightings, own)?;
                self.answered_at = length;
            }
        }
        Ok(self.last.clone())
    }
}

impl Known {
    fn read(dataset: &Dataset, id: &SlideId, machine: &Machine) -> Result<Self, String> {
        let head = LedgerHead::read(&dataset.ledger(id)).map_err(|error| no_head(&error))?;
        let recipe = Recipe::of_ledger(&head, head.origin.options.clone(), "a job at work", machine)
            .map_err(|error| error.to_string())?;
        let facts = facts_of(&head, &recipe)?;
        Ok(Self { head, facts, recipe })
    }

    /// Results of all windows so far; those to come count as failed.
    fn sightings(&self, dataset: &Dataset) -> io::Result<Sightings> {
        let mut sightings = Sightings::new(&self.facts.layouts, &self.recipe.maker.rules);
        let mut seen = BTreeSet::new();
        for_each_window(dataset, &self.facts.id, |key, outcome| {
            if sightings.push(key, outcome).is_ok() {
                seen.insert(key);
            }
        })?;
        for key in self.facts.all_keys().filter(|key| !seen.contains(key)) {
            // Of the plan and not seen before: nothing can be wrong with it.
            let _ = sightings.push(key, WindowOutcome::Failed(NOT_YET.to_owned()));
        }
        Ok(sightings)
    }

    fn answer(&self, sightings: Sightings, own: &Dataset) -> Result<Option<Preliminary>, JobError> {
        let (maker, facts) = (&self.recipe.maker, &self.facts);
        let mut answer = SlideAnswer::new(&facts.survey, sightings, &maker.rules);
        if answer.outcome() == Outcome::Failed {
            return Ok(None);
        }
        let (account, files) =
            maker.stage(own, &facts.subject(), &mut answer, Vec::new(), TileCounts::default())?;
        put_in_place(own, files).map_err(|error| {
            JobError::output(format!("cannot write preliminary results: {error}: {}", own.root().display()))
        })?;
        let windows = facts.survey.plans.iter().map(|plan| plan.windows().to_vec()).collect();
        let path = self.head.origin.slide.path.clone();
        Ok(Some(Preliminary { dataset: own.clone(), account, path, windows }))
    }
}

/// A job that has just begun a slide has not written its head: nothing is wrong.
fn no_head(error: &HeadError) -> String {
    match error {
        HeadError::None => "the ledger has no head yet".into(),
        _ => error.to_string(),
    }
}

/// The slide as its job has it: the same plan, so that its windows have their places.
fn facts_of(head: &LedgerHead, recipe: &Recipe) -> Result<Facts, String> {
    let (entry, id) = (&head.origin.slide, &head.origin.id);
    let content = hex(&content_of(entry, id)?);
    let (settings, models): (&Settings, _) = (&recipe.settings, &recipe.maker.models);
    let slide = entry.open(settings.map_range).map_err(|error| with_causes(&SlideError::Open(error)))?;
    let wanted = survey_settings_of(entry, settings, &models.each);
    let info = slide.info().clone();
    let survey = Survey::new(slide, &wanted).map_err(|error| with_causes(&error))?;
    if survey.windows() != head.windows {
        return Err(format!(
            "the plan has {}, the job's has {}",
            counted(survey.windows(), "window"),
            head.windows
        ));
    }
    let dyes =
        dyes_of(settings, survey.slide.as_ref()).map_err(|error| SlideError::Stains(error).to_string())?;
    let stretches = Stretches::of(survey.slide.as_ref(), survey.scale.mpp, &wanted, &models.each)
        .map_err(|error| SlideError::Stretch(error).to_string())?;
    let of_slide = fingerprint::of_slide(&content, &survey.scale, &info, dyes.as_ref(), &stretches);
    let interest = fingerprint::of_looked(&wanted).with(&fingerprint::of_counted(&wanted));
    let made_with = fingerprint::of_job(settings, models).with(&of_slide).with(&interest);
    let facts = Facts::new(entry, id, &content, survey, made_with, WorkTime::start());
    facts.map(|facts| facts.with_dyes(dyes).with_stretches(stretches)).map_err(|error| error.to_string())
}

fn put_in_place(own: &Dataset, files: Vec<Staged>) -> io::Result<()> {
    for file in &files {
        own.make_folder(whole_file::folder_of(file.path()))?;
    }
    whole_file::put_in_place(files, Vec::new())
}
