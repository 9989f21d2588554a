//! The folder of jobs.
//!
//! ```text
//! DATA/lock                one service at a time
//! DATA/incoming/<id>/      uploads that are not jobs yet; emptied at start
//! DATA/jobs/<id>/          request.json, upload/, instances.json (of a series), out/ (a dataset), events.jsonl,
//!                          exports/, pushes.json, ended.json
//! DATA/trash/<id>/         to be erased; emptied at start
//! DATA/audit/<day>.jsonl   who asked for what
//! ```
//!
//! A job is there when its folder has its name under `jobs`, and has ended when `ended.json` is there: both appear at
//! once, so a kill at any moment leaves it accepted or not, ended or to be gone on with.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::ServiceError,
    id::JobId,
    job::{Ended, Request, out_of},
    push::Push,
    runner::Event,
};

/// The folder of jobs, held by this process.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// Held as long as the service lives.
    _lock: File,
}

/// A job that was found on the disk.
pub(crate) struct Found {
    pub(crate) id: JobId,
    pub(crate) request: Request,
    /// `None`: it is to be run, or gone on with.
    pub(crate) ended: Option<Ended>,
    pub(crate) pushes: BTreeMap<String, Push>,
}

impl Store {
    /// Takes the folder, makes what is missing, and clears away what a killed service left.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Taken`], [`ServiceError::Data`].
    pub(crate) fn open(root: &Path) -> Result<Self, ServiceError> {
        fs::create_dir_all(whole_file::folder_of(root))
            .and_then(|()| whole_file::make_private_folder(root))
            .map_err(cannot("make the folder of jobs", root))?;
        let path = root.join("lock");
        let lock = whole_file::private_options().create(true).append(true).open(&path);
        let lock = lock.map_err(cannot("open the lock", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ServiceError::Taken { path: root.to_owned() }),
            Err(TryLockError::Error(reason)) => return Err(cannot("take the lock", &path)(reason)),
        }
        let store = Self { root: root.to_owned(), _lock: lock };
        for name in ["incoming", "trash"] {
            let folder = root.join(name);
            let removed = match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
            removed.map_err(cannot("clear away what a killed service left", &folder))?;
        }
        for name in ["incoming", "jobs", "trash", "audit"] {
            let folder = root.join(name);
            whole_file::make_private_folder(&folder).map_err(cannot("make a folder", &folder))?;
        }
        Ok(store)
    }

    /// All jobs there are, in order of acceptance.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Data`] when one cannot be read: a job that was accepted is not left out in silence.
    pub(crate) fn jobs(&self) -> Result<Vec<Found>, ServiceError> {
        const READ: &str = "read a job";
        let folder = self.root.join("jobs");
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(cannot(READ, &folder))? {
            let entry = entry.map_err(cannot(READ, &folder))?;
            let Ok(id) = entry.file_name().to_string_lossy().parse::<JobId>() else { continue };
            let request = read(&entry.path().join(REQUEST)).map_err(cannot(READ, &entry.path()))?;
            let ended = if_there(read(&entry.path().join(ENDED))).map_err(cannot(READ, &entry.path()))?;
            let pushes = if_there(read(&entry.path().join(PUSHES))).map_err(cannot(READ, &entry.path()))?;
            found.push(Found { id, request, ended, pushes: pushes.unwrap_or_default() });
        }
        found.sort_by_key(|job| job.id);
        Ok(found)
    }

    /// A folder for an upload; it is erased unless it becomes a job.
    pub(crate) fn incoming(&self) -> io::Result<Incoming> {
        let id = JobId::new()?;
        let folder = self.root.join("incoming").join(id.to_string());
        whole_file::make_private_folder(&folder)?;
        whole_file::make_private_folder(&folder.join(UPLOAD))?;
        Ok(Incoming { id, folder, is_kept: false })
    }

    /// Makes a job of what came: all of it is on the disk before its name is.
    pub(crate) fn accept(&self, mut incoming: Incoming, request: &Request) -> io::Result<JobId> {
        write(&incoming.folder.join(REQUEST), request)?;
        sync_all(&incoming.folder)?;
        let jobs = self.root.join("jobs");
        fs::rename(&incoming.folder, jobs.join(incoming.id.to_string()))?;
        incoming.is_kept = true;
        whole_file::sync(&jobs)?;
        Ok(incoming.id)
    }

