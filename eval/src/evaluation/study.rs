//! Matches of all predictions and truth, before figures are computed from them.

use rayon::prelude::*;
use wsi_types::{ClassId, wording::counted};

use super::{
    figures::{Drawn, Figures},
    settings::{Assignment, EvaluationSettings},
    sides::Sides,
};
use crate::{
    EvalError,
    ap::{AreaRange, AreaUnit},
    error::Result,
    froc,
    ladder::{Ladder, Rungs, Step},
    matching::{
        Candidates, Classes, Criterion, Outcome, Question, Scene, Verdict, by_falling_score, greedy,
        greedy_at, optimal,
    },
    objects::{Image, Object, Role, Shape, counted_area_mm2},
    pq::{self, PanopticSums, panoptic_sums},
    pr::Counts,
    ranking::{Draw, Ranking},
};

/// One image, both sides, ready to be matched at any threshold.
pub(super) struct Work<'a> {
    image: &'a Image,
    pub(super) predictions: &'a [Object],
    pub(super) truth: &'a [Object],
    candidates: Candidates,
    /// Predictions within the cap.
    asked: Vec<bool>,
    /// Those of them at the working threshold.
    working: Vec<bool>,
    /// Truth objects that do not count.
    pub(super) ignored: Vec<bool>,
}

impl Work<'_> {
    fn scene(&self) -> Scene<'_> {
        Scene { predictions: self.predictions, truth: self.truth, candidates: &self.candidates }
    }

    /// Truth objects that count, by class.
    fn positives(&self, classes: usize, ignored: &[bool]) -> Vec<u32> {
        let mut counts = vec![0; classes];
        for (truth, _) in self.truth.iter().zip(ignored).filter(|(_, ignored)| !**ignored) {
            counts[usize::from(truth.class.0)] += 1;
        }
        counts
    }
}

/// Matches of all predictions and truth, before figures are computed from them.
pub(super) struct Study<'a> {
    pub(super) settings: &'a EvaluationSettings,
    pub(super) images: &'a [Image],
    pub(super) names: Vec<String>,
    pub(super) works: Vec<Work<'a>>,
    pub(super) areas_mm2: Option<Vec<f64>>,
    pub(super) rungs: Rungs,
    /// All predictions that take part, as (image, place there), surest first; equal scores by image, then in
    /// file order.
    order: Vec<(u32, u32)>,
    /// By class, pooled last.
    ladders: Vec<Ladder>,
    /// The ladders' rung of the criterion.
    pub(super) rankings: Vec<Ranking>,
    /// At the working threshold: by class (pooled last), by image.
    pub(super) counts: Vec<Vec<Counts>>,
    /// By class (pooled last), by image; empty for distances.
    pub(super) panoptic: Vec<Vec<PanopticSums>>,
}

impl<'a> Study<'a> {
    pub(super) fn new(sides: &'a Sides, settings: &'a EvaluationSettings) -> Result<Self> {
        let Sides { truth, predictions, .. } = sides;
        let names: Vec<String> = predictions.classes.iter().map(|class| class.name.clone()).collect();
        let works = (truth.images.par_iter())
            .zip(truth.per_image())
            .zip(predictions.per_image())
            .map(|((image, truth), predictions)| prepare(image, truth, predictions, settings, names.len()))
            .collect::<Result<Vec<_>>>()?;
        let areas_mm2 = works.iter().map(|work| counted_area_mm2(work.image, work.truth)).collect();
        let mut study = Self {
            settings,
            images: &truth.images,
            names,
            works,
            areas_mm2,
            rungs: Rungs::new(settings.criterion),
            order: Vec::new(),
            ladders: Vec::new(),
            rankings: Vec::new(),
            counts: Vec::new(),
            panoptic: Vec::new(),
        };
        study.order = by_score(&study.works);
        study.ladders = study.ladders(None);
        study.rankings = study.ladders.iter().map(|l| l.ranking(study.rungs.criterion)).collect();
        study.counts = study.working_counts();
        study.panoptic = study.panoptic_sums();
        Ok(study)
    }

    /// By class, pooled last; truth and predictions of some sizes only.
    pub(super) fn ladders(&self, area: Option<&AreaRange>) -> Vec<Ladder> {
        let judged: Vec<(Vec<Verdict>, Vec<u32>)> =
            self.works.par_iter().map(|work| self.judge(work, area)).collect();
        let pooled = self.names.len();
        let mut steps: Vec<Vec<Step>> = vec![Vec::new(); pooled + 1];
        for &(image, p) in &self.order {
            let verdict = judged[image as usize].0[p as usize];
            if verdict.ignored != u16::MAX {
                let prediction = &self.works[image as usize].predictions[p as usize];
                let step = Step { score: prediction.score_or_one(), image, verdict };
                steps[usize::from(prediction.class.0)].push(step);
                steps[pooled].push(step);
            }
        }
        let positives = by_class(judged.iter().map(|(_, n)| n.clone()).collect(), pooled, |n| n.iter().sum());
        steps.into_iter().zip(positives).map(|(steps, positives)| Ladder::new(steps, positives)).collect()
    }

