//! Where things lie under `OUT`, and how they get there whole or not at all.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use whole_file::Staged;

use crate::{account::RunAccount, error::DatasetError, host::host_name, id::SlideId};

/// The folder a run writes to.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
    writer: String,
}

impl Dataset {
    /// A dataset at `root`, which need not exist yet, as this process writes it.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), writer: format!("{}-{}", host_name(), std::process::id()) }
    }

    /// The same, as a job of this name writes it. Jobs that write to one place at
    /// the same time need names of their own.
    #[must_use]
    pub fn written_by(self, writer: impl Into<String>) -> Self {
        Self { writer: writer.into(), ..self }
    }

    /// The name under which this process writes, [`written_by`](Self::written_by) or
    /// host and process id.
    #[must_use]
    pub fn writer(&self) -> &str {
        &self.writer
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

    /// Paths of all run accounts there are, in order of id.
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

    /// All run accounts there are, in order of id.
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed, or one of them cannot be read.
    pub fn read_accounts(&self) -> Result<Vec<RunAccount>, DatasetError> {
        let paths = self.accounts().map_err(|reason| DatasetError::List {
            what: "run accounts",
            reason,
            path: self.root.clone(),
        })?;
        let read = |path: &PathBuf| {
            RunAccount::read(path).map_err(|reason| DatasetError::Account { reason, path: path.clone() })
        };
        paths.iter().map(read).collect()
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
        self.private().join(format!("writing-{}", self.writer))
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
    /// When it cannot be written.
    pub fn stage(&self, id: &SlideId, path: &Path, bytes: &[u8]) -> Result<Staged, DatasetError> {
        let folder = self.staged(id);
        let written = fs::create_dir_all(&folder)
            .and_then(|()| whole_file::stage(&folder, path, |out| out.write_all(bytes))?);
        written.map(|((), staged)| staged).map_err(|reason| DatasetError::Write {
            what: "a result".into(),
            reason,
            path: path.to_owned(),
        })
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

    /// What the job that this dataset is written by says; private, for it names slides and the machine.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.private().join("log").join(format!("{}.log", self.writer))
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
