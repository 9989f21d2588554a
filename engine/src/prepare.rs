//! Opens a slide, decides whether there is anything to do, and plans it.

use std::{
    collections::BTreeSet,
    error::Error,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use dataset::{Outcome, RunAccount, SlideId, hex};
use merger::{ColourDeconvolution, Layout, MergeError, decode_window};
use tiler::{
    NoPercentiles, NoStainVectors, PlanSettings, Survey, SurveyError, SurveySettings, TissueSettings,
};
use wsi_reader::{CopyError, GivenScale, MppSource, OpenError, Slide, with_reduced_levels};
use wsi_types::{DetectorIndex, WindowIndex, WindowKey, wording::with_causes};

use crate::{
    behind::Behind,
    budget::free_bytes,
    byte_size::ByteSize,
    desk::{Desk, Ledger, LedgerError, LedgerHead, LockError, Mark, Origin, TidyError},
    error::panic_text,
    fingerprint,
    local_copies::{LocalCopies, LocalCopy, NoCopy},
    made_with::MadeWith,
    models::SetModel,
    opening,
    settings::Settings,
    sightings::Sightings,
    slides::SlideEntry,
    staining::{Dyes, Staining},
    store::Subject,
    stretching::Stretches,
    work::{Before, Work},
    work_time::WorkTime,
};

/// Facts of a slide that is to be read.
pub(crate) struct Facts {
    /// As given by the user.
    pub(crate) entry: SlideEntry,
    /// Names it in outputs.
    pub(crate) id: SlideId,
    /// Scale, tissue and plans.
    pub(crate) survey: Survey,
    /// Windows that the job ends, of all plans: all of them, or those of a part.
    pub(crate) windows: usize,
    /// Places of the windows of each plan on level 0.
    pub(crate) layouts: Vec<Arc<Layout>>,
    /// All that can change its results.
    pub(crate) made_with: MadeWith,
    /// Notes for the user.
    pub(crate) warnings: Vec<String>,
    /// Why its results are to be doubted.
    pub(crate) doubts: Vec<String>,
    /// Its dyes, if they are measured.
    pub(crate) dyes: Option<Dyes>,
    /// Ends between which its pixels are stretched, for models that want that.
    pub(crate) stretches: Stretches,
    /// Time that was spent on it.
    pub(crate) time: WorkTime,
    /// Its copy, if that is what is read; gone with these facts.
    _copy: Option<LocalCopy>,
}

impl Facts {
    /// Of a slide that was surveyed; ids of cells start from its content.
    pub(crate) fn new(
        entry: &SlideEntry,
        id: &SlideId,
        content: &str,
        survey: Survey,
        made_with: MadeWith,
        time: WorkTime,
    ) -> Result<Self, MergeError> {
        let layouts = survey.plans.iter().map(|plan| {
            let layout = Layout::new(plan.windows(), survey.extent(), survey.scale.mpp)?;
            Ok(Arc::new(layout.with_slide_id(content)))
        });
        let layouts = layouts.collect::<Result<_, MergeError>>()?;
        let mut warnings = survey.remarks();
        warnings.sort();
        let doubts = survey.doubts().iter().map(ToString::to_string).collect();
        let (entry, id) = (entry.clone(), id.clone());
        Ok(Self {
            entry,
            id,
            windows: survey.windows(),
            survey,
            layouts,
            made_with,
            warnings,
            doubts,
            dyes: None,
            stretches: Stretches::default(),
            time,
            _copy: None,
        })
    }

    /// With the copy that is read.
    fn with_copy(self, copy: Option<LocalCopy>) -> Self {
        Self { _copy: copy, ..self }
    }

    /// With its dyes, and what a person should know of where they are from.
    pub(crate) fn with_dyes(mut self, dyes: Option<Dyes>) -> Self {
        let estimated = dyes.as_ref().and_then(Dyes::estimated);
        let note = estimated.map(|vectors| format!("its stain vectors are estimated from its px: {vectors}"));
        self.warnings.extend(note);
        self.warnings.extend(dyes.as_ref().filter(|dyes| dyes.has_dab()).map(|_| {
            "DAB is measured of the nuclei that the model finds: one that was taught on H&E alone misses some brown ones, and \
             shares of positive nuclei are then too low; of the bundled ones nuclei-hdab was taught on both"
                .to_owned()
        }));
        Self { dyes, ..self }
    }

    /// With the ends between which its pixels are stretched, and what a person should know of them.
    pub(crate) fn with_stretches(mut self, stretches: Stretches) -> Self {
        let note = stretches.in_words();
        self.warnings
            .extend(note.map(|ends| format!("its px are stretched {ends}: percentiles of its tissue")));
        Self { stretches, ..self }
    }

    /// Colour deconvolution in the windows of each plan; `None` if no stains are measured.
    pub(crate) fn deconvolutions(&self) -> impl Iterator<Item = Option<ColourDeconvolution>> {
        let plans = self.survey.plans.iter();
        plans.map(|plan| self.dyes.as_ref().map(|dyes| dyes.in_windows(plan, self.survey.scale.mpp)))
    }

    /// With what a person should know of where its scale is from.
    pub(crate) fn with_scale_note(mut self, given: GivenScale) -> Self {
        self.warnings.extend(given.note(self.survey.slide.info()));
        if self.survey.scale.source == MppSource::Nuclei {
            self.warnings.push(format!("its scale is estimated from its nuclei: {}", self.survey.scale.mpp));
        }
        self
    }

    /// Bytes on the disk that it may need, as estimated before it began.
    pub(crate) fn needed_bytes(&self) -> u64 {
        needed_bytes(&self.survey)
    }

    /// Its facts for its account.
    pub(crate) fn subject(&self) -> Subject<'_> {
        let Self { id, survey, made_with, warnings, doubts, dyes, .. } = self;
        let with_dab = dyes.as_ref().is_some_and(Dyes::has_dab);
        Subject { id, survey, made_with, warnings, doubts, with_dab }
    }

    /// All windows of all detectors.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = WindowKey> {
        DetectorIndex::all(self.survey.plans.len()).zip(&self.survey.plans).flat_map(|(detector, plan)| {
            plan.windows().iter().map(move |window| WindowKey::new(detector, window.index))
        })
    }

    /// All windows of all detectors, as places in their plans.
    pub(crate) fn all_windows(&self) -> Vec<Vec<WindowIndex>> {
        self.survey
            .plans
            .iter()
            .map(|plan| plan.windows().iter().map(|window| window.index).collect())
            .collect()
    }
}

