//! Reads cell and region tables for the viewer: all cells once, one cell whole, all
//! regions.

use std::{fs::File, path::Path};

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray as _,
    types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
};
use merger::{CellReader, ReadSettings, RegionReader, RegionRow};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;
use serde_json::{Map, Value, json};
use wsi_types::{Level0Point, RegionColours, css_colour, wording::region_label};

use crate::{ViewError, tiles::CellMark};

const CELL_COLUMNS: [&str; 6] = ["class_id", "score", "x_px", "y_px", "bbox", "geometry"];
const REGION_COLUMNS: [&str; 7] =
    ["kind", "class_name", "area_um2", "coverage", "n_cells", "cells_per_mm2", "geometry"];
/// The kind of regions that lie below all others.
const TISSUE: &str = "tissue";

/// Passes every cell of a table to `each`, in the order of its rows.
///
/// # Errors
///
/// [`ViewError::Table`] when the file cannot be read or is not a cell table, and the errors of `each`.
pub fn for_each_cell(
    path: &Path,
    mut each: impl FnMut(&CellMark<'_>) -> Result<(), ViewError>,
) -> Result<(), ViewError> {
    for batch in cells(path)? {
        for cell in batch.map_err(|error| table_error(path, error))? {
            each(&CellMark {
                class: cell.class_id,
                score: cell.score,
                centroid: cell.centroid,
                bbox: cell.bbox,
                ring: &cell.outline,
            })?;
        }
    }
    Ok(())
}

/// Returns names by class id, from the table's metadata.
///
/// # Errors
///
/// [`ViewError::Table`] when the file cannot be read or is not a cell table.
pub fn class_names(path: &Path) -> Result<Vec<String>, ViewError> {
    Ok(cells(path)?.header().class_names.as_slice().to_vec())
}

fn cells(path: &Path) -> Result<CellReader, ViewError> {
    let settings = ReadSettings { columns: Some(&CELL_COLUMNS), ..ReadSettings::default() };
    CellReader::open(path, settings).map_err(|error| table_error(path, error))
}

fn table_error(path: &Path, reason: impl ToString) -> ViewError {
    ViewError::Table { reason: reason.to_string(), path: path.to_owned() }
}

/// Returns one row of a table, all columns but its geometry, as JSON. Numbers beyond those that a browser
/// counts exactly are text.
///
/// # Errors
///
/// [`ViewError::Table`] when the file cannot be read or does not have the row.
pub fn row(path: &Path, row: u64) -> Result<Value, ViewError> {
    let file = File::open(path).map_err(|error| table_error(path, error))?;
    let table = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| table_error(path, error))?;
    let mut before = 0;
    let groups = table.metadata().row_groups();
    let found = groups.iter().position(|group| {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        let here = row < before + rows;
        before += if here { 0 } else { rows };
        here
    });
    let group = found.ok_or_else(|| table_error(path, format!("it has no row {row}")))?;
    let builder = table.with_row_groups(vec![group]).with_limit(1);
    let reader = builder.with_offset((row - before) as usize).build();
    let mut reader = reader.map_err(|error| table_error(path, error))?;
    let batch = reader.next().ok_or_else(|| table_error(path, format!("it has no row {row}")))?;
    let batch = batch.map_err(|error| table_error(path, error))?;
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).filter(|(field, _)| field.name() != "geometry");
    Ok(Value::Object(columns.map(|(field, column)| (field.name().clone(), value(column, 0))).collect()))
}

/// Largest whole number that JavaScript counts exactly. Ids of tables of version 1 may be larger.
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
        .or_else(|| column.as_primitive_opt::<Int64Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<Int32Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<UInt8Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<UInt16Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<UInt32Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<Float32Type>().map(|values| json!(values.value(row))))
        .or_else(|| column.as_primitive_opt::<Float64Type>().map(|values| json!(values.value(row))));
    number
        .or_else(|| column.as_string_opt::<i32>().map(|texts| json!(texts.value(row))))
        .or_else(|| {
            let texts = column.as_dictionary_opt::<UInt16Type>()?;
            Some(value(texts.values(), usize::from(texts.keys().value(row))))
        })
        .or_else(|| {
            let items = column.as_list_opt::<i32>()?.value(row);
            Some((0..items.len()).map(|index| value(&items, index)).collect())
        })
        .or_else(|| {
            let parts = column.as_struct_opt()?;
            let named = parts.column_names().into_iter().zip(parts.columns());
            let named = named.map(|(name, part)| (name.to_owned(), value(part, row)));
            Some(Value::Object(named.collect::<Map<_, _>>()))
        })
        .unwrap_or_else(|| {
            json!(format!("a value of type {}, which the viewer does not read", column.data_type()))
        })
}

/// A region in the form that a page draws.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownRegion {
    /// `tissue`, `dense`, a class of the model, or what a person drew, with its class: `roi: Tumor`.
    pub label: String,
    /// As style sheets write it, the same as in the report.
    pub colour: String,
    /// Its area without holes.
    pub area_um2: f64,
    /// Its share that windows with a result saw.
    pub coverage: f64,
    /// Cells whose centroid lies in it.
    pub n_cells: u64,
    /// Cells per mm² of its area that was seen.
    pub cells_per_mm2: f64,
    /// The outer ring, then holes: x and y in turn, level-0 px, rounded to 1/4.
    pub rings: Vec<Vec<f64>>,
}

/// Returns all regions of a table, in the order of its rows.
///
/// # Errors
///
/// [`ViewError::Table`] when the file cannot be read or is not a regions table.
pub fn regions(path: &Path) -> Result<Vec<ShownRegion>, ViewError> {
    let settings = ReadSettings { columns: Some(&REGION_COLUMNS), ..ReadSettings::default() };
    let reader = RegionReader::open(path, settings).map_err(|error| table_error(path, error))?;
    let read: Result<Vec<_>, _> = reader.collect();
    let rows = read.map_err(|error| table_error(path, error))?.concat();
    let labels: Vec<String> =
        rows.iter().map(|row| region_label(&row.kind, row.class_name.as_deref())).collect();
    let colours = RegionColours::new(labels.iter().map(String::as_str).filter(|label| *label != TISSUE));
    let shown = rows.into_iter().zip(labels).map(|(row, label)| {
        let RegionRow { area_um2, coverage, n_cells, cells_per_mm2, rings, .. } = row;
        let colour = css_colour(colours.get(&label));
        let rings = rings.iter().map(|ring| flat(ring)).collect();
        ShownRegion { label, colour, area_um2, coverage, n_cells, cells_per_mm2, rings }
    });
    Ok(shown.collect())
}

fn flat(ring: &[Level0Point]) -> Vec<f64> {
    ring.iter().flat_map(|point| [point.x, point.y]).map(|value| (value * 4.0).round() / 4.0).collect()
}
