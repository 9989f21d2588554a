//! Panoptic quality (Kirillov et al., CVPR 2019), by the rules of `panopticapi`.
//!
//! A pair matches when its IoU is over 0.5 (not at it): then, where outlines do not overlap each other, at
//! most one pair per object can. Ignored areas are taken out of the union. A prediction that matches nothing
//! is not false if more than half of its area lies in ignore areas or crowds of its class. Pooled over
//! images, as the paper and CoNIC's mPQ+ do; the mean over images, which PanNuke's scripts report, stands
//! beside it.

use std::borrow::Cow;

use wsi_types::ClassId;

use crate::{
    matching::{Candidates, Classes, Outcome, Question, Scene, optimal},
    objects::{Object, Role},
    ranking::Draw,
};

/// Threshold just over half: above rounding errors, below the difference that one pixel makes.
const OVER_HALF: f64 = 0.5 + 1e-9;

/// Sums that one image adds to one class.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PanopticSums {
    /// Sum of the IoU of matched pairs.
    pub iou: f64,
    /// Matched pairs.
    pub hits: f64,
    /// Predictions that match nothing.
    pub false_marks: f64,
    /// Truth objects that match nothing.
    pub missed: f64,
}

impl PanopticSums {
    /// Sums over the images of a draw.
    #[must_use]
    pub fn over(per_image: &[Self], draw: &Draw) -> Self {
        let sum = |field: fn(&Self) -> f64| draw.sum(per_image.iter().map(field));
        Self {
            iou: sum(|s| s.iou),
            hits: sum(|s| s.hits),
            false_marks: sum(|s| s.false_marks),
            missed: sum(|s| s.missed),
        }
    }

    /// Segmentation quality: mean IoU of matched pairs.
    #[must_use]
    pub fn segmentation(&self) -> Option<f64> {
        (self.hits > 0.0).then(|| self.iou / self.hits)
    }

    /// Recognition quality: F1 of the matches.
    #[must_use]
    pub fn recognition(&self) -> Option<f64> {
        let whole = self.hits + (self.false_marks + self.missed) / 2.0;
        (whole > 0.0).then(|| self.hits / whole)
    }

    /// Panoptic quality, the product of both; `None` when there is neither
    /// truth nor prediction.
    #[must_use]
    pub fn quality(&self) -> Option<f64> {
        let whole = self.hits + (self.false_marks + self.missed) / 2.0;
        (whole > 0.0).then(|| self.iou / whole)
    }

    fn add(&mut self, other: &Self) {
        self.iou += other.iou;
        self.hits += other.hits;
        self.false_marks += other.false_marks;
        self.missed += other.missed;
    }
}

/// Sums of all classes together.
#[must_use]
pub fn pooled(classes: &[PanopticSums]) -> PanopticSums {
    let mut all = PanopticSums::default();
    classes.iter().for_each(|class| all.add(class));
    all
}

/// The mean of [`PanopticSums::quality`] over images that have one.
#[must_use]
pub fn mean_over_images(per_image: &[PanopticSums]) -> Option<f64> {
    let qualities: Vec<f64> = per_image.iter().filter_map(PanopticSums::quality).collect();
    (!qualities.is_empty()).then(|| qualities.iter().sum::<f64>() / qualities.len() as f64)
}

/// One image's sums, by class. `areas` gives the area of an object under the
/// criterion the candidates were found with, which must be an IoU of at most
/// 0.5. Only `asked` predictions take part (by place).
#[must_use]
pub fn panoptic_sums(
    scene: Scene<'_>,
    asked: &[bool],
    classes: usize,
    area: impl Fn(&Object) -> f64,
) -> Vec<PanopticSums> {
    let corrected = without_ignored_area(scene, asked, area);
    let scene = Scene { candidates: &corrected, ..scene };
    let ignored: Vec<bool> = scene.truth.iter().map(|t| t.role != Role::Object).collect();
    let question = Question { asked, ignored: &ignored, classes: Classes::Same };
    let outcomes = optimal(scene, question, OVER_HALF);
    let mut sums = vec![PanopticSums::default(); classes];
    let mut found = vec![false; scene.truth.len()];
    for (p, outcome) in (0..).zip(outcomes) {
        let class = scene.predictions[p as usize].class;
        let sums = &mut sums[usize::from(class.0)];
        match outcome {
            Outcome::Unasked => {}
            Outcome::Hit(t) => {
                found[t as usize] = true;
                sums.hits += 1.0;
                let pair = scene.candidates.of(p).iter().find(|c| c.truth == t);
                sums.iou += pair.map_or(0.0, |c| c.similarity);
            }
            _ if excused(scene, p, class) > 0.5 => {}
            _ => sums.false_marks += 1.0,
        }
    }
    for (truth, found) in scene.truth.iter().zip(found) {
        if truth.role == Role::Object && !found {
            sums[usize::from(truth.class.0)].missed += 1.0;
        }
    }
    sums
}

