//! Formats in: another tool's cells as objects in level-0 px.
//!
//! | format | recognised by |
//! | --- | --- |
//! | QuPath zip | a zip of GeoJSON members |
//! | TIAToolbox store | an SQLite file with a table `annotations` |
//! | DICOM annotations | DICOM's marker, and the class of bulk annotations |
//! | SpatialData store | a folder with `zarr.json` or `.zattrs` and `shapes` |
//! | CellViT, HoVer-Net | JSON with `cells` or `nuc` |
//! | HoVer-NeXt | JSON of numbered `[class, [y, x]]` |
//! | Label Studio | a JSON list of tasks with `data` and `predictions` or `annotations` |
//! | CVAT for images | XML with `annotations` |
//! | GeoJSON, COCO, CSV, label PNG and TIFF, slidemill tables | as [`eval::truth`] does |
//!
//! Files are known by what they hold, never by their names.

mod annotation_store;
mod areas;
mod cells;
mod cvat;
mod dicom_ann;
mod label_studio;
mod names;
mod nuclei_json;
mod spatialdata;
mod zipped;

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use eval::{
    objects::{ObjectSet, Role, Shape},
    truth::{self, ReadSettings, Reading},
};

use crate::error::{Result, unreadable};
pub use areas::{AreaSettings, Areas, read_areas};
pub use cells::{Placing, TakenOver, take_over};

/// Reads all objects of a file, or of a folder where a format is one, and what was left out or had to be decided.
///
/// # Errors
///
/// When it cannot be read, is of no known format, or is damaged: then it says where.
pub fn read(path: &Path, settings: &ReadSettings) -> Result<Reading> {
    const SQLITE: &[u8] = b"SQLite format 3\0";
    const ZIP: &[u8] = b"PK\x03\x04";
    if path.is_dir() {
        return match spatialdata::shapes_of(path) {
            Some(shapes) => spatialdata::read(path, &shapes, settings),
            None => Ok(truth::read(path, settings)?),
        };
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(132).read_to_end(&mut head))
        .map_err(unreadable("the cells", path))?;
    if head.starts_with(SQLITE) {
        annotation_store::read(path).map(all_taken)
    } else if head.starts_with(ZIP) {
        zipped::read(path, settings)
    } else if head.get(128..) == Some(b"DICM") {
        dicom_ann::read(path).map(all_taken)
    } else if let Some(set) = nuclei_json::read(path, &head)? {
        Ok(all_taken(set))
    } else if let Some(set) = label_studio::read(path, &head)? {
        Ok(all_taken(set))
    } else if let Some(set) = cvat::read(path, &head)? {
        Ok(all_taken(set))
    } else {
        Ok(truth::read(path, settings)?)
    }
}

/// Objects of a format of which nothing is left out.
fn all_taken(set: ObjectSet) -> Reading {
    Reading { set, ..Reading::default() }
}

/// Objects by class name, without areas nobody annotated.
#[must_use]
pub fn count_by_class(set: &ObjectSet) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for object in set.objects.iter().filter(|object| object.role != Role::IgnoreArea) {
        *counts.entry(set.class_name(object.class).to_owned()).or_insert(0) += 1;
    }
    counts
}

/// Area of all objects, px²; `None` where one of them is a point.
#[must_use]
pub fn area_px2(set: &ObjectSet) -> Option<f64> {
    set.objects.iter().map(|object| area_of(&object.shape)).sum()
}

fn area_of(shape: &Shape) -> Option<f64> {
    match shape {
        Shape::Point(_) => None,
        other => Some(other.area()),
    }
}
