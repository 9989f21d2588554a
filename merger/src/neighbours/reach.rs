//! How far the discs around the cells of one bin reach, in bins.

use std::ops::Range;

use super::grid::{Grid, SLACK_UM};

/// The bins around one that discs of a radius around its cells touch, wherever in it these lie, and those that each of
/// the discs holds as a whole.
#[derive(Debug)]
pub(super) struct Reach {
    /// Of the row of the bin itself, of those beside it, and so on.
    rows: Vec<RowReach>,
}

#[derive(Debug)]
struct RowReach {
    /// Columns to each side that are touched.
    touched: usize,
    /// Columns that are held: those less than so many away.
    held: usize,
}

/// Rows of bins to each side that a disc of a radius around a cell may touch.
pub(super) fn rows_touched(radius_um: f64, bin_um: f64) -> usize {
    ((radius_um + SLACK_UM) / bin_um) as usize + 1
}

impl Reach {
    pub(super) fn new(radius_um: f64, bin_um: f64) -> Self {
        let reach = (radius_um + SLACK_UM) / bin_um;
        let inner = (radius_um - SLACK_UM) / bin_um;
        let rows = (0..=rows_touched(radius_um, bin_um)).map(|off| {
            // Between the sides of the two rows that face each other, and between those that do not.
            let (nearest, farthest) = (off.saturating_sub(1) as f64, (off + 1) as f64);
            let touched = (reach * reach - nearest * nearest).max(0.0).sqrt() as usize + 1;
            let held = (inner * inner - farthest * farthest).max(0.0).sqrt() as usize;
            RowReach { touched, held }
        });
        Self { rows: rows.collect() }
    }

    /// Places of the cells in each row of the bins that are touched around one.
    pub(super) fn touched<'a>(
        &'a self,
        grid: &'a Grid,
        [column, row]: [usize; 2],
    ) -> impl Iterator<Item = Range<usize>> + 'a {
        self.rows_around(grid, row)
            .map(move |(row, reach)| grid.places(row, grid.columns_around(column, reach.touched)))
    }

    /// The number of cells in bins that are held as a whole; `take` has the places of those in the bins that are only
    /// touched.
    pub(super) fn held(
        &self,
        grid: &Grid,
        [column, row]: [usize; 2],
        mut take: impl FnMut(Range<usize>),
    ) -> u32 {
        let mut count = 0;
        for (row, reach) in self.rows_around(grid, row) {
            let touched = grid.places(row, grid.columns_around(column, reach.touched));
            let Some(off) = reach.held.checked_sub(1) else {
                take(touched);
                continue;
            };
            let held = grid.places(row, grid.columns_around(column, off));
            count += held.len() as u32;
            take(touched.start..held.start);
            take(held.end..touched.end);
        }
        count
    }

    /// Number of rows with touched bins that lie above one.
    pub(super) fn rows_before(&self, [_, row]: [usize; 2]) -> usize {
        row.min(self.rows.len() - 1)
    }

    fn rows_around<'a>(&'a self, grid: &Grid, row: usize) -> impl Iterator<Item = (usize, &'a RowReach)> {
        grid.rows_around(row, self.rows.len() - 1).map(move |other| (other, &self.rows[other.abs_diff(row)]))
    }
}
