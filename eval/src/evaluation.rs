//! Everything at once: predictions against truth, one report.

use std::io::{self, Write};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wsi_types::ClassId;

use crate::{
    EvalError,
    agreement::{Confusion, CountAgreement, count_agreement},
    ap::{AreaRange, AreaUnit},
    bootstrap::{BootstrapSettings, Estimate, estimates},
    calibration::{Calibration, calibration},
    error::Result,
    froc::{self, FrocPoint, Reading},
    ladder::{Ladder, Rungs, Step},
    matching::{
        Candidates, Classes, Criterion, Outcome, Question, Scene, Verdict, by_falling_score, greedy,
        greedy_at, optimal,
    },
    objects::{Image, ImageId, Object, ObjectSet, Role, Shape, align, counted_area_mm2},
    pq::{self, PanopticSums, panoptic_sums},
    pr::{self, Counts, OperatingPoint},
    qupath,
    ranking::{Draw, Ranking},
    table::{Cell, Table},
    truth::UNNAMED_CLASS,
};

/// What is asked of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationSettings {
    /// When a prediction is near enough to be an object.
    pub criterion: Criterion,
    /// The working threshold: predictions of at least this score are what a
    /// user would see. Curves and AP use all predictions given.
    pub min_score: f32,
    /// How predictions at the working threshold are paired with truth. AP, PR
    /// and FROC curves are greedy by definition.
    pub assignment: Assignment,
    /// At most this many predictions per image and class, the surest first.
    /// `None`, the default, counts them all.
    pub max_predictions: Option<usize>,
    /// AP of objects of some sizes only. Needs areas (with a distance, read with
    /// [`Detail::Full`](crate::objects::Detail::Full)), and in µm² pixel sizes.
    pub area_ranges: Vec<AreaRange>,
    /// False-positive rates per image at which sensitivity is told.
    pub rates_per_image: Vec<f64>,
    /// False-positive rates per mm² at which sensitivity is told.
    pub rates_per_mm2: Vec<f64>,
    /// How sensitivity is read between thresholds.
    pub froc_reading: Reading,
    /// Bins of the reliability diagram.
    pub calibration_bins: usize,
    /// Truth objects within so many px of the image's border are cut by it and
    /// treated as [`Role::Crowd`]. `None` counts them all.
    pub border_px: Option<f64>,
    /// Intervals; `None` for none.
    pub bootstrap: Option<BootstrapSettings>,
    /// At most so many points per curve in the report.
    pub curve_points: usize,
    /// What to do with predictions on images that the truth does not have.
    pub unknown_images: UnknownImages,
    /// All classes are one. Happens by itself, with a note, when one side knows
    /// no classes.
    pub ignore_classes: bool,
}

impl Default for EvaluationSettings {
    fn default() -> Self {
        Self {
            criterion: Criterion::BoxIou(0.5),
            min_score: 0.5,
            assignment: Assignment::Optimal,
            max_predictions: None,
            area_ranges: Vec::new(),
            rates_per_image: froc::RATES.to_vec(),
            rates_per_mm2: froc::RATES.to_vec(),
            froc_reading: Reading::Attainable,
            calibration_bins: 10,
            border_px: None,
            bootstrap: Some(BootstrapSettings::default()),
            curve_points: 512,
            unknown_images: UnknownImages::Refuse,
            ignore_classes: false,
        }
    }
}

/// How pairs are made at the working threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assignment {
    /// As many pairs as possible, then the closest.
    #[default]
    Optimal,
    /// The surest prediction chooses first.
    Greedy,
}

/// What to do with predictions on images that the truth does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownImages {
    /// Say so and stop: they may be all false, or merely not annotated.
    #[default]
    Refuse,
    /// Leave them out, with a note.
    Skip,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// What was asked.
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
    /// Classes of pairs matched whatever their classes.
    pub confusion: Confusion,
    /// What the reader of the figures should know.
    pub notes: Vec<String>,
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// Its name; `all` for the pooled row.
    pub class: String,
    /// Truth objects that count.
    pub truth: u64,
    /// Predictions given, whatever their score, less the ignored ones.
    pub predictions: u64,
    /// The headline figures with intervals.
    pub figures: Figures,
    /// AP 0.5:0.95 by size.
    pub by_area: Vec<AreaReport>,
    /// At the working threshold.
    pub working: OperatingPoint,
    /// At the threshold of the best F1 of the curve.
    pub best: Option<OperatingPoint>,
    /// Precision and recall over thresholds.
    pub curve: Vec<OperatingPoint>,
    /// Sensitivity against false positives per image.
    pub froc_per_image: Vec<FrocPoint>,
    /// Sensitivity against false positives per mm².
    pub froc_per_mm2: Vec<FrocPoint>,
    /// Sensitivity at the rates asked for.
    pub sensitivity_at: Vec<SensitivityAt>,
    /// Panoptic quality of outlines or boxes; none for distances.
    pub panoptic: Option<Panoptic>,
    /// Do scores mean what they say?
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

