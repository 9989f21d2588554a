//! The private corner of a dataset, slide by slide.
//!
//! A slide at work has a [`Desk`]: nobody else works on it ([`Locks`]), a crash is told from an end
//! ([`Marks`]), each window is on disk as it ends ([`Ledger`]), results wait together for their final names,
//! and the account comes last ([`Committer`]). Files left by killed processes are removed by the next one
//! that takes the desk, or by [`sweep`].

mod commit;
mod entries;
mod ledger;
mod lock;
mod marks;
mod names;
mod process;
mod redo;
mod slabs;

use std::{fs, io, path::PathBuf};

use dataset::{Dataset, SlideId, host_name};

pub(crate) use self::lock::{Locks, SlideLock, nonce};
pub(crate) use self::{
    commit::{Committed, Committer, Finished, Raw},
    ledger::for_each_whole_record,
};
use self::{
    entries::entries,
    ledger::{discard, for_each_record, take_back},
    process::process_runs,
    slabs::{Slab, Slabs},
};
pub use self::{
    ledger::{HeadError, Ledger, LedgerError, LedgerHead, Origin},
    lock::LockError,
    marks::{Mark, Marks},
    redo::Redo,
};
use crate::shard::Shard;

/// The desks of a dataset, as one job sees them.
#[derive(Debug)]
pub(crate) struct Desks {
    /// Dataset that results go to.
    results: Dataset,
    /// Dataset of the ledgers of windows: normally the one of the results.
    ledgers: Dataset,
    locks: Locks,
    redo: Option<Redo>,
    slabs: Slabs,
    /// Part of each slide that the job does, if not all of it.
    slab: Option<Shard>,
}

/// Error when files of an earlier job cannot be removed from a desk.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {source}")]
pub struct TidyError {
    /// The step that failed, such as `remove the old window ledger`.
    doing: &'static str,
    /// The system's error.
    source: io::Error,
}

impl Desks {
    /// The desks of a job that writes to `results` and keeps windows in `ledgers`; with `redo` each slide
    /// starts from nothing, once.
    pub(crate) fn new(results: &Dataset, ledgers: &Dataset, redo: Option<Redo>) -> Self {
        let slabs = Slabs::new(results, ledgers);
        let (results, ledgers, locks) = (results.clone(), ledgers.clone(), Locks::new(results));
        Self { results, ledgers, locks, redo, slabs, slab: None }
    }

    /// Those of a job that does this part of the windows of each slide, or all of them.
    pub(crate) fn of_slab(self, slab: Option<Shard>) -> Self {
        Self { slab, ..self }
    }

    /// Takes the desk of a slide. Files of an earlier job are still on it: see [`Desk::tidy`].
    ///
    /// # Errors
    ///
    /// [`LockError`]; another job may have it, or a part of it.
    pub(crate) fn take(&self, id: &SlideId) -> Result<Desk, LockError> {
        let whole = Slab { ledger: self.ledgers.ledger(id), lock: self.locks.take(id)? };
        let (Slab { ledger, lock }, parts) = match self.slab {
            // Taken while nobody has the whole: who has it next sees this lock.
            Some(slab) => (self.slabs.take(id, slab)?, Vec::new()),
            None => (whole, self.slabs.take_all(id)?),
        };
        Ok(Desk {
            lock,
            staged: self.results.staged(id),
            whole: self.ledgers.ledger(id),
            ledger,
            parts,
            spent: self.ledgers.spent(id),
            redo: self.redo.clone(),
            id: id.clone(),
        })
    }

    /// Head of the ledger of a slide, if there is one.
    pub(crate) fn head(&self, id: &SlideId) -> Option<LedgerHead> {
        LedgerHead::read(&self.ledgers.ledger(id)).ok()
    }

    /// Removes the ledger left by a job that was cut off between the account of a slide and its end.
    pub(crate) fn clear_spent(&self, id: &SlideId) {
        let _ = discard(&self.ledgers.spent(id));
    }
}

/// One slide's private corner, or that of one of its parts, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    id: SlideId,
    lock: SlideLock,
    ledger: PathBuf,
    /// The ledger of the whole slide: the same, unless this is the desk of a part.
    whole: PathBuf,
    /// Parts of the slide that other jobs did.
    parts: Vec<Slab>,
    staged: PathBuf,
    spent: PathBuf,
    redo: Option<Redo>,
}

