use proptest::prelude::*;

use wsi_types::{ClassId, Level0Box, Level0Point};

use super::{
    optimal::{Edges, assign},
    *,
};
use crate::objects::{Image, ImageId, Shape};

fn image() -> Image {
    Image { mpp: wsi_types::Mpp::new(0.5).ok(), ..Image::named("i") }
}

fn boxed(x: f64, y: f64, side: f64, score: f32) -> Object {
    let min: Level0Point = euclid::point2(x, y);
    Object {
        id: 0,
        image: ImageId(0),
        class: ClassId(0),
        score: Some(score),
        shape: Shape::Box(Level0Box::new(min, euclid::point2(x + side, y + side))),
        role: Role::Object,
    }
}

type Rule = fn(Scene<'_>, Question<'_>, f64) -> Vec<Outcome>;

fn outcomes(predictions: &[Object], truth: &[Object], criterion: Criterion, rule: Rule) -> Vec<Outcome> {
    let candidates = Candidates::find(predictions, truth, criterion, &image()).unwrap();
    let scene = Scene { predictions, truth, candidates: &candidates };
    let ignored: Vec<bool> = truth.iter().map(|t| t.role != Role::Object).collect();
    let asked = vec![true; predictions.len()];
    let question = Question { asked: &asked, ignored: &ignored, classes: Classes::Same };
    rule(scene, question, criterion.threshold())
}

#[test]
fn criteria_are_read_and_written() {
    for text in ["iou:0.5", "mask-iou:0.75", "distance:3um"] {
        assert_eq!(text.parse::<Criterion>().unwrap().to_string(), text);
    }
    assert_eq!("distance:3 µm".parse::<Criterion>().unwrap(), Criterion::DistanceUm(3.0));
    for text in ["iou", "iou:0", "iou:1.5", "iou:0.5um", "distance:-1um", "distance:nan", "giou:0.5"] {
        assert!(matches!(text.parse::<Criterion>(), Err(EvalError::Criterion(_))), "{text}");
    }
}

#[test]
fn greedy_gives_the_surest_its_choice_and_optimal_gives_everyone_a_place() {
    // Distances in px at 0.5 µm/px: the surest lies between both dots.
    let truth = [boxed(0.0, 0.0, 0.0, 1.0), boxed(10.0, 0.0, 0.0, 1.0)];
    let predictions = [boxed(4.0, 0.0, 0.0, 0.9), boxed(-4.0, 0.0, 0.0, 0.8)];
    let near = Criterion::DistanceUm(3.0);
    assert_eq!(outcomes(&predictions, &truth, near, greedy), [Outcome::Hit(0), Outcome::False]);
    assert_eq!(outcomes(&predictions, &truth, near, optimal), [Outcome::Hit(1), Outcome::Hit(0)]);
}

#[test]
fn a_crowd_excuses_any_number_and_is_no_miss() {
    let mut crowd = boxed(0.0, 0.0, 100.0, 1.0);
    crowd.role = Role::Crowd;
    let truth = [crowd, boxed(10.0, 10.0, 10.0, 1.0)];
    let inside: Vec<Object> = (0..3).map(|i| boxed(10.0 + 20.0 * f64::from(i), 10.0, 10.0, 0.5)).collect();
    let expected = [Outcome::Hit(1), Outcome::Ignored, Outcome::Ignored];
    assert_eq!(outcomes(&inside, &truth, Criterion::BoxIou(0.5), greedy), expected);
    assert_eq!(outcomes(&inside, &truth, Criterion::BoxIou(0.5), optimal), expected);
    assert_eq!(outcomes(&inside, &truth, Criterion::DistanceUm(2.0), greedy), expected);
}

#[test]
fn points_have_no_iou_and_pixels_without_mpp_no_distance() {
    let dot = Object { shape: Shape::Point(euclid::point2(0.0, 0.0)), ..boxed(0.0, 0.0, 1.0, 1.0) };
    let dots = [dot];
    let iou = Candidates::find(&dots, &dots, Criterion::BoxIou(0.5), &image());
    assert!(matches!(iou, Err(EvalError::PointsHaveNoArea { objects: 1, .. })));
    let bare = Image::named("bare");
    let distance = Candidates::find(&dots, &dots, Criterion::DistanceUm(1.0), &bare);
    assert!(matches!(distance, Err(EvalError::NoMpp { .. })));
}

/// All ways to pair rows with columns: (pairs, −total cost), best first.
fn best_by_force(rows: &[Vec<(u32, f64)>], used: &mut Vec<u32>) -> (usize, i64) {
    let Some((row, rest)) = rows.split_first() else { return (0, 0) };
    let mut best = best_by_force(rest, used);
    for &(column, similarity) in row {
        if !used.contains(&column) {
            used.push(column);
            let (pairs, cost) = best_by_force(rest, used);
            best = best.max((pairs + 1, cost - Edges::cost(similarity)));
            used.pop();
        }
    }
    best
}

proptest! {
    #[test]
    fn assignment_is_as_good_as_trying_everything(
        rows in prop::collection::vec(prop::collection::btree_map(0_u32..6, 0.0..1.0, 0..5), 1..7)
    ) {
        let rows: Vec<Vec<(u32, f64)>> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
        let mut edges = Edges::default();
        rows.iter().for_each(|row| edges.push_row(row.iter().copied()));
        let assigned = assign(&edges, 6);
        let mut columns: Vec<u32> = assigned.iter().flatten().copied().collect();
        let pairs = columns.len();
        columns.sort_unstable();
        columns.dedup();
        prop_assert_eq!(columns.len(), pairs);
        let cost: i64 = rows.iter().zip(&assigned).filter_map(|(row, column)| {
            row.iter().find(|(c, _)| Some(*c) == *column).map(|(_, s)| Edges::cost(*s))
        }).sum();
        prop_assert_eq!((pairs, -cost), best_by_force(&rows, &mut Vec::new()));
    }
}
