//! The window ledger of one slide: what is done, so that a killed run goes on
//! from its last window.
//!
//! `head.json` says for which slide, model and settings it holds; `windows.bin`
//! grows by one record per window:
//!
//! ```text
//! length of payload  u32 little-endian
//! CRC-32 of payload  u32 little-endian
//! payload            the window's raw detections or failure (merger::raw)
//! ```
//!
//! A record that is cut short or does not match its checksum ends the ledger:
//! it and all after it are dropped, and those windows are done again.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dataset::{Seal, SlideId};
use detector::MergeTerms;
use serde::{Deserialize, Serialize};

use crate::{
    error::JobError,
    gone::gone,
    made_with::{Differences, MadeWith},
    options::RunOptions,
    slides::SlideEntry,
};

/// Longest time between two syncs: the work that a power cut may cost.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// Larger than any window's detections: a length beyond it is garbage.
const MAX_RECORD: u32 = 1 << 30;
const FORMAT: u32 = 4;
const HEAD: &str = "head.json";
const WINDOWS: &str = "windows.bin";

/// Head of a ledger: slide, models and settings of its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerHead {
    /// SHA-256 over slide, model and every setting that can change what a window
    /// gives.
    pub fingerprint: String,
    /// Windows in the plan.
    pub windows: usize,
    /// Detections below this score were not kept.
    pub score_floor: f32,
    /// Layout of the records.
    format: u32,
    /// The settings in `fingerprint`, to say which one differs.
    #[serde(default)]
    pub settings: MadeWith,
    /// Facts needed to merge again without the model.
    pub origin: Origin,
}

/// Origin of raw detections. Private: holds the path of the slide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The slide as the user gave it.
    pub slide: SlideEntry,
    /// Its id in the dataset.
    pub id: SlideId,
    /// The options of the run, from flags and file.
    pub options: RunOptions,
    /// Promises of each detector's model.
    pub models: Vec<MergeTerms>,
}

impl LedgerHead {
    /// A head for plans of `windows` windows together, whose results depend on `settings`.
    #[must_use]
    pub fn new(settings: MadeWith, windows: usize, score_floor: f32, origin: Origin) -> Self {
        Self { fingerprint: settings.fingerprint(), windows, score_floor, format: FORMAT, settings, origin }
    }

    /// Reads the head of the ledger in `folder`.
    ///
    /// # Errors
    ///
    /// [`HeadError`] when there is none that can be used.
    pub fn read(folder: &Path) -> Result<Self, HeadError> {
        match found_head(&folder.join(HEAD)).map_err(HeadError::Unreadable)? {
            Found::Head(head) => Ok(*head),
            Found::Other => Err(HeadError::OtherVersion),
            Found::Damaged => Err(HeadError::Damaged),
            Found::Nothing => Err(HeadError::None),
        }
    }

    /// Path of the records of the ledger in `folder`.
    pub(crate) fn windows_file(folder: &Path) -> PathBuf {
        folder.join(WINDOWS)
    }

    /// `true` if records under `found` are those that this head would have. The path of the slide and the
    /// rules for merging do not matter.
    fn holds_for(&self, found: &Self) -> bool {
        let of = |head: &Self| (head.windows, head.score_floor, head.format);
        self.fingerprint == found.fingerprint && of(self) == of(found)
    }

    /// Differences of `found` from this head.
    fn changes_from(&self, found: &Self) -> Differences {
        let mut changes = self.settings.all_differences(&found.settings);
        if found.score_floor != self.score_floor {
            changes.add("raw-floor", found.score_floor, self.score_floor);
        }
        if changes.is_empty() && found.windows != self.windows {
            changes.add("windows in the plan", found.windows, self.windows);
        }
        changes
    }
}

/// Why there is no head of a ledger.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// There is no ledger.
    #[error("no raw detections were kept")]
    None,
    /// Another version of slidemill wrote it.
    #[error("its raw detections were kept by another version of slidemill")]
    OtherVersion,
    /// It is not what was written.
    #[error("the head of its raw detections is damaged")]
    Damaged,
    /// The system does not let us.
    #[error("the head of its raw detections cannot be read: {0}")]
    Unreadable(io::Error),
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is for other settings, another model or another file.
    #[error(
        "an unfinished run with other settings or another model is here{}; --redo starts this slide again", .0.in_brackets()
    )]
    OtherRun(Differences),
    /// It cannot be read or written.
    #[error("cannot {doing} the window ledger: {source}")]
    Io {
        /// Such as `append to`.
        doing: &'static str,
        /// Error of the system.
        source: io::Error,
    },
}

