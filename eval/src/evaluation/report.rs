//! The report: every figure, and its computation from a study.

use rayon::prelude::*;
use serde::Serialize;

use super::{
    figures::{FigureRow, Figures},
    settings::EvaluationSettings,
    sides::Sides,
    study::{Study, mean},
};
use crate::{
    agreement::{Confusion, CountAgreement, count_agreement},
    ap::AreaRange,
    bootstrap::estimates,
    calibration::{Calibration, calibration},
    froc::{self, FrocPoint},
    ladder::Ladder,
    matching::{Classes, Outcome},
    pq::{self, PanopticSums},
    pr::{self, Counts, OperatingPoint},
    ranking::Draw,
};

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Settings it was made with.
    pub settings: EvaluationSettings,
    /// Images looked at.
    pub images: usize,
    /// Their area in mm², when known for all of them.
    pub area_mm2: Option<f64>,
    /// One row per class, in the truth's order.
    pub classes: Vec<ClassReport>,
    /// All classes pooled (matches still need the same class).
    pub overall: ClassReport,
    /// Mean over classes of each figure; COCO's mAP is here.
    pub mean: Figures,
    /// Classes of pairs that were matched without regard to class.
    pub confusion: Confusion,
    /// Notes for the reader of the figures.
    pub notes: Vec<String>,
    /// Names of truth images that the predictions do not have. Names can identify
    /// patients: not part of the written report.
    #[serde(skip)]
    pub not_run: Vec<String>,
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// Its name; `all` for the pooled row.
    pub class: String,
    /// Truth objects that count.
    pub truth: u64,
    /// Predictions given, of any score, without the ignored ones.
    pub predictions: u64,
    /// The headline figures with intervals.
    pub figures: Figures,
    /// AP 0.5:0.95 by size.
    pub by_area: Vec<AreaReport>,
    /// Figures at the working threshold.
    pub working: OperatingPoint,
    /// Figures at the threshold of the best F1 of the curve.
    pub best: Option<OperatingPoint>,
    /// Precision and recall over thresholds.
    pub curve: Vec<OperatingPoint>,
    /// Sensitivity against false positives per image.
    pub froc_per_image: Vec<FrocPoint>,
    /// Sensitivity against false positives per mm².
    pub froc_per_mm2: Vec<FrocPoint>,
    /// Sensitivity at the rates in the settings.
    pub sensitivity_at: Vec<SensitivityAt>,
    /// Panoptic quality of outlines or boxes; none for distances.
    pub panoptic: Option<Panoptic>,
    /// Reliability of the scores.
    pub calibration: Calibration,
    /// The chance that a hit has a higher score than a false mark.
    pub score_auc: Option<f64>,
    /// Numbers of objects per image.
    pub counts: CountAgreement,
}

/// Average precision of objects of one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AreaReport {
    /// The range's name.
    pub name: String,
    /// Truth objects in it.
    pub truth: u64,
    /// AP 0.5:0.95, or at the distance.
    pub ap: Option<f64>,
}

/// Sensitivity at one false-positive rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SensitivityAt {
    /// False positives per unit.
    pub rate: f64,
    /// `image` or `mm2`.
    pub per: &'static str,
    /// Share of truth objects found; `None` when there are none.
    pub sensitivity: Option<f64>,
}

/// Panoptic quality at the working threshold, pooled over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Panoptic {
    /// Pairs with IoU over 0.5.
    pub hits: f64,
    /// Predictions without a pair.
    pub false_marks: f64,
    /// Truth objects without a pair.
    pub missed: f64,
    /// Mean over images instead of pooled.
    pub mean_over_images: Option<f64>,
}

impl Evaluation {
    /// Every figure of every class in long form.
    #[must_use]
    pub fn rows(&self) -> Vec<FigureRow> {
        let named = self.classes.iter().chain([&self.overall]).map(|r| (r.class.as_str(), &r.figures));
        (named.chain([("mean", &self.mean)]))
            .flat_map(|(class, figures)| {
                let labelled = Figures::LABELS.iter().zip(figures.values());
                labelled.filter_map(move |(label, estimate)| Some(FigureRow::new(class, label, estimate?)))
            })
            .collect()
    }
}

