//! Centre crop: of spans that overlap along an axis, each decides the part that lies nearer to its own middle.

use std::{collections::BTreeSet, ops::Range};

/// Spans of one length along an axis, in px of any grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentreCrop {
    starts: BTreeSet<i64>,
    length: i64,
}

impl CentreCrop {
    /// Spans that begin at `starts` and have `length` px each.
    #[must_use]
    pub fn new(starts: impl IntoIterator<Item = i64>, length: i64) -> Self {
        Self { starts: starts.into_iter().collect(), length }
    }

    /// The part that the span from `start` decides. Parts of different spans share no px, and together they cover all
    /// that the spans cover; where two overlap, they part in the middle, rounded down.
    #[must_use]
    pub fn part(&self, start: i64) -> Range<i64> {
        let end = start + self.length;
        let before = self.starts.range(..start).next_back().map(|&other| other + self.length);
        let after = self.starts.range(start + 1..).next().copied();
        let from = before.filter(|&other| other > start).map_or(start, |other| middle(start, other));
        let to = after.filter(|&other| other < end).map_or(end, |other| middle(other, end));
        from..to
    }
}

/// Steps of so many px each along an axis, from 0 on: the places of a map, or the px of a coarser grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps(pub i64);

impl Steps {
    /// The steps whose centres lie within `part`, which begins at 0 or later.
    #[must_use]
    pub fn centred_in(self, part: &Range<i64>) -> Range<usize> {
        self.first_centred_from(part.start)..self.first_centred_from(part.end)
    }

    /// The first step whose centre lies at `edge` or after it; the centre of step n is at n + ½ steps.
    fn first_centred_from(self, edge: i64) -> usize {
        let (twice, double) = ((2 * edge - self.0).max(0) as usize, 2 * self.0 as usize);
        twice.div_ceil(double)
    }

    /// The step of a map that begins at `start` and has steps of `of_map`, in which the centre of step `index` lies.
    ///
    /// The centre must not lie before `start`.
    #[must_use]
    pub fn place_in(self, index: usize, start: i64, of_map: Self) -> usize {
        let twice = (2 * index as i64 + 1) * self.0 - 2 * start;
        twice.div_euclid(2 * of_map.0) as usize
    }
}

fn middle(from: i64, to: i64) -> i64 {
    (from + to).div_euclid(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_part_in_the_middle_of_what_they_share() {
        let spans = CentreCrop::new([0, 50, 100, 300], 100);
        assert_eq!([0, 50, 100, 300].map(|start| spans.part(start)), [0..75, 75..125, 125..200, 300..400]);
        assert_eq!(CentreCrop::new([7], 10).part(7), 7..17);
    }

    #[test]
    fn a_step_is_where_its_centre_is() {
        assert_eq!(Steps(1).centred_in(&(3..7)), 3..7);
        // Centres at 2, 6, 10, 14.
        assert_eq!(Steps(4).centred_in(&(0..16)), 0..4);
        assert_eq!(Steps(4).centred_in(&(2..10)), 0..2);
        assert_eq!(Steps(4).centred_in(&(3..11)), 1..3);
        // Centre 10 lies 6 px into a map from 4 on: in its fourth place of 2 px.
        assert_eq!(Steps(4).place_in(2, 4, Steps(2)), 3);
        assert_eq!((Steps(1).place_in(9, 4, Steps(1)), Steps(1).place_in(9, 4, Steps(4))), (5, 1));
    }

    proptest! {
        #[test]
        fn each_px_is_decided_once(starts in proptest::collection::btree_set(0_i64..200, 1..12), length in 1_i64..60) {
            let spans = CentreCrop::new(starts.iter().copied(), length);
            for px in 0..300 {
                let decided = starts.iter().filter(|&&start| spans.part(start).contains(&px)).count();
                let seen = starts.iter().any(|&start| (start..start + length).contains(&px));
                prop_assert_eq!(decided, usize::from(seen), "px {}", px);
            }
        }
    }
}