impl From<LedgerError> for JobError {
    fn from(error: LedgerError) -> Self {
        Self::output(error)
    }
}

pub(super) fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> LedgerError {
    move |source| LedgerError::Io { doing, source }
}

/// An open ledger, to be appended to.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    file: File,
    /// Offset of the next record; everything before it is whole.
    end: u64,
    synced: Instant,
    /// `true` if the head would outlast a power cut.
    head_synced: bool,
}

impl Ledger {
    /// Opens the ledger in `folder`, or starts one; hands each whole record to
    /// `replay`, which says whether it could be read.
    ///
    /// # Errors
    ///
    /// [`LedgerError::OtherRun`] when a ledger for something else is there;
    /// [`LedgerError::Io`] when it cannot be read or written.
    pub fn open(
        folder: &Path,
        head: &LedgerHead,
        mut replay: impl FnMut(&[u8]) -> bool,
    ) -> Result<Self, LedgerError> {
        match found_head(&folder.join(HEAD)).map_err(io_error("read"))? {
            Found::Head(found) if head.holds_for(&found) => {}
            Found::Head(found) => return Err(LedgerError::OtherRun(head.changes_from(&found))),
            Found::Other => return Err(LedgerError::OtherRun(Differences::default())),
            // Without its head nobody knows what the records are of: the windows are done again.
            Found::Damaged | Found::Nothing => start(folder, head).map_err(io_error("start"))?,
        }
        let mut file = whole_file::private_options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(WINDOWS))
            .map_err(io_error("open"))?;
        let end = read_records(&mut file, &mut replay).map_err(io_error("read"))?;
        file.set_len(end).map_err(io_error("mend"))?;
        file.seek(SeekFrom::Start(end)).map_err(io_error("read"))?;
        Ok(Self { folder: folder.to_owned(), file, end, synced: Instant::now(), head_synced: false })
    }

    /// Appends one record. When it cannot be written whole, what was written of
    /// it is taken back.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`], for one when the disk is full.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), LedgerError> {
        let length = u32::try_from(payload.len()).ok().filter(|&length| length <= MAX_RECORD);
        let length = length.ok_or_else(|| {
            io_error("append to")(io::Error::other("one window has over 1 GiB of detections"))
        })?;
        let mut record = Vec::with_capacity(payload.len() + 8);
        record.extend(length.to_le_bytes());
        record.extend(crc32fast::hash(payload).to_le_bytes());
        record.extend(payload);
        if let Err(error) = self.file.write_all(&record) {
            let _ = self.file.set_len(self.end);
            let _ = self.file.seek(SeekFrom::Start(self.end));
            return Err(io_error("append to")(error));
        }
        self.end += record.len() as u64;
        if self.synced.elapsed() >= SYNC_INTERVAL {
            self.sync()?;
        }
        Ok(())
    }

    /// Hands each record to `replay` once more.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`] when they cannot be read.
    pub fn replay(&mut self, mut replay: impl FnMut(&[u8])) -> Result<(), LedgerError> {
        let mut each = |record: &[u8]| {
            replay(record);
            true
        };
        read_records(&mut self.file, &mut each).map_err(io_error("read"))?;
        self.file.seek(SeekFrom::Start(self.end)).map_err(io_error("read"))?;
        Ok(())
    }

    /// Makes all records outlast a power cut.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`] when the disk says no.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        self.synced = Instant::now();
        if !self.head_synced {
            // Not when it is written: most small slides end before a power cut could cost anything.
            whole_file::sync(&self.folder.join(HEAD)).map_err(io_error("sync"))?;
            self.head_synced = true;
        }
        self.file.sync_data().map_err(io_error("sync"))
    }

    /// Bytes of whole records.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Moves the ledger to the folder `spent`: its slide is being committed. From
    /// there [`take_back`] has it if that never ends.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`] when it cannot be moved.
    pub fn set_aside(self, spent: &Path) -> Result<(), LedgerError> {
        drop(self.file);
        let folder = spent.parent().unwrap_or(spent);
        fs::create_dir_all(folder)
            .and_then(|()| discard(spent))
            .and_then(|()| fs::rename(&self.folder, spent))
            .map_err(io_error("set aside"))
    }

    /// Removes the ledger: nothing in it is of use.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`] when the folder cannot be removed.
    pub fn remove(self) -> Result<(), LedgerError> {
        drop(self.file);
        fs::remove_dir_all(&self.folder).map_err(io_error("remove"))
    }
}

