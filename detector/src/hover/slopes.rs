//! Slopes of a map: Sobel's operator with a large kernel, a derivative along one axis and a binomial mean along the
//! other, as OpenCV defines it, with borders mirrored around their outermost places.
//!
//! A kernel of `2 n + 1` places is `n` passes along each axis, each with the weights 1, 2, 1, but for one with -1, 0, 1. It
//! is done square by square, which stay in the first-level cache. Squares that hold no place that is asked for are left out
//! unless the smallest or the largest slope could lie there: none is steeper than the map's range within reach allows.

use std::ops::Range;

/// Side of a square, places.
const SQUARE: usize = 32;

/// A map of one number per place, row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
}

impl Plane<'_> {
    fn height(&self) -> usize {
        self.values.len() / self.width.max(1)
    }
}

/// Axis along which a slope rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// From left to right.
    Across,
    /// From top to bottom.
    Down,
}

/// Slopes of a map, where they were asked for: only these squares take memory.
pub(super) struct Slopes {
    /// Squares of a row.
    across: usize,
    /// By square, row by row: place of its first slope among `values`.
    starts: Vec<Option<usize>>,
    /// Square after square, each row by row.
    values: Vec<f32>,
    /// Of the whole map.
    least: f32,
    most: f32,
}

impl Slopes {
    /// Slopes of `plane` along `axis` by a kernel of `side` places, an odd number, at least in the squares with a place
    /// that is `wanted`; the numbers of the map must be finite.
    pub(super) fn new(plane: Plane<'_>, axis: Axis, side: usize, wanted: &[bool]) -> Self {
        let mut slopes = Self {
            across: plane.width.div_ceil(SQUARE),
            starts: Vec::new(),
            values: Vec::new(),
            least: f32::INFINITY,
            most: f32::NEG_INFINITY,
        };
        let mut square = Square::new(side);
        let mut others = Vec::new();
        for (rows, columns) in squares(plane) {
            if !holds(wanted, plane.width, &rows, &columns) {
                slopes.starts.push(None);
                others.push((rows, columns));
                continue;
            }
            square.fill(plane, &rows, &columns);
            square.slope(axis);
            slopes.widen(&square, rows.len(), columns.len());
            slopes.starts.push(Some(slopes.values.len()));
            slopes.values.extend_from_slice(&square.values);
        }
        for (rows, columns) in others {
            square.fill(plane, &rows, &columns);
            let steepest = square.steepest();
            if steepest > slopes.most || -steepest < slopes.least {
                square.slope(axis);
                slopes.widen(&square, rows.len(), columns.len());
            }
        }
        slopes
    }

    /// The slope at a place as a part of the range of the whole map: 0 for the least, 1 for the most. 0 where there is no
    /// range.
    pub(super) fn share(&self, row: usize, column: usize) -> f32 {
        let range = f64::from(self.most) - f64::from(self.least);
        match self.slope(row, column) {
            Some(slope) if range > 0.0 => ((f64::from(slope) - f64::from(self.least)) / range) as f32,
            _ => 0.0,
        }
    }

    /// The slope at a place; `None` in squares without a place that was wanted.
    fn slope(&self, row: usize, column: usize) -> Option<f32> {
        let square = row / SQUARE * self.across + column / SQUARE;
        self.starts[square].map(|start| self.values[start + row % SQUARE * SQUARE + column % SQUARE])
    }

    /// Lets the range hold the first rows and columns of a square.
    fn widen(&mut self, square: &Square, rows: usize, columns: usize) {
        for row in square.values.chunks_exact(SQUARE).take(rows) {
            let (least, most) = range(&row[..columns]);
            (self.least, self.most) = (self.least.min(least), self.most.max(most));
        }
    }
}

