//! One run per slide: a lock file with host, process and heartbeat.
//!
//! Made as a hard link to a file that already says who holds it (or, where there are
//! no links, with `O_EXCL`): network file systems honour these where they do not
//! honour byte-range locks. A lock whose process is known to be gone is stale and
//! taken over; so is one whose heartbeat stopped where that cannot be known: of
//! another host, container or boot, or without a holder that can be read.
//!
//! No two clocks are compared: a heartbeat is the file's time of change as the
//! file system sets it, and how old it is is read off a file changed just now.
//! That alone would believe a file server whose clock jumps, so a lock must also
//! have been seen unchanged for a while, by this process's own steady clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use whole_file::private_options;

use super::process::{Birth, Life, life, process_runs};

use dataset::{Dataset, SlideId, host_name};

/// Time between two signs of life of a holder.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Time without a heartbeat after which a lock is stale.
const STALE: Duration = Duration::from_secs(600);
/// Time for which this process must have seen no heartbeat itself: three heartbeats, and the minute for which
/// network file systems may show an old time.
const WATCHED: Duration = Duration::from_secs(120);

/// Time without a change after which a temporary file counts as left behind, whoever made it.
const FORGOTTEN: Duration = Duration::from_secs(48 * 3600);

/// Nonces of all locks that this process holds: another of its jobs is working on those slides.
static OURS: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<u64>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A holder that the other jobs of this process know to be alive, as long as this value is kept. It must
/// exist before the lock does: a lock with an unknown holder is taken over.
#[derive(Debug)]
struct Known(u64);

impl Known {
    fn new(holder: &Holder) -> Self {
        ours().insert(holder.nonce);
        Self(holder.nonce)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        ours().remove(&self.0);
    }
}

/// Holder of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Machine name.
    pub host: String,
    /// Process id there.
    pub process: u32,
    /// Number that tells two processes with the same id apart.
    pub nonce: u64,
    /// Boot, namespace and start of the process, which tell it from others of its number; `None` if the
    /// system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<Birth>,
}

impl Holder {
    fn of_this_process() -> Self {
        let born = Birth::of_this_process();
        Self { host: host_name(), process: std::process::id(), nonce: nonce(), born }
    }

    /// Returns whether it runs, as far as `other` can know.
    fn life_seen_by(&self, other: &Self) -> Life {
        if self.host != other.host {
            return Life::Unknown;
        }
        if (self.process, &self.born) == (other.process, &other.born) {
            return if ours().contains(&self.nonce) { Life::Runs } else { Life::Gone };
        }
        life(self.process, self.born.as_ref(), other.born.as_ref())
    }
}

/// Reasons that a lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run is at work on the slide.
    #[error(
        "process {process} on {host} is at work on this slide; its last sign of life is {age_secs} s old"
    )]
    Held {
        /// Machine name of its holder.
        host: String,
        /// Process id there.
        process: u32,
        /// Time since its last heartbeat, in seconds.
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
    /// Dropped after the file is removed.
    _known: Known,
}

impl SlideLock {
    /// `true` if the file still names this holder: another run may have taken over a lock that looked stale.
    /// To be asked before a result is committed.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        read(&self.path).is_ok_and(|holder| holder == self.holder)
    }

    fn held(path: &Path, holder: Holder, known: Known, file: File) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let heart = std::thread::Builder::new().name("lock heartbeat".into()).spawn(move || {
            while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                // A missed beat only makes the lock look older.
                let _ = touch(&file);
            }
        })?;
        Ok(Self { path: path.to_owned(), holder, stop: Some(stop), heart: Some(heart), _known: known })
    }
}

/// The locks of a dataset, as this process sees them.
#[derive(Debug)]
pub struct Locks {
    folder: PathBuf,
    seen: Mutex<BTreeMap<PathBuf, Seen>>,
}

