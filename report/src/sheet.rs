//! Tables as spreadsheets read them: CSV.

use csv::Writer;
use eval::names::for_spreadsheet;

use crate::error::ReportError;

/// A column of a table.
pub(crate) struct SheetColumn {
    name: String,
    /// Empty where there is no value.
    cells: Vec<String>,
}

impl SheetColumn {
    /// A column of texts. None is run as a formula, and its name neither.
    pub(crate) fn texts<'a>(name: &str, values: impl Iterator<Item = Option<&'a str>>) -> Self {
        Self::new(name, values.map(|text| text.map(|text| for_spreadsheet(text).into_owned())))
    }

    /// A column of whole numbers.
    pub(crate) fn counts(name: &str, values: impl Iterator<Item = Option<u64>>) -> Self {
        Self::new(name, values.map(|count| count.map(|count| count.to_string())))
    }

    /// A column of numbers with so many decimals.
    pub(crate) fn numbers(name: &str, values: impl Iterator<Item = Option<f64>>, decimals: usize) -> Self {
        Self::new(name, values.map(|number| number.map(|number| format!("{number:.decimals$}"))))
    }

    fn new(name: &str, values: impl Iterator<Item = Option<String>>) -> Self {
        Self {
            name: for_spreadsheet(name).into_owned(),
            cells: values.map(Option::unwrap_or_default).collect(),
        }
    }
}

/// A table of columns of one length, under a line of their names.
///
/// # Errors
///
/// When it cannot be encoded; `what` it is of is said.
pub(crate) fn csv(what: &'static str, columns: &[SheetColumn]) -> Result<Vec<u8>, ReportError> {
    csv_bytes(columns).map_err(|error| ReportError::encode(what, &error))
}

fn csv_bytes(columns: &[SheetColumn]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|column| &column.name))?;
    let rows = columns.first().map_or(0, |column| column.cells.len());
    for row in 0..rows {
        writer.write_record(columns.iter().map(|column| &column.cells[row]))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_no_formulas_and_what_is_not_there_is_empty() {
        let columns = [
            SheetColumn::texts("slide", [Some("a,\"b\""), Some("=1+1"), None].into_iter()),
            SheetColumn::counts("cells", [Some(u64::MAX), None, Some(0)].into_iter()),
            SheetColumn::numbers("per mm²", [Some(1.0 / 3.0), Some(-2.5), None].into_iter(), 4),
        ];
        let text = String::from_utf8(csv("a table", &columns).unwrap()).unwrap();
        let expected =
            "slide,cells,per mm²\n\"a,\"\"b\"\"\",18446744073709551615,0.3333\n'=1+1,,-2.5000\n,0,\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_table_without_lines_is_its_names() {
        let columns =
            [SheetColumn::texts("a", std::iter::empty()), SheetColumn::counts("b", std::iter::empty())];
        assert_eq!(csv("a table", &columns).unwrap(), b"a,b\n");
    }
}
