//! Exact answers on the smallest cases that separate a metric from one that is nearly the same: values right
//! on a threshold, equal scores, equal distances, ends of ranges. Each was written for a change to a formula
//! that no other test notices without Python.

#![allow(clippy::unwrap_used)]

use std::slice::from_ref;

use eval::{
    EvaluationSettings,
    agreement::{Confusion, count_agreement},
    ap::{AreaRange, average_precision, coco_ious},
    bootstrap::{BootstrapSettings, estimates},
    evaluate,
    evaluation::{Assignment, Evaluation, mistakes},
    froc::{self, Reading},
    matching::{
        Candidates, Classes, Criterion, Outcome, Question, Scene, greedy, greedy_at, optimal, similarity,
    },
    objects::{Image, ImageId, Object, ObjectSet, Role, SetBuilder, Shape},
    pq::{PanopticSums, mean_over_images, panoptic_sums, pooled},
    pr,
    ranking::{Draw, Mark, Ranking},
};
use wsi_types::{ClassId, Level0Box, Mpp};

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
}

/// Marks by falling score, each a hit or not, in one image.
fn ranking(hits: &[bool], positives: u32) -> Ranking {
    let mark = |(place, &hit): (usize, &bool)| Mark { score: 1.0 - place as f32 / 64.0, image: 0, hit };
    Ranking::new(hits.iter().enumerate().map(mark).collect(), vec![positives])
}

fn ap(hits: &[bool], positives: u32) -> f64 {
    average_precision(&ranking(hits, positives), &Draw::each_once(1)).unwrap()
}

#[test]
fn precision_is_read_at_the_recall_that_a_hit_reaches() {
    // Recalls 0 to 0.5 at precision 1, 0.51 to 1 at 2/3.
    close(ap(&[true, false, true], 2), (51.0 + 50.0 * 2.0 / 3.0) / 101.0);
    // Each hit adds a quarter of the recalls, at its own precision.
    let thirds = (26.0 + 25.0 * 2.0 / 3.0 + 25.0 * 3.0 / 5.0) / 101.0;
    close(ap(&[true, false, true, false, true], 4), thirds);
}

#[test]
fn precision_never_rises_with_recall() {
    // 1/2 at the first hit, 2/3 at the second: 2/3 everywhere.
    close(ap(&[false, true, true], 2), 2.0 / 3.0);
    // Marks after the last hit change nothing.
    close(ap(&[false, true, true, false, false], 2), 2.0 / 3.0);
}

#[test]
fn images_not_drawn_do_not_count() {
    let mark = |score, image, hit| Mark { score, image, hit };
    let marks = vec![mark(0.9, 1, false), mark(0.8, 0, true), mark(0.7, 1, true), mark(0.6, 0, true)];
    let ranking = Ranking::new(marks, vec![2, 5]);
    let first_only = average_precision(&ranking, &Draw::from_times(vec![3, 0])).unwrap();
    close(first_only, 1.0);
    assert_eq!(average_precision(&ranking, &Draw::from_times(vec![0, 0])), None);
}

#[test]
fn ranges_of_areas_have_two_different_finite_ends() {
    for text in ["a:4..4um2", "a:0..infum2", "a:nan..4um2", "a:4..nanpx2", "a:..um2x"] {
        assert!(text.parse::<AreaRange>().is_err(), "{text}");
    }
    let open: AreaRange = "a:..9px2".parse().unwrap();
    assert_eq!((open.min, open.max), (0.0, 9.0));
}

#[test]
fn a_rate_reached_exactly_is_attained() {
    // One false mark in two images: 0.5 per image.
    let ranking = {
        let marks = [(0.9, true), (0.8, false), (0.7, true)];
        let marks = marks.map(|(score, hit)| Mark { score, image: 0, hit });
        Ranking::new(marks.to_vec(), vec![2, 0])
    };
    let curve = froc::curve(&ranking, &Draw::each_once(2), 2.0);
    let read = |rate, reading| froc::sensitivity_at(&curve, rate, reading);
    assert_eq!(read(0.5, Reading::Attainable), 1.0);
    assert_eq!(read(0.499, Reading::Attainable), 0.5);
    assert_eq!(read(0.25, Reading::Interpolated), 0.5);
    assert_eq!(froc::mean_sensitivity(&curve, &[0.25, 0.5], Reading::Attainable), Some(0.75));
    assert_eq!(froc::mean_sensitivity(&curve, &[], Reading::Attainable), None);
    assert!(froc::curve(&ranking, &Draw::each_once(2), 0.0).is_empty());
}