/// A lock of another run, as it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    holder: Option<Holder>,
    beat: Option<SystemTime>,
    since: Instant,
}

impl Locks {
    /// The locks of the slides of `dataset`.
    #[must_use]
    pub fn new(dataset: &Dataset) -> Self {
        Self::in_folder(dataset.locks())
    }

    /// Locks in a folder, which is made with the first.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder, seen: Mutex::default() }
    }

    /// Takes the lock of that name.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn take_named(&self, name: &str) -> Result<SlideLock, LockError> {
        self.take_at(&self.folder.join(format!("{name}.lock")), Instant::now())
    }

    /// Takes the lock of a slide.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] when another run is alive, or may be: ask again later. [`LockError::Io`] when the
    /// file cannot be written.
    pub fn take(&self, slide: &SlideId) -> Result<SlideLock, LockError> {
        self.take_at(&self.path(slide), Instant::now())
    }

    /// Removes files that killed runs of this host left.
    pub fn sweep(&self) {
        let here = Holder::of_this_process();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_left = is_probe(&path)
                || is_left_draft(&path, &here.host)
                || (is_moved_aside(&path) && self.is_forgotten(&path));
            let is_gone = || read(&path).is_ok_and(|holder| holder.life_seen_by(&here) == Life::Gone);
            if is_left {
                let _ = fs::remove_file(&path);
            } else if !is_gone() {
                continue;
            } else if is_moved_aside(&path) {
                let _ = fs::remove_file(&path);
            } else if path.extension().is_some_and(|extension| extension == "lock") {
                // Another run may be faster: then that one has it.
                drop(self.take_at(&path, Instant::now()));
            }
        }
    }

    /// `true` if a file or folder in the private folder has not changed for so long that nobody can be
    /// working with it.
    pub(super) fn is_forgotten(&self, path: &Path) -> bool {
        self.age_of(path) >= FORGOTTEN
    }

    /// `true` if some run has the lock of a slide, alive or not.
    #[must_use]
    pub fn is_there(&self, slide: &SlideId) -> bool {
        self.path(slide).exists()
    }

    fn path(&self, slide: &SlideId) -> PathBuf {
        self.folder.join(format!("{slide}.lock"))
    }

    fn take_at(&self, path: &Path, now: Instant) -> Result<SlideLock, LockError> {
        let holder = Holder::of_this_process();
        let known = Known::new(&holder);
        fs::create_dir_all(&self.folder)?;
        let file = match claim(path, &holder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.take_over(path, &holder, now)?
            }
            other => other?,
        };
        Ok(SlideLock::held(path, holder, known, file)?)
    }

    /// Moves a stale lock aside, which only one of several contenders can do, then claims it.
    fn take_over(&self, path: &Path, ours: &Holder, now: Instant) -> Result<File, LockError> {
        let found = read(path).ok();
        let age = self.age_of(path);
        let watched = self.watched(path, found.as_ref(), now);
        let alive = match found.as_ref().map_or(Life::Unknown, |holder| holder.life_seen_by(ours)) {
            Life::Runs => true,
            Life::Gone => false,
            Life::Unknown => age < STALE || watched < WATCHED,
        };
        if alive {
            return Err(held(found, age.min(STALE + watched)));
        }
        let aside = path.with_extension(format!("{STALE_NAME}{:016x}", ours.nonce));
        if let Err(error) = fs::rename(path, &aside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        let moved = read(&aside).ok();
        if moved.is_some() && moved != found {
            // Another contender was faster, and this is its lock: put it back.
            let _ = fs::hard_link(&aside, path);
        }
        let _ = fs::remove_file(&aside);
        match claim(path, ours) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(held(read(path).ok(), Duration::ZERO))
            }
            other => Ok(other?),
        }
    }

    /// Time for which this process has seen a lock without a heartbeat.
    fn watched(&self, path: &Path, holder: Option<&Holder>, now: Instant) -> Duration {
        let beat = changed(path).ok();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Seen { holder: holder.cloned(), beat, since: now };
        let first = seen.entry(path.to_owned()).or_insert_with(|| fresh.clone());
        if (&first.holder, first.beat) != (&fresh.holder, fresh.beat) {
            *first = fresh;
        }
        now.saturating_duration_since(first.since)
    }

    /// Time since the last heartbeat of a lock, by the clock of its file system. A heartbeat in the future
    /// counts as now.
    fn age_of(&self, path: &Path) -> Duration {
        let age = || -> io::Result<Duration> {
            let probe = tempfile::Builder::new().prefix(PROBE).tempfile_in(&self.folder)?;
            let just_now = changed(probe.path())?;
            Ok(just_now.duration_since(changed(path)?).unwrap_or_default())
        };
        age().unwrap_or_default()
    }
}

