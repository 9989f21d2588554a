//! Series of DICOM instances that come one by one, in any number of requests (STOW-RS), gathered to a slide.
//!
//! A series is a job from its first instance on. While more may come it is `gathering`; when none came for a while it is
//! looked at, and waits for its turn as all others. Files are called by hashes: of the instance, and of its bytes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use sha2::{Digest as _, Sha256};

use crate::{
    id::JobId,
    job::{JobOptions, Lane, Measured, Request, Series},
    jobs::Jobs,
    runner::Runner,
    store::UPLOAD,
};

/// Instances of a series, and parts of a request.
pub(crate) const MOST_INSTANCES: usize = 10_000;

/// The folder of the instances, within the upload.
const SERIES: &str = "series";

/// OpenSlide looks for files of this suffix beside the one it opens.
const SUFFIX: &str = "dcm";

/// An instance that came, at its place before it is one of a series.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) path: PathBuf,
    pub(crate) instance_uid: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

impl Arrival {
    /// What tells it from other instances.
    fn name(&self) -> String {
        short(&Sha256::digest(&self.instance_uid).into())
    }

    fn content(&self) -> String {
        short(&self.sha256)
    }
}

/// Half of a hash: enough to tell files apart.
fn short(hash: &[u8; 32]) -> String {
    dataset::hex(&hash[..16])
}

/// Why an instance was not stored: failure reasons of the standard (PS3.18, I.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no room for it: in the queue, on the disk, or in its series.
    NoRoom,
    /// The series takes no more instances, or has another one of this UID.
    Late,
    /// It is of a kind that is not taken.
    Kind,
    /// It is no DICOM, or cannot be understood.
    Unreadable,
}

impl Failure {
    /// The code of the standard.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::NoRoom => 0xa700,
            Self::Late => 0x0110,
            Self::Kind => 0x0122,
            Self::Unreadable => 0xc000,
        }
    }
}

/// Who sent a series, and how it is to be analysed.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) by: Option<Arc<str>>,
    pub(crate) options: JobOptions,
}

impl Sender {
    /// The key of a series: two callers, or two models, may have the same.
    fn key(&self, series_uid: &str) -> String {
        let who = self.by.as_deref().unwrap_or_default();
        let options = serde_json::to_vec(&self.options).unwrap_or_default();
        dataset::hex(
            &Sha256::new_with_prefix(format!("{who}\n{series_uid}\n")).chain_update(options).finalize(),
        )
    }

    fn request(&self, key: String) -> Request {
        Request {
            slide: Path::new(UPLOAD).join(SERIES),
            is_upload: true,
            options: self.options.clone(),
            measured: Measured::default(),
            lane: Lane::Large,
            by: self.by.as_deref().map(str::to_owned),
            once: None,
            accepted: dataset::clock::timestamp(),
            series: Some(Series { key, is_open: true }),
        }
    }
}

/// Takes instances of one series; of each the job that has it now, on the disk, or why none has. `most` bytes may be in a
/// series.
pub(crate) fn gather(
    jobs: &Arc<Jobs>,
    sender: &Sender,
    series_uid: &str,
    arrivals: &[Arrival],
    most: u64,
) -> Vec<Result<JobId, Failure>> {
    // Waits for the disk, so before others have to wait for this.
    let synced = arrivals.iter().try_for_each(|arrival| fs::File::open(&arrival.path)?.sync_all());
    let taken = synced.and_then(|()| {
        let _one = jobs.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        let key = sender.key(series_uid);
        match jobs.series(&key) {
            Some((id, true)) => add(jobs, id, arrivals, most),
            Some((id, false)) => {
                let known = jobs.store.instances(id)?;
                Ok(arrivals
                    .iter()
                    .map(|arrival| known_as(&known, arrival).unwrap_or(false))
                    .map(of(id))
                    .collect())
            }
            None => begin(jobs, sender.request(key), arrivals, most),
        }
    });
    taken.unwrap_or_else(|_| vec![Err(Failure::NoRoom); arrivals.len()])
}

/// The folder of the instances of a job.
fn folder_of(jobs: &Jobs, id: JobId) -> PathBuf {
    jobs.store.folder(id).join(UPLOAD).join(SERIES)
}

fn of(id: JobId) -> impl Fn(bool) -> Result<JobId, Failure> {
    move |is_stored| if is_stored { Ok(id) } else { Err(Failure::Late) }
}

/// Whether the series has this instance, or another of its UID; `None`: neither.
fn known_as(known: &BTreeMap<String, String>, arrival: &Arrival) -> Option<bool> {
    known.get(&arrival.name()).map(|content| *content == arrival.content())
}

