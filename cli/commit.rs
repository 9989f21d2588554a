//! Commits slides: what a finished one wrote gets its names, the account last.
//!
//! Waiting for the disk is left to a thread of its own, and slides that end while
//! it waits are committed together: a disk takes hardly longer for many files than
//! for one. Until a slide is committed its ledger and its lock stay, so a run that
//! is killed here goes on from its last window.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use whole_file::Staged;

use crate::{
    account::RunAccount,
    dataset::Dataset,
    exit::Failure,
    ledger::{self, Ledger},
    lock::SlideLock,
    redo::Redo,
};

/// Slides that may wait: they hold no pixels.
const WAITING: usize = 64;

/// A slide whose results are written, but have no names yet.
#[derive(Debug)]
pub struct Finished {
    /// What is said of it.
    pub account: RunAccount,
    /// File name, for the terminal only.
    pub name: String,
    /// Tables and pictures.
    pub files: Vec<Staged>,
    /// Its raw detections, and what becomes of them.
    pub raw: Raw,
    /// Held until the account stands.
    pub lock: SlideLock,
}

/// Raw detections of a finished slide.
#[derive(Debug)]
pub enum Raw {
    /// They stay.
    Kept(Ledger),
    /// Nobody needs them once the account stands.
    Spent(Ledger),
    /// There are none.
    None,
}

/// What became of a finished slide.
#[derive(Debug)]
pub enum Committed {
    /// Its results stand.
    Done(Box<RunAccount>, String),
    /// Another run has taken it over; it is that run's now.
    Lost(Box<RunAccount>, String),
}

/// Commits slides, on a thread of its own.
#[derive(Debug)]
pub struct Committer {
    finished: Option<Sender<Box<Finished>>>,
    committed: Receiver<anyhow::Result<Vec<Committed>>>,
    thread: Option<JoinHandle<()>>,
}

/// Where a committer finds things.
struct Places {
    dataset: Dataset,
    ledgers: Dataset,
    redo: Option<Redo>,
}

impl Committer {
    /// A committer of slides to `dataset`, whose ledgers lie in `ledgers`.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(dataset: &Dataset, ledgers: &Dataset, redo: Option<Redo>) -> anyhow::Result<Self> {
        let (finished, coming) = bounded(WAITING);
        let (told, committed) = unbounded();
        let places = Places { dataset: dataset.clone(), ledgers: ledgers.clone(), redo };
        let work = move || {
            while let Ok(first) = coming.recv() {
                let group =
                    std::iter::once(first).chain(coming.try_iter()).map(|slide: Box<Finished>| *slide);
                let group = group.collect();
                let result = places.commit(group);
                let is_end = result.is_err();
                if told.send(result).is_err() || is_end {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("commit".into()).spawn(work);
        let thread = Some(thread.context("cannot start a thread")?);
        Ok(Self { finished: Some(finished), committed, thread })
    }

    /// Takes a slide to be committed soon.
    ///
    /// # Errors
    ///
    /// What an earlier one failed with.
    pub fn send(&self, finished: Finished) -> anyhow::Result<()> {
        match self.finished.as_ref().map(|to| to.send(Box::new(finished))) {
            Some(Ok(())) => Ok(()),
            _ => {
                self.ended()?;
                anyhow::bail!("results are no longer written")
            }
        }
    }

    /// What was committed since this was last asked.
    ///
    /// # Errors
    ///
    /// An output failure; no slide is committed after it.
    pub fn ended(&self) -> anyhow::Result<Vec<Committed>> {
        let groups = self.committed.try_iter().collect::<anyhow::Result<Vec<_>>>()?;
        Ok(groups.into_iter().flatten().collect())
    }

    /// Waits until all is committed.
    ///
    /// # Errors
    ///
    /// As [`ended`](Self::ended).
    pub fn finish(mut self) -> anyhow::Result<Vec<Committed>> {
        self.join()?;
        self.ended()
    }

    fn join(&mut self) -> anyhow::Result<()> {
        drop(self.finished.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => anyhow::bail!("{}", crate::prepare::panic_text(panic.as_ref())),
            _ => Ok(()),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // What it says is said where results are asked for.
        let _ = self.join();
    }
}

impl Places {
    /// All results of all slides get their names, then all accounts.
    fn commit(&self, group: Vec<Finished>) -> anyhow::Result<Vec<Committed>> {
        let (ours, lost): (Vec<_>, Vec<_>) = group.into_iter().partition(|slide| slide.lock.is_ours());
        let lose = |slide: Finished| Committed::Lost(Box::new(slide.account), slide.name);
        let mut ended: Vec<_> = lost.into_iter().map(lose).collect();
        let (mut files, mut accounts, mut locked) = (Vec::new(), Vec::new(), Vec::new());
        for Finished { account, name, files: own, raw, lock } in ours {
            match raw {
                Raw::Kept(mut ledger) => ledger.sync().map_err(Failure::output)?,
                Raw::Spent(ledger) => {
                    ledger.set_aside(&self.ledgers.spent(&account.slide)).map_err(Failure::output)?;
                }
                Raw::None => {}
            }
            files.extend(own);
            let text = serde_json::to_vec_pretty(&account)?;
            accounts.push(self.dataset.stage(
                &account.slide,
                &self.dataset.account(&account.slide),
                &text,
            )?);
            locked.push((account, name, lock));
        }
        self.put_in_place(files, accounts)?;
        for (account, name, lock) in locked {
            self.clean(&account);
            drop(lock);
            ended.push(Committed::Done(Box::new(account), name));
        }
        Ok(ended)
    }

    fn put_in_place(&self, files: Vec<Staged>, accounts: Vec<Staged>) -> anyhow::Result<()> {
        let folders = files.iter().chain(&accounts).filter_map(|staged| staged.path().parent());
        let folders: std::collections::BTreeSet<PathBuf> = folders.map(Path::to_owned).collect();
        let put = || -> io::Result<()> {
            folders.iter().try_for_each(fs::create_dir_all)?;
            // Results nobody can assign to a slide are of little use.
            if let Ok(names) = File::open(self.dataset.names()) {
                names.sync_data()?;
            }
            whole_file::put_in_place(files, accounts)
        };
        put().map_err(|error| {
            let root = self.dataset.root().display();
            Failure::output(format!("cannot put results in place: {error}: {root}"))
        })
    }

    /// What is left of it is only of use while a slide is at work; the next run
    /// would remove it.
    fn clean(&self, account: &RunAccount) {
        let _ = ledger::discard(&self.ledgers.spent(&account.slide));
        let _ = fs::remove_dir(self.dataset.staged(&account.slide));
        if let Some(redo) = &self.redo {
            redo.note_done(&account.slide);
        }
    }
}
