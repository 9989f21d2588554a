//! Common parts of the tables of cells, of regions and, but for the geometry, of patches: GeoParquet 1.1 with WKB polygons in level-0 px, `crs`
//! null, a `bbox` column as covering, rows along a Hilbert curve, and a record of its making in the file's
//! metadata. Equal rows give equal bytes.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::json;
use wsi_types::{Level0Box, Level0Point, Mpp};

use crate::MergeError;
use crate::class_names::ClassNames;
use crate::files::io_error;

/// Rows per row group.
pub const ROWS_PER_GROUP: usize = 131_072;
/// The version of the columns; raised when one changes its meaning.
const SCHEMA_VERSION: u32 = 2;
const HILBERT_ORDER: u8 = 20;

/// Facts that a table needs beside its cells.
#[derive(Debug, Clone, PartialEq)]
pub struct TableContext {
    /// The slide's id in the dataset; never only a file stem.
    pub slide_id: String,
    /// µm per level-0 px.
    pub mpp: Mpp,
    /// Names of the model's classes.
    pub class_names: ClassNames,
    /// Further facts about the file's making, in this order, under the key `slidemill`: slide and model
    /// hashes, settings, version, coverage. They must not differ between two runs over the same input.
    pub provenance: Vec<(String, serde_json::Value)>,
}

/// Size of the file written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteReport {
    /// Rows in the file.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Row groups in the file.
    pub row_groups: usize,
}

/// The schema with `geo` in its own metadata too: readers of a whole folder of files look for it there and
/// not in the files' metadata.
pub(crate) fn with_geo(schema: Schema, metadata: &[KeyValue]) -> Schema {
    let geo = metadata.iter().filter(|entry| entry.key == "geo");
    let entries = geo.filter_map(|entry| Some((entry.key.clone(), entry.value.clone()?)));
    schema.with_metadata(entries.collect())
}

/// The fields of the column `bbox`: `xmin`, `ymin`, `xmax`, `ymax`, in level-0 px.
#[must_use]
pub fn corner_fields() -> Fields {
    ["xmin", "ymin", "xmax", "ymax"]
        .map(|name| Field::new(name, DataType::Float32, false))
        .into_iter()
        .collect()
}

/// The column `bbox` of a table: a box for each row, in level-0 px, rounded outward.
pub fn covering<'a>(boxes: impl Iterator<Item = &'a Level0Box> + Clone) -> ArrayRef {
    let values: [fn(&Level0Box) -> f32; 4] = [
        |bbox| rounded_down(bbox.min.x),
        |bbox| rounded_down(bbox.min.y),
        |bbox| rounded_up(bbox.max.x),
        |bbox| rounded_up(bbox.max.y),
    ];
    let sides = values
        .map(|value| -> ArrayRef { Arc::new(Float32Array::from_iter_values(boxes.clone().map(value))) });
    Arc::new(StructArray::new(corner_fields(), sides.into(), None))
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

/// The error of an encoder; a full disk also reaches us through it.
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

/// Place along the curve over 2^20 × 2^20 level-0 px; points beyond (no slide reaches them) count as its
/// edge.
pub(crate) fn hilbert_key(point: Level0Point) -> u64 {
    let most = f64::from((1_u32 << HILBERT_ORDER) - 1);
    let [x, y] = point.to_array().map(|value| value.clamp(0.0, most) as u32);
    fast_hilbert::xy2h(x, y, HILBERT_ORDER)
}

/// The box around all boxes; `None` when there are none.
pub(crate) fn bounds<'a>(boxes: impl Iterator<Item = &'a Level0Box>) -> Option<Level0Box> {
    boxes.copied().reduce(|all, bbox| all.union(&bbox))
}

pub(crate) fn corners_json(bounds: &Level0Box) -> serde_json::Value {
    json!([bounds.min.x, bounds.min.y, bounds.max.x, bounds.max.y])
}