#[test]
fn scores_that_tie_count_half_for_sorting() {
    // Pairs of hit and false mark: 0.9 over 0.5 and 0.1, 0.5 beside 0.5 and over 0.1.
    let marks = [(0.9, true), (0.5, true), (0.5, false), (0.1, false)];
    let marks = marks.map(|(score, hit)| Mark { score, image: 0, hit });
    let ranking = Ranking::new(marks.to_vec(), vec![2]);
    let once = Draw::each_once(1);
    assert_eq!(pr::score_auc(&ranking, &once), Some(3.5 / 4.0));
    // Precision and recall 2/3 and 1 at 0.5; 1 and 1/2 at 0.9.
    let best = pr::best(&pr::curve(&ranking, &once)).unwrap();
    assert_eq!((best.threshold, best.f1), (0.5, Some(0.8)));
    // Of two thresholds with the same F1, the higher one.
    let even = ranking_of(&[(0.9, true), (0.5, true), (0.5, false), (0.5, false)], 2);
    let curve = pr::curve(&even, &once);
    assert_eq!(curve[0].f1, curve[1].f1);
    assert_eq!(pr::best(&curve).unwrap().threshold, 0.9);
}

fn ranking_of(marks: &[(f32, bool)], positives: u32) -> Ranking {
    let marks = marks.iter().map(|&(score, hit)| Mark { score, image: 0, hit }).collect();
    Ranking::new(marks, vec![positives])
}

fn boxed(x: f64, y: f64, width: f64, height: f64) -> Object {
    let corner = euclid::point2(x, y);
    Object {
        id: 0,
        image: ImageId(0),
        class: ClassId(0),
        score: None,
        shape: Shape::Box(Level0Box::new(corner, corner + euclid::vec2(width, height))),
        role: Role::Object,
    }
}

fn image() -> Image {
    Image { mpp: Mpp::new(0.5).ok(), ..Image::named("i") }
}

type Rule = fn(Scene<'_>, Question<'_>, f64) -> Vec<Outcome>;
const RULES: [Rule; 2] = [greedy, optimal];

fn matched(predictions: &[Object], truth: &[Object], criterion: Criterion, rule: Rule) -> Vec<Outcome> {
    let candidates = Candidates::find(predictions, truth, criterion, &image()).unwrap();
    let scene = Scene { predictions, truth, candidates: &candidates };
    let ignored: Vec<bool> = truth.iter().map(|t| t.role != Role::Object).collect();
    let asked: Vec<bool> = predictions.iter().map(|p| p.score != Some(0.0)).collect();
    rule(scene, Question { asked: &asked, ignored: &ignored, classes: Classes::Same }, criterion.threshold())
}

#[test]
fn what_lies_right_on_the_threshold_matches() {
    // 50 of 100 px: an IoU of exactly 0.5. 6 px at 0.5 µm/px: exactly 3 µm.
    let (half, whole) = (boxed(0.0, 0.0, 5.0, 10.0), boxed(0.0, 0.0, 10.0, 10.0));
    let near = boxed(6.0, 0.0, 10.0, 10.0);
    for rule in RULES {
        let by = |prediction: &Object, criterion| {
            matched(from_ref(prediction), from_ref(&whole), criterion, rule)[0]
        };
        assert_eq!(by(&half, Criterion::BoxIou(0.5)), Outcome::Hit(0));
        assert_eq!(by(&half, Criterion::MaskIou(0.5)), Outcome::Hit(0));
        assert_eq!(by(&half, Criterion::BoxIou(0.5 + 1e-9)), Outcome::False);
        assert_eq!(by(&near, Criterion::DistanceUm(3.0)), Outcome::Hit(0));
        assert_eq!(by(&near, Criterion::DistanceUm(3.0 - 1e-6)), Outcome::False);
        assert_eq!(by(&whole, Criterion::BoxIou(1.0)), Outcome::Hit(0));
    }
    assert_eq!(similarity(&near, &whole, Criterion::DistanceUm(9.0), &image()).unwrap(), Some(-3.0));
    assert_eq!(similarity(&half, &whole, Criterion::BoxIou(0.6), &image()).unwrap(), None);
}

