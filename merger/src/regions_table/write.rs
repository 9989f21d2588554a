//! Writes regions as rows of a table, with the same file metadata as cells have.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use whole_file::{Staged, folder_of};
use wsi_types::Level0Box;

use super::columns::Block;
use super::row::RegionRow;
use crate::MergeError;
use crate::column::{StoredRow as _, schema_of};
use crate::files::{put_in_place, stage};
use crate::geoparquet::{
    ROWS_PER_GROUP, TableContext, WriteReport, bounds, corners_json, encode_error, hilbert_key, key_values,
    properties, with_geo,
};
use crate::regions::Region;

/// Writes the regions of one slide as `path`, whole or not at all; their order
/// does not matter.
///
/// # Errors
///
/// As [`write_cells`](crate::write_cells).
pub fn write_regions(
    path: &Path,
    regions: &[Region],
    context: &TableContext,
) -> Result<WriteReport, MergeError> {
    stage_regions(folder_of(path), path, regions, context).and_then(put_in_place)
}

/// As [`write_regions`], but leaves the table in `folder`, on the same file system, until it is [put in
/// place](whole_file::put_in_place).
///
/// # Errors
///
/// As [`write_cells`](crate::write_cells).
pub fn stage_regions(
    folder: &Path,
    path: &Path,
    regions: &[Region],
    context: &TableContext,
) -> Result<(WriteReport, Staged), MergeError> {
    let mut sorted: Vec<&Region> = regions.iter().collect();
    sorted.sort_by(|a, b| {
        let [key_a, key_b] = [a, b].map(|region| (hilbert_key(region.centroid), region.id));
        key_a.cmp(&key_b).then_with(|| a.kind.cmp(&b.kind))
    });
    let groups: Vec<_> = (sorted.chunks(ROWS_PER_GROUP).filter_map(bounds_of_regions))
        .map(|bounds| corners_json(&bounds))
        .collect();
    let metadata = key_values(context, sorted.len(), &groups, bounds_of_regions(&sorted).as_ref(), &[]);
    let schema = Arc::new(with_geo(schema_of::<RegionRow>(), &metadata));
    stage(folder, path, |out| {
        let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties(&schema, metadata)))
            .map_err(|error| encode_error(error, path))?;
        let block = Block { regions: &sorted, context };
        let arrays = RegionRow::columns().iter().map(|column| (column.fill)(&block)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
            .map_err(|error| encode_error(error.into(), path))?;
        writer.write(&batch).map_err(|error| encode_error(error, path))?;
        let row_groups = writer.finish().map_err(|error| encode_error(error, path))?.num_row_groups();
        Ok(WriteReport { rows: sorted.len() as u64, bytes: writer.bytes_written() as u64, row_groups })
    })
}

fn bounds_of_regions(regions: &[&Region]) -> Option<Level0Box> {
    bounds(regions.iter().map(|region| &region.bbox))
}