/// Share of a prediction inside ignore areas and crowds of its class.
fn excused(scene: Scene<'_>, p: u32, class: ClassId) -> f64 {
    (scene.candidates.of(p).iter())
        .filter(|c| excuses(&scene.truth[c.truth as usize], class))
        .map(|c| c.similarity)
        .sum()
}

/// `true` if a prediction of `class` on a truth object counts as neither right nor wrong.
fn excuses(truth: &Object, class: ClassId) -> bool {
    match truth.role {
        Role::Object => false,
        Role::Crowd => truth.class == class,
        Role::IgnoreArea => true,
    }
}

/// Candidates with the ignored part of each prediction left out of the union.
fn without_ignored_area<'a>(
    scene: Scene<'a>,
    asked: &[bool],
    area: impl Fn(&Object) -> f64,
) -> Cow<'a, Candidates> {
    if scene.truth.iter().all(|t| t.role != Role::IgnoreArea) {
        return Cow::Borrowed(scene.candidates);
    }
    let mut corrected = scene.candidates.clone();
    for (p, _) in (0..).zip(asked).filter(|(_, asked)| **asked) {
        let ignored: f64 = (scene.candidates.of(p).iter())
            .filter(|c| scene.truth[c.truth as usize].role == Role::IgnoreArea)
            .map(|c| c.similarity)
            .sum();
        if ignored == 0.0 {
            continue;
        }
        let own = area(&scene.predictions[p as usize]);
        for candidate in corrected.of_mut(p) {
            let truth = &scene.truth[candidate.truth as usize];
            if truth.role == Role::Object {
                let iou = candidate.similarity;
                let both = own + area(truth);
                let shared = iou / (1.0 + iou) * both;
                candidate.similarity = (shared / (both - shared - ignored * own)).min(1.0);
            }
        }
    }
    Cow::Owned(corrected)
}

#[cfg(test)]
mod tests {
    use wsi_types::Level0Box;

    use super::*;
    use crate::{
        matching::Criterion,
        objects::{Image, ImageId, Shape},
    };

    fn square(x: f64, side: f64, role: Role) -> Object {
        Object {
            id: 0,
            image: ImageId(0),
            class: ClassId(0),
            score: None,
            shape: Shape::Box(Level0Box::new(euclid::point2(x, 0.0), euclid::point2(x + side, side))),
            role,
        }
    }

    fn sums(predictions: &[Object], truth: &[Object]) -> PanopticSums {
        let criterion = Criterion::MaskIou(0.5);
        let candidates = Candidates::find(predictions, truth, criterion, &Image::named("i")).unwrap();
        let asked = vec![true; predictions.len()];
        let scene = Scene { predictions, truth, candidates: &candidates };
        panoptic_sums(scene, &asked, 1, |object| object.shape.area())[0]
    }

    #[test]
    fn an_iou_of_exactly_half_is_no_match() {
        let half = sums(&[square(0.0, 10.0, Role::Object)], &[square(0.0, 200.0_f64.sqrt(), Role::Object)]);
        assert_eq!(half.hits + half.false_marks, 1.0);
        let exact = Object {
            shape: Shape::Box(Level0Box::new(euclid::point2(0.0, 0.0), euclid::point2(20.0, 10.0))),
            ..square(0.0, 1.0, Role::Object)
        };
        let found = sums(&[square(0.0, 10.0, Role::Object)], &[exact]);
        assert_eq!((found.hits, found.false_marks, found.missed), (0.0, 1.0, 1.0));
        assert_eq!(found.quality(), Some(0.0));
    }

    #[test]
    fn what_reaches_into_an_ignored_area_is_judged_by_the_rest() {
        // The left 10 of the prediction's 25 px are the object, the right 15 ignored.
        let prediction = Object {
            shape: Shape::Box(Level0Box::new(euclid::point2(0.0, 0.0), euclid::point2(25.0, 10.0))),
            ..square(0.0, 1.0, Role::Object)
        };
        let truth = [square(0.0, 10.0, Role::Object), square(10.0, 100.0, Role::IgnoreArea)];
        let found = sums(&[prediction], &truth);
        assert_eq!((found.hits, found.missed), (1.0, 0.0));
        assert!((found.iou - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_prediction_mostly_in_an_ignored_area_is_not_false() {
        let found = sums(&[square(6.0, 10.0, Role::Object)], &[square(10.0, 50.0, Role::IgnoreArea)]);
        assert_eq!(found, PanopticSums::default());
        assert_eq!(found.quality(), None);
    }
}
