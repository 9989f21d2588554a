//! Our figures against pycocotools, scikit-learn, SciPy and plain references.
//!
//! Runs `tests/python/eval_reference.py` with the interpreter that
//! `SLIDEMILL_TEST_PYTHON` names, or that of `.venv-test`; skips, visibly, where
//! there is none or where it lacks the packages.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use eval::{
    EvaluationSettings,
    agreement::{cohen_kappa, fleiss_kappa},
    ap::{AreaRange, AreaUnit, average_precision, coco_ious},
    calibration::calibration,
    consensus::dbscan,
    evaluate,
    evaluation::AbsentImages,
    froc::{self, Reading},
    matching::{Candidates, Classes, Criterion, Outcome, Question, Scene, optimal},
    objects::{Detail, Image, ImageId, Object, ObjectSet, Role, Shape},
    pr,
    ranking::{Draw, Mark, Ranking},
    training_set::balanced_weights,
    truth::{self, ReadSettings},
};
use rand_pcg::{Pcg64, rand_core::Rng};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use wsi_types::{ClassId, Level0Box, Mpp};

const CLOSE: f64 = 1e-6;

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() < CLOSE
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn python() -> Option<PathBuf> {
    let in_venv = if cfg!(windows) { ".venv-test/Scripts/python.exe" } else { ".venv-test/bin/python" };
    let given = std::env::var_os("SLIDEMILL_TEST_PYTHON").map(PathBuf::from);
    Some(given.unwrap_or_else(|| root().join(in_venv))).filter(|path| path.exists())
}

/// The output of the script; made once for all tests here.
fn references() -> Option<&'static Value> {
    static REFERENCES: OnceLock<Option<Value>> = OnceLock::new();
    REFERENCES.get_or_init(make_references).as_ref()
}

