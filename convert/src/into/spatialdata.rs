//! The shapes of a SpatialData store. Their coordinates are taken as level-0 px, as those of most tools are; a class is
//! the column `class_name`, which our own stores have.

use std::path::{Path, PathBuf};

use eval::truth::{self, ReadSettings, Reading};

use super::names::image_name;
use crate::error::{Result, malformed, unreadable};

const WHAT: &str = "the SpatialData store";

/// The folder of shapes of a store; `None` where it is none.
pub(super) fn shapes_of(path: &Path) -> Option<PathBuf> {
    let is_zarr = ["zarr.json", ".zattrs", ".zgroup"].iter().any(|name| path.join(name).is_file());
    let shapes = path.join("shapes");
    (is_zarr && shapes.is_dir()).then_some(shapes)
}

/// The element `cells`; where there is none, the only one there is.
pub(super) fn read(path: &Path, shapes: &Path, settings: &ReadSettings) -> Result<Reading> {
    let tables = shapes.join("cells/shapes.parquet");
    let table = if tables.is_file() { tables } else { only_table(path, shapes)? };
    let mut reading = truth::read(&table, settings)?;
    for image in &mut reading.set.images {
        image.name = image_name(path);
    }
    Ok(reading)
}

fn only_table(path: &Path, shapes: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(shapes).map_err(unreadable(WHAT, shapes))?;
    let tables = entries.flatten().map(|entry| entry.path().join("shapes.parquet"));
    let mut tables: Vec<PathBuf> = tables.filter(|table| table.is_file()).collect();
    tables.sort();
    match tables.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(malformed(WHAT, "it has no shapes, expected shapes/cells/shapes.parquet", path)),
        many => {
            let names: Vec<_> = many
                .iter()
                .filter_map(|table| table.parent()?.file_name())
                .map(|name| name.to_string_lossy())
                .collect();
            let names = names.join(", ");
            let problem = format!("it has the shapes {names}, expected one element or one called cells");
            Err(malformed(WHAT, problem, path))
        }
    }
}