macro_rules! figures {
    ($($(#[$doc:meta])* $field:ident = $label:literal,)*) => {
        /// The headline figures. Absent where there is nothing to judge.
        #[derive(Debug, Clone, PartialEq, Default, Serialize)]
        pub struct Figures {
            $($(#[$doc])* pub $field: Option<Estimate>,)*
        }

        impl Figures {
            /// Labels, in the order of [`Figures::values`].
            pub const LABELS: &[&str] = &[$($label),*];

            /// All figures in order.
            #[must_use]
            pub fn values(&self) -> Vec<Option<Estimate>> {
                vec![$(self.$field),*]
            }

            fn from_values(values: &[Option<Estimate>]) -> Self {
                let mut values = values.iter().copied();
                Self { $($field: values.next().flatten(),)* }
            }
        }

        /// The same for one draw of images.
        #[derive(Default)]
        struct Drawn { $($field: Option<f64>,)* }

        impl Drawn {
            fn into_values(self) -> Vec<Option<f64>> {
                vec![$(self.$field),*]
            }
        }
    };
}

figures! {
    /// Average precision at the criterion asked for.
    ap = "AP",
    /// Average precision at IoU 0.5; absent for distances.
    ap50 = "AP50",
    /// Mean of average precision at IoU 0.5, 0.55, … 0.95; absent for distances.
    ap50_95 = "AP50:95",
    /// Share of predictions at the working threshold that are right.
    precision = "precision",
    /// Share of truth objects found at the working threshold.
    recall = "recall",
    /// Harmonic mean of both.
    f1 = "F1",
    /// Mean sensitivity at the stated rates per image.
    froc_per_image = "FROC/image",
    /// Mean sensitivity at the stated rates per mm².
    froc_per_mm2 = "FROC/mm2",
    /// Panoptic quality.
    pq = "PQ",
    /// Segmentation quality: mean IoU of matched pairs.
    sq = "SQ",
    /// Recognition quality: F1 at IoU over 0.5.
    rq = "RQ",
    /// (predicted − truth) / truth.
    count_error = "count error",
}

/// One figure of one class, for a table in long form (Parquet, CSV).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureRow {
    /// The class; `all` pooled, `mean` over classes.
    pub class: String,
    /// Its label in [`Figures::LABELS`].
    pub figure: &'static str,
    /// The figure.
    pub value: f64,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
}

/// Judges `predictions` by `truth`.
///
/// Images and classes are brought together by [`align`]. Images in the truth
/// without predictions count as looked at and empty.
///
/// # Errors
///
/// [`EvalError::ImagesWithoutTruth`] unless they may be skipped;
/// [`EvalError::NoMpp`] and [`EvalError::PointsHaveNoArea`] when the criterion
/// asks for what the objects do not have; [`EvalError::Empty`] without images;
/// [`EvalError::Setting`].
pub fn evaluate(
    mut truth: ObjectSet,
    predictions: ObjectSet,
    settings: &EvaluationSettings,
) -> Result<Evaluation> {
    let mut notes = Vec::new();
    let predictions = bring_together(&mut truth, predictions, settings, &mut notes)?;
    let study = Study::new(&truth, &predictions, settings)?;
    Ok(study.report(notes))
}

/// Both sides on the same images and classes, with what excuses predictions
/// marked as such.
fn bring_together(
    truth: &mut ObjectSet,
    mut predictions: ObjectSet,
    settings: &EvaluationSettings,
    notes: &mut Vec<String>,
) -> Result<ObjectSet> {
    check(settings)?;
    notes.extend(notes_on(&predictions));
    one_class_where_classes_are_unknown(truth, &mut predictions, settings, notes);
    let aligned = align(truth, predictions)?;
    refuse_or_note(&aligned.unknown_images, settings, notes)?;
    if truth.images.is_empty() {
        return Err(EvalError::Empty("there is no image to evaluate"));
    }
    if let Some(border) = settings.border_px {
        excuse_cut_objects(truth, border, notes);
    }
    Ok(aligned.set)
}

/// What went wrong at the working threshold, object by object.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistakes {
    /// The truth's images and classes, brought together with the predictions';
    /// [`Object::image`] and [`Object::class`] below refer to them.
    pub truth: ObjectSet,
    /// Predictions that are nothing.
    pub false_marks: Vec<Object>,
    /// Truth objects that no prediction is.
    pub missed: Vec<Object>,
}

/// The objects behind the figures: for failure pictures and hard negatives.
///
/// # Errors
///
/// As [`evaluate`].
pub fn mistakes(
    mut truth: ObjectSet,
    predictions: ObjectSet,
    settings: &EvaluationSettings,
) -> Result<Mistakes> {
    let predictions = bring_together(&mut truth, predictions, settings, &mut Vec::new())?;
    let study = Study::new(&truth, &predictions, settings)?;
    let (mut false_marks, mut missed) = (Vec::new(), Vec::new());
    for work in &study.works {
        let outcomes = study.assign(work, Classes::Same);
        let mut found = work.ignored.clone();
        for (prediction, outcome) in work.predictions.iter().zip(outcomes) {
            match outcome {
                Outcome::Hit(t) => found[t as usize] = true,
                Outcome::False => false_marks.push(prediction.clone()),
                Outcome::Ignored | Outcome::Unasked => {}
            }
        }
        missed.extend(work.truth.iter().zip(found).filter(|(_, found)| !found).map(|(t, _)| t.clone()));
    }
    drop(study);
    Ok(Mistakes { truth, false_marks, missed })
}

impl Mistakes {
    /// Writes the mistakes on one image as GeoJSON that QuPath opens: classes
    /// `False: …` and `Missed: …`, with the score of what is false.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_geojson(&self, image: ImageId, out: &mut impl Write) -> io::Result<()> {
        let of_image = |objects: &[Object], kind, colour| {
            let own = objects.iter().filter(move |object| object.image == image);
            own.map(move |object| self.feature(object, kind, colour)).collect::<Vec<_>>()
        };
        let false_marks = of_image(&self.false_marks, "False", [213, 94, 0]);
        let missed = of_image(&self.missed, "Missed", [0, 114, 178]);
        qupath::write_collection(false_marks.into_iter().chain(missed), out)
    }

    fn feature(&self, object: &Object, kind: &str, colour: [u8; 3]) -> Value {
        let class = format!("{kind}: {}", self.truth.class_name(object.class));
        let score = object.score.map_or_else(|| json!({}), |score| json!({ "Detection probability": score }));
        json!({
            "type": "Feature",
            "id": qupath::uuid(&self.truth.image_of(object).name, &class, object),
            "geometry": qupath::geometry(&object.shape),
            "properties": {
                "objectType": "detection",
                "classification": { "name": class, "color": colour },
                "measurements": score,
            },
        })
    }
}

fn check(settings: &EvaluationSettings) -> Result<()> {
    let bad = |name, found: String, expected| Err(EvalError::Setting { name, found, expected });
    if settings.min_score.is_nan() {
        return bad("min_score", settings.min_score.to_string(), "a number");
    }
    if let Some(bootstrap) = settings.bootstrap
        && !(bootstrap.level > 0.0 && bootstrap.level < 1.0)
    {
        return bad("bootstrap.level", bootstrap.level.to_string(), "between 0 and 1");
    }
    if settings.calibration_bins == 0 {
        return bad("calibration_bins", "0".to_owned(), "at least 1");
    }
    Ok(())
}

fn notes_on(predictions: &ObjectSet) -> Vec<String> {
    let unscored = predictions.objects.iter().filter(|object| object.score.is_none()).count();
    let mut notes = Vec::new();
    if unscored > 0 {
        notes.push(format!(
            "{unscored} predictions have no score and count as 1: AP and FROC are single points for them"
        ));
    }
    notes
}

fn one_class_where_classes_are_unknown(
    truth: &mut ObjectSet,
    predictions: &mut ObjectSet,
    settings: &EvaluationSettings,
    notes: &mut Vec<String>,
) {
    let unclassed = |set: &ObjectSet| set.is_unclassed() && !set.objects.is_empty();
    let (of_truth, of_predictions) = (unclassed(truth), unclassed(predictions));
    if of_truth != of_predictions {
        let side = if of_truth { "truth" } else { "prediction" };
        notes.push(format!("the {side} knows no classes, so all classes were taken for one"));
    }
    if settings.ignore_classes || of_truth != of_predictions {
        truth.merge_classes(UNNAMED_CLASS);
        predictions.merge_classes(UNNAMED_CLASS);
    }
}

fn refuse_or_note(unknown: &[String], settings: &EvaluationSettings, notes: &mut Vec<String>) -> Result<()> {
    let Some(first) = unknown.first() else { return Ok(()) };
    if settings.unknown_images == UnknownImages::Refuse {
        return Err(EvalError::ImagesWithoutTruth { count: unknown.len(), first: first.clone() });
    }
    notes.push(format!("{} images have predictions and no truth; they were left out", unknown.len()));
    Ok(())
}

/// Truth objects at the border become crowds, as COCO treats what it cannot
/// count.
fn excuse_cut_objects(truth: &mut ObjectSet, border: f64, notes: &mut Vec<String>) {
    let unsized_images = truth.images.iter().filter(|image| image.size.is_none()).count();
    if unsized_images > 0 {
        notes.push(format!(
            "the size of {unsized_images} images is not known: objects cut by their border count"
        ));
    }
    let mut cut = 0_usize;
    for object in &mut truth.objects {
        let Some((width, height)) = truth.images[object.image.0 as usize].size else { continue };
        let bounds = object.shape.bounds();
        let inner = bounds.min.x >= border
            && bounds.min.y >= border
            && bounds.max.x <= width - border
            && bounds.max.y <= height - border;
        if !inner && object.role == Role::Object {
            object.role = Role::Crowd;
            cut += 1;
        }
    }
    notes.push(format!("{cut} truth objects lie within {border} px of a border and only excuse predictions"));
}

/// One image, both sides, ready to be matched at any threshold.
struct Work<'a> {
    image: &'a Image,
    predictions: &'a [Object],
    truth: &'a [Object],
    candidates: Candidates,
    /// Predictions within the cap.
    asked: Vec<bool>,
    /// Those of them at the working threshold.
    working: Vec<bool>,
    /// Truth objects that do not count.
    ignored: Vec<bool>,
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

/// Everything matched, before figures are drawn from it.
struct Study<'a> {
    settings: &'a EvaluationSettings,
    images: &'a [Image],
    names: Vec<String>,
    works: Vec<Work<'a>>,
    areas_mm2: Option<Vec<f64>>,
    rungs: Rungs,
    /// All predictions asked about as (image, place there), surest first; equal
    /// scores by image, then in file order.
    order: Vec<(u32, u32)>,
    /// By class, pooled last.
    ladders: Vec<Ladder>,
    /// The ladders' rung of the criterion.
    rankings: Vec<Ranking>,
    /// At the working threshold: by class (pooled last), by image.
    counts: Vec<Vec<Counts>>,
    /// By class (pooled last), by image; empty for distances.
    panoptic: Vec<Vec<PanopticSums>>,
}

