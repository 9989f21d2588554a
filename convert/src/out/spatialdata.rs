//! A SpatialData store (Zarr 3): cells and regions as shapes, centroids as points, and a table of measures.
//!
//! `global` is level-0 px; `micrometer` is the same in µm. Rows of the table name the shapes by `instance_id`, the
//! place of a cell in the export.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use dataset::NewFolder;
use merger::{CellRow, GeometryColumn, RegionRow};
use serde_json::{Value, json};
use wsi_types::{ClassId, Level0Box};

use super::{
    geo_table::{
        FileTable, GEOMETRY, ShapeEncoding, Table, area_as_wkb, bounds_of, class_names, joined, numbered,
    },
    request::{Settings, Source},
    stream::{Maker, Part, stream},
    zarr::{self, Array, Items, text_item},
};
use crate::{
    error::{ConvertError, Result, refused, unwritable},
    measure::Measure,
    ring::{Grid, area_on_grid},
    source::SlideFacts,
    tally::Tally,
};

const WHAT: &str = "the SpatialData store";
/// Cells worked on at a time.
const ROWS: usize = 32_768;
/// The element that the table is about, and its key.
const CELLS: &str = "cells";
const INSTANCE: &str = "instance_id";

/// Writes the store of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    if settings.points {
        return refused("spatialdata always holds the centroids beside the outlines: leave --points out");
    }
    let folder = NewFolder::at(path)?;
    let tally = fill(source, settings, folder.temporary(), path)?;
    folder.finish()?;
    Ok(tally)
}

fn fill(source: &Source<'_>, settings: &Settings, folder: &Path, path: &Path) -> Result<Tally> {
    let (facts, measures) = (source.facts, source.cells.measures());
    let mut store = Store::begin(folder, facts, measures.len()).map_err(unwritable(WHAT, path))?;
    let tally = stream(source, settings, ROWS, &Rows { facts, measures }, |made| {
        store.add(&made).map_err(unwritable(WHAT, path))
    })?;
    let finished = store.finish(facts, measures).and_then(|()| write_regions(folder, facts, source.regions));
    finished.map_err(unwritable(WHAT, path))?;
    Ok(Tally { regions: source.regions.len() as u64, ..tally })
}

/// Rows of all elements of some cells.
struct Made {
    shapes: RecordBatch,
    points: RecordBatch,
    bounds: Option<Level0Box>,
    first: u64,
    ids: Vec<u64>,
    classes: Vec<ClassId>,
    /// Measures of one cell after those of the other, little-endian; NaN where one is missing.
    measures: Vec<u8>,
    centroids: Vec<[f64; 2]>,
}

struct Rows<'a> {
    facts: &'a SlideFacts,
    measures: &'a [Measure],
}

impl Rows<'_> {
    fn measured(&self, cell: &CellRow) -> impl Iterator<Item = u8> {
        self.measures.iter().flat_map(move |measure| measure.of(cell).unwrap_or(f32::NAN).to_le_bytes())
    }
}

impl Maker for Rows<'_> {
    type Made = Made;

    fn grid(&self) -> Grid {
        Grid::DYADIC
    }

    fn make(&self, part: &Part<'_>) -> Result<Made> {
        let cells = part.cells;
        let shapes: Vec<ArrayRef> = vec![
            Arc::new(numbered(part.first, cells.len())),
            class_names(self.facts, cells),
            ShapeEncoding::Wkb.column(cells, self.grid()),
        ];
        let points: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from_iter_values(cells.iter().map(|cell| cell.row.centroid.x))),
            Arc::new(Float64Array::from_iter_values(cells.iter().map(|cell| cell.row.centroid.y))),
            class_names(self.facts, cells),
            Arc::new(numbered(part.first, cells.len())),
        ];
        Ok(Made {
            shapes: batch(shapes_schema(), shapes)?,
            points: batch(points_schema(), points)?,
            bounds: bounds_of(cells.iter().map(|cell| &cell.ring), self.grid()),
            first: part.first,
            ids: cells.iter().map(|cell| cell.row.cell_id).collect(),
            classes: cells.iter().map(|cell| cell.row.class_id).collect(),
            measures: cells.iter().flat_map(|cell| self.measured(&cell.row)).collect(),
            centroids: cells.iter().map(|cell| [cell.row.centroid.x, cell.row.centroid.y]).collect(),
        })
    }
}

