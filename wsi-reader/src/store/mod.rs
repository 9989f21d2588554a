//! Slides where they lie: objects of servers that give parts of them (`https://`, `http://`) and of stores (`s3://`,
//! `gs://`, `az://`).
//!
//! The version of an object is pinned when it is opened, so that bytes of two versions never come together. Bytes that
//! were fetched are kept for a while: directories of a TIFF cost no request for each tag, and tiles that will be read,
//! if that is known, come many at a time.

#![allow(clippy::single_range_in_vec_init, reason = "lists of ranges are what is meant, some of them short")]

mod ahead;
mod azure;
#[cfg(test)]
#[path = "../../tests/support/azure_store.rs"]
mod azure_store;
mod clock;
mod environment;
mod fault;
mod google;
#[cfg(test)]
#[path = "../../tests/support/google_store.rs"]
mod google_store;
mod naming;
mod pieces;
#[cfg(test)]
#[path = "../../tests/support/range_server.rs"]
mod range_server;
mod s3;
#[cfg(test)]
#[path = "../../tests/support/s3_store.rs"]
mod s3_store;
mod said;
mod secret;
mod server;
mod site;
mod stored;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../../tests/support/told_store.rs"]
mod told_store;

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

pub(crate) use self::fault::StoreFault;
use self::{
    ahead::Ahead,
    pieces::Pieces,
    server::{Patience, Place, Server, Version},
};
use crate::slide::Fetched;

/// Bytes at the start that are fetched when an object is opened, and of one block where it is not known what will be read.
const BLOCK: u64 = 64 << 10;
/// Bytes of an object that are kept at most.
const KEPT_BYTES: u64 = 32 << 20;
/// Objects whose bytes are kept after their last use: a slide is identified, opened and checked one after the other.
const KEPT_OBJECTS: usize = 4;
/// Requests of one batch at a time.
const AT_ONCE: usize = 8;
/// Lists of what will be read that are remembered: a tissue map and windows at several magnifications.
const LISTS: usize = 4;
/// Requests that failed at every try, after which each is tried once only: the server will not recover soon.
const HOPELESS: u32 = 4;

/// An object of a server, in the version that it had when it was opened.
#[derive(Debug)]
pub(crate) struct Remote {
    address: String,
    server: Server,
    version: Version,
    pieces: Pieces,
    /// What will be read; the newest list first.
    ahead: Mutex<VecDeque<Arc<Ahead>>>,
    /// Why nothing of it can be read any more.
    lasting: OnceLock<StoreFault>,
    hopeless: AtomicU32,
    fetched: Mutex<Fetched>,
}

impl Remote {
    /// Opens the object at an address; one request.
    pub(crate) fn open(path: &Path) -> io::Result<Arc<Self>> {
        match path.to_str() {
            Some(address) => Ok(keep(Self::open_with(address, Place::of(address)?, Patience::USUAL)?)),
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no address")),
        }
    }

    fn open_with(address: &str, place: Place, patience: Patience) -> Result<Self, StoreFault> {
        let server = Server::new(place, patience);
        let (head, version) = server.first(BLOCK)?;
        let pieces = Pieces::new(KEPT_BYTES);
        let remote = Self {
            address: address.to_owned(),
            server,
            version,
            pieces,
            ahead: Mutex::default(),
            lasting: OnceLock::new(),
            hopeless: AtomicU32::new(0),
            fetched: Mutex::new(Fetched { requests: 1, bytes: head.len() as u64 }),
        };
        for range in remote.pieces.claim(&[0..head.len() as u64]) {
            remote.pieces.put(&range, Some(head.clone()));
        }
        Ok(remote)
    }

    pub(crate) fn len(&self) -> u64 {
        self.version.len
    }

    /// What was fetched of it so far.
    pub(crate) fn fetched(&self) -> Fetched {
        *lock(&self.fetched)
    }

    fn note(&self, more: Fetched) {
        let mut fetched = lock(&self.fetched);
        *fetched = *fetched + more;
    }

    /// Fills `out` from `offset`, which lies in the object.
    pub(crate) fn read_at(self: &Arc<Self>, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        let mut done = 0;
        self.look_ahead(offset);
        while done < out.len() {
            let at = offset + done as u64;
            let copied = self.pieces.copy(at, &mut out[done..]);
            if copied == 0 {
                self.bring(at..end)?;
            }
            done += copied;
        }
        Ok(())
    }

    /// Says what will be read, in that order, so that it comes in few requests.
    pub(crate) fn will_read(&self, ranges: impl Iterator<Item = Range<u64>>) {
        let ahead = Ahead::new(ranges.filter(|range| range.end <= self.len()));
        let mut lists = lock(&self.ahead);
        lists.truncate(LISTS - 1);
        lists.push_front(Arc::new(ahead));
    }

