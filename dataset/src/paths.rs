//! Places under `OUT`, and writing to them whole or not at all.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use whole_file::Staged;

use crate::{account::RunAccount, error::DatasetError, host::host_name, id::SlideId};

/// Names in the root of a dataset that are reserved for it.
const OWN: [&str; 12] = [
    "cells",
    "regions",
    "patches",
    "runs",
    "overviews",
    ".slidemill",
    "report.html",
    "report",
    "summary.csv",
    "summary.parquet",
    "measures.csv",
    "measures.parquet",
];

/// The folder a run writes to.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
    writer: String,
}

impl Dataset {
    /// A dataset at `root`, which need not exist yet, for writing by this process.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), writer: format!("{}-{}", host_name(), std::process::id()) }
    }

    /// The same dataset, for writing by a job of this name. Jobs that write to one place at the same time
    /// need names of their own.
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

    /// The patch table of one slide, of a model that gives vectors.
    #[must_use]
    pub fn patches(&self, id: &SlideId) -> PathBuf {
        self.part("patches", id)
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

    /// The coverage picture of one slide: the analysed part, to lie over the overview.
    #[must_use]
    pub fn coverage(&self, id: &SlideId) -> PathBuf {
        self.root.join("overviews").join(format!("{id}-coverage.png"))
    }

    /// The report on all slides.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// Definition of the measures made of its cells, where some are.
    #[must_use]
    pub fn measures(&self) -> PathBuf {
        self.root.join("measures.toml")
    }

    /// `true` if a file lies where only this dataset's own files belong, links resolved: a job must not read
    /// such a file, since it would be overwritten.
    #[must_use]
    pub fn owns(&self, path: &Path) -> bool {
        let (Ok(root), Ok(path)) = (fs::canonicalize(&self.root), fs::canonicalize(path)) else {
            return false;
        };
        let Some(first) = path.strip_prefix(&root).ok().and_then(|inner| inner.iter().next()) else {
            return false;
        };
        OWN.iter().any(|name| first == *name)
    }

    /// Paths of all run accounts that exist, in order of id.
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

    /// All run accounts that exist, in order of id.
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

    /// `true` if a slide has an account that can be read, and tables.
    #[must_use]
    pub fn has_results(&self, id: &SlideId) -> bool {
        RunAccount::read(&self.account(id)).is_ok_and(|account| account.has_results())
    }

    /// The dataset's own, private folder.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.root.join(".slidemill")
    }

    /// Makes the dataset's folder and its private folder, which only its owner may enter: its files contain
    /// file names.
    ///
    /// # Errors
    ///
    /// When one cannot be made, or a link or file is in its place.
    pub fn make_private(&self) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        whole_file::make_private_folder(&self.private())
    }

    /// Makes a folder of this dataset, and those above it.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or a link on the path would lead elsewhere.
    pub fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.starts_with(self.private()) {
            self.make_private()?;
        }
        let above = folder.ancestors().take_while(|above| *above != self.root);
        let is_link = |path: &&Path| fs::symlink_metadata(path).is_ok_and(|facts| facts.is_symlink());
        match above.filter(|above| above.starts_with(&self.root)).find(is_link) {
            Some(_) => Err(io::Error::other("a link lies in the place of a folder of results; remove it")),
            None => fs::create_dir_all(folder),
        }
    }

    /// Opens a file of the private folder, to append to it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or made, or is a link.
    pub fn append_private(&self, name: &str) -> io::Result<fs::File> {
        self.make_private()?;
        whole_file::private_options().create(true).append(true).open(self.private().join(name))
    }

    /// Keeps other processes and threads from changing the list of slides and the plan until it is dropped: who
    /// writes one of them again would lose what another adds meanwhile. `None` where the file system has no
    /// locks; then nothing is kept from them.
    #[must_use]
    pub fn hold_lists(&self) -> Option<fs::File> {
        let folder = fs::File::open(self.private()).ok()?;
        folder.lock().ok()?;
        Some(folder)
    }

    /// The window ledger of one slide.
    #[must_use]
    pub fn ledger(&self, id: &SlideId) -> PathBuf {
        self.private().join("ledger").join(id.as_str())
    }

    /// The folder of the ledgers of parts of one slide's windows, each with its lock beside it.
    #[must_use]
    pub fn slabs(&self, id: &SlideId) -> PathBuf {
        self.private().join("slabs").join(id.as_str())
    }

    /// The folder of the locks of slides at work.
    #[must_use]
    pub fn locks(&self) -> PathBuf {
        self.private().join("locks")
    }

    /// The lock of one slide: there while a job works on it, and left by a job that was cut off.
    #[must_use]
    pub fn lock(&self, id: &SlideId) -> PathBuf {
        self.locks().join(format!("{id}.lock"))
    }

    /// The folder in which this job writes files that are not of a slide, until they get their names; removed
    /// when the job ends.
    #[must_use]
    pub fn writing(&self) -> PathBuf {
        self.private().join(format!("writing-{}", self.writer))
    }

    /// Writes `bytes` as the whole of `path`, and makes its folder if there is none.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or the file cannot be written; the old one stays.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.staged_by(path, bytes, |staged| whole_file::put_in_place(vec![staged], Vec::new()))
    }

    /// The same, but a power cut may leave garbage in the file: for files that are only of use while the job
    /// runs.
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
        self.make_folder(path.parent().unwrap_or(&self.root))?;
        put(self.stage_while_others_write(path, bytes)?)?;
        // It is empty unless another thread of this job is writing there.
        let _ = fs::remove_dir(self.writing());
        Ok(())
    }

    /// Another thread of this job may remove the folder, as it is empty, while it is made or before the file is in it.
    fn stage_while_others_write(&self, path: &Path, bytes: &[u8]) -> io::Result<Staged> {
        const TRIES: u32 = 100;
        for _ in 1..TRIES {
            match self.stage_by_itself(path, bytes) {
                Err(error) if is_of_a_folder_that_went(&error) => {}
                staged => return staged,
            }
        }
        self.stage_by_itself(path, bytes)
    }

    fn stage_by_itself(&self, path: &Path, bytes: &[u8]) -> io::Result<Staged> {
        let folder = self.writing();
        self.make_folder(&folder)?;
        let ((), staged) = if path.starts_with(self.private()) {
            whole_file::stage_private(&folder, path, |out| out.write_all(bytes))??
        } else {
            whole_file::stage(&folder, path, |out| out.write_all(bytes))??
        };
        Ok(staged)
    }

    /// Writes the result of `make` for the accounts as the whole of `path`. A slower job must not replace a
    /// newer file by one made of fewer accounts: then it is made again, a few times, and left to the jobs
    /// that still add accounts.
    ///
    /// # Errors
    ///
    /// The outer error is that of `make`, the inner one is that of writing the file.
    pub fn write_current<E>(
        &self,
        path: &Path,
        make: impl Fn() -> Result<Vec<u8>, E>,
    ) -> Result<io::Result<()>, E> {
        const ROUNDS: usize = 5;
        for _ in 0..ROUNDS {
            let (accounts, there) = (self.account_states(), state(path));
            let bytes = make()?;
            if state(path) == there || self.account_states() == accounts {
                return Ok(self.write(path, &bytes));
            }
        }
        Ok(Ok(()))
    }

    fn account_states(&self) -> Vec<(PathBuf, FileState)> {
        let accounts = self.accounts().unwrap_or_default();
        accounts.into_iter().map(|path| (path.clone(), state(&path))).collect()
    }

    /// The folder of the results of one slide until they all get their names.
    #[must_use]
    pub fn staged(&self, id: &SlideId) -> PathBuf {
        self.private().join("staged").join(id.as_str())
    }

    /// The window ledger of one slide that is being committed.
    #[must_use]
    pub fn spent(&self, id: &SlideId) -> PathBuf {
        self.private().join("spent").join(id.as_str())
    }

    /// Writes `bytes` for the file `path` of one slide, into the folder in which its results are
    /// [staged](Self::staged).
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn stage(&self, id: &SlideId, path: &Path, bytes: &[u8]) -> Result<Staged, DatasetError> {
        let folder = self.staged(id);
        let written = self
            .make_folder(&folder)
            .and_then(|()| whole_file::stage(&folder, path, |out| out.write_all(bytes))?);
        written.map(|((), staged)| staged).map_err(|reason| DatasetError::Write {
            what: "a result".into(),
            reason,
            path: path.to_owned(),
        })
    }

    /// Places of all files of one slide; the account is first.
    #[must_use]
    pub fn places(&self, id: &SlideId) -> Vec<PathBuf> {
        vec![
            self.account(id),
            whole_file::folder_of(&self.cells(id)).to_owned(),
            whole_file::folder_of(&self.regions(id)).to_owned(),
            whole_file::folder_of(&self.patches(id)).to_owned(),
            self.overview(id),
            self.coverage(id),
            self.ledger(id),
            self.slabs(id),
            self.spent(id),
            self.staged(id),
            self.tiles(id),
        ]
    }

    /// The list of ids and their files: private.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.private().join("slides.csv")
    }

    /// What slide lists say of slides beyond what a job needs, such as the patient: private.
    #[must_use]
    pub fn columns(&self) -> PathBuf {
        self.private().join("columns.csv")
    }

    /// The secret for ids of slides that cannot be read: private.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.private().join("secret")
    }

    /// The tile file of one slide, from which the viewer reads counts.
    #[must_use]
    pub fn tiles(&self, id: &SlideId) -> PathBuf {
        self.private().join("tiles").join(format!("{id}.smt"))
    }

    /// Every file of the dataset with its checksum: private.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.private().join("manifest.json")
    }

    /// The plan of the job: private.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.private().join("plan.json")
    }

    /// The log of the job that writes this dataset; private, since it names slides and the machine.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.private().join("log").join(format!("{}.log", self.writer))
    }

    /// The folder with the status of the runs that write here, a file for each.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.private().join("status")
    }

    fn part(&self, table: &str, id: &SlideId) -> PathBuf {
        self.root.join(table).join(format!("slide={id}")).join("part-0.parquet")
    }
}

