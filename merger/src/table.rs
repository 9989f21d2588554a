//! Cells become rows: the columns of `cells.parquet`, their meaning, and the
//! file's metadata, all in this one place.
//!
//! The file is GeoParquet 1.1: WKB polygons in level-0 px, `crs` null, a `bbox`
//! column as covering. Rows run along a Hilbert curve, so that a row group is a
//! compact piece of the slide and a reader can skip the others by statistics.
//! Equal cells give equal bytes.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Float32Builder, ListBuilder, UInt32Builder};
use arrow_array::types::{Float32Type, UInt16Type, UInt64Type};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, DictionaryArray, Float32Array, Float64Array, PrimitiveArray, RecordBatch,
    StringArray, StructArray, UInt8Array, UInt16Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::json;
use whole_file::{Staged, folder_of};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp, Score};

use crate::MergeError;
use crate::cell::{Cell, content_order, settle_ids};
use crate::files::{io_error, put_in_place, stage};
use crate::geometry::{box_area, ring_area};
use crate::morphology::Shape;

/// Rows per row group.
pub const ROWS_PER_GROUP: usize = 131_072;
/// Rows turned into columns at a time: they stay in the cache while every
/// column goes over them.
const ROWS_PER_BLOCK: usize = 2048;
/// The version of the columns; raised when one changes its meaning.
const SCHEMA_VERSION: u32 = 1;
const HILBERT_ORDER: u8 = 20;

/// What a table must know beside its cells.
#[derive(Debug, Clone, PartialEq)]
pub struct TableContext {
    /// The slide's id in the dataset; never only a file stem.
    pub slide_id: String,
    /// µm per level-0 px.
    pub mpp: Mpp,
    /// Names by class; a class without a name is called `class_<n>`.
    pub class_names: Vec<String>,
    /// What else the file should tell of its making, in this order, under the
    /// key `slidemill`: slide and model hashes, settings, version, coverage.
    /// Nothing that differs between two runs over the same input.
    pub provenance: Vec<(String, serde_json::Value)>,
}

impl TableContext {
    pub(crate) fn class_name(&self, class: ClassId) -> String {
        let known = self.class_names.get(usize::from(class.0)).cloned();
        known.unwrap_or_else(|| format!("class_{}", class.0))
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteReport {
    /// Rows in the file.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Row groups in the file.
    pub row_groups: usize,
}

/// One row: a cell and what is worked out from it.
struct Row<'a> {
    cell: &'a Cell,
    shape: Option<Shape>,
}

/// Rows that become columns together.
struct Block<'a> {
    rows: &'a [Row<'a>],
    context: &'a TableContext,
    class_names: &'a ArrayRef,
}