/// Moves a ledger that was set aside in `spent` back to `folder`, where there is none: the commit was cut off.
///
/// # Errors
///
/// When there is one and it cannot be moved.
pub fn take_back(spent: &Path, folder: &Path) -> io::Result<()> {
    if folder.exists() || !spent.exists() {
        return discard(spent);
    }
    fs::create_dir_all(folder.parent().unwrap_or(folder)).and_then(|()| fs::rename(spent, folder))
}

/// Content found in place of a head.
enum Found {
    Head(Box<LedgerHead>),
    /// Of another version.
    Other,
    /// Not what was written: a power cut may leave it so.
    Damaged,
    /// No file.
    Nothing,
}

fn found_head(path: &Path) -> io::Result<Found> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        other => other?,
    };
    let is_json = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
    let head = serde_json::from_slice::<LedgerHead>(&bytes).ok().filter(|head| head.format == FORMAT);
    Ok(match (Seal::of(&bytes), head) {
        (Seal::Whole, Some(head)) => Found::Head(Box::new(head)),
        // Heads of before had no seal.
        (Seal::Whole, None) => Found::Other,
        (Seal::Missing, None) if is_json => Found::Other,
        (Seal::Broken | Seal::Missing, _) => Found::Damaged,
    })
}

fn start(folder: &Path, head: &LedgerHead) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Records of a head that never got written belong to nobody.
    let _ = fs::remove_file(folder.join(WINDOWS));
    let text = dataset::sealed(head)?;
    let ((), staged) = whole_file::stage_private(folder, &folder.join(HEAD), |out| out.write_all(&text))??;
    staged.put_in_place_for_now()
}

/// Removes whatever ledger is in `folder`.
///
/// # Errors
///
/// When there is one and it cannot be removed.
pub fn discard(folder: &Path) -> io::Result<()> {
    gone(fs::remove_dir_all(folder))
}

/// Hands each whole record of a ledger to `each`, which says whether it could be read, and changes nothing: a job may
/// be writing there.
///
/// # Errors
///
/// When the file cannot be read.
pub(crate) fn for_each_whole_record(mut file: File, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    read_records(&mut file, &mut each).map(|_| ())
}

