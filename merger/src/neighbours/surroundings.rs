//! The cells around those of one bin.

use std::ops::Range;

use super::{
    definitions::{DENSITY_UM, NEAR_UM},
    grid::{Grid, Label},
    lanes::{count_within, push_squares, sum_within},
    reach::{Reach, rows_touched},
};

/// The cells around those of one bin, copied to lie side by side: they are the same for all cells of the bin, and each
/// of these is compared with all of them without a branch, several at once.
pub(super) struct Surroundings<'a> {
    grid: &'a Grid,
    near_reach: Reach,
    density_reach: Reach,
    /// Those that may lie within [`NEAR_UM`] of a cell of the bin.
    near: Spots,
    /// Which ones they are.
    labels: Vec<Label>,
    /// Start of those of each row of bins; one more at the end.
    row_starts: Vec<usize>,
    /// The row among these that the bin is in.
    middle_row: usize,
    /// Their classes, as ones to be added; first those of the first classes, then all of the next.
    ones: Vec<ClassOnes>,
    groups: usize,
    /// Those that may lie within [`DENSITY_UM`], or not.
    border: Spots,
    /// Number of those that surely do.
    inner: u32,
    /// Squares of the distances of the near ones from one cell, µm².
    squares: Vec<f64>,
}

/// Numbers of cells of [`GROUP`] classes, a byte for each.
type ClassOnes = u64;

const GROUP: usize = 8;
/// Most cells that are added before bytes run over.
const MOST_ADDED: usize = u8::MAX as usize;

/// A bit for each of so many cells: the sum of those of some says which ones these are.
const BITS: [u64; u64::BITS as usize] = {
    let mut bits = [0; u64::BITS as usize];
    let mut at = 0;
    while at < bits.len() {
        bits[at] = 1 << at;
        at += 1;
    }
    bits
};

/// Where cells lie.
#[derive(Debug, Default)]
struct Spots {
    x_um: Vec<f64>,
    y_um: Vec<f64>,
}

impl Spots {
    fn clear(&mut self) {
        self.x_um.clear();
        self.y_um.clear();
    }

    fn extend(&mut self, [x_um, y_um]: [&[f64]; 2]) {
        self.x_um.extend_from_slice(x_um);
        self.y_um.extend_from_slice(y_um);
    }
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(grid: &'a Grid, classes: usize) -> Self {
        Self {
            grid,
            near_reach: Reach::new(NEAR_UM, grid.bin_um()),
            density_reach: Reach::new(DENSITY_UM, grid.bin_um()),
            near: Spots::default(),
            labels: Vec::new(),
            row_starts: Vec::new(),
            middle_row: 0,
            ones: Vec::new(),
            groups: classes.div_ceil(GROUP),
            border: Spots::default(),
            inner: 0,
            squares: Vec::new(),
        }
    }

    /// Goes to a bin.
    pub(super) fn go_to(&mut self, bin: [usize; 2]) {
        let grid = self.grid;
        self.near.clear();
        self.labels.clear();
        self.row_starts.clear();
        self.middle_row = self.near_reach.rows_before(bin);
        for places in self.near_reach.touched(grid, bin) {
            self.row_starts.push(self.labels.len());
            self.near.extend(grid.spots(places.clone()));
            self.labels.extend_from_slice(grid.labels(places));
        }
        self.row_starts.push(self.labels.len());
        self.ones.clear();
        for group in 0..self.groups {
            self.ones.extend(self.labels.iter().map(|label| one(label.class(), group)));
        }
        self.border.clear();
        let border = &mut self.border;
        self.inner = self.density_reach.held(grid, bin, |places| border.extend(grid.spots(places)));
    }

    /// Number of cells within [`DENSITY_UM`] of one of the bin, itself included.
    pub(super) fn in_density_disc(&self, middle: [f64; 2]) -> u32 {
        let Spots { x_um, y_um } = &self.border;
        let count = count_within(DENSITY_UM * DENSITY_UM, middle, x_um, y_um);
        self.inner + count as u32
    }

    /// Measures the near ones from a cell of the bin.
    pub(super) fn look_from(&mut self, middle: [f64; 2]) {
        self.squares.clear();
        push_squares(&mut self.squares, middle, &self.near.x_um, &self.near.y_um);
    }

    /// Adds the cells within [`NEAR_UM`] to `counts`, by class; the cell that was looked from is one.
    pub(super) fn count_classes(&self, counts: &mut [u32]) {
        let near = self.squares.len();
        for group in 0..self.groups {
            let ones = self.ones[group * near..][..near].chunks(MOST_ADDED);
            let counts = &mut counts[group * GROUP..];
            for (squares, ones) in self.squares.chunks(MOST_ADDED).zip(ones) {
                let sum: ClassOnes = sum_within(NEAR_UM * NEAR_UM, squares, ones);
                for (count, added) in counts.iter_mut().zip(sum.to_le_bytes()) {
                    *count += u32::from(added);
                }
            }
        }
    }

    /// Tells the neighbours of `middle` at most `radius_um` away, which is no more than [`NEAR_UM`], with the squares of
    /// their distances, µm².
    pub(super) fn for_each_within(&self, radius_um: f64, middle: Label, mut tell: impl FnMut(f64, Label)) {
        let square_um2 = radius_um * radius_um;
        let within = self.rows_within(radius_um);
        let squares = self.squares[within.clone()].chunks(BITS.len());
        for (squares, labels) in squares.zip(self.labels[within].chunks(BITS.len())) {
            // Not one by one: a branch for each would be predicted wrong as often as not.
            let mut found = sum_within(square_um2, squares, &BITS);
            while found != 0 {
                let at = found.trailing_zeros() as usize;
                found &= found - 1;
                if labels[at] != middle {
                    tell(squares[at], labels[at]);
                }
            }
        }
    }

    /// Those of the near ones in rows of bins that a disc of this radius around a cell of the bin may reach.
    fn rows_within(&self, radius_um: f64) -> Range<usize> {
        let off = rows_touched(radius_um, self.grid.bin_um());
        let end = (self.middle_row + off + 1).min(self.row_starts.len() - 1);
        self.row_starts[self.middle_row.saturating_sub(off)]..self.row_starts[end]
    }
}

/// A one for a class, if it is in a group.
fn one(class: usize, group: usize) -> ClassOnes {
    if class / GROUP == group { 1 << (class % GROUP * 8) } else { 0 }
}
