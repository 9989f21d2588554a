//! H-scores: how many cells are stained, and how strongly.
//!
//! McCarty et al. 1985, Arch. Pathol. Lab. Med. 109:716: once the percentage of weakly stained cells, twice that of
//! moderately and three times that of strongly stained ones; 0 to 300.

use crate::interval::{Level, wilson};

/// Percentages that a cell adds which is stained at least so strongly.
const EACH: f64 = 100.0;

/// The H-score of `all` cells, of which so many are stained at least weakly, at least moderately and strongly; `None` of
/// no cells.
#[must_use]
pub fn h_score(at_least: [u64; 3], all: u64) -> Option<f64> {
    // A strongly stained cell is counted three times, as it is stained at least weakly and moderately too.
    let sum: u64 = at_least.iter().sum();
    (all > 0).then(|| EACH * sum as f64 / all as f64)
}

/// The interval of an H-score, from Wilson's intervals of its three shares by the recovery of variances (Zou and Donner
/// 2008, Stat. Med. 27:1693), with the correlation that shares have of which each holds the next. 0 to 300 of no cells.
///
/// As every interval of cells it holds for cells that do not depend on each other.
#[must_use]
pub fn interval(at_least: [u64; 3], all: u64, level: Level) -> (f64, f64) {
    let Some(score) = h_score(at_least, all) else { return (0.0, 3.0 * EACH) };
    let shares = at_least.map(|count| count as f64 / all as f64);
    let ends = at_least.map(|count| wilson(count, all, level));
    let below = [0, 1, 2].map(|at| shares[at] - ends[at].0);
    let above = [0, 1, 2].map(|at| ends[at].1 - shares[at]);
    let [low, high] = [below, above].map(|reaches| EACH * joint_reach(reaches, shares));
    ((score - low).max(0.0), (score + high).min(3.0 * EACH))
}

/// Reach of a sum of shares from the reaches of each.
fn joint_reach(reaches: [f64; 3], shares: [f64; 3]) -> f64 {
    let pairs = (0..3).flat_map(|first| (0..3).map(move |second| (first, second)));
    let square: f64 = pairs
        .map(|(first, second)| {
            let tied = correlation(shares[first.min(second)], shares[first.max(second)]);
            tied * reaches[first] * reaches[second]
        })
        .sum();
    square.sqrt()
}

/// Correlation of two shares of which the larger holds the smaller. Where one is 0 or 1 the sample does not tell it, and
/// they count as tied: the interval is the wider one.
fn correlation(larger: f64, smaller: f64) -> f64 {
    if smaller <= 0.0 || larger >= 1.0 {
        return 1.0;
    }
    (smaller * (1.0 - larger) / (larger * (1.0 - smaller))).sqrt()
}

#[cfg(test)]
mod tests {
    use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

    use super::*;

    #[test]
    fn a_score_is_the_weighted_percentages() {
        // 40 of 0, 30 of 1+, 20 of 2+, 10 of 3+.
        assert_eq!(h_score([60, 30, 10], 100), Some(30.0 + 2.0 * 20.0 + 3.0 * 10.0));
        assert_eq!(h_score([7, 7, 7], 7), Some(300.0));
        assert_eq!((h_score([0; 3], 9), h_score([0; 3], 0)), (Some(0.0), None));
    }

    #[test]
    fn an_interval_holds_the_score_and_is_never_a_point() {
        for (at_least, all) in [([60, 30, 10], 100), ([0, 0, 0], 50), ([50, 50, 50], 50), ([3, 3, 0], 4)] {
            let score = h_score(at_least, all).unwrap();
            let (low, high) = interval(at_least, all, Level::PERCENT_95);
            assert!(low <= score && score <= high && high - low > 5.0, "{low} to {high}, {score}");
            assert!((0.0..=300.0).contains(&low) && (0.0..=300.0).contains(&high));
        }
        assert_eq!(interval([0; 3], 0, Level::PERCENT_95), (0.0, 300.0));
    }

    /// Of samples of a known mixture, about 95 of 100 have intervals that hold its score.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(11);
        for shares in [[0.6, 0.3, 0.1], [0.95, 0.9, 0.8], [0.1, 0.02, 0.005]] {
            let truth = EACH * shares.iter().sum::<f64>();
            let held = (0..2000).filter(|_| {
                let mut at_least = [0; 3];
                for _ in 0..200 {
                    let cell = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                    for (count, share) in at_least.iter_mut().zip(shares) {
                        *count += u64::from(cell < share);
                    }
                }
                let (low, high) = interval(at_least, 200, Level::PERCENT_95);
                (low..=high).contains(&truth)
            });
            let held = held.count() as f64 / 2000.0;
            assert!((0.93..0.985).contains(&held), "{shares:?}: {held}");
        }
    }
}
