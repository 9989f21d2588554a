//! An index over the boxes of one window, to find those that overlap.
//!
//! Cells of one slide are of much the same size, so most boxes go into a plain
//! grid of buckets, which was measured to be several times faster here than an
//! R-tree; the few that are far larger than the rest would make every search
//! wide, and go into an R-tree (`rstar`).

use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};
use wsi_types::Level0Box;

/// A box, rounded outwards, and its member.
#[derive(Debug, Clone, Copy)]
struct Entry {
    min: [f32; 2],
    max: [f32; 2],
    member: u32,
}

impl Entry {
    fn new(area: &Level0Box, member: u32) -> Self {
        let min = area.min.to_array().map(|value| (value as f32).next_down());
        let max = area.max.to_array().map(|value| (value as f32).next_up());
        Self { min, max, member }
    }

    fn meets(&self, other: &Self) -> bool {
        // All four without a branch: it is random which one fails, so a branch would often be predicted wrong.
        (self.min[0] <= other.max[0])
            & (other.min[0] <= self.max[0])
            & (self.min[1] <= other.max[1])
            & (other.min[1] <= self.max[1])
    }

    fn middle(&self, axis: usize) -> f32 {
        0.5 * (self.min[axis] + self.max[axis])
    }

    fn longest_half(&self) -> f32 {
        self.half(0).max(self.half(1))
    }

    fn half(&self, axis: usize) -> f32 {
        0.5 * (self.max[axis] - self.min[axis])
    }

    fn envelope(&self) -> AABB<[f32; 2]> {
        AABB::from_corners(self.min, self.max)
    }
}

/// Boxes whose half size is at most this many bucket edges go into buckets.
const SMALL_HALVES: f32 = 1.0;
/// Buckets per axis, at most: a window with few boxes far apart needs no more.
const MOST_BUCKETS: f32 = 512.0;

type Large = RTree<GeomWithData<Rectangle<[f32; 2]>, u32>>;

/// The boxes of one window, found by place.
#[derive(Debug, Default)]
pub(crate) struct NearIndex {
    origin: [f32; 2],
    buckets_per_px: f32,
    columns: usize,
    rows: usize,
    /// Distance that the half of a box can reach past its bucket, px.
    reach: f32,
    /// Per bucket, row by row: start of its entries; one more at the end.
    starts: Vec<u32>,
    /// The small boxes, by bucket.
    entries: Vec<Entry>,
    /// The others.
    large: Large,
    large_entries: Vec<Entry>,
}

/// Entries whose halves are at most `half` px long, and the others.
fn parted(all: Vec<Entry>, half: f32) -> (Vec<Entry>, Vec<Entry>) {
    if all.iter().all(|entry| entry.longest_half() <= half) {
        return (all, Vec::new());
    }
    all.into_iter().partition(|entry| entry.longest_half() <= half)
}

impl NearIndex {
    /// An index over `boxes`, each with its member.
    pub(crate) fn new(boxes: impl Iterator<Item = (Level0Box, u32)>) -> Self {
        let mut index = Self::without_tree(boxes.map(|(area, member)| Entry::new(&area, member)).collect());
        index.plant();
        index
    }

    /// An index over `boxes` that numbers them in the order in which it visits them, and the place in `boxes`
    /// of each number.
    pub(crate) fn in_order(boxes: impl Iterator<Item = Level0Box>) -> (Self, Vec<u32>) {
        let mut index =
            Self::without_tree(boxes.zip(0..).map(|(area, number)| Entry::new(&area, number)).collect());
        let entries = index.entries.iter_mut().chain(&mut index.large_entries);
        let order =
            entries.zip(0..).map(|(entry, place)| std::mem::replace(&mut entry.member, place)).collect();
        index.plant();
        (index, order)
    }