    /// The verdict on each prediction on every rung, and the number of truth objects that count by class.
    fn judge(&self, work: &Work<'_>, area: Option<&AreaRange>) -> (Vec<Verdict>, Vec<u32>) {
        let ignored: Vec<bool> = (work.truth.iter().zip(&work.ignored))
            .map(|(t, &ignored)| ignored || self.is_outside(t, work.image, area))
            .collect();
        let question = Question { asked: &work.asked, ignored: &ignored, classes: Classes::Same };
        let mut verdicts = greedy_at(work.scene(), question, &self.rungs.thresholds);
        for (verdict, p) in verdicts.iter_mut().zip(work.predictions) {
            if self.is_outside(p, work.image, area) {
                verdict.ignored = !verdict.hit;
            }
        }
        let positives = work.positives(self.names.len(), &ignored);
        (verdicts, positives)
    }

    /// `true` if the object lies outside of `area`; `false` without a range.
    fn is_outside(&self, object: &Object, image: &Image, area: Option<&AreaRange>) -> bool {
        area.is_some_and(|range| !within(object, image, range, self.settings))
    }

    fn working_counts(&self) -> Vec<Vec<Counts>> {
        let per_image: Vec<Vec<Counts>> = self.works.par_iter().map(|work| self.counts_of(work)).collect();
        by_class(per_image, self.names.len(), |counts| Counts {
            hits: counts.iter().map(|c| c.hits).sum(),
            false_marks: counts.iter().map(|c| c.false_marks).sum(),
            missed: counts.iter().map(|c| c.missed).sum(),
        })
    }

    fn counts_of(&self, work: &Work<'_>) -> Vec<Counts> {
        let positives = work.positives(self.names.len(), &work.ignored);
        let mut counts: Vec<Counts> =
            positives.into_iter().map(|n| Counts { missed: f64::from(n), ..Counts::default() }).collect();
        let outcomes = self.assign(work, Classes::Same);
        for (prediction, outcome) in work.predictions.iter().zip(outcomes) {
            let counts = &mut counts[usize::from(prediction.class.0)];
            match outcome {
                Outcome::Hit(_) => {
                    counts.hits += 1.0;
                    counts.missed -= 1.0;
                }
                Outcome::False => counts.false_marks += 1.0,
                Outcome::Ignored | Outcome::Unasked => {}
            }
        }
        counts
    }

    /// Pairs at the working threshold, by the rule of the settings.
    pub(super) fn assign(&self, work: &Work<'_>, classes: Classes) -> Vec<Outcome> {
        let rule = match self.settings.assignment {
            Assignment::Optimal => optimal,
            Assignment::Greedy => greedy,
        };
        let question = Question { asked: &work.working, ignored: &work.ignored, classes };
        rule(work.scene(), question, self.settings.criterion.threshold())
    }

    fn panoptic_sums(&self) -> Vec<Vec<PanopticSums>> {
        if !self.settings.criterion.is_iou() {
            return Vec::new();
        }
        let per_image = (self.works.par_iter())
            .map(|work| {
                panoptic_sums(work.scene(), &work.working, self.names.len(), |object| {
                    area_px2(object, self.settings.criterion)
                })
            })
            .collect();
        by_class(per_image, self.names.len(), pq::pooled)
    }

    /// All figures of one draw: classes, pooled, mean over classes.
    pub(super) fn figures(&self, draw: &Draw) -> Vec<Option<f64>> {
        let classes = (0..=self.names.len()).into_par_iter();
        let rows: Vec<Vec<Option<f64>>> =
            classes.map(|class| self.class_figures(class, draw).into_values()).collect();
        let named = &rows[..self.names.len()];
        let means: Vec<Option<f64>> = (0..Figures::LABELS.len())
            .map(|figure| mean(named.iter().filter_map(|row| row[figure])))
            .collect();
        rows.into_iter().chain([means]).flatten().collect()
    }

    fn class_figures(&self, class: usize, draw: &Draw) -> Drawn {
        let ranking = &self.rankings[class];
        let aps = self.ladders[class].average_precisions(self.rungs.thresholds.len(), draw);
        let coco = &aps[..self.rungs.coco];
        let counts = self.drawn_counts(class, draw);
        let panoptic = self.panoptic.get(class).map(|sums| PanopticSums::over(sums, draw));
        let froc = |units: f64, rates: &[f64]| {
            let curve = froc::curve_for(ranking, draw, units, rates);
            froc::mean_sensitivity(&curve, rates, self.settings.froc_reading)
        };
        let truth = counts.hits + counts.missed;
        Drawn {
            ap: aps[self.rungs.criterion],
            ap50: coco.first().copied().flatten(),
            ap50_95: mean(coco.iter().copied().flatten()),
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            froc_per_image: froc(draw.total(), &self.settings.rates_per_image),
            froc_per_mm2: self.drawn_area(draw).and_then(|mm2| froc(mm2, &self.settings.rates_per_mm2)),
            pq: panoptic.and_then(|sums| sums.quality()),
            sq: panoptic.and_then(|sums| sums.segmentation()),
            rq: panoptic.and_then(|sums| sums.recognition()),
            count_error: (truth > 0.0).then(|| (counts.false_marks - counts.missed) / truth),
        }
    }

