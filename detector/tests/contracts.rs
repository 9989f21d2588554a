//! Models of other frameworks, with random weights: answers must be those of their own decoding for the same
//! picture.
//!
//! `tests/contracts` holds each model, its manifest and its framework's answers; the scripts that wrote them are in
//! `models/contracts`. Boxes, as fractions of the window, and scores must agree within 1e-4.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use detector::{
    BatchView, DetectSettings, Detector, Device, Manifest, OnnxDetector, SessionSettings, WindowResult,
    describe,
    manifest::{Activation, Background, ChannelAxis, Head, HeadSource, Hover, HoverScores, Labels, Task},
};
use serde::Deserialize;
use wsi_types::{Detection, Embedding, Score, WindowIndex};

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
    let batch = BatchView { height: side, width: side, windows: &windows, pixels: &pixels, stretch: None };
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
    let is_first = |(place, row): (usize, &Row)| {
        rows[..place].iter().all(|better| better.bbox != row.bbox || better.score == row.score)
    };
    rows.iter().enumerate().filter(|&(place, row)| is_first((place, row))).map(|(_, row)| row).collect()
}

#[test]
fn boxes_and_scores_are_those_of_their_framework() {
    for name in ["rt-detr", "yolos", "rf-detr", "d-fine", "points", "star", "hover", "labels"] {
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
fn patches_are_asked_for_what_their_scores_do_not_say() {
    let beside = tempfile::tempdir().unwrap();
    let bare = beside.path().join("patch.onnx");
    std::fs::copy(path("patch"), &bare).unwrap();
    let manifest = std::fs::read_to_string(path("patch").with_extension("toml")).unwrap();
    let said = |wanted: &str, instead: &str| {
        assert!(manifest.contains(wanted), "{wanted}");
        std::fs::write(bare.with_extension("toml"), manifest.replace(wanted, instead)).unwrap();
        describe(&bare).map_err(|error| error.to_string())
    };
    let report = said("mpp", "mpp").unwrap();
    assert_eq!(report.manifest.head, Head::Patch { activation: Activation::Softmax });
    assert_eq!((report.manifest.task, report.manifest.fixed_input()), (Task::Areas, Some((16, 16))));
    assert!(report.to_string().contains("a window is of the class of its largest score"), "{report}");
    for (wanted, instead, expected) in [
        ("activation = \"softmax\"", "", "activation: is missing: nothing says what the numbers of scores"),
        ("background = \"first\"", "", "there are 4 maps for 3 classes"),
        ("mean = [0.0, 0.0, 0.0]", "", "input.mean: nothing says"),
        ("head = \"patch\"", "head = \"semantic\"", "no known head"),
        ("head = \"patch\"", "", "no known head"),
    ] {
        let message = said(wanted, instead).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    // The zoo's file says the same, but for the background.
    std::fs::remove_file(bare.with_extension("toml")).unwrap();
    let config = r#"{"class_names": ["glass", "tumour", "stroma", "necrosis"], "patch_size_pixels": 32, "spacing_um_px": 0.5,
        "transform": [{"name": "Resize", "arguments": {"size": 16}}, {"name": "ToTensor"}]}"#;
    std::fs::write(beside.path().join("config.json"), config).unwrap();
    let manifest_of_zoo = describe(&bare).unwrap().manifest;
    assert_eq!(manifest_of_zoo.head, Head::Patch { activation: Activation::Softmax });
    assert_eq!(manifest_of_zoo.mpp.map(wsi_types::Mpp::get), Some(1.0));
    assert_eq!((manifest_of_zoo.classes.len(), manifest_of_zoo.normalisation.mean), (4, [0.0; 3]));
    std::fs::write(beside.path().join("config.json"), config.replace("\"size\": 16", "\"size\": 8")).unwrap();
    let message = describe(&bare).unwrap_err().to_string();
    assert!(message.contains("8 × 8 px there, but the model takes 16 × 16"), "{message}");
    // A graph that takes any size does not say how large a patch is.
    let other = beside.path().join("colours.onnx");
    std::fs::copy(path("colours"), &other).unwrap();
    std::fs::write(other.with_extension("toml"), &manifest).unwrap();
    assert!(describe(&other).unwrap_err().to_string().contains("no known head"));
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

#[test]
fn rays_are_told_by_the_names_of_their_maps_and_ask_for_pixels() {
    let beside = tempfile::tempdir().unwrap();
    let bare = beside.path().join("star.onnx");
    std::fs::copy(path("star"), &bare).unwrap();
    let manifest = std::fs::read_to_string(path("star").with_extension("toml")).unwrap();
    let said = |wanted: &str, instead: &str| {
        assert!(manifest.contains(wanted), "{wanted}");
        std::fs::write(bare.with_extension("toml"), manifest.replace(wanted, instead)).unwrap();
        describe(&bare).map_err(|error| error.to_string())
    };
    let report = said("mpp", "mpp").unwrap();
    let expected = Head::Star {
        activation: Activation::None,
        channels: ChannelAxis::Last,
        classes: Some(Background::First),
    };
    assert_eq!((report.manifest.head, report.manifest.head_source), (expected, HeadSource::Names));
    assert_eq!(report.manifest.task, Task::Segment);
    let text = report.to_string();
    assert!(text.contains("distances to its border along rays") && report.bytes <= 200_000, "{text}");
    let third = "[[classes]]\nname = \"stromal\"\n[[classes]]\nname = \"lymphocyte\"";
    for (wanted, instead, expected) in [
        ("mean = [0.0, 0.0, 0.0]", "", "input.mean: nothing says how pixels are normalised"),
        ("overlap = 0.3", "overlap = 1.5", "star.overlap: is 1.5, expected 0 to 1"),
        ("overlap = 0.3", "nms = 0.3", "star.nms: unknown key"),
        ("[[classes]]\nname = \"stromal\"", third, "prob_class [1, 48, 48, 3] has 3 scores"),
        ("stride = 2", "stride = 2\nactivation = \"softmax\"", "activation: is softmax"),
        ("stride = 2", "stride = 2\nhead = \"detect\"", "no known head"),
        ("stride = 2", "stride = 2\nbackground = \"none\"", "background = \"none\", but prob_class"),
    ] {
        let message = said(wanted, instead).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let other = beside.path().join("points.onnx");
    std::fs::copy(path("points"), &other).unwrap();
    let manifest = std::fs::read_to_string(path("points").with_extension("toml")).unwrap();
    std::fs::write(other.with_extension("toml"), manifest.replace("\"points\"", "\"star\"")).unwrap();
    let message = describe(&other).unwrap_err().to_string();
    assert!(message.contains("expected maps named prob and dist"), "{message}");
}

#[test]
fn maps_of_nuclei_are_told_by_their_names_and_have_outlines() {
    let report = describe(&path("hover")).unwrap();
    let scores = HoverScores::Types { background: Background::First };
    assert_eq!(
        (report.manifest.head, report.manifest.head_source, report.manifest.task),
        (Head::Hover { scores }, HeadSource::Names, Task::Segment)
    );
    assert_eq!(report.manifest.hover, Some(Hover { sobel_px: 11, min_px: 5 }));
    assert!(report.bytes <= 200_000 && report.to_string().contains("cut where they touch"), "{report}");
    let Some(result) = answer("hover", reference("hover").side, 0.0) else { return };
    let found = result.outcome.unwrap();
    assert!(!found.is_empty());
    for Detection { bbox, outline, .. } in &found {
        let outline = outline.as_ref().unwrap();
        let (x, y) = (outline.iter().map(|point| point.x), outline.iter().map(|point| point.y));
        let sides = [
            x.clone().fold(f32::MAX, f32::min) - bbox.min.x,
            y.clone().fold(f32::MAX, f32::min) - bbox.min.y,
            bbox.max.x - x.fold(f32::MIN, f32::max),
            bbox.max.y - y.fold(f32::MIN, f32::max),
        ];
        assert_eq!(sides, [0.0; 4]);
    }
}

#[test]
fn maps_of_nuclei_are_asked_for_what_they_do_not_say() {
    let beside = tempfile::tempdir().unwrap();
    let bare = beside.path().join("hover.onnx");
    std::fs::copy(path("hover"), &bare).unwrap();
    let manifest = std::fs::read_to_string(path("hover").with_extension("toml")).unwrap();
    let said = |wanted: &str, instead: &str| {
        assert!(manifest.contains(wanted), "{wanted}");
        std::fs::write(bare.with_extension("toml"), manifest.replace(wanted, instead)).unwrap();
        describe(&bare).map(|report| report.manifest.hover.unwrap()).map_err(|error| error.to_string())
    };
    let stroma = "[[classes]]\nname = \"stroma\"";
    for (wanted, instead, expected) in [
        ("mpp = 0.5", "mpp = 0.35", "hover.sobel_px: is missing"),
        ("mpp = 0.5", "", "hover.sobel_px: is missing"),
        ("stride = 1", "stride = 1\n[hover]\nsobel_px = 10", "hover.sobel_px: is 10, expected an odd number"),
        ("stride = 1", "stride = 1\n[hover]\nmin_px = 0", "hover.min_px: is 0, expected 1 to 10000 px"),
        ("stride = 1", "stride = 1\n[hover]\nkernel = 11", "hover.kernel: unknown key"),
        (
            "stride = 1",
            "stride = 1\n[hover]\nnp = \"nuclei\"",
            "hover.np: is nuclei, expected the name of an output: np, hv, tp",
        ),
        (
            "stride = 1",
            "stride = 1\n[hover]\nnp = \"tp\"",
            "head: is hover, but tp is [batch, 4, height, width]",
        ),
        (
            "stride = 1",
            "activation = \"softmax\"",
            "activation: is softmax, but the score of a nucleus is the share",
        ),
        (
            "stride = 1",
            "background = \"none\"",
            "classes: there are 3 classes and background none, which makes 3 types",
        ),
        (
            stroma,
            "",
            "classes: there are 2 classes and background first, which makes 3 types, but tp is [batch, 4",
        ),
        ("mean = [0.0, 0.0, 0.0]", "", "input.mean: nothing says"),
        ("stride = 1", "head = \"points\"", "no known head"),
    ] {
        let message = said(wanted, instead).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let said_so = "mpp = 0.35\nstride = 1\nhead = \"hover\"\n[hover]\nsobel_px = 15\nmin_px = 7";
    let sizes = said("mpp = 0.5\nconf = 0.45\nstride = 1", said_so).unwrap();
    assert_eq!(sizes, Hover { sobel_px: 15, min_px: 7 });
    assert_eq!(said("mpp = 0.5", "mpp = 0.2428").unwrap(), Hover { sobel_px: 21, min_px: 10 });
}

#[test]
fn numbered_objects_have_outlines_and_are_told_by_the_toml_alone() {
    let report = describe(&path("labels")).unwrap();
    assert_eq!(
        (report.manifest.head, report.manifest.head_source, report.manifest.task),
        (Head::Labels, HeadSource::Stated, Task::Segment)
    );
    assert_eq!(report.manifest.labels, Some(Labels { channels: vec![0, 1] }));
    assert!(
        report.bytes <= 200_000 && report.to_string().contains("the number of the object at each place"),
        "{report}"
    );
    let Some(result) = answer("labels", reference("labels").side, 0.0) else { return };
    for Detection { bbox, outline, score, .. } in result.outcome.unwrap() {
        assert!(score == Score::ONE && outline.unwrap().iter().all(|point| bbox.contains_inclusive(*point)));
    }
}

#[test]
fn label_maps_are_asked_for_what_their_numbers_do_not_say() {
    let beside = tempfile::tempdir().unwrap();
    let bare = beside.path().join("labels.onnx");
    std::fs::copy(path("labels"), &bare).unwrap();
    let manifest = std::fs::read_to_string(path("labels").with_extension("toml")).unwrap();
    let said = |wanted: &str, instead: &str| {
        assert!(manifest.contains(wanted), "{wanted}");
        std::fs::write(bare.with_extension("toml"), manifest.replace(wanted, instead)).unwrap();
        describe(&bare).map(|report| report.manifest.labels.unwrap()).map_err(|error| error.to_string())
    };
    let cell = "[[classes]]\nname = \"cell\"";
    for (wanted, instead, expected) in [
        (
            "head = \"labels\"\n",
            "",
            "labels    [B, H, W] or [B, 2, H, W], where a TOML beside the model says so",
        ),
        (cell, "", "labels.channels: is missing: the model answers 2 maps for 1 class"),
        ("stride = 1", "stride = 1\n[labels]\nchannels = [1, 1]", "labels.channels: names map 1 twice"),
        (
            "stride = 1",
            "stride = 1\n[labels]\nchannels = [0, 2]",
            "labels.channels: names map 2, but there are 2",
        ),
        ("stride = 1", "stride = 1\n[labels]\nmaps = 2", "labels.maps: unknown key"),
        ("stride = 1", "activation = \"sigmoid\"", "activation: the head is labels, which has none"),
        ("mean = [0.0, 0.0, 0.0]", "", "input.mean: nothing says"),
    ] {
        let message = said(wanted, instead).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let nuclei = said(
        &format!("[input]\nmean = [0.0, 0.0, 0.0]\n\n{}\n\n{cell}", cell.replace("cell", "nucleus")),
        "[labels]\nchannels = [1]\n[input]\nmean = [0.0, 0.0, 0.0]\n[[classes]]\nname = \"cell\"",
    );
    assert_eq!(nuclei, Ok(Labels { channels: vec![1] }));
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

/// The vector of a window as the model's own arithmetic makes it, in halves.
#[derive(Deserialize)]
struct VectorReference {
    framework: String,
    side: usize,
    vector: Vec<f32>,
}

fn floats(embedding: &Embedding) -> Vec<f32> {
    embedding.halves().iter().map(|&half| half::f16::from_bits(half).to_f32()).collect()
}

#[test]
fn the_vector_of_a_window_is_that_of_its_framework() {
    let bytes = std::fs::read(path("embedding").with_extension("json")).unwrap();
    let VectorReference { framework, side, vector: theirs } = serde_json::from_slice(&bytes).unwrap();
    let Some(result) = answer("embedding", side, 0.0) else { return };
    let ours = floats(&result.embedding.unwrap());
    assert_eq!((result.outcome, result.map, ours.len()), (Ok(vec![]), None, theirs.len()));
    let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    eprintln!("embedding of {framework}: {} numbers, largest difference {worst:.1e}", ours.len());
    assert!(worst <= MOST, "{worst}");
}

#[test]
fn models_of_vectors_are_asked_for_what_they_do_not_say() {
    let beside = tempfile::tempdir().unwrap();
    let bare = beside.path().join("mean-colour.onnx");
    std::fs::copy(path("mean-colour"), &bare).unwrap();
    let manifest = std::fs::read_to_string(path("mean-colour").with_extension("toml")).unwrap();
    let said = |wanted: &str, instead: &str| {
        assert!(manifest.contains(wanted), "{wanted}");
        std::fs::write(bare.with_extension("toml"), manifest.replace(wanted, instead)).unwrap();
        describe(&bare).map_err(|error| error.to_string())
    };
    let report = said("mpp", "mpp").unwrap();
    let Manifest { head, head_source, task, classes, .. } = &report.manifest;
    assert_eq!(
        (*head, *head_source, *task, classes.len()),
        (Head::Embedding { dimensions: 3 }, HeadSource::Stated, Task::Vectors, 0)
    );
    let text = report.to_string();
    assert!(text.contains("[B, 3]: a vector for each window") && !text.contains("thresholds"), "{text}");
    assert_eq!((report.notes.len(), report.assumed.len()), (0, 1), "{:?} {:?}", report.notes, report.assumed);
    let class = "mpp = 1.0\n[[classes]]\nname = \"tumour\"\n";
    for (wanted, instead, expected) in [
        ("mean = [0.0, 0.0, 0.0]", "", "input.mean: nothing says"),
        (
            "mpp = 1.0",
            "mpp = 1.0\nconf = 0.5",
            "conf: the head is embedding, which has neither objects nor classes",
        ),
        ("mpp = 1.0", "mpp = 1.0\nmax_object_um = 5", "max_object_um: the head is embedding"),
        (
            "mpp = 1.0",
            "mpp = 1.0\nactivation = \"none\"",
            "activation: the head is embedding, 3 numbers, which has none",
        ),
        ("mpp = 1.0", "mpp = 1.0\n[semantic]\nchannels = [0]", "semantic: "),
        ("mpp = 1.0", class, "classes: the head is embedding"),
        ("head = \"embedding\"", "head = \"embeddings\"", "labels, embedding, yolov5"),
        ("head = \"embedding\"", "", "names: the model does not name its classes"),
    ] {
        let message = said(wanted, instead).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    // A graph that takes any size does not say how large a patch is; one of maps has no vector.
    let other = beside.path().join("colours.onnx");
    std::fs::copy(path("colours"), &other).unwrap();
    std::fs::write(other.with_extension("toml"), &manifest).unwrap();
    let message = describe(&other).unwrap_err().to_string();
    assert!(
        message.contains("no known head") && message.contains("embedding [B, numbers of a vector]"),
        "{message}"
    );
}

/// As the graph of a picture of any size has no number at that place either.
#[test]
fn vectors_without_numbers_and_patches_that_are_not_square_are_refused() {
    let model = std::fs::read(path("mean-colour")).unwrap();
    let manifest = std::fs::read_to_string(path("mean-colour").with_extension("toml")).unwrap();
    // Its dimensions are written once each: 16 in the input, 3 in the output.
    let with = |from: &[u8], to: &[u8]| {
        let places: Vec<usize> = (0..model.len()).filter(|&at| model[at..].starts_with(from)).collect();
        let mut changed = model.clone();
        changed[*places.last().unwrap()..][..to.len()].copy_from_slice(to);
        detector::describe_bytes("m", &changed, &manifest).unwrap_err().to_string()
    };
    let message = with(&[0x0a, 0x02, 0x08, 0x03], &[0x0a, 0x02, 0x08, 0x00]);
    assert!(message.contains("expected [batch, numbers of a vector], 1 to 65536"), "{message}");
    let message = with(&[0x0a, 0x02, 0x08, 0x10], &[0x0a, 0x02, 0x08, 0x08]);
    assert!(message.contains("is embedding, but the input takes 8 × 16 px"), "{message}");
}