    /// The index without its tree.
    fn without_tree(all: Vec<Entry>) -> Self {
        let Some(first) = all.first() else { return Self::default() };
        let (mut low, mut high) = ([first.middle(0), first.middle(1)], [first.middle(0), first.middle(1)]);
        let mut halves = 0.0;
        for entry in &all {
            for axis in 0..2 {
                low[axis] = low[axis].min(entry.middle(axis));
                high[axis] = high[axis].max(entry.middle(axis));
            }
            halves += entry.half(0) + entry.half(1);
        }
        let mean_edge = halves / all.len() as f32;
        let extent = (high[0] - low[0]).max(high[1] - low[1]);
        let edge = mean_edge.max(extent / (all.len() as f32).sqrt()).max(extent / MOST_BUCKETS).max(1.0);
        Self::with_buckets(all, low, high, edge)
    }

    fn with_buckets(all: Vec<Entry>, low: [f32; 2], high: [f32; 2], edge: f32) -> Self {
        let (small, large) = parted(all, SMALL_HALVES * edge);
        let [columns, rows] = [0, 1].map(|axis| ((high[axis] - low[axis]) / edge) as usize + 1);
        let mut index = Self {
            origin: low,
            buckets_per_px: 1.0 / edge,
            columns,
            rows,
            reach: small.iter().map(Entry::longest_half).fold(0.0, f32::max),
            starts: Vec::new(),
            entries: Vec::new(),
            large: Large::default(),
            large_entries: Vec::new(),
        };
        index.fill(&small);
        index.large_entries = large;
        index
    }

    /// The tree over the large boxes.
    fn plant(&mut self) {
        if self.large_entries.is_empty() {
            return;
        }
        let leaves = (self.large_entries.iter())
            .map(|entry| GeomWithData::new(Rectangle::from_corners(entry.min, entry.max), entry.member));
        self.large = RTree::bulk_load(leaves.collect());
    }