impl Study<'_> {
    pub(super) fn report(&self, sides: &Sides) -> Evaluation {
        let values = estimates(self.images, self.settings.bootstrap, |draw| self.figures(draw));
        let width = Figures::LABELS.len();
        let figures: Vec<Figures> = values.chunks(width).map(Figures::from_values).collect();
        let classes = self.names.len();
        let ranges = &self.settings.area_ranges;
        let by_area: Vec<(&AreaRange, Vec<Ladder>)> =
            ranges.iter().map(|range| (range, self.ladders(Some(range)))).collect();
        Evaluation {
            settings: self.settings.clone(),
            images: self.images.len(),
            area_mm2: self.areas_mm2.as_ref().map(|areas| areas.iter().sum()),
            classes: (0..classes)
                .into_par_iter()
                .map(|class| self.class_report(class, figures[class].clone(), &by_area))
                .collect(),
            overall: self.class_report(classes, figures[classes].clone(), &by_area),
            mean: figures[classes + 1].clone(),
            confusion: self.confusion(),
            notes: sides.notes.clone(),
            not_run: sides.not_run.clone(),
        }
    }

    fn class_report(
        &self,
        class: usize,
        figures: Figures,
        by_area: &[(&AreaRange, Vec<Ladder>)],
    ) -> ClassReport {
        let once = Draw::each_once(self.images.len());
        let ranking = &self.rankings[class];
        let curve = pr::curve(ranking, &once);
        let per_image = froc::curve(ranking, &once, once.total());
        let per_mm2 = self.drawn_area(&once).map(|mm2| froc::curve(ranking, &once, mm2)).unwrap_or_default();
        let thin = self.settings.curve_points;
        ClassReport {
            class: self.names.get(class).map_or("all", String::as_str).to_owned(),
            truth: ranking.positives_in(&once) as u64,
            predictions: ranking.marks().len() as u64,
            figures,
            by_area: by_area
                .iter()
                .map(|(range, found)| self.area_report(range, &found[class], &once))
                .collect(),
            working: OperatingPoint::new(self.settings.min_score, self.drawn_counts(class, &once)),
            best: pr::best(&curve),
            sensitivity_at: self.sensitivities(&per_image, &per_mm2),
            curve: pr::thinned(&curve, thin),
            froc_per_image: pr::thinned(&per_image, thin),
            froc_per_mm2: pr::thinned(&per_mm2, thin),
            panoptic: self.panoptic.get(class).map(|sums| panoptic_report(sums, &once)),
            calibration: calibration(ranking, self.settings.calibration_bins),
            score_auc: pr::score_auc(ranking, &once),
            counts: count_agreement(self.counts[class].iter().map(count_pair).collect()),
        }
    }

    fn area_report(&self, range: &AreaRange, found: &Ladder, once: &Draw) -> AreaReport {
        let rungs = match self.rungs.coco {
            0 => self.rungs.criterion..self.rungs.criterion + 1,
            coco => 0..coco,
        };
        AreaReport {
            name: range.name.clone(),
            truth: found.positives(),
            ap: mean(rungs.filter_map(|rung| found.average_precision(rung, once))),
        }
    }

    fn sensitivities(&self, per_image: &[FrocPoint], per_mm2: &[FrocPoint]) -> Vec<SensitivityAt> {
        let read = |curve: &[FrocPoint], rate: f64, per: &'static str| SensitivityAt {
            rate,
            per,
            sensitivity: (!curve.is_empty())
                .then(|| froc::sensitivity_at(curve, rate, self.settings.froc_reading)),
        };
        let images = self.settings.rates_per_image.iter().map(|&rate| read(per_image, rate, "image"));
        let areas = self.settings.rates_per_mm2.iter().map(|&rate| read(per_mm2, rate, "mm2"));
        images.chain(areas).collect()
    }

    fn confusion(&self) -> Confusion {
        let mut confusion = Confusion::new(self.names.clone());
        for work in &self.works {
            let outcomes = self.assign(work, Classes::Any);
            let mut found = vec![false; work.truth.len()];
            for (prediction, outcome) in work.predictions.iter().zip(outcomes) {
                let class = usize::from(prediction.class.0);
                match outcome {
                    Outcome::Hit(t) => {
                        found[t as usize] = true;
                        confusion.pairs[usize::from(work.truth[t as usize].class.0)][class] += 1;
                    }
                    Outcome::False => confusion.false_marks[class] += 1,
                    Outcome::Ignored | Outcome::Unasked => {}
                }
            }
            for ((truth, ignored), found) in work.truth.iter().zip(&work.ignored).zip(found) {
                if !ignored && !found {
                    confusion.missed[usize::from(truth.class.0)] += 1;
                }
            }
        }
        confusion.finish();
        confusion
    }
}

fn panoptic_report(per_image: &[PanopticSums], once: &Draw) -> Panoptic {
    let sums = PanopticSums::over(per_image, once);
    Panoptic {
        hits: sums.hits,
        false_marks: sums.false_marks,
        missed: sums.missed,
        mean_over_images: pq::mean_over_images(per_image),
    }
}

fn count_pair(counts: &Counts) -> (u32, u32) {
    ((counts.hits + counts.missed) as u32, (counts.hits + counts.false_marks) as u32)
}
