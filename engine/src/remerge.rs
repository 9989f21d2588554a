//! Cells and regions again, from the raw detections that a job kept, with other thresholds, rules and filters: for
//! each ledger, answer, store. No model is run.

use std::{path::Path, sync::Arc};

use dataset::{Dataset, Outcome, RunAccount, SlideId, hex, wording::counted};
use merger::{MergeError, WindowOutcome};
use wsi_types::{DetectorIndex, WindowKey, wording::with_causes};

use crate::{
    budget::Machine,
    collect::{begun, finish, not_run, tell, with_room},
    column_list::list_columns,
    desk::{Committer, LedgerError, LedgerHead, LockError, Origin},
    error::JobError,
    events::{Event, Tally, Undone, Watch},
    features::merged_again,
    job::{JobEnd, refuse_own_files},
    name_list::NameList,
    options::{Phase, RunOptions},
    prepare::{NotRun, Preparation, Prepared, SlideError, plan_slide},
    slides::SlideEntry,
    work::{Before, Interests, Recipe, Stop, Work},
};

/// Merges all slides of a dataset again whose raw detections were kept, and writes them to another or the same. What
/// `wanted` says of [`Phase::Cells`] counts, and `within` says where cells of a slide are counted; all else stays as each
/// slide's job had it.
///
/// # Errors
///
/// [`JobError::Usage`] for wrong settings, before anything is written; [`JobError::Input`] when nothing was kept;
/// [`JobError::Output`] when tables cannot be written.
pub fn remerge(
    from: &Dataset,
    into: &Dataset,
    wanted: &RunOptions,
    within: &Interests,
    machine: &Machine,
    watch: &mut dyn Watch,
) -> Result<JobEnd, JobError> {
    let Found { mut kept, left } = found(from)?;
    if kept.is_empty() {
        return Err(JobError::input(format!(
            "no raw detections of a finished slide are here; `slidemill run --keep-raw` keeps them: {}",
            from.root().display()
        )));
    }
    // A list may have said more of a slide since its detections were kept.
    let mut columns = list_columns(from)?;
    for Origin { slide, id, .. } in kept.iter_mut().map(|kept| &mut kept.head.origin) {
        slide.columns = columns.remove(id).unwrap_or_default();
    }
    refuse_own_files(into, kept.iter().map(|kept| kept.head.origin.slide.path.as_path()))?;
    // Faults of the settings hold for every slide: reported once, before anything is written.
    let wanted = wanted.clone().only(Phase::Cells);
    let recipes = kept.iter().map(|kept| kept.recipe(&wanted, machine)).collect::<Result<Vec<_>, _>>()?;
    let mut tally = Tally::new(watch);
    if let Some(first) = recipes.first() {
        let model = first.maker.models.facts();
        tally.tell(&Event::JobStarted {
            slides: recipes.len() + left.len(),
            model: model.to_string(),
            device: "detections that were kept".into(),
        });
    }
    let becomes = if from.root() == into.root() {
        "its tables stay as they were made"
    } else {
        "it is not in the new dataset"
    };
    for (id, why) in left {
        let reason = format!("not merged: {why}; {becomes}");
        tally.tell(&Event::SlideFailed { name: id.to_string(), slide: id, reason });
    }
    let mut undone = Undone::Nothing;
    let names = Arc::new(NameList::new(into));
    for (kept, recipe) in kept.iter().zip(recipes) {
        let work = Work::new(Arc::new(recipe), into.clone(), from, Before::Remerge, Stop::new())
            .with_names(Arc::clone(&names))
            .counting_within(within.clone());
        let merged = kept.merge(&work, from, &mut tally);
        work.marks.tidy();
        undone.worsen(merged?);
    }
    let totals = tally.finish(false);
    Ok(JobEnd::new(totals, undone, false))
}

