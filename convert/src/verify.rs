//! Reads an export back and compares it with what was written.

use std::path::Path;

use eval::{
    objects::{ObjectSet, Shape},
    truth::{QuPathObjects, ReadSettings},
};

use crate::{
    error::{ConvertError, Result, refused},
    into,
    out::{Format, Settings},
    source::SlideFacts,
    tally::Tally,
};

/// Areas may differ by this share: grids and single precision.
const AREA_OFF: f64 = 1e-3;

/// Compares counts by class and the area of all cells of the file at `path` with `tally`. All of it is in memory then:
/// about 700 bytes for a cell of 24 points.
///
/// # Errors
///
/// [`ConvertError::NotAsWritten`] when they differ, and what reading gives.
pub fn verify(
    format: Format,
    facts: &SlideFacts,
    settings: &Settings,
    tally: &Tally,
    path: &Path,
) -> Result<()> {
    if !format.holds_cells() {
        return refused(format!("{} holds no cells that could be read back", format.name()));
    }
    let qupath = if settings.points { QuPathObjects::All } else { QuPathObjects::Detections };
    let mut set = into::read(path, &ReadSettings { qupath, ..ReadSettings::default() })?.set;
    if settings.points {
        // Of QuPath's objects regions are no points.
        set.objects.retain(|object| matches!(object.shape, Shape::Point(_)));
    }
    let um = facts.mpp.get();
    let area = if settings.points { None } else { area_um2(&set, um) };
    let problem = tally.difference(&into::count_by_class(&set), area, AREA_OFF);
    problem.map_or(Ok(()), |problem| {
        let problem = format!("{}: {problem}", format.name());
        Err(ConvertError::NotAsWritten { problem, path: path.to_owned() })
    })
}

fn area_um2(set: &ObjectSet, um: f64) -> Option<f64> {
    into::area_px2(set).map(|area| area * um * um)
}
