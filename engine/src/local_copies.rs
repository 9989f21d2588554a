//! Copies of slides on a disk of this machine (`--stage DIR`), made before they are read: one is copied while the one
//! before it is analysed, within a number of bytes, and each is gone when its slide has ended.
//!
//! Every job has a folder of its own under `DIR/slidemill-copies`, and a lock of the folder's name. A folder whose lock is
//! held by nobody alive was left by a killed job: it is removed, and nothing of it is read.

use std::{
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dataset::hex;
use whole_file::make_private_folder;
use wsi_reader::{CopyError, OpenError, SlideFiles};

use crate::{
    behind::{Behind, Copying},
    budget::free_bytes,
    byte_size::ByteSize,
    desk::{Locks, SlideLock},
    error::JobError,
    slides::SlideEntry,
    staging::Staging,
};

/// Folder under that of the option.
const FOLDER: &str = "slidemill-copies";
/// Folder of the locks within it.
const LOCKS: &str = "locks";
/// Start of the names of the jobs' own folders.
const OF_A_JOB: &str = "job-";
/// Time between two words on how far a copy is.
const WORD: Duration = Duration::from_secs(2);

/// The copies of one job.
#[derive(Debug)]
pub(crate) struct LocalCopies {
    staging: Staging,
    locks: Locks,
    own: Arc<OwnFolder>,
    next: AtomicU64,
}

/// The folder of a job, which goes with the last copy in it.
#[derive(Debug)]
struct OwnFolder {
    path: PathBuf,
    /// Bytes of the copies that are there, or being made.
    held: AtomicU64,
    /// Dropped after the folder is removed.
    _lock: SlideLock,
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        // What is left is removed by the next job.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A copy of a slide; its files are gone when it is dropped.
#[derive(Debug)]
pub(crate) struct LocalCopy {
    /// What is opened.
    path: PathBuf,
    _room: Room,
}

/// A folder for one copy, and its share of the budget.
#[derive(Debug)]
struct Room {
    folder: PathBuf,
    bytes: u64,
    own: Arc<OwnFolder>,
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        self.own.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl LocalCopy {
    /// What is opened of it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reasons why there is no copy of a slide.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCopy {
    /// The slide is to blame, or its server, or it changed.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The slide is larger than all copies may be.
    #[error("{0}")]
    TooLarge(String),
    /// There is no room for it, nor for any other.
    #[error("{0}")]
    NoRoom(String),
}

impl NoCopy {
    /// `true` if a server or the network is to blame, not the slide.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::Copy(CopyError::Slide(error)) if error.is_out_of_reach())
    }
}

impl From<OpenError> for NoCopy {
    fn from(error: OpenError) -> Self {
        Self::Copy(error.into())
    }
}

/// Removes the copies that killed jobs left in a folder.
pub fn sweep_copies(folder: &Path) {
    let folder = folder.join(FOLDER);
    sweep(&folder, &Locks::in_folder(folder.join(LOCKS)));
}

fn sweep(folder: &Path, locks: &Locks) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_of_a_job(&name) || !entry.path().is_dir() {
            continue;
        }
        // The lock is taken before the folder is made, and given back when it is gone.
        if let Ok(_lock) = locks.take_named(&name) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    locks.sweep();
}

fn is_of_a_job(name: &str) -> bool {
    let number = name.strip_prefix(OF_A_JOB).unwrap_or_default();
    number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl LocalCopies {
    /// Makes the folder of a job, and removes those that killed jobs left.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when it cannot be made.
    pub(crate) fn start(staging: &Staging) -> Result<Self, JobError> {
        let folder = staging.folder.join(FOLDER);
        let locks = Locks::in_folder(folder.join(LOCKS));
        sweep(&folder, &locks);
        let name = format!("{OF_A_JOB}{:016x}", crate::desk::nonce());
        let lock = locks.take_named(&name).map_err(|error| staging.cannot_write(&error))?;
        let path = folder.join(name);
        make_private_folder(&path).map_err(|error| staging.cannot_write(&error))?;
        let own = OwnFolder { path, held: AtomicU64::new(0), _lock: lock };
        Ok(Self { staging: staging.clone(), locks, own: Arc::new(own), next: AtomicU64::new(0) })
    }

    /// Copies a slide whose hash is `content`, as soon as there is room for it.
    ///
    /// # Errors
    ///
    /// [`NoCopy`]; half a copy is removed.
    pub(crate) fn bring(
        &self,
        entry: &SlideEntry,
        content: &str,
        behind: &Behind<'_>,
    ) -> Result<LocalCopy, NoCopy> {
        if let Some(parent) = self.own.path.parent() {
            sweep(parent, &self.locks);
        }
        let files = SlideFiles::of(&entry.path)?;
        let bytes = files.bytes();
        if let Some(refusal) = self.staging.refusal(bytes) {
            return Err(NoCopy::TooLarge(refusal));
        }
        let copy = loop {
            self.wait_for_room(bytes, behind)?;
            match self.copied(entry, &files, behind) {
                Err(NoCopy::Copy(CopyError::Write(error))) if is_full(&error) => {
                    self.wait_for_end(bytes, &error.to_string(), behind)?;
                }
                copied => break copied?,
            }
        };
        // Of all its bytes where it shares its samples with another slide.
        let ids = [wsi_reader::content_id, wsi_reader::full_content_id];
        if ids.iter().any(|id| id(&copy.path).is_ok_and(|id| hex(&id.bytes()) == content)) {
            return Ok(copy);
        }
        Err(CopyError::Changed { how: "its copy has other content".into() }.into())
    }

    fn wait_for_room(&self, bytes: u64, behind: &Behind<'_>) -> Result<(), NoCopy> {
        loop {
            let held = self.own.held.load(Ordering::Relaxed);
            let fits = self.staging.budget.is_none_or(|budget| held + bytes <= budget);
            // A file system that does not say how full it is will say so when it is full.
            let free = free_bytes(&self.own.path).unwrap_or(u64::MAX);
            match (fits, free >= bytes) {
                (true, true) => return Ok(()),
                (true, false) => self.wait_for_end(bytes, &format!("{} free", ByteSize(free)), behind)?,
                // Less than the budget allows for one: others are there.
                (false, _) => wait(behind)?,
            }
        }
    }

    /// Waits until a slide has ended that has a copy; fails if there is none.
    fn wait_for_end(&self, bytes: u64, found: &str, behind: &Behind<'_>) -> Result<(), NoCopy> {
        match self.own.held.load(Ordering::Relaxed) {
            0 => Err(self.no_room(bytes, found)),
            _ => wait(behind),
        }
    }

    fn no_room(&self, bytes: u64, found: &str) -> NoCopy {
        NoCopy::NoRoom(format!(
            "cannot copy a slide to the folder of --stage: {} needed, {found}; make room, and the same command goes on: {}",
            ByteSize(bytes),
            self.staging.folder.display()
        ))
    }

    fn copied(
        &self,
        entry: &SlideEntry,
        files: &SlideFiles,
        behind: &Behind<'_>,
    ) -> Result<LocalCopy, NoCopy> {
        let bytes = files.bytes();
        let folder = self.own.path.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        self.own.held.fetch_add(bytes, Ordering::Relaxed);
        let room = Room { folder, bytes, own: Arc::clone(&self.own) };
        make_private_folder(&room.folder).map_err(CopyError::Write)?;
        let mut told = Instant::now();
        let path = files.copy_into(&room.folder, &mut |done| {
            if behind.is_ending() {
                return ControlFlow::Break(());
            }
            if told.elapsed() >= WORD {
                told = Instant::now();
                behind.tell(Copying { name: entry.name(), done, bytes });
            }
            ControlFlow::Continue(())
        })?;
        Ok(LocalCopy { path, _room: room })
    }
}

fn wait(behind: &Behind<'_>) -> Result<(), NoCopy> {
    if behind.wait_for_end() { Ok(()) } else { Err(CopyError::Stopped.into()) }
}

/// `true` if a disk is full, or what a user may have of it.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, Sender, unbounded};

    use super::*;
    use crate::work::Stop;

    struct Job {
        copies: LocalCopies,
        ended: (Sender<()>, Receiver<()>),
        stop: Stop,
    }

    impl Job {
        fn new(folder: &Path, budget: Option<u64>) -> Self {
            let staging = Staging { folder: folder.to_owned(), budget };
            let copies = LocalCopies::start(&staging).unwrap();
            Self { copies, ended: unbounded(), stop: Stop::new() }
        }

        fn bring(&self, slide: &Path) -> Result<LocalCopy, NoCopy> {
            let entry = SlideEntry::at(slide);
            let content = hex(&entry.content().unwrap());
            let behind = Behind { tell: &|_| {}, ended: &self.ended.1, stop: &self.stop };
            self.copies.bring(&entry, &content, &behind)
        }
    }

    fn slide(folder: &Path, name: &str, bytes: usize) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, vec![7; bytes]).unwrap();
        path
    }

    /// Names of the folders of jobs.
    fn jobs(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join(FOLDER)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != LOCKS).collect()
    }

    #[test]
    fn a_copy_is_there_as_long_as_it_is_used() {
        let [shelf, stage] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let slide = slide(shelf.path(), "Mrs Smith.svs", 3000);
        let job = Job::new(stage.path(), Some(3000));
        let copy = job.bring(&slide).unwrap();
        assert_eq!(fs::read(copy.path()).unwrap(), fs::read(&slide).unwrap());
        assert!(!copy.path().to_string_lossy().contains("Smith"));
        let path = copy.path().to_owned();
        drop(job);
        assert!(path.exists(), "the job prepares no more slides, and one is at work");
        drop(copy);
        assert!(jobs(stage.path()).is_empty() && slide.exists());
    }

    #[test]
    fn copies_wait_for_room_and_never_take_more() {
        let [shelf, stage] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [one, two] = ["one", "two"].map(|name| slide(shelf.path(), name, 2000));
        let large = slide(shelf.path(), "large", 3001);
        let job = Job::new(stage.path(), Some(3000));
        let said = job.bring(&large).unwrap_err().to_string();
        assert!(said.contains("the slide has 2.9 kB, --stage-budget allows 2.9 kB"), "{said}");
        let first = job.bring(&one).unwrap();
        // A slide without a copy ends, then the one that has it.
        job.ended.0.send(()).unwrap();
        std::thread::scope(|scope| {
            let ended = job.ended.0.clone();
            scope.spawn(move || {
                drop(first);
                ended.send(()).unwrap();
            });
            assert!(job.bring(&two).is_ok());
        });
        assert_eq!(job.copies.own.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_job_that_ends_waits_for_nothing() {
        let [shelf, stage] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let slide = slide(shelf.path(), "one", 2000);
        let job = Job::new(stage.path(), Some(3000));
        let _held = job.bring(&slide).unwrap();
        job.stop.ask();
        assert!(matches!(job.bring(&slide), Err(NoCopy::Copy(CopyError::Stopped))));
    }

    #[test]
    fn only_what_killed_jobs_left_is_removed() {
        let stage = tempfile::tempdir().unwrap();
        let at_work = Job::new(stage.path(), None);
        let left = stage.path().join(FOLDER).join("job-00000000000000aa");
        let others =
            ["job-1", "job-00000000000000zz", "mine"].map(|name| stage.path().join(FOLDER).join(name));
        for folder in others.iter().chain([&left]) {
            fs::create_dir_all(folder.join("0")).unwrap();
            fs::write(folder.join("0/slide.svs"), "half").unwrap();
        }
        sweep_copies(stage.path());
        assert!(!left.exists() && others.iter().all(|folder| folder.join("0/slide.svs").exists()));
        assert!(at_work.copies.own.path.exists());
        assert_eq!(fs::read_dir(stage.path().join(FOLDER).join(LOCKS)).unwrap().count(), 1);
    }

    #[test]
    fn a_slide_of_other_content_is_no_copy_of_this_one() {
        let [shelf, stage] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let slide = slide(shelf.path(), "one", 2000);
        let job = Job::new(stage.path(), None);
        let behind = Behind { tell: &|_| {}, ended: &job.ended.1, stop: &job.stop };
        let said = job.copies.bring(&SlideEntry::at(&slide), "other", &behind).unwrap_err().to_string();
        assert!(said.contains("replaced or changed while it was copied"), "{said}");
        assert_eq!(job.copies.own.held.load(Ordering::Relaxed), 0);
    }
}