/// Columns are made to fit their schemas, so this does not fail.
fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(|error| ConvertError::Refused(error.to_string()))
}

fn shapes_schema() -> SchemaRef {
    let fields =
        vec![Field::new(INSTANCE, DataType::Int64, false), class_field(), ShapeEncoding::Wkb.field()];
    Arc::new(Schema::new(fields))
}

fn class_field() -> Field {
    let names = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    Field::new("class_name", names, false)
}

fn points_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("x", DataType::Float64, false),
        Field::new("y", DataType::Float64, false),
        class_field(),
        Field::new(INSTANCE, DataType::Int64, false),
    ]))
}

/// All elements that grow cell by cell.
struct Store {
    shapes: FileTable,
    bounds: Option<Level0Box>,
    points: FileTable,
    x: Array,
    spatial: Array,
    /// Of the table's rows: their names, regions, instances, classes and our own ids.
    names: Array,
    region_codes: Array,
    instances: Array,
    class_codes: Array,
    ids: Array,
    table: PathBuf,
    /// Bytes of the measures of a cell.
    row_bytes: usize,
    /// Classes that occur, which may be beyond those that have names.
    classes: usize,
}

impl Store {
    fn begin(folder: &Path, facts: &SlideFacts, measures: usize) -> io::Result<Self> {
        let root = json!({
            "spatialdata_attrs": {"version": "0.2", "spatialdata_software_version": "0.7.3"},
            "slidemill": {
                "version": env!("CARGO_PKG_VERSION"), "slide_id": facts.id, "mpp_um_per_px": facts.mpp.get(),
                "slide_px": facts.size_px, "model": facts.model.name, "fingerprint": facts.fingerprint,
            },
        });
        zarr::group(folder, root)?;
        for kind in ["shapes", "points", "tables"] {
            zarr::group(&folder.join(kind), json!({}))?;
        }
        zarr::group(&folder.join("shapes").join(CELLS), shapes_attributes(facts))?;
        zarr::group(&folder.join("points/centroids"), points_attributes(facts))?;
        let table = folder.join("tables/table");
        zarr::group(
            &table,
            json!({
                "encoding-type": "anndata", "encoding-version": "0.1.0", "spatialdata-encoding-type": "ngff:regions_table",
                "region": CELLS, "region_key": "region", "instance_key": INSTANCE, "version": "0.2",
            }),
        )?;
        let obs = table.join("obs");
        let points = folder.join("points/centroids/points.parquet");
        std::fs::create_dir_all(&points)?;
        Ok(Self {
            shapes: begin_table(&folder.join("shapes").join(CELLS).join("shapes.parquet"), &shapes_schema())?,
            bounds: None,
            points: begin_table(&points.join("part.0.parquet"), &points_schema())?,
            x: Array::begin(&table.join("X"), Items::Float32, Some(measures as u64))?,
            spatial: Array::begin(&table.join("obsm/spatial"), Items::Float64, Some(2))?,
            names: Array::begin(&obs.join("_index"), Items::Text, None)?,
            region_codes: Array::begin(&obs.join("region/codes"), Items::Int16, None)?,
            instances: Array::begin(&obs.join(INSTANCE), Items::Int64, None)?,
            class_codes: Array::begin(&obs.join("class_name/codes"), Items::Int16, None)?,
            ids: Array::begin(&obs.join("cell_id"), Items::Int64, None)?,
            table,
            row_bytes: size_of::<f32>() * measures,
            classes: facts.class_names.len(),
        })
    }

