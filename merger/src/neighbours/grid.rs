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
}

/// Square of the distance between two places, µm².
pub(super) fn square_between(one: [f64; 2], other: [f64; 2]) -> f64 {
    let (dx, dy) = (one[0] - other[0], one[1] - other[1]);
    dx * dx + dy * dy
}

/// A disc around a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disc {
    /// µm from the left and the top of the slide.
    middle: [f64; 2],
    radius_um: f64,
    square_um2: f64,
}

impl Disc {
    pub(super) fn new(middle: [f64; 2], radius_um: f64) -> Self {
        Self { middle, radius_um, square_um2: radius_um * radius_um }
    }

    fn holds(&self, at: [f64; 2]) -> bool {
        square_between(self.middle, at) <= self.square_um2
    }

    /// Half its width at `off_um` from its middle along y.
    fn half_chord(&self, off_um: f64) -> f64 {
        (self.square_um2 - off_um * off_um).max(0.0).sqrt()
    }
}

/// Side of a bin, µm: a few cells of a dense tissue.
const BIN_UM: f64 = 20.0;
/// Most bins per cell; where cells are few and far apart, bins are larger.
const BINS_PER_CELL: f64 = 4.0;
/// More than rounding moves a cell past the border of its bin, µm.
const SLACK_UM: f64 = 1e-6;