    pub(crate) fn folder(&self, id: JobId) -> PathBuf {
        self.root.join("jobs").join(id.to_string())
    }

    pub(crate) fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// Replaces what is known of a job.
    pub(crate) fn note(&self, id: JobId, request: &Request) -> io::Result<()> {
        write(&self.folder(id).join(REQUEST), request)
    }

    /// Notes which instances a series has, before they are erased.
    pub(crate) fn note_instances(&self, id: JobId, instances: &BTreeMap<String, String>) -> io::Result<()> {
        write(&self.folder(id).join(INSTANCES), instances)
    }

    /// The instances that were noted: of each what tells it from others, and from another of the same name.
    pub(crate) fn instances(&self, id: JobId) -> io::Result<BTreeMap<String, String>> {
        read(&self.folder(id).join(INSTANCES))
    }

    /// Notes how the pushes of a job stand.
    pub(crate) fn note_pushes(&self, id: JobId, pushes: &BTreeMap<String, Push>) -> io::Result<()> {
        write(&self.folder(id).join(PUSHES), pushes)
    }

    /// Notes how a job ended.
    pub(crate) fn end(&self, id: JobId, ended: &Ended) -> io::Result<()> {
        write(&self.folder(id).join(ENDED), ended)
    }

    /// Erases what was sent for a job; its results stay.
    pub(crate) fn erase_upload(&self, id: JobId) -> io::Result<()> {
        gone(fs::remove_dir_all(self.folder(id).join(UPLOAD)))
    }

    /// Erases a job. Its name is gone at once.
    pub(crate) fn erase(&self, id: JobId) -> io::Result<()> {
        let trash = self.root.join("trash").join(id.to_string());
        gone(fs::rename(self.folder(id), &trash))?;
        gone(fs::remove_dir_all(&trash))
    }

    /// Bytes that may still be written.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(&self.root)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }
}

const REQUEST: &str = "request.json";
const ENDED: &str = "ended.json";
const INSTANCES: &str = "instances.json";
const PUSHES: &str = "pushes.json";
const EVENTS: &str = "events.jsonl";
/// Name of the upload in the folder of a job.
pub(crate) const UPLOAD: &str = "upload";

fn cannot(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServiceError {
    let path = path.to_owned();
    move |reason| ServiceError::Data { doing, reason, path }
}

/// Takes what was not there as removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// `None` where there is no file.
fn if_there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

/// Writes a whole file that only its owner may read, or none.
fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    let staged = whole_file::stage_private(whole_file::folder_of(path), path, |out| out.write_all(&bytes))?;
    let ((), staged) = staged?;
    whole_file::put_in_place(vec![staged], Vec::new())
}

/// Brings files and folders to the disk.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { sync_all(&path)? } else { File::open(&path)?.sync_all()? }
    }
    whole_file::sync(folder)
}

/// An upload on its way.
#[derive(Debug)]
pub(crate) struct Incoming {
    id: JobId,
    folder: PathBuf,
    is_kept: bool,
}