    /// Sorts `small` into buckets by counting.
    fn fill(&mut self, small: &[Entry]) {
        let mut starts = vec![0_u32; self.columns * self.rows + 1];
        for entry in small {
            starts[self.bucket(entry) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut entries = small.to_vec();
        for entry in small {
            let at = &mut next[self.bucket(entry)];
            entries[*at as usize] = *entry;
            *at += 1;
        }
        self.starts = starts;
        self.entries = entries;
    }

    /// The bucket that the middle of an entry lies in.
    fn bucket(&self, entry: &Entry) -> usize {
        self.row(entry.middle(1)) * self.columns + self.column(entry.middle(0))
    }

    fn column(&self, x: f32) -> usize {
        bucket((x - self.origin[0]) * self.buckets_per_px, self.columns)
    }

    fn row(&self, y: f32) -> usize {
        bucket((y - self.origin[1]) * self.buckets_per_px, self.rows)
    }

    /// Ranges of the small entries in those buckets that could hold one that meets `area`: one range per row
    /// of buckets, from `first_row` on.
    fn spans_near(&self, area: &Entry, first_row: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let rows = first_row..(self.row(area.max[1] + self.reach) + 1).min(self.rows);
        let first = self.column(area.min[0] - self.reach);
        let last = self.column(area.max[0] + self.reach);
        rows.map(move |row| {
            let starts = &self.starts[row * self.columns..];
            starts[first] as usize..starts[last + 1] as usize
        })
    }

    /// The entries in those ranges.
    fn rows_near(&self, area: &Entry) -> impl Iterator<Item = &[Entry]> {
        let first_row = self.row(area.min[1] - self.reach);
        self.spans_near(area, first_row).map(|span| &self.entries[span])
    }

    /// Calls `meet` for the members of every entry that meets `area`.
    fn query(&self, area: &Entry, mut meet: impl FnMut(u32)) {
        for row in self.rows_near(area) {
            for entry in row {
                if entry.meets(area) {
                    meet(entry.member);
                }
            }
        }
        if !self.large_entries.is_empty() {
            self.large.locate_in_envelope_intersecting(area.envelope()).for_each(|found| meet(found.data));
        }
    }

    /// Calls `pair` once for the members of every two boxes here that meet,
    /// borders included.
    pub(crate) fn pairs_within(&self, mut pair: impl FnMut(u32, u32)) {
        for (at, entry) in self.entries.iter().enumerate() {
            // Entries before this one have met it already.
            for span in self.spans_near(entry, self.row(entry.middle(1))).filter(|span| span.end > at + 1) {
                for other in &self.entries[span.start.max(at + 1)..span.end] {
                    if entry.meets(other) {
                        pair(entry.member, other.member);
                    }
                }
            }
        }
        for entry in &self.large_entries {
            for other in self.rows_near(entry).flatten().filter(|other| entry.meets(other)) {
                pair(entry.member, other.member);
            }
            let large = self.large.locate_in_envelope_intersecting(entry.envelope());
            large.filter(|other| other.data > entry.member).for_each(|other| pair(entry.member, other.data));
        }
    }

    /// Calls `pair` for the members of each box here and each box of `other` that meet, borders included.
    /// `seen_by_other` is the area in which the boxes of `other` lie.
    pub(crate) fn pairs(&self, other: &Self, seen_by_other: &Level0Box, mut pair: impl FnMut(u32, u32)) {
        let zone = Entry::new(seen_by_other, 0);
        let small = self.rows_near(&zone).flatten();
        for entry in small.chain(&self.large_entries).filter(|entry| entry.meets(&zone)) {
            other.query(entry, |member| pair(entry.member, member));
        }
    }
}

/// The bucket of `count` that holds `place`, which is given in buckets from the start of the first one; the
/// nearest one for places outside, 0 if there are no buckets.
fn bucket(place: f32, count: usize) -> usize {
    // Buckets are few, and this cast is quicker than that to usize.
    (place as i32).min(count as i32 - 1).max(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::level0;
    use proptest::prelude::*;

    fn boxes() -> impl Strategy<Value = Vec<Level0Box>> {
        let size = prop_oneof![9 => 0.5..20.0_f64, 1 => 20.0..900.0_f64];
        let one = (0.0..1000.0_f64, 0.0..1000.0_f64, size.clone(), size);
        proptest::collection::vec(one.prop_map(|(x, y, w, h)| level0(x, y, x + w, y + h)), 0..60)
    }

    proptest! {
        #[test]
        fn every_two_boxes_of_one_window_that_meet_are_found_once(boxes in boxes()) {
            let mut found = Vec::new();
            NearIndex::new(boxes.iter().copied().zip(0..)).pairs_within(|i, j| found.push((i.min(j), i.max(j))));
            found.retain(|&(i, j)| crate::geometry::shared_area(&boxes[i as usize], &boxes[j as usize]) > 0.0);
            found.sort_unstable();
            let all = (0..boxes.len()).flat_map(|i| (i + 1..boxes.len()).map(move |j| (i, j)));
            let expected: Vec<(u32, u32)> = all
                .filter(|&(i, j)| crate::geometry::shared_area(&boxes[i], &boxes[j]) > 0.0)
                .map(|(i, j)| (i as u32, j as u32))
                .collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn every_pair_that_shares_an_area_is_found_once(a in boxes(), b in boxes()) {
            let [first, second] = [&a, &b].map(|boxes| NearIndex::new(boxes.iter().copied().zip(0..)));
            let mut found = Vec::new();
            first.pairs(&second, &level0(0.0, 0.0, 2000.0, 2000.0), |i, j| found.push((i, j)));
            found.retain(|&(i, j)| crate::geometry::shared_area(&a[i as usize], &b[j as usize]) > 0.0);
            found.sort_unstable();
            let mut expected = Vec::new();
            for (i, first) in (0..).zip(&a) {
                for (j, second) in (0..).zip(&b) {
                    if crate::geometry::shared_area(first, second) > 0.0 {
                        expected.push((i, j));
                    }
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
