//! Annotations and predictions for the commands that judge and train: files,
//! folders and slidemill's own datasets, under the names people know.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use eval::{
    EvalError,
    names::{Found, NameIndex, stem},
    objects::{Detail, ObjectSet, SetBuilder},
    truth::{
        self, ReadSettings, read_text,
        remarks::{Remark, Remarks},
        sheet::Sheet,
    },
};
use wsi_types::Mpp;

use crate::{
    account::{Outcome, RunAccount},
    args,
    dataset::{Dataset, SlideId},
    exit::Failure,
    slide_files::slide_names,
};

/// Reads annotation files, all with the same settings.
#[derive(Debug)]
pub struct Reader {
    settings: ReadSettings,
    rename: BTreeMap<String, String>,
    strict: bool,
    groups: Option<Groups>,
}

/// Annotations of one side of a comparison, as read from its files.
#[derive(Debug, Default)]
pub struct Annotated {
    /// The objects.
    pub set: ObjectSet,
    /// Remarks that should stand beside every figure made of the objects; no names.
    pub notes: Vec<String>,
    /// See [`truth::Reading::omits_empty_images`].
    pub omits_empty_images: bool,
}

impl Reader {
    /// Makes a reader that keeps as much of each shape as `detail` asks for.
    ///
    /// # Errors
    ///
    /// A usage failure for an invalid pixel size or a list of groups that cannot be read.
    pub fn new(options: &args::Annotations, detail: Detail) -> anyhow::Result<Self> {
        let mpp = options.mpp.map(Mpp::new).transpose();
        let mpp = mpp.map_err(|error| Failure::usage(format!("--mpp: {error}")))?;
        let mut settings = ReadSettings {
            detail,
            mpp,
            nuclei: options.nuclei,
            parts: options.parts,
            crowds_are_objects: options.crowd_objects,
            ..ReadSettings::default()
        };
        settings.ignore_classes.extend(options.ignore_area.iter().cloned());
        let rename = options.rename.iter().cloned();
        Ok(Self {
            settings,
            rename: rename.map(|(from, to)| (eval::names::composed(&from).into_owned(), to)).collect(),
            strict: options.strict,
            groups: options.groups.as_deref().map(Groups::read).transpose()?,
        })
    }

    /// Reads all objects of `paths`, which are the `side` of a comparison; images and classes with the same
    /// name become one. Prints what is left out.
    ///
    /// # Errors
    ///
    /// An input failure that names the problem and its place; with `--strict` also when something is left
    /// out.
    pub fn read(&self, side: &str, paths: &[PathBuf]) -> anyhow::Result<Annotated> {
        let (mut all, mut remarks, mut omits_empty_images) = (SetBuilder::new(), Remarks::default(), false);
        for path in paths {
            let mut reading = truth::read(path, &self.settings).map_err(failure)?;
            name_slides(path, &mut reading.set)?;
            remarks.extend(reading.remarks);
            let joined = all.append(reading.set).map_err(failure)?;
            remarks.add(Remark::SharedImage, joined as u64, || path.display().to_string());
            omits_empty_images |= reading.omits_empty_images;
        }
        self.tell(side, &remarks)?;
        let mut set = all.finish();
        set.rename_classes(&self.rename).map_err(failure)?;
        let notes = remarks.notes().into_iter().map(|note| format!("{side}: {note}")).collect();
        Ok(Annotated { set, notes, omits_empty_images })
    }