#[test]
fn of_two_equally_near_the_later_is_taken_as_pycocotools_does() {
    let truth = [boxed(0.0, 0.0, 10.0, 10.0), boxed(4.0, 0.0, 10.0, 10.0)];
    let between = [boxed(2.0, 0.0, 10.0, 10.0)];
    assert_eq!(matched(&between, &truth, Criterion::BoxIou(0.5), greedy), [Outcome::Hit(1)]);
    assert_eq!(matched(&between, &truth, Criterion::BoxIou(0.5), optimal), [Outcome::Hit(0)]);
}

#[test]
fn truth_that_counts_comes_before_a_nearer_crowd() {
    let crowd = Object { role: Role::Crowd, ..boxed(0.0, 0.0, 100.0, 100.0) };
    let other_class = Object { class: ClassId(1), ..crowd.clone() };
    let ignore = Object { role: Role::IgnoreArea, ..other_class.clone() };
    let prediction = [boxed(2.0, 0.0, 10.0, 10.0)];
    for rule in RULES {
        let truth = [boxed(0.0, 0.0, 10.0, 10.0), crowd.clone()];
        assert_eq!(matched(&prediction, &truth, Criterion::BoxIou(0.5), rule), [Outcome::Hit(0)]);
        // A crowd excuses its own class, an ignore area all.
        assert_eq!(
            matched(&prediction, from_ref(&other_class), Criterion::BoxIou(0.5), rule),
            [Outcome::False]
        );
        assert_eq!(matched(&prediction, from_ref(&ignore), Criterion::BoxIou(0.5), rule), [Outcome::Ignored]);
        // Half of the prediction is inside: its share is what counts against a crowd.
        let half_in = [boxed(-5.0, 0.0, 10.0, 10.0)];
        assert_eq!(matched(&half_in, from_ref(&crowd), Criterion::BoxIou(0.5), rule), [Outcome::Ignored]);
        let less_in = [boxed(-5.1, 0.0, 10.0, 10.0)];
        assert_eq!(matched(&less_in, from_ref(&crowd), Criterion::BoxIou(0.5), rule), [Outcome::False]);
    }
}

#[test]
fn what_is_not_asked_takes_no_place() {
    let truth = [boxed(0.0, 0.0, 10.0, 10.0)];
    let unasked = Object { score: Some(0.0), ..boxed(0.0, 0.0, 10.0, 10.0) };
    let asked = Object { score: Some(0.5), ..boxed(1.0, 0.0, 10.0, 10.0) };
    for rule in RULES {
        let found = matched(&[unasked.clone(), asked.clone()], &truth, Criterion::BoxIou(0.5), rule);
        assert_eq!(found, [Outcome::Unasked, Outcome::Hit(0)]);
        assert_eq!(matched(from_ref(&unasked), &truth, Criterion::BoxIou(0.5), rule), [Outcome::Unasked]);
    }
}

#[test]
fn many_thresholds_at_once_are_each_by_itself() {
    let mut predictions: Vec<Object> =
        (0..12).map(|i| boxed(f64::from(i) * 3.0, f64::from(i % 3), 10.0, 10.0)).collect();
    for (prediction, place) in predictions.iter_mut().zip(0_u8..) {
        prediction.score = Some(f32::from(place * 7 % 12) / 16.0 + 0.1);
    }
    let mut truth: Vec<Object> = (0..10).map(|i| boxed(f64::from(i) * 4.0, 1.0, 10.0, 10.0)).collect();
    truth[3].role = Role::Crowd;
    let thresholds = [0.3, 0.5, 0.7, 0.9];
    let candidates = Candidates::find(&predictions, &truth, Criterion::BoxIou(0.3), &image()).unwrap();
    let scene = Scene { predictions: &predictions, truth: &truth, candidates: &candidates };
    let (asked, ignored) = (vec![true; 12], truth.iter().map(|t| t.role != Role::Object).collect::<Vec<_>>());
    let question = Question { asked: &asked, ignored: &ignored, classes: Classes::Same };
    let together = greedy_at(scene, question, &thresholds);
    for (&threshold, bit) in thresholds.iter().zip(0..) {
        for (verdict, outcome) in together.iter().zip(greedy(scene, question, threshold)) {
            let expected = match outcome {
                Outcome::Hit(_) => (1, 0),
                Outcome::Ignored => (0, 1),
                Outcome::False | Outcome::Unasked => (0, 0),
            };
            assert_eq!((verdict.hit >> bit & 1, verdict.ignored >> bit & 1), expected, "{threshold}");
        }
    }
}

fn panoptic(predictions: &[Object], truth: &[Object]) -> PanopticSums {
    let candidates = Candidates::find(predictions, truth, Criterion::BoxIou(0.5), &image()).unwrap();
    let scene = Scene { predictions, truth, candidates: &candidates };
    panoptic_sums(scene, &vec![true; predictions.len()], 1, |object| object.shape.area())[0]
}

