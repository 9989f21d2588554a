//! Connected parts of a yes/no picture, or of a map of numbers: like places of a row that follow each other are a run, and
//! like runs that share an edge belong to one part, not those that share a corner.

use std::ops::Range;

/// The parts of a picture: a disjoint-set forest (Galler & Fischer 1964) of its runs, whose roots are the first runs of
/// their parts in row order.
pub(crate) struct Parts(Vec<Run>);

/// Places `start..end` of a picture, counted row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Number of the first run of its part.
    pub(crate) part: usize,
}

impl Run {
    pub(crate) fn places(&self) -> Range<usize> {
        self.start..self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }
}

impl Parts {
    /// The parts of a picture with rows of `width` places.
    pub(crate) fn new<T: Copy>(places: &[T], width: usize, is_inside: impl Fn(T) -> bool) -> Self {
        Self::alike(places, width, is_inside, |_, _| true)
    }

    /// The parts of a map of numbers with rows of `width` places: all places of a part have one number, other than 0.
    pub(crate) fn of_numbers(numbers: &[u32], width: usize) -> Self {
        Self::alike(numbers, width, |number| number != 0, |a, b| a == b)
    }

    /// Parts of places that are inside and alike.
    fn alike<T: Copy>(
        places: &[T],
        width: usize,
        is_inside: impl Fn(T) -> bool,
        is_like: impl Fn(T, T) -> bool,
    ) -> Self {
        let mut all = Self(Vec::new());
        let mut above = 0..0;
        for (y, row) in places.chunks_exact(width.max(1)).enumerate() {
            let first = all.0.len();
            all.push_row(y * width, row, &is_inside, &is_like);
            all.join_rows(above, first, width, |a, b| is_like(places[a], places[b]));
            above = first..all.0.len();
        }
        all.flatten();
        all
    }

    /// The runs in row order.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.0
    }

    /// Places of each part, by its number; 0 for numbers that are none.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.0.len()];
        for run in &self.0 {
            sizes[run.part] += run.len();
        }
        sizes
    }

    fn push_row<T: Copy>(
        &mut self,
        offset: usize,
        row: &[T],
        is_inside: &impl Fn(T) -> bool,
        is_like: &impl Fn(T, T) -> bool,
    ) {
        let mut x = 0;
        while let Some(gap) = row[x..].iter().position(|&value| is_inside(value)) {
            let start = x + gap;
            let first = row[start];
            let length = row[start..].iter().position(|&value| !is_inside(value) || !is_like(first, value));
            x = length.map_or(row.len(), |length| start + length);
            let part = self.0.len();
            self.0.push(Run { start: offset + start, end: offset + x, part });
        }
    }

    /// Joins the runs from `below` on with those of the row `above` that share an edge with them, if places of both are
    /// alike.
    fn join_rows(
        &mut self,
        above: Range<usize>,
        below: usize,
        width: usize,
        is_like: impl Fn(usize, usize) -> bool,
    ) {
        let mut first = above.start;
        for lower in below..self.0.len() {
            let Run { start, end, .. } = self.0[lower];
            while first < above.end && self.0[first].end + width <= start {
                first += 1;
            }
            let mut upper = first;
            while upper < above.end && self.0[upper].start + width < end {
                if is_like(self.0[upper].start, start) {
                    self.join(upper, lower);
                }
                upper += 1;
            }
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)].part = a.min(b);
    }

    fn root(&self, mut run: usize) -> usize {
        while self.0[run].part != run {
            run = self.0[run].part;
        }
        run
    }

    /// Makes the root the part of each run; a root comes before the others.
    fn flatten(&mut self) {
        for run in 0..self.0.len() {
            self.0[run].part = self.0[self.0[run].part].part;
        }
    }
}
