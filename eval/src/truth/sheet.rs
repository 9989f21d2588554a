//! Tables of text as spreadsheets, R, pandas and QuPath write them: comma, tab or
//! semicolon, with a line `sep=;` first or not, decimal points or commas.

use std::path::Path;

use csv::StringRecord;

use super::files::malformed;
use crate::error::Result;

/// A table read whole: its header, and its rows with the lines they stand in.
#[derive(Debug)]
pub struct Sheet {
    /// Names of the columns as written.
    pub header: StringRecord,
    /// Rows, from line 2 on.
    pub rows: Vec<StringRecord>,
    separator: u8,
    /// Lines before the header.
    skipped: u64,
}

impl Sheet {
    /// Reads a table.
    ///
    /// # Errors
    ///
    /// [`Malformed`](crate::EvalError::Malformed) names the line of a row that has
    /// another number of columns than the header.
    pub fn new(text: &str, path: &Path) -> Result<Self> {
        // Given "\r\n", the CSV reader would count the line of a row from before its "\n".
        let text = text.replace("\r\n", "\n");
        let start = Start::new(&text);
        let mut reader = start.reader();
        let header = reader.headers().map_err(|error| start.broken(&error, path))?.clone();
        let rows = reader.records().collect::<Result<_, _>>().map_err(|error| start.broken(&error, path))?;
        Ok(Self { header, rows, separator: start.separator, skipped: start.skipped })
    }

    /// The header alone; `None` where there is none.
    pub(super) fn header_of(text: &str) -> Option<StringRecord> {
        Start::new(text).reader().headers().ok().cloned()
    }

    /// The first column that has one of `names`, in the order of `names`. Names are in the form that
    /// [`plain`] returns.
    #[must_use]
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        column(&self.header, names)
    }

    /// The line a row begins in.
    #[must_use]
    pub fn line(&self, row: &StringRecord) -> u64 {
        row.position().map_or(0, csv::Position::line) + self.skipped
    }

    /// `true` if numbers have a decimal comma: some cell of `columns` has one, and none has a point. Never
    /// `true` if the comma separates columns.
    #[must_use]
    pub fn has_decimal_commas(&self, columns: &[usize]) -> bool {
        if self.separator == b',' {
            return false;
        }
        let cells = self.rows.iter().flat_map(|row| columns.iter().filter_map(|column| row.get(*column)));
        cells.clone().any(|cell| cell.contains(',')) && !cells.clone().any(|cell| cell.contains('.'))
    }
}

/// The first column of `header` that has one of `names`, in the order of `names`: a column written exactly so
/// comes before one that only looks like it (R calls its row numbers `X`).
pub(super) fn column(header: &StringRecord, names: &[&str]) -> Option<usize> {
    let plain: Vec<String> = header.iter().map(plain).collect();
    names.iter().find_map(|name| {
        let exact = header.iter().position(|column| column.trim() == *name);
        exact.or_else(|| plain.iter().position(|column| column == name))
    })
}

/// Both columns of a pair, or `None`.
pub(super) fn columns(header: &StringRecord, x: &[&str], y: &[&str]) -> Option<(usize, usize)> {
    column(header, x).zip(column(header, y))
}

/// A column's name without the differences between tools: case, `.`, `_`, `-` and spaces between words (R
/// writes points), and the spelling of "micro".
#[must_use]
pub fn plain(name: &str) -> String {
    let name = name.trim().to_lowercase();
    // R on Windows; Greek mu; UTF-8 read as Latin-1, both letters; the micro sign.
    let name = ["<u+00b5>", "<u+03bc>", "..u.00b5.", "..u.03bc.", "\u{3bc}", "\u{e2}\u{b5}", "\u{b5}"]
        .iter()
        .fold(name, |name, micro| name.replace(micro, " u"));
    let words =
        name.split(|c: char| c.is_whitespace() || matches!(c, '.' | '_' | '-' | '^' | '(' | ')' | '[' | ']'));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The start of a table: its separator, and the lines before the header.
struct Start<'a> {
    text: &'a str,
    separator: u8,
    skipped: u64,
}

impl<'a> Start<'a> {
    /// Finds the separator: spreadsheets write `sep=;` in a line of its own; else it is the one of comma, tab
    /// and semicolon that the header has most of.
    fn new(text: &'a str) -> Self {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        if let [b's', b'e', b'p', b'=', separator] =
            first.trim_end_matches('\r').to_ascii_lowercase().as_bytes()
        {
            return Self { text: rest, separator: *separator, skipped: 1 };
        }
        let separator = (b",\t;".iter().rev().copied())
            .max_by_key(|separator| first.bytes().filter(|byte| byte == separator).count());
        Self { text, separator: separator.unwrap_or(b','), skipped: 0 }
    }

    fn reader(&self) -> csv::Reader<&'a [u8]> {
        csv::ReaderBuilder::new().delimiter(self.separator).from_reader(self.text.as_bytes())
    }

    fn broken(&self, error: &csv::Error, path: &Path) -> crate::EvalError {
        let line = error.position().map(|at| at.line() + self.skipped);
        let place = line.map_or_else(String::new, |line| format!("line {line}"));
        malformed("CSV", place, error.to_string(), path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_are_one_however_tools_write_them() {
        for name in [
            "Centroid X µm",
            "Centroid X \u{3bc}m",
            "Centroid.X.µm",
            "centroid_x_um",
            "Centroid X um",
            "Centroid X Âµm",
            "Centroid.X..U.00B5.m",
            " CENTROID X µm ",
        ] {
            assert_eq!(plain(name), "centroid x um", "{name}");
        }
        assert_eq!([plain("bbox-0"), plain("centroid.1"), plain("x0")], ["bbox 0", "centroid 1", "x0"]);
    }

    #[test]
    fn separators_are_found_or_said() {
        for text in ["sep=;\nx;y\n1,5;2\n", "x;y\n1,5;2\n", "x\ty\n1,5\t2\n", "SEP=\t\r\nx\ty\r\n1,5\t2\r\n"]
        {
            let sheet = Sheet::new(text, Path::new("t.csv")).unwrap();
            assert_eq!((sheet.column(&["y"]), &sheet.rows[0][0]), (Some(1), "1,5"), "{text:?}");
            assert!(sheet.has_decimal_commas(&[0, 1]), "{text:?}");
            let line = if sheet.skipped == 1 { 3 } else { 2 };
            assert_eq!(sheet.line(&sheet.rows[0]), line);
        }
        let mixed = Sheet::new("x;y\n1,5;2.5\n", Path::new("t.csv")).unwrap();
        assert!(!mixed.has_decimal_commas(&[0, 1]));
        let error = Sheet::new("sep=,\nx,y\n1,2\n1,2,3\n", Path::new("t.csv")).unwrap_err().to_string();
        assert!(error.starts_with("bad CSV, line 4"), "{error}");
    }
}
