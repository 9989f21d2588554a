//! Opens tables of a dataset to be read back.

use std::{fmt, fs::File, path::Path};

use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch, cast::AsArray as _};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::error::DatasetError;

/// Which table it is, as errors say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table(pub(crate) &'static str);

impl Table {
    /// Hands `columns` to `each`, batch by batch in the order of the rows. Columns
    /// that the table has not are left out.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is no Parquet, and what `each` gives.
    pub(crate) fn for_each_batch<'c>(
        self,
        path: &Path,
        columns: impl IntoIterator<Item = &'c str>,
        mut each: impl FnMut(&RecordBatch) -> Result<(), DatasetError>,
    ) -> Result<(), DatasetError> {
        let file = File::open(path).map_err(|reason| DatasetError::OpenTable { table: self.0, reason })?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| self.bad(format!("is not Parquet: {error}")))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
        let batches = builder.with_projection(mask).build();
        for batch in batches.map_err(|error| self.bad(format!("cannot be read: {error}")))? {
            each(&batch.map_err(|error| self.bad(format!("is broken: {error}")))?)?;
        }
        Ok(())
    }

    /// A column by name.
    pub(crate) fn column<'b>(
        self,
        batch: &'b RecordBatch,
        name: &str,
    ) -> Result<&'b dyn Array, DatasetError> {
        let column = batch.column_by_name(name).ok_or_else(|| self.bad(format!("has no column {name:?}")))?;
        Ok(column.as_ref())
    }

    /// A column of numbers by name.
    pub(crate) fn numbers<'b, T: ArrowPrimitiveType>(
        self,
        batch: &'b RecordBatch,
        name: &str,
    ) -> Result<&'b PrimitiveArray<T>, DatasetError> {
        self.typed(name, self.column(batch, name)?.as_primitive_opt::<T>())
    }

    /// A column that was looked at as the type that our tables have.
    pub(crate) fn typed<T>(self, name: &str, column: Option<T>) -> Result<T, DatasetError> {
        column.ok_or_else(|| self.bad(format!("has a column {name:?} of another type than ours")))
    }

    /// An error that names this table.
    pub(crate) fn bad(self, problem: impl fmt::Display) -> DatasetError {
        DatasetError::BadTable { table: self.0, problem: problem.to_string() }
    }
}