/// Ledger, desk and mark of a slide that goes to a dataset.
pub(crate) struct Held {
    /// Takes what comes.
    pub(crate) ledger: Ledger,
    /// Keeps other jobs off this slide.
    pub(crate) desk: Desk,
    /// Says that this process is at work on it.
    pub(crate) mark: Mark,
}

/// A slide ready to be read, as far as an earlier job got.
pub(crate) struct Prepared {
    /// Its facts.
    pub(crate) facts: Facts,
    /// Per detector: windows still to be done, in plan order, as places in its plan.
    pub(crate) todo: Vec<Vec<WindowIndex>>,
    /// Results that the ledger held.
    pub(crate) sightings: Sightings,
    /// `None` for a slide that is answered in memory.
    pub(crate) held: Option<Held>,
}

/// Result of looking at one slide of a job.
pub(crate) enum Preparation {
    /// To be read.
    Ready(Box<Prepared>),
    /// Not to be read.
    NotRun(Box<SlideEntry>, NotRun),
}

/// Why a slide is not read.
pub(crate) enum NotRun {
    /// Nothing to do.
    Skip {
        /// Names it in outputs.
        id: SlideId,
        /// Outcome of the earlier run.
        outcome: Outcome,
        /// In words.
        reason: String,
        /// More of it, for the terminal only: it may name files.
        aside: String,
        /// It is a copy of another slide of the job.
        copy: bool,
    },
    /// Another job is at work on it; to be looked at again.
    Busy {
        /// Names it in outputs.
        id: SlideId,
        /// Who.
        reason: String,
    },
    /// A limit of this process or machine is reached: no slide would fare better.
    Exhausted {
        /// In words.
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
        /// Reason in words: what was tried, found and expected; no path.
        reason: String,
        /// `true` if an account of the failure is written. Not for a refusal that protects results already
        /// there.
        account: bool,
        /// `true` if a server or the network is to blame, not the slide.
        out_of_reach: bool,
    },
}