/// The file's own metadata: the entries that GeoParquet needs, and the record of its making. `of_table` are
/// the facts that only this kind of table has.
pub(crate) fn key_values(
    context: &TableContext,
    rows: usize,
    group_bounds: &[serde_json::Value],
    bounds: Option<&Level0Box>,
    of_table: &[(&'static str, serde_json::Value)],
) -> Vec<KeyValue> {
    let of_table = [&[("row_group_bounds_px", json!(group_bounds))], of_table].concat();
    vec![
        KeyValue::new("geo".to_owned(), polygons_within(bounds).to_string()),
        record(context, rows, &of_table),
    ]
}

/// The record of a table's making. `of_table` are the facts that not every table has.
pub(crate) fn record(
    context: &TableContext,
    rows: usize,
    of_table: &[(&'static str, serde_json::Value)],
) -> KeyValue {
    let of_all = [
        ("schema_version", json!(SCHEMA_VERSION)),
        ("slide_id", json!(context.slide_id)),
        ("mpp_um_per_px", json!(context.mpp.get())),
        ("class_names", json!(context.class_names.as_slice())),
        ("rows", json!(rows)),
    ];
    let ours = [&of_all[..], of_table].concat();
    let provenance = InOrder { ours: &ours, theirs: &context.provenance };
    // Maps of strings to JSON values cannot fail to serialise.
    KeyValue::new("slidemill".to_owned(), serde_json::to_string(&provenance).unwrap_or_default())
}

/// The `geo` entry for either table.
pub(crate) fn polygons_within(bounds: Option<&Level0Box>) -> serde_json::Value {
    let kinds: &[&str] = if bounds.is_some() { &["Polygon"] } else { &[] };
    GeometryColumn { encoding: "WKB", kinds, bounds: bounds.copied(), has_covering: true }.geo()
}

/// The column `geometry` of a GeoParquet file, as described in its metadata. Outer rings run
/// counter-clockwise (x right, y up).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeometryColumn<'a> {
    /// `WKB`, or a native encoding such as `polygon`.
    pub encoding: &'a str,
    /// Kinds of geometry that occur, none in an empty table.
    pub kinds: &'a [&'a str],
    /// The box around all rows, in level-0 px.
    pub bounds: Option<Level0Box>,
    /// `true` if the file has a column `bbox`, as [`covering`] makes it.
    pub has_covering: bool,
}

impl GeometryColumn<'_> {
    /// The `geo` entry of GeoParquet 1.1. `crs` is null: these are pixels, not degrees.
    #[must_use]
    pub fn geo(&self) -> serde_json::Value {
        let mut column = json!({
            "encoding": self.encoding,
            "geometry_types": self.kinds,
            "crs": null,
            "edges": "planar",
            "orientation": "counterclockwise",
        });
        if self.has_covering {
            let [xmin, ymin, xmax, ymax] = ["xmin", "ymin", "xmax", "ymax"].map(|name| json!(["bbox", name]));
            column["covering"] = json!({"bbox": {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}});
        }
        if let Some(bounds) = &self.bounds {
            column["bbox"] = corners_json(bounds);
        }
        json!({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}})
    }
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

/// Settings of the writer, with every one fixed that affects bytes.
pub(crate) fn properties(schema: &Schema, metadata: Vec<KeyValue>) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by("slidemill".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Statistics of polygons as bytes do not tell their place; `bbox` does.
        .set_column_statistics_enabled(ColumnPath::from("geometry"), EnabledStatistics::None)
        // Measured values hardly repeat: a dictionary would take more time than all other steps, and save
        // nothing.
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(metadata));
    for name in FEW_VALUES {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    // First bytes of measured values are alike, last ones are noise: split, they compress better and in less
    // time.
    for path in measured(schema) {
        builder = builder.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
    }
    builder.build()
}

/// The columns of floats, those in a struct included.
fn measured(schema: &Schema) -> Vec<ColumnPath> {
    let mut paths = Vec::new();
    for field in schema.fields() {
        match field.data_type() {
            DataType::Struct(parts) => {
                let floats = parts.iter().filter(|part| is_float(part));
                paths.extend(floats.map(|part| vec![field.name().clone(), part.name().clone()]));
            }
            _ if is_float(field) => paths.push(vec![field.name().clone()]),
            _ => {}
        }
    }
    paths.into_iter().map(ColumnPath::new).collect()
}

fn is_float(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Float32 | DataType::Float64)
}

/// Columns with few different values.
const FEW_VALUES: [&str; 6] =
    ["slide_id", "class_id", "class_name", "n_merged", "edge_flag", "runner_up_class"];
