//! Predictions by falling score, each with its verdict at every IoU threshold of the evaluation: matched
//! once, sorted once.

use rayon::prelude::*;

use crate::{
    ap::{coco_ious, interpolated},
    matching::{Criterion, Verdict},
    ranking::{Draw, Mark, Ranking},
};

/// The thresholds of one evaluation: COCO's ten for an IoU, and the criterion's own.
#[derive(Debug, Clone)]
pub(crate) struct Rungs {
    /// On [`Candidate::similarity`](crate::matching::Candidate::similarity);
    /// COCO's first.
    pub thresholds: Vec<f64>,
    /// The place of the criterion's own.
    pub criterion: usize,
    /// Number of COCO's thresholds, which come first: ten, or none for a distance.
    pub coco: usize,
}

impl Rungs {
    pub fn new(criterion: Criterion) -> Self {
        let mut thresholds = if criterion.is_iou() { coco_ious().to_vec() } else { Vec::new() };
        let (coco, own) = (thresholds.len(), criterion.threshold());
        let known = thresholds.iter().position(|threshold| *threshold == own);
        let criterion = known.unwrap_or_else(|| {
            thresholds.push(own);
            coco
        });
        Self { thresholds, criterion, coco }
    }
}

/// One prediction of a [`Ladder`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub score: f32,
    pub image: u32,
    pub verdict: Verdict,
}

/// The predictions of one class that count on any rung, surest first.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    steps: Vec<Step>,
    /// Truth objects that count, by image.
    positives: Vec<u32>,
}

impl Ladder {
    pub fn new(steps: Vec<Step>, positives: Vec<u32>) -> Self {
        Self { steps, positives }
    }

    /// The marks of one rung.
    fn marks(&self, rung: usize) -> impl DoubleEndedIterator<Item = Mark> + Clone + '_ {
        let bit = 1 << rung;
        let counting = self.steps.iter().filter(move |step| step.verdict.ignored & bit == 0);
        counting.map(move |step| Mark {
            score: step.score,
            image: step.image,
            hit: step.verdict.hit & bit != 0,
        })
    }

    /// One rung as a list of its own.
    pub fn ranking(&self, rung: usize) -> Ranking {
        Ranking::from_sorted(self.marks(rung).collect(), self.positives.clone())
    }

    /// Average precision on each of the first `rungs` rungs.
    pub fn average_precisions(&self, rungs: usize, draw: &Draw) -> Vec<Option<f64>> {
        let positives = self.positives_in(draw);
        (0..rungs).into_par_iter().map(|rung| self.average_precision_of(rung, positives, draw)).collect()
    }

    pub fn average_precision(&self, rung: usize, draw: &Draw) -> Option<f64> {
        self.average_precision_of(rung, self.positives_in(draw), draw)
    }

    fn average_precision_of(&self, rung: usize, positives: f64, draw: &Draw) -> Option<f64> {
        let marks = self.marks(rung).map(|mark| (draw.times(mark.image), mark.hit));
        interpolated(marks, positives)
    }

    fn positives_in(&self, draw: &Draw) -> f64 {
        draw.sum(self.positives.iter().map(|&n| f64::from(n)))
    }

    /// Truth objects that count, over all images.
    pub fn positives(&self) -> u64 {
        self.positives.iter().map(|&n| u64::from(n)).sum()
    }
}
