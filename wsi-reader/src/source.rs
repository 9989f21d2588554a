//! Bytes of a file at a given place, by positioned reads, so that any number of threads read at once without
//! a lock or a shared seek.

#[cfg(feature = "stores")]
use std::sync::Arc;
use std::{
    cell::RefCell,
    fs::File,
    io,
    ops::Range,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use wsi_types::TileId;

#[cfg(feature = "stores")]
use crate::store::{Remote, StoreFault};
use crate::{
    address::is_address,
    error::is_of_the_network,
    slide::{Fetched, OnServer, ReadError},
};

/// Number of tries of a read that the device fails: a disk or a file server that failed once may recover.
const TRIES: u32 = 4;
/// The wait before the second try; each further one is four times as long.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// Number of reads of one file that failed at every try, after which none is tried again: the device will not
/// recover soon.
const HOPELESS: u32 = 16;

/// Source of bytes.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file, its length when it was opened, and the number of its reads that failed at every try.
    File { file: File, len: u64, hopeless: AtomicU32 },
    /// Bytes in memory: tests and fuzzing.
    Memory(Vec<u8>),
    /// An object of a server.
    #[cfg(feature = "stores")]
    Remote(Arc<Remote>),
}

#[cfg(feature = "stores")]
fn open_address(path: &Path) -> io::Result<Source> {
    Remote::open(path).map(Source::Remote).inspect_err(note)
}

#[cfg(not(feature = "stores"))]
fn open_address(_path: &Path) -> io::Result<Source> {
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is an address, and this program was built without the feature `stores`, which reads them",
    ))
}

impl Source {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if is_address(path) {
            return open_address(path);
        }
        // A pipe would block until somebody writes to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self::File { file, len, hopeless: AtomicU32::new(0) })
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Memory(bytes) => bytes.len() as u64,
            #[cfg(feature = "stores")]
            Self::Remote(remote) => remote.len(),
        }
    }

    /// Says which bytes will be read, in that order. A server gives them in few requests then; elsewhere it says nothing.
    pub(crate) fn will_read(&self, ranges: impl Iterator<Item = Range<u64>>) {
        match self {
            #[cfg(feature = "stores")]
            Self::Remote(remote) => remote.will_read(ranges),
            _ => drop(ranges),
        }
    }

    /// What it costs to fetch ranges in that order; `None` where reading needs no request.
    pub(crate) fn cost(&self, ranges: impl Iterator<Item = Range<u64>>) -> Option<Fetched> {
        match self {
            #[cfg(feature = "stores")]
            Self::Remote(remote) => Some(remote.cost(ranges)),
            _ => {
                drop(ranges);
                None
            }
        }
    }

    /// The object of a server that it is; `None` where reading needs no request.
    pub(crate) fn on_server(&self) -> Option<OnServer> {
        match self {
            #[cfg(feature = "stores")]
            Self::Remote(remote) => Some(OnServer { bytes: remote.len(), fetched: remote.fetched() }),
            _ => None,
        }
    }

    /// `true` if `count` bytes lie at `offset`.
    pub(crate) fn holds(&self, offset: u64, count: u64) -> bool {
        offset.checked_add(count).is_some_and(|end| end <= self.len())
    }

    /// Fills `out` from `offset`; fails if the file ends before that.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if !self.holds(offset, out.len() as u64) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self {
            Self::File { file, hopeless, .. } => {
                patiently(hopeless, || read_exact_at(file, offset, out)).inspect_err(note)
            }
            Self::Memory(bytes) => {
                let start = offset as usize;
                out.copy_from_slice(&bytes[start..start + out.len()]);
                Ok(())
            }
            #[cfg(feature = "stores")]
            Self::Remote(remote) => remote.read_at(offset, out).inspect_err(note),
        }
    }

    /// Returns the bytes at `offset`. Nothing is allocated before the file is known to hold them.
    pub(crate) fn bytes_at(&self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        if !self.holds(offset, count) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; count as usize];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns the first bytes, at most `count`.
    pub(crate) fn head(&self, count: u64) -> io::Result<Vec<u8>> {
        self.bytes_at(0, count.min(self.len()))
    }
}

