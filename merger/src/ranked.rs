//! Quantiles of some values, by bins.

/// Number of bins.
const BINS: usize = 256;

/// Values in bins from the least to the greatest, so that those of a rank are looked for in one or two of them.
pub(crate) struct Ranked<'a> {
    values: &'a [f64],
    /// The bin of each value.
    bins: Vec<u8>,
    /// Number of values in each bin.
    counts: [u32; BINS],
}

impl<'a> Ranked<'a> {
    /// Of values that are numbers; `None` where there are none.
    pub(crate) fn new(values: &'a [f64]) -> Option<Self> {
        let first = *values.first()?;
        let (least, greatest) = values.iter().fold((first, first), |(least, greatest), &value| {
            // Not by `min`, which would look for NaN each time.
            (if value < least { value } else { least }, if value > greatest { value } else { greatest })
        });
        // Values that are all the same lie in the first bin.
        let bins_per_unit = (BINS - 1) as f64 / (greatest - least).max(f64::MIN_POSITIVE);
        let bins: Vec<u8> =
            values.iter().map(|value| ((value - least) * bins_per_unit) as i32 as u8).collect();
        let mut counts = [0; BINS];
        bins.iter().for_each(|&bin| counts[usize::from(bin)] += 1);
        Some(Self { values, bins, counts })
    }

    /// The value that a share of all, from 0 to 1, lie below, between two by a straight line.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let place = share * (self.values.len() - 1) as f64;
        let rank = place as usize;
        let (first, before) = self.bin_of(rank);
        let (last, _) = self.bin_of(rank + 1);
        let near = self.values.iter().zip(&self.bins).filter(|(_, bin)| (first..=last).contains(bin));
        let mut near: Vec<f64> = near.map(|(&value, _)| value).collect();
        near.sort_unstable_by(f64::total_cmp);
        let below = near[rank - before];
        let above = near.get(rank + 1 - before).copied().unwrap_or(below);
        below + (above - below) * place.fract()
    }

    /// The bin with the value of a rank, or the last one with any, and the number of values in the bins before.
    fn bin_of(&self, rank: usize) -> (u8, usize) {
        let rank = rank.min(self.values.len() - 1);
        let mut before = 0;
        for (&count, bin) in self.counts.iter().zip(0..=u8::MAX) {
            if before + count as usize > rank {
                return (bin, before);
            }
            before += count as usize;
        }
        (u8::MAX, before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantile(values: &[f64], share: f64) -> Option<f64> {
        Some(Ranked::new(values)?.quantile(share))
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.1), Some(1.2));
        assert_eq!(quantile(&[4.0], 0.9), Some(4.0));
        assert_eq!(quantile(&[], 0.9), None);
    }

    #[test]
    fn the_ends_are_the_least_and_the_greatest_and_equal_values_are_all_alike() {
        let values = [7.5, -2.0, 7.5, 0.0, f64::MIN_POSITIVE];
        assert_eq!([0.0, 1.0].map(|share| quantile(&values, share)), [Some(-2.0), Some(7.5)]);
        assert_eq!([0.0, 0.3, 1.0].map(|share| quantile(&[0.25; 9], share)), [Some(0.25); 3]);
    }

    proptest::proptest! {
        #[test]
        fn as_of_the_sorted_values(values in proptest::collection::vec(-1e3..1e3_f64, 1..300), share in 0.0..=1.0_f64) {
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place as usize], sorted[(place.ceil() as usize).min(sorted.len() - 1)]);
            proptest::prop_assert_eq!(quantile(&values, share), Some(below + (above - below) * place.fract()));
        }
    }
}
