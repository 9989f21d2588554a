//! Reading objects from the files people have.
//!
//! | format | recognised by | shapes |
//! | --- | --- | --- |
//! | slidemill output | a folder with `cells/`, or Parquet | points, boxes, outlines |
//! | GeoJSON (QuPath) | `FeatureCollection`, a feature, or a list of them; `.gz` and `.zip` too | points, outlines |
//! | COCO JSON | `annotations`, or a list of results | boxes, outlines, RLE masks |
//! | CSV, TSV | a header with x and y; those of QuPath and of scikit-image's `regionprops_table` | points, boxes |
//! | label PNG | 8- or 16-bit gray | pixel masks |
//! | label TIFF | one channel of 8, 16 or 32 bits | pixel masks |
//! | YOLO data set | a folder with `images/` and `labels/`, or a part of either | boxes, outlines |
//!
//! All give level-0 px. A file that does not name its image gives it its own
//! path, by which [`align`](crate::objects::align) finds the image again; `label.png`
//! and the like take that of their folder. What is no object is left out, counted
//! and told in [`Reading::remarks`].

mod archive;
mod coco;
mod geojson;
mod labels;
pub mod mask;
mod outline;
mod parquet_cells;
mod points;
pub mod remarks;
pub mod sheet;
mod text;
mod wkb;
mod yolo_folder;

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use wsi_types::Mpp;

pub use self::text::{Encoding, read_text};
use self::{
    remarks::{Remark, Remarks},
    text::decoded,
};
use crate::{
    EvalError,
    error::Result,
    names::stem,
    objects::{Detail, ObjectSet, SetBuilder},
};

/// The class of objects whose file does not know classes.
pub const UNNAMED_CLASS: &str = "object";

/// How files are read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadSettings {
    /// What to keep of shapes; [`Criterion::detail`](crate::matching::Criterion::detail)
    /// says what a criterion needs.
    pub detail: Detail,
    /// Pixel size of images whose file does not say it.
    pub mpp: Option<Mpp>,
    /// Classes that mean "nobody annotated here". QuPath's `Ignore*` is known.
    pub ignore_classes: Vec<String>,
    /// Takes the nucleus of a QuPath cell that has both outlines.
    pub nuclei: bool,
    /// What separate parts of one shape are.
    pub parts: Parts,
    /// Takes what is marked `iscrowd` for single objects: CVAT marks all that was
    /// drawn with its brush so.
    pub crowds_are_objects: bool,
    /// Takes of QuPath's objects only those that a program detected, and none that are annotations.
    pub detections_only: bool,
}

impl Default for ReadSettings {
    fn default() -> Self {
        Self {
            detail: Detail::Full,
            mpp: None,
            ignore_classes: vec!["Ignore*".to_owned(), "Ignore".to_owned(), "ignore".to_owned()],
            nuclei: false,
            parts: Parts::default(),
            crowds_are_objects: false,
            detections_only: false,
        }
    }
}

/// What the separate parts of a GeoJSON multi-polygon, or of a mask with one
/// number, are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parts {
    /// Objects each, where an annotation's class is one of cells: QuPath merges
    /// all annotations of a class into one. Else parts of one object.
    #[default]
    ByClass,
    /// Parts of one object.
    Whole,
    /// Objects each.
    Objects,
}

/// What a file or folder holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The objects.
    pub set: ObjectSet,
    /// What was left out or had to be decided.
    pub remarks: Remarks,
    /// Whether images that were looked at may be missing from the set because
    /// nothing was found in them: COCO results name an image only where they have
    /// an object.
    pub omits_empty_images: bool,
}

impl Reading {
    /// Without remarks, of a format that names every image.
    fn of_all_images(set: ObjectSet) -> Self {
        Self { set, ..Self::default() }
    }
}

/// Several files as one.
#[derive(Default)]
struct Together {
    set: SetBuilder,
    remarks: Remarks,
    omits_empty_images: bool,
    files: usize,
}

impl Together {
    fn add(&mut self, reading: Reading, path: &Path) -> Result<()> {
        let joined = self.set.append(reading.set)?;
        self.remarks.extend(reading.remarks);
        self.remarks.add(Remark::SharedImage, joined as u64, || path.display().to_string());
        self.omits_empty_images |= reading.omits_empty_images;
        self.files += 1;
        Ok(())
    }

    fn finish(self) -> Reading {
        Reading { set: self.set.finish(), remarks: self.remarks, omits_empty_images: self.omits_empty_images }
    }
}

/// Reads a file, or every annotation file of a folder, by name order.
///
/// # Errors
///
/// [`EvalError::Read`], [`EvalError::UnknownFormat`] and
/// [`EvalError::Malformed`], which says where.
pub fn read(path: &Path, settings: &ReadSettings) -> Result<Reading> {
    let data_set = yolo_folder::YoloFolder::at(path).filter(|_| path.is_dir());
    let mut reading = match data_set {
        Some(data_set) => Reading::of_all_images(data_set.read(settings)?),
        None if path.is_dir() => read_folder(path, settings)?,
        None => read_file(path, settings)?,
    };
    if let Some(mpp) = settings.mpp {
        reading.set.assume_mpp(mpp);
    }
    Ok(reading)
}