/// The smallest and the largest of finite numbers.
fn range(values: &[f32]) -> (f32, f32) {
    const LANES: usize = 8;
    let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            least[lane] = if chunk[lane] < least[lane] { chunk[lane] } else { least[lane] };
            most[lane] = if chunk[lane] > most[lane] { chunk[lane] } else { most[lane] };
        }
    }
    let least = least.iter().chain(rest).copied().fold(f32::INFINITY, f32::min);
    (least, most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max))
}

/// Rows and columns of the squares of a map.
fn squares(plane: Plane<'_>) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let (width, height) = (plane.width, plane.height());
    let starts = (0..height)
        .step_by(SQUARE)
        .flat_map(move |top| (0..width).step_by(SQUARE).map(move |left| (top, left)));
    starts.map(move |(top, left)| (top..(top + SQUARE).min(height), left..(left + SQUARE).min(width)))
}

fn holds(wanted: &[bool], width: usize, rows: &Range<usize>, columns: &Range<usize>) -> bool {
    rows.clone().any(|row| wanted[row * width..][columns.clone()].contains(&true))
}

/// A square of a map with the places that its kernels reach, and then its slopes.
struct Square {
    /// Places of the kernel on either side of its centre.
    reach: usize,
    /// Row by row; rows are `SQUARE` and twice the reach long, those of slopes `SQUARE`.
    values: Vec<f32>,
    /// What a pass is written to.
    passed: Vec<f32>,
}

impl Square {
    /// For a kernel of `kernel` places.
    fn new(kernel: usize) -> Self {
        Self { reach: kernel / 2, values: Vec::new(), passed: Vec::new() }
    }

    fn side(&self) -> usize {
        SQUARE + 2 * self.reach
    }

    fn fill(&mut self, plane: Plane<'_>, rows: &Range<usize>, columns: &Range<usize>) {
        let (reach, side) = (self.reach, self.side());
        let inside = columns.start.checked_sub(reach).filter(|start| start + side <= plane.width);
        self.values.clear();
        for row in rows.start..rows.start + side {
            let from = &plane.values[mirrored(row, reach, plane.height()) * plane.width..][..plane.width];
            match inside {
                Some(start) => self.values.extend_from_slice(&from[start..start + side]),
                None => {
                    let columns = columns.start..columns.start + side;
                    self.values.extend(columns.map(|column| from[mirrored(column, reach, plane.width)]));
                }
            }
        }
    }

    /// A bound of the slopes, up and down.
    fn steepest(&self) -> f32 {
        let (least, most) = range(&self.values);
        let steps = 2 * self.reach;
        // Where all positive weights meet the most, and all negative ones the least; with room for rounding.
        (most - least) * middle_binomial(steps) * (1_u64 << steps) as f32 * 1.001
    }

    /// Turns values into slopes. Sums along rows run on into the next one: what is wrong of them is cut off.
    fn slope(&mut self, axis: Axis) {
        self.pass(1, axis == Axis::Across);
        self.narrow();
        self.pass(SQUARE, axis == Axis::Down);
    }

    /// All passes along one axis, on which neighbours are `step` apart.
    fn pass(&mut self, step: usize, is_derivative: bool) {
        for pass in 0..self.reach {
            let (near, far) = (&self.values[step..], &self.values[2 * step..]);
            let all = self.values.iter().zip(near).zip(far);
            self.passed.clear();
            if is_derivative && pass == 0 {
                self.passed.extend(all.map(|((before, _), after)| after - before));
            } else {
                self.passed.extend(all.map(|((before, here), after)| before + after + 2.0 * here));
            }
            std::mem::swap(&mut self.values, &mut self.passed);
        }
    }

    /// Keeps the first `SQUARE` places of each row.
    fn narrow(&mut self) {
        self.passed.clear();
        for row in self.values.chunks(self.side()) {
            self.passed.extend_from_slice(&row[..SQUARE]);
        }
        std::mem::swap(&mut self.values, &mut self.passed);
    }
}

/// The largest of the binomials of `steps - 1`: what the positive weights of a derivative of so many steps add up to.
fn middle_binomial(steps: usize) -> f32 {
    let (n, k) = (steps - 1, (steps - 1) / 2);
    (1..=k).map(|i| (n - k + i) as f32 / i as f32).product()
}