thread_local! {
    /// The last fault of a device on this thread.
    static DEVICE_FAULT: RefCell<Option<io::Error>> = const { RefCell::new(None) };
}

/// Runs `read`; returns its result, and the fault of a device if there was one on the way, whether `read`
/// took it for damage of the file or went on without the missing bytes.
pub(crate) fn watching_the_device<T>(read: impl FnOnce() -> T) -> (T, Option<io::Error>) {
    DEVICE_FAULT.take();
    let given = read();
    (given, DEVICE_FAULT.take())
}

/// Describes a fault of the device or the server in words.
fn fault_in_words(fault: &io::Error) -> String {
    if is_of_a_store(fault) {
        return fault.to_string();
    }
    format!("the system did not give it, the file may be sound: {fault}")
}

/// A tile that the device or the server did not give.
pub(crate) fn tile_fault(tile: TileId, fault: &io::Error) -> ReadError {
    let out_of_reach = is_of_the_network(fault.kind());
    ReadError::Device { tile, reason: fault_in_words(fault), out_of_reach }
}

#[cfg(feature = "stores")]
fn is_of_a_store(error: &io::Error) -> bool {
    StoreFault::in_error(error).is_some()
}

#[cfg(not(feature = "stores"))]
fn is_of_a_store(_error: &io::Error) -> bool {
    false
}

fn note(error: &io::Error) {
    #[cfg(feature = "stores")]
    if let Some(fault) = StoreFault::in_error(error) {
        DEVICE_FAULT.set(Some(fault.clone().into()));
        return;
    }
    if is_of_the_device(error) {
        DEVICE_FAULT.set(error.raw_os_error().map(io::Error::from_raw_os_error));
    }
}

/// `true` if a disk, a file server or the network failed, not the file: a later try of the same read may
/// succeed.
fn is_of_the_device(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
        || error.kind() == io::ErrorKind::ResourceBusy
        || is_of_the_network(error.kind())
}

/// Repeats a read that the device fails, a limited number of times.
fn patiently(hopeless: &AtomicU32, mut read: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut pause = FIRST_PAUSE;
    let mut tried = read();
    for _ in 1..TRIES {
        match &tried {
            Err(error) if is_of_the_device(error) && hopeless.load(Ordering::Relaxed) < HOPELESS => {}
            _ => return tried,
        }
        tracing::debug!("the device failed a read: it is tried again");
        thread::park_timeout(pause);
        pause *= 4;
        tried = read();
    }
    if tried.is_err() {
        hopeless.fetch_add(1, Ordering::Relaxed);
    }
    tried
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, out, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += read as u64;
        out = &mut out[read..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(times: u32, code: i32) -> impl FnMut() -> io::Result<()> {
        let mut left = times;
        move || {
            if left == 0 {
                return Ok(());
            }
            left -= 1;
            Err(io::Error::from_raw_os_error(code))
        }
    }

    #[test]
    fn a_device_that_fails_for_a_moment_costs_nothing() {
        let hopeless = AtomicU32::new(0);
        assert!(patiently(&hopeless, failing(TRIES - 1, 5)).is_ok());
        assert_eq!(hopeless.load(Ordering::Relaxed), 0);
        assert!(patiently(&hopeless, failing(TRIES, 5)).is_err());
        assert_eq!(hopeless.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_no_device_is_to_blame_for_and_dead_devices_are_not_tried_again() {
        const EBADF: i32 = 9;
        assert!(patiently(&AtomicU32::new(0), failing(1, EBADF)).is_err());
        assert!(patiently(&AtomicU32::new(HOPELESS), failing(1, 5)).is_err());
    }

    #[test]
    fn a_fault_of_the_device_is_noticed_where_it_is_passed_over() {
        let fault = |code| note(&io::Error::from_raw_os_error(code));
        let ((), seen) = watching_the_device(|| fault(5));
        assert_eq!(seen.and_then(|error| error.raw_os_error()), Some(5));
        let ((), seen) = watching_the_device(|| fault(9));
        assert!(seen.is_none());
    }
}
