//! Models of other frameworks, with random weights: answers must be those of their own decoding for the same
//! picture.
//!
//! `tests/contracts` holds each model, its manifest and its framework's answers; the scripts that wrote them are in
//! `models/contracts`. Boxes, as fractions of the window, and scores must agree within 1e-4.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use detector::{
    BatchView, DetectSettings, Detector, Device, OnnxDetector, SessionSettings, WindowResult, describe,
    manifest::{Activation, Background, Head, HeadSource},
};
use serde::Deserialize;
use wsi_types::{Detection, WindowIndex};

const MOST: f32 = 1e-4;

#[derive(Deserialize)]
struct Reference {
    framework: String,
    side: usize,
    conf: f32,
    found: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "box")]
    bbox: [f32; 4],
    score: f32,
    class: u16,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contracts").join(name).with_extension("onnx")
}

fn reference(name: &str) -> Reference {
    serde_json::from_slice(&std::fs::read(path(name).with_extension("json")).unwrap()).unwrap()
}

/// A class map as the framework itself makes it.
#[derive(Deserialize)]
struct MapReference {
    framework: String,
    side: usize,
    columns: u32,
    classes: Vec<Option<u16>>,
}

/// The picture of `models/contracts/contract.py`.
fn picture(side: usize) -> Vec<u8> {
    (0..side * side * 3).map(|place| ((place * 2_654_435_761) >> 13) as u8).collect()
}

fn answer(name: &str, side: usize, score_floor: f32) -> Option<WindowResult> {
    if let Err(absent) = native::find(native::Library::OnnxRuntime) {
        eprintln!("skipped: ONNX Runtime is absent: {absent}");
        return None;
    }
    let session = SessionSettings { threads: 1, window: (side, side), ..SessionSettings::default() };
    let settings = DetectSettings { score_floor, ..DetectSettings::default() };
    let mut detector = OnnxDetector::open(&path(name), &Device::Cpu, &settings, &session).unwrap();
    let (pixels, windows) = (picture(side), [WindowIndex(0)]);
    let batch = BatchView { height: side, width: side, windows: &windows, pixels: &pixels };
    Some(detector.detect(batch).unwrap().remove(0))
}

/// The largest difference of any side, as a fraction of the window, and of the score.
fn difference(found: &Detection, row: &Row, side: usize) -> f32 {
    let bbox = found.bbox;
    let sides = [bbox.min.x, bbox.min.y, bbox.max.x, bbox.max.y];
    let of_box = sides.iter().zip(&row.bbox).map(|(ours, theirs)| (ours - theirs).abs() / side as f32);
    of_box.fold((found.score.get() - row.score).abs(), f32::max)
}

/// Their answers without those that name an object again, with a class of a lower score.
fn objects(rows: &[Row]) -> Vec<&Row> {
    let is_first = |(place, row): (usize, &Row)| rows[..place].iter().all(|better| better.bbox != row.bbox);
    rows.iter().enumerate().filter(|&(place, row)| is_first((place, row))).map(|(_, row)| row).collect()
}

#[test]
fn boxes_and_scores_are_those_of_their_framework() {
    for name in ["rt-detr", "yolos", "rf-detr", "d-fine", "points"] {
        let Reference { framework, side, conf, found: theirs } = reference(name);
        let Some(result) = answer(name, side, conf) else { return };
        assert!(!result.is_full, "{name}");
        let ours = result.outcome.unwrap();
        let theirs = objects(&theirs);
        let worst =
            ours.iter().zip(&theirs).map(|(found, row)| difference(found, row, side)).fold(0.0, f32::max);
        eprintln!("{name} of {framework}: {} objects, largest difference {worst:.1e}", ours.len());
        let classes = ours.iter().map(|found| found.class.0);
        assert!(ours.len() == theirs.len() && classes.eq(theirs.iter().map(|row| row.class)), "{name}");
        assert!(worst <= MOST, "{name}: {worst}");
    }
}

#[test]
fn the_class_of_each_place_is_that_of_its_framework() {
    let bytes = std::fs::read(path("segformer").with_extension("json")).unwrap();
    let MapReference { framework, side, columns, classes } = serde_json::from_slice(&bytes).unwrap();
    let Some(result) = answer("segformer", side, 0.0) else { return };
    let map = result.map.unwrap();
    let ours: Vec<Option<u16>> = map.places().into_iter().map(|class| class.map(|class| class.0)).collect();
    assert_eq!((result.outcome, map.columns(), ours.len()), (Ok(vec![]), columns, classes.len()));
    let other = ours.iter().zip(&classes).filter(|(ours, theirs)| ours != theirs).count();
    eprintln!("segformer of {framework}: {} places, {other} of another class", ours.len());
    assert_eq!(other, 0);
    let report = describe(&path("segformer")).unwrap();
    assert_eq!(report.manifest.head, Head::Semantic { scores: Some(Activation::Softmax) });
    assert!(
        report.bytes <= 200_000 && report.to_string().contains("a place is of the class of its largest map")
    );
}

