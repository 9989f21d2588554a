//! Zips of annotation files, as QuPath exports and imports them.

use std::path::Path;

use eval::truth::{self, ReadSettings, Reading, Together};

use super::names::image_name;
use crate::{
    error::{Result, malformed, unreadable},
    zip::Archive,
};

const WHAT: &str = "the zip of annotations";

/// All members that hold annotations; at least one must.
pub(super) fn read(path: &Path, settings: &ReadSettings) -> Result<Reading> {
    let mut archive = Archive::open(path).map_err(unreadable(WHAT, path))?;
    let folder = tempfile::tempdir().map_err(unreadable(WHAT, path))?;
    let mut all = Together::default();
    for place in 0..archive.entries.len() {
        let name = archive.entries[place].name.clone();
        let lower = name.to_ascii_lowercase();
        if !(lower.ends_with(".geojson") || lower.ends_with(".json")) {
            continue;
        }
        let bytes =
            archive.read(place).map_err(|error| malformed(WHAT, format!("member {name}: {error}"), path))?;
        // All members are about one slide: that of the zip.
        let file = folder.path().join(format!("{}.geojson", image_name(path)));
        std::fs::write(&file, bytes).map_err(unreadable(WHAT, path))?;
        let reading = truth::read(&file, settings)
            .map_err(|error| malformed(WHAT, format!("member {name}: {error}"), path))?;
        all.add_part(reading)?;
    }
    if all.files() == 0 {
        return Err(malformed(WHAT, "it holds no .geojson or .json, expected the objects of QuPath", path));
    }
    Ok(all.finish())
}
