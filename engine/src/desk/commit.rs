//! Commits slides: the files of a finished slide get their final names, the account last.
//!
//! A thread of its own waits for the disk, and slides that end meanwhile are committed together: a disk takes
//! hardly longer for many files than for one. Until a slide is committed its ledger and its lock stay, so a
//! run that is killed here goes on from its last window.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use dataset::{Dataset, RunAccount, SlideId};
use whole_file::Staged;

use super::{Desk, Ledger};
use crate::{
    error::{JobError, panic_text},
    gone::gone,
};

/// Number of slides that may wait: they hold no pixels.
const WAITING: usize = 64;

/// A slide whose results are written, but do not have their final names yet.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its account.
    pub(crate) account: RunAccount,
    /// File name, for the terminal only.
    pub(crate) name: String,
    /// Tables and pictures.
    pub(crate) files: Vec<Staged>,
    /// Its raw detections, to be kept or removed.
    pub(crate) raw: Raw,
    /// Held until the account is in place.
    pub(crate) desk: Desk,
    /// `true` if windows are missing, all of them because a server or the network did not give them.
    pub(crate) out_of_reach: bool,
}

impl Finished {
    /// The same slide, of which so many copies were left out.
    pub(crate) fn with_copies(self, copies: usize) -> Self {
        Self { account: RunAccount { copies, ..self.account }, ..self }
    }
}

/// Raw detections of a finished slide.
#[derive(Debug)]
pub(crate) enum Raw {
    /// They stay.
    Kept(Ledger),
    /// Not needed any more once the account is in place.
    Spent(Ledger),
    /// There are none.
    None,
}

/// A finished slide that was committed.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) account: RunAccount,
    /// File name, for the terminal only.
    pub(crate) name: String,
    /// `true` if another run has taken the slide over: nothing is put in place, it belongs to that run now.
    pub(crate) is_lost: bool,
    /// See [`Finished::out_of_reach`].
    pub(crate) out_of_reach: bool,
}

impl Committed {
    fn lost(Finished { account, name, out_of_reach, .. }: Finished) -> Self {
        Self { account, name, is_lost: true, out_of_reach }
    }
}

/// Commits slides, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Committer {
    finished: Option<Sender<Box<Finished>>>,
    committed: Receiver<Result<Vec<Committed>, JobError>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// A committer of slides to `dataset`.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub(crate) fn start(dataset: &Dataset) -> Result<Self, JobError> {
        let (finished, coming) = bounded(WAITING);
        let (told, committed) = unbounded();
        let dataset = dataset.clone();
        let work = move || {
            while let Ok(first) = coming.recv() {
                let group =
                    std::iter::once(first).chain(coming.try_iter()).map(|slide: Box<Finished>| *slide);
                let group = group.collect();
                let result = commit(&dataset, group);
                let is_end = result.is_err();
                if told.send(result).is_err() || is_end {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("commit".into()).spawn(work);
        let thread =
            Some(thread.map_err(|error| JobError::again(format!("cannot start a thread: {error}")))?);
        Ok(Self { finished: Some(finished), committed, thread })
    }

    /// Takes a slide to be committed soon.
    ///
    /// # Errors
    ///
    /// The error that an earlier slide failed with.
    pub(crate) fn send(&self, finished: Finished) -> Result<(), JobError> {
        match self.finished.as_ref().map(|to| to.send(Box::new(finished))) {
            Some(Ok(())) => Ok(()),
            _ => {
                self.ended()?;
                Err(JobError::fault("results are no longer written"))
            }
        }
    }

    /// Returns the slides committed, or lost to another run, since the last call.
    ///
    /// # Errors
    ///
    /// An output failure; no slide is committed after it.
    pub(crate) fn ended(&self) -> Result<Vec<Committed>, JobError> {
        let groups = self.committed.try_iter().collect::<Result<Vec<_>, JobError>>()?;
        Ok(groups.into_iter().flatten().collect())
    }

    /// Waits until all slides are committed.
    ///
    /// # Errors
    ///
    /// As [`ended`](Self::ended).
    pub(crate) fn finish(mut self) -> Result<Vec<Committed>, JobError> {
        self.join()?;
        self.ended()
    }

    fn join(&mut self) -> Result<(), JobError> {
        drop(self.finished.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => Err(JobError::fault(panic_text(panic.as_ref()))),
            _ => Ok(()),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // Its error is given where results are asked for.
        let _ = self.join();
    }
}

/// Gives all results of all slides their final names, then all accounts.
fn commit(dataset: &Dataset, group: Vec<Finished>) -> Result<Vec<Committed>, JobError> {
    let (ours, lost): (Vec<_>, Vec<_>) = group.into_iter().partition(|slide| slide.desk.is_ours());
    let mut ended: Vec<_> = lost.into_iter().map(Committed::lost).collect();
    let (mut files, mut accounts, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for Finished { account, name, files: own, raw, desk, out_of_reach } in ours {
        match raw {
            Raw::Kept(mut ledger) => ledger.sync()?,
            Raw::Spent(ledger) => desk.set_aside(ledger)?,
            Raw::None => {}
        }
        let text = dataset::sealed(&account).map_err(JobError::fault)?;
        if !own.iter().any(|staged| staged.path() == dataset.patches(&account.slide)) {
            remove_patches(dataset, &account.slide)?;
        }
        accounts.push(dataset.stage(&account.slide, &dataset.account(&account.slide), &text)?);
        files.extend(own);
        held.push((Committed { account, name, is_lost: false, out_of_reach }, desk));
    }
    put_in_place(dataset, files, accounts).map_err(|error| {
        let root = dataset.root().display();
        JobError::output(format!("cannot put results in place: {error}: {root}"))
    })?;
    for (slide, desk) in held {
        desk.clear();
        ended.push(slide);
    }
    Ok(ended)
}

/// Removes the table of patches that an earlier model left of a slide whose model gives no vectors. Its account, which
/// names that table, is replaced after this: if that is cut off, the slide is done again.
fn remove_patches(dataset: &Dataset, id: &SlideId) -> Result<(), JobError> {
    let table = dataset.patches(id);
    gone(fs::remove_dir_all(whole_file::folder_of(&table))).map_err(|error| {
        JobError::output(format!("cannot remove the patches of an earlier run: {error}: {}", table.display()))
    })
}

fn put_in_place(dataset: &Dataset, files: Vec<Staged>, accounts: Vec<Staged>) -> io::Result<()> {
    let folders = files.iter().chain(&accounts).filter_map(|staged| staged.path().parent());
    let folders: BTreeSet<PathBuf> = folders.map(Path::to_owned).collect();
    folders.iter().try_for_each(|folder| dataset.make_folder(folder))?;
    // Results that cannot be assigned to a slide are of little use.
    if let Ok(names) = File::open(dataset.names()) {
        names.sync_data()?;
    }
    whole_file::put_in_place(files, accounts)
}
