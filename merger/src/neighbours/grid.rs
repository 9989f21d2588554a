//! Cells of a slide in square bins, to find those near a place.

use std::ops::Range;

use wsi_types::{ClassId, Mpp};

use super::definitions::Place;
use crate::MergeError;

/// A cell in the grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// µm from the left and the top of the slide, as in the table.
    pub(super) at: [f64; 2],
    /// Its place in the list.
    pub(super) rank: u32,
    /// Its class.
    pub(super) class: ClassId,
}

impl Entry {
    pub(super) fn new(place: &Place, mpp: Mpp, rank: u32) -> Self {
        let at = place.centroid.to_array().map(|px| px * mpp.get());
        Self { at, rank, class: place.class }
    }

    /// Square of the distance to another, µm².
    pub(super) fn square_to(&self, other: &Self) -> f64 {
        let (dx, dy) = (self.at[0] - other.at[0], self.at[1] - other.at[1]);
        dx * dx + dy * dy
    }
}

/// Side of a bin, µm: a few cells of a dense tissue.
const BIN_UM: f64 = 12.5;
/// Most bins per cell; where cells are few and far apart, bins are larger.
const BINS_PER_CELL: f64 = 4.0;
/// More than rounding moves a cell past the border of its bin, µm.
const SLACK_UM: f64 = 1e-6;

/// Cells sorted by bin, row by row of bins.
pub(super) struct Grid {
    low: [f64; 2],
    bin_um: f64,
    bins_per_um: f64,
    columns: usize,
    rows: usize,
    /// Start of the entries of each bin; one more at the end.
    starts: Vec<u32>,
    entries: Vec<Entry>,
}

impl Grid {
    /// A grid over cells.
    ///
    /// # Errors
    ///
    /// [`MergeError::Centroid`] when a coordinate is not finite.
    pub(super) fn new(entries: Vec<Entry>) -> Result<Self, MergeError> {
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for entry in &entries {
            if !entry.at.iter().all(|um| um.is_finite()) {
                return Err(MergeError::Centroid(entry.at));
            }
            for axis in 0..2 {
                low[axis] = low[axis].min(entry.at[axis]);
                high[axis] = high[axis].max(entry.at[axis]);
            }
        }
        if entries.is_empty() {
            (low, high) = ([0.0; 2], [0.0; 2]);
        }
        let size = [high[0] - low[0], high[1] - low[1]];
        let bin_um = bin_um(size, entries.len());
        let [columns, rows] = size.map(|um| (um / bin_um) as usize + 1);
        let mut grid = Self {
            low,
            bin_um,
            bins_per_um: 1.0 / bin_um,
            columns,
            rows,
            starts: Vec::new(),
            entries: Vec::new(),
        };
        grid.fill(entries);
        Ok(grid)
    }