impl NotRun {
    /// A refusal that protects the results that are there already.
    pub(crate) fn protecting(id: SlideId, reason: String) -> Self {
        Self::Refused { id, reason, account: false, out_of_reach: false }
    }
}

/// Fault of a slide, or of what is kept of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SlideError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be copied to the folder of `--stage`.
    #[error(transparent)]
    Copy(#[from] NoCopy),
    /// Its scale is not known.
    #[error("{problem}; give it with --mpp, or in the mpp column of a slide list{remarks}")]
    Scale {
        /// Why.
        problem: SurveyError,
        /// Other oddities of the file, each after a semicolon.
        remarks: String,
    },
    /// Its stain vectors are to be estimated, and it does not tell them.
    #[error("its stain vectors cannot be estimated: {0}; give them with --stain-vectors")]
    Stains(#[from] NoStainVectors),
    /// A model wants its percentiles, and it does not tell them.
    #[error("the percentiles that the model wants of it cannot be found: {0}")]
    Stretch(#[from] NoPercentiles),
    /// It cannot be planned.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// Its plan cannot be merged.
    #[error(transparent)]
    Layout(#[from] MergeError),
    /// Another job has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The remains of an earlier job cannot be put away.
    #[error(transparent)]
    Tidy(#[from] TidyError),
    /// Its ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It cannot be marked.
    #[error("cannot mark the slide as being at work: {0}")]
    Mark(#[source] io::Error),
}

impl SlideError {
    /// `true` if a server or the network is to blame, not the slide.
    fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Open(error) => error.is_out_of_reach(),
            Self::Copy(error) => error.is_out_of_reach(),
            _ => false,
        }
    }

    /// Resource that ran out, in words, if the machine is to blame and not the slide.
    fn exhausted(&self) -> Option<String> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(limit) = error.downcast_ref::<io::Error>().and_then(limit_of) {
                return Some(format!("{limit}; the same command goes on ({})", with_causes(self)));
            }
            cause = error.source();
        }
        None
    }
}

/// The limit that an error of the system tells of.
fn limit_of(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        11 => Some("no more threads or processes can be started here: raise the limit (ulimit -u)"),
        12 => Some("no more memory can be had here: raise the limit (ulimit -v), or lower --mem"),
        23 | 24 => Some("too many files are open: raise the limit (ulimit -n)"),
        27 => Some("a file would be larger than may be written here: raise the limit (ulimit -f)"),
        _ => None,
    }
}

/// Copies of slides, and the stages behind this one, which make room for them.
pub(crate) struct Bringing<'a> {
    /// The copies of the job.
    pub(crate) copies: &'a LocalCopies,
    /// The stages behind.
    pub(crate) behind: &'a Behind<'a>,
}

