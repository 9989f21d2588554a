//! One run per slide: a lock file with host, process and heartbeat.
//!
//! Made with `O_EXCL`, which network file systems honour where they do not
//! honour byte-range locks. A lock whose heartbeat stopped, or whose process is
//! gone from this very host, is stale and taken over.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

/// How often a holder shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How long without a heartbeat makes a lock stale: clocks of two hosts may
/// differ by minutes.
const STALE: Duration = Duration::from_secs(600);

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Machine name.
    pub host: String,
    /// Process id there.
    pub process: u32,
    /// Tells two processes of one id apart.
    pub nonce: u64,
}

/// Why a lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run is at work on the slide.
    #[error(
        "process {process} on {host} is at work on this slide; its last sign of life is {age_secs} s old"
    )]
    Held {
        /// Where.
        host: String,
        /// Which.
        process: u32,
        /// Since its last heartbeat.
        age_secs: u64,
    },
    /// The lock cannot be written.
    #[error("cannot write the lock of this slide: {0}")]
    Io(#[from] io::Error),
}

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct SlideLock {
    path: PathBuf,
    holder: Holder,
    stop: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

impl SlideLock {
    /// Takes the lock at `path`.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] when another run is alive, [`LockError::Io`] when the
    /// file cannot be written.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let holder = Holder { host: host_name(), process: std::process::id(), nonce: nonce() };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = match claim(path, &holder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => take_over(path, &holder)?,
            other => other?,
        };
        let (stop, stopped) = channel();
        let file = Arc::new(file);
        let heart = std::thread::Builder::new().name("lock heartbeat".into()).spawn(move || {
            while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                // A missed beat only makes the lock look older.
                let _ = file.set_modified(SystemTime::now());
            }
        })?;
        Ok(Self { path: path.to_owned(), holder, stop: Some(stop), heart: Some(heart) })
    }

    /// Whether the file still names this holder: another run may have taken a
    /// lock over that looked stale. Asked before a result is committed.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        read(&self.path).is_ok_and(|holder| holder == self.holder)
    }
}

impl Drop for SlideLock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn claim(path: &Path, holder: &Holder) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(&serde_json::to_vec(holder)?)?;
    Ok(file)
}

fn read(path: &Path) -> io::Result<Holder> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

/// Moves a stale lock aside, which only one of several contenders can do, then
/// claims anew.
fn take_over(path: &Path, ours: &Holder) -> Result<File, LockError> {
    let age = age_of(path);
    let found = read(path).ok();
    let alive = match &found {
        Some(holder) if holder.host == ours.host => is_running(holder.process, ours),
        _ => age < STALE,
    };
    if alive {
        return Err(held(found, age));
    }
    let aside = path.with_extension(format!("stale-{:016x}", ours.nonce));
    if let Err(error) = fs::rename(path, &aside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    let moved = read(&aside).ok();
    if moved.is_some() && moved != found {
        // Another contender was faster, and this is its lock: back with it.
        let _ = fs::hard_link(&aside, path);
    }
    let _ = fs::remove_file(&aside);
    match claim(path, ours) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(held(read(path).ok(), age_of(path)))
        }
        other => Ok(other?),
    }
}

fn held(holder: Option<Holder>, age: Duration) -> LockError {
    let Holder { host, process, .. } =
        holder.unwrap_or(Holder { host: "an unknown host".into(), process: 0, nonce: 0 });
    LockError::Held { host, process, age_secs: age.as_secs() }
}

fn age_of(path: &Path) -> Duration {
    let modified = fs::metadata(path).and_then(|facts| facts.modified());
    modified.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
}

/// Whether a process of this host is alive. Where that cannot be known it is
/// taken to be, and the heartbeat decides.
fn is_running(process: u32, ours: &Holder) -> bool {
    if process == ours.process {
        return false;
    }
    let proc = Path::new("/proc");
    !proc.join("self").exists() || proc.join(process.to_string()).exists()
}

/// This machine's name.
#[must_use]
pub fn host_name() -> String {
    let named =
        fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    named
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".into())
}

/// A number no other process has, from the standard library's own randomness.
fn nonce() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_gone_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/a.lock");
        let lock = SlideLock::take(&path).unwrap();
        assert!(lock.is_ours() && path.exists());
        drop(lock);
        assert!(!path.exists());
    }

    #[test]
    fn a_living_holder_keeps_it_and_a_dead_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let write = |host: String, process| {
            fs::write(&path, serde_json::to_vec(&Holder { host, process, nonce: 1 }).unwrap()).unwrap();
        };
        // Process 1 always runs; one past the largest process id never does.
        write(host_name(), 1);
        assert!(matches!(SlideLock::take(&path), Err(LockError::Held { process: 1, .. })));
        write(host_name(), u32::MAX);
        assert!(SlideLock::take(&path).is_ok());
        write("elsewhere".into(), 7);
        assert!(matches!(SlideLock::take(&path), Err(LockError::Held { .. })));
        let old = SystemTime::now() - STALE * 2;
        OpenOptions::new().write(true).open(&path).unwrap().set_modified(old).unwrap();
        assert!(SlideLock::take(&path).is_ok());
    }

    #[test]
    fn a_lock_taken_over_is_no_longer_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let lock = SlideLock::take(&path).unwrap();
        fs::write(&path, serde_json::to_vec(&Holder { host: "b".into(), process: 2, nonce: 3 }).unwrap())
            .unwrap();
        assert!(!lock.is_ours());
        drop(lock);
        assert!(path.exists(), "another's lock is not removed");
    }
}