/// Facts that tell a file from one that replaces it.
type FileState = Option<(u64, SystemTime)>;

fn state(path: &Path) -> FileState {
    let facts = fs::metadata(path).ok()?;
    Some((facts.len(), facts.modified().ok()?))
}

/// `true` for the errors of a file whose folder was removed, and of a folder that was there and then was not.
fn is_of_a_folder_that_went(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report of a job takes long, and another job ends meanwhile.
    #[test]
    fn what_is_made_of_fewer_accounts_does_not_replace_what_is_newer() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let id = |name: &str| SlideId::new(name).unwrap();
        let made = |by: &str| {
            let accounts = dataset.accounts().unwrap().len();
            format!("{by}: {accounts}").into_bytes()
        };
        dataset.write(&dataset.account(&id("one")), b"{}").unwrap();
        let rounds = std::cell::Cell::new(0);
        let slow = || {
            let bytes = made("slow");
            if rounds.replace(rounds.get() + 1) == 0 {
                dataset.write(&dataset.account(&id("two")), b"{}").unwrap();
                dataset.write(&dataset.report(), &made("the other job, quick")).unwrap();
            }
            Ok::<_, io::Error>(bytes)
        };
        dataset.write_current(&dataset.report(), slow).unwrap().unwrap();
        assert_eq!(fs::read(dataset.report()).unwrap(), b"slow: 2");
        assert_eq!(rounds.get(), 2);
    }

    /// The folder in which files wait for their names was removed by whoever was done first.
    #[test]
    fn threads_of_one_job_write_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        std::thread::scope(|threads| {
            for thread in 0..4 {
                let dataset = &dataset;
                threads.spawn(move || {
                    for file in 0..250 {
                        let path = dataset.private().join(format!("{thread}-{file}"));
                        dataset.write_for_now(&path, b"x").unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dataset.private()).unwrap().count(), 1000, "and the folder is gone");
    }

    #[test]
    #[cfg(unix)]
    fn private_files_are_private_and_links_lead_nowhere() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (folder.path().join("out"), folder.path().join("elsewhere"));
        fs::create_dir_all(&elsewhere).unwrap();
        let dataset = Dataset::at(&root);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        dataset.write(&dataset.plan(), b"paths").unwrap();
        assert_eq!((mode(&dataset.private()), mode(&dataset.plan())), (0o700, 0o600));
        let account = dataset.account(&SlideId::new("x").unwrap());
        dataset.write(&account, b"{}").unwrap();
        assert!(mode(&account) & 0o044 != 0, "colleagues read results");

        symlink(&elsewhere, root.join("cells")).unwrap();
        let table = dataset.cells(&SlideId::new("x").unwrap());
        let refused = dataset.write(&table, b"rows").unwrap_err();
        assert!(refused.to_string().contains("a link lies in the place"), "{refused}");
        symlink(elsewhere.join("names"), dataset.names()).unwrap();
        assert!(dataset.append_private("slides.csv").is_err());
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }

    #[test]
    fn its_own_places_are_known_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        for inner in ["overviews", "slides"] {
            fs::create_dir_all(root.join(inner)).unwrap();
        }
        for file in ["out/overviews/x.jpg", "out/slides/x.jpg", "out/summary.csv", "summary.csv"] {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        let owns = |file: &str| Dataset::at(&root).owns(&folder.path().join(file));
        assert!(owns("out/overviews/x.jpg") && owns("out/summary.csv") && owns("out/slides/../summary.csv"));
        assert!(!owns("out/slides/x.jpg") && !owns("summary.csv") && !owns("out/overviews/missing.jpg"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("overviews"), folder.path().join("elsewhere")).unwrap();
            assert!(owns("elsewhere/x.jpg"));
        }
    }
}