impl Block<'_> {
    fn f32(&self, value: impl Fn(&Row<'_>) -> f64) -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(self.rows.iter().map(|row| value(row) as f32)))
    }

    /// What only an outline can tell.
    fn shape(&self, value: impl Fn(&Shape) -> f64) -> ArrayRef {
        self.maybe_f32(|row| row.shape.as_ref().map(&value))
    }

    fn maybe_f32(&self, value: impl Fn(&Row<'_>) -> Option<f64>) -> ArrayRef {
        self.maybe::<Float32Type>(|row| value(row).map(|value| value as f32))
    }

    /// A column with gaps; most runs do not fill most of these at all.
    fn maybe<T: ArrowPrimitiveType>(&self, value: impl Fn(&Row<'_>) -> Option<T::Native>) -> ArrayRef {
        if self.rows.iter().all(|row| value(row).is_none()) {
            return Arc::new(PrimitiveArray::<T>::new_null(self.rows.len()));
        }
        Arc::new(PrimitiveArray::<T>::from_iter(self.rows.iter().map(value)))
    }

    fn f64(&self, value: impl Fn(&Row<'_>) -> f64) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(self.rows.iter().map(value)))
    }

    fn score(&self, value: impl Fn(&Cell) -> Score) -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(self.rows.iter().map(|row| value(row.cell).get())))
    }

    fn um(&self) -> f64 {
        self.context.mpp.get()
    }
}

/// A column: its name, its type, what it means and how it is filled.
struct Column {
    name: &'static str,
    kind: DataType,
    nullable: bool,
    about: &'static str,
    fill: fn(&Block<'_>) -> ArrayRef,
}

impl Column {
    fn field(&self) -> Field {
        let mut about = vec![("description".to_owned(), self.about.to_owned())];
        if self.name == "geometry" {
            about.push(("ARROW:extension:name".to_owned(), "geoarrow.wkb".to_owned()));
        }
        Field::new(self.name, self.kind.clone(), self.nullable).with_metadata(about.into_iter().collect())
    }
}

fn column(
    name: &'static str,
    kind: DataType,
    about: &'static str,
    fill: fn(&Block<'_>) -> ArrayRef,
) -> Column {
    Column { name, kind, nullable: false, about, fill }
}

fn nullable(
    name: &'static str,
    kind: DataType,
    about: &'static str,
    fill: fn(&Block<'_>) -> ArrayRef,
) -> Column {
    Column { name, kind, nullable: true, about, fill }
}

/// All columns of the cells table, in order.
fn columns() -> Vec<Column> {
    use DataType::{Binary, Float32, Float64, UInt8, UInt16, UInt32, UInt64};
    let dictionary = || DataType::Dictionary(Box::new(UInt16), Box::new(DataType::Utf8));
    vec![
        column("cell_id", UInt64, "from slide content, class and place: the same every time", |block| {
            Arc::new(UInt64Array::from_iter_values(block.rows.iter().map(|row| row.cell.id)))
        }),
        column("slide_id", dictionary(), "the slide's id in the dataset", slide_ids),
        column("class_id", UInt16, "place in the model's list of classes", |block| {
            Arc::new(UInt16Array::from_iter_values(block.rows.iter().map(|row| row.cell.class.0)))
        }),
        column("class_name", dictionary(), "the class's name", class_names),
        column("score", Float32, "the model's confidence, 0 to 1", |block| block.score(|cell| cell.score)),
        column("x_px", Float64, "centroid, level-0 px from the left of the slide", |block| {
            block.f64(|row| row.cell.centroid.x)
        }),
        column("y_px", Float64, "centroid, level-0 px from the top of the slide", |block| {
            block.f64(|row| row.cell.centroid.y)
        }),
        column("x_um", Float64, "centroid, µm from the left of the slide", |block| {
            let um = block.um();
            block.f64(|row| row.cell.centroid.x * um)
        }),
        column("y_um", Float64, "centroid, µm from the top of the slide", |block| {
            let um = block.um();
            block.f64(|row| row.cell.centroid.y * um)
        }),
        column(
            "area_um2",
            Float32,
            "area inside the outline; without one, of the ellipse inscribed in the box",
            |block| {
                let ellipse = block.um() * block.um() * std::f64::consts::FRAC_PI_4;
                block.f32(|row| row.shape.map_or(box_area(&row.cell.bbox) * ellipse, |shape| shape.area_um2))
            },
        ),
        nullable("perimeter_um", Float32, "length of the outline; null without one", |block| {
            block.shape(|shape| shape.perimeter_um)
        }),
        nullable("circularity", Float32, "4π·area/perimeter² of the outline; null without one", |block| {
            block.shape(|shape| shape.circularity)
        }),
        nullable("solidity", Float32, "area over convex hull of the outline; null without one", |block| {
            block.shape(|shape| shape.solidity)
        }),
        nullable("eccentricity", Float32, "of the ellipse with the outline's second moments", |block| {
            block.shape(|shape| shape.eccentricity)
        }),
        nullable("max_diam_um", Float32, "diameter of the smallest circle around the outline", |block| {
            block.shape(|shape| shape.max_diam_um)
        }),
        nullable("min_diam_um", Float32, "least width of the outline", |block| {
            block.shape(|shape| shape.min_diam_um)
        }),
        nullable(
            "hematoxylin_od",
            Float32,
            "mean optical density of hematoxylin inside; null when not measured",
            |block| block.maybe_f32(|row| row.cell.stains.map(|od| f64::from(od.hematoxylin))),
        ),
        nullable("eosin_od", Float32, "the same of eosin", |block| {
            block.maybe_f32(|row| row.cell.stains.map(|od| f64::from(od.eosin)))
        }),
        column("width_um", Float32, "width of the box", |block| {
            let um = block.um();
            block.f32(|row| row.cell.bbox.width() * um)
        }),
        column("height_um", Float32, "height of the box", |block| {
            let um = block.um();
            block.f32(|row| row.cell.bbox.height() * um)
        }),
        column(
            "bbox",
            DataType::Struct(corner_fields()),
            "box in level-0 px, rounded outwards to f32",
            corners,
        ),
        column("geometry", Binary, "WKB polygon in level-0 px: the outline, or the box", geometry),
        column("n_merged", UInt16, "raw detections that are this cell", |block| {
            Arc::new(UInt16Array::from_iter_values(block.rows.iter().map(|row| row.cell.n_merged)))
        }),
        nullable(
            "seam_dist_um",
            Float32,
            "centroid to the nearest inner window border; null where the plan has none",
            |block| {
                let known = |row: &Row<'_>| {
                    Some(f64::from(row.cell.seam_dist_um)).filter(|distance| distance.is_finite())
                };
                block.maybe_f32(known)
            },
        ),
        column(
            "edge_flag",
            UInt8,
            "bits: 1 at the slide's edge, 2 cut where nothing was planned, 4 cut beside a failed window, \
             8 cut and never seen whole, 16 joined from pieces",
            |block| Arc::new(UInt8Array::from_iter_values(block.rows.iter().map(|row| row.cell.edge_flag))),
        ),
        column(
            "windows",
            DataType::List(Arc::new(Field::new("item", UInt32, false))),
            "indices in the plan of the windows that saw it",
            windows,
        ),
        column("score_min", Float32, "lowest score among its raw detections", |block| {
            block.score(|cell| cell.score_min)
        }),
        column("score_max", Float32, "highest score among its raw detections", |block| {
            block.score(|cell| cell.score_max)
        }),
        nullable("runner_up_class", UInt16, "the best other class that some window gave it", |block| {
            block.maybe::<UInt16Type>(|row| row.cell.runner_up.map(|(class, _)| class.0))
        }),
        nullable("region_id", UInt64, "the smallest region that the centroid lies in", |block| {
            block.maybe::<UInt64Type>(|row| row.cell.region)
        }),
        nullable(
            "detector_scores",
            DataType::List(Arc::new(Field::new("item", Float32, true))),
            "of several detectors: the score each gave it, null where it did not see it; null for one",
            detector_scores,
        ),
        nullable("runner_up_score", Float32, "the score of that class", |block| {
            block.maybe::<Float32Type>(|row| row.cell.runner_up.map(|(_, score)| score.get()))
        }),
    ]
}

/// The columns of the cells table.
#[must_use]
pub fn cells_schema() -> Schema {
    Schema::new(columns().iter().map(Column::field).collect::<Fields>())
}

/// The schema, carrying `geo` itself too: readers of a whole folder of files
/// look for it there and not in the files' own metadata.
pub(crate) fn with_geo(schema: Schema, metadata: &[KeyValue]) -> Schema {
    let geo = metadata.iter().filter(|entry| entry.key == "geo");
    let entries = geo.filter_map(|entry| Some((entry.key.clone(), entry.value.clone()?)));
    schema.with_metadata(entries.collect())
}

fn slide_ids(block: &Block<'_>) -> ArrayRef {
    let keys = UInt16Array::from_value(0, block.rows.len());
    let value: ArrayRef = Arc::new(StringArray::from_iter_values([&block.context.slide_id]));
    dictionary(keys, value)
}

fn class_names(block: &Block<'_>) -> ArrayRef {
    let keys = UInt16Array::from_iter_values(block.rows.iter().map(|row| row.cell.class.0));
    dictionary(keys, Arc::clone(block.class_names))
}

/// Keys all lie within `values`, which hold every class there is.
fn dictionary(keys: UInt16Array, values: ArrayRef) -> ArrayRef {
    Arc::new(DictionaryArray::<UInt16Type>::new(keys, values))
}

/// Names of all classes up to the largest that occurs.
fn names_in_use(cells: &[Cell], context: &TableContext) -> ArrayRef {
    let largest = cells.iter().map(|cell| usize::from(cell.class.0) + 1).max().unwrap_or(0);
    let classes = 0..largest.max(context.class_names.len()).min(usize::from(u16::MAX) + 1);
    Arc::new(StringArray::from_iter_values(classes.map(|class| context.class_name(ClassId(class as u16)))))
}

pub(crate) fn corner_fields() -> Fields {
    ["xmin", "ymin", "xmax", "ymax"]
        .map(|name| Field::new(name, DataType::Float32, false))
        .into_iter()
        .collect()
}

fn corners(block: &Block<'_>) -> ArrayRef {
    covering(block.rows.iter().map(|row| &row.cell.bbox))
}

/// The column `bbox` of either table: a box for each row, rounded outward.
pub(crate) fn covering<'a>(boxes: impl Iterator<Item = &'a Level0Box> + Clone) -> ArrayRef {
    let side = |value: fn(&Level0Box) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(boxes.clone().map(value)))
    };
    let sides = vec![
        side(|bbox| rounded_down(bbox.min.x)),
        side(|bbox| rounded_down(bbox.min.y)),
        side(|bbox| rounded_up(bbox.max.x)),
        side(|bbox| rounded_up(bbox.max.y)),
    ];
    Arc::new(StructArray::new(corner_fields(), sides, None))
}