/// Looks at one slide of the job. Never fails as a whole: what is wrong with a
/// slide costs that slide. `None` if the job ended meanwhile.
pub(crate) fn prepare(
    entry: &SlideEntry,
    work: &Work,
    bringing: Option<&Bringing<'_>>,
) -> Option<Preparation> {
    let mut id = entry.id.clone();
    if let Some(reason) = work.marks.given_up(&entry.path) {
        return Some(refused(entry, id, work, reason, false));
    }
    let prepared = catch_unwind(AssertUnwindSafe(|| {
        let mark = work.marks.take(&entry.path).map_err(SlideError::Mark)?;
        let mut content = entry.content()?;
        let mut own = entry.id_with(&content);
        id = Some(own.clone());
        let mut notes = Vec::new();
        if entry.id.is_none()
            && let Some(other) = work.with_same_samples(entry, &own)
            && !entry.is_copy_of(&other)?
        {
            content = entry.full_content()?;
            own = SlideId::from_content(&content);
            id = Some(own.clone());
            notes.push(LIKE_ANOTHER.to_owned());
        }
        let content = hex(&content);
        match (work.claim(entry, &own), work.known_as(&content, &own)) {
            (Some(first), _) => Ok(copy_of(entry, &own, &first)),
            (None, Some(other)) => Ok(under_another_id(entry, &own, other)),
            (None, None) => plan_slide(entry, work, &own, &content, mark, notes, bringing),
        }
    }));
    Some(match prepared {
        Ok(Ok(preparation)) => preparation,
        Ok(Err(error)) => match (id, error) {
            (_, SlideError::Copy(NoCopy::Copy(CopyError::Stopped))) => return None,
            (_, SlideError::Copy(NoCopy::NoRoom(reason))) => not_to_be_read(entry, NotRun::NoRoom { reason }),
            (Some(id), SlideError::Lock(error @ LockError::Held { .. })) => {
                not_to_be_read(entry, NotRun::Busy { id, reason: error.to_string() })
            }
            (id, error) => match error.exhausted() {
                Some(reason) => not_to_be_read(entry, NotRun::Exhausted { reason }),
                // No other slide would fare better.
                None if matches!(error, SlideError::Copy(NoCopy::Copy(CopyError::Write(_)))) => {
                    not_to_be_read(entry, NotRun::NoRoom { reason: with_causes(&error) })
                }
                None => refused(entry, id, work, with_causes(&error), error.is_out_of_reach()),
            },
        },
        Err(panic) => {
            let said = panic_text(panic.as_ref());
            refused(entry, id, work, format!("internal error, please report it: {said}"), false)
        }
    })
}

/// A slide that cannot be analysed; `id` where its content could be read.
fn refused(
    entry: &SlideEntry,
    id: Option<SlideId>,
    work: &Work,
    reason: String,
    out_of_reach: bool,
) -> Preparation {
    let why = match id.map_or_else(|| entry.id_of_unreadable(&work.results), Ok) {
        Ok(id) => NotRun::Refused { id, reason, account: true, out_of_reach },
        Err(error) => {
            NotRun::NoRoom { reason: format!("cannot name a slide that cannot be read: {error}; {reason}") }
        }
    };
    not_to_be_read(entry, why)
}

/// One slide is one row of the results, whatever a list calls it.
fn under_another_id(entry: &SlideEntry, id: &SlideId, other: SlideId) -> Preparation {
    let reason = format!(
        "this slide is here already as {other}, and would be counted twice as {id}; keep that id, or take it out with \
         `slidemill forget OUT {other}` first"
    );
    not_to_be_read(entry, NotRun::protecting(other, reason))
}

/// Ids are made from samples of a file, which a damaged copy shares with the good one.
const LIKE_ANOTHER: &str = "another slide of this dataset is the same in all samples and not the same in full: one may be a \
                            damaged copy of the other; this one's id is made from its whole content";

/// A copy of a slide that the job has already is skipped.
fn copy_of(entry: &SlideEntry, id: &SlideId, first: &std::path::Path) -> Preparation {
    let skip = NotRun::Skip {
        id: id.clone(),
        outcome: Outcome::Done,
        reason: "a copy: byte by byte the same as another slide of this job".into(),
        aside: format!(" (a copy of {})", wsi_reader::without_secrets(first).display()),
        copy: true,
    };
    not_to_be_read(entry, skip)
}