impl<'a> Study<'a> {
    fn new(
        truth: &'a ObjectSet,
        predictions: &'a ObjectSet,
        settings: &'a EvaluationSettings,
    ) -> Result<Self> {
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
            rungs: Rungs::of(settings.criterion),
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
    fn ladders(&self, area: Option<&AreaRange>) -> Vec<Ladder> {
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

    /// What became of each prediction on every rung, and the number of truth
    /// objects that count by class.
    fn judge(&self, work: &Work<'_>, area: Option<&AreaRange>) -> (Vec<Verdict>, Vec<u32>) {
        let outside =
            |object: &Object| area.is_some_and(|range| !within(object, work.image, range, self.settings));
        let ignored: Vec<bool> =
            work.truth.iter().zip(&work.ignored).map(|(t, &ignored)| ignored || outside(t)).collect();
        let question = Question { asked: &work.asked, ignored: &ignored, classes: Classes::Same };
        let mut verdicts = greedy_at(work.scene(), question, &self.rungs.thresholds);
        let out_of_range = verdicts.iter_mut().zip(work.predictions).filter(|(_, p)| outside(p));
        out_of_range.for_each(|(verdict, _)| verdict.ignored = !verdict.hit);
        let positives = work.positives(self.names.len(), &ignored);
        (verdicts, positives)
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
        let missed = |n| Counts { missed: f64::from(n), ..Counts::default() };
        let mut counts: Vec<Counts> = positives.into_iter().map(missed).collect();
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

    /// Pairs at the working threshold, by the rule asked for.
    fn assign(&self, work: &Work<'_>, classes: Classes) -> Vec<Outcome> {
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
        let area = |object: &Object| area_px2(object, self.settings.criterion);
        let per_image = (self.works.par_iter())
            .map(|work| panoptic_sums(work.scene(), &work.working, self.names.len(), area))
            .collect();
        by_class(per_image, self.names.len(), pq::pooled)
    }

    fn report(&self, notes: Vec<String>) -> Evaluation {
        let values = estimates(self.images, self.settings.bootstrap, |draw| self.figures(draw));
        let width = Figures::LABELS.len();
        let figures = |row: usize| Figures::from_values(&values[row * width..][..width]);
        let classes = self.names.len();
        let ranges = &self.settings.area_ranges;
        let by_area: Vec<(&AreaRange, Vec<Ladder>)> =
            ranges.iter().map(|range| (range, self.ladders(Some(range)))).collect();
        let report = |class: usize| self.class_report(class, figures(class), &by_area);
        Evaluation {
            settings: self.settings.clone(),
            images: self.images.len(),
            area_mm2: self.areas_mm2.as_ref().map(|areas| areas.iter().sum()),
            classes: (0..classes).into_par_iter().map(report).collect(),
            overall: report(classes),
            mean: figures(classes + 1),
            confusion: self.confusion(),
            notes,
        }
    }

    /// All figures of one draw: classes, pooled, mean over classes.
    fn figures(&self, draw: &Draw) -> Vec<Option<f64>> {
        let row = |class: usize| self.class_figures(class, draw).into_values();
        let rows: Vec<Vec<Option<f64>>> = (0..=self.names.len()).into_par_iter().map(row).collect();
        let mean = |figure: usize| mean(rows[..self.names.len()].iter().filter_map(|row| row[figure]));
        let means: Vec<Option<f64>> = (0..Figures::LABELS.len()).map(mean).collect();
        rows.into_iter().chain([means]).flatten().collect()
    }

    fn class_figures(&self, class: usize, draw: &Draw) -> Drawn {
        let ranking = &self.rankings[class];
        let ladder = &self.ladders[class];
        let aps: Vec<Option<f64>> = (0..self.rungs.thresholds.len())
            .into_par_iter()
            .map(|rung| ladder.average_precision(rung, draw))
            .collect();
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

    fn drawn_counts(&self, class: usize, draw: &Draw) -> Counts {
        let sum = |field: fn(&Counts) -> f64| draw.sum(self.counts[class].iter().map(field));
        Counts { hits: sum(|c| c.hits), false_marks: sum(|c| c.false_marks), missed: sum(|c| c.missed) }
    }

    fn drawn_area(&self, draw: &Draw) -> Option<f64> {
        self.areas_mm2.as_ref().map(|areas| draw.sum(areas.iter().copied()))
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
    let sure = |(p, asked): (&Object, &bool)| *asked && p.score_or_one() >= settings.min_score;
    let working = predictions.iter().zip(&asked).map(sure).collect();
    let ignored = truth.iter().map(|t| t.role != Role::Object).collect();
    Ok(Work { image, predictions, truth, candidates, asked, working, ignored })
}

/// Points are in no range of areas, or all in the one from 0 on.
fn refuse_points<'a>(objects: impl Iterator<Item = &'a Object>) -> Result<()> {
    match objects.filter(|object| matches!(object.shape, Shape::Point(_))).count() {
        0 => Ok(()),
        points => Err(EvalError::Setting {
            name: "an area range",
            found: format!("asked of {points} points"),
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

/// All predictions asked about as (image, place there), surest first; equal
/// scores by image, then in file order.
fn by_score(works: &[Work<'_>]) -> Vec<(u32, u32)> {
    let mut keys: Vec<(u32, u32, u32)> = Vec::new();
    for (work, image) in works.iter().zip(0..) {
        let asked = work.predictions.iter().zip(0..).zip(&work.asked).filter(|(_, asked)| **asked);
        keys.extend(asked.map(|((prediction, p), _)| (falling(prediction.score_or_one()), image, p)));
    }
    keys.par_sort_unstable();
    keys.into_iter().map(|(_, image, p)| (image, p)).collect()
}

/// A number that falls where [`f32::total_cmp`] rises.
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

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

impl Evaluation {
    /// Every figure of every class in long form.
    #[must_use]
    pub fn rows(&self) -> Vec<FigureRow> {
        let row = |class: &str, label: &'static str, estimate: Estimate| FigureRow {
            class: class.to_owned(),
            figure: label,
            value: estimate.value,
            low: estimate.interval.map(|(low, _)| low),
            high: estimate.interval.map(|(_, high)| high),
        };
        let named = self.classes.iter().chain([&self.overall]).map(|r| (r.class.as_str(), &r.figures));
        (named.chain([("mean", &self.mean)]))
            .flat_map(|(class, figures)| {
                let labelled = Figures::LABELS.iter().zip(figures.values());
                labelled.filter_map(move |(label, estimate)| Some(row(class, label, estimate?)))
            })
            .collect()
    }
}

impl std::fmt::Display for Evaluation {
    /// The table for people: a row per figure that exists, a column per class.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let images = crate::table::images(self.images);
        let area = self.area_mm2.map(|mm2| format!(", {mm2:.3} mm²")).unwrap_or_default();
        let scores = match self.settings.min_score {
            least if least > 0.0 => format!("scores from {least}"),
            _ => "all predictions given".to_owned(),
        };
        writeln!(f, "{images}{area}; matched by {}; {scores}\n", self.settings.criterion)?;
        self.figure_table().fmt(f)?;
        if self.classes.len() > 1 {
            writeln!(f, "\nmatched whatever their classes, truth down, predicted across\n")?;
            self.confusion.fmt(f)?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl Evaluation {
    /// Classes, then all pooled, then the mean over classes; one class is its
    /// own pool and mean.
    fn figure_table(&self) -> Table {
        let mut reports: Vec<&ClassReport> = self.classes.iter().collect();
        let several = self.classes.len() != 1;
        if several {
            reports.push(&self.overall);
        }
        let mut header = vec![Cell::left("")];
        header.extend(reports.iter().map(|report| Cell::right(report.class.as_str())));
        header.extend(several.then(|| Cell::right("mean of classes")));
        let mut table = Table::new(header);
        let mut row = |label: &str, of: &dyn Fn(&ClassReport) -> String, mean: String| {
            let cells: Vec<String> = reports.iter().map(|report| of(report)).collect();
            if cells.iter().chain([&mean]).any(|cell| !cell.is_empty()) {
                let numbers = cells.into_iter().chain(several.then_some(mean)).map(Cell::right);
                table.push([Cell::left(label)].into_iter().chain(numbers).collect());
            }
        };
        let none = String::new;
        row("truth", &|r| r.truth.to_string(), none());
        row("predicted", &|r| r.counts.predicted.to_string(), none());
        for (place, label) in Figures::LABELS.iter().enumerate() {
            let mean = shown(self.mean.values()[place]);
            row(label, &|r| shown(r.figures.values()[place]), mean);
        }
        for (place, range) in self.settings.area_ranges.iter().enumerate() {
            row(&format!("AP {}", range.name), &|r| number(r.by_area[place].ap), none());
            row(&format!("  truth {}", range.name), &|r| r.by_area[place].truth.to_string(), none());
        }
        row("best F1", &|r| number(r.best.and_then(|best| best.f1)), none());
        row("  at score", &|r| number(r.best.map(|best| f64::from(best.threshold))), none());
        row("score AUC", &|r| number(r.score_auc), none());
        row("calibration error", &|r| number(r.calibration.ece), none());
        row("count bias/image", &|r| signed(r.counts.bias.filter(|_| r.counts.limits.is_some())), none());
        row("  95 % limits", &|r| r.counts.limits.map_or_else(String::new, limits), none());
        table
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}

fn signed(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:+.1}"))
}

fn limits((low, high): (f64, f64)) -> String {
    format!("{low:+.1} to {high:+.1}")
}

fn shown(estimate: Option<Estimate>) -> String {
    let Some(Estimate { value, interval }) = estimate else { return String::new() };
    match interval {
        Some(interval) => format!("{value:.3} ({})", span(interval)),
        None => format!("{value:.3}"),
    }
}

/// An interval in words that no minus sign can be mistaken in.
#[must_use]
pub fn span((low, high): (f64, f64)) -> String {
    if low < 0.0 { format!("{low:.3} to {high:.3}") } else { format!("{low:.3}–{high:.3}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use wsi_types::{Level0Box, Mpp};

    use super::*;
    /// Two images of 1000 px at 1 µm/px, two classes, boxes of 10 px.
    fn truth() -> ObjectSet {
        let mut set = ObjectSet::default();
        for name in ["a", "b"] {
            let id = set.image_named(name);
            let image = &mut set.images[id.0 as usize];
            image.size = Some((1000.0, 1000.0));
            image.mpp = Mpp::new(1.0).ok();
        }
        set.class_named("tumour").unwrap();
        set.class_named("stroma").unwrap();
        set.objects = (0..10).map(|i| object(i, (i % 2) as u32, (i / 5) as u16, None)).collect();
        set
    }

    fn object(i: u64, image: u32, class: u16, score: Option<f32>) -> Object {
        let min = euclid::point2(i as f64 * 50.0 + 20.0, 20.0);
        let shape = Shape::Box(Level0Box::new(min, min + euclid::vec2(10.0, 10.0)));
        Object { id: i, image: ImageId(image), class: ClassId(class), score, shape, role: Role::Object }
    }

    fn scored(mut set: ObjectSet, score: f32) -> ObjectSet {
        set.objects.iter_mut().for_each(|object| object.score = Some(score));
        set
    }

    #[test]
    fn truth_against_itself_is_perfect() {
        for criterion in [Criterion::BoxIou(0.5), Criterion::MaskIou(0.75), Criterion::DistanceUm(3.0)] {
            let settings = EvaluationSettings { criterion, ..EvaluationSettings::default() };
            let found = evaluate(truth(), scored(truth(), 1.0), &settings).unwrap();
            for row in found.rows() {
                let expected = if row.figure == "count error" { 0.0 } else { 1.0 };
                assert!((row.value - expected).abs() < 1e-12, "{criterion}: {row:?}");
            }
            assert_eq!(found.confusion.kappa, Some(1.0));
            assert_eq!(found.area_mm2, Some(2.0));
            assert!(found.notes.is_empty());
        }
    }

    #[test]
    fn a_swapped_class_is_confusion_and_not_a_miss_there() {
        let mut predictions = scored(truth(), 0.9);
        predictions.objects[0].class = ClassId(1);
        let found = evaluate(truth(), predictions, &EvaluationSettings::default()).unwrap();
        assert_eq!(found.confusion.pairs, [vec![4, 1], vec![0, 5]]);
        assert_eq!(
            (found.confusion.missed.clone(), found.confusion.false_marks.clone()),
            (vec![0, 0], vec![0, 0])
        );
        assert_eq!(found.classes[0].working.counts.missed, 1.0);
        assert_eq!(found.classes[1].working.counts.false_marks, 1.0);
        let counts: Vec<_> = found.classes.iter().map(|c| (c.counts.truth, c.counts.predicted)).collect();
        assert_eq!(counts, [(5, 4), (5, 6)]);
    }

    #[test]
    fn predictions_below_the_working_threshold_shape_curves_only() {
        let mut predictions = scored(truth(), 0.9);
        predictions.objects[9].score = Some(0.2);
        let found = evaluate(truth(), predictions, &EvaluationSettings::default()).unwrap();
        assert_eq!(found.overall.working.counts.hits, 9.0);
        assert!((found.overall.figures.ap.unwrap().value - 1.0).abs() < 1e-12);
        assert_eq!(found.overall.best.unwrap().threshold, 0.2);
    }

    #[test]
    fn objects_at_the_border_excuse_but_do_not_count() {
        let mut truth = truth();
        truth.objects[0].shape =
            Shape::Box(Level0Box::new(euclid::point2(-5.0, 20.0), euclid::point2(10.0, 30.0)));
        let predictions = scored(truth.clone(), 0.9);
        let settings = EvaluationSettings { border_px: Some(1.0), ..EvaluationSettings::default() };
        let found = evaluate(truth.clone(), predictions, &settings).unwrap();
        assert_eq!((found.overall.truth, found.overall.working.counts.hits), (9, 9.0));
        let nothing = ObjectSet { objects: Vec::new(), ..truth.clone() };
        let found = evaluate(truth, nothing, &settings).unwrap();
        assert_eq!(found.overall.working.counts.missed, 9.0);
    }

    #[test]
    fn predictions_on_unknown_images_are_refused_or_noted() {
        let mut predictions = scored(truth(), 0.9);
        predictions.images[1].name = "c".to_owned();
        let mut settings = EvaluationSettings::default();
        let refused = evaluate(truth(), predictions.clone(), &settings);
        assert!(matches!(refused, Err(EvalError::ImagesWithoutTruth { count: 1, .. })));
        settings.unknown_images = UnknownImages::Skip;
        let found = evaluate(truth(), predictions, &settings).unwrap();
        assert_eq!(found.overall.working.counts.missed, 5.0);
        assert_eq!(found.notes.len(), 1);
    }

    #[test]
    fn classes_unknown_to_one_side_are_no_disagreement() {
        let mut bare = truth();
        bare.merge_classes(UNNAMED_CLASS);
        let found = evaluate(bare, scored(truth(), 0.9), &EvaluationSettings::default()).unwrap();
        assert_eq!((found.classes.len(), found.overall.working.counts.hits), (1, 10.0));
        assert_eq!(found.notes, ["the truth knows no classes, so all classes were taken for one"]);
    }

    #[test]
    fn mistakes_are_listed_object_by_object() {
        let mut predictions = scored(truth(), 0.9);
        predictions.objects.remove(3);
        let stray = Object { shape: object(30, 0, 0, None).shape, ..predictions.objects[0].clone() };
        predictions.objects.push(Object { id: 77, ..stray });
        let found = mistakes(truth(), predictions, &EvaluationSettings::default()).unwrap();
        assert_eq!(found.missed.iter().map(|o| o.id).collect::<Vec<_>>(), [3]);
        assert_eq!(found.false_marks.iter().map(|o| o.id).collect::<Vec<_>>(), [77]);
        let mut text = Vec::new();
        found.write_geojson(found.missed[0].image, &mut text).unwrap();
        let text: Value = serde_json::from_slice(&text).unwrap();
        let features = text["features"].as_array().unwrap();
        let classes: Vec<_> = features.iter().map(|f| &f["properties"]["classification"]["name"]).collect();
        assert_eq!(classes, ["Missed: tumour"]);
    }

    #[test]
    fn a_cap_keeps_the_surest_of_each_class() {
        let settings = EvaluationSettings { max_predictions: Some(1), ..EvaluationSettings::default() };
        let found = evaluate(truth(), scored(truth(), 0.9), &settings).unwrap();
        // Two images, two classes: one each.
        assert_eq!(found.overall.working.counts.hits, 4.0);
    }

    #[test]
    fn areas_in_px_need_no_scale_and_points_have_none() {
        let mut truth = truth();
        truth.images.iter_mut().for_each(|image| image.mpp = None);
        truth.objects[0].shape =
            Shape::Box(Level0Box::new(euclid::point2(20.0, 20.0), euclid::point2(60.0, 60.0)));
        let settings =
            EvaluationSettings { area_ranges: AreaRange::coco().to_vec(), ..EvaluationSettings::default() };
        let found = evaluate(truth.clone(), scored(truth.clone(), 0.9), &settings).unwrap();
        let percent = |ap: f64| (ap * 100.0).round();
        let sized: Vec<_> =
            found.overall.by_area.iter().map(|area| (area.truth, area.ap.map(percent))).collect();
        assert_eq!(sized, [(9, Some(100.0)), (1, Some(100.0)), (0, None)]);
        assert!(found.to_string().contains("AP medium"));
        let dot = Shape::Point(euclid::point2(1.0, 1.0));
        truth.objects.iter_mut().for_each(|object| object.shape = dot.clone());
        let refused = evaluate(
            truth.clone(),
            truth,
            &EvaluationSettings { criterion: Criterion::DistanceUm(1.0), ..settings },
        );
        assert!(matches!(refused, Err(EvalError::Setting { name: "an area range", .. })));
    }

    #[test]
    fn the_table_names_classes_figures_and_intervals() {
        let shown =
            evaluate(truth(), scored(truth(), 0.9), &EvaluationSettings::default()).unwrap().to_string();
        for part in ["tumour", "stroma", "all", "mean", "AP50:95", "1.000 (1.000–1.000)", "best F1", "0.900"]
        {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
    }
}
