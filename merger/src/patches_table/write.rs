//! Writes patches as rows of a table: Parquet, without geometry, with the same record of its making as the other tables.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float16Type};
use arrow_array::{ArrayRef, FixedSizeListArray, PrimitiveArray, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema};
use parquet::arrow::ArrowWriter;
use serde_json::json;
use whole_file::{Staged, folder_of};

use super::columns::{Block, PatchRow};
use super::{Patch, VectorFacts};
use crate::MergeError;
use crate::column::{StoredRow as _, schema_of};
use crate::files::{put_in_place, stage};
use crate::geoparquet::{TableContext, WriteReport, encode_error, properties, record};

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Rows per row group: vectors are long, and readers hold a group at a time.
const ROWS_PER_GROUP: usize = 4096;

/// Writes the patches of one slide as `path`, whole or not at all, in the order of their windows.
///
/// # Errors
///
/// As [`write_cells`](crate::write_cells), and [`MergeError::Vector`] for a vector of another length than `facts` say.
pub fn write_patches(
    path: &Path,
    patches: &[Patch],
    facts: &VectorFacts,
    context: &TableContext,
) -> Result<WriteReport, MergeError> {
    stage_patches(folder_of(path), path, patches, facts, context).and_then(put_in_place)
}

/// As [`write_patches`], but leaves the table in `folder`, on the same file system, until it is [put in
/// place](whole_file::put_in_place). `patches` are in the order of their windows.
///
/// # Errors
///
/// As [`write_patches`].
pub fn stage_patches(
    folder: &Path,
    path: &Path,
    patches: &[Patch],
    facts: &VectorFacts,
    context: &TableContext,
) -> Result<(WriteReport, Staged), MergeError> {
    let other = patches.iter().find(|patch| patch.embedding.dimensions() != facts.dimensions);
    if let Some(patch) = other {
        return Err(MergeError::Vector {
            window: patch.window.0,
            found: patch.embedding.dimensions(),
            expected: facts.dimensions,
        });
    }
    let length = i32::try_from(facts.dimensions).unwrap_or(i32::MAX);
    let item: FieldRef = Arc::new(Field::new("item", DataType::Float16, false));
    let schema = Arc::new(schema(&item, length));
    let metadata = record(
        context,
        patches.len(),
        &[
            // Readers of our tables look for both.
            ("row_group_bounds_px", json!([])),
            (
                "embedding",
                json!({
                    "model": facts.model,
                    "mpp_um_per_px": facts.mpp.get(),
                    "dimensions": facts.dimensions,
                    "element": "float16",
                }),
            ),
        ],
    );
    stage(folder, path, |out| {
        let refused = |error| encode_error(error, path);
        let settings = properties(&schema, vec![metadata]);
        let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(settings)).map_err(refused)?;
        for group in patches.chunks(ROWS_PER_GROUP) {
            let block = Block { patches: group, context };
            let vectors = vectors(group, &item, length).map_err(|error| refused(error.into()))?;
            let arrays = PatchRow::columns().into_iter().map(|column| (column.fill)(&block));
            let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.chain([vectors]).collect());
            writer.write(&batch.map_err(|error| refused(error.into()))?).map_err(refused)?;
            writer.flush().map_err(refused)?;
        }
        let row_groups = writer.finish().map_err(refused)?.num_row_groups();
        Ok(WriteReport { rows: patches.len() as u64, bytes: writer.bytes_written() as u64, row_groups })
    })
}

fn schema(item: &FieldRef, length: i32) -> Schema {
    let about = "the model's vector for it, in halves";
    let vectors = Field::new("embedding", DataType::FixedSizeList(Arc::clone(item), length), false)
        .with_metadata([("description".to_owned(), about.to_owned())].into());
    let fixed = schema_of::<PatchRow>();
    let fields = fixed.fields().iter().cloned().chain([Arc::new(vectors)]);
    Schema::new(fields.collect::<Vec<FieldRef>>())
}

fn vectors(patches: &[Patch], item: &FieldRef, length: i32) -> Result<ArrayRef, ArrowError> {
    let halves = patches.iter().flat_map(|patch| patch.embedding.halves());
    let numbers: PrimitiveArray<Float16Type> =
        PrimitiveArray::from_iter_values(halves.map(|&half| Half::from_bits(half)));
    Ok(Arc::new(FixedSizeListArray::try_new(Arc::clone(item), length, Arc::new(numbers), None)?))
}