/// Opens a slide and plans it, unless its results are there already; windows
/// that the ledger holds are done.
///
/// # Errors
///
/// A fault of the slide, or of its ledger.
pub(crate) fn plan_slide(
    entry: &SlideEntry,
    work: &Work,
    id: &SlideId,
    content: &str,
    mark: Mark,
    notes: Vec<String>,
    bringing: Option<&Bringing<'_>>,
) -> Result<Preparation, SlideError> {
    let mut time = WorkTime::start();
    let (settings, models) = (&work.recipe.settings, &work.recipe.maker.models);
    let (looked, mut desk, copy) = match bringing.filter(|_| entry.lies_at_its_path()) {
        None => {
            let looked = Looked::at(entry.open(settings.map_range)?, entry, work, id, content)?;
            if let Some(ended) = looked.ended_before(work, id) {
                return Ok(not_to_be_read(entry, ended));
            }
            let desk = work.desks.take(id)?;
            (looked, desk, None)
        }
        Some(Bringing { copies, behind }) => {
            // A slide that is done is not copied to see that.
            if let Some(ended) = ended_as_far_as_is_known(entry, work, id, content) {
                return Ok(not_to_be_read(entry, ended));
            }
            let desk = work.desks.take(id)?;
            if let Some(ended) = ended_as_far_as_is_known(entry, work, id, content) {
                return Ok(not_to_be_read(entry, ended));
            }
            let copy = copies.bring(entry, content, behind)?;
            time = WorkTime::start();
            let slide = entry.open_copy(copy.path(), settings.map_range)?;
            (Looked::at(slide, entry, work, id, content)?, desk, Some(copy))
        }
    };
    // Another job may have ended it while we waited for nothing.
    if let Some(ended) = looked.ended_before(work, id) {
        return Ok(not_to_be_read(entry, ended));
    }
    let Looked { slide, wanted, dyes, stretches, of_windows, made_with } = looked;
    let before = account_of(work, id);
    desk.tidy()?;
    let is_to_be_completed = before.as_ref().is_some_and(|account| {
        work.before != Before::Remerge
            && account.may_be_completed()
            && account.fingerprint == made_with.fingerprint()
    });

    let survey = Survey::new(slide, &wanted)?;
    if let Some(reason) = no_room(&survey, work) {
        return Ok(not_to_be_read(entry, NotRun::NoRoom { reason }));
    }
    let facts = Facts::new(entry, id, content, survey, made_with, time)?;
    let facts = facts.with_scale_note(wanted.scale).with_dyes(dyes).with_stretches(stretches);
    let mut facts = facts.with_copy(copy);
    facts.warnings.extend(notes);
    facts.warnings.extend(before.and_then(|account| lost_results(work, &account)));
    let origin = Origin {
        slide: entry.clone(),
        id: id.clone(),
        options: settings.options.clone(),
        models: models.terms(),
    };
    let head = LedgerHead::new(of_windows, facts.survey.windows(), work.recipe.score_floor(), origin);
    let Replayed { ledger, sightings, todo } = match replay(work, &facts, &mut desk, &head) {
        // Parts that could not be read then may have been tissue or not: the windows now differ.
        Err(LedgerError::OtherRun(_)) if is_to_be_completed => {
            desk.start_over()?;
            replay(work, &facts, &mut desk, &head)?
        }
        replayed => replayed?,
    };
    facts.windows = sightings.ended() + todo.iter().map(Vec::len).sum::<usize>();
    let held = Some(Held { ledger, desk, mark });
    facts.time.pause();
    Ok(Preparation::Ready(Box::new(Prepared { facts, todo, sightings, held })))
}

fn not_to_be_read(entry: &SlideEntry, why: NotRun) -> Preparation {
    Preparation::NotRun(Box::new(entry.clone()), why)
}

/// A slide that is open, with all that decides whether its results from before stay.
struct Looked {
    slide: Arc<dyn Slide>,
    wanted: SurveySettings,
    dyes: Option<Dyes>,
    stretches: Stretches,
    of_windows: MadeWith,
    made_with: MadeWith,
}

impl Looked {
    fn at(
        slide: Arc<dyn Slide>,
        entry: &SlideEntry,
        work: &Work,
        id: &SlideId,
        content: &str,
    ) -> Result<Self, SlideError> {
        let (settings, models) = (&work.recipe.settings, &work.recipe.maker.models);
        let wanted = wanted_of(entry, work, id);
        let scale = wanted.scale_of(slide.as_ref()).map_err(|problem| {
            let remarks = slide.info().remarks.iter().map(|remark| format!("; {remark}")).collect();
            SlideError::Scale { problem, remarks }
        })?;
        let dyes = dyes_of(settings, slide.as_ref())?;
        // As the survey has it, whose levels the windows are read from.
        let reduced = with_reduced_levels(Arc::clone(&slide));
        let stretches = Stretches::of(reduced.as_ref(), scale.mpp, &wanted, &models.each)?;
        let of_slide = fingerprint::of_slide(content, &scale, slide.info(), dyes.as_ref(), &stretches);
        let of_windows =
            fingerprint::of_windows(settings, models).with(&of_slide).with(&fingerprint::of_looked(&wanted));
        let made_with =
            of_windows.with(&fingerprint::of_cells(settings, models)).with(&fingerprint::of_counted(&wanted));
        Ok(Self { slide, wanted, dyes, stretches, of_windows, made_with })
    }