/// The files that [`read`] would look into: a folder's that may hold annotations.
///
/// # Errors
///
/// [`EvalError::Read`] when a folder cannot be listed.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    if let Some(data_set) = yolo_folder::YoloFolder::at(path) {
        return collect_files(data_set.root());
    }
    let mut files = annotation_files(path)?;
    if files.is_empty() {
        files = collect_files(path)?;
    }
    Ok(files)
}

/// Reads several files or folders as one. Images and classes of one name become
/// one.
///
/// # Errors
///
/// As [`read`].
pub fn read_all(paths: &[PathBuf], settings: &ReadSettings) -> Result<Reading> {
    let mut together = Together::default();
    for path in paths {
        together.add(read(path, settings)?, path)?;
    }
    Ok(together.finish())
}

/// Files of a folder that hold no objects (an index, a list of patients) are
/// passed over, as long as others do.
fn read_folder(folder: &Path, settings: &ReadSettings) -> Result<Reading> {
    let files = annotation_files(folder)?;
    let mut together = Together::default();
    for file in &files {
        match read_file(file, settings) {
            Ok(more) => together.add(more, file)?,
            Err(EvalError::UnknownFormat { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if together.files == 0 {
        return label_maps(folder, settings)?
            .ok_or_else(|| EvalError::UnknownFormat { path: folder.to_owned() });
    }
    Ok(together.finish())
}

/// A folder of PNGs that are label maps, though they are called as the slides are.
/// `None` where there is none, or one that cannot be a label map.
fn label_maps(folder: &Path, settings: &ReadSettings) -> Result<Option<Reading>> {
    let mut together = Together::default();
    for file in collect_files(folder)?.iter().filter(|file| has_ending(file, &[".png"])) {
        if !labels::may_be_labels(file)? {
            return Ok(None);
        }
        together.add(labels::read_png(&Source::new(file), settings)?, file)?;
        together.remarks.add(Remark::PicturesAsLabels, 1, || file.display().to_string());
    }
    Ok((together.files > 0).then(|| together.finish()))
}

/// What a folder holds: a run's tables, or any annotation files below it.
fn annotation_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let cells = folder.join("cells");
    let mut files = collect_files(if cells.is_dir() { &cells } else { folder })?;
    files.retain(|file| is_annotation_name(file));
    Ok(files)
}

/// All regular files below a folder, by name order. Links are followed, each folder is visited once.
fn collect_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, &mut BTreeSet::new(), &mut files)?;
    Ok(files)
}

fn collect(folder: &Path, visited: &mut BTreeSet<PathBuf>, files: &mut Vec<PathBuf>) -> Result<()> {
    if fs::canonicalize(folder).is_ok_and(|place| !visited.insert(place)) {
        return Ok(());
    }
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(|source| EvalError::Read { source, path: folder.to_owned() })?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, visited, files)?;
        } else if entry.is_file() {
            files.push(entry);
        }
    }
    Ok(())
}

/// Endings of annotation files of text.
const TEXTS: [&str; 4] = [".geojson", ".json", ".csv", ".tsv"];

/// Pictures lie beside their annotations, so a PNG must call itself a label.
fn is_annotation_name(path: &Path) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    let picture = name.ends_with(".png") && (name.contains("label") || name.contains("mask"));
    let hidden = name.starts_with('.');
    !hidden && (picture || has_ending(path, &TEXTS) || has_ending(path, &[".geojson.gz", ".zip", ".parquet"]))
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A file, for errors, and the image it is about unless it says so itself.
struct Source<'a> {
    path: &'a Path,
    image: String,
}

impl<'a> Source<'a> {
    fn new(path: &'a Path) -> Self {
        Self { path, image: image_name(path) }
    }

    /// A place in the file, for remarks.
    fn at(&self, place: impl std::fmt::Display) -> String {
        format!("{place}: {}", self.path.display())
    }
}

/// The name of the image that a file without one is about: its path, without
/// extension. Of `label.png` and the like that of its folder.
fn image_name(path: &Path) -> String {
    const GENERIC: [&str; 8] =
        ["label", "labels", "mask", "points", "annotations", "nuclei", "cells", "objects"];
    let name = file_name(path);
    let own = stem(&name);
    let folder = path.parent().filter(|folder| folder.file_name().is_some());
    match folder {
        Some(folder) if GENERIC.contains(&own) => folder.to_string_lossy().into_owned(),
        Some(folder) => folder.join(own).to_string_lossy().into_owned(),
        None => own.to_owned(),
    }
}

