//! Parts of a picture: px that share an edge are in one part.

use std::ops::Range;

use super::bit_rows::BitRows;

/// Parts of a mask: pixels that share an edge are in one part. Kept as runs of rows.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Per row: the place of its first run; one entry more than rows.
    rows: Vec<usize>,
    runs: Vec<Run>,
    /// Pixels of each part; the first entry, part 0, is empty.
    sizes: Vec<u64>,
}

/// Pixels of a row, side by side, and the part they are in.
#[derive(Debug, Clone)]
struct Run {
    start: u32,
    end: u32,
    part: u32,
}

impl Parts {
    pub(super) fn new(rows: &BitRows) -> Self {
        let mut parts = Self { rows: vec![0], runs: Vec::new(), sizes: vec![0] };
        let mut linked = Linked::default();
        for row in 0..rows.height() {
            let runs =
                rows.runs(row).map(|run| Run { start: run.start as u32, end: run.end as u32, part: 0 });
            parts.runs.extend(runs);
            parts.rows.push(parts.runs.len());
            linked.grow(parts.runs.len());
            parts.link_to_row_above(row, &mut linked);
        }
        parts.number(&mut linked);
        parts
    }

    /// Links each run of a row to those above that share an edge with it.
    fn link_to_row_above(&self, row: usize, linked: &mut Linked) {
        let mut above = self.places(row.saturating_sub(1)).start;
        let last = self.places(row).start;
        for place in self.places(row) {
            let run = &self.runs[place];
            while above < last && self.runs[above].end <= run.start {
                above += 1;
            }
            let mut touching = above;
            while touching < last && self.runs[touching].start < run.end {
                linked.link(touching, place);
                touching += 1;
            }
        }
    }

    /// Numbers the parts in the order of their first pixels.
    fn number(&mut self, linked: &mut Linked) {
        for place in 0..self.runs.len() {
            // The first run of a part is its root, and comes first.
            let root = linked.root(place);
            if root == place {
                self.runs[place].part = self.sizes.len() as u32;
                self.sizes.push(0);
            } else {
                self.runs[place].part = self.runs[root].part;
            }
            let Run { start, end, part } = self.runs[place];
            self.sizes[part as usize] += u64::from(end - start);
        }
    }

    /// Places of the runs of a row.
    fn places(&self, row: usize) -> Range<usize> {
        self.rows[row]..self.rows[row + 1]
    }

    /// The runs of a row, from the left, each with its part.
    pub(super) fn runs(&self, row: usize) -> impl Iterator<Item = (Range<usize>, u32)> + '_ {
        self.runs[self.places(row)].iter().map(|run| (run.start as usize..run.end as usize, run.part))
    }

    /// Number of parts.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.sizes.len() as u32 - 1
    }

    /// The part of a pixel, from 1; 0 for none.
    #[must_use]
    pub fn at(&self, x: usize, y: usize) -> u32 {
        let runs = &self.runs[self.places(y)];
        let after = runs.partition_point(|run| run.start as usize <= x);
        let run = after.checked_sub(1).map(|place| &runs[place]);
        run.filter(|run| x < run.end as usize).map_or(0, |run| run.part)
    }

    /// Pixels of part `part`.
    #[must_use]
    pub fn size(&self, part: u32) -> u64 {
        self.sizes[part as usize]
    }
}

/// Which runs are in one part: each points to an earlier one, the first to itself.
#[derive(Default)]
struct Linked {
    earlier: Vec<u32>,
}

impl Linked {
    fn grow(&mut self, runs: usize) {
        self.earlier.extend(self.earlier.len() as u32..runs as u32);
    }

    /// The first run of the part that `place` is in.
    fn root(&mut self, mut place: usize) -> usize {
        while self.earlier[place] as usize != place {
            // Shortens the way for the next who asks.
            let next = self.earlier[place] as usize;
            self.earlier[place] = self.earlier[next];
            place = next;
        }
        place
    }

    fn link(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.earlier[one.max(other)] = one.min(other) as u32;
    }
}