    /// Why it is not read; `None` if it is to be analysed.
    fn ended_before(&self, work: &Work, id: &SlideId) -> Option<NotRun> {
        ended_before(work, id, account_of(work, id)?, &self.made_with)
    }
}

fn wanted_of(entry: &SlideEntry, work: &Work, id: &SlideId) -> SurveySettings {
    let counted = work.counted_within.get(id).or(entry.within.as_ref());
    SurveySettings {
        counted_within: counted.cloned(),
        ..survey_settings_of(entry, &work.recipe.settings, &work.recipe.maker.models.each)
    }
}

/// Why a slide is not copied; `None` if it is to be analysed, or if that is not known without its copy.
fn ended_as_far_as_is_known(entry: &SlideEntry, work: &Work, id: &SlideId, content: &str) -> Option<NotRun> {
    let account = account_of(work, id).filter(|account| account.outcome != Outcome::Failed)?;
    let settings = &work.recipe.settings;
    if let Ok(slide) = entry.open(settings.map_range) {
        return Looked::at(slide, entry, work, id, content).ok()?.ended_before(work, id);
    }
    // It cannot be opened where it lies. Its content is the same, and so is what that tells of it, as long as nobody says
    // otherwise.
    let wanted = wanted_of(entry, work, id);
    let told = fingerprint::of_what_it_told(&account.settings);
    let given = [wanted.scale.otherwise, wanted.scale.instead];
    let is_as_given = given.iter().flatten().all(|mpp| told.get("mpp") == Some(&mpp.get().to_string()));
    let is_mapped = entry.map_range.or(settings.map_range).is_some();
    if !is_as_given || is_mapped || told.get("slide_content") != Some(content) {
        return None;
    }
    let made_with = fingerprint::of_job(settings, &work.recipe.maker.models)
        .with(&told)
        .with(&fingerprint::of_looked(&wanted))
        .with(&fingerprint::of_counted(&wanted));
    ended_before(work, id, account, &made_with)
}

/// The dyes of a slide, if its stains are measured.
pub(crate) fn dyes_of(settings: &Settings, slide: &dyn Slide) -> Result<Option<Dyes>, NoStainVectors> {
    settings.stains.map(|staining| staining.dyes_of(slide)).transpose()
}

/// Results from a ledger, and the windows still to be done.
struct Replayed {
    ledger: Ledger,
    sightings: Sightings,
    todo: Vec<Vec<WindowIndex>>,
}

/// Opens the ledger of a slide, or of the part that the job does. Windows it holds are done; the first record that cannot be
/// read ends it. What other jobs did of the slide is taken into the whole, and not done again in a part.
fn replay(work: &Work, facts: &Facts, desk: &mut Desk, head: &LedgerHead) -> Result<Replayed, LedgerError> {
    let mut sightings = Sightings::new(&facts.layouts, &work.recipe.maker.rules);
    let mut seen = BTreeSet::new();
    let mut ledger = desk.ledger(head, |record| {
        let Ok((key, outcome)) = decode_window(record) else { return false };
        sightings.push(key, outcome).is_ok() && seen.insert(key)
    })?;
    desk.others(head, |record| {
        let Ok((key, outcome)) = decode_window(record) else { return Ok(false) };
        if seen.contains(&key) {
            return Ok(true);
        }
        if work.slab.is_none() {
            if sightings.push(key, outcome).is_err() {
                return Ok(false);
            }
            ledger.append(record)?;
        }
        Ok(seen.insert(key))
    })?;
    if desk.has_parts() {
        ledger.sync()?;
        desk.drop_parts()?;
    }
    let mut todo = facts.all_windows();
    if let Some(slab) = work.slab {
        todo = todo.iter().map(|windows| slab.share(windows).to_vec()).collect();
    }
    for (detector, windows) in DetectorIndex::all(todo.len()).zip(&mut todo) {
        windows.retain(|&window| !seen.contains(&WindowKey::new(detector, window)));
    }
    Ok(Replayed { ledger, sightings, todo })
}