fn read_file(path: &Path, settings: &ReadSettings) -> Result<Reading> {
    let failed = |source| EvalError::Read { source, path: path.to_owned() };
    let mut head = [0; 8];
    let mut file = fs::File::open(path).map_err(failed)?;
    let length = file.read(&mut head).map_err(failed)?;
    let source = Source::new(path);
    match &head[..length] {
        [b'P', b'A', b'R', b'1', ..] => parquet_cells::read(&source, settings),
        [0x89, b'P', b'N', b'G', ..] => labels::read_png(&source, settings),
        head if labels::is_tiff(head) => labels::read_tiff(&source, settings),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => archive::read(&source, settings),
        [0x1f, 0x8b, ..] => {
            let mut bytes = Vec::new();
            let unzipped = fs::File::open(path).map(flate2::read::MultiGzDecoder::new);
            unzipped.and_then(|mut file| file.read_to_end(&mut bytes)).map_err(failed)?;
            read_bytes(bytes, &source, settings)
        }
        _ => read_bytes(fs::read(path).map_err(failed)?, &source, settings),
    }
}

/// JSON of two kinds, or a table.
fn read_bytes(bytes: Vec<u8>, source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let (text, encoding) = decoded(bytes, source.path)?;
    let mut reading = match text.trim_start().chars().next() {
        Some('{' | '[') if coco::looks_like(&text) => coco::read(&text, source, settings),
        Some('{' | '[') => geojson::read(&text, source, settings),
        Some(_) if points::looks_like(&text) => points::read(&text, source, settings),
        _ => Err(EvalError::UnknownFormat { path: source.path.to_owned() }),
    }?;
    let guessed = u64::from(encoding == Encoding::Windows1252);
    reading.remarks.add(Remark::Windows1252, guessed, || source.path.display().to_string());
    Ok(reading)
}

/// An error about one place of one file.
fn malformed(
    format: &'static str,
    place: impl Into<String>,
    problem: impl Into<String>,
    path: &Path,
) -> EvalError {
    EvalError::Malformed { format, place: place.into(), problem: problem.into(), path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_names_take_that_of_their_folder() {
        assert_eq!(image_name(Path::new("tnbc/dev/05_1/label.png")), "tnbc/dev/05_1");
        assert_eq!(image_name(Path::new("truth/slide-7.geojson.gz")), "truth/slide-7");
        assert_eq!(image_name(Path::new("label.png")), "label");
    }

    #[test]
    fn what_is_no_annotation_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        fs::write(&file, "hello\n").unwrap();
        assert!(matches!(read(&file, &ReadSettings::default()), Err(EvalError::UnknownFormat { .. })));
        assert!(matches!(
            read(folder.path(), &ReadSettings::default()),
            Err(EvalError::UnknownFormat { .. })
        ));
        let absent = folder.path().join("absent.json");
        assert!(matches!(read(&absent, &ReadSettings::default()), Err(EvalError::Read { .. })));
    }

    #[test]
    fn a_folder_is_read_whole_without_its_pictures() {
        let folder = tempfile::tempdir().unwrap();
        for (id, text) in [("b", "x,y,class\n1,2,1\n3,4,2\n"), ("a", "x,y,class\n5,6,2\n")] {
            fs::create_dir(folder.path().join(id)).unwrap();
            fs::write(folder.path().join(id).join("points.csv"), text).unwrap();
            fs::write(folder.path().join(id).join("image.png"), "not read").unwrap();
        }
        fs::write(folder.path().join("index.csv"), "id,patient\na,1\nb,2\n").unwrap();
        let set = read(folder.path(), &ReadSettings::default()).unwrap().set;
        let names: Vec<&str> = set.images.iter().map(|image| stem(&image.name)).collect();
        assert_eq!(names, ["a", "b"]);
        let classes: Vec<&str> = set.objects.iter().map(|o| set.class_name(o.class)).collect();
        assert_eq!(classes, ["2", "1", "2"]);
    }
    #[test]
    fn files_of_one_name_in_two_folders_are_two_images() {
        let folder = tempfile::tempdir().unwrap();
        for (id, text) in [("a", "x,y\n1,2\n"), ("b", "x,y\n5,6\n7,8\n")] {
            fs::create_dir(folder.path().join(id)).unwrap();
            fs::write(folder.path().join(id).join("001.csv"), text).unwrap();
        }
        let settings = ReadSettings::default();
        let both = read(folder.path(), &settings).unwrap();
        assert_eq!((both.set.images.len(), both.remarks.notes()), (2, Vec::new()));
        // Given one by one, too.
        let paths = ["a", "b"].map(|id| folder.path().join(id).join("001.csv"));
        assert_eq!(read_all(&paths, &settings).unwrap().set.images.len(), 2);
        // Two files of one image are put together, and that is said.
        fs::write(folder.path().join("a/001.geojson"), "[]").unwrap();
        let joined = read(folder.path(), &settings).unwrap();
        assert_eq!((joined.set.images.len(), joined.remarks.count(Remark::SharedImage)), (2, 1));
    }

    #[test]
    fn hidden_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), "x,y\n1,2\n").unwrap();
        fs::write(folder.path().join("._a.csv"), b"\x00\x05\x16\x07").unwrap();
        assert_eq!(read(folder.path(), &ReadSettings::default()).unwrap().set.objects.len(), 1);
    }
}