impl Desk {
    /// Removes or restores the files of a job that was cut off, and removes windows that are to be done
    /// again.
    ///
    /// # Errors
    ///
    /// [`TidyError`] when a folder cannot be moved or removed.
    pub(crate) fn tidy(&mut self) -> Result<(), TidyError> {
        if self.is_of_a_part() {
            return Ok(());
        }
        discard(&self.staged).map_err(tidying("remove results that were not committed"))?;
        take_back(&self.spent, &self.ledger).map_err(tidying("take the window ledger back"))?;
        if let Some(redo) = self.redo.clone().filter(|redo| !redo.has_begun(&self.id)) {
            self.start_over()?;
            redo.note_begun(&self.id).map_err(tidying("note that the slide is done again"))?;
        }
        Ok(())
    }

    /// Removes the windows that are kept of the slide.
    ///
    /// # Errors
    ///
    /// [`TidyError`] when they cannot be removed.
    pub(crate) fn start_over(&mut self) -> Result<(), TidyError> {
        discard(&self.ledger).map_err(tidying("remove the old window ledger"))?;
        slabs::discard_all(&mut self.parts).map_err(tidying("remove the window ledgers of its parts"))
    }

    fn is_of_a_part(&self) -> bool {
        self.whole != self.ledger
    }

    /// Opens the ledger, or starts one; hands each whole record to `replay`, which returns whether it could
    /// be read.
    ///
    /// # Errors
    ///
    /// [`LedgerError::OtherRun`] when a ledger for something else is there.
    pub(crate) fn ledger(
        &self,
        head: &LedgerHead,
        replay: impl FnMut(&[u8]) -> bool,
    ) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.ledger, head, replay)
    }

    /// Hands each whole record of the ledgers of other jobs on this slide to `take`: for the whole slide of its parts,
    /// for a part of the whole. Ledgers that are not under `head` are passed over where this is a part's desk.
    ///
    /// # Errors
    ///
    /// [`LedgerError::OtherRun`] when a part is under another head; [`LedgerError::Io`] when one cannot be read; an
    /// error of `take`.
    pub(crate) fn others(
        &self,
        head: &LedgerHead,
        mut take: impl FnMut(&[u8]) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        if self.is_of_a_part() {
            return match for_each_record(&self.whole, head, take) {
                Err(LedgerError::OtherRun(_)) => Ok(()),
                other => other,
            };
        }
        self.parts.iter().try_for_each(|part| for_each_record(&part.ledger, head, &mut take))
    }

    /// `true` if other jobs did parts of it, which are not taken in.
    pub(crate) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Removes the ledgers of parts, whose records are in that of the whole slide now.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`] when they cannot be removed.
    pub(crate) fn drop_parts(&mut self) -> Result<(), LedgerError> {
        slabs::discard_all(&mut self.parts).map_err(ledger::io_error("take in a part of"))
    }

    /// `true` if it still belongs to this job: another may have taken it over while this one was silent.
    pub(crate) fn is_ours(&self) -> bool {
        self.lock.is_ours()
    }

    /// Moves the ledger aside: its slide is being committed.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`] when it cannot be moved.
    fn set_aside(&self, ledger: Ledger) -> Result<(), LedgerError> {
        ledger.set_aside(&self.spent)
    }

    /// Removes files that are not needed once the account is in place. The next job would remove them, too.
    fn clear(self) {
        let _ = discard(&self.spent);
        let _ = fs::remove_dir(&self.staged);
        if let Some(redo) = &self.redo {
            redo.note_done(&self.id);
        }
    }
}

fn tidying(doing: &'static str) -> impl FnOnce(io::Error) -> TidyError {
    move |source| TidyError { doing, source }
}

/// Folder of the dataset that this process makes of slides at work, in order to look at them.
pub(crate) fn onlooker_folder(dataset: &Dataset) -> PathBuf {
    dataset.private().join(format!("{}{}", names::ONLOOKER, dataset.writer()))
}

/// Makes the private folder, and tests that a job could write there.
///
/// # Errors
///
/// When a job could not.
pub fn try_writing(dataset: &Dataset) -> io::Result<()> {
    // The name is of this job alone: other jobs may begin at the same moment.
    let probe = dataset.private().join(format!("{}{}", names::PROBE, dataset.writer()));
    dataset.write(&probe, b"").and_then(|()| fs::remove_file(&probe))
}