fn begin(
    jobs: &Arc<Jobs>,
    request: Request,
    arrivals: &[Arrival],
    most: u64,
) -> io::Result<Vec<Result<JobId, Failure>>> {
    let Ok(place) = jobs.reserve() else { return Ok(vec![Err(Failure::NoRoom); arrivals.len()]) };
    let incoming = jobs.store.incoming()?;
    let folder = incoming.upload().join(SERIES);
    whole_file::make_private_folder(&folder)?;
    let taken = move_in(&folder, arrivals, most)?;
    if !taken.contains(&Ok(())) {
        return Ok(taken.into_iter().map(|taken| taken.and(Err(Failure::NoRoom))).collect());
    }
    let id = jobs.accept(place, incoming, request)?;
    Ok(taken.into_iter().map(|taken| taken.map(|()| id)).collect())
}

fn add(jobs: &Jobs, id: JobId, arrivals: &[Arrival], most: u64) -> io::Result<Vec<Result<JobId, Failure>>> {
    let folder = folder_of(jobs, id);
    let taken = move_in(&folder, arrivals, most)?;
    whole_file::sync(&folder)?;
    jobs.touch(id);
    Ok(taken.into_iter().map(|taken| taken.map(|()| id)).collect())
}

/// Moves instances into the folder of their series. One that is there already is there once.
fn move_in(folder: &Path, arrivals: &[Arrival], most: u64) -> io::Result<Vec<Result<(), Failure>>> {
    let (mut known, mut bytes) = (instances_in(folder)?, bytes_in(folder)?);
    let mut taken = Vec::new();
    for arrival in arrivals {
        taken.push(match known_as(&known, arrival) {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::Late),
            None if known.len() >= MOST_INSTANCES || bytes + arrival.bytes > most => Err(Failure::NoRoom),
            None => {
                let (name, content) = (arrival.name(), arrival.content());
                fs::rename(&arrival.path, folder.join(format!("{name}-{content}.{SUFFIX}")))?;
                known.insert(name, content);
                bytes += arrival.bytes;
                Ok(())
            }
        });
    }
    Ok(taken)
}

/// The instances in the folder of a series, as their names tell.
fn instances_in(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        found.extend(name.split_once('-').map(|(name, content)| (name.to_owned(), content.to_owned())));
    }
    Ok(found)
}

fn bytes_in(folder: &Path) -> io::Result<u64> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// Makes a slide of a series that is whole: what it is decides its line, and one that is none fails.
pub(crate) fn finish(jobs: &Jobs, runner: &dyn Runner, id: JobId, sync_mpx: f64) {
    let Some(mut request) = closed(jobs, id) else { return };
    let slide = jobs.store.folder(id).join(&request.slide);
    let refusal = match runner.measure(&slide, &request.options) {
        Ok(measured) => {
            request.lane = Lane::of(&measured, sync_mpx);
            request.measured = measured;
            None
        }
        Err(reason) => Some(reason),
    };
    jobs.settle(id, request, refusal);
}

