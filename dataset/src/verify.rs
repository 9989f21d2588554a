//! Is the dataset what its accounts say?

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use merger::{MergeError, ReadSettings, RegionReader};

use crate::{
    account::{FileFacts, Outcome, RunAccount},
    checksum::sha256_of,
    error::DatasetError,
    id::SlideId,
    paths::Dataset,
    tables::for_each_cell,
    wording::{counted, grouped},
};

/// What a look at a dataset gave.
#[derive(Debug)]
pub struct Findings {
    /// Slides with an account that can be read.
    pub slides: Vec<SlideId>,
    /// Where the dataset is not what its accounts say, each in words.
    pub problems: Vec<String>,
    /// Slides that ended incomplete or without results, as their accounts say.
    pub lacking: Vec<String>,
}

impl Findings {
    /// Recomputes checksums, rows, ids and counts of a whole dataset.
    ///
    /// # Errors
    ///
    /// When there is no dataset, or a folder of it cannot be listed.
    pub fn collect(dataset: &Dataset) -> Result<Self, DatasetError> {
        let accounts = dataset.accounts().map_err(|reason| DatasetError::List {
            what: "run accounts",
            reason,
            path: dataset.root().to_owned(),
        })?;
        if accounts.is_empty() {
            return Err(DatasetError::NoAccounts { purpose: "", root: dataset.root().to_owned() });
        }
        let mut found = Self { slides: Vec::new(), problems: Vec::new(), lacking: Vec::new() };
        for path in &accounts {
            match RunAccount::read(path) {
                Ok(account) => {
                    let of_slide = |what: String| format!("{}: {what}", account.slide);
                    found.problems.extend(check_slide(dataset, &account).into_iter().map(of_slide));
                    found.lacking.extend(lacking(&account).map(of_slide));
                    found.slides.push(account.slide);
                }
                Err(error) => {
                    found.problems.push(format!("the account cannot be read: {error}: {}", path.display()));
                }
            }
        }
        found.problems.extend(strangers(dataset, &found.slides)?);
        Ok(found)
    }

    /// Whether every slide is done, and all is as it was written.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty() && self.lacking.is_empty()
    }
}

/// What an account itself says is not there.
fn lacking(account: &RunAccount) -> Option<String> {
    let failed = account.analysis.as_ref().map_or(0, |analysis| analysis.windows.failed);
    match account.outcome {
        Outcome::Done => None,
        Outcome::Partial => Some(format!("incomplete, {} failed", counted(failed, "window"))),
        Outcome::Failed => {
            let reason = account.reason.as_deref().unwrap_or("no reason was kept");
            Some(format!("no results, {reason}"))
        }
    }
}

fn check_slide(dataset: &Dataset, account: &RunAccount) -> Vec<String> {
    let table = dataset.cells(&account.slide);
    if account.outcome == Outcome::Failed && table.exists() {
        return vec!["failed, but a table of an earlier run is there and would be counted".into()];
    }
    let Some(analysis) = &account.analysis else { return Vec::new() };
    let mut problems: Vec<String> =
        analysis.files.iter().filter_map(|file| check_file(dataset, file).err()).collect();
    if problems.is_empty()
        && account.outcome != Outcome::Failed
        && let Err(problem) =
            check_cells(&table, &analysis.cells).and_then(|()| check_regions(dataset, account))
    {
        problems.push(problem);
    }
    problems
}

fn check_file(dataset: &Dataset, facts: &FileFacts) -> Result<(), String> {
    let path = dataset.root().join(&facts.path);
    let (bytes, sha256) =
        sha256_of(&path).map_err(|error| format!("{} cannot be read: {error}", facts.path))?;
    if (bytes, &sha256) != (facts.bytes, &facts.sha256) {
        return Err(format!(
            "{} has changed: {}, {} when it was written",
            facts.path,
            counted(bytes as usize, "byte"),
            grouped(facts.bytes)
        ));
    }
    Ok(())
}

fn check_cells(table: &Path, expected: &BTreeMap<String, u64>) -> Result<(), String> {
    let mut ids = Vec::new();
    for_each_cell(table, &["cell_id"], |cell| ids.push(cell.cell_id)).map_err(|error| error.to_string())?;
    let (rows, expected) = (ids.len() as u64, expected.values().sum::<u64>());
    if rows != expected {
        return Err(format!("has {}, {expected} when it was written", counted(rows as usize, "cell")));
    }
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("cell id {} stands twice", pair[0])),
        None => Ok(()),
    }
}

/// Regions as counted, each once, and none named by a cell that is not there.
fn check_regions(dataset: &Dataset, account: &RunAccount) -> Result<(), String> {
    let kinds = account.analysis.iter().flat_map(|analysis| &analysis.regions);
    let expected: u64 = kinds.map(|kind| kind.regions).sum();
    let regions = region_ids(&dataset.regions(&account.slide)).map_err(|error| error.to_string())?;
    if regions.len() as u64 != expected {
        return Err(format!("has {}, {expected} when it was written", counted(regions.len(), "region")));
    }
    let known: BTreeSet<u64> = regions.iter().copied().collect();
    if known.len() < regions.len() {
        return Err("a region id stands twice".into());
    }
    let mut stranger = None;
    for_each_cell(&dataset.cells(&account.slide), &["region_id"], |cell| {
        stranger = stranger.or(cell.region_id.filter(|id| !known.contains(id)));
    })
    .map_err(|error| error.to_string())?;
    match stranger {
        Some(id) => Err(format!("a cell lies in region {id}, which is not there")),
        None => Ok(()),
    }
}

fn region_ids(path: &Path) -> Result<Vec<u64>, MergeError> {
    let settings = ReadSettings { columns: Some(&["region_id"]), ..ReadSettings::default() };
    let mut ids = Vec::new();
    for regions in RegionReader::open(path, settings)? {
        ids.extend(regions?.iter().map(|region| region.region_id));
    }
    Ok(ids)
}

/// Tables and pictures that no account knows, and slides that are not finished.
fn strangers(dataset: &Dataset, known: &[SlideId]) -> Result<Vec<String>, DatasetError> {
    let mut problems = Vec::new();
    for table in ["cells", "regions"] {
        for name in names_in(&dataset.root().join(table))? {
            let id = name.strip_prefix("slide=").and_then(|id| SlideId::new(id).ok());
            if id.is_none_or(|id| !known.contains(&id)) {
                problems.push(format!("{table}/{name} belongs to no account"));
            }
        }
    }
    let pictures: BTreeSet<_> =
        known.iter().flat_map(|id| [dataset.overview(id), dataset.coverage(id)]).collect();
    let folder = dataset.root().join("overviews");
    for name in names_in(&folder)? {
        if !pictures.contains(&folder.join(&name)) {
            problems.push(format!("overviews/{name} belongs to no account"));
        }
    }
    for name in names_in(&dataset.private().join("ledger"))? {
        if !SlideId::new(name.as_str()).is_ok_and(|id| known.contains(&id)) {
            problems.push(format!("{name} is not finished: run the same command again"));
        }
    }
    Ok(problems)
}

/// The names of all entries of a folder, in order; none when there is no folder.
fn names_in(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let mut names = list(folder).map_err(|reason| DatasetError::List {
        what: "a folder of the dataset",
        reason,
        path: folder.to_owned(),
    })?;
    names.sort();
    Ok(names)
}

fn list(folder: &Path) -> io::Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
