//! Semantic heads: the class of each place of a window, or of the window as a whole.
//!
//! | output | numbers |
//! | --- | --- |
//! | `[B, K, rows, columns]` | a score per map; the place is of the class whose map is the largest, the first of equals |
//! | `[B, rows, columns]` | the number of the class |
//! | `[B, K]` | a score per class of the whole window, a patch |
//!
//! Rows and columns may be fewer than the px of the window, by a whole factor that is the same for both.

use wsi_types::{ClassMap, ModelClass};

use crate::{
    Manifest, WindowFault,
    manifest::{Activation, Head, Semantic},
    yolo::{TensorView, all_finite, check_probability, sigmoid},
};

/// Rule that makes a class map of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MapRule {
    scores: Option<Activation>,
    /// Class of each map, or of each number; maps and numbers past the end are of none.
    classes: Vec<Option<ModelClass>>,
    least: f32,
    is_of_patches: bool,
}

impl MapRule {
    /// The rule of a model of class maps or patches; `None` for others.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        let semantic = manifest.semantic.as_ref()?;
        match manifest.head {
            Head::Semantic { scores } => Some(Self::new(semantic, scores)),
            Head::Patch { activation } => {
                Some(Self { is_of_patches: true, ..Self::new(semantic, Some(activation)) })
            }
            _ => None,
        }
    }

    fn new(semantic: &Semantic, scores: Option<Activation>) -> Self {
        let mut classes = vec![None; semantic.channels.iter().max().map_or(0, |last| last + 1)];
        for (class, &channel) in (0..).map(ModelClass).zip(&semantic.channels) {
            classes[channel] = Some(class);
        }
        Self { scores, classes, least: semantic.least_probability, is_of_patches: false }
    }

    /// The map of the window at `place`, which has `width` × `height` px.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when the answer has another shape or cannot be what the head promises.
    pub(crate) fn map(
        &self,
        output: &TensorView<'_>,
        place: usize,
        (width, height): (usize, usize),
    ) -> Result<ClassMap, WindowFault> {
        let (columns, classes) = match (self.scores, output.window(place)) {
            (Some(activation), Some((&[found], scores)))
                if self.is_of_patches && found >= self.classes.len() =>
            {
                let columns = places_of_patch(width.min(height));
                (columns, vec![self.largest(activation, scores, 1)?[0]; columns * columns])
            }
            (Some(activation), Some((&[maps, rows, columns], scores)))
                if !self.is_of_patches && maps >= self.classes.len() && rows * columns > 0 =>
            {
                (columns, self.largest(activation, scores, rows * columns)?)
            }
            (None, Some((&[_, columns], numbers))) => (columns, self.numbered(numbers)?),
            _ => return Err(self.shape_fault(output)),
        };
        let map = u32::try_from(columns).ok().and_then(|columns| ClassMap::from_places(columns, classes));
        let side = |px: usize| u32::try_from(px).unwrap_or(u32::MAX);
        map.filter(|map| map.px_per_place(side(width), side(height)).is_some()).ok_or_else(|| {
            let expected = format!("a map whose places are squares of whole px of the {width} × {height}");
            output.fault(expected)
        })
    }

    fn shape_fault(&self, output: &TensorView<'_>) -> WindowFault {
        output.fault(match self.scores {
            Some(_) if self.is_of_patches => format!("[batch, {} or more]", self.classes.len()),
            Some(_) => format!("[batch, {} or more, rows, columns]", self.classes.len()),
            None => "[batch, rows, columns]".to_owned(),
        })
    }

    /// The class of each of `size` places by the largest of its scores, map after map.
    fn largest(
        &self,
        activation: Activation,
        scores: &[f32],
        size: usize,
    ) -> Result<Vec<Option<ModelClass>>, WindowFault> {
        if !all_finite(scores) {
            return Err(WindowFault::NotFinite { part: "maps" });
        }
        if activation == Activation::None {
            scores.iter().try_for_each(|&score| check_probability(score))?;
        }
        let mut best = vec![(f32::NEG_INFINITY, 0_usize); size];
        for (map, scores) in scores.chunks_exact(size).enumerate() {
            for (best, &score) in best.iter_mut().zip(scores) {
                if score > best.0 {
                    *best = (score, map);
                }
            }
        }
        let of_places = best.into_iter().enumerate().map(|(place, (score, map))| {
            let class = self.classes.get(map).copied().flatten()?;
            let is_sure =
                self.least <= 0.0 || probability(activation, score, scores, place, size) > self.least;
            is_sure.then_some(class)
        });
        Ok(of_places.collect())
    }

    /// The class of each place by its number.
    fn numbered(&self, numbers: &[f32]) -> Result<Vec<Option<ModelClass>>, WindowFault> {
        numbers.iter().map(|&number| self.class_of(number)).collect()
    }

    fn class_of(&self, number: f32) -> Result<Option<ModelClass>, WindowFault> {
        if number >= 0.0 && number.is_finite() && number.fract() == 0.0 {
            Ok(self.classes.get(number as usize).copied().flatten())
        } else {
            Err(WindowFault::ClassNumber { number })
        }
    }
}

/// Places along a side of a patch: fine enough for the centres of overlapping windows to meet between them.
fn places_of_patch(side_px: usize) -> usize {
    [8, 4, 2].into_iter().find(|&places| side_px.is_multiple_of(places)).unwrap_or(1)
}

