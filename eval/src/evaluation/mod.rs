//! The whole evaluation: predictions against truth, one report.

mod figures;
mod mistakes;
mod report;
mod settings;
mod show;
mod sides;
mod study;

pub use self::{
    figures::{FigureRow, Figures},
    mistakes::{Mistakes, mistakes},
    report::{AreaReport, ClassReport, Evaluation, Panoptic, SensitivityAt},
    settings::{AbsentImages, Assignment, EvaluationSettings, UnknownImages},
    show::span,
};
use self::{sides::Sides, study::Study};
use crate::{error::Result, objects::ObjectSet};

/// Judges `predictions` by `truth`.
///
/// Images and classes are brought together by [`align`](crate::align::align).
///
/// # Errors
///
/// [`ImagesWithoutTruth`](crate::EvalError::ImagesWithoutTruth) unless they may be skipped;
/// [`NoCommonClass`](crate::EvalError::NoCommonClass); [`CrowdsAlone`](crate::EvalError::CrowdsAlone);
/// [`NoMpp`](crate::EvalError::NoMpp) and [`PointsHaveNoArea`](crate::EvalError::PointsHaveNoArea) when the
/// objects lack what the criterion needs; [`Empty`](crate::EvalError::Empty) without images;
/// [`Setting`](crate::EvalError::Setting); and those of [`align`](crate::align::align).
pub fn evaluate(
    truth: ObjectSet,
    predictions: ObjectSet,
    settings: &EvaluationSettings,
) -> Result<Evaluation> {
    let sides = Sides::new(truth, predictions, settings)?;
    let study = Study::new(&sides, settings)?;
    Ok(study.report(&sides))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wsi_types::{ClassId, Level0Box, Mpp};

    use super::*;
    use crate::{
        EvalError,
        ap::AreaRange,
        matching::Criterion,
        objects::UNNAMED_CLASS,
        objects::{Class, Image, ImageId, Object, Role, Shape},
    };

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

    fn without_intervals() -> EvaluationSettings {
        EvaluationSettings { bootstrap: None, ..EvaluationSettings::default() }
    }

    #[test]
    fn truth_against_itself_is_perfect() {
        for criterion in [Criterion::BoxIou(0.5), Criterion::MaskIou(0.75), Criterion::DistanceUm(3.0)] {
            let settings = EvaluationSettings { criterion, ..without_intervals() };
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
        let mut settings = without_intervals();
        let refused = evaluate(truth(), predictions.clone(), &settings);
        assert!(matches!(refused, Err(EvalError::ImagesWithoutTruth { count: 1, .. })));
        settings.unknown_images = UnknownImages::Skip;
        settings.absent_images = AbsentImages::Missed;
        let found = evaluate(truth(), predictions, &settings).unwrap();
        assert_eq!(found.overall.working.counts.missed, 5.0);
        assert_eq!(
            found.notes,
            [
                "1 image has predictions and no truth; it was left out",
                "1 of 2 truth images has no predictions at all; all its objects count as missed"
            ]
        );
    }

    #[test]
    fn truth_that_was_never_run_is_left_out_unless_asked() {
        let mut predictions = scored(truth(), 0.9);
        predictions.images.truncate(1);
        predictions.images.push(Image::named("a second, without objects"));
        predictions.objects.retain(|object| object.image == ImageId(0));
        let settings = EvaluationSettings { unknown_images: UnknownImages::Skip, ..without_intervals() };
        let found = evaluate(truth(), predictions.clone(), &settings).unwrap();
        assert_eq!((found.images, found.overall.truth, found.area_mm2), (1, 5, Some(1.0)));
        assert_eq!(found.overall.working.recall, Some(1.0));
        assert_eq!(found.not_run, ["b"]);
        assert!(
            found.notes[1].ends_with("no predictions at all; it was left out as not run"),
            "{:?}",
            found.notes
        );
        // An image that was run is in the set though nothing was found there.
        predictions.images[1].name = "b".to_owned();
        let found = evaluate(truth(), predictions.clone(), &settings).unwrap();
        assert_eq!((found.images, found.overall.working.counts.missed), (2, 5.0));
        predictions.images = vec![Image::named("x"), Image::named("y")];
        let nothing = evaluate(truth(), predictions, &settings);
        assert!(matches!(nothing, Err(EvalError::Empty(_))));
    }

    #[test]
    fn sides_without_a_common_class_are_refused() {
        let mut predictions = scored(truth(), 0.9);
        for class in &mut predictions.classes {
            class.name = format!("model's {}", class.name);
        }
        let refused = evaluate(truth(), predictions.clone(), &without_intervals()).unwrap_err();
        let message = refused.to_string();
        assert!(
            message.contains("the truth has tumour, stroma, the predictions have model's tumour"),
            "{message}"
        );
        let one_class = EvaluationSettings { ignore_classes: true, ..without_intervals() };
        assert_eq!(evaluate(truth(), predictions.clone(), &one_class).unwrap().overall.working.f1, Some(1.0));
        // One class in common is enough, and the other is named.
        predictions.classes[1] = Class::named("stroma");
        let found = evaluate(truth(), predictions, &without_intervals()).unwrap();
        assert_eq!(
            found.notes,
            ["the truth knows no class model's tumour: its 5 predictions count as false"]
        );
    }

    #[test]
    fn truth_of_crowds_alone_is_refused_and_some_crowds_are_said() {
        let mut crowds = truth();
        crowds.objects.iter_mut().for_each(|object| object.role = Role::Crowd);
        let refused = evaluate(crowds, scored(truth(), 0.9), &without_intervals());
        assert!(matches!(refused, Err(EvalError::CrowdsAlone { objects: 10, .. })));
        let mut some = truth();
        some.objects[0].role = Role::Crowd;
        let found = evaluate(some, scored(truth(), 0.9), &without_intervals()).unwrap();
        assert_eq!(found.notes, ["1 of 10 truth objects is marked iscrowd and only excuses predictions"]);
    }

    #[test]
    fn intervals_over_few_images_carry_a_caution() {
        let found = evaluate(truth(), scored(truth(), 0.9), &EvaluationSettings::default()).unwrap();
        assert!(
            found.notes[0].starts_with("the intervals are of 2 images, patients or slides"),
            "{:?}",
            found.notes
        );
        let mut many = truth();
        for name in ["c", "d", "e"] {
            many.image_named(name);
        }
        let found = evaluate(many.clone(), scored(many, 0.9), &EvaluationSettings::default()).unwrap();
        assert!(found.notes.is_empty(), "{:?}", found.notes);
    }

    #[test]
    fn it_is_said_where_a_run_cut_its_predictions() {
        let mut predictions = scored(truth(), 0.9);
        predictions.images.iter_mut().for_each(|image| image.cut_at = Some(0.29));
        let found = evaluate(truth(), predictions.clone(), &without_intervals()).unwrap();
        assert!(
            found.notes[0].starts_with("predictions below a score of 0.29 were left out"),
            "{:?}",
            found.notes
        );
        predictions.images[0].cut_at = Some(0.1);
        let found = evaluate(truth(), predictions, &without_intervals()).unwrap();
        assert!(found.notes[0].contains("0.1 to 0.29, by image,"), "{:?}", found.notes);
    }

    #[test]
    fn one_image_on_each_side_is_taken_for_the_same_and_it_is_said() {
        let mut one = truth();
        one.images.truncate(1);
        one.objects.retain(|object| object.image == ImageId(0));
        let mut predictions = scored(one.clone(), 0.9);
        predictions.images[0].name = "elsewhere/z.svs".to_owned();
        let found = evaluate(one, predictions, &without_intervals()).unwrap();
        assert_eq!(found.overall.working.f1, Some(1.0));
        assert_eq!(
            found.notes,
            ["each side has one image; they were taken for the same though their names differ"]
        );
    }

    #[test]
    fn classes_unknown_to_one_side_are_no_disagreement() {
        let mut bare = truth();
        bare.merge_classes(UNNAMED_CLASS);
        let found = evaluate(bare, scored(truth(), 0.9), &without_intervals()).unwrap();
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
        let by_area = found.overall.by_area.iter();
        let sized: Vec<_> =
            by_area.map(|area| (area.truth, area.ap.map(|ap| (ap * 100.0).round()))).collect();
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
