//! Calibration of scores: reliability, expected calibration error, Brier score.

use serde::Serialize;

use crate::ranking::Ranking;

/// Predictions whose scores fall into one bin. Bins are open on the left and
/// closed on the right; the first also holds 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Lower end of the scores.
    pub from: f64,
    /// Upper end, included.
    pub to: f64,
    /// Number of predictions.
    pub count: u64,
    /// Their mean score; 0 when there are none.
    pub mean_score: f64,
    /// The share of them that are right; 0 when there are none.
    pub hit_rate: f64,
}

impl Bin {
    /// The distance between the share that is right and the mean score.
    fn gap(&self) -> f64 {
        (self.hit_rate - self.mean_score).abs()
    }
}

/// Relation of scores to being right, over all predictions given (so it depends on the lowest score the model
/// wrote down).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Calibration {
    /// The reliability diagram, lowest scores first; empty bins included.
    pub bins: Vec<Bin>,
    /// Expected calibration error (Naeini et al., AAAI 2015): |hit rate − mean
    /// score|, weighted by bin counts.
    pub ece: Option<f64>,
    /// The largest such difference of any bin that is not empty.
    pub mce: Option<f64>,
    /// Mean squared difference of score and outcome.
    pub brier: Option<f64>,
}

/// Computes reliability in `bins` bins of equal width.
#[must_use]
pub fn calibration(ranking: &Ranking, bins: usize) -> Calibration {
    let bins = bins.max(1);
    let mut sums = vec![(0_u64, 0.0, 0.0); bins];
    let mut squares = 0.0;
    for mark in ranking.marks() {
        let score = f64::from(mark.score).clamp(0.0, 1.0);
        let hit = f64::from(u8::from(mark.hit));
        let (count, scores, hits) = &mut sums[bin_of(score, bins)];
        *count += 1;
        *scores += score;
        *hits += hit;
        squares += (score - hit) * (score - hit);
    }
    let bins: Vec<Bin> = (sums.iter().enumerate())
        .map(|(i, &(count, scores, hits))| {
            let [from, to] = [i, i + 1].map(|edge| edge as f64 / bins as f64);
            let [mean_score, hit_rate] =
                [scores, hits].map(|sum| if count == 0 { 0.0 } else { sum / count as f64 });
            Bin { from, to, count, mean_score, hit_rate }
        })
        .collect();
    let total = ranking.marks().len() as f64;
    let known = total > 0.0;
    Calibration {
        ece: known.then(|| bins.iter().map(|bin| bin.gap() * bin.count as f64).sum::<f64>() / total),
        mce: bins.iter().filter(|bin| bin.count > 0).map(Bin::gap).reduce(f64::max),
        brier: known.then(|| squares / total),
        bins,
    }
}

/// The bin whose upper edge is the first not below `score`.
fn bin_of(score: f64, bins: usize) -> usize {
    let mut bin = ((score * bins as f64) as usize).min(bins - 1);
    while bin > 0 && score <= bin as f64 / bins as f64 {
        bin -= 1;
    }
    bin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranking::Mark;

    #[test]
    fn bins_are_closed_on_the_right() {
        assert_eq!([0.0, 0.1, 0.11, 0.5, 0.3, 1.0].map(|score| bin_of(score, 10)), [0, 0, 1, 4, 2, 9]);
    }

    #[test]
    fn a_sure_and_wrong_model_has_the_largest_error() {
        let wrong = (0..4).map(|_| Mark { score: 1.0, image: 0, hit: false }).collect();
        let found = calibration(&Ranking::new(wrong, vec![4]), 10);
        assert_eq!((found.ece, found.mce, found.brier), (Some(1.0), Some(1.0), Some(1.0)));
        let nothing = calibration(&Ranking::new(Vec::new(), vec![4]), 10);
        assert_eq!((nothing.ece, nothing.mce, nothing.brier), (None, None, None));
    }

    #[test]
    fn three_of_four_right_at_three_quarters_is_calibrated() {
        let marks = (0..4).map(|i| Mark { score: 0.75, image: 0, hit: i != 0 }).collect();
        let found = calibration(&Ranking::new(marks, vec![4]), 10);
        assert_eq!(found.ece, Some(0.0));
        assert!((found.brier.unwrap() - 0.1875).abs() < 1e-12);
    }
}
