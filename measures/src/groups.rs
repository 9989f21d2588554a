//! Whether groups of values differ, and which values stand apart.

use crate::interval::chi2_beyond;

/// Result of a comparison of groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The statistic H, which is larger the more the ranks of the groups differ.
    pub h: f64,
    /// Its degrees of freedom: groups less one.
    pub freedom: u32,
    /// The probability of such an H or a larger one if all values came from one population; of χ², so it is only near the
    /// truth for groups of fewer than five values.
    pub p: f64,
}

/// The test of Kruskal and Wallis (J. Am. Stat. Assoc. 47, 1952), with its correction for ties: whether values of one
/// group tend to be larger than those of another. It asks for no normal distribution. `None` for fewer than two groups
/// with values, or values that are all the same.
#[must_use]
pub fn kruskal_wallis(groups: &[Vec<f64>]) -> Option<Comparison> {
    let mut values: Vec<(f64, usize)> = groups
        .iter()
        .enumerate()
        .flat_map(|(group, values)| values.iter().map(move |&value| (value, group)))
        .collect();
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    let count = values.len() as f64;
    let mut ranks = vec![0.0; groups.len()];
    let (mut first, mut ties) = (0, 0.0);
    while first < values.len() {
        let same = values[first..].iter().take_while(|(value, _)| *value == values[first].0).count();
        // Ranks count from 1; equal values share the middle of theirs.
        let rank = first as f64 + (same as f64 + 1.0) / 2.0;
        values[first..first + same].iter().for_each(|&(_, group)| ranks[group] += rank);
        ties += cube_less_one(same as f64);
        first += same;
    }
    let filled = groups.iter().filter(|group| !group.is_empty()).count();
    let spread = 1.0 - ties / cube_less_one(count);
    if filled < 2 || spread <= 0.0 {
        return None;
    }
    let squares = ranks.iter().zip(groups).filter(|(_, group)| !group.is_empty());
    let squares: f64 = squares.map(|(rank, group)| rank * rank / group.len() as f64).sum();
    let h = ((12.0 / (count * (count + 1.0)) * squares - 3.0 * (count + 1.0)) / spread).max(0.0);
    let freedom = filled as u32 - 1;
    Some(Comparison { h, freedom, p: chi2_beyond(f64::from(freedom), h) })
}

/// n³ − n.
fn cube_less_one(n: f64) -> f64 {
    n * n * n - n
}

/// Probabilities of several tests, each corrected so that the chance of a single false alarm among all of them stays that of one
/// (Holm, Scand. J. Stat. 6, 1979); in the order given.
#[must_use]
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&one, &other| probabilities[one].total_cmp(&probabilities[other]));
    let mut corrected = vec![0.0; probabilities.len()];
    let mut least: f64 = 0.0;
    for (before, place) in order.into_iter().enumerate() {
        least = least.max(probabilities[place] * (probabilities.len() - before) as f64).min(1.0);
        corrected[place] = least;
    }
    corrected
}

/// The least number of values of which one can stand apart.
pub const FEWEST_VALUES: usize = 5;
/// The modified z from which a value stands apart.
pub const APART: f64 = 3.5;

/// The modified z of each value: 0.6745 times its distance from the median, over the median of all such distances
/// (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993, who call those beyond [`APART`] outliers). `None` for
/// fewer than [`FEWEST_VALUES`], or when more than half of the values are the same.
#[must_use]
pub fn modified_z(values: &[f64]) -> Option<Vec<f64>> {
    let middle = median(values).filter(|_| values.len() >= FEWEST_VALUES)?;
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let usual = median(&distances).filter(|usual| *usual > 0.0)?;
    Some(values.iter().map(|value| 0.6745 * (value - middle) / usual).collect())
}

/// The value in the middle, or the mean of the two there; `None` without any.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_do_not_overlap_differ_and_one_group_does_not() {
        let apart = kruskal_wallis(&[vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]]).unwrap();
        assert!((apart.h - 27.0 / 7.0).abs() < 1e-12 && apart.freedom == 1, "{apart:?}");
        assert_eq!(kruskal_wallis(&[vec![1.0, 2.0], vec![]]), None);
        assert_eq!(kruskal_wallis(&[vec![1.0, 1.0], vec![1.0]]), None);
        assert_eq!(kruskal_wallis(&[]), None);
    }

    #[test]
    fn many_tests_are_corrected_in_their_order() {
        let corrected = holm(&[0.04, 0.01, 0.03]);
        assert!(
            corrected.iter().zip([0.06, 0.03, 0.06]).all(|(a, b)| (a - b).abs() < 1e-12),
            "{corrected:?}"
        );
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }

    #[test]
    fn a_value_stands_apart_by_the_others() {
        assert_eq!(median(&[3.0, 1.0, 2.0, 10.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        let z = modified_z(&[1.0, 2.0, 3.0, 4.0, 100.0]).unwrap();
        assert!((z[4] - 0.6745 * 97.0).abs() < 1e-12 && z[3] < APART, "{z:?}");
        assert_eq!(modified_z(&[1.0, 2.0, 3.0, 4.0]), None);
        assert_eq!(modified_z(&[1.0, 1.0, 1.0, 1.0, 5.0]), None);
    }
}