/// The largest `f32` that is not above `value`: pruning by the covering must
/// never lose a row.
fn rounded_down(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) > value { near.next_down() } else { near }
}

/// The smallest `f32` that is not below `value`.
fn rounded_up(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) < value { near.next_up() } else { near }
}

fn windows(block: &Block<'_>) -> ArrayRef {
    let item = Field::new("item", DataType::UInt32, false);
    let mut lists = ListBuilder::new(UInt32Builder::with_capacity(4 * block.rows.len())).with_field(item);
    for row in block.rows {
        lists.values().append_slice(&row.cell.windows);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn detector_scores(block: &Block<'_>) -> ArrayRef {
    let item = Field::new("item", DataType::Float32, true);
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(item);
    for row in block.rows {
        let scores = &row.cell.detector_scores;
        lists.values().extend(scores.iter().map(|score| score.map(Score::get)));
        lists.append(!scores.is_empty());
    }
    Arc::new(lists.finish())
}

fn geometry(block: &Block<'_>) -> ArrayRef {
    let mut polygons = BinaryBuilder::with_capacity(block.rows.len(), block.rows.len() * 96);
    let mut bytes = Vec::new();
    for row in block.rows {
        let Some(ring) = &row.cell.outline else {
            polygons.append_value(wkb_box(&row.cell.bbox));
            continue;
        };
        bytes.clear();
        wkb_polygon(&[ring], &mut bytes);
        polygons.append_value(&bytes);
    }
    Arc::new(polygons.finish())
}

/// Bytes of a box as WKB: what a polygon starts with, and five corners.
const WKB_BOX: usize = WKB_BOX_START.len() + 10 * size_of::<f64>();
/// Little-endian, a polygon, of one ring, of five points.
const WKB_BOX_START: [u8; 13] = [1, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0];

/// A box as [`wkb_polygon`] would write it: most tables hold nothing else.
fn wkb_box(bbox: &Level0Box) -> [u8; WKB_BOX] {
    let (min, max) = (bbox.min, bbox.max);
    let corners = [min.x, min.y, max.x, min.y, max.x, max.y, min.x, max.y, min.x, min.y];
    let mut bytes = [0; WKB_BOX];
    let (start, points) = bytes.split_at_mut(WKB_BOX_START.len());
    start.copy_from_slice(&WKB_BOX_START);
    for (bytes, value) in points.as_chunks_mut::<8>().0.iter_mut().zip(corners) {
        *bytes = value.to_le_bytes();
    }
    bytes
}

/// A polygon as little-endian WKB: the outer ring counter-clockwise in the sense
/// of its coordinates (x right, y up), holes the other way, as GeoParquet's
/// `orientation` says. Rings come without their first point repeated.
pub(crate) fn wkb_polygon(rings: &[&[Level0Point]], out: &mut Vec<u8>) {
    const LITTLE_ENDIAN: u8 = 1;
    const POLYGON: u32 = 3;
    out.push(LITTLE_ENDIAN);
    out.extend_from_slice(&POLYGON.to_le_bytes());
    out.extend_from_slice(&(rings.len() as u32).to_le_bytes());
    for (index, ring) in rings.iter().enumerate() {
        out.extend_from_slice(&(ring.len() as u32 + 1).to_le_bytes());
        let wants_positive = index == 0;
        if (ring_area(ring) >= 0.0) == wants_positive {
            ring.iter().chain(ring.first()).for_each(|point| put_point(point, out));
        } else {
            ring.iter().rev().chain(ring.last()).for_each(|point| put_point(point, out));
        }
    }
}

fn put_point(point: &Level0Point, out: &mut Vec<u8>) {
    out.extend_from_slice(&point.x.to_le_bytes());
    out.extend_from_slice(&point.y.to_le_bytes());
}

/// Writes the cells of one slide as `path`, whole or not at all. Their ids are
/// made unique first ([`settle_ids`]); their order in the slice does not matter
/// and stays.
///
/// # Errors
///
/// [`MergeError::DiskFull`], [`MergeError::Io`] or [`MergeError::Encode`]; a
/// file that was there before is still there then.
pub fn write_cells(
    path: &Path,
    cells: &mut [Cell],
    context: &TableContext,
) -> Result<WriteReport, MergeError> {
    stage_cells(folder_of(path), path, cells, context).and_then(put_in_place)
}

/// [`write_cells`], but that the table lies in `folder`, on the same file system,
/// until it is [put in place](whole_file::put_in_place).
///
/// # Errors
///
/// As [`write_cells`].
pub fn stage_cells(
    folder: &Path,
    path: &Path,
    cells: &mut [Cell],
    context: &TableContext,
) -> Result<(WriteReport, Staged), MergeError> {
    settle_ids(cells);
    let order = hilbert_order(cells);
    let metadata = file_metadata(cells, &order, context);
    let columns = columns();
    let schema = Arc::new(with_geo(cells_schema(), &metadata));
    let names = names_in_use(cells, context);
    stage(folder, path, |out| {
        let encode = |error| encode_error(error, path);
        let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties(&schema, metadata)))
            .map_err(encode)?;
        let mut rows = Vec::with_capacity(ROWS_PER_BLOCK);
        for block in order.chunks(ROWS_PER_BLOCK) {
            rows.clear();
            rows.extend(block.iter().map(|&index| row(&cells[index as usize], context)));
            let block = Block { rows: &rows, context, class_names: &names };
            let arrays = columns.iter().map(|column| (column.fill)(&block)).collect();
            let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
                .map_err(|error| encode_error(error.into(), path))?;
            writer.write(&batch).map_err(encode)?;
        }
        let row_groups = writer.finish().map_err(encode)?.num_row_groups();
        Ok(WriteReport { rows: cells.len() as u64, bytes: writer.bytes_written() as u64, row_groups })
    })
}

