//! Reads cell and region tables for the viewer: all cells once, one cell whole, all
//! regions.

use std::{fs::File, path::Path};

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray as _,
    types::{Float32Type, Float64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wsi_types::{ClassId, Level0Box, Level0Point};

use crate::{ViewError, tiles::CellMark};

const CELL_COLUMNS: [&str; 6] = ["class_id", "score", "x_px", "y_px", "bbox", "geometry"];
const REGION_COLUMNS: [&str; 6] = ["kind", "area_um2", "coverage", "n_cells", "cells_per_mm2", "geometry"];
const ROWS_AT_ONCE: usize = 8192;

/// A table that is open to be read.
struct Table<'a> {
    path: &'a Path,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path) -> Result<Self, ViewError> {
        let failed = |reason: String| ViewError::Table { reason, path: path.to_owned() };
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| failed(error.to_string()))?
            .with_batch_size(ROWS_AT_ONCE);
        Ok(Self { path, builder })
    }

    fn failed(&self, reason: impl ToString) -> ViewError {
        ViewError::Table { reason: reason.to_string(), path: self.path.to_owned() }
    }

    /// The columns named, batch by batch.
    fn columns(
        self,
        names: &[&str],
        mut each: impl FnMut(&RecordBatch) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let path = self.path;
        let failed = |reason: String| ViewError::Table { reason, path: path.to_owned() };
        let mask = ProjectionMask::columns(self.builder.parquet_schema(), names.iter().copied());
        let reader = self.builder.with_projection(mask).build();
        for batch in reader.map_err(|error| failed(error.to_string()))? {
            each(&batch.map_err(|error| failed(error.to_string()))?)?;
        }
        Ok(())
    }
}

/// Hands every cell of a table to `each`, in the order of its rows.
///
/// # Errors
///
/// [`ViewError::Table`] when the file cannot be read or is no cell table, and what
/// `each` gives.
pub fn for_each_cell(
    path: &Path,
    mut each: impl FnMut(&CellMark<'_>) -> Result<(), ViewError>,
) -> Result<(), ViewError> {
    let mut ring = Vec::new();
    Table::open(path)?.columns(&CELL_COLUMNS, |batch| {
        let columns = CellColumns::of(batch).map_err(|reason| table_error(path, reason))?;
        for row in 0..batch.num_rows() {
            columns.ring(row, &mut ring).map_err(|reason| table_error(path, reason))?;
            each(&columns.cell(row, &ring))?;
        }
        Ok(())
    })
}

/// Names by class id, as the table's metadata has them.
///
/// # Errors
///
/// [`ViewError::Table`] when the file cannot be read.
pub fn class_names(path: &Path) -> Result<Vec<String>, ViewError> {
    let table = Table::open(path)?;
    let entries = table.builder.metadata().file_metadata().key_value_metadata();
    let entry = entries.and_then(|entries| entries.iter().find(|entry| entry.key == "slidemill"));
    let text = entry.and_then(|entry| entry.value.as_deref());
    let text = text.ok_or_else(|| table.failed("its metadata says nothing of slidemill"))?;
    let provenance: Provenance = serde_json::from_str(text).map_err(|error| table.failed(error))?;
    Ok(provenance.class_names)
}

/// What is needed of a table's metadata.
#[derive(Deserialize)]
struct Provenance {
    class_names: Vec<String>,
}

fn table_error(path: &Path, reason: String) -> ViewError {
    ViewError::Table { reason, path: path.to_owned() }
}

/// One row of a table, all columns but its geometry, as JSON. Numbers beyond what a
/// browser counts exactly are text.
///
/// # Errors
///
/// [`ViewError::Table`] when the file cannot be read or has no such row.
pub fn row(path: &Path, row: u64) -> Result<Value, ViewError> {
    let table = Table::open(path)?;
    let mut before = 0;
    let groups = table.builder.metadata().row_groups();
    let found = groups.iter().position(|group| {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        let here = row < before + rows;
        before += if here { 0 } else { rows };
        here
    });
    let group = found.ok_or_else(|| table.failed(format!("it has no row {row}")))?;
    let builder = table.builder.with_row_groups(vec![group]).with_limit(1);
    let reader = builder.with_offset((row - before) as usize).build();
    let mut reader = reader.map_err(|error| table_error(path, error.to_string()))?;
    let batch = reader.next().ok_or_else(|| table_error(path, format!("it has no row {row}")))?;
    let batch = batch.map_err(|error| table_error(path, error.to_string()))?;
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).filter(|(field, _)| field.name() != "geometry");
    Ok(Value::Object(columns.map(|(field, column)| (field.name().clone(), value(column, 0))).collect()))
}

