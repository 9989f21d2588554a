//! The inputs of `../shared/cases/annotations`, made after reports on users' files: each is read as the user
//! would expect, or refused in words.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use eval::{
    EvalError, Evaluation, EvaluationSettings, evaluate,
    evaluation::AbsentImages,
    matching::Criterion,
    truth::{Parts, ReadSettings, Reading, read, remarks::Remark},
};
use wsi_types::Mpp;

/// The folder of cases, or a visible skip.
fn cases() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/annotations");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

fn read_for(path: &Path, criterion: Criterion) -> Result<Reading, EvalError> {
    let mpp = Mpp::new(0.25).ok();
    read(path, &ReadSettings { detail: criterion.detail(), mpp, ..ReadSettings::default() })
}

fn judge(predictions: &Path, truth: &Path, criterion: Criterion) -> Evaluation {
    let settings = EvaluationSettings {
        criterion,
        min_score: 0.0,
        bootstrap: None,
        absent_images: AbsentImages::Missed,
        ..EvaluationSettings::default()
    };
    let [predictions, truth] = [predictions, truth].map(|path| read_for(path, criterion).unwrap().set);
    evaluate(truth, predictions, &settings).unwrap()
}

const NEAR: Criterion = Criterion::DistanceUm(3.0);
const BOXES: Criterion = Criterion::BoxIou(0.5);
const MASKS: Criterion = Criterion::MaskIou(0.5);

/// Hits, false marks and misses.
fn counts(found: &Evaluation) -> [f64; 3] {
    let counts = found.overall.working.counts;
    [counts.hits, counts.false_marks, counts.missed]
}

#[test]
fn coco_results_are_judged_by_the_categories_of_their_truth() {
    let Some(cases) = cases() else { return };
    let found = judge(&cases.join("pred_coco.json"), &cases.join("e00_truth.json"), BOXES);
    assert!((found.overall.figures.ap50.unwrap().value - 1.0).abs() < 1e-12);
    assert_eq!(found.classes.iter().map(|c| c.class.as_str()).collect::<Vec<_>>(), ["nucleus"]);
    let found = judge(&cases.join("e19_results.json"), &cases.join("e19_truth_two_classes.json"), BOXES);
    assert_eq!(found.classes.iter().map(|c| c.class.as_str()).collect::<Vec<_>>(), ["tumour", "stroma"]);
    for class in &found.classes {
        assert!((class.figures.ap50.unwrap().value - 1.0).abs() < 1e-12, "{}", class.class);
    }
}

#[test]
fn a_set_of_crowds_alone_is_refused_or_taken_for_objects() {
    let Some(cases) = cases() else { return };
    let crowds = cases.join("e01_cvat_all_iscrowd.json");
    let truth = read_for(&crowds, MASKS).unwrap().set;
    let refused = evaluate(truth.clone(), truth, &EvaluationSettings::default());
    assert!(matches!(refused, Err(EvalError::CrowdsAlone { objects: 30, .. })));
    let settings = ReadSettings { crowds_are_objects: true, ..ReadSettings::default() };
    let truth = read(&crowds, &settings).unwrap().set;
    let settings = EvaluationSettings { criterion: MASKS, bootstrap: None, ..EvaluationSettings::default() };
    let predictions = read_for(&cases.join("pred.geojson"), MASKS).unwrap().set;
    let found = evaluate(truth, predictions, &EvaluationSettings { min_score: 0.0, ..settings }).unwrap();
    assert_eq!(counts(&found), [30.0, 0.0, 0.0]);
}