/// The slides of a dataset that can be merged again, each with its id.
///
/// # Errors
///
/// [`JobError::Input`] when accounts cannot be listed.
pub fn kept_slides(from: &Dataset) -> Result<Vec<SlideEntry>, JobError> {
    let origins = found(from)?.kept.into_iter().map(|kept| kept.head.origin);
    Ok(origins.map(|Origin { slide, id, .. }| slide.with_id(id)).collect())
}

/// The lowest score down to which raw detections of all slides that can be merged again were kept; `None` if there are
/// no such slides.
///
/// # Errors
///
/// [`JobError::Input`] when accounts cannot be listed.
pub fn kept_down_to(from: &Dataset) -> Result<Option<f32>, JobError> {
    Ok(found(from)?.kept.iter().map(|kept| kept.head.score_floor).reduce(f32::max))
}

/// A finished slide whose raw detections are there.
struct Kept {
    head: LedgerHead,
    account: RunAccount,
}

/// The slides of a dataset.
#[derive(Default)]
struct Found {
    /// Those that can be merged again.
    kept: Vec<Kept>,
    /// Those that cannot, and why.
    left: Vec<(SlideId, String)>,
}

fn found(dataset: &Dataset) -> Result<Found, JobError> {
    let accounts = dataset.accounts().map_err(|error| {
        JobError::input(format!("cannot list run accounts: {error}: {}", dataset.root().display()))
    })?;
    let mut found = Found::default();
    for path in accounts {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let id = SlideId::new(stem).map_err(|error| {
            JobError::input(format!("a file is no run account: {error}: {}", path.display()))
        })?;
        match Kept::read(dataset, &path) {
            Ok(kept) => found.kept.push(kept),
            Err(why) => found.left.push((id, why)),
        }
    }
    Ok(found)
}

impl Kept {
    /// Reads what was kept of the slide of an account, or says why nothing can be used.
    fn read(dataset: &Dataset, path: &Path) -> Result<Self, String> {
        let account =
            RunAccount::read(path).map_err(|error| format!("its account cannot be read: {error}"))?;
        if *path != dataset.account(&account.slide) {
            return Err(format!("its account is that of another slide, {}", account.slide));
        }
        if account.outcome == Outcome::Failed {
            return Err(format!(
                "it has no results ({})",
                account.reason.as_deref().unwrap_or("no reason was kept")
            ));
        }
        let head = LedgerHead::read(&dataset.ledger(&account.slide)).map_err(|error| error.to_string())?;
        Ok(Self { head, account })
    }

    /// Recipe that the slide was made with, with other rules for what comes after the model.
    fn recipe(&self, wanted: &RunOptions, machine: &Machine) -> Result<Recipe, JobError> {
        let options = &self.head.origin.options;
        let floor = self.head.score_floor;
        let options =
            RunOptions { keep_raw: Some(true), raw_floor: Some(floor), ..merged_again(wanted, options)? };
        let recipe = Recipe::of_ledger(&self.head, options, &self.account.device, machine)?;
        let lowest = recipe.settings.merging.score_floor(&recipe.maker.models);
        if lowest < floor {
            return Err(JobError::usage(format!(
                "detections were kept from score {floor} on, {lowest} asks for lower ones: run again with \
                 --keep-raw --raw-floor {lowest} --redo"
            )));
        }
        Ok(recipe)
    }

    /// Merges the slide again; returns what is undone of it. One that cannot be merged keeps the results
    /// that are there.
    fn merge(&self, work: &Work, from: &Dataset, watch: &mut dyn Watch) -> Result<Undone, JobError> {
        let Origin { slide, id, .. } = &self.head.origin;
        match self.prepared(work, from) {
            Ok(Preparation::Ready(prepared)) => self.store(work, *prepared, watch),
            Ok(Preparation::NotRun(_, why)) => not_run(work, watch, slide, why),
            Err(reason) => not_run(work, watch, slide, NotRun::protecting(id.clone(), reason)),
        }
    }

