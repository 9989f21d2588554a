//! `OUT/.slidemill/manifest.json`: every file of a dataset, with size and checksum. It is written after the
//! files over all slides, and it is private: the list of slides is among the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use crate::{
    account::RunAccount,
    checksum::sha256_of,
    error::DatasetError,
    id::SlideId,
    paths::Dataset,
    seal::{Seal, sealed},
};

/// Folders of which every file belongs to the dataset.
const FOLDERS: [&str; 5] = ["cells", "regions", "patches", "overviews", "runs"];
/// Starts of the names of files over all slides: the report may have further pages.
const OVERALL: [&str; 3] = ["report", "summary", "measures"];
/// Largest number of times that files are looked at again because another job writes at the same moment.
const MOST_LOOKS: usize = 5;

/// All files of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of slidemill that wrote it.
    slidemill: String,
    /// By path, relative to `OUT`, with `/`.
    pub(crate) files: BTreeMap<String, ManifestFile>,
}

/// One of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Time of writing, ns since 1970: a file of the same time and size need not be read again.
    modified_ns: u64,
}

impl Manifest {
    /// Writes the manifest of the files that exist now.
    ///
    /// # Errors
    ///
    /// [`DatasetError`] when a file cannot be read, or the manifest cannot be written.
    pub fn write(dataset: &Dataset) -> Result<(), DatasetError> {
        Self::write_what_stays(dataset).map_err(|reason| DatasetError::Write {
            what: "the manifest".into(),
            reason,
            path: dataset.manifest(),
        })
    }

    /// Writes it again if another job wrote a file meanwhile: the manifest that is written last must be
    /// right.
    fn write_what_stays(dataset: &Dataset) -> io::Result<()> {
        for _ in 0..MOST_LOOKS {
            let before = Self::read(dataset).ok().flatten();
            let manifest = Self::collect(dataset, before.as_ref())?;
            dataset.write(&dataset.manifest(), &sealed(&manifest)?)?;
            if manifest.is_up_to_date(dataset)? {
                break;
            }
        }
        Ok(())
    }

    /// The manifest of a dataset; `None` if none was written.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is damaged.
    pub fn read(dataset: &Dataset) -> io::Result<Option<Self>> {
        let Some(text) = if_there(fs::read(dataset.manifest()))? else { return Ok(None) };
        match Seal::of(&text) {
            Seal::Whole => Ok(Some(serde_json::from_slice(&text)?)),
            Seal::Broken | Seal::Missing => {
                Err(io::Error::other("its checksum is not that of what it holds"))
            }
        }
    }

    fn collect(dataset: &Dataset, before: Option<&Self>) -> io::Result<Self> {
        let told = told_by_accounts(dataset)?;
        let mut files = BTreeMap::new();
        for path in files_of(dataset)? {
            let name = relative(dataset, &path);
            let Some(facts) = if_there(fs::metadata(&path))? else { continue };
            let (bytes, modified_ns) = (facts.len(), modified_ns(&facts)?);
            let known = before.and_then(|before| before.files.get(&name));
            let known = known.filter(|known| (known.bytes, known.modified_ns) == (bytes, modified_ns));
            let sha256 = match (told.get(&name), known) {
                (Some(sha256), _) => Some(sha256.clone()),
                (None, Some(known)) => Some(known.sha256.clone()),
                (None, None) => if_there(sha256_of(&path))?.map(|(_, sha256)| sha256),
            };
            files.extend(sha256.map(|sha256| (name, ManifestFile { bytes, sha256, modified_ns })));
        }
        Ok(Self { slidemill: env!("CARGO_PKG_VERSION").into(), files })
    }

    /// `true` if no file was written while they were looked at.
    fn is_up_to_date(&self, dataset: &Dataset) -> io::Result<bool> {
        for (name, file) in &self.files {
            let is_same = match fs::metadata(dataset.root().join(name)) {
                Ok(facts) => (facts.len(), modified_ns(&facts)?) == (file.bytes, file.modified_ns),
                Err(_) => false,
            };
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Checksums of tables and pictures from the accounts, so that a file that has changed since is still
/// noticed.
fn told_by_accounts(dataset: &Dataset) -> io::Result<BTreeMap<String, String>> {
    let accounts = dataset.accounts()?.into_iter().filter_map(|path| RunAccount::read(&path).ok());
    let files = accounts.filter_map(|account| account.analysis).flat_map(|analysis| analysis.files);
    Ok(files.map(|file| (file.path, file.sha256)).collect())
}

/// Every file that belongs to a dataset, without those that exist only while a job works.
pub(crate) fn files_of(dataset: &Dataset) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for folder in FOLDERS {
        add_files(&dataset.root().join(folder), &mut found)?;
    }
    for entry in entries(dataset.root())? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if OVERALL.iter().any(|start| name.starts_with(start)) {
            add_files(&entry, &mut found)?;
        }
    }
    let private = ["report.html", "report"].map(|name| dataset.private().join(name));
    for path in [dataset.names(), dataset.columns(), dataset.plan(), dataset.secret()].iter().chain(&private)
    {
        add_files(path, &mut found)?;
    }
    // Ledgers of other slides belong to jobs that have not ended.
    for account in dataset.accounts()? {
        let id = account.file_stem().and_then(|stem| SlideId::new(stem.to_string_lossy()).ok());
        if let Some(id) = id {
            add_files(&dataset.ledger(&id), &mut found)?;
        }
    }
    Ok(found)
}

/// Adds a file, or all files in a folder; nothing if neither exists.
fn add_files(path: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let Some(facts) = if_there(fs::symlink_metadata(path))? else { return Ok(()) };
    if facts.is_file() {
        found.insert(path.to_owned());
    }
    if facts.is_dir() {
        for entry in if_there(entries(path))?.unwrap_or_default() {
            add_files(&entry, found)?;
        }
    }
    Ok(())
}

/// `None` for a file or folder that does not exist: another job may have removed it since it was listed.
fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// The path of a file below `OUT`, with `/`.
pub(crate) fn relative(dataset: &Dataset, path: &Path) -> String {
    let path = path.strip_prefix(dataset.root()).unwrap_or(path);
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn modified_ns(facts: &fs::Metadata) -> io::Result<u64> {
    let since = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