/// Judges every export of the thirty cells: its hits, false marks and misses.
#[test]
fn every_way_of_writing_thirty_cells_is_read() {
    let Some(cases) = cases() else { return };
    let truth = cases.join("e00_truth.json");
    for (name, criterion, expected) in [
        ("e00_truth.json", MASKS, [30.0, 0.0, 0.0]),
        ("e02_roboflow_two_of_a_name.json", BOXES, [30.0, 0.0, 0.0]),
        ("e03a_float_ids.json", BOXES, [30.0, 0.0, 0.0]),
        ("e03b_iscrowd_false.json", MASKS, [30.0, 0.0, 0.0]),
        ("e03c_string_image_id.json", BOXES, [30.0, 0.0, 0.0]),
        ("e03d_annotation_id_text.json", BOXES, [30.0, 0.0, 0.0]),
        ("e03e_bbox_empty.json", BOXES, [30.0, 0.0, 0.0]),
        ("e03e_bbox_empty.json", MASKS, [30.0, 0.0, 0.0]),
        ("e03f_segmentation_empty_part.json", MASKS, [30.0, 0.0, 0.0]),
        ("e03g_float_image_id_no_iscrowd.json", BOXES, [30.0, 0.0, 0.0]),
        ("e03h_score_null.json", BOXES, [30.0, 0.0, 0.0]),
        ("e03i_rle_bytes_list.json", MASKS, [30.0, 0.0, 0.0]),
        ("e03j_one_two_point_polygon.json", MASKS, [30.0, 0.0, 0.0]),
        // As pycocotools: a box without width overlaps nothing.
        ("e16_zero_width_bbox.json", BOXES, [29.0, 1.0, 1.0]),
        ("e16_negative_width_bbox.json", BOXES, [29.0, 1.0, 1.0]),
        ("pred.geojson", MASKS, [30.0, 0.0, 0.0]),
        ("e06a_with_ruler.geojson", MASKS, [30.0, 0.0, 0.0]),
        ("e06b_geometry_collection.geojson", MASKS, [29.0, 0.0, 1.0]),
        ("e06c_empty_polygon.geojson", MASKS, [30.0, 0.0, 0.0]),
        ("e06e_classification_list.geojson", MASKS, [30.0, 0.0, 0.0]),
        ("e06f_class_named_in_properties_name.geojson", MASKS, [30.0, 0.0, 0.0]),
        ("e06h_one_sliver_of_two_points.geojson", MASKS, [30.0, 0.0, 0.0]),
        ("e06i_multipolygon_of_one.geojson", MASKS, [30.0, 0.0, 0.0]),
        ("e07_nan.geojson", MASKS, [30.0, 0.0, 0.0]),
        ("e12_qupath.geojson.gz", MASKS, [30.0, 0.0, 0.0]),
        ("e12_qupath.zip", MASKS, [30.0, 0.0, 0.0]),
        ("e04_qupath_cp1252.tsv", NEAR, [30.0, 0.0, 0.0]),
        ("e04_qupath_from_R.csv", NEAR, [30.0, 0.0, 0.0]),
        ("e04_qupath_greek_mu.tsv", NEAR, [30.0, 0.0, 0.0]),
        ("e04_qupath_um.csv", NEAR, [30.0, 0.0, 0.0]),
        ("e04_qupath_utf16.tsv", NEAR, [30.0, 0.0, 0.0]),
        ("e04_qupath_utf8.tsv", NEAR, [30.0, 0.0, 0.0]),
        ("e05_semicolon_decimal_comma.csv", NEAR, [30.0, 0.0, 0.0]),
        ("e05_semicolon_dot.csv", NEAR, [30.0, 0.0, 0.0]),
        ("e05_sep_line.csv", NEAR, [30.0, 0.0, 0.0]),
        ("e14_label_x_y.csv", NEAR, [30.0, 0.0, 0.0]),
        ("e14_regionprops.csv", BOXES, [30.0, 0.0, 0.0]),
        ("e14_regionprops.csv", NEAR, [30.0, 0.0, 0.0]),
        ("e15", BOXES, [30.0, 0.0, 0.0]),
        ("e15_bom", BOXES, [30.0, 0.0, 0.0]),
        ("e15_conf", BOXES, [30.0, 0.0, 0.0]),
        ("e15_crlf_blank", BOXES, [30.0, 0.0, 0.0]),
        ("e15_float_class", BOXES, [30.0, 0.0, 0.0]),
        ("e15_mixed", BOXES, [30.0, 0.0, 0.0]),
        ("e15_tabs", BOXES, [30.0, 0.0, 0.0]),
    ] {
        let found = judge(&cases.join(name), &truth, criterion);
        assert_eq!(counts(&found), expected, "{name} by {criterion}");
    }
}