    /// What it costs to fetch ranges, each once and in that order.
    pub(crate) fn cost(&self, ranges: impl Iterator<Item = Range<u64>>) -> Fetched {
        let requests = Ahead::new(ranges).requests();
        let bytes = requests.iter().map(|range| range.end - range.start).sum();
        Fetched { requests: requests.len() as u64, bytes }
    }

    /// Sees to it that what comes after a byte is on its way, so that the link carries something while tiles are decoded.
    fn look_ahead(self: &Arc<Self>, at: u64) {
        // The newest list that has it: older ones may never be read to their end.
        let next =
            lock(&self.ahead).iter().find(|ahead| ahead.has(at)).and_then(|ahead| ahead.batch_after(at));
        if let Some(ranges) = next {
            self.fetch_aside(self.pieces.claim(&ranges));
        }
    }

    /// Sees to it that the first byte of a range comes, and that what will be needed next is on its way.
    fn bring(self: &Arc<Self>, range: Range<u64>) -> Result<(), StoreFault> {
        if self.pieces.wait_for(range.start) {
            return Ok(());
        }
        let claimed = self.pieces.claim(&self.wanted(&range));
        let (needed, others): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|claimed| claimed.contains(&range.start));
        self.fetch_aside(others);
        needed.into_iter().try_for_each(|range| self.fetch_claimed(range))
    }

    /// The requests that bring the first byte of a range.
    fn wanted(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let batch = lock(&self.ahead).iter().find_map(|ahead| ahead.batch_at(range.start));
        batch.unwrap_or_else(|| {
            let start = range.start / BLOCK * BLOCK;
            let end = range.end.max(start + BLOCK).min(self.len());
            // What is large is wanted as it is.
            if range.end - range.start < BLOCK { vec![start..end] } else { vec![range.clone()] }
        })
    }

    /// Fetches claimed ranges, some at a time, while others read.
    fn fetch_aside(self: &Arc<Self>, claimed: Vec<Range<u64>>) {
        let workers = AT_ONCE.min(claimed.len());
        let errand = Arc::new(Errand { remote: Arc::clone(self), left: Mutex::new(claimed.into()) });
        for _ in 0..workers {
            let errand = Arc::clone(&errand);
            // If the system refuses a thread, there is one less; what nobody takes is asked for by who reads it.
            let _ = thread::Builder::new().name("slide-fetcher".into()).spawn(move || errand.run());
        }
    }

    /// Fetches a range that was claimed.
    fn fetch_claimed(&self, range: Range<u64>) -> Result<(), StoreFault> {
        let mut coming = OnItsWay { pieces: &self.pieces, range, bytes: None };
        coming.bytes = Some(self.fetch(&coming.range)?);
        Ok(())
    }

    fn fetch(&self, range: &Range<u64>) -> Result<Vec<u8>, StoreFault> {
        if let Some(fault) = self.lasting.get() {
            return Err(fault.clone());
        }
        let is_hopeless = self.hopeless.load(Ordering::Relaxed) >= HOPELESS;
        let fetched = self.server.range(range, &self.version, is_hopeless);
        match &fetched {
            Ok(bytes) => {
                self.hopeless.store(0, Ordering::Relaxed);
                self.note(Fetched { requests: 1, bytes: bytes.len() as u64 });
            }
            Err(fault) if fault.is_passing => {
                self.hopeless.fetch_add(1, Ordering::Relaxed);
            }
            Err(fault) => {
                let _ = self.lasting.set(fault.clone());
            }
        }
        fetched
    }
}

/// Claimed ranges that are to be fetched, by whoever takes the next.
#[derive(Debug)]
struct Errand {
    remote: Arc<Remote>,
    left: Mutex<VecDeque<Range<u64>>>,
}

impl Errand {
    fn run(&self) {
        loop {
            let next = lock(&self.left).pop_front();
            let Some(range) = next else { return };
            // Whoever reads it asks again, and is told.
            let _ = self.remote.fetch_claimed(range);
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        for range in lock(&self.left).drain(..) {
            self.remote.pieces.put(&range, None);
        }
    }
}

/// A range on its way, which ends when this is dropped, whatever happened.
struct OnItsWay<'a> {
    pieces: &'a Pieces,
    range: Range<u64>,
    bytes: Option<Vec<u8>>,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.pieces.put(&self.range, self.bytes.take());
    }
}

/// Objects that were opened last.
static KEPT: Mutex<VecDeque<Arc<Remote>>> = Mutex::new(VecDeque::new());

/// Returns the object as it was opened before, with its bytes, if it is the same version; else the one opened now.
fn keep(opened: Remote) -> Arc<Remote> {
    let mut kept = lock(&KEPT);
    let known = kept.iter().position(|known| known.address == opened.address);
    let known = known.and_then(|at| kept.remove(at));
    let usable = known.filter(|known| known.version == opened.version && known.lasting.get().is_none());
    let object = match usable {
        Some(known) => {
            known.note(opened.fetched());
            known
        }
        None => Arc::new(opened),
    };
    kept.truncate(KEPT_OBJECTS - 1);
    kept.push_front(Arc::clone(&object));
    object
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
