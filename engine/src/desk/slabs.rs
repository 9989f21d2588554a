//! Parts of one slide's windows, done by several jobs at once.
//!
//! Each part has a ledger of its own, `slabs/<id>/2-of-4/`, under the head that the whole slide's would have, and a lock.
//! A part is begun only while nobody has the whole slide, and the whole is taken only with all parts that are there: so
//! no ledger grows while its records are taken in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use dataset::{Dataset, SlideId};

use super::{
    entries::entries,
    ledger::discard,
    lock::{LockError, Locks, SlideLock},
};
use crate::shard::Shard;

/// The parts of the slides of a dataset, as one job sees them.
#[derive(Debug)]
pub(super) struct Slabs {
    ledgers: Dataset,
    locks: Locks,
}

/// A part that is this job's until it is dropped.
#[derive(Debug)]
pub(super) struct Slab {
    /// Folder of its ledger.
    pub(super) ledger: PathBuf,
    pub(super) lock: SlideLock,
}

impl Slabs {
    /// Parts whose ledgers are in one dataset, and whose results go to another.
    pub(super) fn new(results: &Dataset, ledgers: &Dataset) -> Self {
        Self { ledgers: ledgers.clone(), locks: locks(results) }
    }

    /// Takes a part of a slide.
    ///
    /// # Errors
    ///
    /// [`LockError`]; another job may have it.
    pub(super) fn take(&self, id: &SlideId, slab: Shard) -> Result<Slab, LockError> {
        let name = slab.to_string().replace('/', "-of-");
        self.take_named(id, &name, self.ledgers.slabs(id).join(&name))
    }

    /// Takes all parts of a slide of which there is a ledger.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] when another job is at work on one.
    pub(super) fn take_all(&self, id: &SlideId) -> Result<Vec<Slab>, LockError> {
        entries(&self.ledgers.slabs(id)).map(|(name, ledger)| self.take_named(id, &name, ledger)).collect()
    }

    fn take_named(&self, id: &SlideId, name: &str, ledger: PathBuf) -> Result<Slab, LockError> {
        Ok(Slab { ledger, lock: self.locks.take_named(&format!("{id}.{name}"))? })
    }
}

/// The locks of the parts of all slides of a dataset.
pub(super) fn locks(results: &Dataset) -> Locks {
    Locks::in_folder(results.private().join("slab-locks"))
}

/// Removes the ledgers of parts, and their folder where nothing else is in it.
///
/// # Errors
///
/// When one cannot be removed.
pub(super) fn discard_all(parts: &mut Vec<Slab>) -> io::Result<()> {
    for part in parts.drain(..) {
        discard(&part.ledger)?;
        // The last one leaves it empty.
        let _ = fs::remove_dir(part.ledger.parent().unwrap_or(Path::new("")));
    }
    Ok(())
}