/// Probability of the largest score of a place.
fn probability(activation: Activation, largest: f32, scores: &[f32], place: usize, size: usize) -> f32 {
    match activation {
        Activation::None => largest,
        Activation::Sigmoid => sigmoid(largest),
        Activation::Softmax => {
            let of_place = scores.iter().skip(place).step_by(size);
            1.0 / of_place.map(|score| (score - largest).exp()).sum::<f32>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(scores: Option<Activation>, channels: &[usize], least: f32) -> MapRule {
        MapRule::new(&Semantic { channels: channels.to_vec(), least_probability: least }, scores)
    }

    fn classes(
        rule: &MapRule,
        shape: &[usize],
        data: &[f32],
        size: (usize, usize),
    ) -> Result<Vec<Option<u16>>, WindowFault> {
        let output = TensorView { name: "maps", shape, data };
        let map = rule.map(&output, shape[0] - 1, size)?;
        Ok(map.places().into_iter().map(|class| class.map(|class| class.0)).collect())
    }

    #[test]
    fn a_place_is_of_the_class_with_the_largest_score() {
        // Three maps of 2 × 1 places; map 1 is of no class. The second place has equal scores.
        let scores = [[1.0, 0.5], [0.2, 0.5], [3.0, 0.1]].concat();
        let of = |channels: &[usize]| {
            classes(&rule(Some(Activation::Softmax), channels, 0.0), &[1, 3, 1, 2], &scores, (4, 2)).unwrap()
        };
        assert_eq!(of(&[0, 2]), [Some(1), Some(0)]);
        assert_eq!(of(&[2, 1]), [Some(0), None]);
    }

    #[test]
    fn places_below_the_least_probability_are_of_no_class() {
        let scores = [[2.0, 0.1], [-1.0, 0.0]].concat();
        // Softmax: 0.953 and 0.525; sigmoid: 0.881 and 0.525.
        for (activation, least, expected) in [
            (Activation::Softmax, 0.5, [Some(0), Some(0)]),
            (Activation::Softmax, 0.6, [Some(0), None]),
            (Activation::Softmax, 0.96, [None, None]),
            (Activation::Sigmoid, 0.6, [Some(0), None]),
            (Activation::Sigmoid, 0.9, [None, None]),
        ] {
            let found = classes(&rule(Some(activation), &[0, 1], least), &[1, 2, 1, 2], &scores, (2, 1));
            assert_eq!(found.unwrap(), expected, "{activation} {least}");
        }
    }

    #[test]
    fn a_patch_is_of_its_largest_score_all_over() {
        let patch = MapRule { is_of_patches: true, ..rule(Some(Activation::Softmax), &[0, 2], 0.4) };
        let shape = [2, 3];
        let scores = [[9.0; 3], [1.0, 0.5, 3.0]].concat();
        assert_eq!(classes(&patch, &shape, &scores, (24, 24)).unwrap(), vec![Some(1); 64]);
        assert_eq!(classes(&patch, &shape, &scores, (30, 30)).unwrap(), vec![Some(1); 4]);
        assert_eq!(classes(&patch, &shape, &scores, (25, 25)).unwrap(), [Some(1)]);
        // The background is the largest, and no score is above 0.4.
        assert_eq!(classes(&patch, &[1, 3], &[0.0, 3.0, 0.0], (25, 25)).unwrap(), [None]);
        assert_eq!(classes(&patch, &[1, 3], &[0.1, 0.0, 0.0], (25, 25)).unwrap(), [None]);
        let fault = classes(&patch, &[1, 2], &[0.0; 2], (24, 24)).unwrap_err().to_string();
        assert!(fault.contains("expected [batch, 3 or more]"), "{fault}");
        assert!(classes(&patch, &[1, 3, 1, 1], &[0.0; 3], (24, 24)).is_err());
    }

    #[test]
    fn numbers_name_their_class_and_unnamed_ones_none() {
        let rule = rule(None, &[3, 1], 0.0);
        let shape = [2, 2, 2];
        let numbers = [[9.0; 4], [3.0, 1.0, 0.0, 200.0]].concat();
        assert_eq!(classes(&rule, &shape, &numbers, (2, 2)).unwrap(), [Some(0), Some(1), None, None]);
        for wrong in [-1.0, 0.5, f32::NAN, f32::INFINITY] {
            let fault = classes(&rule, &[1, 1, 1], &[wrong], (1, 1)).unwrap_err();
            assert!(fault.to_string().contains("class number"), "{fault}");
        }
    }

    #[test]
    fn what_is_no_map_of_the_window_is_a_fault() {
        let two = rule(Some(Activation::None), &[0, 1], 0.0);
        let said =
            |shape: &[usize], data: &[f32], size| classes(&two, shape, data, size).unwrap_err().to_string();
        assert!(
            said(&[1, 1, 2, 2], &[0.5; 4], (2, 2)).contains("expected [batch, 2 or more, rows, columns]")
        );
        assert!(said(&[1, 2, 2, 2], &[0.5; 8], (5, 5)).contains("squares of whole px of the 5 × 5"));
        assert!(said(&[1, 2, 1, 2], &[0.5; 4], (2, 2)).contains("squares of whole px"));
        assert_eq!(
            classes(&two, &[1, 2, 1, 1], &[0.5, 7.0], (1, 1)),
            Err(WindowFault::ScoreRange { score: 7.0 })
        );
        assert_eq!(
            classes(&two, &[1, 2, 1, 1], &[0.5, f32::NAN], (1, 1)),
            Err(WindowFault::NotFinite { part: "maps" })
        );
    }
}
