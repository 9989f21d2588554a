//! FROC: sensitivity against false positives per image and per mm².
//!
//! Sensitivity is hits over *truth objects*; the rate divides false marks by
//! the images (or mm²) that were *looked at*, also those where nothing was
//! marked and those with nothing to find. Formulas in circulation that divide
//! by the number of predictions (that is 1 − precision, not a rate), by a fixed
//! 100 images, or only by images with a mark are wrong; `docs/decisions/0013`
//! has examples.

use serde::{Deserialize, Serialize};

use crate::ranking::{Draw, Ranking};

/// The rates of the LUNA16 and CAMELYON challenges: 1/8, 1/4, 1/2, 1, 2, 4, 8
/// (CAMELYON leaves 1/8 out).
pub const RATES: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// Rule for reading sensitivity between two thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// The best sensitivity of a threshold whose rate does not exceed the one asked for: one that a user can
    /// really reach.
    #[default]
    Attainable,
    /// On the straight line between neighbouring points, from (0, 0) on, as
    /// `numpy.interp` in the challenges' scripts: only for comparing with them.
    Interpolated,
}

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrocPoint {
    /// Least score.
    pub threshold: f32,
    /// Share of truth objects found.
    pub sensitivity: f64,
    /// False marks per unit: image or mm².
    pub rate: f64,
}

/// The curve, one point per distinct score, surest first; empty when there is
/// nothing to find. `units` is the number of images, or their area in mm².
#[must_use]
pub fn curve(ranking: &Ranking, draw: &Draw, units: f64) -> Vec<FrocPoint> {
    points(ranking, draw, units).collect()
}

/// The start of [`curve`], up to the first point beyond the highest of `rates`: enough to read sensitivities
/// at them.
#[must_use]
pub fn curve_for(ranking: &Ranking, draw: &Draw, units: f64, rates: &[f64]) -> Vec<FrocPoint> {
    let highest = rates.iter().copied().fold(0.0, f64::max);
    let mut beyond = false;
    points(ranking, draw, units)
        .take_while(|point| !std::mem::replace(&mut beyond, point.rate > highest))
        .collect()
}

fn points<'a>(ranking: &'a Ranking, draw: &'a Draw, units: f64) -> impl Iterator<Item = FrocPoint> + 'a {
    let positives = ranking.positives_in(draw);
    let steps = (positives > 0.0 && units > 0.0).then(|| ranking.steps(draw));
    steps.into_iter().flatten().map(move |step| FrocPoint {
        threshold: step.threshold,
        sensitivity: step.hits / positives,
        rate: step.false_marks / units,
    })
}

/// Sensitivity at a false-positive rate; 0 where even the surest marks exceed it, the last point's where the
/// curve ends before it.
#[must_use]
pub fn sensitivity_at(curve: &[FrocPoint], rate: f64, reading: Reading) -> f64 {
    let after = curve.partition_point(|point| point.rate <= rate);
    let (from_rate, from) = match after.checked_sub(1) {
        Some(last) => (curve[last].rate, curve[last].sensitivity),
        None => (0.0, 0.0),
    };
    match (reading, curve.get(after)) {
        (Reading::Interpolated, Some(next)) => {
            let share = (rate - from_rate) / (next.rate - from_rate);
            from + share * (next.sensitivity - from)
        }
        _ => from,
    }
}

/// The average of [`sensitivity_at`] over `rates`.
#[must_use]
pub fn mean_sensitivity(curve: &[FrocPoint], rates: &[f64], reading: Reading) -> Option<f64> {
    if curve.is_empty() || rates.is_empty() {
        return None;
    }
    let sum: f64 = rates.iter().map(|&rate| sensitivity_at(curve, rate, reading)).sum();
    Some(sum / rates.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranking::Mark;

    fn example() -> Ranking {
        let marks = [(0.9, 0, true), (0.8, 1, false), (0.7, 0, true), (0.6, 0, false), (0.5, 1, true)];
        Ranking::new(marks.map(|(score, image, hit)| Mark { score, image, hit }).to_vec(), vec![2, 2, 0, 0])
    }

    #[test]
    fn images_without_marks_and_without_truth_still_count_as_looked_at() {
        let curve = curve(&example(), &Draw::each_once(4), 4.0);
        let rates: Vec<f64> = curve.iter().map(|p| p.rate).collect();
        assert_eq!(rates, [0.0, 0.25, 0.25, 0.5, 0.5]);
        assert_eq!(sensitivity_at(&curve, 0.125, Reading::Attainable), 0.25);
        assert_eq!(sensitivity_at(&curve, 0.25, Reading::Attainable), 0.5);
        assert_eq!(sensitivity_at(&curve, 8.0, Reading::Attainable), 0.75);
        // Halfway from (0, 0.25) to (0.25, 0.25).
        assert_eq!(sensitivity_at(&curve, 0.125, Reading::Interpolated), 0.25);
        assert_eq!(sensitivity_at(&curve, 0.375, Reading::Interpolated), 0.5);
        assert_eq!(mean_sensitivity(&curve, &[0.125, 8.0], Reading::Attainable), Some(0.5));
    }

    #[test]
    fn a_model_that_starts_with_false_marks_earns_nothing_below_their_rate() {
        let marks = vec![Mark { score: 0.9, image: 0, hit: false }, Mark { score: 0.9, image: 0, hit: true }];
        let curve = curve(&Ranking::new(marks, vec![1]), &Draw::each_once(1), 1.0);
        assert_eq!(sensitivity_at(&curve, 0.5, Reading::Attainable), 0.0);
        assert_eq!(sensitivity_at(&curve, 0.5, Reading::Interpolated), 0.5);
        assert_eq!(sensitivity_at(&curve, 1.0, Reading::Attainable), 1.0);
    }

    #[test]
    fn the_start_of_a_curve_reads_like_all_of_it() {
        let (ranking, once) = (example(), Draw::each_once(4));
        let whole = curve(&ranking, &once, 4.0);
        for rate in [0.1, 0.25, 0.3, 0.5, 8.0] {
            let start = curve_for(&ranking, &once, 4.0, &[rate]);
            for reading in [Reading::Attainable, Reading::Interpolated] {
                assert_eq!(sensitivity_at(&start, rate, reading), sensitivity_at(&whole, rate, reading));
            }
        }
        assert_eq!(curve_for(&ranking, &once, 4.0, &[0.1]).len(), 2);
    }

    #[test]
    fn nothing_to_find_has_no_curve() {
        let marks = vec![Mark { score: 0.9, image: 0, hit: false }];
        assert!(curve(&Ranking::new(marks, vec![0]), &Draw::each_once(1), 1.0).is_empty());
    }
}