    /// Answers what the windows of a slide gave by the new rules, and commits it.
    fn store(&self, work: &Work, prepared: Prepared, watch: &mut dyn Watch) -> Result<Undone, JobError> {
        let Prepared { mut facts, sightings, held, .. } = prepared;
        facts.time.resume();
        let held = held.ok_or_else(|| JobError::fault("a slide without a ledger"))?;
        let contradiction = work.names.note(&facts.id, &facts.entry)?.contradiction();
        let contradicts = contradiction.is_some();
        facts.warnings.extend(contradiction);
        begun(watch, &facts, sightings.ended());
        // The tiles read are those of the first run.
        let tiles = self.account.analysis.as_ref().map(|analysis| analysis.tiles).unwrap_or_default();
        let needed = facts.needed_bytes();
        let committer = Committer::start(&work.results)?;
        let committed = finish(work, facts, sightings, held, tiles)
            .map(|finished| finished.with_copies(self.account.copies))
            .and_then(|finished| committer.send(finished))
            .and_then(|()| committer.finish())
            .map_err(|error| with_room(error, work, needed))?;
        let told = committed.into_iter().map(|slide| tell(watch, slide));
        Ok(told.fold(Undone::bad(contradicts), Ord::max))
    }

    /// Windows that a device did not give the run.
    fn unread(&self) -> usize {
        self.account.analysis.as_ref().map_or(0, |analysis| analysis.windows.unread)
    }

    /// The slide with all its raw detections, or why it cannot be merged.
    fn prepared(&self, work: &Work, from: &Dataset) -> Result<Preparation, String> {
        let Origin { slide, id, .. } = &self.head.origin;
        if !wsi_reader::may_be_there(&slide.path) {
            let list = from.names();
            return Err(format!(
                "the slide is not where it was (see {}); its tissue is needed",
                list.display()
            ));
        }
        let content = content_of(slide, id)?;
        let mark = work.marks.take(&slide.path).map_err(|error| with_causes(&SlideError::Mark(error)))?;
        let mut preparation = plan_slide(slide, work, id, &hex(&content), mark, Vec::new(), None)
            .map_err(|error| told_for_merging(&error))?;
        if let Preparation::Ready(prepared) = &mut preparation {
            let missing: usize = prepared.todo.iter().map(Vec::len).sum();
            if missing > 0 && missing == self.unread() {
                note_unread(prepared).map_err(|error| with_causes(&error))?;
            } else if missing > 0 {
                return Err(format!(
                    "the raw detections of {} are missing; `slidemill run … --keep-raw --redo` makes them again",
                    counted(missing, "window")
                ));
            }
        }
        Ok(preparation)
    }
}

/// Notes the windows that a device did not give the run as what they are.
fn note_unread(prepared: &mut Prepared) -> Result<(), MergeError> {
    for (detector, windows) in DetectorIndex::all(prepared.todo.len()).zip(&prepared.todo) {
        for &window in windows {
            let reason = "the disk or file server did not give it to the run".to_owned();
            prepared.sightings.push(WindowKey::new(detector, window), WindowOutcome::Unread(reason))?;
        }
    }
    Ok(())
}

/// The hash that the id of a slide was made from: that of its samples, or that of all it holds where it shares those
/// with another slide of its job.
pub(crate) fn content_of(slide: &SlideEntry, id: &SlideId) -> Result<[u8; 32], String> {
    let sampled = slide.content().map_err(|error| with_causes(&error))?;
    if slide.id.is_some() || SlideId::from_content(&sampled) == *id {
        return Ok(sampled);
    }
    let full = slide.full_content().map_err(|error| with_causes(&error))?;
    match SlideId::from_content(&full) == *id {
        true => Ok(full),
        false => Err("the slide is no longer the one that was run".into()),
    }
}

/// A run can start a slide again, merging cannot.
fn told_for_merging(error: &SlideError) -> String {
    match error {
        SlideError::Ledger(LedgerError::OtherRun(changes)) => format!(
            "the raw detections that were kept are of another run{}; `slidemill run … --keep-raw --redo` makes them \
             again",
            changes.in_brackets()
        ),
        SlideError::Lock(LockError::Held { .. }) => error.to_string(),
        _ => with_causes(error),
    }
}