#[test]
fn class_maps_are_asked_for_what_their_numbers_do_not_say() {
    let beside = tempfile::tempdir().unwrap();
    let bare = beside.path().join("segformer.onnx");
    std::fs::copy(path("segformer"), &bare).unwrap();
    let manifest = std::fs::read_to_string(path("segformer").with_extension("toml")).unwrap();
    let said = |wanted: &str, instead: &str| {
        assert!(manifest.contains(wanted), "{wanted}");
        std::fs::write(bare.with_extension("toml"), manifest.replace(wanted, instead)).unwrap();
        describe(&bare).map(|report| report.manifest.semantic.unwrap()).map_err(|error| error.to_string())
    };
    let first = said("mpp", "mpp").unwrap();
    assert_eq!((first.channels, first.least_probability), (vec![1, 2, 3], 0.0));
    let section = "stride = 4\n[semantic]\nchannels = [3, 0, 1]\nleast_probability = 0.25";
    let named = said("background = \"first\"", "").map(|_| ()).unwrap_err();
    assert!(
        named.contains("there are 4 maps for 3 classes, and nothing says which is of no class"),
        "{named}"
    );
    for (wanted, instead, expected) in [
        ("activation = \"softmax\"", "", "activation: is missing: nothing says what the numbers of logits"),
        ("activation = \"softmax\"", "activation = \"none\"", "semantic.least_probability: is missing"),
        ("background = \"first\"", "background = \"none\"", "makes 3 maps for 3 classes, but there are 4"),
        ("stride = 4", section, "is first, but semantic.channels names the map of each class"),
        ("stride = 4", "stride = 4\n[semantic]\nleast_probability = 1.5", "is 1.5, expected 0 to below 1"),
        ("stride = 4", "stride = 4\n[semantic]\nleast = 0.5", "semantic.least: unknown key"),
        ("head = \"semantic\"", "head = \"points\"", "activation: is softmax"),
    ] {
        let message = said(wanted, instead).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let of_channels = manifest.replace("background = \"first\"", "").replace("stride = 4", section);
    std::fs::write(bare.with_extension("toml"), of_channels).unwrap();
    let semantic = describe(&bare).unwrap().manifest.semantic.unwrap();
    assert_eq!((semantic.channels, semantic.least_probability), (vec![3, 0, 1], 0.25));
}

#[test]
fn a_model_that_has_no_answer_left_is_full() {
    for name in ["rt-detr", "d-fine"] {
        let Some(result) = answer(name, reference(name).side, 0.0) else { return };
        assert!(result.is_full, "{name}");
    }
}

#[test]
fn each_is_told_by_the_names_of_its_outputs() {
    let raw = |activation, background| Head::Detr { activation, background };
    for (name, head) in [
        ("rt-detr", raw(Activation::Sigmoid, Background::None)),
        ("yolos", raw(Activation::Softmax, Background::Last)),
        ("rf-detr", raw(Activation::Sigmoid, Background::First)),
        ("d-fine", Head::DetrFinal { joined: false }),
    ] {
        let report = describe(&path(name)).unwrap();
        assert_eq!((report.manifest.head, report.manifest.head_source), (head, HeadSource::Names), "{name}");
        assert!(report.to_string().contains("at most 12 objects per window"), "{report}");
        assert!(report.bytes <= 200_000, "{name}: {} bytes", report.bytes);
    }
}

#[test]
fn points_are_asked_for_what_their_maps_do_not_say() {
    let beside = tempfile::tempdir().unwrap();
    let bare = beside.path().join("points.onnx");
    std::fs::copy(path("points"), &bare).unwrap();
    let manifest = std::fs::read_to_string(path("points").with_extension("toml")).unwrap();
    let said = |wanted: &str, instead: &str| {
        assert!(manifest.contains(wanted), "{wanted}");
        std::fs::write(bare.with_extension("toml"), manifest.replace(wanted, instead)).unwrap();
        describe(&bare).map(|report| report.manifest.nms_iou).map_err(|error| error.to_string())
    };
    // (8 - 2.5) / (8 + 2.5), and no less: the nearest neighbours are two objects.
    let iou = f64::from(said("mpp", "mpp").unwrap());
    assert!(iou > 5.5 / 10.5 && iou < 5.5 / 10.5 + 1e-6);
    for (wanted, instead, expected) in [
        ("diameter_um = 8.0", "", "points.diameter_um: is missing"),
        ("channels = [2, 5]", "", "the model answers 6 maps for 2 classes"),
        ("channels = [2, 5]", "channels = [2, 6]", "names map 6, but there are 6, counted from 0"),
        ("channels = [2, 5]", "channels = [2]", "names 1 map for 2 classes"),
        ("mpp = 0.5", "", "mpp: is missing"),
        ("mpp = 0.5", "mpp = 0.5\nnms_iou = 0.4", "nms_iou: is 0.4, but boxes"),
        ("activation = \"sigmoid\"", "activation = \"softmax\"", "activation: is softmax"),
        ("head = \"points\"", "head = \"detect\"", "no known head"),
    ] {
        let message = said(wanted, instead).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

/// Without the form of pixels, a model would be given other pixels than it was trained with, and count wrong
/// silently.
#[test]
fn pixels_are_asked_for_where_makers_differ() {
    let beside = tempfile::tempdir().unwrap();
    for (name, is_known) in [("rt-detr", false), ("rf-detr", true)] {
        let bare = beside.path().join(format!("{name}.onnx"));
        std::fs::copy(path(name), &bare).unwrap();
        let manifest = std::fs::read_to_string(path(name).with_extension("toml")).unwrap();
        let without = manifest.lines().filter(|line| !line.starts_with("mean") && !line.starts_with("std"));
        std::fs::write(bare.with_extension("toml"), without.collect::<Vec<_>>().join("\n")).unwrap();
        match describe(&bare) {
            Ok(report) => assert!(is_known && report.manifest.normalisation.mean == [0.485, 0.456, 0.406]),
            Err(error) => {
                assert!(!is_known && error.to_string().contains("input.mean: nothing says"), "{error}");
            }
        }
    }
}
