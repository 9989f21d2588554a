//! Parts of a job, or of the windows of each of its slides, for several machines.

use std::{cmp::Reverse, collections::BinaryHeap, fmt, str::FromStr};

/// One of several parts: `2/8` is the second of eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Its place among the parts, from 0.
    index: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok();
        let numbers = text.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
        match numbers {
            Some((i, of)) if 1 <= i && i <= of => Ok(Self { index: i - 1, of }),
            _ => Err(format!("{text:?} is no part, expected I/N with I from 1 to N, such as 2/8")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

impl Shard {
    /// Its place among the parts, from 0.
    pub(crate) fn index(self) -> usize {
        self.index
    }

    /// Number of the parts.
    pub(crate) fn of(self) -> usize {
        self.of
    }

    /// Its share of `items` in a row that are about the same work: neighbours stay together.
    pub(crate) fn share<T>(self, items: &[T]) -> &[T] {
        let start = |index: usize| items.len() * index / self.of;
        &items[start(self.index)..start(self.index + 1)]
    }

    /// Keeps the items of this shard, in their order. The shards of one list are disjoint, together are the
    /// whole list, and have about the same weight.
    #[must_use]
    pub fn keep<T>(self, items: Vec<T>, weight: impl Fn(&T) -> u64) -> Vec<T> {
        let weights: Vec<u64> = items.iter().map(weight).collect();
        let shards = balance(&weights, self.of);
        items
            .into_iter()
            .zip(shards)
            .filter(|(_, shard)| *shard == self.index)
            .map(|(item, _)| item)
            .collect()
    }
}

/// Returns the shard of each item: the heaviest item first, each to the lightest shard so far (Graham 1969:
/// the heaviest shard is at most 4/3 of the best possible).
#[must_use]
pub fn balance(weights: &[u64], shards: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&item| (Reverse(weights[item]), item));
    let mut lightest: BinaryHeap<_> = (0..shards.max(1)).map(|shard| Reverse((0_u64, shard))).collect();
    let mut shard_of = vec![0; weights.len()];
    for item in order {
        if let Some(mut top) = lightest.peek_mut() {
            let Reverse((load, shard)) = *top;
            shard_of[item] = shard;
            // A slide that weighs nothing is still some work.
            *top = Reverse((load.saturating_add(weights[item].max(1)), shard));
        }
    }
    shard_of
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shards_are_read_and_shown() {
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
        for bad in ["0/8", "9/8", "2", "a/b", "1/0", "-1/2"] {
            assert!(bad.parse::<Shard>().unwrap_err().contains("expected I/N"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn each_item_is_in_one_shard_and_loads_are_even(
            weights in proptest::collection::vec(1_u64..1000, 0..60),
            of in 1_usize..9,
        ) {
            let items: Vec<_> = weights.iter().copied().enumerate().collect();
            let parts: Vec<_> =
                (0..of).map(|index| Shard { index, of }.keep(items.clone(), |item| item.1)).collect();
            let mut all: Vec<_> = parts.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(&all, &items);
            let load = |part: &Vec<(usize, u64)>| part.iter().map(|item| item.1).sum::<u64>();
            let heaviest = parts.iter().map(load).max().unwrap_or(0);
            let largest = weights.iter().copied().max().unwrap_or(0);
            let mean = weights.iter().sum::<u64>() / of as u64;
            prop_assert!(heaviest <= mean + largest + 1);
        }

        #[test]
        fn shares_are_all_items_in_a_row_and_of_even_length(count in 0_usize..60, of in 1_usize..9) {
            let items: Vec<_> = (0..count).collect();
            let shares: Vec<_> = (0..of).map(|index| Shard { index, of }.share(&items)).collect();
            prop_assert_eq!(&shares.concat(), &items);
            prop_assert!(shares.iter().all(|share| share.len().abs_diff(count / of) <= 1));
        }
    }
}
