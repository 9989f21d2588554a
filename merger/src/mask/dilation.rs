//! Growth of a picture by a disc: exact, in linear time, with memory for a band of rows.
//!
//! A px is within the radius of another one if, in some column, the nearest px above or below is near enough. So each
//! row needs the distance to the nearest set px of every column; each such column then reaches so far to both sides.

use std::ops::Range;

use super::bit_rows::BitRows;

/// Least rows of a band. Below a band, as many rows are looked at again as the radius has.
const LEAST_BAND: usize = 64;
/// Distance in a column without set px.
const NONE: u32 = u32::MAX;

/// The picture with all px whose centres are within `radius` px, above 0, of one of it.
pub(super) fn dilated(rows: &BitRows, radius: f64) -> BitRows {
    let (width, height) = (rows.width(), rows.height());
    // Further than the picture is long, the radius makes no difference.
    let reach = (radius.floor() as usize).min(width + height);
    let halves: Vec<usize> =
        (0..=reach).map(|off| (radius * radius - (off * off) as f64).max(0.0).sqrt() as usize).collect();
    let mut grown = BitRows::new(width, height);
    let mut above = vec![NONE; width];
    let mut reached = Reached::new(width);
    let band = reach.max(LEAST_BAND);
    for start in (0..height).step_by(band) {
        let rows_of_band = start..(start + band).min(height);
        let below = distances_below(rows, &rows_of_band, reach);
        for (row, below) in rows_of_band.zip(below.chunks_exact(width.max(1))) {
            note_row(rows, row, &mut above);
            for (column, (&above, &below)) in above.iter().zip(below).enumerate() {
                if let Some(&half) = halves.get(above.min(below) as usize) {
                    reached.add(column, half);
                }
            }
            reached.take(|columns| grown.fill(row, columns));
        }
    }
    grown
}

/// Distances, in each column of each row of a band, to the nearest set px in that row or below it, as far as `reach`.
fn distances_below(rows: &BitRows, band: &Range<usize>, reach: usize) -> Vec<u32> {
    let width = rows.width();
    let mut below = vec![NONE; width];
    let mut distances = vec![NONE; width * band.len()];
    for row in (band.start..(band.end + reach).min(rows.height())).rev() {
        note_row(rows, row, &mut below);
        if row < band.end {
            distances[(row - band.start) * width..][..width].copy_from_slice(&below);
        }
    }
    distances
}

/// Moves distances by column on to the next row.
fn note_row(rows: &BitRows, row: usize, distances: &mut [u32]) {
    distances.iter_mut().for_each(|distance| *distance = distance.saturating_add(1));
    rows.runs(row).for_each(|run| distances[run].fill(0));
}

/// The parts of one row that columns reach.
struct Reached {
    width: usize,
    /// Per column: parts that begin there, less those that ended before it.
    changes: Vec<i32>,
}

impl Reached {
    fn new(width: usize) -> Self {
        Self { width, changes: vec![0; width + 1] }
    }

    /// Adds `half` px to both sides of a column, and the column.
    fn add(&mut self, column: usize, half: usize) {
        self.changes[column.saturating_sub(half)] += 1;
        self.changes[(column + half + 1).min(self.width)] -= 1;
    }

    /// Hands over the parts, from the left, and forgets them.
    fn take(&mut self, mut part: impl FnMut(Range<usize>)) {
        let (mut open, mut start) = (0, 0);
        for (column, change) in self.changes.iter_mut().enumerate() {
            let was_open = open;
            open += std::mem::take(change);
            match (was_open > 0, open > 0) {
                (false, true) => start = column,
                (true, false) => part(start..column),
                _ => {}
            }
        }
    }
}
