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
//! All give level-0 px. A file that does not name its image is about the image of its own path, by which
//! [`align`](crate::align::align) finds it; `label.png` and similar names take the path of their folder.
//! Geometries that are not objects are left out, counted and listed in [`Reading::remarks`].

mod archive;
mod bytes;
mod coco;
mod files;
mod geojson;
mod labels;
pub mod mask;
mod outline;
mod parquet_cells;
mod points;
mod reading;
pub mod remarks;
mod settings;
pub mod sheet;
mod text;
mod wkb;
mod yolo_folder;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use self::{
    bytes::read_bytes,
    files::{Source, collect_files, has_ending, is_annotation_name},
    remarks::Remark,
};
pub use self::{
    reading::{Reading, Together},
    settings::{Parts, QuPathObjects, ReadSettings},
    text::{Encoding, read_text},
};
pub use crate::objects::UNNAMED_CLASS;
use crate::{EvalError, error::Result};

/// Reads a file, or every annotation file of a folder, by name order.
///
/// # Errors
///
/// [`EvalError::Read`], [`EvalError::UnknownFormat`] and [`EvalError::Malformed`], which names the place.
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

/// The files that [`read`] would open: for a folder, those that may hold annotations.
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

/// Reads a folder. Files that hold no objects (an index, a list of patients) are skipped, as long as others
/// do.
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
    if together.files() == 0 {
        return label_maps(folder, settings)?
            .ok_or_else(|| EvalError::UnknownFormat { path: folder.to_owned() });
    }
    Ok(together.finish())
}

/// Reads a folder of PNGs that are label maps, though they are named as the slides are. `None` if there is no
/// PNG, or one that cannot be a label map.
fn label_maps(folder: &Path, settings: &ReadSettings) -> Result<Option<Reading>> {
    let mut together = Together::default();
    for file in collect_files(folder)?.iter().filter(|file| has_ending(file, &[".png"])) {
        if !labels::may_be_labels(file)? {
            return Ok(None);
        }
        together.add(labels::read_png(&Source::new(file), settings)?, file)?;
        together.note(Remark::PicturesAsLabels, 1, file);
    }
    Ok((together.files() > 0).then(|| together.finish()))
}

/// Annotation files of a folder: a run's tables, or any annotation files below it.
fn annotation_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let cells = folder.join("cells");
    let mut files = collect_files(if cells.is_dir() { &cells } else { folder })?;
    files.retain(|file| is_annotation_name(file));
    Ok(files)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::stem;

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
        // Two files of one image are put together, with a remark.
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