/// Bytes on the disk that a slide may need: dense tissue has 10 000 cells per mm²,
/// each seen by some four windows of each detector, 20 to 30 bytes each time, and a
/// row of the table.
fn needed_bytes(survey: &Survey) -> u64 {
    const PER_MM2: f64 = 3e6;
    const ALWAYS: u64 = 1 << 20;
    (survey.tissue_mm2() * PER_MM2 * survey.plans.len() as f64) as u64 + ALWAYS
}

/// Message about lacking disk space for a slide; `None` if there is enough.
fn no_room(survey: &Survey, work: &Work) -> Option<String> {
    let needed = needed_bytes(survey);
    if let Some(scratch) = work.recipe.settings.scratch.filter(|&scratch| scratch < needed) {
        return Some(too_little(survey, needed, scratch, "given by --scratch"));
    }
    // A file system that does not say how full it is will say so when it is full.
    let free = free_bytes(work.results.root()).ok().filter(|&free| free < needed)?;
    Some(too_little(survey, needed, free, "free"))
}

fn too_little(survey: &Survey, needed: u64, found: u64, what: &str) -> String {
    format!(
        "no room for a slide of {:.1} mm² of tissue: about {} needed, {} {what}",
        survey.tissue_mm2(),
        ByteSize(needed),
        ByteSize(found)
    )
}

/// Survey settings of a slide of a job, from these settings and models.
pub(crate) fn survey_settings_of(
    entry: &SlideEntry,
    settings: &Settings,
    models: &[SetModel],
) -> SurveySettings {
    let wanted = survey_settings(settings, models, entry.given_scale(settings));
    if entry.within.is_none() {
        return wanted;
    }
    let plans = wanted.plans.into_iter();
    SurveySettings {
        plans: plans.map(|plan| PlanSettings { grow_um: reach_um(&plan), ..plan }).collect(),
        looked_within: entry.within.clone(),
        counted_within: entry.within.clone(),
        ..wanted
    }
}

/// Distance from its centre that an object at the border of a region of interest may reach, µm.
fn reach_um(plan: &PlanSettings) -> f64 {
    /// Reach if the model does not say how large objects are.
    const USUAL_UM: f64 = 50.0;
    plan.max_object_um.unwrap_or(USUAL_UM)
}

/// Survey settings of any slide, for all of it, from these settings and models.
#[must_use]
pub(crate) fn survey_settings(settings: &Settings, models: &[SetModel], given: GivenScale) -> SurveySettings {
    SurveySettings {
        scale: given,
        estimate_scale: settings.estimate_mpp,
        wanted_stain: Staining::wanted(settings.stains.as_ref()),
        tissue: settings.tissue_mask.then(TissueSettings::default),
        plans: models.iter().map(|model| plan_settings(settings, model)).collect(),
        looked_within: None,
        counted_within: None,
    }
}

/// Settings for cutting slides into windows for this model.
fn plan_settings(settings: &Settings, model: &SetModel) -> PlanSettings {
    PlanSettings {
        window: opening::window(settings, model),
        overlap: settings.overlap,
        max_object_um: model.terms.max_object_um,
        max_enlarge: settings.max_enlarge,
        multiple_of: opening::multiple_of(settings, model),
        shrink_margin: opening::shrink_margin(settings, model),
        ..PlanSettings::new(model.mpp)
    }
}

/// The account of an earlier run, if it can be read.
fn account_of(work: &Work, id: &SlideId) -> Option<RunAccount> {
    RunAccount::read(&work.results.account(id)).ok()
}

/// Says so where a table or picture of an earlier run is not there as it was written.
fn lost_results(work: &Work, account: &RunAccount) -> Option<String> {
    let lost = account.lost_file(work.results.root())?;
    Some(format!("done again: of the results that were here {lost}"))
}

