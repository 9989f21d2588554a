use std::path::Path;

use wsi_types::{ClassId, Mpp};

use super::*;
use crate::{
    EvaluationSettings, evaluate,
    matching::Criterion,
    objects::{Object, Role, Shape},
    polygon::Polygon,
};

/// Octagons on a sheared grid, so that tile borders cut some of them.
fn annotated(images: usize) -> ObjectSet {
    let mut set = ObjectSet::default();
    set.class_named("tumour").unwrap();
    set.class_named("mitosis, \"rare\"").unwrap();
    for image in 0..images {
        let id = set.image_named(&format!("slide{image}_0"));
        set.images[image].size = Some((1000.0, 700.0));
        set.images[image].mpp = Mpp::new(0.25).ok();
        for place in 0..300_u16 {
            let (column, row) = (f64::from(place % 20), f64::from(place / 20));
            let centre = (20.0 + column * 48.0 + row, 20.0 + row * 45.0);
            let corners = (0..8).map(|i| {
                let (sin, cos) = (f64::from(i) * std::f64::consts::TAU / 8.0).sin_cos();
                euclid::point2(centre.0 + 14.0 * cos, centre.1 + 10.0 * sin)
            });
            let shape = Shape::Polygon(Box::new(Polygon::from_ring(corners.collect())));
            let class = ClassId(u16::from(place % 60 == 7));
            set.objects.push(Object {
                id: u64::from(place),
                image: id,
                class,
                score: None,
                shape,
                role: Role::Object,
            });
        }
    }
    set
}

fn settings(task: Task, border: BorderRule) -> TrainingSettings {
    TrainingSettings { task, border, tile_px: 256, ..TrainingSettings::default() }
}

/// Reads a tile's own label file back to level 0.
fn read_back(tile: &Tile, side: u32, image: ImageId) -> Vec<Object> {
    let text = yolo::label_text(tile, side);
    let size = f64::from(side) * tile.scale;
    let objects = yolo::parse_labels(&text, size, size, Path::new("label.txt")).unwrap();
    let shift = tile.area.min.to_vector();
    let placed = objects.into_iter().map(|object| {
        let shape = match object.shape {
            Shape::Box(bounds) => Shape::Box(bounds.translate(shift)),
            Shape::Polygon(mut polygon) => {
                polygon.rings.iter_mut().flatten().for_each(|point| *point += shift);
                Shape::Polygon(polygon)
            }
            point => point,
        };
        Object { image, shape, score: Some(1.0), ..object }
    });
    placed.collect()
}

#[test]
fn whole_objects_come_back_through_label_files_with_f1_of_one() {
    for (task, criterion) in
        [(Task::Detect, Criterion::BoxIou(0.95)), (Task::Segment, Criterion::MaskIou(0.95))]
    {
        for mpp in [None, Some(0.3)] {
            let truth = annotated(2);
            // Overlap wider than any object: each is whole in at least one tile.
            let settings = TrainingSettings { mpp, ..settings(task, BorderRule::Whole) };
            let plan = plan_training_set(truth.clone(), &settings, &[]).unwrap();
            let mut back = ObjectSet { objects: Vec::new(), ..truth.clone() };
            let mut seen = BTreeSet::new();
            for tile in &plan.tiles {
                let objects = read_back(tile, settings.tile_px, tile.image);
                for (object, label) in objects.into_iter().zip(&tile.labels) {
                    if seen.insert(label.object) {
                        back.objects.push(object);
                    }
                }
            }
            let settings = EvaluationSettings { criterion, bootstrap: None, ..EvaluationSettings::default() };
            let found = evaluate(truth, back, &settings).unwrap();
            assert_eq!(found.overall.working.f1, Some(1.0), "{task:?} {mpp:?}");
            assert_eq!(found.overall.working.counts.hits, 600.0);
        }
    }
}