#[test]
fn a_prediction_half_in_what_is_ignored_is_false_and_a_hair_more_is_not() {
    for role in [Role::Crowd, Role::IgnoreArea] {
        let area = Object { role, ..boxed(10.0, 0.0, 100.0, 10.0) };
        let half = panoptic(&[boxed(5.0, 0.0, 10.0, 10.0)], from_ref(&area));
        assert_eq!((half.false_marks, half.missed), (1.0, 0.0), "{role:?}");
        assert_eq!(panoptic(&[boxed(5.1, 0.0, 10.0, 10.0)], &[area]), PanopticSums::default(), "{role:?}");
    }
    let other = Object { role: Role::Crowd, class: ClassId(1), ..boxed(0.0, 0.0, 100.0, 10.0) };
    let candidates =
        Candidates::find(&[boxed(5.0, 0.0, 10.0, 10.0)], from_ref(&other), Criterion::BoxIou(0.5), &image());
    let (candidates, predictions) = (candidates.unwrap(), [boxed(5.0, 0.0, 10.0, 10.0)]);
    let scene = Scene { predictions: &predictions, truth: &[other], candidates: &candidates };
    let sums = panoptic_sums(scene, &[true], 2, |object| object.shape.area());
    assert_eq!((sums[0].false_marks, sums[1]), (1.0, PanopticSums::default()));
}

#[test]
fn panoptic_quality_is_segmentation_times_recognition_and_pooled_over_images() {
    // IoU 80/100 twice, one false, two missed in the first; one miss in the second.
    let first = PanopticSums { iou: 1.6, hits: 2.0, false_marks: 1.0, missed: 2.0 };
    let second = PanopticSums { missed: 1.0, ..PanopticSums::default() };
    close(first.quality().unwrap(), 1.6 / 3.5);
    close(first.segmentation().unwrap() * first.recognition().unwrap(), first.quality().unwrap());
    close(pooled(&[first, second]).quality().unwrap(), 1.6 / 4.0);
    close(mean_over_images(&[first, second, PanopticSums::default()]).unwrap(), 1.6 / 3.5 / 2.0);
    assert_eq!((second.segmentation(), second.recognition()), (None, Some(0.0)));
    let drawn = PanopticSums::over(&[first, second], &Draw::from_times(vec![2, 1]));
    assert_eq!((drawn.hits, drawn.missed), (4.0, 5.0));
}

/// One image, boxes of 10 px on a row, scored as given.
fn set(scores: &[f32]) -> ObjectSet {
    let mut set = ObjectSet::default();
    set.image_named("i");
    set.images[0] = Image { size: Some((1000.0, 100.0)), ..image() };
    set.class_named("cell").unwrap();
    let object = |(place, &score): (usize, &f32)| Object {
        id: place as u64,
        score: Some(score),
        ..boxed(place as f64 * 20.0, 20.0, 10.0, 10.0)
    };
    set.objects = scores.iter().enumerate().map(object).collect();
    set
}

fn settings() -> EvaluationSettings {
    EvaluationSettings { bootstrap: None, min_score: f32::NEG_INFINITY, ..EvaluationSettings::default() }
}

#[test]
fn the_ten_thresholds_are_those_of_pycocotools_to_the_last_bit() {
    // numpy.linspace(0.5, 0.95, 10).
    let theirs = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.899_999_999_999_999_9, 0.95];
    assert_eq!(coco_ious(), theirs);
}

/// A prediction on the cell at place `at` of a [`set`] with this IoU: a part of it.
fn part(at: usize, iou: f64, score: f32) -> Object {
    Object { score: Some(score), ..boxed(at as f64 * 20.0, 20.0, 10.0, 10.0 * iou) }
}

fn found_by(truth: &ObjectSet, predictions: Vec<Object>, settings: &EvaluationSettings) -> Evaluation {
    let predictions = ObjectSet { objects: predictions, ..truth.clone() };
    evaluate(truth.clone(), predictions, settings).unwrap()
}

#[test]
fn each_threshold_has_a_verdict_of_its_own() {
    let found = found_by(&set(&[1.0, 1.0]), vec![part(0, 0.72, 0.9), part(1, 0.93, 0.8)], &settings());
    let figures = found.overall.figures;
    close(figures.ap50.unwrap().value, 1.0);
    // Both are right at 0.5 to 0.7. At 0.75 to 0.9 the surer one is false, so half of the cells are found
    // at a precision of 1/2. At 0.95 nothing is found.
    close(figures.ap50_95.unwrap().value, (5.0 + 4.0 * 51.0 / 101.0 / 2.0) / 10.0);
}