    /// Prints what was left out; with `--strict` it is an error instead.
    fn tell(&self, side: &str, remarks: &Remarks) -> anyhow::Result<()> {
        match remarks.left_out() {
            Some(left_out) if self.strict => {
                Err(Failure::input(format!("{side}: --strict is given and this would be {left_out}")))
            }
            Some(left_out) => {
                errln!("slidemill: {side}: {left_out}");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// As [`Reader::read`], with the patient or slide of each image when a list
    /// of them was given.
    ///
    /// # Errors
    ///
    /// Also a usage failure for an image that the list does not have.
    pub fn read_grouped(&self, side: &str, paths: &[PathBuf]) -> anyhow::Result<Annotated> {
        let mut annotated = self.read(side, paths)?;
        self.group(&mut annotated.set)?;
        Ok(annotated)
    }

    /// Gives each image of `set` its patient or slide, when a list was given.
    ///
    /// # Errors
    ///
    /// A usage failure for an image that the list does not have.
    pub fn group(&self, set: &mut ObjectSet) -> anyhow::Result<()> {
        let Some(groups) = &self.groups else { return Ok(()) };
        for image in &mut set.images {
            image.group = Some(groups.group_of(&image.name)?);
        }
        Ok(())
    }
}

/// Patient or slide of each image, and the path of the list that names them.
#[derive(Debug)]
struct Groups {
    index: NameIndex,
    groups: Vec<String>,
    path: PathBuf,
}

impl Groups {
    fn read(path: &Path) -> anyhow::Result<Self> {
        const IMAGE: &[&str] = &["image", "id", "name", "file", "image name", "file name"];
        const GROUP: &[&str] = &["group", "patient", "case", "slide"];
        let wrong = |error: EvalError| Failure::usage(format!("--groups: {error}"));
        let (text, _) = read_text(path).map_err(wrong)?;
        let sheet = Sheet::new(&text, path).map_err(wrong)?;
        let (image, group) =
            (column(&sheet, "an image", IMAGE, path)?, column(&sheet, "a group", GROUP, path)?);
        let [images, groups] = [image, group].map(|column| {
            let cells = sheet.rows.iter().map(|row| row.get(column).unwrap_or_default().trim().to_owned());
            cells.collect::<Vec<String>>()
        });
        Ok(Self { index: NameIndex::new(images.iter().map(String::as_str)), groups, path: path.to_owned() })
    }

    fn group_of(&self, image: &str) -> anyhow::Result<String> {
        let problem = match self.index.find(image) {
            Found::One { place, .. } => return Ok(self.groups[place as usize].clone()),
            Found::Nothing => "no row",
            Found::Several => "several rows",
        };
        Err(Failure::usage(format!("--groups has {problem} for {image:?}: {}", self.path.display())))
    }
}

fn column(sheet: &Sheet, what: &str, names: &[&str], path: &Path) -> anyhow::Result<usize> {
    sheet.column(names).ok_or_else(|| {
        let found = sheet.header.iter().collect::<Vec<_>>().join(", ");
        let (names, path) = (names.join(", "), path.display());
        Failure::usage(format!(
            "--groups: the columns are {found}, expected one that names {what}: {names}: {path}"
        ))
    })
}

/// Gives the slides of a slidemill dataset, which go by ids, the names of their files, where known, and the
/// tissue that was analysed.
fn name_slides(root: &Path, set: &mut ObjectSet) -> anyhow::Result<()> {
    let dataset = Dataset::at(root);
    if !root.join("runs").is_dir() {
        return Ok(());
    }
    let names = slide_names::<String>(&dataset)?;
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
            Outcome::Partial => errln!("slidemill: not all of it was analysed: {name}"),
            Outcome::Failed => errln!("slidemill: it failed and has no results: {name}"),
        }
    }
    Ok(())
}

/// Name of a slide or picture: its path, so that two files with the same name stay apart; the path of its
/// folder for generic file names, such as `image.png`.
#[must_use]
pub fn picture_name(path: &Path) -> String {
    let own = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let generic = matches!(stem(&own), "image" | "img" | "picture" | "slide" | "tile");
    let folder = path.parent().filter(|folder| generic && folder.file_name().is_some());
    folder.unwrap_or(path).to_string_lossy().into_owned()
}

/// Turns an error into a usage failure if the request was wrong, and into an input failure if a file was;
/// adds the option that helps.
#[must_use]
pub fn failure(error: EvalError) -> anyhow::Error {
    let cure = match error {
        EvalError::Criterion(_)
        | EvalError::Setting { .. }
        | EvalError::NoMpp { .. }
        | EvalError::PointsHaveNoArea { .. } => return Failure::usage(error),
        EvalError::ImagesWithoutTruth { .. } => "--skip-unknown leaves them out",
        EvalError::CrowdsAlone { .. } => "--crowd-objects does",
        EvalError::NoCommonClass { .. } => "--rename FROM=TO, --one-class",
        _ => return Failure::input(error),
    };
    Failure::input(format!("{error} ({cure})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_folder_where_names_are_not_enough() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("groups.csv");
        std::fs::write(&path, "sep=;\nImage;Patient\na/001.svs;anna\nb/001.svs;ben\n002;carla\n")
            .expect("a file");
        let groups = Groups::read(&path).expect("groups");
        let [ben, carla, several, none] = ["/data/b/001.geojson", "002.csv", "001", "003"]
            .map(|image| groups.group_of(image).map_err(|error| error.to_string()));
        assert_eq!(ben.as_deref(), Ok("ben"));
        assert_eq!(carla.as_deref(), Ok("carla"));
        assert!(several.unwrap_err().contains("several rows for \"001\""));
        assert!(none.unwrap_err().contains("no row for \"003\""));
    }
}