/// Place `shifted - by` of `count` places that continue mirrored around the first and the last.
fn mirrored(shifted: usize, by: usize, count: usize) -> usize {
    let period = (2 * (count - 1)).max(1);
    // More periods than the shift is long, so that nothing is negative.
    let place = (shifted + by * period - by) % period;
    if place < count { place } else { period - place }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Weights of a kernel along one axis, as sums of neighbours: of a derivative, else of a mean.
    fn weights(side: usize, is_derivative: bool) -> Vec<f64> {
        let mut weights = vec![1.0];
        for step in 1..side {
            let sign = if is_derivative && step == 1 { -1.0 } else { 1.0 };
            let shifted = weights.iter().chain(&[0.0]).zip(std::iter::once(&0.0).chain(&weights));
            weights = shifted.map(|(a, b)| sign * a + b).collect();
        }
        weights
    }

    fn slope(plane: Plane<'_>, axis: Axis, side: usize, row: usize, column: usize) -> f64 {
        let (down, across) = (weights(side, axis == Axis::Down), weights(side, axis == Axis::Across));
        let reach = side / 2;
        let mut sum = 0.0;
        for (i, down) in down.iter().enumerate() {
            for (j, across) in across.iter().enumerate() {
                let (row, column) =
                    (mirrored(row + i, reach, plane.height()), mirrored(column + j, reach, plane.width));
                sum += down * across * f64::from(plane.values[row * plane.width + column]);
            }
        }
        sum
    }

    #[test]
    fn kernels_are_those_of_opencv() {
        // cv2.getDerivKernels(1, 0, 5) and (1, 0, 11).
        assert_eq!(weights(5, true), [-1., -2., 0., 2., 1.]);
        assert_eq!(weights(5, false), [1., 4., 6., 4., 1.]);
        assert_eq!(weights(11, true), [-1., -8., -27., -48., -42., 0., 42., 48., 27., 8., 1.]);
        assert_eq!((middle_binomial(4), middle_binomial(10), middle_binomial(20)), (3.0, 126.0, 92_378.0));
    }

    #[test]
    fn borders_are_mirrored_around_their_outermost_places() {
        let seen: Vec<usize> = (0..11).map(|place| mirrored(place, 4, 3)).collect();
        assert_eq!(seen, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(mirrored(3, 10, 1), 0);
    }

    proptest! {
        #[test]
        fn slopes_and_their_range_are_those_of_the_definition(
            width in 1usize..80, height in 1usize..40, side in prop_oneof![Just(3usize), Just(5), Just(11)],
            seed in any::<u32>(), wanted_at in any::<prop::sample::Index>(),
        ) {
            // Flat but for a corner, so that squares are left out.
            let values: Vec<f32> = (0..width * height)
                .map(|place| if place % width < 12 { ((place as u32 ^ seed).wrapping_mul(2_654_435_761) >> 16) as f32 / 65536.0 } else { 0.5 })
                .collect();
            let plane = Plane { values: &values, width };
            let mut wanted = vec![false; values.len()];
            let place = wanted_at.index(values.len());
            wanted[place] = true;
            for axis in [Axis::Across, Axis::Down] {
                let slopes = Slopes::new(plane, axis, side, &wanted);
                let all: Vec<f64> = (0..values.len())
                    .map(|place| slope(plane, axis, side, place / width, place % width))
                    .collect();
                let (least, most) = all.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
                let scale = (1_u64 << (2 * side - 2)) as f64 * 1e-6;
                prop_assert!((f64::from(slopes.least) - least).abs() <= scale, "{} {least}", slopes.least);
                prop_assert!((f64::from(slopes.most) - most).abs() <= scale, "{} {most}", slopes.most);
                prop_assert!((f64::from(slopes.slope(place / width, place % width).unwrap()) - all[place]).abs() <= scale);
            }
        }
    }
}