/// What JavaScript counts exactly.
const MOST_EXACT: u64 = 1 << 53;

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    if let Some(values) = column.as_primitive_opt::<UInt64Type>() {
        let value = values.value(row);
        return if value <= MOST_EXACT { json!(value) } else { json!(value.to_string()) };
    }
    let number = None
        .or_else(|| column.as_primitive_opt::<UInt8Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<UInt16Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<UInt32Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<Float32Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<Float64Type>().map(|values| json!(values.value(row))));
    let text = || column.as_string_opt::<i32>().map(|texts| json!(texts.value(row)));
    let entry = || {
        let texts = column.as_dictionary_opt::<UInt16Type>()?;
        let key = usize::from(texts.keys().value(row));
        Some(value(texts.values(), key))
    };
    let list = || {
        let items = column.as_list_opt::<i32>()?.value(row);
        Some((0..items.len()).map(|index| value(&items, index)).collect())
    };
    let parts = || {
        let parts = column.as_struct_opt()?;
        let named = parts.column_names().into_iter().zip(parts.columns());
        Some(Value::Object(
            named.map(|(name, part)| (name.to_owned(), value(part, row))).collect::<Map<_, _>>(),
        ))
    };
    number.or_else(text).or_else(entry).or_else(list).or_else(parts).unwrap_or(Value::Null)
}

/// A region as a page draws it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownRegion {
    /// `tissue`, `dense`, or a class.
    pub kind: String,
    /// Without holes.
    pub area_um2: f64,
    /// The share of it that a window with a result saw.
    pub coverage: f64,
    /// Cells whose centroid lies in it.
    pub n_cells: u64,
    /// Those per mm² of what was seen of it.
    pub cells_per_mm2: f64,
    /// The outer ring, then holes: x and y in turn, level-0 px, rounded to 1/4.
    pub rings: Vec<Vec<f64>>,
}

/// All regions of a table, in the order of its rows.
///
/// # Errors
///
/// [`ViewError::Table`] when the file cannot be read or is no regions table.
pub fn regions(path: &Path) -> Result<Vec<ShownRegion>, ViewError> {
    let mut regions = Vec::new();
    Table::open(path)?.columns(&REGION_COLUMNS, |batch| {
        regions.extend(regions_in(batch).map_err(|reason| table_error(path, reason))?);
        Ok(())
    })?;
    Ok(regions)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    batch.column_by_name(name).ok_or_else(|| format!("it has no column {name:?}"))
}

fn typed<T>(column: Option<T>, name: &str) -> Result<T, String> {
    column.ok_or_else(|| format!("column {name:?} has another type than ours"))
}

macro_rules! values {
    ($batch:expr, $name:literal, $kind:ty) => {
        &**typed(column($batch, $name)?.as_primitive_opt::<$kind>(), $name)?.values()
    };
}

fn regions_in(batch: &RecordBatch) -> Result<Vec<ShownRegion>, String> {
    let kinds = typed(column(batch, "kind")?.as_string_opt::<i32>(), "kind")?;
    let shapes = typed(column(batch, "geometry")?.as_binary_opt::<i32>(), "geometry")?;
    let areas = values!(batch, "area_um2", Float64Type);
    let coverages = values!(batch, "coverage", Float64Type);
    let cells = values!(batch, "n_cells", UInt64Type);
    let densities = values!(batch, "cells_per_mm2", Float64Type);
    let region = |row: usize| {
        Ok(ShownRegion {
            kind: kinds.value(row).to_owned(),
            area_um2: areas[row],
            coverage: coverages[row],
            n_cells: cells[row],
            cells_per_mm2: densities[row],
            rings: wkb_rings(shapes.value(row))?.iter().map(|ring| flat(ring)).collect(),
        })
    };
    (0..batch.num_rows()).map(region).collect()
}