#[test]
fn without_overlap_a_centre_is_in_one_tile() {
    let settings = TrainingSettings { overlap_px: 0, ..settings(Task::Detect, BorderRule::Centre) };
    // 1000 and 700 are no multiples of 250 and 256, so take tiles that fit.
    let settings = TrainingSettings { tile_px: 100, ..settings };
    let plan = plan_training_set(annotated(1), &settings, &[]).unwrap();
    assert_eq!(plan.tiles.len(), 70);
    let mut labelled: Vec<usize> =
        plan.tiles.iter().flat_map(|tile| &tile.labels).map(|label| label.object).collect();
    labelled.sort_unstable();
    assert_eq!(labelled, (0..300).collect::<Vec<_>>());
    let side = TileBox::new(euclid::point2(0.0, 0.0), euclid::point2(100.0, 100.0));
    assert!(plan.tiles.iter().flat_map(|tile| &tile.labels).all(|label| side.contains_box(&label.bounds)));
}

#[test]
fn what_is_cut_too_far_is_hidden_and_not_forgotten() {
    let whole = plan_training_set(annotated(1), &settings(Task::Detect, BorderRule::Whole), &[]).unwrap();
    let half =
        plan_training_set(annotated(1), &settings(Task::Detect, BorderRule::Visible(0.5)), &[]).unwrap();
    for (strict, lenient) in whole.tiles.iter().zip(&half.tiles) {
        let [all, also_all] = [strict, lenient].map(|tile| tile.labels.len() + tile.hidden.len());
        assert_eq!(all, also_all);
        assert!(strict.labels.len() <= lenient.labels.len());
    }
    let [more, fewer] =
        [&whole, &half].map(|plan| plan.tiles.iter().map(|tile| tile.hidden.len()).sum::<usize>());
    assert!(more > fewer && fewer > 0);
}

#[test]
fn tiles_cover_the_image_and_end_with_it() {
    let plan = plan_training_set(annotated(1), &settings(Task::Detect, BorderRule::Whole), &[]).unwrap();
    let right = plan.tiles.iter().map(|tile| tile.area.max.x).fold(0.0, f64::max);
    let bottom = plan.tiles.iter().map(|tile| tile.area.max.y).fold(0.0, f64::max);
    assert_eq!((right, bottom), (1000.0, 700.0));
    for x in (0..1000).step_by(7) {
        for y in (0..700).step_by(7) {
            let point = euclid::point2(f64::from(x), f64::from(y));
            assert!(plan.tiles.iter().any(|tile| tile.area.contains(point)), "{point:?}");
        }
    }
    let names: BTreeSet<&str> = plan.tiles.iter().map(|tile| tile.name.as_str()).collect();
    assert_eq!(names.len(), plan.tiles.len());
}

#[test]
fn rare_classes_weigh_more_and_their_tiles_come_more_often() {
    let all_train = SplitSettings { train: 1.0, val: 0.0, ..SplitSettings::default() };
    let settings =
        TrainingSettings { split: all_train, weight_cap: 5.0, ..settings(Task::Detect, BorderRule::Whole) };
    let plan = plan_training_set(annotated(1), &settings, &[]).unwrap();
    assert_eq!(plan.class_weights, [1.0, 5.0]);
    for tile in &plan.tiles {
        let is_rare = tile.labels.iter().any(|label| label.class == ClassId(1));
        assert_eq!(tile.repeats, if is_rare { 5 } else { 1 }, "{}", tile.name);
    }
    let listed = plan.oversampled(Split::Train).count();
    assert_eq!(listed, plan.tiles.iter().map(|tile| tile.repeats as usize).sum::<usize>());
    assert!(yolo::data_yaml(&plan).contains("  1: \"mitosis, \\\"rare\\\"\"\n"));
}

