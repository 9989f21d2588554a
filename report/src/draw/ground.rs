//! The tissue that was seen: densities are cells per area of it.

use std::ops::Range;

use dataset::SeenTissue;
use wsi_types::Level0Point;

/// Tissue of a slide in which windows had results: a coarse yes-or-no picture of the whole slide.
#[derive(Debug, Clone)]
pub struct Ground {
    size: (usize, usize),
    seen: Vec<bool>,
    /// Level-0 px per px of it, per axis.
    step: [f64; 2],
}

impl Ground {
    /// Ground from a picture of `size`, row by row, over a slide of `slide_px` level-0 px.
    pub(crate) fn new(size: (usize, usize), seen: Vec<bool>, slide_px: [u32; 2]) -> Self {
        let [width, height] = slide_px.map(f64::from);
        Self { size, seen, step: [width / size.0.max(1) as f64, height / size.1.max(1) as f64] }
    }

    /// Ground that the coverage picture of a slide of `slide_px` level-0 px shows.
    #[must_use]
    pub fn from_coverage(coverage: &SeenTissue, slide_px: [u32; 2]) -> Self {
        Self::new(coverage.size(), coverage.seen().to_vec(), slide_px)
    }

    /// All of a slide of `slide_px` level-0 px.
    #[must_use]
    pub fn whole(slide_px: [u32; 2]) -> Self {
        Self::new((1, 1), vec![true], slide_px)
    }

    /// `true` if a point lies on it.
    pub(super) fn holds(&self, point: Level0Point) -> bool {
        let (x, y) = (point.x / self.step[0], point.y / self.step[1]);
        let inside = x >= 0.0 && y >= 0.0 && x < self.size.0 as f64 && y < self.size.1 as f64;
        inside && self.seen[y as usize * self.size.0 + x as usize]
    }

    /// Share of each square that it covers, 0 to 1, row by row; exact by area.
    pub(crate) fn shares(&self, squares: &Squares) -> Vec<f64> {
        let mut shares = vec![0.0; squares.columns * squares.rows];
        for y in 0..self.size.1 {
            let line = self.shares_of_line(y, squares);
            let (top, low) = (y as f64 * self.step[1], (y + 1) as f64 * self.step[1]);
            for (row, part) in squares.overlaps(top - squares.origin.y..low - squares.origin.y, squares.rows)
            {
                let row = &mut shares[row * squares.columns..][..squares.columns];
                row.iter_mut().zip(&line).for_each(|(share, across)| *share += across * part);
            }
        }
        shares
    }

    /// Share of the width of each column of squares that line `y` of it covers, 0 to 1.
    fn shares_of_line(&self, y: usize, squares: &Squares) -> Vec<f64> {
        let mut shares = vec![0.0; squares.columns];
        let seen = (0..self.size.0).filter(|x| self.seen[y * self.size.0 + x]);
        for x in seen {
            let (left, right) = (x as f64 * self.step[0], (x + 1) as f64 * self.step[0]);
            let range = left - squares.origin.x..right - squares.origin.x;
            for (column, part) in squares.overlaps(range, squares.columns) {
                shares[column] += part;
            }
        }
        shares
    }
}

/// Squares side by side over a slide or a part of it.
pub(crate) struct Squares {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// Upper left corner of the first.
    pub(crate) origin: Level0Point,
    /// Side of each, level-0 px.
    pub(crate) side_px: f64,
}

impl Squares {
    /// The square that holds a point.
    pub(crate) fn at(&self, point: Level0Point) -> Option<usize> {
        let away = (point - self.origin) / self.side_px;
        let inside =
            away.x >= 0.0 && away.y >= 0.0 && away.x < self.columns as f64 && away.y < self.rows as f64;
        inside.then(|| away.y as usize * self.columns + away.x as usize)
    }

    /// The squares along an axis of `count` that a range of level-0 px from their origin overlaps, each with
    /// the share of its side.
    fn overlaps(&self, range: Range<f64>, count: usize) -> impl Iterator<Item = (usize, f64)> {
        let (from, to) = (range.start / self.side_px, range.end / self.side_px);
        let first = (from.floor().max(0.0) as usize).min(count);
        let end = (to.ceil().max(0.0) as usize).min(count);
        (first..end).map(move |square| {
            let start = square as f64;
            (square, (to.min(start + 1.0) - from.max(start)).max(0.0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_areas() {
        let ground = Ground::new((3, 2), vec![true, false, true, false, false, true], [30, 20]);
        let squares = Squares { columns: 3, rows: 2, origin: Level0Point::new(-5.0, 0.0), side_px: 15.0 };
        // Columns of squares: -5 to 10, 10 to 25, 25 to 40; the slide ends at 30 and 20.
        let found = ground.shares(&squares);
        let expected =
            [10.0 * 10.0, 5.0 * 15.0, 5.0 * 15.0, 0.0, 5.0 * 5.0, 5.0 * 5.0].map(|area| area / 225.0);
        assert!(found.iter().zip(expected).all(|(found, share)| (found - share).abs() < 1e-9), "{found:?}");
        assert!(ground.holds(Level0Point::new(25.0, 15.0)) && !ground.holds(Level0Point::new(15.0, 5.0)));
        assert!(!ground.holds(Level0Point::new(30.0, 5.0)) && !ground.holds(Level0Point::new(-1.0, 5.0)));
    }
}