#[test]
fn sizes_have_their_own_cells_and_excuse_predictions_of_other_sizes() {
    let mut truth = set(&[1.0; 5]);
    for small in &mut truth.objects[3..] {
        small.shape = boxed(small.shape.bounds().min.x, 20.0, 5.0, 5.0).shape;
    }
    let area_ranges = ["small:..50px2", "large:90..px2"].map(|text| text.parse().unwrap()).to_vec();
    let settings = EvaluationSettings { area_ranges, ..settings() };
    let found = found_by(&truth, vec![part(0, 0.82, 0.9), part(1, 1.0, 0.8)], &settings);
    let [small, large] = found.overall.by_area.as_slice() else { panic!("two sizes were asked for") };
    assert_eq!((small.truth, small.ap), (2, Some(0.0)));
    assert_eq!(large.truth, 3);
    // The surer one has 82 px²: a hit up to 0.8, and of no size that counts from 0.85 on, where the other
    // one alone finds one cell of three, without a false mark.
    close(large.ap.unwrap(), (7.0 * 67.0 / 101.0 + 3.0 * 34.0 / 101.0) / 10.0);
}

/// Cells that touch no other, at these places of a grid.
fn cells_apart(places: impl Iterator<Item = u32>) -> Vec<Object> {
    places.map(|i| boxed(f64::from(i % 100) * 20.0, f64::from(i / 100) * 20.0, 10.0, 10.0)).collect()
}

#[test]
fn cells_far_apart_are_matched_however_many_there_are() {
    // More than two runs of 2,048 that threads take; truth lies in the opposite order.
    const CELLS: u32 = 5000;
    let (predictions, truth) = (cells_apart(0..CELLS), cells_apart((0..CELLS).rev()));
    let expected: Vec<Outcome> = (0..CELLS).rev().map(Outcome::Hit).collect();
    for rule in RULES {
        assert!(matched(&predictions, &truth, Criterion::BoxIou(0.5), rule) == expected);
    }
}

#[test]
fn scores_are_sorted_below_zero_too() {
    // Logits: hits at 2 and −0.5, false marks at −1 and −3.
    let truth = set(&[1.0, 1.0]);
    let mut predictions = set(&[-0.5, 2.0, -1.0, -3.0]);
    predictions.objects[2].shape = boxed(500.0, 20.0, 10.0, 10.0).shape;
    predictions.objects[3].shape = boxed(600.0, 20.0, 10.0, 10.0).shape;
    let found = evaluate(truth, predictions, &settings()).unwrap();
    close(found.overall.figures.ap.unwrap().value, 1.0);
    let thresholds: Vec<f32> = found.overall.curve.iter().map(|point| point.threshold).collect();
    assert_eq!(thresholds, [2.0, -0.5, -1.0, -3.0]);
}

#[test]
fn the_working_threshold_includes_its_own_score() {
    let found = |min_score| {
        let settings = EvaluationSettings { min_score, ..settings() };
        evaluate(set(&[1.0, 1.0]), set(&[0.5, 0.75]), &settings).unwrap().overall.working.counts.hits
    };
    assert_eq!([0.5, 0.500_1, 0.75, 0.8].map(found), [2.0, 1.0, 1.0, 0.0]);
}

#[test]
fn objects_that_touch_the_border_are_cut_and_those_just_inside_are_not() {
    let mut truth = set(&[1.0, 1.0, 1.0, 1.0]);
    let places = [(5.0, 20.0), (4.9, 20.0), (985.0, 20.0), (985.1, 20.0)];
    for (object, (x, y)) in truth.objects.iter_mut().zip(places) {
        object.shape = boxed(x, y, 10.0, 10.0).shape;
    }
    let settings = EvaluationSettings { border_px: Some(5.0), ..settings() };
    assert_eq!(evaluate(truth.clone(), truth, &settings).unwrap().overall.truth, 2);
}

