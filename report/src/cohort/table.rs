//! Tables of a cohort, as CSV and as Parquet.

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::{arrow::ArrowWriter, errors::ParquetError};

use crate::{
    error::ReportError,
    sheet::{self, SheetColumn},
};

/// Decimals of numbers in CSV.
const DECIMALS: usize = 6;

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    name: String,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Texts(Vec<Option<String>>),
    Numbers(Vec<Option<f64>>),
    Counts(Vec<Option<u64>>),
}

impl Column {
    pub(super) fn texts<'a>(name: &str, values: impl Iterator<Item = Option<&'a str>>) -> Self {
        Self {
            name: name.to_owned(),
            values: Values::Texts(values.map(|text| text.map(str::to_owned)).collect()),
        }
    }

    pub(super) fn numbers(name: &str, values: impl Iterator<Item = Option<f64>>) -> Self {
        Self { name: name.to_owned(), values: Values::Numbers(values.collect()) }
    }

    pub(super) fn counts(name: &str, values: impl Iterator<Item = Option<u64>>) -> Self {
        Self { name: name.to_owned(), values: Values::Counts(values.collect()) }
    }

    fn for_csv(&self) -> SheetColumn {
        match &self.values {
            Values::Texts(values) => SheetColumn::texts(&self.name, values.iter().map(Option::as_deref)),
            Values::Numbers(values) => SheetColumn::numbers(&self.name, values.iter().copied(), DECIMALS),
            Values::Counts(values) => SheetColumn::counts(&self.name, values.iter().copied()),
        }
    }

    fn for_parquet(&self) -> ArrayRef {
        match &self.values {
            Values::Texts(values) => Arc::new(values.iter().map(Option::as_deref).collect::<StringArray>()),
            Values::Numbers(values) => Arc::new(values.iter().copied().collect::<Float64Array>()),
            Values::Counts(values) => {
                Arc::new(values.iter().map(|count| count.map(u64::cast_signed)).collect::<Int64Array>())
            }
        }
    }
}

/// Columns of one length and different names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    columns: Vec<Column>,
}

impl Table {
    /// A table of columns of one length. Of columns of one name the first is said to be the list's: a list may call its
    /// columns as we do.
    pub(super) fn new(mut columns: Vec<Column>) -> Self {
        for place in 0..columns.len() {
            let (before, rest) = columns.split_at_mut(place + 1);
            let own = &mut before[place].name;
            let taken: BTreeSet<&str> = rest.iter().map(|column| column.name.as_str()).collect();
            while taken.contains(own.as_str()) {
                own.push_str("_of_list");
            }
        }
        Self { columns }
    }

    pub(super) fn csv(&self) -> Result<Vec<u8>, ReportError> {
        let columns: Vec<SheetColumn> = self.columns.iter().map(Column::for_csv).collect();
        sheet::csv("the cohort", &columns)
    }

    pub(super) fn parquet(&self) -> Result<Vec<u8>, ReportError> {
        self.parquet_bytes().map_err(|error| ReportError::encode("the cohort", &error))
    }

    fn parquet_bytes(&self) -> Result<Vec<u8>, ParquetError> {
        let columns = self.columns.iter().map(|column| (column.name.as_str(), column.for_parquet(), true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_csv_is_a_formula_and_names_differ() {
        let texts = |name: &str| Column::texts(name, [Some("=cmd"), None, Some("P1")].into_iter());
        let table = Table::new(vec![
            texts("slide_id"),
            texts("+patient"),
            texts("value"),
            Column::numbers("value", [Some(0.5), None, Some(2.0)].into_iter()),
            Column::counts("cells", [Some(7), None, Some(0)].into_iter()),
        ]);
        let csv = String::from_utf8(table.csv().unwrap()).unwrap();
        assert_eq!(
            csv,
            "slide_id,'+patient,value_of_list,value,cells\n'=cmd,'=cmd,'=cmd,0.500000,7\n,,,,\nP1,P1,P1,2.000000,0\n"
        );
        assert!(table.parquet().unwrap().starts_with(b"PAR1"));
    }
}
