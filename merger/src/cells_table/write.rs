//! Cells become rows of a table.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use whole_file::{Staged, folder_of};
use wsi_types::ClassId;

use super::columns::{Block, Row};
use super::row::CellRow;
use crate::MergeError;
use crate::cell::{Cell, content_order, settle_ids};
use crate::column::{StoredRow as _, schema_from};
use crate::feature::Features;
use crate::files::{put_in_place, stage};
use crate::geoparquet::{
    ROWS_PER_GROUP, TableContext, WriteReport, bounds, corners_json, encode_error, hilbert_key, key_values,
    properties, with_geo,
};
use crate::morphology::Shape;
use crate::neighbours::{Around, Neighbours, Place};
use crate::outline_grid::{OUTLINE_STEP_PX, round_outlines};

/// Number of rows turned into columns at a time: they stay in the cache while every column goes over them.
const ROWS_PER_BLOCK: usize = 2048;

/// Writes the cells of one slide as `path`, whole or not at all. Before that, makes their ids unique
/// ([`settle_ids`]) and moves their outlines to a grid of [`OUTLINE_STEP_PX`]; the order of `cells` does not
/// matter and stays.
///
/// # Errors
///
/// [`MergeError::DiskFull`], [`MergeError::Io`] or [`MergeError::Encode`]; a file of that name from before is
/// then still there.
pub fn write_cells(
    path: &Path,
    cells: &mut [Cell],
    context: &TableContext,
) -> Result<WriteReport, MergeError> {
    stage_cells(folder_of(path), path, cells, context, &Features::default()).and_then(put_in_place)
}

/// As [`write_cells`], but with the columns of some `features`, and leaves the table in `folder`, on the same file system,
/// until it is [put in place](whole_file::put_in_place).
///
/// # Errors
///
/// As [`write_cells`], and [`MergeError::Centroid`].
pub fn stage_cells(
    folder: &Path,
    path: &Path,
    cells: &mut [Cell],
    context: &TableContext,
    features: &Features,
) -> Result<(WriteReport, Staged), MergeError> {
    settle_ids(cells);
    round_outlines(cells);
    let order = hilbert_order(cells);
    let metadata = file_metadata(cells, &order, context);
    let mut columns = CellRow::columns();
    columns.retain(|column| column.is_in(&features.list()));
    let schema = Arc::new(with_geo(schema_from(&columns), &metadata));
    let names = names_in_use(cells, context);
    let neighbours = neighbours_of(cells, &order, names.len(), context, features)?;
    stage(folder, path, |out| {
        let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties(&schema, metadata)))
            .map_err(|error| encode_error(error, path))?;
        let mut rows = Vec::with_capacity(ROWS_PER_BLOCK);
        for (block, first) in order.chunks(ROWS_PER_BLOCK).zip((0..).step_by(ROWS_PER_BLOCK)) {
            rows.clear();
            rows.extend(block.iter().zip(first..).map(|(&index, place)| {
                let around = neighbours.as_ref().and_then(|neighbours| neighbours.around(place));
                row(&cells[index as usize], around, context)
            }));
            let block = Block { rows: &rows, context, class_names: &names };
            let arrays = columns.iter().map(|column| (column.fill)(&block)).collect();
            let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
                .map_err(|error| encode_error(error.into(), path))?;
            writer.write(&batch).map_err(|error| encode_error(error, path))?;
        }
        let row_groups = writer.finish().map_err(|error| encode_error(error, path))?.num_row_groups();
        Ok(WriteReport { rows: cells.len() as u64, bytes: writer.bytes_written() as u64, row_groups })
    })
}

fn row<'a>(cell: &'a Cell, around: Option<Around<'a>>, context: &TableContext) -> Row<'a> {
    Row { cell, around, shape: cell.outline.as_deref().and_then(|ring| Shape::of(ring, context.mpp)) }
}

/// Neighbours of the cells, in the order of the table, if it has them.
fn neighbours_of(
    cells: &[Cell],
    order: &[u32],
    classes: usize,
    context: &TableContext,
    features: &Features,
) -> Result<Option<Neighbours>, MergeError> {
    let Some(ground) = &features.neighbours else { return Ok(None) };
    let in_order = order.iter().map(|&index| &cells[index as usize]);
    let places: Vec<Place> =
        in_order.map(|cell| Place { centroid: cell.centroid, class: cell.class }).collect();
    Neighbours::new(&places, context.mpp, classes, ground).map(Some)
}

/// Names of all classes up to the largest that occurs.
fn names_in_use(cells: &[Cell], context: &TableContext) -> ArrayRef {
    let largest = cells.iter().map(|cell| usize::from(cell.class.0) + 1).max().unwrap_or(0);
    let classes = 0..largest.max(context.class_names.len()).min(usize::from(u16::MAX) + 1);
    Arc::new(StringArray::from_iter_values(
        classes.map(|class| context.class_names.name(ClassId(class as u16))),
    ))
}

/// Indices of `cells` along a Hilbert curve through their centroids.
fn hilbert_order(cells: &[Cell]) -> Vec<u32> {
    // Place and index in one number: numbers sort several times as fast as pairs.
    let mut keys: Vec<u128> = (cells.iter().zip(0_u32..))
        .map(|(cell, index)| u128::from(hilbert_key(cell.centroid)) << 32 | u128::from(index))
        .collect();
    keys.sort_unstable();
    for same in keys.chunk_by_mut(|a, b| a >> 32 == b >> 32).filter(|same| same.len() > 1) {
        same.sort_unstable_by(|a, b| content_order(&cells[*a as u32 as usize], &cells[*b as u32 as usize]));
    }
    keys.into_iter().map(|key| key as u32).collect()
}

fn file_metadata(cells: &[Cell], order: &[u32], context: &TableContext) -> Vec<KeyValue> {
    let all = bounds(cells.iter().map(|cell| &cell.bbox));
    let groups = order.chunks(ROWS_PER_GROUP);
    let group_bounds: Vec<serde_json::Value> = groups
        .filter_map(|group| bounds(group.iter().map(|&index| &cells[index as usize].bbox)))
        .map(|bounds| corners_json(&bounds))
        .collect();
    let own = [("outline_step_px", OUTLINE_STEP_PX.into())];
    key_values(context, cells.len(), &group_bounds, all.as_ref(), &own)
}
