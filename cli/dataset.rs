//! Where things lie under `OUT`, and how they get there whole or not at all.
//!
//! ```text
//! OUT/cells/slide=<id>/part-0.parquet     one row per cell
//! OUT/regions/slide=<id>/part-0.parquet   one row per region (tissue, areas, dense places)
//! OUT/runs/<id>.json                      the run account; its presence is the commit
//! OUT/overviews/<id>.jpg, -coverage.png   the slide and its coverage, small
//! OUT/report.html, summary.csv, .parquet  over all accounts there are
//! OUT/.slidemill/                         ledgers, locks, status: ours, private
//! ```
//!
//! All but `.slidemill` may be shared: it holds no path and no file name. `.slidemill/slides.csv` says which id is which file.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use whole_file::Staged;

use crate::exit::Failure;

/// Names one slide in all outputs. Made from the file's content, so it is the
/// same on every machine and says nothing of a patient; or given by the user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlideId(String);

impl SlideId {
    const MAX_LEN: usize = 100;

    /// Checks an id given by a user: letters of ASCII, digits, `-`, `_`, `.`, a letter first. Readers of
    /// partitioned datasets guess a type from `slide=<id>`: what looks like a number, a truth value or nothing to
    /// them would come back as another id (`001` as 1, `inf` as infinity), so it is no id.
    ///
    /// # Errors
    ///
    /// A sentence saying what is wrong.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        const READ_AS_VALUES: [&str; 6] = ["inf", "infinity", "nan", "null", "true", "false"];
        let text = text.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.chars().all(allowed) {
            return Err(format!(
                "slide id {text:?} cannot be a folder name: expected 1 to {} of A-Z a-z 0-9 - _ .",
                Self::MAX_LEN
            ));
        }
        let a_value = READ_AS_VALUES.iter().any(|value| text.eq_ignore_ascii_case(value));
        if a_value || !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(format!(
                "slide id {text:?} would be read as a number or another value: expected a letter first, such as \"s{text}\""
            ));
        }
        Ok(Self(text))
    }

    /// An `s` and the first 16 hexadecimal digits of a content fingerprint.
    #[must_use]
    pub fn from_content(fingerprint: &[u8; 32]) -> Self {
        Self(format!("s{}", hex(&fingerprint[..8])))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SlideId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(text)
    }
}

impl From<SlideId> for String {
    fn from(id: SlideId) -> Self {
        id.0
    }
}

impl fmt::Display for SlideId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Size of a file, and its SHA-256 as hexadecimal digits.
///
/// # Errors
///
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hex(&digest.finalize())));
        }
        digest.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// The folder a run writes to.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
}

impl Dataset {
    /// A dataset at `root`, which need not exist yet.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cell table of one slide.
    #[must_use]
    pub fn cells(&self, id: &SlideId) -> PathBuf {
        self.part("cells", id)
    }

    /// The region table of one slide.
    #[must_use]
    pub fn regions(&self, id: &SlideId) -> PathBuf {
        self.part("regions", id)
    }

    /// The run account of one slide.
    #[must_use]
    pub fn account(&self, id: &SlideId) -> PathBuf {
        self.root.join("runs").join(format!("{id}.json"))
    }

    /// A small picture of one slide.
    #[must_use]
    pub fn overview(&self, id: &SlideId) -> PathBuf {
        self.root.join("overviews").join(format!("{id}.jpg"))
    }

    /// What of one slide was analysed, as a picture to lie over the other.
    #[must_use]
    pub fn coverage(&self, id: &SlideId) -> PathBuf {
        self.root.join("overviews").join(format!("{id}-coverage.png"))
    }

    /// The report on all slides.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// All run accounts there are, in order of id.
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed; none is an empty list.
    pub fn accounts(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.root.join("runs")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        Ok(paths)
    }

    /// Our own, private corner.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.root.join(".slidemill")
    }

    /// The window ledger of one slide.
    #[must_use]
    pub fn ledger(&self, id: &SlideId) -> PathBuf {
        self.private().join("ledger").join(id.as_str())
    }

    /// Where this job writes what is not of a slide, until it gets its name; gone
    /// when the job is.
    #[must_use]
    pub fn writing(&self) -> PathBuf {
        self.private().join(format!("writing-{}", crate::isolate::job_name()))
    }

    /// Writes `bytes` as the whole of `path`, and makes its folder where there is
    /// none.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or the file not be written; the old one stays.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.staged_by(path, bytes, |staged| whole_file::put_in_place(vec![staged], Vec::new()))
    }

    /// The same, but that a power cut may leave a file that makes no sense: for what
    /// is only of use while the job runs.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_for_now(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.staged_by(path, bytes, Staged::put_in_place_for_now)
    }

    fn staged_by(
        &self,
        path: &Path,
        bytes: &[u8],
        put: impl FnOnce(Staged) -> io::Result<()>,
    ) -> io::Result<()> {
        let folder = self.writing();
        fs::create_dir_all(&folder)?;
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        let ((), staged) = whole_file::stage(&folder, path, |out| out.write_all(bytes))??;
        put(staged)?;
        // Another thread of this job may be writing there.
        let _ = fs::remove_dir(&folder);
        Ok(())
    }

    /// Where the results of one slide lie until they all get their names.
    #[must_use]
    pub fn staged(&self, id: &SlideId) -> PathBuf {
        self.private().join("staged").join(id.as_str())
    }

    /// The window ledger of one slide that is being committed.
    #[must_use]
    pub fn spent(&self, id: &SlideId) -> PathBuf {
        self.private().join("spent").join(id.as_str())
    }

    /// Writes `bytes` as what will be the file `path` of one slide, where its
    /// results are [staged](Self::staged).
    ///
    /// # Errors
    ///
    /// An output failure.
    pub fn stage(&self, id: &SlideId, path: &Path, bytes: &[u8]) -> anyhow::Result<Staged> {
        let folder = self.staged(id);
        let written = fs::create_dir_all(&folder)
            .and_then(|()| whole_file::stage(&folder, path, |out| out.write_all(bytes))?);
        written
            .map(|((), staged)| staged)
            .map_err(|error| Failure::output(format!("cannot write a result: {error}: {}", path.display())))
    }

    /// Which id is which file: private.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.private().join("slides.csv")
    }

    /// What the job consists of: private.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.private().join("plan.json")
    }

    /// How the runs stand that write here, a file for each.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.private().join("status")
    }

    fn part(&self, table: &str, id: &SlideId) -> PathBuf {
        self.root.join(table).join(format!("slide={id}")).join("part-0.parquet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_folder_names() {
        assert!(SlideId::new("case-7_A.2").is_ok());
        for bad in ["", "../x", "a/b", ".hidden", "name with space", "a=b", &"x".repeat(101)] {
            assert!(SlideId::new(bad).is_err(), "{bad:?}");
        }
    }

    /// `slide=1234567890123456` was read back as a number, `slide=12345e6789012345` as infinity.
    #[test]
    fn ids_are_never_read_as_numbers() {
        for bad in ["001", "12345e6789012345", "-5", "_1", "2026-11-22", "inf", "NaN", "true"] {
            assert!(SlideId::new(bad).is_err(), "{bad:?}");
        }
        let id = SlideId::from_content(&[0x12; 32]);
        assert_eq!(id.as_str(), "s1212121212121212");
        assert!(SlideId::new(id.as_str()).is_ok());
    }
}