fn row<'a>(cell: &'a Cell, context: &TableContext) -> Row<'a> {
    Row { cell, shape: cell.outline.as_deref().and_then(|ring| Shape::of(ring, context.mpp)) }
}

/// A full disk reaches us through the encoder.
pub(crate) fn encode_error(error: ParquetError, path: &Path) -> MergeError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => io_error(*source, path),
            Err(source) => {
                MergeError::Encode { source: ParquetError::External(source), path: path.to_owned() }
            }
        },
        source => MergeError::Encode { source, path: path.to_owned() },
    }
}

/// Indices of `cells` along a Hilbert curve through their centroids.
fn hilbert_order(cells: &[Cell]) -> Vec<u32> {
    // Place and index in one number: numbers sort several times as fast as pairs.
    let key = |(cell, index): (&Cell, u32)| u128::from(hilbert_key(cell.centroid)) << 32 | u128::from(index);
    let mut keys: Vec<u128> = cells.iter().zip(0..).map(key).collect();
    keys.sort_unstable();
    let content = |a: &u128, b: &u128| content_order(&cells[*a as u32 as usize], &cells[*b as u32 as usize]);
    for same in keys.chunk_by_mut(|a, b| a >> 32 == b >> 32).filter(|same| same.len() > 1) {
        same.sort_unstable_by(content);
    }
    keys.into_iter().map(|key| key as u32).collect()
}