/// Ends the taking of instances, and notes those that came.
fn closed(jobs: &Jobs, id: JobId) -> Option<Request> {
    let _one = jobs.gathering.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder_of(jobs, id);
    // A disk that is full takes it later.
    instances_in(&folder).and_then(|known| jobs.store.note_instances(id, &known)).ok()?;
    jobs.close(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{job::State, store::Store};

    const MOST: u64 = 1000;

    struct Sent {
        folder: tempfile::TempDir,
        jobs: Arc<Jobs>,
    }

    impl Sent {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let jobs = open(folder.path());
            Self { folder, jobs }
        }

        fn arrival(&self, uid: &str, content: &[u8]) -> Arrival {
            let sha256: [u8; 32] = Sha256::digest(content).into();
            let path = self.folder.path().join(format!("came-{uid}"));
            fs::write(&path, content).unwrap();
            Arrival { path, instance_uid: uid.into(), bytes: content.len() as u64, sha256 }
        }

        fn take(&self, uids: &[(&str, &[u8])]) -> Vec<Result<JobId, Failure>> {
            let arrivals: Vec<_> = uids.iter().map(|(uid, content)| self.arrival(uid, content)).collect();
            gather(&self.jobs, &sender("lab"), "1.2.3", &arrivals, MOST)
        }
    }

    fn open(folder: &Path) -> Arc<Jobs> {
        Arc::new(Jobs::open(Store::open(&folder.join("data")).unwrap(), 2).unwrap())
    }

    fn sender(name: &str) -> Sender {
        Sender { by: Some(name.into()), options: JobOptions::default() }
    }

    #[test]
    fn instances_of_a_series_are_one_job_and_each_is_there_once() {
        let sent = Sent::new();
        let first = sent.take(&[("1.1", b"one"), ("1.2", b"two")]);
        let id = first[0].unwrap();
        assert_eq!(first, [Ok(id), Ok(id)]);
        // Sent again, another of the same UID, and one more.
        let more = sent.take(&[("1.1", b"one"), ("1.2", b"other"), ("1.3", b"three")]);
        assert_eq!(more, [Ok(id), Err(Failure::Late), Ok(id)]);
        let folder = sent.jobs.store.folder(id).join("upload/series");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        assert!(fs::read_dir(&folder).unwrap().all(|entry| {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            name.ends_with(".dcm") && !name.contains("1.1")
        }));
        assert_eq!(sent.jobs.view(id).unwrap().state, State::Gathering);
        // Another token has its own, and a full queue takes no further series.
        let arrival = [sent.arrival("1.1", b"one")];
        let other = gather(&sent.jobs, &sender("other"), "1.2.3", &arrival, MOST)[0].unwrap();
        assert_ne!(other, id);
        let arrival = [sent.arrival("1.1", b"one")];
        assert_eq!(gather(&sent.jobs, &sender("third"), "1.2.3", &arrival, MOST), [Err(Failure::NoRoom)]);
    }

    #[test]
    fn a_series_takes_no_more_than_it_may() {
        let sent = Sent::new();
        let large = vec![7; 600];
        let taken = sent.take(&[("1.1", &large), ("1.2", &large), ("1.3", b"small")]);
        assert!(taken[0].is_ok() && taken[1] == Err(Failure::NoRoom) && taken[2].is_ok());
        assert_eq!(sent.take(&[("1.2", &large)]), [Err(Failure::NoRoom)]);
        let none = Sent::new();
        assert_eq!(none.take(&[("1.1", &[7; 1001])]), [Err(Failure::NoRoom)]);
        assert_eq!(none.jobs.unfinished(), 0);
    }

    #[test]
    fn a_series_is_whole_when_nothing_comes_and_nobody_brings_more() {
        let sent = Sent::new();
        let id = sent.take(&[("1.1", b"one")])[0].unwrap();
        assert_eq!(sent.jobs.quiet(std::time::Duration::from_secs(600)), []);
        let bringing = sent.jobs.bringing(Some("lab".into()));
        let other = sent.jobs.bringing(Some("other".into()));
        let now = std::time::Duration::ZERO;
        assert_eq!(sent.jobs.quiet(now), []);
        drop(bringing);
        assert_eq!(sent.jobs.quiet(now), [id]);
        drop(other);
    }

    #[test]
    fn a_closed_series_knows_what_came_and_takes_no_more_also_after_a_kill() {
        let sent = Sent::new();
        let id = sent.take(&[("1.1", b"one")])[0].unwrap();
        let Sent { folder, jobs } = sent;
        drop(jobs);
        let sent = Sent { jobs: open(folder.path()), folder };
        assert_eq!(sent.jobs.view(id).unwrap().state, State::Gathering);
        let request = closed(&sent.jobs, id).unwrap();
        assert!(closed(&sent.jobs, id).is_none(), "once");
        assert_eq!(sent.take(&[("1.1", b"one"), ("1.2", b"two")]), [Ok(id), Err(Failure::Late)]);
        sent.jobs.settle(id, request, None);
        let view = sent.jobs.view(id).unwrap();
        assert_eq!((view.state, view.place), (State::Queued, Some(0)));
        let Sent { folder, jobs } = sent;
        drop(jobs);
        let sent = Sent { jobs: open(folder.path()), folder };
        assert_eq!(sent.jobs.view(id).unwrap().state, State::Queued);
        assert_eq!(sent.take(&[("1.1", b"one"), ("1.2", b"two")]), [Ok(id), Err(Failure::Late)]);
        sent.jobs.cancel(id);
        assert_ne!(sent.take(&[("1.2", b"two")])[0], Ok(id), "after its end it may be sent anew");
    }

    #[test]
    fn a_series_that_is_no_slide_fails_with_the_reason() {
        let sent = Sent::new();
        let id = sent.take(&[("1.1", b"one")])[0].unwrap();
        let request = closed(&sent.jobs, id).unwrap();
        sent.jobs.settle(id, request, Some("the slide cannot be opened".into()));
        let view = sent.jobs.view(id).unwrap();
        assert_eq!((view.state, view.reason.as_deref()), (State::Failed, Some("the slide cannot be opened")));
        assert!(!sent.jobs.store.folder(id).join("upload").exists());
        assert_eq!(sent.take(&[("1.1", b"one")]), [Ok(id)], "it is known, and not run again");
    }
}
