//! Cells and regions as an export takes them: streamed out of the tables of one slide.

use std::{collections::BTreeMap, fs::File, path::Path};

use arrow_array::{
    Array, Float32Array, RecordBatch,
    cast::AsArray,
    types::{Float32Type, Float64Type, UInt16Type, UInt64Type},
};
use eval::objects::Shape;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde::Deserialize;
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp};

use crate::{
    choice::Choice,
    error::{Result, malformed, unreadable},
    wkb,
};

const CELLS: &str = "the cell table";
const REGIONS: &str = "the regions table";

/// A measure of a cell: its column in our table, and what QuPath calls it.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// The column.
    pub column: &'static str,
    /// The measurement's name in QuPath.
    pub qupath: &'static str,
}

/// What a cell's [`measures`](CellRow::measures) are, in this order.
pub const MEASURES: [Measure; 10] = [
    Measure { column: "score", qupath: "Detection probability" },
    Measure { column: "area_um2", qupath: "Area µm^2" },
    Measure { column: "perimeter_um", qupath: "Length µm" },
    Measure { column: "circularity", qupath: "Circularity" },
    Measure { column: "solidity", qupath: "Solidity" },
    Measure { column: "eccentricity", qupath: "Eccentricity" },
    Measure { column: "max_diam_um", qupath: "Max diameter µm" },
    Measure { column: "min_diam_um", qupath: "Min diameter µm" },
    Measure { column: "hematoxylin_od", qupath: "Hematoxylin OD mean" },
    Measure { column: "eosin_od", qupath: "Eosin OD mean" },
];

/// What an export must know of a slide beside its cells.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideFacts {
    /// Its id in the dataset: what outputs are called by.
    pub id: String,
    /// Width and height of level 0, px.
    pub size_px: [u32; 2],
    /// µm per level-0 px.
    pub mpp: Mpp,
    /// Where QuPath and others begin to count: the corner of what was scanned, level-0 px.
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

/// One cell, as the table has it.
#[derive(Debug, Clone, PartialEq)]
pub struct CellRow {
    /// As in the table.
    pub id: u64,
    /// What it is.
    pub class: ClassId,
    /// In level-0 px.
    pub centroid: Level0Point,
    /// In level-0 px.
    pub bbox: Level0Box,
    /// Its outline or the corners of its box, level-0 px; the first point not repeated.
    pub ring: Vec<Level0Point>,
    /// The smallest region it lies in.
    pub region: Option<u64>,
    /// In the order of [`MEASURES`]; NaN where there is none.
    pub measures: [f32; MEASURES.len()],
}

impl CellRow {
    /// How sure the model is.
    #[must_use]
    pub fn score(&self) -> f32 {
        self.measures[0]
    }
}

/// One region, as the table has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionRow {
    /// As in the table.
    pub id: u64,
    /// `tissue`, `dense`, a class.
    pub kind: String,
    /// Without holes.
    pub area_um2: f64,
    /// The share that was looked at, 0 to 1.
    pub coverage: f64,
    /// Of it, µm².
    pub analysed_um2: f64,
    /// Cells whose centroid lies in it.
    pub n_cells: u64,
    /// Those by class, in the order of the classes.
    pub n_cells_by_class: Vec<u64>,
    /// Outer ring, then holes, level-0 px; first points not repeated.
    pub rings: Vec<Vec<Level0Point>>,
}

/// What a cell table says of itself under the key `slidemill`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TableFacts {
    /// The slide's id.
    pub slide_id: String,
    /// µm per level-0 px.
    pub mpp_um_per_px: f64,
    /// Names by class.
    pub class_names: Vec<String>,
    /// Boxes around each row group, level-0 px: left, top, right, bottom.
    pub row_group_bounds_px: Vec<[f64; 4]>,
    /// The part of level 0 that was scanned.
    pub bounds: Option<Level0Box>,
    /// A hash over slide, model and settings.
    pub fingerprint: String,
    /// The model that found them.
    pub model: ModelName,
}

/// How a model calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ModelName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The cells of one slide, to be streamed.
#[derive(Debug)]
pub struct CellTable {
    path: std::path::PathBuf,
    facts: TableFacts,
    rows: u64,
}

const COLUMNS: [&str; 6] = ["cell_id", "class_id", "x_px", "y_px", "bbox", "geometry"];