#[test]
fn empty_training_tiles_are_few_and_hard_ones_known() {
    let mut set = annotated(1);
    set.images[0].size = Some((20_000.0, 700.0));
    let all_train = SplitSettings { train: 1.0, val: 0.0, ..SplitSettings::default() };
    let settings = TrainingSettings { split: all_train, ..settings(Task::Detect, BorderRule::Whole) };
    let plan = plan_training_set(set.clone(), &settings, &[]).unwrap();
    let report = &plan.splits[0];
    assert_eq!(report.empty_tiles, (report.tiles - report.empty_tiles).div_ceil(10));
    let fooled = plan.tiles.iter().position(|tile| tile.labels.is_empty()).unwrap();
    let centre = plan.tiles[fooled].area.center();
    let mark = Object { shape: Shape::Point(centre), score: Some(0.9), ..set.objects[0].clone() };
    assert!(hard_negatives(&plan, &[mark], 10).contains(&fooled));
    assert!(hard_negatives(&plan, &[], 10).is_empty());
    // A tile that was thinned out stays once the model was wrong in it.
    let all = TrainingSettings { empty_per_full: 1e9, ..settings.clone() };
    let all = plan_training_set(set.clone(), &all, &[]).unwrap();
    let kept = |plan: &TrainingSet, name: &str| plan.tiles.iter().any(|tile| tile.name == name);
    let dropped = all.tiles.iter().find(|tile| !kept(&plan, &tile.name)).unwrap();
    let mark = Object { shape: Shape::Point(dropped.area.center()), ..set.objects[0].clone() };
    assert!(kept(&plan_training_set(set, &settings, &[mark]).unwrap(), &dropped.name));
}

#[test]
fn dots_need_a_size_and_a_scale_needs_pixels() {
    let mut set = annotated(1);
    set.objects.iter_mut().for_each(|object| object.shape = Shape::Point(object.shape.centroid()));
    let mut settings = settings(Task::Detect, BorderRule::Whole);
    assert!(matches!(
        plan_training_set(set.clone(), &settings, &[]),
        Err(EvalError::PointsHaveNoArea { .. })
    ));
    settings.dot_um = Some(5.0);
    let plan = plan_training_set(set.clone(), &settings, &[]).unwrap();
    let label = &plan.tiles[0].labels[0];
    assert!((label.bounds.width() - 20.0).abs() < 1e-9);
    set.images[0].mpp = None;
    assert!(matches!(plan_training_set(set, &settings, &[]), Err(EvalError::NoMpp { .. })));
}

#[test]
fn the_table_shows_splits_classes_and_weights() {
    let shown =
        plan_training_set(annotated(3), &settings(Task::Detect, BorderRule::Whole), &[]).unwrap().to_string();
    for part in ["train", "val", "tumour", "weight", "1.00"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
}

#[test]
fn label_files_with_mistakes_name_the_line() {
    let parse = |text: &str| yolo::parse_labels(text, 10.0, 10.0, Path::new("a.txt"));
    assert_eq!(parse("0 0.5 0.5 0.2 0.2 0.75\n").unwrap()[0].score, Some(0.75));
    let message = parse("0 0.5 0.5 0.2 0.2\n1 0.5 x 0.2 0.2\n").unwrap_err().to_string();
    assert!(message.starts_with("bad YOLO labels, line 2: something is not a number"), "{message}");
    assert!(parse("0 1 2 3 4 5 6 7\n").unwrap_err().to_string().contains("7 numbers"));
}

#[test]
fn images_of_one_name_in_two_folders_have_tiles_of_their_own() {
    let mut set = annotated(2);
    set.images[0].name = "/data/a/001.svs".to_owned();
    set.images[1].name = "/data/b/001.svs".to_owned();
    let plan = plan_training_set(set, &settings(Task::Detect, BorderRule::Whole), &[]).unwrap();
    let names: BTreeSet<&str> = plan.tiles.iter().map(|tile| tile.name.as_str()).collect();
    assert_eq!(names.len(), plan.tiles.len());
    assert!(names.contains("a-001_x0_y0") && names.contains("b-001_x0_y0"), "{names:?}");
}

#[test]
fn a_set_of_crowds_alone_teaches_nothing_and_is_refused() {
    let mut set = annotated(1);
    set.objects.iter_mut().for_each(|object| object.role = Role::Crowd);
    let refused = plan_training_set(set, &settings(Task::Detect, BorderRule::Whole), &[]);
    assert!(matches!(refused, Err(EvalError::CrowdsAlone { objects: 300, .. })));
}