impl Incoming {
    /// Path that the upload is written to.
    pub(crate) fn upload(&self) -> PathBuf {
        self.folder.join(UPLOAD)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_kept {
            // Otherwise the next start does.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The events of a job, one on each line.
#[derive(Debug)]
pub(crate) struct EventLog {
    file: File,
    /// Whole lines.
    lines: u64,
}

impl EventLog {
    /// Opens the log of a job; a line that a killed process left unfinished is cut off.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(EVENTS);
        let mut file = whole_file::private_options().create(true).read(true).append(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        file.set_len(whole as u64)?;
        let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
        Ok(Self { file, lines })
    }

    /// Adds an event; gives the number of lines there are.
    pub(crate) fn append(&mut self, event: &Event) -> io::Result<u64> {
        let mut line = serde_json::to_vec(event).map_err(io::Error::other)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.lines += 1;
        Ok(self.lines)
    }
}

/// Reads the events of a job as they come.
#[derive(Debug, Clone)]
pub(crate) struct EventReader {
    path: PathBuf,
    /// Lines that were read.
    pub(crate) lines: u64,
    /// Bytes that were read.
    at: u64,
}

impl EventReader {
    /// From behind the first `lines` lines on.
    pub(crate) fn open(folder: &Path, lines: u64) -> io::Result<Self> {
        let mut reader = Self { path: folder.join(EVENTS), lines: 0, at: 0 };
        while reader.lines < lines && reader.skip_one()? {}
        Ok(reader)
    }

    fn skip_one(&mut self) -> io::Result<bool> {
        Ok(!self.read(1)?.is_empty())
    }

    /// At most `most` whole lines that were not read yet, each with its number, from 1.
    pub(crate) fn read(&mut self, most: usize) -> io::Result<Vec<(u64, String)>> {
        const AT_ONCE: u64 = 1 << 20;
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        file.take(AT_ONCE).read_to_end(&mut bytes)?;
        let mut found = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n').take(most) {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            self.at += line.len() as u64;
            self.lines += 1;
            found.push((self.lines, String::from_utf8_lossy(text).into_owned()));
        }
        Ok(found)
    }
}

/// Reads how the slide of a job ended, as its dataset says; `None` without an account.
pub(crate) fn outcome_in(folder: &Path) -> Option<dataset::RunAccount> {
    let accounts = dataset::Dataset::at(out_of(folder)).read_accounts().ok()?;
    accounts.into_iter().next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobOptions, Lane, Measured, State};

    pub(crate) fn request() -> Request {
        Request {
            slide: "upload/slide".into(),
            is_upload: true,
            options: JobOptions::default(),
            measured: Measured { size_px: [10, 10], ..Measured::default() },
            lane: Lane::Small,
            by: None,
            once: None,
            accepted: "2026-11-26T00:00:00Z".into(),
            series: None,
        }
    }

    #[test]
    fn what_was_accepted_is_found_again_and_what_was_not_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(ServiceError::Taken { .. })));
        let [one, two] = [(); 2].map(|()| {
            let incoming = store.incoming().unwrap();
            fs::write(incoming.upload().join("slide"), "pixels").unwrap();
            store.accept(incoming, &request()).unwrap()
        });
        drop(store.incoming().unwrap());
        std::mem::forget(store.incoming().unwrap());
        let ended = Ended { state: State::Done, reason: None, at: String::new(), at_secs: 7 };
        store.end(one, &ended).unwrap();
        drop(store);

        let store = Store::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("incoming")).unwrap().count(), 0);
        let found = store.jobs().unwrap();
        assert_eq!(found.iter().map(|job| job.id).collect::<Vec<_>>(), [one, two]);
        assert_eq!((&found[0].ended, &found[1].ended), (&Some(ended), &None));
        store.erase_upload(two).unwrap();
        assert!(!store.folder(two).join(UPLOAD).exists());
        store.erase(two).unwrap();
        store.erase(two).unwrap();
        assert_eq!(store.jobs().unwrap().len(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn only_the_owner_may_read_what_was_sent() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data")).unwrap();
        let id = store.accept(store.incoming().unwrap(), &request()).unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(store.folder(id)), 0o700);
        assert_eq!(mode(store.folder(id).join(REQUEST)), 0o600);
    }

    #[test]
    fn events_go_on_where_they_were_and_half_a_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let event = |name: &str| Event::from_iter([("event".to_owned(), name.into())]);
        let mut log = EventLog::open(folder.path()).unwrap();
        assert_eq!(log.append(&event("one")).unwrap(), 1);
        assert_eq!(log.append(&event("two")).unwrap(), 2);
        log.file.write_all(b"{\"event\":\"thr").unwrap();
        let mut reader = EventReader::open(folder.path(), 1).unwrap();
        assert_eq!(reader.read(9).unwrap(), [(2, r#"{"event":"two"}"#.to_owned())]);
        assert_eq!(reader.read(9).unwrap(), []);
        let mut log = EventLog::open(folder.path()).unwrap();
        assert_eq!(log.append(&event("three")).unwrap(), 3);
        assert_eq!(reader.read(9).unwrap(), [(3, r#"{"event":"three"}"#.to_owned())]);
        assert_eq!(EventReader::open(folder.path(), 99).unwrap().lines, 3);
    }
}
