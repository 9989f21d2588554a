//! Reads the tables of a dataset back.

use std::path::Path;

use merger::{CellReader, CellRow, ReadSettings, RegionReader, RegionRow};

use crate::error::DatasetError;

/// Hands every cell of a table to `each`, in the order of its rows, with the values of `columns` in it.
/// Memory holds one batch of them at a time.
///
/// # Errors
///
/// When the file cannot be read or is not a cell table.
pub fn for_each_cell(
    path: &Path,
    columns: &[&str],
    mut each: impl FnMut(&CellRow),
) -> Result<(), DatasetError> {
    let settings = ReadSettings { columns: Some(columns), ..ReadSettings::default() };
    for cells in CellReader::open(path, settings)? {
        cells?.iter().for_each(&mut each);
    }
    Ok(())
}

/// All cells of a table, in the order of its rows.
///
/// # Errors
///
/// As [`for_each_cell`].
pub fn read_cells(path: &Path) -> Result<Vec<CellRow>, DatasetError> {
    let mut cells = Vec::new();
    for batch in CellReader::open(path, ReadSettings::default())? {
        cells.append(&mut batch?);
    }
    Ok(cells)
}

/// All regions of a table, in the order of its rows.
///
/// # Errors
///
/// When the file cannot be read or is not a regions table.
pub fn read_regions(path: &Path) -> Result<Vec<RegionRow>, DatasetError> {
    let mut regions = Vec::new();
    for batch in RegionReader::open(path, ReadSettings::default())? {
        regions.append(&mut batch?);
    }
    Ok(regions)
}

/// The bit of a detector in the result of [`seen_by`]: the last bit stands for its detector and all after it.
#[must_use]
pub fn detector_bit(place: usize) -> u32 {
    1 << place.min(31)
}

/// The detectors, of several, that saw a cell, by [bits](detector_bit). 0 if there was one detector.
#[must_use]
pub fn seen_by(cell: &CellRow) -> u32 {
    let scores = cell.detector_scores.iter().flatten().enumerate();
    let known = scores.filter(|(_, score)| score.is_some());
    known.fold(0, |bits, (place, _)| bits | detector_bit(place))
}
