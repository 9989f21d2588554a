//! The crate on real annotations, if they are there.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use eval::{
    EvaluationSettings, evaluate,
    matching::Criterion,
    objects::{Detail, ObjectSet},
    training_set::{BorderRule, GroupRule, Split, SplitSettings, TrainingSettings, plan_training_set},
    truth::{ReadSettings, read},
};
use wsi_types::Mpp;

/// A path under ../shared, or a visible skip.
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

fn read_at(path: &Path, mpp: f64, detail: Detail) -> ObjectSet {
    let mpp = Some(Mpp::new(mpp).unwrap());
    read(path, &ReadSettings { detail, mpp, ..ReadSettings::default() }).unwrap().set
}

#[test]
fn a_label_map_and_a_table_of_one_slide_are_the_same_nuclei() {
    let Some(labels) = shared("slides/gt/tnbc_dev_mosaic_label16.png") else { return };
    let table = labels.with_file_name("tnbc_dev_mosaic_nuclei.csv");
    for (criterion, detail) in
        [(Criterion::BoxIou(0.99), Detail::Boxes), (Criterion::DistanceUm(0.2), Detail::Points)]
    {
        let settings = EvaluationSettings { criterion, ..EvaluationSettings::default() };
        let found =
            evaluate(read_at(&labels, 0.25, detail), read_at(&table, 0.25, detail), &settings).unwrap();
        let counts = found.overall.working.counts;
        assert_eq!((counts.hits, counts.false_marks, counts.missed), (925.0, 0.0, 0.0), "{criterion}");
    }
}

#[test]
fn outlines_of_label_maps_have_their_pixels() {
    let Some(labels) = shared("nuclei/tnbc/dev") else { return };
    let outlines = read_at(&labels, 0.25, Detail::Full);
    assert_eq!((outlines.images.len(), outlines.objects.len()), (13, 925));
    assert!(outlines.objects.iter().all(|object| object.shape.area().fract() == 0.0));
    let settings = EvaluationSettings { criterion: Criterion::MaskIou(0.5), ..EvaluationSettings::default() };
    let found = evaluate(outlines.clone(), outlines, &settings).unwrap();
    assert_eq!(found.overall.figures.pq.unwrap().value, 1.0);
    assert_eq!(found.overall.figures.ap50_95.unwrap().interval, Some((1.0, 1.0)));
}

#[test]
fn dots_of_three_classes_become_tiles_split_by_patient() {
    let Some(dots) = shared("nuclei/brca_m2c") else { return };
    let mut set = read_at(&dots, 0.5, Detail::Points);
    assert_eq!(set.images.len(), 25);
    set.images.iter_mut().for_each(|image| image.size = Some((500.0, 500.0)));
    let split = SplitSettings { groups: GroupRule::Characters(12), ..SplitSettings::default() };
    let settings = TrainingSettings {
        tile_px: 256,
        overlap_px: 32,
        dot_um: Some(8.0),
        border: BorderRule::Centre,
        split,
        ..TrainingSettings::default()
    };
    let plan = plan_training_set(set.clone(), &settings, &[]).unwrap();
    assert_eq!(plan.classes.len(), 3);
    let patient = |name: &str| name[..12].to_owned();
    let patients = |split: Split| {
        let tiles = plan.tiles.iter().filter(move |tile| tile.split == split);
        tiles.map(|tile| patient(&tile.name)).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(patients(Split::Train).is_disjoint(&patients(Split::Val)));
    let labelled: std::collections::BTreeSet<usize> =
        plan.tiles.iter().flat_map(|tile| &tile.labels).map(|label| label.object).collect();
    let in_sight = set.objects.iter().filter(|o| {
        let centre = o.shape.centroid();
        centre.x < 500.0 && centre.y < 500.0
    });
    assert_eq!(labelled.len(), in_sight.count());
}