/// Time of a file's last change, by the clock of its file system.
fn changed(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// Sets a file's time of change by the clock of its file system.
#[cfg(unix)]
fn touch(file: &File) -> io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Ok(futimens(file, &Timestamps { last_access: now, last_modification: now })?)
}

/// Sets it by the clock of this machine, as there is no other.
#[cfg(not(unix))]
fn touch(file: &File) -> io::Result<()> {
    file.set_modified(SystemTime::now())
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

/// Makes the lock together with its holder: a lock without one, left by a process killed in between, would be
/// waited for as if its host were unknown.
fn claim(path: &Path, holder: &Holder) -> io::Result<File> {
    let content = serde_json::to_vec(holder)?;
    let draft = path.with_file_name(draft_name(holder));
    let mut file = private_options().write(true).create_new(true).open(&draft)?;
    let linked = file.write_all(&content).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match linked {
        Err(error) if has_no_links(&error) => {
            let mut file = private_options().write(true).create_new(true).open(path)?;
            file.write_all(&content)?;
            Ok(file)
        }
        other => other.map(|()| file),
    }
}

/// `true` if a file system has no hard links, such as FAT and some network shares.
fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// Prefix of the file that tells the file system's time.
const PROBE: &str = ".probe-";
/// Its prefix in datasets of earlier versions.
const EARLIER_PROBE: &str = ".tmp";

/// `true` for files that only tell the time: they are needed for a moment, so one that is found was left
/// behind, or is about to go.
fn is_probe(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(PROBE) || name.starts_with(EARLIER_PROBE)
}

const STALE_NAME: &str = "stale-";

/// `true` for a lock that was moved aside to be taken over.
fn is_moved_aside(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.to_string_lossy().starts_with(STALE_NAME))
}

const DRAFT: &str = "draft";

/// Name of a draft that tells its holder, so that one left by a killed process is recognised.
fn draft_name(holder: &Holder) -> String {
    format!("{}{:016x}.{DRAFT}", draft_prefix(&holder.host, holder.process), holder.nonce)
}

fn draft_prefix(host: &str, process: u32) -> String {
    let host: String = host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{host}-{process}-")
}

/// `true` for a draft of a process of `host` that is gone.
fn is_left_draft(path: &Path, host: &str) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let process = name.rsplit('-').nth(1).and_then(|process| process.parse().ok());
    path.extension().is_some_and(|extension| extension == DRAFT)
        && process.is_some_and(|id| name.starts_with(&draft_prefix(host, id)) && !process_runs(id))
}

fn read(path: &Path) -> io::Result<Holder> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

fn held(holder: Option<Holder>, age: Duration) -> LockError {
    let Holder { host, process, .. } =
        holder.unwrap_or(Holder { host: "an unknown host".into(), process: 0, nonce: 0, born: None });
    LockError::Held { host, process, age_secs: age.as_secs() }
}