/// Hands each whole record of the ledger in `folder` to `take`, which returns whether it could be read, and changes nothing
/// there. One without a head has no records.
///
/// # Errors
///
/// [`LedgerError::OtherRun`] when it is not under `head`; [`LedgerError::Io`] when it cannot be read; an error of `take`.
pub(super) fn for_each_record(
    folder: &Path,
    head: &LedgerHead,
    mut take: impl FnMut(&[u8]) -> Result<bool, LedgerError>,
) -> Result<(), LedgerError> {
    match found_head(&folder.join(HEAD)).map_err(io_error("read"))? {
        Found::Head(found) if head.holds_for(&found) => {}
        Found::Head(found) => return Err(LedgerError::OtherRun(head.changes_from(&found))),
        Found::Other => return Err(LedgerError::OtherRun(Differences::default())),
        Found::Damaged | Found::Nothing => return Ok(()),
    }
    let file = match File::open(folder.join(WINDOWS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(io_error("read"))?,
    };
    let mut failed = None;
    let read = for_each_whole_record(file, |record| match take(record) {
        Ok(is_read) => is_read,
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    failed.map_or_else(|| read.map_err(io_error("read")), Err)
}

/// Reads records from the start; gives the end of the last good one.
fn read_records(file: &mut File, replay: &mut impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let (mut end, mut payload) = (0, Vec::new());
    while let Some(length) = read_record(&mut reader, &mut payload)? {
        if !replay(&payload) {
            break;
        }
        end += length;
    }
    Ok(end)
}

/// One record into `payload`; its length with framing, or `None` where the good
/// ones end.
fn read_record(reader: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let Some(length) = read_u32(reader)?.filter(|&length| length <= MAX_RECORD) else { return Ok(None) };
    let Some(checksum) = read_u32(reader)? else { return Ok(None) };
    payload.clear();
    // `take` reads what is there; a garbage length allocates nothing.
    reader.by_ref().take(u64::from(length)).read_to_end(payload)?;
    let whole = payload.len() == length as usize && crc32fast::hash(payload) == checksum;
    Ok(whole.then_some(u64::from(length) + 8))
}

fn read_u32(reader: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_with(settings: MadeWith) -> LedgerHead {
        let manifest = detector::Manifest::without_model("m", &["tumour"], None);
        let origin = Origin {
            slide: SlideEntry::at("x.svs"),
            id: SlideId::from_content(&[7; 32]),
            options: RunOptions::default(),
            models: vec![manifest.merge_terms()],
        };
        LedgerHead::new(settings, 3, 0.25, origin)
    }

    fn head() -> LedgerHead {
        head_with(settings("512"))
    }

    fn settings(window: &str) -> MadeWith {
        MadeWith::new([("window", window.to_owned()), ("stains", "false".to_owned())])
    }

    fn records(folder: &Path) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        Ledger::open(folder, &head(), |record| {
            found.push(record.to_vec());
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn records_come_back_after_any_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), &head(), |_| true).unwrap();
        for record in [&b"one"[..], b"", b"three"] {
            ledger.append(record).unwrap();
        }
        drop(ledger);
        let path = folder.path().join("windows.bin");
        let whole = fs::read(&path).unwrap();
        // The ends of the three records: 11, 19, 32.
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let expected = [11, 19, 32].iter().filter(|&&end| end <= cut).count();
            assert_eq!(records(folder.path()).len(), expected, "cut at {cut}");
            assert_eq!(fs::metadata(&path).unwrap().len(), [0, 11, 19, 32][expected]);
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_ledger_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), &head(), |_| true).unwrap();
        ledger.append(b"first").unwrap();
        ledger.append(b"second").unwrap();
        drop(ledger);
        let path = folder.path().join("windows.bin");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(records(folder.path()), [b"first"]);
    }

    /// A head is not waited for when it is written.
    #[test]
    fn a_head_that_a_power_cut_left_empty_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), &head(), |_| true).unwrap();
        ledger.append(b"first").unwrap();
        ledger.sync().unwrap();
        drop(ledger);
        let whole = fs::read(folder.path().join(HEAD)).unwrap();
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(folder.path().join(HEAD), &whole[..cut]).unwrap();
            assert!(records(folder.path()).is_empty(), "cut at {cut}");
            assert_eq!(fs::read(folder.path().join(HEAD)).unwrap(), whole);
        }
        fs::write(folder.path().join(HEAD), "{\"format\":0}").unwrap();
        assert!(matches!(Ledger::open(folder.path(), &head(), |_| true), Err(LedgerError::OtherRun(_))));
    }

    #[test]
    fn a_changed_head_is_damaged_whichever_byte_it_is() {
        let folder = tempfile::tempdir().unwrap();
        drop(Ledger::open(folder.path(), &head(), |_| true).unwrap());
        assert_eq!(LedgerHead::read(folder.path()).unwrap(), head());
        let whole = fs::read(folder.path().join(HEAD)).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(folder.path().join(HEAD), flipped).unwrap();
            assert!(LedgerHead::read(folder.path()).is_err(), "byte {place}");
        }
        assert!(matches!(LedgerHead::read(&folder.path().join("none")), Err(HeadError::None)));
    }

    #[test]
    fn a_ledger_set_aside_comes_back_when_the_commit_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (at, spent) = (folder.path().join("ledger/x"), folder.path().join("spent/x"));
        let mut ledger = Ledger::open(&at, &head(), |_| true).unwrap();
        ledger.append(b"first").unwrap();
        ledger.set_aside(&spent).unwrap();
        assert!(!at.exists());
        take_back(&spent, &at).unwrap();
        assert_eq!(records(&at), [b"first"]);
        take_back(&spent, &at).unwrap();
        assert!(!spent.exists() && at.exists());
    }

    #[test]
    fn a_run_with_other_settings_says_which() {
        let folder = tempfile::tempdir().unwrap();
        drop(Ledger::open(folder.path(), &head(), |_| true).unwrap());
        let other = head_with(settings("1024"));
        let refused = Ledger::open(folder.path(), &other, |_| true).unwrap_err().to_string();
        let expected = "an unfinished run with other settings or another model is here (window was 512, now 1024); \
            --redo starts this slide again";
        assert_eq!(refused, expected);
    }

    /// As they were before settings were noted in them.
    #[test]
    fn a_ledger_that_names_no_settings_is_refused_without_them() {
        let folder = tempfile::tempdir().unwrap();
        drop(Ledger::open(folder.path(), &head_with(MadeWith::default()), |_| true).unwrap());
        let old = Ledger::open(folder.path(), &head(), |_| true).unwrap_err().to_string();
        assert!(old.contains("is here; --redo"), "{old}");
    }

    #[test]
    fn another_run_is_refused_until_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("x");
        drop(Ledger::open(&inner, &head(), |_| true).unwrap());
        let other = head_with(settings("1024"));
        assert!(matches!(Ledger::open(&inner, &other, |_| true), Err(LedgerError::OtherRun(_))));
        discard(&inner).unwrap();
        discard(&inner).unwrap();
        Ledger::open(&inner, &other, |_| true).unwrap().remove().unwrap();
        assert!(!inner.exists());
    }

    #[test]
    fn records_are_handed_over_once_more_and_the_next_goes_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), &head(), |_| true).unwrap();
        ledger.append(b"first").unwrap();
        let mut again = Vec::new();
        ledger.replay(|record| again.push(record.to_vec())).unwrap();
        assert_eq!(again, [b"first"]);
        ledger.append(b"second").unwrap();
        // Each record and its 8 bytes of length and checksum.
        assert_eq!(ledger.bytes(), 5 + 6 + 2 * 8);
        let mut read = Vec::new();
        let file = File::open(LedgerHead::windows_file(folder.path())).unwrap();
        for_each_whole_record(file, |record| {
            read.push(record.to_vec());
            true
        })
        .unwrap();
        assert_eq!(read, [&b"first"[..], b"second"]);
    }

    /// Whichever record the caller cannot read, it and those behind it are done again.
    #[test]
    fn a_record_that_cannot_be_read_ends_the_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), &head(), |_| true).unwrap();
        for record in [&b"first"[..], b"second", b"third"] {
            ledger.append(record).unwrap();
        }
        drop(ledger);
        let ledger = Ledger::open(folder.path(), &head(), |record| record != b"second").unwrap();
        assert_eq!(ledger.bytes(), 5 + 8);
        assert_eq!(records(folder.path()), [b"first"]);
    }

    #[test]
    fn an_append_syncs_when_the_last_sync_is_long_ago_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), &head(), |_| true).unwrap();
        // Nothing has elapsed since a time to come.
        let to_come = Instant::now() + Duration::from_secs(3600);
        ledger.synced = to_come;
        ledger.append(b"first").unwrap();
        assert!(!ledger.head_synced && ledger.synced == to_come);
        ledger.synced = Instant::now().checked_sub(SYNC_INTERVAL).unwrap();
        ledger.append(b"second").unwrap();
        assert!(ledger.head_synced);
    }

    #[test]
    fn what_was_set_aside_goes_where_its_ledger_was_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let (at, spent) = (folder.path().join("ledger/x"), folder.path().join("spent/x"));
        take_back(&spent, &at).unwrap();
        assert!(!at.exists() && !spent.exists());
        let mut old = Ledger::open(&at, &head(), |_| true).unwrap();
        old.append(b"old").unwrap();
        old.set_aside(&spent).unwrap();
        let mut new = Ledger::open(&at, &head(), |_| true).unwrap();
        new.append(b"new").unwrap();
        drop(new);
        take_back(&spent, &at).unwrap();
        assert!(!spent.exists());
        assert_eq!(records(&at), [b"new"]);
    }

    /// Only that there is nothing may mean that there is nothing.
    #[test]
    fn errors_of_the_system_are_not_taken_for_an_absent_ledger() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(HEAD)).unwrap();
        assert!(matches!(LedgerHead::read(folder.path()), Err(HeadError::Unreadable(_))));
        let refused = Ledger::open(folder.path(), &head(), |_| true);
        assert!(matches!(refused, Err(LedgerError::Io { doing: "read", .. })));
        let file = folder.path().join("a file");
        fs::write(&file, "").unwrap();
        assert!(discard(&file).is_err() && file.exists());
        assert_eq!(read_record(&mut Failing, &mut Vec::new()).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    /// A device that does not answer.
    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    #[test]
    fn another_floor_and_another_plan_are_named_as_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        drop(Ledger::open(folder.path(), &head(), |_| true).unwrap());
        for (other, says) in [
            (LedgerHead { score_floor: 0.5, ..head() }, "(raw-floor was 0.25, now 0.5)"),
            (LedgerHead { windows: 4, ..head() }, "(windows in the plan was 3, now 4)"),
        ] {
            let refused = Ledger::open(folder.path(), &other, |_| true).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
        // The place of the slide is no part of what a record depends on.
        let mut moved = head();
        moved.origin.slide = SlideEntry::at("elsewhere/x.svs");
        Ledger::open(folder.path(), &moved, |_| true).unwrap();
    }
}
