//! Cells and regions as an export takes them: streamed out of the tables of one slide.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use merger::{
    CellReader, CellRow, MergeError, ReadSettings, RegionReader, RegionRow, RowBatch, TableHeader, id::MAX_ID,
};
use serde::Deserialize;
use wsi_types::{ClassId, Level0Box, Mpp, wording::versioned};

use crate::{
    choice::Choice,
    error::{ConvertError, Result, malformed},
    measure::{self, Measure},
};

/// Facts of a slide that an export needs beside its cells.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideFacts {
    /// Its id in the dataset: what outputs are called by.
    pub id: String,
    /// Width and height of level 0, px.
    pub size_px: [u32; 2],
    /// µm per level-0 px.
    pub mpp: Mpp,
    /// Corner of what was scanned, from which QuPath and others count, level-0 px.
    pub scanned_from: [i64; 2],
    /// Names by class.
    pub class_names: Vec<String>,
    /// A colour for each class.
    pub class_colours: Vec<[u8; 3]>,
    /// Who found the cells.
    pub model: ModelName,
    /// A hash over slide, model and settings: other settings, other identifiers.
    pub fingerprint: String,
    /// When the cells were written, for formats that must tell: not when they are exported, so that an export is the
    /// same every time.
    pub made_at: std::time::SystemTime,
}

impl SlideFacts {
    /// The name of a class, also of one the model does not list.
    #[must_use]
    pub fn class_name(&self, class: ClassId) -> String {
        let known = self.class_names.get(usize::from(class.0)).cloned();
        known.unwrap_or_else(|| format!("class_{}", class.0))
    }

    /// The colour of a class, black for one without.
    #[must_use]
    pub fn class_colour(&self, class: ClassId) -> [u8; 3] {
        self.class_colours.get(usize::from(class.0)).copied().unwrap_or_default()
    }

    /// The class of that name.
    #[must_use]
    pub fn class_named(&self, name: &str) -> Option<ClassId> {
        self.class_names.iter().position(|known| known == name).map(|place| ClassId(place as u16))
    }
}

/// Name and version of a model, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ModelName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl fmt::Display for ModelName {
    /// The name, and the version if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&versioned(&self.name, &self.version))
    }
}

impl ModelName {
    /// Its version, or that there is none.
    pub(crate) fn stated_version(&self) -> &str {
        if self.version.is_empty() { "unknown" } else { &self.version }
    }
}

/// Origin of a cell table's cells, which other tables do not tell.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The part of level 0 that was scanned.
    pub bounds: Option<Level0Box>,
    /// A hash over slide, model and settings.
    pub fingerprint: String,
    /// The model that found the cells.
    pub model: ModelName,
}

/// The cells of one slide, to be streamed.
#[derive(Debug)]
pub struct CellTable {
    path: PathBuf,
    header: TableHeader,
    origin: Origin,
    measures: Vec<Measure>,
}

/// Columns that exports need beside those of measures.
const COLUMNS: [&str; 6] = ["cell_id", "class_id", "x_px", "y_px", "bbox", "geometry"];

impl CellTable {
    /// Opens a cell table of ours.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is none of ours.
    pub fn open(path: &Path) -> Result<Self> {
        let none = ReadSettings { columns: Some(&[]), ..ReadSettings::default() };
        let header = CellReader::open(path, none).map_err(of_table(path))?.header().clone();
        let noted = serde_json::Value::Object(header.provenance.clone());
        let origin = serde_json::from_value(noted).map_err(|error| {
            malformed("the cell table", format!("what it says of itself makes no sense: {error}"), path)
        })?;
        let measures = measure::measures_of(&header);
        Ok(Self { path: path.to_owned(), header, origin, measures })
    }

    /// Facts that every table of ours holds.
    #[must_use]
    pub fn header(&self) -> &TableHeader {
        &self.header
    }

    /// The measures that its cells are handed on with, in this order.
    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// Origin of its cells.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Batches of at most `rows` cells, without row groups that `choice` has nothing of.
    pub(crate) fn batches(&self, choice: &Choice, rows: usize) -> Result<Batches<'_>> {
        let columns: Vec<&str> = COLUMNS.into_iter().chain(["region_id"]).chain(measure::columns()).collect();
        let settings = ReadSettings {
            columns: Some(&columns),
            within: choice.within.as_ref().map(|area| area.bounds()),
            rows_per_batch: Some(rows),
        };
        let reader = CellReader::open(&self.path, settings).map_err(of_table(&self.path))?;
        Ok(Batches { reader, table: self })
    }

    /// The chosen cells of a batch.
    pub(crate) fn rows_of(&self, batch: &RowBatch<CellRow>, choice: &Choice) -> Result<Vec<CellRow>> {
        let mut rows = batch.rows().map_err(of_table(&self.path))?;
        rows.retain(|cell| choice.takes(cell.class_id, cell.score, cell.centroid));
        let ids = rows.iter().flat_map(|cell| [Some(cell.cell_id), cell.region_id]).flatten();
        keep_their_digits(ids).map_err(|problem| malformed("the cell table", problem, &self.path))?;
        Ok(rows)
    }
}

/// Batches of cells whose rows are not taken apart yet.
pub(crate) struct Batches<'a> {
    reader: CellReader,
    table: &'a CellTable,
}

impl Iterator for Batches<'_> {
    type Item = Result<RowBatch<CellRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.reader.next_batch()?.map_err(of_table(&self.table.path)))
    }
}

fn of_table(path: &Path) -> impl Fn(MergeError) -> ConvertError {
    move |source| ConvertError::Table { source, path: path.to_owned() }
}

/// All regions of a slide; none where there is no table.
///
/// # Errors
///
/// When the table cannot be read or is none of ours.
pub fn read_regions(path: &Path) -> Result<Vec<RegionRow>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let reader = RegionReader::open(path, ReadSettings::default()).map_err(of_table(path))?;
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(of_table(path))?;
    let regions = batches.concat();
    keep_their_digits(regions.iter().map(|region| region.region_id))
        .map_err(|problem| malformed("the regions table", problem, path))?;
    Ok(regions)
}

/// Refuses ids that other programs would round.
fn keep_their_digits(ids: impl Iterator<Item = u64>) -> std::result::Result<(), String> {
    match ids.max() {
        Some(largest) if largest > MAX_ID => Err(format!(
            "it holds ids of an older slidemill, up to {largest}, which other programs would round; make it again with \
             `slidemill merge`, or with `slidemill run … --redo`"
        )),
        _ => Ok(()),
    }
}

/// Kinds of regions and classes of cells by name, with a number each that no two share: classes first.
#[must_use]
pub fn kinds_beyond_classes(facts: &SlideFacts, regions: &[RegionRow]) -> BTreeMap<String, usize> {
    let mut kinds: Vec<&str> = regions.iter().map(|region| region.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let unknown = kinds.into_iter().filter(|kind| facts.class_named(kind).is_none());
    unknown.zip(facts.class_names.len()..).map(|(kind, place)| (kind.to_owned(), place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GeoJSON, R and JavaScript would round them.
    #[test]
    fn ids_of_older_tables_that_others_would_round_are_refused() {
        assert_eq!(keep_their_digits([7, MAX_ID].into_iter()), Ok(()));
        let refused = keep_their_digits([7, u64::MAX - 1].into_iter()).unwrap_err();
        assert!(refused.contains("older slidemill") && refused.contains("slidemill merge"), "{refused}");
    }
}