impl CellTable {
    /// Opens a cell table of ours.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is none of ours.
    pub fn open(path: &Path) -> Result<Self> {
        let builder = builder(path, CELLS)?;
        let file = builder.metadata().file_metadata();
        let rows = file.num_rows().unsigned_abs();
        let entries = file.key_value_metadata().map_or(&[][..], Vec::as_slice);
        let about =
            entries.iter().find(|entry| entry.key == "slidemill").and_then(|entry| entry.value.as_deref());
        let about = about.ok_or_else(|| {
            malformed(CELLS, "it does not say who made it, expected a table of slidemill", path)
        })?;
        let facts = serde_json::from_str(about).map_err(|error| {
            malformed(CELLS, format!("what it says of itself makes no sense: {error}"), path)
        })?;
        Ok(Self { path: path.to_owned(), facts, rows })
    }

    /// What the table says of itself.
    #[must_use]
    pub fn facts(&self) -> &TableFacts {
        &self.facts
    }

    /// All its rows, chosen or not.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows as Arrow batches of at most `rows`, without row groups that `choice` has nothing of.
    pub(crate) fn batches(
        &self,
        choice: &Choice,
        rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        let builder = builder(&self.path, CELLS)?;
        let measures = MEASURES.iter().map(|measure| measure.column);
        let mask = ProjectionMask::columns(
            builder.parquet_schema(),
            COLUMNS.into_iter().chain(["region_id"]).chain(measures),
        );
        let groups = self.groups_with(choice, builder.metadata().num_row_groups());
        let reader = builder.with_projection(mask).with_row_groups(groups).with_batch_size(rows).build();
        let path = self.path.clone();
        let broken =
            move |error: &dyn std::fmt::Display| malformed(CELLS, format!("it is damaged: {error}"), &path);
        let reader = reader.map_err(|error| broken(&error))?;
        Ok(reader.map(move |batch| batch.map_err(|error| broken(&error))))
    }

    /// Row groups whose box the area asked for touches; all where boxes are not known.
    fn groups_with(&self, choice: &Choice, count: usize) -> Vec<usize> {
        let bounds = &self.facts.row_group_bounds_px;
        let touched = |group: &usize| {
            let Some(area) = &choice.within else { return true };
            bounds.len() != count || {
                let [left, top, right, bottom] = bounds[*group];
                area.touches(&Level0Box::new(Level0Point::new(left, top), Level0Point::new(right, bottom)))
            }
        };
        (0..count).filter(touched).collect()
    }

    /// The chosen rows of a batch.
    pub(crate) fn rows_of(&self, batch: &RecordBatch, choice: &Choice) -> Result<Vec<CellRow>> {
        let columns = Columns::new(batch).map_err(|problem| malformed(CELLS, problem, &self.path))?;
        let chosen = (0..batch.num_rows()).filter(|&row| columns.is_chosen(row, choice));
        let row = |row| {
            columns.row(row).map_err(|problem| {
                let id = columns.id.value(row);
                malformed(CELLS, format!("cell {id}: {problem}"), &self.path)
            })
        };
        chosen.map(row).collect()
    }
}

type Builder = ParquetRecordBatchReaderBuilder<File>;

fn builder(path: &Path, what: &'static str) -> Result<Builder> {
    let file = File::open(path).map_err(unreadable(what, path))?;
    Builder::try_new(file).map_err(|error| malformed(what, format!("it is no Parquet: {error}"), path))
}