/// Place along the curve over 2^20 × 2^20 level-0 px; what lies beyond (no
/// slide does) counts as its edge.
pub(crate) fn hilbert_key(point: Level0Point) -> u64 {
    let step = |value: f64| value.clamp(0.0, f64::from((1_u32 << HILBERT_ORDER) - 1)) as u32;
    fast_hilbert::xy2h(step(point.x), step(point.y), HILBERT_ORDER)
}

/// `None` when there are no cells.
pub(crate) fn bounds<'a>(boxes: impl Iterator<Item = &'a Level0Box>) -> Option<Level0Box> {
    boxes.copied().reduce(|all, bbox| all.union(&bbox))
}

pub(crate) fn corners_json(bounds: &Level0Box) -> serde_json::Value {
    json!([bounds.min.x, bounds.min.y, bounds.max.x, bounds.max.y])
}

fn file_metadata(cells: &[Cell], order: &[u32], context: &TableContext) -> Vec<KeyValue> {
    let all = bounds(cells.iter().map(|cell| &cell.bbox));
    let groups = order.chunks(ROWS_PER_GROUP);
    let group_bounds: Vec<serde_json::Value> = groups
        .filter_map(|group| bounds(group.iter().map(|&index| &cells[index as usize].bbox)))
        .map(|bounds| corners_json(&bounds))
        .collect();
    key_values(context, cells.len(), &group_bounds, all.as_ref())
}