/// A number that no other process has, from the standard library's own randomness.
pub(crate) fn nonce() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn locks(folder: &tempfile::TempDir) -> (Locks, PathBuf) {
        let path = folder.path().join("a.lock");
        (Locks { folder: folder.path().to_owned(), seen: Mutex::default() }, path)
    }

    fn write(path: &Path, host: String, process: u32) {
        write_born(path, host, process, None);
    }

    fn write_born(path: &Path, host: String, process: u32, born: Option<Birth>) {
        let holder = Holder { host, process, nonce: 1, born };
        fs::write(path, serde_json::to_vec(&holder).unwrap()).unwrap();
    }

    fn beat_at(path: &Path, at: SystemTime) {
        OpenOptions::new().write(true).open(path).unwrap().set_modified(at).unwrap();
    }

    fn is_held(taken: &Result<SlideLock, LockError>) -> bool {
        matches!(taken, Err(LockError::Held { .. }))
    }

    #[test]
    fn a_lock_is_gone_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(&Dataset::at(folder.path()));
        let lock = locks.take(&SlideId::new("a").unwrap()).unwrap();
        let path = folder.path().join(".slidemill/locks/a.lock");
        assert!(lock.is_ours() && path.exists());
        drop(lock);
        assert!(!path.exists());
    }

    /// Two jobs of one process took each other's slides: a lock with this process's id counted as left
    /// behind.
    #[test]
    fn another_job_of_this_process_keeps_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let (one, other) = (Locks::new(&dataset), Locks::new(&dataset));
        let id = SlideId::new("a").unwrap();
        let lock = one.take(&id).unwrap();
        assert!(is_held(&other.take(&id)) && lock.is_ours());
        drop(lock);
        assert!(other.take(&id).is_ok());
    }

    #[test]
    fn a_lock_names_its_holder_from_the_start_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let (locks, path) = locks(&folder);
        let lock = locks.take_at(&path, Instant::now()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(claim(&path, &lock.holder).is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        // Drafts of a process killed before it had the lock, of one at work, and of another host.
        let draft = |host: &str, process: u32| {
            let draft =
                folder.path().join(draft_name(&Holder { host: host.into(), process, nonce: 7, born: None }));
            fs::write(&draft, "").unwrap();
            draft
        };
        let gone = draft(&host_name(), u32::MAX);
        let (alive, other) = (draft(&host_name(), std::process::id()), draft("other.host-9", u32::MAX));
        locks.sweep();
        assert!(!gone.exists() && alive.exists() && other.exists() && lock.is_ours());
    }

    #[test]
    fn a_living_holder_keeps_it_and_a_dead_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (locks, path) = locks(&folder);
        let now = Instant::now();
        // Process 1 always runs; one past the largest process id never does.
        write(&path, host_name(), 1);
        assert!(matches!(locks.take_at(&path, now), Err(LockError::Held { process: 1, .. })));
        write(&path, host_name(), u32::MAX);
        assert!(locks.take_at(&path, now).is_ok());
        write(&path, "elsewhere".into(), 7);
        assert!(is_held(&locks.take_at(&path, now)));
        assert!(is_held(&locks.take_at(&path, now + WATCHED * 2)), "its last heartbeat is young");
        beat_at(&path, SystemTime::now() - STALE * 2);
        assert!(is_held(&locks.take_at(&path, now + WATCHED * 2)), "this is a heartbeat too");
        assert!(locks.take_at(&path, now + WATCHED * 4).is_ok());
    }

    /// After a restart, or in a container, another process may have the number.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_number_that_is_in_use_again_keeps_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (locks, path) = locks(&folder);
        let now = Instant::now();
        let here = Birth::of_this_process().unwrap();
        // Process 1 always runs, and began before this one.
        write_born(&path, host_name(), 1, Some(here));
        drop(locks.take_at(&path, now).unwrap());

        let elsewhere = serde_json::json!({ "world": "an earlier boot", "ticks": 7 });
        write_born(&path, host_name(), 1, serde_json::from_value(elsewhere).unwrap());
        assert!(is_held(&locks.take_at(&path, now)), "it may be a container of this name");
        beat_at(&path, SystemTime::now() - STALE * 6);
        assert!(is_held(&locks.take_at(&path, now)));
        drop(locks.take_at(&path, now + WATCHED).unwrap());

        // Lock of a version that did not note the start of its process.
        write(&path, host_name(), 1);
        beat_at(&path, SystemTime::now() - STALE * 6);
        assert!(is_held(&locks.take_at(&path, now)));
        assert!(locks.take_at(&path, now + WATCHED).is_ok());
    }

    #[test]
    fn a_lock_that_cannot_be_read_is_taken_over_by_its_age() {
        let folder = tempfile::tempdir().unwrap();
        let (locks, path) = locks(&folder);
        let now = Instant::now();
        for content in ["", "{\"host\":", "{}"] {
            fs::write(&path, content).unwrap();
            assert!(is_held(&locks.take_at(&path, now)), "{content:?} may be about to be written");
            beat_at(&path, SystemTime::now() - STALE * 2);
            assert!(is_held(&locks.take_at(&path, now + WATCHED)));
            drop(locks.take_at(&path, now + WATCHED * 3).unwrap());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// The clock of a machine or of a file server jumps by hours, either way.
    #[test]
    fn a_beating_lock_is_never_taken_whatever_clocks_say() {
        let folder = tempfile::tempdir().unwrap();
        let (locks, path) = locks(&folder);
        write(&path, "elsewhere".into(), 7);
        let (start, day) = (Instant::now(), Duration::from_secs(86_400));
        let clocks = [SystemTime::now() - day, SystemTime::now() + day, SystemTime::now() - 3 * day];
        for beat in 0..60 {
            beat_at(&path, clocks[beat as usize % 3] + HEARTBEAT * beat);
            let taken = locks.take_at(&path, start + HEARTBEAT * beat);
            assert!(is_held(&taken), "beat {beat}: {taken:?}");
        }
        // The heartbeat stops, at a time long past or still to come.
        beat_at(&path, clocks[2]);
        let end = start + HEARTBEAT * 60;
        assert!(is_held(&locks.take_at(&path, end)));
        assert!(locks.take_at(&path, end + WATCHED).is_ok());
    }

    #[test]
    fn a_heartbeat_is_of_the_file_systems_own_clock() {
        let folder = tempfile::tempdir().unwrap();
        let (locks, path) = locks(&folder);
        write(&path, "elsewhere".into(), 7);
        // File systems keep time in steps of milliseconds.
        beat_at(&path, SystemTime::now() - STALE - HEARTBEAT);
        assert!(locks.age_of(&path) >= STALE);
        touch(&OpenOptions::new().write(true).open(&path).unwrap()).unwrap();
        assert!(locks.age_of(&path) < STALE);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "reading the clock leaves nothing");
    }

    #[test]
    fn locks_of_killed_runs_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let (locks, path) = locks(&folder);
        write(&path, host_name(), u32::MAX);
        let others = [("b.lock", host_name(), 1), ("c.lock", "elsewhere".into(), u32::MAX)];
        for (name, host, process) in others {
            write(&folder.path().join(name), host, process);
        }
        let aside = folder.path().join("d.stale-0000000000000007");
        write(&aside, "elsewhere".into(), 7);
        beat_at(&aside, SystemTime::now() - FORGOTTEN - HEARTBEAT);
        for name in [".probe-x7", ".tmpAbC"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        locks.sweep();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["b.lock", "c.lock"]);
    }

    #[test]
    fn a_lock_taken_over_is_no_longer_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (locks, path) = locks(&folder);
        let lock = locks.take_at(&path, Instant::now()).unwrap();
        write(&path, "b".into(), 2);
        assert!(!lock.is_ours());
        drop(lock);
        assert!(path.exists(), "another's lock is not removed");
    }
}
