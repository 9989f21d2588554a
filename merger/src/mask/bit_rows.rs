//! Rows of bits, 64 to a word.

use std::ops::Range;

const WORD: usize = u64::BITS as usize;

/// A picture of one bit per px; each row begins with a word of its own. Bits past the end of a row are not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BitRows {
    width: usize,
    height: usize,
    /// Words per row.
    stride: usize,
    words: Vec<u64>,
}

impl BitRows {
    /// A picture in which no bit is set.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let stride = width.div_ceil(WORD);
        Self { width, height, stride, words: vec![0; stride * height] }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// `true` if the bit is set; past the picture none is.
    pub(super) fn get(&self, x: usize, y: usize) -> bool {
        x < self.width && y < self.height && self.words[y * self.stride + x / WORD] >> (x % WORD) & 1 == 1
    }

    /// Sets bits of a row, which lie in the picture.
    pub(super) fn fill(&mut self, row: usize, columns: Range<usize>) {
        for (index, part) in parts_of_words(&columns) {
            self.words[row * self.stride + index] |= part;
        }
    }

    /// Number of bits that are set.
    pub(super) fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The same within a part of a row.
    pub(super) fn count_in(&self, row: usize, columns: &Range<usize>) -> u64 {
        let row = &self.words[row * self.stride..];
        parts_of_words(columns).map(|(index, part)| u64::from((row[index] & part).count_ones())).sum()
    }

    /// Sets the bits that are set in `other`, a picture of the same size.
    pub(super) fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Leaves only bits that are set in `other` too, a picture of the same size.
    pub(super) fn keep_within(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// The picture with every bit turned over.
    pub(super) fn inverted(&self) -> Self {
        let mut inverted = Self::new(self.width, self.height);
        (0..self.height).for_each(|row| inverted.fill(row, 0..self.width));
        inverted.words.iter_mut().zip(&self.words).for_each(|(word, own)| *word &= !own);
        inverted
    }

    /// The runs of set bits of a row, from the left.
    pub(super) fn runs(&self, row: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let start = self.next(row, from, true);
            from = self.next(row, start, false);
            (start < self.width).then_some(start..from)
        })
    }

    /// The first column from `from` on whose bit is `wanted`; the width if there is none.
    fn next(&self, row: usize, from: usize, wanted: bool) -> usize {
        let words = &self.words[row * self.stride..(row + 1) * self.stride];
        let turned = if wanted { 0 } else { u64::MAX };
        let mut part = u64::MAX << (from % WORD);
        for (index, word) in words.iter().enumerate().skip(from / WORD) {
            let found = (word ^ turned) & part;
            if found != 0 {
                return (index * WORD + found.trailing_zeros() as usize).min(self.width);
            }
            part = u64::MAX;
        }
        self.width
    }
}

/// The words that hold `columns` of a row, each with the bits of them.
fn parts_of_words(columns: &Range<usize>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let Range { start, end } = *columns;
    let words = if start < end { start / WORD..end.div_ceil(WORD) } else { 0..0 };
    words.map(move |index| {
        let first = start.saturating_sub(index * WORD);
        let last = (end - index * WORD).min(WORD);
        (index, u64::MAX << first & u64::MAX >> (WORD - last))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_and_counts_are_those_of_single_bits(
            width in 1_usize..200, spans in proptest::collection::vec((0_usize..200, 0_usize..90), 0..6),
        ) {
            let mut rows = BitRows::new(width, 3);
            let mut plain = vec![false; width];
            for (start, length) in spans {
                let (start, end) = (start.min(width), (start + length).min(width));
                rows.fill(1, start..end);
                plain[start..end].fill(true);
            }
            let bits: Vec<bool> = (0..width).map(|x| rows.get(x, 1)).collect();
            prop_assert_eq!(&bits, &plain);
            let mut from_runs = vec![false; width];
            for run in rows.runs(1) {
                prop_assert!(run.start < run.end && (run.end == width || !plain[run.end]));
                from_runs[run].fill(true);
            }
            prop_assert_eq!(&from_runs, &plain);
            let within = width / 3..width * 2 / 3;
            let expected = plain[within.clone()].iter().filter(|&&bit| bit).count() as u64;
            prop_assert_eq!(rows.count_in(1, &within), expected);
            prop_assert_eq!(rows.count() + rows.inverted().count(), 3 * width as u64);
            prop_assert_eq!(rows.inverted().inverted(), rows);
        }
    }
}
