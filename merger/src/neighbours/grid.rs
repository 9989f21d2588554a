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
    /// Which one it is.
    pub(super) label: Label,
}

/// The place of a cell in the list, and its class, as one number; that of a cell further up is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label(u64);

impl Label {
    pub(super) const BITS: u32 = u32::BITS + u16::BITS;

    fn new(rank: u32, class: ClassId) -> Self {
        Self(u64::from(rank) << u16::BITS | u64::from(class.0))
    }

    /// The number.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// The place in the list.
    pub(super) fn rank(self) -> usize {
        (self.0 >> u16::BITS) as usize
    }

    /// The class.
    pub(super) fn class(self) -> usize {
        usize::from(self.0 as u16)
    }
}

impl Entry {
    pub(super) fn new(place: &Place, mpp: Mpp, rank: u32) -> Self {
        let at = place.centroid.to_array().map(|px| px * mpp.get());
        Self { at, label: Label::new(rank, place.class) }
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

    /// One of twice the radius.
    pub(super) fn doubled(&self) -> Self {
        Self::new(self.middle, 2.0 * self.radius_um)
    }
}

/// Side of a bin, µm: a few cells of a dense tissue.
///
/// A little more than a third of [`NEAR_UM`](super::NEAR_UM) and a sixth of [`DENSITY_UM`](super::DENSITY_UM), so that discs of
/// these radii reach no further bins.
const BIN_UM: f64 = 16.7;
/// Most bins per cell; where cells are few and far apart, bins are larger.
const BINS_PER_CELL: f64 = 4.0;
/// More than rounding moves a cell past the border of its bin, µm.
pub(super) const SLACK_UM: f64 = 1e-6;

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
    labels: Vec<Label>,
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
            labels: Vec::new(),
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
                by_place.then_with(|| a.label.cmp(&b.label))
            });
        }
        self.starts = starts;
        self.x_um = entries.iter().map(|entry| entry.at[0]).collect();
        self.y_um = entries.iter().map(|entry| entry.at[1]).collect();
        self.labels = entries.iter().map(|entry| entry.label).collect();
    }

    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The cell at a place of the grid, in the order of bins.
    pub(super) fn entry(&self, place: usize) -> Entry {
        Entry { at: self.at(place), label: self.labels[place] }
    }

    /// Where that cell lies.
    pub(super) fn at(&self, place: usize) -> [f64; 2] {
        [self.x_um[place], self.y_um[place]]
    }

    /// Labels of some cells.
    pub(super) fn labels(&self, places: Range<usize>) -> &[Label] {
        &self.labels[places]
    }

    /// Where some cells lie along x, and along y.
    pub(super) fn spots(&self, places: Range<usize>) -> [&[f64]; 2] {
        [&self.x_um[places.clone()], &self.y_um[places]]
    }

    /// Side of a bin, µm.
    pub(super) fn bin_um(&self) -> f64 {
        self.bin_um
    }

    /// Columns and rows of all bins, in the order of the cells.
    pub(super) fn bins(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let columns = self.columns;
        (0..self.rows).flat_map(move |row| (0..columns).map(move |column| [column, row]))
    }

    /// Those with cells, along the curve of Hilbert: bins that follow each other lie side by side, but for empty ones.
    pub(super) fn bins_along_curve(&self) -> Vec<[usize; 2]> {
        let mut bins: Vec<[usize; 2]> = self.bins().filter(|&bin| !self.places_in(bin).is_empty()).collect();
        let order = self.columns.max(self.rows).next_power_of_two().ilog2();
        bins.sort_by_cached_key(|&[column, row]| fast_hilbert::xy2h(column as u32, row as u32, order as u8));
        bins
    }

    /// Places of the cells in a bin.
    pub(super) fn places_in(&self, [column, row]: [usize; 2]) -> Range<usize> {
        self.places(row, column..column + 1)
    }

    /// The columns up to `off` from one.
    pub(super) fn columns_around(&self, column: usize, off: usize) -> Range<usize> {
        column.saturating_sub(off)..(column + off + 1).min(self.columns)
    }

    /// The rows up to `off` from one.
    pub(super) fn rows_around(&self, row: usize, off: usize) -> Range<usize> {
        row.saturating_sub(off)..(row + off + 1).min(self.rows)
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
    pub(super) fn for_each_within(&self, disc: &Disc, mut take: impl FnMut(Label, f64)) {
        for places in self.runs_around(disc) {
            let cells = self.x_um[places.clone()].iter().zip(&self.y_um[places.clone()]);
            for ((&x, &y), place) in cells.zip(places) {
                let square = square_between(disc.middle, [x, y]);
                if square <= disc.square_um2 {
                    take(self.labels[place], square);
                }
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

    /// Rows of bins that a disc touches.
    fn rows_within(&self, disc: &Disc) -> Range<usize> {
        let off = disc.middle[1] - self.low[1];
        let reach = disc.radius_um + SLACK_UM;
        self.bin_along(off - reach, self.rows)..self.bin_along(off + reach, self.rows) + 1
    }

    /// Places of the cells in the bins of a row.
    pub(super) fn places(&self, row: usize, columns: Range<usize>) -> Range<usize> {
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