/// Removes files that killed jobs of this host left.
pub fn sweep(dataset: &Dataset) {
    let locks = Locks::new(dataset);
    locks.sweep();
    slabs::locks(dataset).sweep();
    for folder in names::OF_SLIDES {
        for (name, path) in entries(&dataset.private().join(folder)) {
            // Without an account the slide is done again, and needs the ledger that was set aside.
            let is_over = |id: SlideId| !locks.is_there(&id) && dataset.account(&id).exists();
            if SlideId::new(name).is_ok_and(is_over) {
                let _ = fs::remove_dir_all(path);
            }
        }
    }
    let host = host_name();
    for (name, path) in entries(&dataset.private()) {
        let is_left = names::is_left(&name, &host, process_runs)
            || (names::is_of_a_job(&name) && locks.is_forgotten(&path));
        if is_left {
            // Files that cannot be removed do no harm.
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{made_with::MadeWith, options::RunOptions, slides::SlideEntry};

    fn id() -> SlideId {
        SlideId::new("case-7").unwrap()
    }

    fn head() -> LedgerHead {
        let terms = detector::Manifest::without_model("m", &["cell"], None).merge_terms();
        let origin = Origin {
            slide: SlideEntry::at("x.svs"),
            id: id(),
            options: RunOptions::default(),
            models: vec![terms],
        };
        LedgerHead::new(MadeWith::new([("window", "512".to_owned())]), 3, 0.25, origin)
    }

    fn taken(desks: &Desks) -> Desk {
        let mut desk = desks.take(&id()).unwrap();
        desk.tidy().unwrap();
        desk
    }

    fn records(desk: &Desk) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let replay = |record: &[u8]| {
            found.push(record.to_vec());
            true
        };
        desk.ledger(&head(), replay).unwrap();
        found
    }

    #[test]
    fn a_desk_is_one_jobs_and_keeps_its_records_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let desks = Desks::new(&dataset, &dataset, None);
        let desk = desks.take(&id()).unwrap();
        assert!(matches!(desks.take(&id()), Err(LockError::Held { .. })));
        desk.ledger(&head(), |_| true).unwrap().append(b"first").unwrap();
        assert!(desks.head(&id()).is_some() && desk.is_ours());
        drop(desk);
        assert_eq!(records(&taken(&desks)), [b"first"]);
    }

    #[test]
    fn what_a_cut_off_commit_left_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let desks = Desks::new(&dataset, &dataset, None);
        let desk = desks.take(&id()).unwrap();
        let mut ledger = desk.ledger(&head(), |_| true).unwrap();
        ledger.append(b"first").unwrap();
        desk.set_aside(ledger).unwrap();
        fs::create_dir_all(dataset.staged(&id())).unwrap();
        fs::write(dataset.staged(&id()).join("cells"), "half").unwrap();
        drop(desk);
        assert!(dataset.spent(&id()).exists() && desks.head(&id()).is_none());

        let again = taken(&desks);
        assert!(!dataset.spent(&id()).exists() && !dataset.staged(&id()).exists());
        assert_eq!(records(&again), [b"first"]);
    }

    #[test]
    fn a_redo_starts_a_slide_from_nothing_once() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let fill = |desk: &Desk, record| desk.ledger(&head(), |_| true).unwrap().append(record).unwrap();
        fill(&taken(&Desks::new(&dataset, &dataset, None)), b"old");
        let redo = Redo::new(&dataset, &"the command").unwrap();
        let desks = Desks::new(&dataset, &dataset, Some(redo.clone()));
        let desk = taken(&desks);
        assert!(records(&desk).is_empty());
        fill(&desk, b"new");
        drop(desk);
        let desk = taken(&desks);
        assert_eq!(records(&desk), [b"new"]);
        assert!(!redo.is_done(&id()));
        desk.clear();
        assert!(redo.is_done(&id()));
    }

    #[test]
    fn what_killed_jobs_of_this_host_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let at = |name: String| dataset.private().join(name);
        let (host, gone, alive) = (host_name(), u32::MAX, 1);
        let left = [at(format!("in-hand-{host}-{gone}")), at(format!("writing-{host}-{gone}"))];
        let others = [at(format!("writing-{host}-{alive}")), at(format!("writing-elsewhere-{gone}"))];
        // A slide whose account stands, and one that is to be done again.
        let over = [at("staged/over".into()), at("spent/over".into())];
        let needed = [at("staged/needed".into()), at("spent/needed".into())];
        for folder in left.iter().chain(&others).chain(&over).chain(&needed) {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("x"), "").unwrap();
        }
        dataset.write(&dataset.account(&SlideId::new("over").unwrap()), b"{}").unwrap();
        // Of another host, three days ago.
        let forgotten = at("in-hand-elsewhere-7".into());
        fs::create_dir_all(&forgotten).unwrap();
        let three_days = std::time::Duration::from_secs(3 * 86_400);
        let then = std::time::SystemTime::now() - three_days;
        fs::File::open(&forgotten).unwrap().set_modified(then).unwrap();
        fs::create_dir_all(at("locks".into())).unwrap();
        sweep(&dataset);
        assert!(!forgotten.exists());
        assert!(left.iter().chain(&over).all(|path| !path.exists()));
        assert!(others.iter().chain(&needed).all(|path| path.exists()));
    }

    #[test]
    fn a_folder_that_can_be_written_to_is_left_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path().join("out"));
        try_writing(&dataset).unwrap();
        assert_eq!(entries(&dataset.private()).count(), 0);
    }
}
