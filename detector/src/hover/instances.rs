//! Nuclei as a yes/no picture, cut where they touch: the rule of Graham et al. 2019 (HoVer-Net), step by step.
//!
//! Each place of a nucleus has its offset from the nucleus' centre, -1 to 1 from left to right and from top to bottom.
//! Within a nucleus offsets rise; where two touch they fall. So slopes tell the edges:
//!
//! 1. nuclei with too few places are left out;
//! 2. slopes of both offsets, each as a share of its range over the whole map; the *edge* of a place is what is missing
//!    to a share of 1, of the axis where that is more;
//! 3. places of nuclei with an edge below 0.4, their holes filled, opened by an ellipse of 5 × 5 places, are markers; small
//!    ones are left out;
//! 4. from the markers, nuclei are flooded by their edges, blurred by 3 × 3 places. A nucleus without a marker is none.

use std::ops::Range;

use super::{
    bits,
    slopes::{Axis, Plane, Slopes},
};
use crate::{
    parts::{Parts, Run},
    watershed::{OPEN, OUTSIDE, flood},
};

/// An edge from here on parts nuclei.
const EDGE: f64 = 0.4;

/// Sizes that the rule goes by; they follow the scale that a model was trained at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Places along the kernel that measures slopes; odd.
    pub(super) sobel: usize,
    /// Least places of a nucleus, and of a marker.
    pub(super) least: usize,
}

/// Nuclei of a map.
pub(super) struct Numbered {
    /// Number of the nucleus at each place, from 1 on in no order that means anything; 0 for none.
    pub(super) numbers: Vec<u32>,
    /// Runs of places, row by row, outside which there are no nuclei.
    pub(super) runs: Vec<Run>,
}

/// Cuts the places that are `nuclear` into nuclei; offsets are finite, of as many places in rows of `width`.
pub(super) fn instances(
    mut nuclear: Vec<bool>,
    [across, down]: [&[f32]; 2],
    width: usize,
    sizes: Sizes,
) -> Numbered {
    bits::drop_small(&mut nuclear, width, sizes.least);
    let nuclei = Parts::new(&nuclear, width, |bit| bit);
    let depths = Depths::new(&nuclear, [across, down], width, sizes.sobel);
    let mut numbers = markers(&depths, &nuclei, sizes.least);
    for nucleus in by_part(&nuclei) {
        fill(&nucleus, &depths, &mut numbers);
    }
    Numbered { numbers, runs: nuclei.runs().to_vec() }
}

/// Number of the marker at each place of a nucleus, 0 where there is none.
fn markers(depths: &Depths<'_>, nuclei: &Parts, least: usize) -> Vec<u32> {
    let Depths { nuclear, width, .. } = *depths;
    let mut sure = vec![false; nuclear.len()];
    for run in nuclei.runs() {
        let (row, left) = (run.start / width, run.start % width);
        for (column, sure) in (left..).zip(&mut sure[run.places()]) {
            *sure = 1.0 - depths.depth(row, column) < EDGE;
        }
    }
    bits::fill_holes(&mut sure, width);
    bits::open(&mut sure, width);
    let parts = Parts::new(&sure, width, |bit| bit);
    let sizes = parts.sizes();
    let mut numbers = vec![OPEN; nuclear.len()];
    for run in parts.runs().iter().filter(|run| sizes[run.part] >= least) {
        // What was filled may lie beside nuclei.
        for place in run.places().filter(|&place| nuclear[place]) {
            numbers[place] = run.part as u32 + 1;
        }
    }
    numbers
}

/// The runs of each part.
fn by_part(parts: &Parts) -> Vec<Vec<Run>> {
    let mut runs = parts.runs().to_vec();
    runs.sort_by_key(|run| run.part);
    runs.chunk_by(|a, b| a.part == b.part).map(<[Run]>::to_vec).collect()
}

/// Gives each place of a nucleus the number of one of the markers in it.
fn fill(nucleus: &[Run], depths: &Depths<'_>, numbers: &mut [u32]) {
    let mut markers = nucleus.iter().flat_map(Run::places).map(|place| numbers[place]).filter(|&n| n != OPEN);
    let Some(first) = markers.next() else { return };
    if markers.all(|number| number == first) {
        nucleus.iter().for_each(|run| numbers[run.places()].fill(first));
    } else {
        divide(nucleus, depths, numbers);
    }
}