/// Cells sorted by bin, row by row of bins. Each of their properties lies side by side, so that many are measured at once.
pub(super) struct Grid {
    low: [f64; 2],
    bin_um: f64,
    bins_per_um: f64,
    columns: usize,
    rows: usize,
    /// Start of the cells of each bin; one more at the end.
    starts: Vec<u32>,
    x_um: Vec<f64>,
    y_um: Vec<f64>,
    classes: Vec<ClassId>,
    ranks: Vec<u32>,
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
            x_um: Vec::new(),
            y_um: Vec::new(),
            classes: Vec::new(),
            ranks: Vec::new(),
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
        self.x_um = entries.iter().map(|entry| entry.at[0]).collect();
        self.y_um = entries.iter().map(|entry| entry.at[1]).collect();
        self.classes = entries.iter().map(|entry| entry.class).collect();
        self.ranks = entries.iter().map(|entry| entry.rank).collect();
    }

    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }

    /// The cell at a place of the grid, in the order of bins.
    pub(super) fn entry(&self, place: usize) -> Entry {
        Entry { at: self.at(place), rank: self.ranks[place], class: self.classes[place] }
    }

    /// Where that cell lies.
    pub(super) fn at(&self, place: usize) -> [f64; 2] {
        [self.x_um[place], self.y_um[place]]
    }

    /// `true` if no bin reaches out of a disc.
    pub(super) fn lies_within(&self, disc: &Disc) -> bool {
        let [across, down] = [(0, self.columns), (1, self.rows)].map(|(axis, bins)| {
            let off = disc.middle[axis] - self.low[axis];
            off.max(bins as f64 * self.bin_um - off)
        });
        across.hypot(down) <= disc.radius_um
    }

    /// Calls `take` for every cell in a disc with the square of its distance from the middle, µm².
    pub(super) fn for_each_within(&self, disc: &Disc, mut take: impl FnMut(Entry, f64)) {
        for places in self.runs_around(disc) {
            let cells = self.x_um[places.clone()].iter().zip(&self.y_um[places.clone()]);
            for ((&x, &y), place) in cells.zip(places) {
                let square = square_between(disc.middle, [x, y]);
                if square <= disc.square_um2 {
                    take(Entry { at: [x, y], rank: self.ranks[place], class: self.classes[place] }, square);
                }
            }
        }
    }

    /// Adds the cells in a disc to `counts`, by class.
    pub(super) fn count_classes_within(&self, disc: &Disc, counts: &mut [u32]) {
        for places in self.runs_around(disc) {
            let cells = self.x_um[places.clone()].iter().zip(&self.y_um[places.clone()]);
            for ((&x, &y), class) in cells.zip(&self.classes[places]) {
                // Without a branch, which would be predicted wrong as often as not.
                counts[usize::from(class.0)] += u32::from(disc.holds([x, y]));
            }
        }
    }

    /// Places of the cells of each row of bins in the square around a disc. For small discs that is quicker than to find out
    /// which of these bins the disc touches.
    fn runs_around(&self, disc: &Disc) -> impl Iterator<Item = Range<usize>> {
        let off = disc.middle[0] - self.low[0];
        let reach = disc.radius_um + SLACK_UM;
        let columns =
            self.bin_along(off - reach, self.columns)..self.bin_along(off + reach, self.columns) + 1;
        self.rows_within(disc).map(move |row| self.places(row, columns.clone()))
    }

    /// Number of cells in a disc. Bins that lie inside as a whole are counted without a look at their cells.
    pub(super) fn count_within(&self, disc: &Disc) -> u32 {
        self.rows_within(disc).map(|row| self.count_of_row(disc, row)).sum()
    }

    fn count_of_row(&self, disc: &Disc, row: usize) -> u32 {
        let touched = self.touched_columns(disc, row);
        let whole = self.whole_columns(disc, row, &touched);
        let (before, after) = (touched.start..whole.start, whole.end..touched.end);
        self.places(row, whole).len() as u32
            + self.count_places(disc, self.places(row, before))
            + self.count_places(disc, self.places(row, after))
    }

    /// Number of cells in a disc, of some that lie side by side.
    fn count_places(&self, disc: &Disc, places: Range<usize>) -> u32 {
        let mut count = 0;
        for (&x, &y) in self.x_um[places.clone()].iter().zip(&self.y_um[places]) {
            count += u32::from(disc.holds([x, y]));
        }
        count
    }

    /// Rows of bins that a disc touches.
    fn rows_within(&self, disc: &Disc) -> Range<usize> {
        let off = disc.middle[1] - self.low[1];
        let reach = disc.radius_um + SLACK_UM;
        self.bin_along(off - reach, self.rows)..self.bin_along(off + reach, self.rows) + 1
    }

    /// Columns of bins of a row that a disc touches.
    fn touched_columns(&self, disc: &Disc, row: usize) -> Range<usize> {
        let above = self.low[1] + row as f64 * self.bin_um - disc.middle[1];
        let nearest = above.max(-above - self.bin_um).max(0.0);
        let half = disc.half_chord(nearest) + SLACK_UM;
        let off = disc.middle[0] - self.low[0];
        self.bin_along(off - half, self.columns)..self.bin_along(off + half, self.columns) + 1
    }

    /// Those among `touched` whose bins lie in the disc as a whole.
    fn whole_columns(&self, disc: &Disc, row: usize, touched: &Range<usize>) -> Range<usize> {
        let above = self.low[1] + row as f64 * self.bin_um - disc.middle[1];
        let farthest = (-above).max(above + self.bin_um);
        let half = disc.half_chord(farthest) - SLACK_UM;
        let off = disc.middle[0] - self.low[0];
        // The bin after the one in which the chord begins, and the one before that in which it ends.
        let start = if off <= half { 0 } else { whole((off - half) * self.bins_per_um) + 1 };
        let end = whole((off + half) * self.bins_per_um);
        let start = start.clamp(touched.start, touched.end);
        start..end.clamp(start, touched.end)
    }

    /// Places of the cells in the bins of a row.
    fn places(&self, row: usize, columns: Range<usize>) -> Range<usize> {
        let starts = &self.starts[row * self.columns..];
        starts[columns.start] as usize..starts[columns.end] as usize
    }

    fn bin(&self, entry: &Entry) -> usize {
        let [x, y] = [0, 1].map(|axis| entry.at[axis] - self.low[axis]);
        self.bin_along(y, self.rows) * self.columns + self.bin_along(x, self.columns)
    }

    /// The bin along an axis, of `count`, that holds what lies `off_um` from the first; the nearest one for those outside.
    fn bin_along(&self, off_um: f64, count: usize) -> usize {
        whole(off_um * self.bins_per_um).min(count - 1)
    }
}

/// The whole part of a number, 0 for those below. By way of signed numbers, which processors turn floats into.
fn whole(number: f64) -> usize {
    (number as i64).max(0) as usize
}

/// Side of the bins over an area of this size with so many cells, µm.
fn bin_um(size: [f64; 2], cells: usize) -> f64 {
    let most = BINS_PER_CELL * cells.max(1) as f64;
    let [columns, rows] = size.map(|um| um / BIN_UM + 1.0);
    // Long and narrow areas have one row of bins, however large these are.
    let factor = (columns * rows / most).max(1.0);
    if columns.min(rows) * factor.sqrt() >= factor { BIN_UM * factor.sqrt() } else { BIN_UM * factor }
}
