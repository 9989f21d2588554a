//! A job: many slides into one dataset, so that it can be killed at any moment and go on.

use std::{path::Path, sync::Arc};

use dataset::Dataset;

use crate::{
    collect::Collector,
    desk::Redo,
    engine::Engine,
    error::JobError,
    events::{Event, Tally, Totals, Undone, Watch},
    local_copies::LocalCopies,
    opening, pipeline,
    said::put_together,
    shard::Shard,
    slides::SlideEntry,
    work::{Before, Stop, Work},
};

/// Analyses slides into a dataset. Slides that ended before are not done again; those that were cut off go on
/// from their last window.
pub struct Job<'a> {
    engine: &'a Engine,
    results: Dataset,
    before: Before,
    slab: Option<Shard>,
}

/// End of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobEnd {
    /// Sums over its slides.
    pub totals: Totals,
    /// `true` if every slide has all its results, now or from before.
    pub is_complete: bool,
    /// `true` if all that is missing is so because a server or the network did not give it: no slide is to blame, and
    /// the same job later tries these slides alone.
    pub is_out_of_reach: bool,
    /// `true` if it was asked to stop.
    pub was_stopped: bool,
}

impl JobEnd {
    pub(crate) fn new(totals: Totals, undone: Undone, was_stopped: bool) -> Self {
        Self {
            totals,
            is_complete: undone == Undone::Nothing && totals.failed == 0 && !was_stopped,
            is_out_of_reach: undone == Undone::OutOfReach,
            was_stopped,
        }
    }
}

impl<'a> Job<'a> {
    /// A job that writes to `results`; jobs that write there at the same moment need writers of other names
    /// ([`Dataset::written_by`]).
    #[must_use]
    pub fn new(engine: &'a Engine, results: Dataset) -> Self {
        Self { engine, results, before: Before::Stay, slab: None }
    }

    /// The same, but existing results are made again. If interrupted, a job with equal marks goes on.
    #[must_use]
    pub fn redo(self, redo: Redo) -> Self {
        Self { before: Before::Redo(redo), ..self }
    }

    /// The same, but of each slide only this part of its windows is done. No slide is ended: a job on whole slides, after
    /// the jobs on all parts, finds the windows done and gives the results that it would have given alone.
    #[must_use]
    pub fn slab(self, slab: Shard) -> Self {
        Self { slab: Some(slab), ..self }
    }

    /// Runs all slides. Each is committed as a whole, its account last; slides that ended stay, even if the
    /// others are stopped.
    ///
    /// # Errors
    ///
    /// An error that ends the job as a whole; [`JobError::Usage`] before anything is done where of one slide two things
    /// are said. Problems of one slide are in the account of that slide and in
    /// [`JobEnd::is_complete`].
    pub fn run(self, slides: &[SlideEntry], watch: &mut dyn Watch, stop: &Stop) -> Result<JobEnd, JobError> {
        let Self { engine, results, before, slab } = self;
        refuse_own_files(&results, slides.iter().map(|slide| slide.path.as_path()))?;
        let mut slides = slides.to_vec();
        put_together(&mut slides)?;
        let copies = engine.settings().staging.as_ref().map(LocalCopies::start).transpose()?;
        let redo = match &before {
            Before::Redo(redo) => Some(redo.clone()),
            Before::Stay | Before::Remerge => None,
        };
        let recipe = Arc::clone(&engine.recipe);
        let ledgers = results.clone();
        let work = Arc::new(Work::new(recipe, results, &ledgers, before, stop.clone()).of_slab(slab));
        let mut tally = Tally::new(watch);
        let model = engine.recipe.maker.models.facts();
        tally.tell(&Event::JobStarted {
            slides: slides.len(),
            model: format!("{model}{}", own_windows(engine)),
            device: engine.device().to_owned(),
        });
        for note in engine.notes() {
            tally.tell(&Event::Note { message: note.to_owned() });
        }
        let ended = run_all(engine, &work, slides, copies, &mut tally);
        if let Err(silent @ (JobError::Silent { .. } | JobError::SilentModel { .. })) = ended {
            // The job has not ended: a caller that can end the hanging thread may start it again.
            return Err(silent);
        }
        work.marks.tidy();
        let was_stopped = stop.is_asked();
        let totals = tally.finish(was_stopped || ended.is_err());
        let end = JobEnd::new(totals, ended?, was_stopped);
        // A job that goes on later must know which slides it has done again.
        if let Some(redo) = redo.filter(|_| !was_stopped && !end.is_out_of_reach) {
            redo.forget();
        }
        Ok(end)
    }
}

/// Refuses to read files that the job itself may write over.
///
/// # Errors
///
/// [`JobError::Usage`] that names the first such file.
pub fn refuse_own_files<'p>(
    results: &Dataset,
    read: impl IntoIterator<Item = &'p Path>,
) -> Result<(), JobError> {
    match read.into_iter().find(|path| results.owns(path)) {
        Some(path) => Err(JobError::usage(format!(
            "a file that is read lies where results are written; move it, or give another OUT: {}",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Words for the start of a job if a model that takes only one size decides the size of windows; else empty.
fn own_windows(engine: &Engine) -> String {
    let models = &engine.recipe.maker.models;
    let windows = opening::windows(engine.settings(), models);
    if windows == engine.settings().window.to_string() {
        return String::new();
    }
    format!(", windows of {windows} px as it takes")
}

/// Runs all slides; returns what is undone of them.
fn run_all(
    engine: &Engine,
    work: &Arc<Work>,
    slides: Vec<SlideEntry>,
    copies: Option<LocalCopies>,
    watch: &mut dyn Watch,
) -> Result<Undone, JobError> {
    let mut collector = Collector::new(work, watch)?;
    let source = pipeline::slides_of(Arc::clone(work), slides, copies);
    let ended =
        pipeline::run(engine.settings(), engine.detectors(), &work.stop, source, |step| collector.take(step));
    if matches!(ended, Err(JobError::Silent { .. })) {
        collector.leave_mark();
    }
    // Slides that ended are committed, whatever stopped the others.
    match (ended, collector.finish()) {
        (Ok(()), committed) => committed,
        (Err(error), _) => Err(error),
    }
}
