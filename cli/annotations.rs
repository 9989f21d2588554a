//! Annotations and predictions for the commands that judge and train: files,
//! folders and slidemill's own datasets, under the names people know.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use eval::{
    EvalError,
    objects::{Detail, ObjectSet, stem},
    truth::{self, ReadSettings},
};
use wsi_types::Mpp;

use crate::{
    account::{Outcome, RunAccount},
    args,
    dataset::{Dataset, SlideId},
    exit::Failure,
};

/// Reads files alike.
#[derive(Debug)]
pub struct Reader {
    settings: ReadSettings,
    rename: BTreeMap<String, String>,
    /// Which image is of which patient or slide, and where that is said.
    groups: Option<(BTreeMap<String, String>, PathBuf)>,
}

impl Reader {
    /// A reader that keeps of shapes what `detail` asks for.
    ///
    /// # Errors
    ///
    /// A usage failure for a pixel size that is none or a list of groups that
    /// cannot be read.
    pub fn new(options: &args::Annotations, detail: Detail) -> anyhow::Result<Self> {
        let mpp = options.mpp.map(Mpp::new).transpose();
        let mpp = mpp.map_err(|error| Failure::usage(format!("--mpp: {error}")))?;
        let mut settings = ReadSettings { detail, mpp, nuclei: options.nuclei, ..ReadSettings::default() };
        settings.ignore_classes.extend(options.ignore_area.iter().cloned());
        let groups = options.groups.as_deref().map(|path| Ok((groups(path)?, path.to_owned())));
        Ok(Self {
            settings,
            rename: options.rename.iter().cloned().collect(),
            groups: groups.transpose().map_err(|error: anyhow::Error| error)?,
        })
    }

    /// All objects of `paths`; images and classes of one name become one.
    ///
    /// # Errors
    ///
    /// An input failure that says what is wrong where.
    pub fn read(&self, paths: &[PathBuf]) -> anyhow::Result<ObjectSet> {
        let mut all = ObjectSet::default();
        for path in paths {
            let mut set = truth::read(path, &self.settings).map_err(failure)?;
            name_slides(path, &mut set)?;
            all.append(set).map_err(failure)?;
        }
        all.rename_classes(&self.rename).map_err(failure)?;
        Ok(all)
    }

    /// As [`Reader::read`], with the patient or slide of each image when a list
    /// of them was given.
    ///
    /// # Errors
    ///
    /// Also a usage failure for an image that the list does not have.
    pub fn read_grouped(&self, paths: &[PathBuf]) -> anyhow::Result<ObjectSet> {
        let mut set = self.read(paths)?;
        self.group(&mut set)?;
        Ok(set)
    }

    /// Gives each image of `set` its patient or slide, when a list was given.
    ///
    /// # Errors
    ///
    /// A usage failure for an image that the list does not have.
    pub fn group(&self, set: &mut ObjectSet) -> anyhow::Result<()> {
        let Some((groups, path)) = &self.groups else { return Ok(()) };
        for image in &mut set.images {
            let group = groups.get(stem(&image.name)).cloned();
            image.group = Some(group.ok_or_else(|| {
                Failure::usage(format!("--groups has no row for {:?}: {}", image.name, path.display()))
            })?);
        }
        Ok(())
    }
}

/// Image stem to group.
fn groups(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    const IMAGE: &[&str] = &["image", "id", "name", "file", "image_name", "file_name"];
    const GROUP: &[&str] = &["group", "patient", "case", "slide"];
    let wrong = |what: String| Failure::usage(format!("--groups: {what}: {}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(|error| wrong(error.to_string()))?;
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let column = |names: &[&str]| {
        let is = |name: &&str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
        names.iter().find_map(is).ok_or_else(|| {
            let found = header.iter().collect::<Vec<_>>().join(", ");
            wrong(format!("the columns are {found}, expected one of {}", names.join(", ")))
        })
    };
    let (image, group) = (column(IMAGE)?, column(GROUP)?);
    let mut groups = BTreeMap::new();
    for row in reader.records() {
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let cell = |column: usize| row.get(column).unwrap_or_default().trim().to_owned();
        groups.insert(stem(&cell(image)).to_owned(), cell(group));
    }
    Ok(groups)
}

/// In a dataset of ours slides go by ids; here they get the names of their
/// files, where those are known, and the tissue that was analysed.
fn name_slides(root: &Path, set: &mut ObjectSet) -> anyhow::Result<()> {
    let dataset = Dataset::at(root);
    if !root.join("runs").is_dir() {
        return Ok(());
    }
    let names = slide_names(&dataset)?;
    for image in &mut set.images {
        let Ok(id) = SlideId::new(image.name.as_str()) else { continue };
        let account = RunAccount::read(&dataset.account(&id)).ok();
        image.analysed_mm2 = account.and_then(|a| Some(a.analysis?.coverage.analysed_mm2));
        image.group = Some(image.name.clone());
        if let Some(path) = names.get(&image.name) {
            image.name = picture_name(Path::new(path));
        }
    }
    for path in dataset.accounts()? {
        let account = RunAccount::read(&path).map_err(|error| {
            Failure::input(format!("cannot read an account: {error}: {}", path.display()))
        })?;
        let name = names.get(account.slide.as_str()).map_or(account.slide.as_str(), String::as_str);
        match account.outcome {
            Outcome::Done => {}
            Outcome::Partial => eprintln!("slidemill: not all of it was analysed: {name}"),
            Outcome::Failed => {
                eprintln!("slidemill: it has no results, so all of its truth is missed: {name}");
            }
        }
    }
    Ok(())
}

/// The name of a slide or picture: its path, so that two of one file name stay
/// apart; that of its folder for files that all have one name, such as
/// `image.png`.
#[must_use]
pub fn picture_name(path: &Path) -> String {
    let own = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let generic = matches!(stem(&own), "image" | "img" | "picture" | "slide" | "tile");
    let folder = path.parent().filter(|folder| generic && folder.file_name().is_some());
    folder.unwrap_or(path).to_string_lossy().into_owned()
}

/// Slide id to the path it was read from; empty where a dataset came without
/// its private folder.
fn slide_names(dataset: &Dataset) -> anyhow::Result<BTreeMap<String, String>> {
    let path = dataset.names();
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let broken = |error: csv::Error| {
        Failure::input(format!("the list of slides cannot be read: {error}: {}", path.display()))
    };
    let mut reader = csv::Reader::from_path(&path).map_err(broken)?;
    reader.deserialize::<(String, String)>().collect::<Result<_, _>>().map_err(broken)
}

/// What was asked wrongly is a usage failure, what is in a file an input
/// failure.
#[must_use]
pub fn failure(error: EvalError) -> anyhow::Error {
    match error {
        EvalError::Criterion(_)
        | EvalError::Setting { .. }
        | EvalError::NoMpp { .. }
        | EvalError::PointsHaveNoArea { .. } => Failure::usage(error),
        EvalError::ImagesWithoutTruth { .. } => {
            Failure::input(format!("{error} (--skip-unknown leaves them out)"))
        }
        _ => Failure::input(error),
    }
}

/// A file name for each image of `set`, without extension: its stem with what
/// file systems dislike replaced, numbered where two would be the same.
#[must_use]
pub fn file_names(set: &ObjectSet) -> Vec<String> {
    let mut taken = std::collections::BTreeSet::new();
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let mut free = |name: String| {
        let mut free = name.clone();
        let mut number = 1;
        while !taken.insert(free.clone()) {
            number += 1;
            free = format!("{name}-{number}");
        }
        free
    };
    set.images.iter().map(|image| free(stem(&image.name).chars().map(safe).collect())).collect()
}