#[test]
fn mistakes_are_those_of_the_rule_that_counts() {
    // The surest lies between both cells; greedy leaves the second without a match.
    let truth = set(&[1.0, 1.0]);
    let mut predictions = set(&[0.9, 0.8]);
    predictions.objects[0].shape = boxed(8.0, 20.0, 10.0, 10.0).shape;
    predictions.objects[1].shape = boxed(-8.0, 20.0, 10.0, 10.0).shape;
    let near = EvaluationSettings { criterion: Criterion::DistanceUm(6.0), ..settings() };
    let counts = |assignment| {
        let found =
            mistakes(truth.clone(), predictions.clone(), &EvaluationSettings { assignment, ..near.clone() });
        let found = found.unwrap();
        (found.false_marks.len(), found.missed.len())
    };
    assert_eq!((counts(Assignment::Optimal), counts(Assignment::Greedy)), ((0, 0), (1, 1)));
}

/// A table of two classes as it is shown, with 3 missed and 4 false.
fn table_of(pairs: [[u64; 2]; 2]) -> String {
    let mut confusion = Confusion::new(vec!["tumour".to_owned(), "other".to_owned()]);
    confusion.pairs = pairs.map(Vec::from).to_vec();
    (confusion.missed, confusion.false_marks) = (vec![3, 0], vec![0, 4]);
    confusion.finish();
    confusion.to_string()
}

#[test]
fn a_table_of_classes_ends_with_the_share_that_agrees_and_kappa_where_there_is_one() {
    // 35 of 50 agree, 25 would by chance.
    let table = "             tumour  other  missed\n\
                 tumour           20      5       3\n\
                 other            10     15       0\n\
                 false marks       0      4\n";
    assert_eq!(table_of([[20, 5], [10, 15]]), format!("{table}same class 0.700, kappa 0.400\n"));
    // One class alone agrees by chance; without pairs nothing does.
    assert!(table_of([[7, 0], [0, 0]]).ends_with("0      4\nsame class 1.000\n"));
    assert!(table_of([[0, 0], [0, 0]]).ends_with("0      4\n"));
}

/// A cell in each of these images.
fn one_in_each(names: [&str; 2]) -> ObjectSet {
    let mut set = SetBuilder::new();
    let class = set.class_named("cell").unwrap();
    for name in names {
        let image = set.image_named(name);
        set.push(Object { image, class, ..boxed(0.0, 0.0, 10.0, 10.0) });
    }
    set.finish()
}

#[test]
fn sets_put_together_leave_each_object_in_its_image() {
    let mut both = SetBuilder::from(one_in_each(["a/1.svs", "a/2.svs"]));
    assert_eq!(both.append(one_in_each(["b/2.svs", "a/2.svs"])).unwrap(), 1);
    let both = both.finish();
    let images: Vec<&str> = both.objects.iter().map(|object| both.image_of(object).name.as_str()).collect();
    assert_eq!(images, ["a/1.svs", "a/2.svs", "b/2.svs", "a/2.svs"]);
    assert_eq!(both.file_names(), ["1", "a-2", "b-2"]);
}

#[test]
fn a_pixel_size_is_given_to_images_without_one_alone() {
    let mut set = ObjectSet { images: vec![image(), Image::named("bare")], ..ObjectSet::default() };
    set.assume_mpp(Mpp::new(0.25).unwrap());
    let sizes: Vec<f64> = set.images.iter().map(|image| image.mpp.unwrap().get()).collect();
    assert_eq!(sizes, [0.5, 0.25]);
}

#[test]
fn counts_are_compared_by_size_and_by_direction() {
    let found = count_agreement(vec![(10, 13), (20, 16), (5, 5)]);
    assert_eq!((found.mean_absolute_error, found.bias), (Some(7.0 / 3.0), Some(-1.0 / 3.0)));
    assert_eq!(count_agreement(vec![(0, 3)]).relative_error, None);
    assert_eq!(count_agreement(Vec::new()).mean_absolute_error, None);
}

#[test]
fn an_interval_is_between_its_quantiles() {
    // Two images whose figures are 0 and 1: a draw gives 0, 1/2 or 1, with chances of
    // 1/4, 1/2 and 1/4. Half of all draws lie from 1/2 to 1/2.
    let images: Vec<Image> = ["a", "b"].map(Image::named).to_vec();
    let mean = |draw: &Draw| vec![Some(draw.times(1) / draw.total())];
    let at = |level| {
        let settings = BootstrapSettings { level, ..BootstrapSettings::default() };
        estimates(&images, Some(settings), mean)[0].unwrap().interval.unwrap()
    };
    assert_eq!((at(0.4), at(0.95)), ((0.5, 0.5), (0.0, 1.0)));
    assert_eq!(estimates(&images, None, mean)[0].unwrap().interval, None);
}