    fn add(&mut self, made: &Made) -> io::Result<()> {
        self.shapes.write(&made.shapes)?;
        self.points.write(&made.points)?;
        self.bounds = joined(self.bounds, made.bounds);
        for (place, number) in (0..made.ids.len()).zip(made.first..) {
            let class = made.classes[place].0;
            self.classes = self.classes.max(usize::from(class) + 1);
            self.x.push(&made.measures[place * self.row_bytes..][..self.row_bytes])?;
            self.spatial.push(&made.centroids[place].map(f64::to_le_bytes).concat())?;
            self.names.push(&text_item(&number.to_string()))?;
            self.region_codes.push(&0_i16.to_le_bytes())?;
            self.instances.push(&number.to_le_bytes())?;
            self.class_codes.push(&class.to_le_bytes())?;
            self.ids.push(&made.ids[place].to_le_bytes())?;
        }
        Ok(())
    }

    fn finish(self, facts: &SlideFacts, measures: &[Measure]) -> io::Result<()> {
        let geo = ShapeEncoding::Wkb.geo(self.bounds, false);
        self.shapes.finish(vec![
            ("geo", geo),
            ("pandas", pandas(&[("class_name", "unicode", "object"), (GEOMETRY, "bytes", "object")])),
        ])?;
        self.points.finish(Vec::new())?;
        for numbers in [self.x, self.spatial, self.region_codes, self.instances, self.class_codes, self.ids] {
            numbers.finish(encoding("array", "0.2.0"))?;
        }
        self.names.finish(text_array())?;
        let classes: Vec<String> =
            (0..self.classes).map(|class| facts.class_name(ClassId(class as u16))).collect();
        describe_table(&self.table, &classes, measures)
    }
}

/// Writes the descriptions of an AnnData table, beside the columns that [`Store`] writes.
fn describe_table(table: &Path, classes: &[String], measures: &[Measure]) -> io::Result<()> {
    let obs = table.join("obs");
    zarr::group(&obs, data_frame(&["region", INSTANCE, "class_name", "cell_id"]))?;
    write_categories(&obs.join("region"), [CELLS].into_iter())?;
    write_categories(&obs.join("class_name"), classes.iter().map(String::as_str))?;
    zarr::group(&table.join("var"), data_frame(&[]))?;
    zarr::texts(
        &table.join("var/_index"),
        measures.iter().map(|measure| measure.name.as_str()),
        text_array(),
    )?;
    for name in ["layers", "obsm", "obsp", "varm", "varp", "uns", "uns/spatialdata_attrs"] {
        zarr::group(&table.join(name), encoding("dict", "0.1.0"))?;
    }
    for (name, value) in [("region", CELLS), ("region_key", "region"), ("instance_key", INSTANCE)] {
        zarr::text(&table.join("uns/spatialdata_attrs").join(name), value)?;
    }
    Ok(())
}

/// The names that codes of a column stand for.
fn write_categories<'a>(column: &Path, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
    let mut about = encoding("categorical", "0.2.0");
    about["ordered"] = json!(false);
    zarr::group(column, about)?;
    zarr::texts(&column.join("categories"), names, text_array())
}

fn data_frame(columns: &[&str]) -> Value {
    let mut about = encoding("dataframe", "0.2.0");
    about["_index"] = json!("_index");
    about["column-order"] = json!(columns);
    about
}

fn text_array() -> Value {
    encoding("string-array", "0.2.0")
}

/// Attributes by which AnnData recognises an element.
fn encoding(kind: &str, version: &str) -> Value {
    json!({"encoding-type": kind, "encoding-version": version})
}

fn begin_table(path: &Path, schema: &SchemaRef) -> io::Result<FileTable> {
    Table::begin(BufWriter::new(File::create(path)?), schema)
}

