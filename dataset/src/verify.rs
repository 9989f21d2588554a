//! Comparison of a dataset with its accounts and its manifest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use merger::{MergeError, PatchReader, ReadSettings, RegionReader};

use crate::{
    account::{FileFacts, Outcome, PatchCount, RunAccount},
    checksum::{sha256_of, sha256_of_start},
    error::DatasetError,
    id::SlideId,
    manifest::{Manifest, ManifestFile, files_of, relative},
    paths::Dataset,
    tables::for_each_cell,
    wording::{counted, grouped},
};

/// Results of checking a dataset.
#[derive(Debug)]
pub struct Findings {
    /// Slides with an account that can be read.
    pub slides: Vec<SlideId>,
    /// Differences between the dataset and its accounts, each in words.
    pub problems: Vec<String>,
    /// Slides that ended incomplete or without results, according to their accounts.
    pub lacking: Vec<String>,
}

impl Findings {
    /// Recomputes checksums, rows, ids and counts of a whole dataset, and compares every file with the manifest.
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
        let mut settings = Vec::new();
        for path in &accounts {
            match RunAccount::read(path) {
                Ok(account) => {
                    found.add_slide(dataset, path, &account);
                    settings.push((account.slide, account.settings));
                }
                Err(error) => {
                    found.problems.push(format!("the account cannot be read: {error}: {}", path.display()));
                }
            }
        }
        found.lacking.extend(counted_twice(&settings));
        found.lacking.extend(mixed_settings(settings));
        found.problems.extend(strangers(dataset, &found.slides)?);
        found.compare_with_manifest(dataset)?;
        Ok(found)
    }

    fn add_slide(&mut self, dataset: &Dataset, path: &Path, account: &RunAccount) {
        let id = &account.slide;
        if *path != dataset.account(id) {
            let name = relative(dataset, path);
            self.problems.push(format!("{name} is the account of another slide, {id}"));
            return;
        }
        self.problems.extend(check_slide(dataset, account).into_iter().map(|what| format!("{id}: {what}")));
        self.lacking.extend(lacking(account).map(|what| format!("{id}: {what}")));
        self.slides.push(id.clone());
    }

    fn compare_with_manifest(&mut self, dataset: &Dataset) -> Result<(), DatasetError> {
        let unlisted = |reason| DatasetError::List {
            what: "the files of the dataset",
            reason,
            path: dataset.root().to_owned(),
        };
        let manifest = match Manifest::read(dataset) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => {
                self.lacking.push(
                    "there is no manifest: summaries, report and lists are not checked; `slidemill report` writes it"
                        .into(),
                );
                return Ok(());
            }
            Err(error) => {
                self.problems.push(format!("the manifest cannot be read: {error}"));
                return Ok(());
            }
        };
        let files = files_of(dataset).map_err(unlisted)?;
        let there: BTreeSet<String> = files.iter().map(|path| relative(dataset, path)).collect();
        let at_work = self.ledgers_at_work(dataset);
        for (name, file) in &manifest.files {
            if at_work.iter().any(|ledger| name.starts_with(ledger)) {
                continue;
            }
            let changed = if !there.contains(name) {
                Some(format!("{name} is in the manifest and not there"))
            } else if is_told_by_account(name) {
                None
            } else {
                changed_since(dataset, name, file)
            };
            self.problems.extend(changed);
        }
        let newer = there.iter().filter(|name| !manifest.files.contains_key(*name)).count();
        if newer > 0 {
            self.lacking.push(format!(
                "{} newer than the manifest, and than summaries and report: a job is at work or was cut off; the same \
                 command goes on, `slidemill report` brings them up to date",
                if newer == 1 { "1 file is".to_owned() } else { format!("{newer} files are") }
            ));
        }
        Ok(())
    }

    /// Ledgers of slides that a job works on again, or was cut off at: they grow, and hold their own checksums.
    fn ledgers_at_work(&mut self, dataset: &Dataset) -> Vec<String> {
        let at_work: Vec<_> = self.slides.iter().filter(|id| dataset.lock(id).exists()).collect();
        self.lacking.extend(
            at_work
                .iter()
                .map(|id| format!("{id}: a job is at work on it or was cut off; the same command goes on")),
        );
        at_work.iter().map(|id| relative(dataset, &dataset.ledger(id)) + "/").collect()
    }

    /// `true` if every slide is done, and all files are as they were written.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty() && self.lacking.is_empty()
    }
}

/// The results that a slide lacks according to its account.
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

/// `true` for files whose checksum stands in an account: accounts hold those of themselves and of their
/// tables and pictures, so a file that a job wrote later is no fault.
fn is_told_by_account(name: &str) -> bool {
    ["cells/", "regions/", "patches/", "overviews/", "runs/"].iter().any(|folder| name.starts_with(folder))
}

/// The difference of a file from its entry in the manifest.
fn changed_since(dataset: &Dataset, name: &str, file: &ManifestFile) -> Option<String> {
    let path = dataset.root().join(name);
    // Jobs append lines to the list of slides and its columns while they run.
    let is_list = [dataset.names(), dataset.columns()].contains(&path);
    let is_longer = is_list && fs::metadata(&path).is_ok_and(|facts| facts.len() > file.bytes);
    let found = if is_longer { sha256_of_start(&path, file.bytes) } else { sha256_of(&path) };
    match found {
        Ok((bytes, sha256)) if bytes == file.bytes && sha256 == file.sha256 => None,
        Ok(_) => Some(format!("{name} is not as it was written")),
        Err(error) => Some(format!("{name} cannot be read: {error}")),
    }
}

