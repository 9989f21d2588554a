//! Precision, recall and F1: at a threshold, at the best one, and as a curve.

use serde::Serialize;

use crate::ranking::{Draw, Ranking};

/// Counts at one score threshold.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Counts {
    /// Predictions matched with a truth object.
    pub hits: f64,
    /// Predictions matched with nothing.
    pub false_marks: f64,
    /// Truth objects matched with nothing.
    pub missed: f64,
}

impl Counts {
    /// Share of predictions that are right; `None` without predictions.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.hits, self.hits + self.false_marks)
    }

    /// Share of truth objects found (sensitivity); `None` without truth.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.hits, self.hits + self.missed)
    }

    /// Harmonic mean of both; `None` when there are neither predictions nor
    /// truth objects.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        ratio(2.0 * self.hits, 2.0 * self.hits + self.false_marks + self.missed)
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// One threshold and its results. Predictions of exactly that score are included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Least score.
    pub threshold: f32,
    /// Hits, false marks and misses.
    pub counts: Counts,
    /// Share of predictions that are right.
    pub precision: Option<f64>,
    /// Share of truth objects found.
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    pub f1: Option<f64>,
}

impl OperatingPoint {
    /// Computes the shares.
    #[must_use]
    pub fn new(threshold: f32, counts: Counts) -> Self {
        Self { threshold, counts, precision: counts.precision(), recall: counts.recall(), f1: counts.f1() }
    }
}

/// One point per distinct score, surest first. It starts at the highest score;
/// the empty answer (recall 0) is not a point.
#[must_use]
pub fn curve(ranking: &Ranking, draw: &Draw) -> Vec<OperatingPoint> {
    let positives = ranking.positives_in(draw);
    let points = ranking.steps(draw).map(|step| {
        let missed = positives - step.hits;
        OperatingPoint::new(step.threshold, Counts { hits: step.hits, false_marks: step.false_marks, missed })
    });
    points.collect()
}

/// The point of the highest F1, at the highest threshold among equals.
#[must_use]
pub fn best(curve: &[OperatingPoint]) -> Option<OperatingPoint> {
    curve.iter().copied().reduce(|best, point| if point.f1 > best.f1 { point } else { best })
}

/// At most `most` of the points, evenly spaced by rank, first and last kept:
/// enough to draw, small enough to store.
#[must_use]
pub fn thinned<T: Clone>(points: &[T], most: usize) -> Vec<T> {
    if points.len() <= most || most < 2 {
        return points.to_vec();
    }
    let last = points.len() - 1;
    (0..most).map(|i| points[i * last / (most - 1)].clone()).collect()
}

/// The chance that a hit has a higher score than a false mark, ties counting
/// half: the area under the ROC curve of "is this prediction right?". `None`
/// unless there are both.
///
/// It measures how well scores *sort* the predictions and does not depend on the objects missed, so it is no
/// measure of a detector by itself.
#[must_use]
pub fn score_auc(ranking: &Ranking, draw: &Draw) -> Option<f64> {
    let (mut hits, mut false_marks, mut area) = (0.0, 0.0, 0.0);
    for step in ranking.steps(draw) {
        area += (step.false_marks - false_marks) * (step.hits + hits) / 2.0;
        (hits, false_marks) = (step.hits, step.false_marks);
    }
    (hits > 0.0 && false_marks > 0.0).then(|| area / (hits * false_marks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranking::Mark;

    #[test]
    fn equal_scores_enter_together_and_the_best_is_the_surest_of_equals() {
        let marks = [(0.9, true), (0.8, true), (0.8, false), (0.2, true), (0.1, false)];
        let marks = marks.map(|(score, hit)| Mark { score, image: 0, hit }).to_vec();
        let curve = curve(&Ranking::new(marks, vec![4]), &Draw::each_once(1));
        let scores: Vec<f32> = curve.iter().map(|p| p.threshold).collect();
        assert_eq!(scores, [0.9, 0.8, 0.2, 0.1]);
        assert_eq!(curve[1].counts, Counts { hits: 2.0, false_marks: 1.0, missed: 2.0 });
        assert_eq!(best(&curve).unwrap().threshold, 0.2);
        assert_eq!(best(&curve).unwrap().f1, Some(0.75));
    }

    #[test]
    fn nothing_predicted_and_nothing_there_has_no_figures() {
        let nothing = OperatingPoint::new(0.5, Counts::default());
        assert_eq!((nothing.precision, nothing.recall, nothing.f1), (None, None, None));
        let missed = OperatingPoint::new(0.5, Counts { missed: 2.0, ..Counts::default() });
        assert_eq!((missed.precision, missed.recall, missed.f1), (None, Some(0.0), Some(0.0)));
    }

    #[test]
    fn thinning_keeps_both_ends() {
        let points: Vec<usize> = (0..1001).collect();
        assert_eq!(thinned(&points, 5), [0, 250, 500, 750, 1000]);
        assert_eq!(thinned(&points[..3], 5), [0, 1, 2]);
    }
}