fn make_references() -> Option<Value> {
    let Some(python) = python() else {
        eprintln!("skipped: .venv-test is absent and SLIDEMILL_TEST_PYTHON names no interpreter");
        return None;
    };
    let packages = ["-c", "import numpy, pycocotools, scipy, sklearn"];
    if !Command::new(&python).args(packages).output().unwrap().status.success() {
        eprintln!("skipped: the test interpreter lacks numpy, pycocotools, scipy or scikit-learn");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = root().join("tests/python/eval_reference.py");
    let ran = Command::new(&python).arg(script).arg("--out").arg(folder.path()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = fs::read_to_string(folder.path().join("eval.json")).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// The cases of one kind; none without a reference.
fn cases<T: DeserializeOwned>(kind: &str) -> Vec<T> {
    let Some(references) = references() else { return Vec::new() };
    let cases: Vec<T> = serde_json::from_value(references[kind].clone()).unwrap();
    assert!(!cases.is_empty());
    cases
}

#[derive(Deserialize)]
struct CocoCase {
    masks: bool,
    max_predictions: Option<usize>,
    truth: Value,
    results: Value,
    ious: Vec<f64>,
    /// class × area × IoU
    ap: Vec<Vec<Vec<Option<f64>>>>,
}

fn read_json(value: &Value, detail: Detail) -> ObjectSet {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coco.json");
    fs::write(&path, value.to_string()).unwrap();
    let mpp = Some(Mpp::new(1.0).unwrap());
    truth::read(&path, &ReadSettings { detail, mpp, ..ReadSettings::default() }).unwrap().set
}

#[test]
fn average_precision_is_that_of_pycocotools() {
    for (number, case) in cases::<CocoCase>("coco").into_iter().enumerate() {
        assert_same_as_coco(&case, &format!("case {number}"));
    }
}

/// Boxes of the annotated nuclei of thirteen real images, and the same moved,
/// dropped and invented by a seeded hand.
#[test]
fn average_precision_of_real_nuclei_is_that_of_pycocotools() {
    let nuclei = root().join("../shared/nuclei/tnbc/dev");
    if !nuclei.exists() {
        eprintln!("skipped: ../shared/nuclei is absent");
        return;
    }
    if references().is_none() {
        return;
    }
    let labels =
        truth::read(&nuclei, &ReadSettings { detail: Detail::Boxes, ..ReadSettings::default() }).unwrap().set;
    assert_eq!((labels.images.len(), labels.objects.len()), (13, 925));
    let folder = tempfile::tempdir().unwrap();
    let [known, found] = ["truth.json", "results.json"].map(|name| folder.path().join(name));
    fs::write(&known, coco_truth(&labels).to_string()).unwrap();
    fs::write(&found, coco_results(&labels).to_string()).unwrap();
    assert_same_as_coco(&judged_by_pycocotools(&known, &found), "tnbc dev");
}

/// Result lists know categories by their numbers only; and files with fields as
/// pandas and other tools write them.
#[test]
fn files_from_the_field_are_judged_as_pycocotools_judges_them() {
    let cases = root().join("../shared/cases/annotations");
    if !cases.exists() {
        eprintln!("skipped: ../shared/cases is absent");
        return;
    }
    if references().is_none() {
        return;
    }
    for (known, found) in [
        ("e00_truth.json", "pred_coco.json"),
        ("e19_truth_two_classes.json", "e19_results.json"),
        ("e16_zero_width_bbox.json", "pred_coco.json"),
    ] {
        let case = judged_by_pycocotools(&cases.join(known), &cases.join(found));
        assert_same_as_coco(&case, known);
    }
}

/// The figures that pycocotools gives for two files of boxes.
fn judged_by_pycocotools(known: &Path, found: &Path) -> CocoCase {
    let folder = tempfile::tempdir().unwrap();
    let script = root().join("tests/python/eval_reference.py");
    let mut judge = Command::new(python().unwrap());
    judge.arg(script).arg("--out").arg(folder.path()).arg("--coco").args([known, found]);
    let ran = judge.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_str(&fs::read_to_string(folder.path().join("coco.json")).unwrap()).unwrap()
}

fn coco_truth(labels: &ObjectSet) -> Value {
    let images = labels.images.iter().enumerate().map(|(id, image)| {
        let (width, height) = image.size.unwrap();
        json!({"id": id, "file_name": image.name, "width": width, "height": height})
    });
    let annotations = labels.objects.iter().enumerate().map(|(id, object)| {
        let bounds = object.shape.bounds();
        json!({"id": id + 1, "image_id": object.image.0, "category_id": 1, "iscrowd": 0, "area": bounds.area(),
               "bbox": [bounds.min.x, bounds.min.y, bounds.width(), bounds.height()]})
    });
    json!({"images": images.collect::<Vec<_>>(), "annotations": annotations.collect::<Vec<_>>(),
           "categories": [{"id": 1, "name": "nucleus"}]})
}

fn coco_results(labels: &ObjectSet) -> Value {
    let mut random = Pcg64::new(5, 5);
    let mut up_to = |n: u32| f64::from(random.next_u32() % n);
    let mut results = Vec::new();
    for object in &labels.objects {
        let bounds = object.shape.bounds();
        for _ in 0..[1, 1, 1, 0, 2][up_to(5) as usize] {
            let corner = [bounds.min.x + up_to(9) - 4.0, bounds.min.y + up_to(9) - 4.0];
            let size = [bounds.width() + up_to(5), bounds.height() + up_to(5)];
            let score = up_to(65) / 64.0;
            results.push(json!({"image_id": object.image.0, "category_id": 1, "score": score,
                                "bbox": [corner[0], corner[1], size[0], size[1]]}));
        }
    }
    Value::Array(results)
}

fn assert_same_as_coco(case: &CocoCase, name: &str) {
    assert_eq!(case.ious, coco_ious());
    let criterion = if case.masks { Criterion::MaskIou(0.5) } else { Criterion::BoxIou(0.5) };
    let areas = [("small", 0.0, 1024.0), ("medium", 1024.0, 9216.0), ("large", 9216.0, 1e10)];
    let area_ranges = areas
        .map(|(name, min, max)| AreaRange { name: name.to_owned(), min, max, unit: AreaUnit::Um2 })
        .to_vec();
    let settings = EvaluationSettings {
        criterion,
        area_ranges,
        max_predictions: case.max_predictions,
        absent_images: AbsentImages::Missed,
        bootstrap: None,
        ..EvaluationSettings::default()
    };
    let truth = read_json(&case.truth, criterion.detail());
    let results = read_json(&case.results, criterion.detail());
    let found = evaluate(truth, results, &settings).unwrap();
    assert_eq!(found.classes.len(), case.ap.len());
    for (report, theirs) in found.classes.iter().zip(&case.ap) {
        let at = format!("{name}, class {}", report.class);
        let mean = |ious: &[Option<f64>]| {
            let known: Vec<f64> = ious.iter().flatten().copied().collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let ours = |estimate: Option<eval::bootstrap::Estimate>| estimate.map(|e| e.value);
        assert_same(ours(report.figures.ap50), theirs[0][0], &at);
        assert_same(ours(report.figures.ap50_95), mean(&theirs[0]), &at);
        for (area, theirs) in report.by_area.iter().zip(&theirs[1..]) {
            assert_same(area.ap, mean(theirs), &format!("{at}, {}", area.name));
        }
    }
}

fn assert_same(ours: Option<f64>, theirs: Option<f64>, at: &str) {
    let same = match (ours, theirs) {
        (Some(ours), Some(theirs)) => close(ours, theirs),
        (ours, theirs) => ours == theirs,
    };
    assert!(same, "{at}: {ours:?}, expected {theirs:?}");
}

#[derive(Deserialize)]
struct RankingCase {
    scores: Vec<f32>,
    hits: Vec<u8>,
    thresholds: Vec<f32>,
    precision: Vec<f64>,
    recall: Vec<f64>,
    auc: f64,
    hit_rate: Vec<f64>,
    mean_score: Vec<f64>,
    brier: f64,
}

fn ranking(scores: &[f32], hits: impl Iterator<Item = bool>, positives: Vec<u32>) -> Ranking {
    let mark = |(&score, hit): (&f32, bool)| Mark { score, image: 0, hit };
    Ranking::new(scores.iter().zip(hits).map(mark).collect(), positives)
}

#[test]
fn curves_areas_and_bins_are_those_of_scikit_learn() {
    for case in cases::<RankingCase>("ranking") {
        let found = case.hits.iter().filter(|hit| **hit == 1).count() as u32;
        let ranking = ranking(&case.scores, case.hits.iter().map(|hit| *hit == 1), vec![found]);
        let once = Draw::each_once(1);
        let curve = pr::curve(&ranking, &once);
        assert_eq!(curve.len(), case.thresholds.len());
        // scikit-learn's starts with the lowest threshold.
        for (i, point) in curve.iter().rev().enumerate() {
            assert_eq!(point.threshold, case.thresholds[i]);
            assert!(close(point.precision.unwrap(), case.precision[i]));
            assert!(close(point.recall.unwrap(), case.recall[i]));
        }
        assert!(close(pr::score_auc(&ranking, &once).unwrap(), case.auc));
        let bins = calibration(&ranking, 10);
        assert!(close(bins.brier.unwrap(), case.brier));
        let full: Vec<_> = bins.bins.iter().filter(|bin| bin.count > 0).collect();
        assert_eq!(full.len(), case.hit_rate.len());
        for ((bin, rate), mean) in full.iter().zip(&case.hit_rate).zip(&case.mean_score) {
            assert!(close(bin.hit_rate, *rate) && close(bin.mean_score, *mean), "{bin:?}");
        }
    }
}

#[derive(Deserialize)]
struct FrocCase {
    images: usize,
    area_mm2: f64,
    truth: u32,
    scores: Vec<f32>,
    hits: Vec<bool>,
    rates: Vec<f64>,
    per_image: Vec<f64>,
    per_mm2: Vec<f64>,
    interpolated: Vec<f64>,
}

#[test]
fn froc_is_that_of_counting_by_hand() {
    for case in cases::<FrocCase>("froc") {
        // All truth in the first of the images: its place does not matter.
        let positives = std::iter::once(case.truth).chain(std::iter::repeat(0)).take(case.images).collect();
        let ranking = ranking(&case.scores, case.hits.iter().copied(), positives);
        let once = Draw::each_once(case.images);
        let per_image = froc::curve(&ranking, &once, case.images as f64);
        let per_mm2 = froc::curve(&ranking, &once, case.area_mm2);
        assert_eq!(case.rates, froc::RATES);
        for (i, &rate) in case.rates.iter().enumerate() {
            let read = |curve, reading| froc::sensitivity_at(curve, rate, reading);
            assert!(close(read(&per_image, Reading::Attainable), case.per_image[i]));
            assert!(close(read(&per_mm2, Reading::Attainable), case.per_mm2[i]));
            assert!(close(read(&per_image, Reading::Interpolated), case.interpolated[i]));
        }
        let mean = froc::mean_sensitivity(&per_image, &froc::RATES, Reading::Attainable).unwrap();
        assert!(close(mean, case.per_image.iter().sum::<f64>() / 7.0));
        assert!(average_precision(&ranking, &once).is_some());
    }
}

#[derive(Deserialize)]
struct PanopticCase {
    truth: Vec<Value>,
    crowd: Value,
    void: [f64; 4],
    found: Vec<Value>,
    hits: f64,
    false_marks: f64,
    missed: f64,
    iou_sum: f64,
    pq: f64,
}

/// Masks as a COCO file, so that they pass through the reader.
fn masks(runs: &[Value], crowd: bool) -> ObjectSet {
    let annotation = |(i, runs): (usize, &Value)| {
        json!({"id": i, "image_id": 1, "category_id": 1, "segmentation": runs,
                           "iscrowd": u8::from(crowd), "score": 1.0})
    };
    let annotations: Vec<Value> = runs.iter().enumerate().map(annotation).collect();
    read_json(
        &json!({"images": [{"id": 1, "file_name": "1.png", "width": 200, "height": 200}],
                            "categories": [{"id": 1, "name": "nucleus"}], "annotations": annotations}),
        Detail::Full,
    )
}

#[test]
fn panoptic_quality_is_that_of_counting_pixels() {
    for case in cases::<PanopticCase>("panoptic") {
        let mut truth = masks(&case.truth, false);
        truth.objects.extend(masks(&[case.crowd], true).objects);
        let [x0, y0, x1, y1] = case.void;
        let void = Shape::Box(Level0Box::new(euclid::point2(x0, y0), euclid::point2(x1, y1)));
        truth.objects.push(Object { shape: void, role: Role::IgnoreArea, ..truth.objects[0].clone() });
        let settings = EvaluationSettings {
            criterion: Criterion::MaskIou(0.5),
            bootstrap: None,
            ..EvaluationSettings::default()
        };
        let found = evaluate(truth, masks(&case.found, false), &settings).unwrap();
        let panoptic = found.overall.panoptic.unwrap();
        let ours = (panoptic.hits, panoptic.false_marks, panoptic.missed);
        assert_eq!(ours, (case.hits, case.false_marks, case.missed));
        let figures = found.overall.figures;
        assert!(close(figures.pq.unwrap().value, case.pq));
        assert!(close(figures.sq.unwrap().value, case.iou_sum / case.hits));
    }
}

fn in_image(shape: Shape) -> Object {
    Object { id: 0, image: ImageId(0), class: ClassId(0), score: None, shape, role: Role::Object }
}

#[derive(Deserialize)]
struct DbscanCase {
    boxes: Vec<[f64; 4]>,
    cases: Vec<DbscanLabels>,
}

#[derive(Deserialize)]
struct DbscanLabels {
    iou: f64,
    min_samples: usize,
    labels: Vec<i64>,
}

#[test]
fn density_clusters_are_those_of_scikit_learn() {
    for case in cases::<DbscanCase>("dbscan") {
        let boxed = |&[x, y, w, h]: &[f64; 4]| {
            let bounds = Level0Box::new(euclid::point2(x, y), euclid::point2(x + w, y + h));
            in_image(Shape::Box(bounds))
        };
        let boxes: Vec<Object> = case.boxes.iter().map(boxed).collect();
        for DbscanLabels { iou, min_samples, labels } in case.cases {
            let near = Candidates::find(&boxes, &boxes, Criterion::BoxIou(iou), &Image::named("i")).unwrap();
            let neighbours: Vec<Vec<u32>> =
                (0..boxes.len() as u32).map(|i| near.of(i).iter().map(|c| c.truth).collect()).collect();
            let ours = dbscan(&neighbours, min_samples);
            let ours: Vec<i64> = ours.into_iter().map(|label| label.map_or(-1, i64::from)).collect();
            assert_eq!(ours, labels, "IoU {iou}, {min_samples} samples");
        }
    }
}

#[derive(Deserialize)]
struct KappaCase {
    raters: Vec<Vec<usize>>,
    cohen: f64,
    fleiss: f64,
}

#[test]
fn kappas_are_those_of_scikit_learn_and_of_the_formula() {
    for case in cases::<KappaCase>("kappa") {
        let mut table = vec![vec![0; 4]; 4];
        case.raters[0].iter().zip(&case.raters[1]).for_each(|(&a, &b)| table[a][b] += 1);
        assert!(close(cohen_kappa(&table).unwrap(), case.cohen));
        let mut ratings = vec![vec![0; 4]; case.raters[0].len()];
        for rater in &case.raters {
            rater.iter().enumerate().for_each(|(object, &class)| ratings[object][class] += 1);
        }
        assert!(close(fleiss_kappa(&ratings).unwrap(), case.fleiss));
    }
}

#[derive(Deserialize)]
struct AssignmentCase {
    truth: Vec<[f64; 2]>,
    found: Vec<[f64; 2]>,
    limit: f64,
    pairs: usize,
    total: f64,
}

#[test]
fn optimal_matches_are_as_many_and_as_near_as_those_of_scipy() {
    for case in cases::<AssignmentCase>("assignment") {
        let dots = |places: &[[f64; 2]]| -> Vec<Object> {
            places.iter().map(|&[x, y]| in_image(Shape::Point(euclid::point2(x, y)))).collect()
        };
        let (truth, found) = (dots(&case.truth), dots(&case.found));
        let image = Image { mpp: Mpp::new(1.0).ok(), ..Image::named("i") };
        let criterion = Criterion::DistanceUm(case.limit);
        let candidates = Candidates::find(&found, &truth, criterion, &image).unwrap();
        let scene = Scene { predictions: &found, truth: &truth, candidates: &candidates };
        let (asked, ignored) = (vec![true; found.len()], vec![false; truth.len()]);
        let question = Question { asked: &asked, ignored: &ignored, classes: Classes::Same };
        let outcomes = optimal(scene, question, criterion.threshold());
        let distances: Vec<f64> = (outcomes.iter().zip(&found))
            .filter_map(|(outcome, found)| match outcome {
                Outcome::Hit(t) => {
                    Some((truth[*t as usize].shape.centroid() - found.shape.centroid()).length())
                }
                _ => None,
            })
            .collect();
        assert_eq!(distances.len(), case.pairs);
        assert!(close(distances.iter().sum(), case.total));
    }
}

#[derive(Deserialize)]
struct WeightsCase {
    counts: Vec<u64>,
    weights: Vec<f64>,
}

#[test]
fn class_weights_are_those_of_scikit_learn() {
    for case in cases::<WeightsCase>("weights") {
        let ours = balanced_weights(&case.counts);
        assert!(ours.iter().zip(&case.weights).all(|(ours, theirs)| close(*ours, *theirs)));
    }
}