/// The file's own metadata: what GeoParquet asks for, and the story of its
/// making.
pub(crate) fn key_values(
    context: &TableContext,
    rows: usize,
    group_bounds: &[serde_json::Value],
    bounds: Option<&Level0Box>,
) -> Vec<KeyValue> {
    let ours = [
        ("schema_version", json!(SCHEMA_VERSION)),
        ("slide_id", json!(context.slide_id)),
        ("mpp_um_per_px", json!(context.mpp.get())),
        ("class_names", json!(context.class_names)),
        ("rows", json!(rows)),
        ("row_group_bounds_px", json!(group_bounds)),
    ];
    let provenance = InOrder { ours: &ours, theirs: &context.provenance };
    // Maps of strings to JSON values cannot fail to serialise.
    let slidemill = serde_json::to_string(&provenance).unwrap_or_default();
    vec![
        KeyValue::new("geo".to_owned(), geo_metadata(bounds).to_string()),
        KeyValue::new("slidemill".to_owned(), slidemill),
    ]
}

/// The `geo` entry of GeoParquet 1.1. `crs` is null: these are pixels, not
/// degrees.
pub(crate) fn geo_metadata(bounds: Option<&Level0Box>) -> serde_json::Value {
    let side = |name: &str| json!(["bbox", name]);
    let covering =
        json!({"xmin": side("xmin"), "ymin": side("ymin"), "xmax": side("xmax"), "ymax": side("ymax")});
    let mut geometry = json!({
        "encoding": "WKB",
        "geometry_types": if bounds.is_some() { json!(["Polygon"]) } else { json!([]) },
        "crs": null,
        "edges": "planar",
        "orientation": "counterclockwise",
        "covering": {"bbox": covering},
    });
    if let Some(bounds) = bounds {
        geometry["bbox"] = corners_json(bounds);
    }
    json!({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}})
}

/// A JSON object whose keys keep their order.
struct InOrder<'a> {
    ours: &'a [(&'a str, serde_json::Value)],
    theirs: &'a [(String, serde_json::Value)],
}

impl Serialize for InOrder<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.ours {
            map.serialize_entry(key, value)?;
        }
        for (key, value) in self.theirs {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Everything that decides bytes is pinned here.
pub(crate) fn properties(schema: &Schema, metadata: Vec<KeyValue>) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by("slidemill".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // The order of polygons as bytes says nothing of where they lie; `bbox` does.
        .set_column_statistics_enabled(ColumnPath::from("geometry"), EnabledStatistics::None)
        // Measured values hardly repeat: looking each one up costs more time than
        // all else, and saves nothing.
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(metadata));
    for name in FEW_VALUES {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    // First bytes of measured values are alike, last ones are noise: apart, they
    // compress better and in less time.
    for path in measured(schema) {
        builder = builder.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
    }
    builder.build()
}

/// The columns of floats, those in a struct included.
fn measured(schema: &Schema) -> Vec<ColumnPath> {
    let is_float = |field: &Field| matches!(field.data_type(), DataType::Float32 | DataType::Float64);
    let paths = |field: &Field| match field.data_type() {
        DataType::Struct(parts) => {
            let floats = parts.iter().filter(|part| is_float(part));
            floats.map(|part| vec![field.name().clone(), part.name().clone()]).collect()
        }
        _ if is_float(field) => vec![vec![field.name().clone()]],
        _ => Vec::new(),
    };
    schema.fields().iter().flat_map(|field| paths(field)).map(ColumnPath::new).collect()
}

/// Columns with few different values.
const FEW_VALUES: [&str; 6] =
    ["slide_id", "class_id", "class_name", "n_merged", "edge_flag", "runner_up_class"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::level0;

    #[test]
    fn a_box_is_written_as_the_polygon_that_it_is() {
        let bbox = level0(-1.5, 2.25, 1e6, 1e6 + 0.125);
        let (min, max) = (bbox.min, bbox.max);
        let ring = [min, Level0Point::new(max.x, min.y), max, Level0Point::new(min.x, max.y)];
        let mut polygon = Vec::new();
        wkb_polygon(&[&ring], &mut polygon);
        assert_eq!(wkb_box(&bbox).to_vec(), polygon);
    }
}