    /// Sorts entries into bins by counting; those of a bin by place, so that cells at one place lie together.
    fn fill(&mut self, all: Vec<Entry>) {
        let mut starts = vec![0_u32; self.columns * self.rows + 1];
        for entry in &all {
            starts[self.bin(entry) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut entries = all.clone();
        for entry in all {
            let at = &mut next[self.bin(&entry)];
            entries[*at as usize] = entry;
            *at += 1;
        }
        for bin in starts.windows(2) {
            entries[bin[0] as usize..bin[1] as usize].sort_unstable_by(|a, b| {
                let by_place = a.at[0].total_cmp(&b.at[0]).then_with(|| a.at[1].total_cmp(&b.at[1]));
                by_place.then_with(|| a.rank.cmp(&b.rank))
            });
        }
        self.starts = starts;
        self.entries = entries;
    }

    /// All cells, by bin.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// `true` if no bin reaches further than `radius_um` from `middle`.
    pub(super) fn lies_within(&self, middle: &Entry, radius_um: f64) -> bool {
        let [across, down] = [(0, self.columns), (1, self.rows)].map(|(axis, bins)| {
            let off = middle.at[axis] - self.low[axis];
            off.max(bins as f64 * self.bin_um - off)
        });
        across.hypot(down) <= radius_um
    }

    /// Calls `take` for every cell at most `radius_um` from `middle`, itself included, with the square of its distance; the
    /// rows of bins nearest to it come first.
    pub(super) fn for_each_within(&self, middle: &Entry, radius_um: f64, mut take: impl FnMut(&Entry, f64)) {
        for row in self.rows_within(middle, radius_um) {
            let chord = self.chord(middle, radius_um, self.nearest_of_row(middle, row));
            for entry in self.of_row(row, self.columns_of(&chord)) {
                let square = entry.square_to(middle);
                if square <= radius_um * radius_um {
                    take(entry, square);
                }
            }
        }
    }

    /// Number of cells at most `radius_um` from `middle`, itself included. Bins that lie inside as a whole are counted
    /// without a look at their cells.
    pub(super) fn count_within(&self, middle: &Entry, radius_um: f64) -> u32 {
        let rows = self.rows_within(middle, radius_um);
        rows.map(|row| self.count_of_row(middle, radius_um, row)).sum()
    }

    fn count_of_row(&self, middle: &Entry, radius_um: f64, row: usize) -> u32 {
        let touched = self.columns_of(&self.chord(middle, radius_um, self.nearest_of_row(middle, row)));
        let whole = self.whole_columns(middle, radius_um, row, &touched);
        let counted = self.of_row(row, whole.clone()).len();
        let at_ends = self.of_row(row, touched.start..whole.start).iter();
        let at_ends = at_ends.chain(self.of_row(row, whole.end..touched.end));
        // Without a branch, which would be predicted wrong as often as not.
        let in_disc = at_ends.map(|entry| u32::from(entry.square_to(middle) <= radius_um * radius_um));
        counted as u32 + in_disc.sum::<u32>()
    }

    /// The bins among `touched` that lie in the disc as a whole.
    fn whole_columns(
        &self,
        middle: &Entry,
        radius_um: f64,
        row: usize,
        touched: &Range<usize>,
    ) -> Range<usize> {
        let top = self.low[1] + row as f64 * self.bin_um;
        let farthest = (middle.at[1] - top).abs().max((top + self.bin_um - middle.at[1]).abs());
        let square = radius_um * radius_um - farthest * farthest;
        let half = square.max(0.0).sqrt() - SLACK_UM;
        let off = middle.at[0] - self.low[0];
        let start = ((off - half) * self.bins_per_um).ceil().max(0.0) as usize;
        let start = start.clamp(touched.start, touched.end);
        let end = ((off + half) * self.bins_per_um).max(0.0) as usize;
        start..end.clamp(start, touched.end)
    }

    /// Rows of bins that a disc touches, from the middle one outwards.
    fn rows_within(&self, middle: &Entry, radius_um: f64) -> impl Iterator<Item = usize> {
        let off = middle.at[1] - self.low[1];
        let first = ((off - radius_um - SLACK_UM) * self.bins_per_um).max(0.0) as usize;
        let last = (((off + radius_um + SLACK_UM) * self.bins_per_um) as usize).min(self.rows - 1);
        let own = self.place(middle.at[1], 1, self.rows);
        let (above, below) = (own - first.min(own), last.max(own) - own);
        (0..=above.max(below)).flat_map(move |step| {
            let down = (step <= below).then_some(own + step);
            let up = (step > 0 && step <= above).then(|| own - step);
            down.into_iter().chain(up)
        })
    }

    /// Distance along y from a cell to a row of bins, µm.
    fn nearest_of_row(&self, middle: &Entry, row: usize) -> f64 {
        let top = self.low[1] + row as f64 * self.bin_um;
        (top - middle.at[1]).max(middle.at[1] - top - self.bin_um).max(0.0)
    }

    /// The part along x of a disc at `off_um` from its middle along y.
    fn chord(&self, middle: &Entry, radius_um: f64, off_um: f64) -> Range<f64> {
        let half = (radius_um * radius_um - off_um * off_um).max(0.0).sqrt() + SLACK_UM;
        middle.at[0] - half..middle.at[0] + half
    }

    fn columns_of(&self, chord: &Range<f64>) -> Range<usize> {
        self.place(chord.start, 0, self.columns)..self.place(chord.end, 0, self.columns) + 1
    }

    /// Cells in the bins of a row.
    fn of_row(&self, row: usize, columns: Range<usize>) -> &[Entry] {
        let starts = &self.starts[row * self.columns..];
        &self.entries[starts[columns.start] as usize..starts[columns.end] as usize]
    }

    fn bin(&self, entry: &Entry) -> usize {
        self.place(entry.at[1], 1, self.rows) * self.columns + self.place(entry.at[0], 0, self.columns)
    }

    /// The bin along an axis that holds a coordinate; the nearest one for those outside.
    fn place(&self, um: f64, axis: usize, count: usize) -> usize {
        (((um - self.low[axis]) * self.bins_per_um).max(0.0) as usize).min(count - 1)
    }
}

/// Side of the bins over an area of this size with so many cells, µm.
fn bin_um(size: [f64; 2], cells: usize) -> f64 {
    let most = BINS_PER_CELL * cells.max(1) as f64;
    let [columns, rows] = size.map(|um| um / BIN_UM + 1.0);
    // Long and narrow areas have one row of bins, however large these are.
    let factor = (columns * rows / most).max(1.0);
    if columns.min(rows) * factor.sqrt() >= factor { BIN_UM * factor.sqrt() } else { BIN_UM * factor }
}
