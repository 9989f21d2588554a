//! Reading objects from the files people have.
//!
//! | format | recognised by | shapes |
//! | --- | --- | --- |
//! | slidemill output | a folder with `cells/`, or Parquet | points, boxes, outlines |
//! | GeoJSON (QuPath) | `FeatureCollection`, a feature, or a list of them; `.gz` too | points, outlines |
//! | COCO JSON | `annotations`, or a list of results | boxes, outlines, RLE masks |
//! | CSV, TSV | a header with x and y | points, boxes |
//! | label PNG | 8- or 16-bit gray | pixel masks |
//! | YOLO data set | a folder with `images/` and `labels/`, or a part of either | boxes, outlines |
//!
//! All give level-0 px. A file that does not name its image gives it the file's
//! own name; `label.png` and the like take that of their folder.

mod coco;
mod geojson;
mod label_png;
pub mod mask;
mod parquet_cells;
mod points;
mod wkb;
mod yolo_folder;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use wsi_types::Mpp;

use crate::{
    EvalError,
    error::Result,
    objects::{Detail, ObjectSet, stem},
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
}

impl Default for ReadSettings {
    fn default() -> Self {
        Self {
            detail: Detail::Full,
            mpp: None,
            ignore_classes: vec!["Ignore*".to_owned(), "Ignore".to_owned(), "ignore".to_owned()],
            nuclei: false,
        }
    }
}

/// Reads a file, or every annotation file of a folder, by name order.
///
/// # Errors
///
/// [`EvalError::Read`], [`EvalError::UnknownFormat`] and
/// [`EvalError::Malformed`], which says where.
pub fn read(path: &Path, settings: &ReadSettings) -> Result<ObjectSet> {
    let data_set = yolo_folder::YoloFolder::at(path).filter(|_| path.is_dir());
    let mut set = match data_set {
        Some(data_set) => data_set.read(settings)?,
        None if path.is_dir() => read_folder(path, settings)?,
        None => read_file(path, settings)?,
    };
    if let Some(mpp) = settings.mpp {
        set.assume_mpp(mpp);
    }
    Ok(set)
}

/// Files of a folder that hold no objects (an index, a list of patients) are
/// passed over, as long as others do.
fn read_folder(folder: &Path, settings: &ReadSettings) -> Result<ObjectSet> {
    let mut set = ObjectSet::default();
    let mut known = 0;
    for file in annotation_files(folder)? {
        match read_file(&file, settings) {
            Ok(more) => {
                set.append(more)?;
                known += 1;
            }
            Err(EvalError::UnknownFormat { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if known == 0 {
        return Err(EvalError::UnknownFormat { path: folder.to_owned() });
    }
    Ok(set)
}

/// What a folder holds: a run's tables, or any annotation files below it.
fn annotation_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let cells = folder.join("cells");
    let mut files = collect_files(if cells.is_dir() { &cells } else { folder })?;
    files.retain(|file| is_annotation_name(file));
    Ok(files)
}

/// All files below a folder, by name order.
fn collect_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(|source| EvalError::Read { source, path: folder.to_owned() })?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files)?;
        } else {
            files.push(entry);
        }
    }
    Ok(())
}

/// Pictures lie beside their annotations, so a PNG must call itself a label.
fn is_annotation_name(path: &Path) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let picture = name.ends_with(".png") && (name.contains("label") || name.contains("mask"));
    picture || ends(&[".geojson", ".geojson.gz", ".json", ".csv", ".tsv", ".parquet"])
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The name of the image that a file without one is about.
fn image_name(path: &Path) -> String {
    const GENERIC: [&str; 8] =
        ["label", "labels", "mask", "points", "annotations", "nuclei", "cells", "objects"];
    let name = file_name(path);
    let own = stem(&name);
    let folder = path.parent().map(file_name).filter(|name| !name.is_empty());
    match folder {
        Some(folder) if GENERIC.contains(&own) => folder,
        _ => own.to_owned(),
    }
}

fn read_file(path: &Path, settings: &ReadSettings) -> Result<ObjectSet> {
    let failed = |source| EvalError::Read { source, path: path.to_owned() };
    let mut head = [0; 8];
    let mut file = fs::File::open(path).map_err(failed)?;
    let length = file.read(&mut head).map_err(failed)?;
    match &head[..length] {
        [b'P', b'A', b'R', b'1', ..] => parquet_cells::read(path, settings),
        [0x89, b'P', b'N', b'G', ..] => label_png::read(path, settings),
        [0x1f, 0x8b, ..] => {
            let mut text = String::new();
            let unzipped = fs::File::open(path).map(flate2::read::MultiGzDecoder::new);
            unzipped.and_then(|mut file| file.read_to_string(&mut text)).map_err(failed)?;
            read_text(&text, path, settings)
        }
        _ => {
            let text = fs::read_to_string(path).map_err(failed)?;
            read_text(&text, path, settings)
        }
    }
}

/// JSON of two kinds, or a table.
fn read_text(text: &str, path: &Path, settings: &ReadSettings) -> Result<ObjectSet> {
    let text = text.trim_start_matches('\u{feff}');
    match text.trim_start().chars().next() {
        Some('{' | '[') if coco::looks_like(text) => coco::read(text, path, settings),
        Some('{' | '[') => geojson::read(text, path, settings),
        Some(_) if points::looks_like(text) => points::read(text, path, settings),
        _ => Err(EvalError::UnknownFormat { path: path.to_owned() }),
    }
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn generic_names_take_that_of_their_folder() {
        assert_eq!(image_name(Path::new("tnbc/dev/05_1/label.png")), "05_1");
        assert_eq!(image_name(Path::new("truth/slide-7.geojson")), "slide-7");
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
        let set = read(folder.path(), &ReadSettings::default()).unwrap();
        let names: Vec<&str> = set.images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let classes: Vec<&str> = set.objects.iter().map(|o| set.class_name(o.class)).collect();
        assert_eq!(classes, ["2", "1", "2"]);
    }
}