    pub(super) fn drawn_counts(&self, class: usize, draw: &Draw) -> Counts {
        let sum = |field: fn(&Counts) -> f64| draw.sum(self.counts[class].iter().map(field));
        Counts { hits: sum(|c| c.hits), false_marks: sum(|c| c.false_marks), missed: sum(|c| c.missed) }
    }

    pub(super) fn drawn_area(&self, draw: &Draw) -> Option<f64> {
        self.areas_mm2.as_ref().map(|areas| draw.sum(areas.iter().copied()))
    }
}

fn prepare<'a>(
    image: &'a Image,
    truth: &'a [Object],
    predictions: &'a [Object],
    settings: &EvaluationSettings,
    classes: usize,
) -> Result<Work<'a>> {
    if settings.area_ranges.iter().any(|range| range.unit == AreaUnit::Um2) && image.mpp.is_none() {
        return Err(EvalError::NoMpp { image: image.name.clone() });
    }
    if !settings.area_ranges.is_empty() {
        refuse_points(predictions.iter().chain(truth))?;
    }
    let lowest = settings.criterion.with_iou(settings.criterion.threshold().min(0.5));
    let candidates = Candidates::find(predictions, truth, lowest, image)?;
    let asked = within_cap(predictions, settings.max_predictions, classes);
    let working = (predictions.iter().zip(&asked))
        .map(|(p, asked)| *asked && p.score_or_one() >= settings.min_score)
        .collect();
    let ignored = truth.iter().map(|t| t.role != Role::Object).collect();
    Ok(Work { image, predictions, truth, candidates, asked, working, ignored })
}

/// Refuses points: they have no area, so they would be in no range of areas, or all in the one from 0 on.
fn refuse_points<'a>(objects: impl Iterator<Item = &'a Object>) -> Result<()> {
    match objects.filter(|object| matches!(object.shape, Shape::Point(_))).count() {
        0 => Ok(()),
        points => Err(EvalError::Setting {
            name: "an area range",
            found: format!("asked of {}", counted(points, "point")),
            expected: "objects that have an area",
        }),
    }
}

/// The surest `most` of each class.
fn within_cap(predictions: &[Object], most: Option<usize>, classes: usize) -> Vec<bool> {
    let mut within = vec![true; predictions.len()];
    let Some(most) = most else { return within };
    let mut seen = vec![0; classes];
    for p in by_falling_score(predictions) {
        let ClassId(class) = predictions[p as usize].class;
        seen[usize::from(class)] += 1;
        within[p as usize] = seen[usize::from(class)] <= most;
    }
    within
}

/// All predictions that take part, as (image, place there), surest first; equal scores by image, then in file
/// order.
fn by_score(works: &[Work<'_>]) -> Vec<(u32, u32)> {
    let mut keys: Vec<(u32, u32, u32)> = Vec::new();
    for (work, image) in works.iter().zip(0..) {
        let asked = work.predictions.iter().zip(0..).zip(&work.asked).filter(|(_, asked)| **asked);
        keys.extend(asked.map(|((prediction, p), _)| (falling(prediction.score_or_one()), image, p)));
    }
    keys.par_sort_unstable();
    keys.into_iter().map(|(_, image, p)| (image, p)).collect()
}

/// A number that falls as [`f32::total_cmp`] rises.
fn falling(score: f32) -> u32 {
    let bits = score.to_bits();
    if bits >> 31 == 0 { !bits ^ (1 << 31) } else { bits }
}

fn within(object: &Object, image: &Image, range: &AreaRange, settings: &EvaluationSettings) -> bool {
    let scale = match range.unit {
        AreaUnit::Um2 => image.mpp.map_or(f64::NAN, wsi_types::Mpp::get),
        AreaUnit::Px2 => 1.0,
    };
    let area = area_px2(object, settings.criterion) * scale * scale;
    area >= range.min && area <= range.max
}

fn area_px2(object: &Object, criterion: Criterion) -> f64 {
    match criterion {
        Criterion::BoxIou(_) => object.shape.bounds().area(),
        Criterion::MaskIou(_) | Criterion::DistanceUm(_) => object.shape.area(),
    }
}

/// Turns rows of images into rows of classes, with a pooled one at the end.
fn by_class<T: Copy>(per_image: Vec<Vec<T>>, classes: usize, pool: impl Fn(&[T]) -> T) -> Vec<Vec<T>> {
    let mut rows: Vec<Vec<T>> =
        (0..classes).map(|class| per_image.iter().map(|image| image[class]).collect()).collect();
    rows.push(per_image.iter().map(|image| pool(image)).collect());
    rows
}

pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}
