//! Plain text tables for terminals.

use std::fmt;

pub(crate) use wsi_types::wording::counted;

/// One cell and its alignment.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    right: bool,
}

impl Cell {
    /// A cell of words, aligned left.
    pub(crate) fn left(text: impl Into<String>) -> Self {
        // The name of a class may hold the end of a line, and must not make up another.
        Self { text: text.into().replace('\n', "\\n"), right: false }
    }

    /// A cell of numbers, aligned right.
    pub(crate) fn right(text: impl Into<String>) -> Self {
        Self { text: text.into(), right: true }
    }
}

/// Rows of cells; columns are as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(header: Vec<Cell>) -> Self {
        Self { rows: vec![header] }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Characters of the widest cell of a column.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, &width) in row.iter().zip(&widths) {
                let padded = if cell.right {
                    format!("{:>width$}", cell.text)
                } else {
                    format!("{:<width$}", cell.text)
                };
                line.push_str(&padded);
                line.push_str("  ");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