/// Why a slide that an earlier run ended is not read; `None` if it is to be analysed.
fn ended_before(work: &Work, id: &SlideId, account: RunAccount, made_with: &MadeWith) -> Option<NotRun> {
    let stays = match &work.before {
        Before::Stay => true,
        Before::Redo(redo) => redo.is_done(id),
        Before::Remerge => false,
    };
    if !stays || account.outcome == Outcome::Failed {
        return None;
    }
    let is_same = account.fingerprint == made_with.fingerprint();
    let has_lost = account.lost_file(work.results.root()).is_some();
    if is_same && (account.may_be_completed() || has_lost) {
        return None;
    }
    work.desks.clear_spent(id);
    let id = id.clone();
    if is_same {
        let reason = match account.outcome {
            _ if matches!(work.before, Before::Redo(_)) => {
                "done again by this command before it was interrupted"
            }
            Outcome::Partial => "done before, incomplete; --redo does it again",
            _ => "done before with the same model and settings",
        };
        let (outcome, aside) = (account.outcome, String::new());
        return Some(NotRun::Skip { id, outcome, reason: reason.into(), aside, copy: false });
    }
    let changed = made_with.all_differences(&account.settings.into());
    let again = match work.desks.head(&id) {
        Some(_) => "--redo replaces them, `slidemill merge` merges the raw detections that were kept again",
        None => "--redo replaces them",
    };
    let reason = format!("results with other settings are here{}; {again}", changed.in_brackets());
    Some(NotRun::protecting(id, reason))
}

#[cfg(test)]
mod tests {
    use detector::Manifest;
    use wsi_types::Mpp;

    use super::*;
    use crate::{
        models::{DetectorSpec, ModelSet},
        options::RunOptions,
    };

    fn models(specs: &[Option<f64>]) -> ModelSet {
        let mut manifest = Manifest::without_model("m", &["cell"], Mpp::new(0.5).ok());
        manifest.max_object_um = Some(30.0);
        manifest.stride = 32;
        let specs: Vec<_> = (specs.iter())
            .map(|&mpp| DetectorSpec { model: None, mpp: mpp.and_then(|mpp| Mpp::new(mpp).ok()) })
            .collect();
        ModelSet::new(&specs, vec![manifest.merge_terms(); specs.len()]).unwrap()
    }

    #[test]
    fn each_model_cuts_slides_at_its_own_scale() {
        let options = RunOptions { window: Some(512), ..RunOptions::default() };
        let settings = Settings::new(options).unwrap();
        let wanted = survey_settings(
            &settings,
            &models(&[None, Some(0.25)]).each,
            GivenScale::otherwise(Mpp::new(0.3).ok()),
        );
        assert_eq!(wanted.scale.otherwise.map(Mpp::get), Some(0.3));
        let mpps: Vec<_> = wanted.plans.iter().map(|plan| plan.model_mpp.get()).collect();
        assert_eq!(mpps, [0.5, 0.25]);
        let first = &wanted.plans[0];
        assert_eq!((first.window, first.max_object_um, first.multiple_of), (512, Some(30.0), 32));
        assert!(wanted.tissue.is_some());
    }

    #[test]
    fn without_a_mask_the_whole_slide_is_looked_at() {
        let options = RunOptions { no_tissue_mask: Some(true), ..RunOptions::default() };
        let wanted =
            survey_settings(&Settings::new(options).unwrap(), &models(&[None]).each, GivenScale::default());
        assert_eq!((wanted.tissue, wanted.scale), (None, GivenScale::default()));
    }

    #[test]
    fn disk_is_asked_for_by_tissue_and_detectors() {
        let mpp = Mpp::new(0.5).ok();
        let slide = wsi_reader::MemorySlide::painted(&[(4000, 2000)], (500, 500), mpp, |_, _, _| [200; 3]);
        let slide: Arc<dyn wsi_reader::Slide> = Arc::new(slide.unwrap());
        let options = RunOptions { no_tissue_mask: Some(true), ..RunOptions::default() };
        let settings = Settings::new(options).unwrap();
        let bytes = |models: &ModelSet| {
            let wanted = survey_settings(&settings, &models.each, GivenScale::default());
            needed_bytes(&Survey::new(Arc::clone(&slide), &wanted).unwrap())
        };
        // 2 mm² of tissue.
        assert_eq!(bytes(&models(&[None])), 6_000_000 + (1 << 20));
        assert_eq!(bytes(&models(&[None, Some(1.0)])), 12_000_000 + (1 << 20));
    }
}
