//! Average precision by COCO's rules.
//!
//! Precision is made falling from the right, then read at 101 recalls 0, 0.01,
//! … 1 and averaged (`pycocotools`, `COCOeval.accumulate`). There is no cap on
//! predictions per image unless one is asked for: COCO's 100 was made for
//! photographs and would leave most cells of a slide out of the count.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    EvalError,
    error::Result,
    ranking::{Draw, Ranking},
};

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
    /// Name for the table.
    pub name: String,
    /// Smallest area, included.
    pub min: f64,
    /// Largest area, included.
    pub max: f64,
    /// Unit of both limits.
    pub unit: AreaUnit,
}

/// Unit of areas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AreaUnit {
    /// µm², which needs the images' pixel sizes.
    Um2,
    /// Level-0 px², as COCO has it.
    Px2,
}

impl fmt::Display for AreaUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Um2 => "um2",
            Self::Px2 => "px2",
        })
    }
}

impl AreaRange {
    /// COCO's own: small below 32², large above 96² px². An area on a limit is
    /// in both, as there.
    #[must_use]
    pub fn coco() -> [Self; 3] {
        let (small, large) = (32.0 * 32.0, 96.0 * 96.0);
        [("small", 0.0, small), ("medium", small, large), ("large", large, f64::MAX)]
            .map(|(name, min, max)| Self { name: name.to_owned(), min, max, unit: AreaUnit::Px2 })
    }

    /// Reads a range; `None` when `text` is not a valid one.
    fn parse(text: &str) -> Option<Self> {
        let (name, limits) = text.split_once(':')?;
        let (limits, unit) = [("um2", AreaUnit::Um2), ("µm²", AreaUnit::Um2), ("px2", AreaUnit::Px2)]
            .into_iter()
            .find_map(|(end, unit)| Some((limits.trim().strip_suffix(end)?, unit)))?;
        let (min, max) = limits.split_once("..")?;
        let (min, max) = (limit(min, 0.0)?, limit(max, f64::MAX)?);
        let range = Self { name: name.trim().to_owned(), min, max, unit };
        let sound = !range.name.is_empty() && min >= 0.0 && min < max && max.is_finite();
        sound.then_some(range)
    }
}

/// A number, or `absent` for an empty text.
fn limit(text: &str, absent: f64) -> Option<f64> {
    match text.trim() {
        "" => Some(absent),
        text => text.parse().ok(),
    }
}

impl fmt::Display for AreaRange {
    /// Writes it in the form that [`AreaRange::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = if self.max < f64::MAX { self.max.to_string() } else { String::new() };
        write!(f, "{}:{}..{max}{}", self.name, self.min, self.unit)
    }
}

impl FromStr for AreaRange {
    type Err = EvalError;

    /// Reads `NAME:MIN..MAXum2` or `…px2`; a limit that is left out does not apply.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| EvalError::Setting {
            name: "an area range",
            found: format!("{text:?}"),
            expected: "NAME:MIN..MAX with um2 or px2 behind it, such as small:0..40um2 or large:80..um2",
        })
    }
}

/// Average precision, 0 to 1; `None` when there is nothing to find.
#[must_use]
pub fn average_precision(ranking: &Ranking, draw: &Draw) -> Option<f64> {
    let marks = ranking.marks().iter().map(|mark| (draw.times(mark.image), mark.hit));
    interpolated(marks, ranking.positives_in(draw))
}

/// Average precision from marks by falling score: the number of times each counts, and `true` if it is a hit.
pub(crate) fn interpolated(
    marks: impl DoubleEndedIterator<Item = (f64, bool)> + Clone,
    positives: f64,
) -> Option<f64> {
    if positives == 0.0 {
        return None;
    }
    let (mut hits, mut seen) = (0.0, 0.0);
    for (times, hit) in marks.clone() {
        seen += times;
        hits += if hit { times } else { 0.0 };
    }
    // Backwards, so the best precision at any higher recall is already known.
    // Recall index `next` is the highest that is still to be read.
    let (mut envelope, mut sum, mut next) = (0.0_f64, 0.0, 100_i32);
    for (times, hit) in marks.rev() {
        if times == 0.0 {
            continue;
        }
        // Precision only falls towards a false mark, so hits are where it peaks.
        let before = if hit { hits - times } else { hits };
        if hit {
            envelope = envelope.max(hits / (seen + f64::EPSILON));
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
    use super::*;
    use crate::ranking::Mark;

    fn ranking(hits: &[bool], positives: u32) -> Ranking {
        let mark = |(i, &hit): (usize, &bool)| Mark { score: 1.0 - i as f32 * 0.01, image: 0, hit };
        Ranking::new(hits.iter().enumerate().map(mark).collect(), vec![positives])
    }

    #[test]
    fn area_ranges_are_read_and_written() {
        for text in ["small:0..40um2", "large:80.5..um2", "medium:1024..9216px2"] {
            assert_eq!(text.parse::<AreaRange>().unwrap().to_string(), text);
        }
        assert_eq!(AreaRange::coco().map(|range| range.to_string())[2], "large:9216..px2");
        for text in ["small", "small:0..40", ":0..40um2", "a:40..0um2", "a:-1..2um2", "a:0-4um2", "a:x..4um2"]
        {
            assert!(text.parse::<AreaRange>().is_err(), "{text}");
        }
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
        let twice = average_precision(&drawn, &Draw::from_times(vec![2, 0]));
        let real = Ranking::new(marks(0).into_iter().chain(marks(1)).collect(), vec![3, 3]);
        assert_eq!(twice, average_precision(&real, &Draw::each_once(2)));
    }
}