#[test]
fn what_is_left_out_is_counted_and_named() {
    let Some(cases) = cases() else { return };
    for (name, what) in [
        ("e06a_with_ruler.geojson", Remark::Line),
        ("e06b_geometry_collection.geojson", Remark::Collection),
        ("e06c_empty_polygon.geojson", Remark::Placeless),
        ("e06h_one_sliver_of_two_points.geojson", Remark::Sliver),
        ("e03j_one_two_point_polygon.json", Remark::Sliver),
    ] {
        let remarks = read_for(&cases.join(name), MASKS).unwrap().remarks;
        assert_eq!(remarks.count(what), 1, "{name}");
        assert!(remarks.left_out().unwrap().ends_with(name), "{name}");
    }
    let decided = [
        ("e04_qupath_cp1252.tsv", Remark::Windows1252),
        ("e14_label_x_y.csv", Remark::LabelsAreNumbers),
        ("e14_regionprops.csv", Remark::LabelsAreNumbers),
    ];
    for (name, what) in decided {
        let remarks = read_for(&cases.join(name), NEAR).unwrap().remarks;
        assert_eq!((remarks.count(what), remarks.left_out()), (1, None), "{name}");
    }
    assert_eq!(read_for(&cases.join("e00_truth.json"), MASKS).unwrap().remarks.notes(), Vec::<String>::new());
}

#[test]
fn a_name_is_one_however_its_accents_are_written() {
    let Some(cases) = cases() else { return };
    let folder = tempfile::tempdir().unwrap();
    // With a second image, so that they have to be found by name.
    let with_second = |name: &str| {
        let text = std::fs::read_to_string(cases.join(name)).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{}\nother.svs,1,1,9,9,nucleus,0.9\n", text.trim_end())).unwrap();
        path
    };
    let found = judge(&with_second("e08_NFD.csv"), &with_second("e08_NFC.csv"), BOXES);
    assert_eq!((found.images, counts(&found)[1..].to_vec()), (2, vec![0.0, 0.0]));
}

#[test]
fn objects_without_a_class_are_judged_as_such() {
    let Some(cases) = cases() else { return };
    let found =
        judge(&cases.join("pred_coco.json"), &cases.join("e06d_null_geometry_and_class.geojson"), BOXES);
    assert_eq!(counts(&found), [30.0, 0.0, 0.0]);
}

/// Each file numbers its images from 1.
#[test]
fn images_of_one_number_in_two_files_are_two() {
    let Some(cases) = cases() else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in ["e18_truth_1.json", "e18_truth_2.json"] {
        std::fs::copy(cases.join(name), folder.path().join(name)).unwrap();
    }
    let found = judge(folder.path(), folder.path(), BOXES);
    assert_eq!((found.images, counts(&found)), (2, [40.0, 0.0, 0.0]));
}

#[test]
fn formats_that_are_not_known_are_said_to_be_so() {
    let Some(cases) = cases() else { return };
    for name in ["e11_asap.xml", "e11_imagescope.xml"] {
        assert!(matches!(read_for(&cases.join(name), MASKS), Err(EvalError::UnknownFormat { .. })), "{name}");
    }
}

/// QuPath merges annotations into one multi-polygon.
#[test]
fn one_multi_polygon_of_all_cells_is_all_cells() {
    let Some(cases) = cases() else { return };
    let text = std::fs::read_to_string(cases.join("pred.geojson")).unwrap();
    let cells: serde_json::Value = serde_json::from_str(&text).unwrap();
    let parts: Vec<&serde_json::Value> = cells["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|feature| &feature["geometry"]["coordinates"])
        .collect();
    let merged = serde_json::json!([{
        "type": "Feature",
        "geometry": { "type": "MultiPolygon", "coordinates": parts },
        "properties": { "objectType": "annotation", "classification": { "name": "nucleus" } },
    }]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("merged.geojson");
    std::fs::write(&path, merged.to_string()).unwrap();
    let found = judge(&path, &cases.join("e00_truth.json"), MASKS);
    assert_eq!(counts(&found), [30.0, 0.0, 0.0]);
    assert_eq!(read_for(&path, MASKS).unwrap().remarks.count(Remark::PartsTaken), 1);
    let whole = ReadSettings { parts: Parts::Whole, ..ReadSettings::default() };
    assert_eq!(read(&path, &whole).unwrap().remarks.count(Remark::PartsKept), 1);
}