/// Slides of one content under two ids.
fn counted_twice(all: &[(SlideId, BTreeMap<String, String>)]) -> Vec<String> {
    let mut first: BTreeMap<&String, &SlideId> = BTreeMap::new();
    let mut said = Vec::new();
    for (id, settings) in all {
        let Some(content) = settings.get("slide_content") else { continue };
        match first.get(content) {
            Some(other) => said.push(format!(
                "{id}: the same slide as {other}, and counted twice; `slidemill forget` takes one of them out"
            )),
            None => drop(first.insert(content, id)),
        }
    }
    said
}

/// Settings that are a slide's own.
const OF_SLIDE: [&str; 3] = ["slide_content", "mpp", "map_range"];

/// Slides that were made with other settings than most, with the settings that differ.
fn mixed_settings(mut all: Vec<(SlideId, BTreeMap<String, String>)>) -> Vec<String> {
    all.retain(|(_, settings)| !settings.is_empty());
    for (_, settings) in &mut all {
        settings.retain(|name, _| !OF_SLIDE.contains(&name.as_str()));
    }
    let mut counts: BTreeMap<&BTreeMap<String, String>, usize> = BTreeMap::new();
    for (_, settings) in &all {
        *counts.entry(settings).or_default() += 1;
    }
    let Some(most) = counts.into_iter().max_by_key(|(_, count)| *count).map(|(settings, _)| settings) else {
        return Vec::new();
    };
    let others = all.iter().filter(|(_, settings)| settings != most);
    others
        .map(|(id, settings)| {
            let names: BTreeSet<&String> = settings.keys().chain(most.keys()).collect();
            let differ = names.into_iter().filter(|name| settings.get(*name) != most.get(*name));
            let said: Vec<_> = differ
                .map(|name| {
                    let [own, theirs] =
                        [settings, most].map(|list| list.get(name).map_or("not set", String::as_str));
                    format!("{name} {own}, most have {theirs}")
                })
                .collect();
            format!("{id}: made with other settings than most slides here ({})", said.join("; "))
        })
        .collect()
}

fn check_slide(dataset: &Dataset, account: &RunAccount) -> Vec<String> {
    let table = dataset.cells(&account.slide);
    let patches = dataset.patches(&account.slide);
    if account.outcome == Outcome::Failed && (table.exists() || patches.exists()) {
        return vec!["failed, but a table of an earlier run is there and would be counted".into()];
    }
    let Some(analysis) = &account.analysis else { return Vec::new() };
    let mut problems: Vec<String> =
        analysis.files.iter().filter_map(|file| check_file(dataset, file).err()).collect();
    if problems.is_empty()
        && account.has_results()
        && let Err(problem) = check_cells(&table, &analysis.cells)
            .and_then(|()| check_regions(dataset, account))
            .and_then(|()| check_patches(&patches, analysis.patches))
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

/// Checks that regions are as counted, each once, and that cells name only regions that exist.
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

/// Checks that patches are as counted, each window once; and that there are none where none were counted.
fn check_patches(table: &Path, expected: Option<PatchCount>) -> Result<(), String> {
    let Some(PatchCount { patches: expected, .. }) = expected else {
        return match table.exists() {
            true => Err("patches of another run are there and would be counted".into()),
            false => Ok(()),
        };
    };
    let windows = patch_windows(table).map_err(|error| error.to_string())?;
    if windows.len() as u64 != expected {
        let found = format!("{} patches", grouped(windows.len() as u64));
        return Err(format!("has {found}, {expected} when it was written"));
    }
    match windows.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(format!("patch {} stands after patch {}", pair[1], pair[0])),
        None => Ok(()),
    }
}

fn patch_windows(path: &Path) -> Result<Vec<u32>, MergeError> {
    let settings = ReadSettings { columns: Some(&["window"]), ..ReadSettings::default() };
    let mut windows = Vec::new();
    for patches in PatchReader::open(path, settings)? {
        windows.extend(patches?.iter().map(|patch| patch.window));
    }
    Ok(windows)
}

fn region_ids(path: &Path) -> Result<Vec<u64>, MergeError> {
    let settings = ReadSettings { columns: Some(&["region_id"]), ..ReadSettings::default() };
    let mut ids = Vec::new();
    for regions in RegionReader::open(path, settings)? {
        ids.extend(regions?.iter().map(|region| region.region_id));
    }
    Ok(ids)
}

/// Tables and pictures that belong to no account, and slides that are not finished.
fn strangers(dataset: &Dataset, known: &[SlideId]) -> Result<Vec<String>, DatasetError> {
    let mut problems = Vec::new();
    for table in ["cells", "regions", "patches"] {
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

/// The names of all entries of a folder, in order; empty when there is no folder.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn slide(id: &str, settings: &[(&str, &str)]) -> (SlideId, BTreeMap<String, String>) {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        (SlideId::new(id).unwrap(), settings.collect())
    }

    #[test]
    fn slides_of_other_settings_and_slides_under_two_ids_are_named() {
        let all = vec![
            slide("a", &[("slide_content", "1"), ("min_score", "0.3")]),
            slide("b", &[("slide_content", "2"), ("min_score", "0.6"), ("mpp", "0.5")]),
            slide("c", &[("slide_content", "1"), ("min_score", "0.3"), ("mpp", "0.25")]),
            slide("failed", &[]),
        ];
        let twice = counted_twice(&all);
        assert!(twice.len() == 1 && twice[0].starts_with("c: the same slide as a"), "{twice:?}");
        let mixed = mixed_settings(all);
        assert_eq!(
            mixed,
            ["b: made with other settings than most slides here (min_score 0.6, most have 0.3)"]
        );
    }
}