/// The same of a nucleus with several markers, in the rectangle that holds it.
fn divide(nucleus: &[Run], depths: &Depths<'_>, numbers: &mut [u32]) {
    let frame = Frame::new(nucleus, depths.width);
    let heights = depths.blurred(&frame);
    let mut flooded = vec![OUTSIDE; heights.len()];
    for run in nucleus {
        flooded[frame.places(run)].copy_from_slice(&numbers[run.places()]);
    }
    flood(&heights, frame.columns.len(), &mut flooded);
    for run in nucleus {
        numbers[run.places()].copy_from_slice(&flooded[frame.places(run)]);
    }
}

/// The rectangle around some runs.
struct Frame {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Of the whole map.
    width: usize,
}

impl Frame {
    /// For runs in row order.
    fn new(runs: &[Run], width: usize) -> Self {
        let left = runs.iter().map(|run| run.start % width).min().unwrap_or_default();
        let right = runs.iter().map(|run| (run.end - 1) % width + 1).max().unwrap_or_default();
        let top = runs.first().map_or(0, |run| run.start / width);
        let bottom = runs.last().map_or(0, |run| run.start / width + 1);
        Self { rows: top..bottom, columns: left..right, width }
    }

    /// Places of a run in the rectangle, row by row.
    fn places(&self, run: &Run) -> Range<usize> {
        let (row, column) = (run.start / self.width, run.start % self.width);
        let start = (row - self.rows.start) * self.columns.len() + column - self.columns.start;
        start..start + run.len()
    }
}

/// Depth of each place of nuclei: what its edge leaves of 1; 0 elsewhere.
struct Depths<'a> {
    nuclear: &'a [bool],
    across: Slopes,
    down: Slopes,
    width: usize,
}

impl<'a> Depths<'a> {
    fn new(nuclear: &'a [bool], [across, down]: [&[f32]; 2], width: usize, sobel: usize) -> Self {
        let across = Slopes::new(Plane { values: across, width }, Axis::Across, sobel, nuclear);
        let down = Slopes::new(Plane { values: down, width }, Axis::Down, sobel, nuclear);
        Self { nuclear, across, down, width }
    }

    fn depth(&self, row: usize, column: usize) -> f64 {
        if !self.nuclear[row * self.width + column] {
            return 0.0;
        }
        let edge = (1.0 - self.across.share(row, column)).max(1.0 - self.down.share(row, column));
        1.0 - f64::from(edge)
    }

    /// Heights of the places of a rectangle below the surface, negative: the surest places are the lowest. Blurred by a
    /// binomial of 3 × 3 places, with the borders of the map mirrored around their outermost places.
    fn blurred(&self, frame: &Frame) -> Vec<f64> {
        let all = 0..self.nuclear.len() / self.width;
        let rows = frame.rows.start.saturating_sub(1)..(frame.rows.end + 1).min(all.end);
        let across: Vec<Vec<f64>> = rows.clone().map(|row| self.blurred_row(row, &frame.columns)).collect();
        let mut heights = Vec::with_capacity(frame.rows.len() * frame.columns.len());
        for row in frame.rows.clone() {
            let [above, here, below] = three(row, all.end).map(|row| &across[row - rows.start]);
            let sums =
                above.iter().zip(here).zip(below).map(|((above, here), below)| sum(*above, *here, *below));
            heights.extend(sums.map(|depth| -depth));
        }
        heights
    }

    /// Depths of a part of a row, blurred along it.
    fn blurred_row(&self, row: usize, columns: &Range<usize>) -> Vec<f64> {
        let seen = columns.start.saturating_sub(1)..(columns.end + 1).min(self.width);
        let depths: Vec<f64> = seen.clone().map(|column| self.depth(row, column)).collect();
        let blurred = columns.clone().map(|column| {
            let [before, here, after] = three(column, self.width).map(|column| depths[column - seen.start]);
            sum(before, here, after)
        });
        blurred.collect()
    }
}

fn sum(before: f64, here: f64, after: f64) -> f64 {
    0.25 * before + 0.5 * here + 0.25 * after
}

/// A place of an axis between its neighbours.
fn three(place: usize, count: usize) -> [usize; 3] {
    let last = count - 1;
    let before = if place == 0 { 1.min(last) } else { place - 1 };
    let after = if place == last { last.saturating_sub(1) } else { place + 1 };
    [before, place, after]
}