/// Regions, with their holes, as shapes of their own.
fn write_regions(folder: &Path, facts: &SlideFacts, regions: &[RegionRow]) -> io::Result<()> {
    let grid = Grid::DYADIC;
    let areas = regions.iter().map(|region| (region, area_on_grid(&region.rings, grid)));
    let areas: Vec<_> = areas.filter(|(_, parts)| !parts.is_empty()).collect();
    if areas.is_empty() {
        return Ok(());
    }
    let of_regions = folder.join("shapes/regions");
    zarr::group(&of_regions, shapes_attributes(facts))?;
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new(INSTANCE, DataType::Int64, false),
        Field::new("region_id", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("area_um2", DataType::Float64, false),
        Field::new("coverage", DataType::Float64, false),
        Field::new("analysed_tissue_um2", DataType::Float64, true),
        Field::new("n_cells", DataType::Int64, false),
        ShapeEncoding::Wkb.field(),
    ]));
    let drawn: Vec<&RegionRow> = areas.iter().map(|(region, _)| *region).collect();
    let shapes = areas.iter().map(|(_, parts)| area_as_wkb(parts, grid));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(numbered(0, areas.len())),
        whole_numbers(&drawn, |region| region.region_id),
        Arc::new(StringArray::from_iter_values(drawn.iter().map(|region| &region.kind))),
        numbers(&drawn, |region| Some(region.area_um2)),
        numbers(&drawn, |region| Some(region.coverage)),
        numbers(&drawn, |region| region.analysed_tissue_um2),
        whole_numbers(&drawn, |region| region.n_cells),
        Arc::new(BinaryArray::from_iter_values(shapes)),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(io::Error::other)?;
    let mut table = begin_table(&of_regions.join("shapes.parquet"), &schema)?;
    table.write(&batch)?;
    let mut kinds: Vec<&str> =
        areas.iter().map(|(_, parts)| if parts.len() == 1 { "Polygon" } else { "MultiPolygon" }).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let bounds = bounds_of(areas.iter().flat_map(|(_, parts)| parts.iter().flatten()), grid);
    let pandas = pandas(&[
        ("region_id", "int64", "int64"),
        ("kind", "unicode", "object"),
        ("area_um2", "float64", "float64"),
        ("coverage", "float64", "float64"),
        ("analysed_tissue_um2", "float64", "float64"),
        ("n_cells", "int64", "int64"),
        (GEOMETRY, "bytes", "object"),
    ]);
    let geo = GeometryColumn { encoding: "WKB", kinds: &kinds, bounds, has_covering: false }.geo();
    table.finish(vec![("geo", geo), ("pandas", pandas)])
}

fn numbers(regions: &[&RegionRow], value: fn(&RegionRow) -> Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(regions.iter().map(|region| value(region))))
}

fn whole_numbers(regions: &[&RegionRow], value: fn(&RegionRow) -> u64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(regions.iter().map(|region| value(region).cast_signed())))
}

/// Says that `instance_id` is the index: readers want an entry among the columns for it too.
fn pandas(columns: &[(&str, &str, &str)]) -> Value {
    let index = [(INSTANCE, "int64", "int64")];
    let all: Vec<Value> = columns
        .iter()
        .chain(&index)
        .map(|(name, kind, numpy)| {
            json!({"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": null})
        })
        .collect();
    json!({
        "index_columns": [INSTANCE], "column_indexes": [], "columns": all,
        "creator": {"library": "slidemill", "version": env!("CARGO_PKG_VERSION")}, "pandas_version": "2.0.0",
    })
}

fn shapes_attributes(facts: &SlideFacts) -> Value {
    json!({
        "encoding-type": "ngff:shapes", "axes": ["x", "y"], "coordinateTransformations": transformations(facts),
        "spatialdata_attrs": {"version": "0.3"},
    })
}

fn points_attributes(facts: &SlideFacts) -> Value {
    json!({
        "encoding-type": "ngff:points", "axes": ["x", "y"], "coordinateTransformations": transformations(facts),
        "spatialdata_attrs": {"version": "0.2", "feature_key": "class_name", "instance_key": INSTANCE},
    })
}

/// To level-0 px, as they are, and to µm.
fn transformations(facts: &SlideFacts) -> Value {
    let um = facts.mpp.get();
    let (px, micrometers) = (system("xy", "unit"), system("micrometer", "micrometer"));
    json!([
        {"type": "identity", "input": px, "output": system("global", "unit")},
        {"type": "scale", "scale": [um, um], "input": px, "output": micrometers},
    ])
}

/// A system of two axes.
fn system(name: &str, unit: &str) -> Value {
    let axes = ["x", "y"].map(|axis| json!({"name": axis, "type": "space", "unit": unit}));
    json!({"name": name, "axes": axes})
}
