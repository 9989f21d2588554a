//! Opens tables of a dataset to be read back.

use std::{fs::File, path::Path};

use anyhow::Context as _;
use arrow_array::RecordBatch;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

/// Hands `columns` of a table to `each`, batch by batch in the order of its rows.
/// Columns that it has not are left out. `what` names it in errors: `the cell table`.
///
/// # Errors
///
/// When the file cannot be read or is no Parquet, and what `each` gives.
pub(crate) fn for_each_batch<'c>(
    path: &Path,
    what: &str,
    columns: impl IntoIterator<Item = &'c str>,
    mut each: impl FnMut(&RecordBatch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {what}"))?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).with_context(|| format!("{what} is not Parquet"))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    for batch in builder.with_projection(mask).build()? {
        each(&batch.with_context(|| format!("{what} is broken"))?)?;
    }
    Ok(())
}
