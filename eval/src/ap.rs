//! Average precision by COCO's rules.
//!
//! Precision is made falling from the right, then read at 101 recalls 0, 0.01,
//! … 1 and averaged (`pycocotools`, `COCOeval.accumulate`). There is no cap on
//! predictions per image unless one is asked for: COCO's 100 was made for
//! photographs and would leave most cells of a slide out of the count.

use serde::{Deserialize, Serialize};

use crate::ranking::{Draw, Ranking};

/// The ten IoU thresholds of AP 0.5:0.95, computed as numpy's `linspace` does,
/// so that an IoU right on a threshold falls the same way.
#[must_use]
pub fn coco_ious() -> [f64; 10] {
    let step = (0.95 - 0.5) / 9.0;
    std::array::from_fn(|i| if i == 9 { 0.95 } else { 0.5 + i as f64 * step })
}

/// Objects of some sizes only. Truth objects outside are ignored, and so are
/// predictions outside that match nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AreaRange {
    /// For the table.
    pub name: String,
    /// Smallest area in µm², included.
    pub min_um2: f64,
    /// Largest area in µm², included.
    pub max_um2: f64,
}

/// Average precision, 0 to 1; `None` when there is nothing to find.
#[must_use]
pub fn average_precision(ranking: &Ranking, draw: &Draw) -> Option<f64> {
    let positives = ranking.positives_in(draw);
    if positives == 0.0 {
        return None;
    }
    let (mut hits, mut seen) = (0.0, 0.0);
    for mark in ranking.marks() {
        let times = draw.times(mark.image);
        seen += times;
        hits += if mark.hit { times } else { 0.0 };
    }
    // Backwards, so the best precision at any higher recall is already known.
    // Recall index `next` is the highest that is still to be read.
    let (mut envelope, mut sum, mut next) = (0.0_f64, 0.0, 100_i32);
    for mark in ranking.marks().iter().rev() {
        let times = draw.times(mark.image);
        if times == 0.0 {
            continue;
        }
        envelope = envelope.max(hits / (seen + f64::EPSILON));
        let before = if mark.hit { hits - times } else { hits };
        if mark.hit {
            while next >= 0 && recall_at(next) > hits / positives {
                next -= 1;
            }
            while next >= 0 && recall_at(next) > before / positives {
                sum += envelope;
                next -= 1;
            }
        }
        hits = before;
        seen -= times;
    }
    // Recall 0 is read at the very first mark.
    if next >= 0 {
        sum += envelope;
    }
    Some(sum / 101.0)
}

fn recall_at(index: i32) -> f64 {
    f64::from(index) * 0.01
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ranking::Mark;

    fn ranking(hits: &[bool], positives: u32) -> Ranking {
        let mark = |(i, &hit): (usize, &bool)| Mark { score: 1.0 - i as f32 * 0.01, image: 0, hit };
        Ranking::new(hits.iter().enumerate().map(mark).collect(), vec![positives])
    }

    #[test]
    fn known_cases() {
        let once = Draw::each_once(1);
        assert_eq!(average_precision(&ranking(&[], 0), &once), None);
        assert_eq!(average_precision(&ranking(&[], 3), &once), Some(0.0));
        assert_eq!(average_precision(&ranking(&[false], 3), &once), Some(0.0));
        assert!((average_precision(&ranking(&[true, true], 2), &once).unwrap() - 1.0).abs() < 1e-12);
        // Half found at full precision: recalls 0 to 0.5 are 51 of 101.
        let half = average_precision(&ranking(&[true], 2), &once).unwrap();
        assert!((half - 51.0 / 101.0).abs() < 1e-12);
        // A false mark first: precision 1/2 at recall 1.
        let late = average_precision(&ranking(&[false, true], 1), &once).unwrap();
        assert!((late - 0.5).abs() < 1e-12);
    }

    #[test]
    fn an_image_drawn_twice_is_two_images() {
        let marks =
            |image| [(0.9, true), (0.5, false), (0.4, true)].map(|(score, hit)| Mark { score, image, hit });
        let other = Mark { score: 0.7, image: 1, hit: false };
        let drawn = Ranking::new(marks(0).into_iter().chain([other]).collect(), vec![3, 1]);
        let twice = average_precision(&drawn, &Draw::of(vec![2, 0]));
        let real = Ranking::new(marks(0).into_iter().chain(marks(1)).collect(), vec![3, 3]);
        assert_eq!(twice, average_precision(&real, &Draw::each_once(2)));
    }
}