struct Columns<'a> {
    id: &'a arrow_array::UInt64Array,
    class: &'a arrow_array::UInt16Array,
    x: &'a arrow_array::Float64Array,
    y: &'a arrow_array::Float64Array,
    sides: [&'a Float32Array; 4],
    geometry: &'a arrow_array::BinaryArray,
    region: Option<&'a arrow_array::UInt64Array>,
    measures: [Option<&'a Float32Array>; MEASURES.len()],
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> std::result::Result<Self, String> {
        let column =
            |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it has no column {name:?}"));
        let other = |name: &str| format!("column {name:?} has another type than ours");
        let f64s = |name| column(name)?.as_primitive_opt::<Float64Type>().ok_or_else(|| other(name));
        let boxes = column("bbox")?.as_struct_opt().ok_or_else(|| other("bbox"))?;
        let side = |name: &str| {
            let side = boxes.column_by_name(name).and_then(|side| side.as_primitive_opt::<Float32Type>());
            side.ok_or_else(|| other("bbox"))
        };
        let measure = |measure: Measure| {
            batch.column_by_name(measure.column).and_then(|column| column.as_primitive_opt::<Float32Type>())
        };
        Ok(Self {
            id: column("cell_id")?.as_primitive_opt::<UInt64Type>().ok_or_else(|| other("cell_id"))?,
            class: column("class_id")?.as_primitive_opt::<UInt16Type>().ok_or_else(|| other("class_id"))?,
            x: f64s("x_px")?,
            y: f64s("y_px")?,
            sides: [side("xmin")?, side("ymin")?, side("xmax")?, side("ymax")?],
            geometry: column("geometry")?.as_binary_opt::<i32>().ok_or_else(|| other("geometry"))?,
            region: batch
                .column_by_name("region_id")
                .and_then(|column| column.as_primitive_opt::<UInt64Type>()),
            measures: MEASURES.map(measure),
        })
    }

    fn is_chosen(&self, row: usize, choice: &Choice) -> bool {
        let score = self.measures[0].map_or(f32::NAN, |scores| scores.value(row));
        let centroid = Level0Point::new(self.x.value(row), self.y.value(row));
        choice.takes(ClassId(self.class.value(row)), score, centroid)
    }

    fn row(&self, row: usize) -> std::result::Result<CellRow, String> {
        let side = |place: usize| f64::from(self.sides[place].value(row));
        let measure = |column: Option<&Float32Array>| {
            column.filter(|column| !column.is_null(row)).map_or(f32::NAN, |column| column.value(row))
        };
        let ring = match wkb::shape(self.geometry.value(row))? {
            Shape::Polygon(polygon) if polygon.rings.len() == 1 => polygon.rings.into_iter().next(),
            Shape::Polygon(polygon) => polygon.largest_ring().cloned(),
            _ => None,
        };
        Ok(CellRow {
            id: self.id.value(row),
            class: ClassId(self.class.value(row)),
            centroid: Level0Point::new(self.x.value(row), self.y.value(row)),
            bbox: Level0Box::new(Level0Point::new(side(0), side(1)), Level0Point::new(side(2), side(3))),
            ring: ring.ok_or("its geometry is no polygon")?,
            region: self.region.filter(|ids| !ids.is_null(row)).map(|ids| ids.value(row)),
            measures: self.measures.map(measure),
        })
    }
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
    let reader = builder(path, REGIONS)?.build();
    let broken = |error: &dyn std::fmt::Display| malformed(REGIONS, format!("it is damaged: {error}"), path);
    let mut regions = Vec::new();
    for batch in reader.map_err(|error| broken(&error))? {
        let batch = batch.map_err(|error| broken(&error))?;
        regions.extend(regions_in(&batch).map_err(|problem| malformed(REGIONS, problem, path))?);
    }
    Ok(regions)
}

fn regions_in(batch: &RecordBatch) -> std::result::Result<Vec<RegionRow>, String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it has no column {name:?}"));
    let other = |name: &str| format!("column {name:?} has another type than ours");
    let f64s = |name| column(name)?.as_primitive_opt::<Float64Type>().ok_or_else(|| other(name));
    let u64s = |name| column(name)?.as_primitive_opt::<UInt64Type>().ok_or_else(|| other(name));
    let (ids, cells) = (u64s("region_id")?, u64s("n_cells")?);
    let kinds = column("kind")?.as_string_opt::<i32>().ok_or_else(|| other("kind"))?;
    let (areas, coverage, analysed) = (f64s("area_um2")?, f64s("coverage")?, f64s("analysed_um2")?);
    let by_class =
        column("n_cells_by_class")?.as_list_opt::<i32>().ok_or_else(|| other("n_cells_by_class"))?;
    let shapes = column("geometry")?.as_binary_opt::<i32>().ok_or_else(|| other("geometry"))?;
    let row = |row: usize| {
        let counts = by_class.value(row);
        let counts = counts.as_primitive_opt::<UInt64Type>().ok_or_else(|| other("n_cells_by_class"))?;
        let Shape::Polygon(polygon) = wkb::shape(shapes.value(row))? else {
            return Err(format!("the geometry of region {} is no polygon", ids.value(row)));
        };
        Ok(RegionRow {
            id: ids.value(row),
            kind: kinds.value(row).to_owned(),
            area_um2: areas.value(row),
            coverage: coverage.value(row),
            analysed_um2: analysed.value(row),
            n_cells: cells.value(row),
            n_cells_by_class: counts.values().to_vec(),
            rings: polygon.rings,
        })
    };
    (0..batch.num_rows()).map(row).collect()
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