fn flat(ring: &[Level0Point]) -> Vec<f64> {
    ring.iter().flat_map(|point| [point.x, point.y]).map(|value| (value * 4.0).round() / 4.0).collect()
}

/// The columns of cells that are drawn.
struct CellColumns<'a> {
    classes: &'a [u16],
    scores: &'a [f32],
    x: &'a [f64],
    y: &'a [f64],
    bbox: [&'a [f32]; 4],
    shapes: &'a arrow_array::BinaryArray,
}

impl<'a> CellColumns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let bbox = typed(column(batch, "bbox")?.as_struct_opt(), "bbox")?;
        if bbox.num_columns() != 4 {
            return Err(format!("column \"bbox\" has {} fields, expected 4", bbox.num_columns()));
        }
        let side = |index: usize| -> Result<&'a [f32], String> {
            Ok(&**typed(bbox.column(index).as_primitive_opt::<Float32Type>(), "bbox")?.values())
        };
        Ok(Self {
            classes: values!(batch, "class_id", UInt16Type),
            scores: values!(batch, "score", Float32Type),
            x: values!(batch, "x_px", Float64Type),
            y: values!(batch, "y_px", Float64Type),
            bbox: [side(0)?, side(1)?, side(2)?, side(3)?],
            shapes: typed(column(batch, "geometry")?.as_binary_opt::<i32>(), "geometry")?,
        })
    }

    fn cell<'r>(&self, row: usize, ring: &'r [Level0Point]) -> CellMark<'r> {
        let [xmin, ymin, xmax, ymax] = self.bbox.map(|side| f64::from(side[row]));
        CellMark {
            class: ClassId(self.classes[row]),
            score: self.scores[row],
            centroid: Level0Point::new(self.x[row], self.y[row]),
            bbox: Level0Box::new(euclid::point2(xmin, ymin), euclid::point2(xmax, ymax)),
            ring,
        }
    }

    /// The outer ring of the cell in `row`.
    fn ring(&self, row: usize, ring: &mut Vec<Level0Point>) -> Result<(), String> {
        let mut rest = self.shapes.value(row);
        wkb_ring_count(&mut rest)?;
        take_ring(&mut rest, ring)
    }
}

/// The rings of a little-endian WKB polygon, as our tables have them.
fn wkb_rings(mut bytes: &[u8]) -> Result<Vec<Vec<Level0Point>>, String> {
    let mut rings = Vec::new();
    for _ in 0..wkb_ring_count(&mut bytes)? {
        let mut ring = Vec::new();
        take_ring(&mut bytes, &mut ring)?;
        rings.push(ring);
    }
    Ok(rings)
}

fn wkb_ring_count(bytes: &mut &[u8]) -> Result<u32, String> {
    const LITTLE_ENDIAN_POLYGON: [u8; 5] = [1, 3, 0, 0, 0];
    let rest = bytes.strip_prefix(&LITTLE_ENDIAN_POLYGON);
    *bytes = rest.ok_or("a geometry is no little-endian WKB polygon")?;
    take_u32(bytes)
}

/// The next ring, open.
fn take_ring(rest: &mut &[u8], ring: &mut Vec<Level0Point>) -> Result<(), String> {
    const POINT: usize = 16;
    let count = take_u32(rest)? as usize;
    let points = count.checked_mul(POINT).and_then(|bytes| rest.split_at_checked(bytes));
    let (points, after) = points
        .ok_or_else(|| format!("a ring says it has {count} points, but only {} bytes follow", rest.len()))?;
    *rest = after;
    let (pairs, _) = points.as_chunks::<POINT>();
    ring.clear();
    ring.extend(pairs.iter().map(|pair| {
        let (x, y) = pair.split_at(8);
        let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap_or_default());
        Level0Point::new(number(x), number(y))
    }));
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    Ok(())
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32, String> {
    let (head, rest) = bytes.split_first_chunk().ok_or("a geometry ends early")?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*head))
}
