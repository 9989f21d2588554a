//! Models as users bring them, and the report on each before a slide is read.
//!
//! The files lie in `../shared/cases/models`; where they are absent the tests say so and pass.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use detector::{
    BatchView, DetectSettings, Detector, DetectorError, Device, OnnxDetector, SessionSettings, WindowFault,
    WindowResult, describe,
    manifest::{Head, HeadSource},
};
use wsi_types::WindowIndex;

/// The folder of cases, or a visible skip.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/models");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no shared models in {}", folder.display());
    None
}

fn runtime_is_there() -> bool {
    let found = native::find(native::Library::OnnxRuntime);
    if let Err(absent) = &found {
        eprintln!("skipped: ONNX Runtime is absent: {absent}");
    }
    found.is_ok()
}

/// Parts of the message with which `describe` refuses each file.
const REFUSED: [(&str, &[&str]); 14] = [
    ("m01_yolov5_one_class.onnx", &["output0 [1, 25200, 6]", "YOLOv5", "head = \"yolov5\""]),
    ("m02_yolov5_three_classes.onnx", &["output0 [1, 25200, 8]", "YOLOv5"]),
    ("m08_obb.onnx", &["task: is obb"]),
    ("m10_classify.onnx", &["task: is classify"]),
    ("m11_external_data.onnx", &["m11_external_data.onnx.data", "onnx.save"]),
    ("m13_truncated.onnx", &["this is not an ONNX model", "cut short"]),
    ("m14_lfs_pointer.onnx", &["Git LFS pointer", "git lfs pull"]),
    ("m15_best.pt", &["PyTorch weights", "yolo export"]),
    ("m16_ir_version_13_future.onnx", &["IR version 99", "opset 17 or 18"]),
    ("m17_opset_future.onnx", &["opset 99", "opset 17 or 18"]),
    ("m24_four_channels.onnx", &["images has shape [1, 4, 640, 640]"]),
    ("m25_paddle_two_inputs.onnx", &["2 inputs (image, scale_factor)"]),
    ("m26_no_metadata.onnx", &["names: the model does not name its classes"]),
    ("absent.onnx", &["cannot read the model"]),
];

#[test]
fn what_cannot_be_read_is_named_with_the_cure() {
    let Some(folder) = folder() else { return };
    for (name, parts) in REFUSED {
        let path = folder.join(name);
        let message = describe(&path).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{name}: {part:?} is not in {message}");
        }
        assert!(message.ends_with(&path.display().to_string()), "{name}: {message}");
    }
}

#[test]
fn what_can_be_read_is_read_as_what_it_is() {
    let Some(folder) = folder() else { return };
    for (name, head, source) in [
        ("m00_good_fixed640.onnx", Head::Detect, HeadSource::Shape),
        ("m03_rtdetr_two_classes.onnx", Head::DetrRows, HeadSource::Description),
        ("m04_rtdetr_three_classes.onnx", Head::DetrRows, HeadSource::Description),
        ("m05_nms_true_static.onnx", Head::EndToEnd, HeadSource::Export),
        ("m06_nms_true_dynamic.onnx", Head::EndToEnd, HeadSource::Export),
        ("m07_end2end_yolo26.onnx", Head::EndToEnd, HeadSource::Export),
        ("m18_names_odd.onnx", Head::Detect, HeadSource::Shape),
        ("m21_nhwc_input_x.onnx", Head::Detect, HeadSource::Shape),
        ("m23_imgsz_640x320.onnx", Head::Detect, HeadSource::Shape),
        ("m27_boxes_0_to_1.onnx", Head::Detect, HeadSource::Shape),
    ] {
        let manifest = describe(&folder.join(name)).unwrap().manifest;
        assert_eq!((manifest.head, manifest.head_source), (head, source), "{name}");
    }
    let report = describe(&folder.join("m07_end2end_yolo26.onnx")).unwrap().to_string();
    assert!(report.contains("at most 300 objects per window"), "{report}");
    assert!(report.contains("fit into 692 px at 0.25 µm/px"), "{report}");
    let odd = describe(&folder.join("m18_names_odd.onnx")).unwrap();
    assert_eq!(odd.manifest.classes[1].name, "crow's: foot/cell");
    // A name of two lines is shown in one.
    assert_eq!(odd.manifest.classes[3].name, "a\nb");
    assert!(odd.to_string().lines().any(|line| line.ends_with("3 a\\nb")), "{odd}");
}

/// Answers for one window of noise, as real pixels are not all alike.
fn answers(path: &Path) -> Result<WindowResult, DetectorError> {
    const SIDE: usize = 640;
    let session = SessionSettings { threads: 1, window: (SIDE, SIDE), ..SessionSettings::default() };
    let mut detector = OnnxDetector::open(path, &Device::Cpu, &DetectSettings::default(), &session)?;
    let pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(|i| ((i * 2_654_435_761) >> 13) as u8).collect();
    let windows = [WindowIndex(5)];
    let batch = BatchView { height: SIDE, width: SIDE, windows: &windows, pixels: &pixels, stretch: None };
    Ok(detector.detect(batch)?.remove(0))
}

#[test]
fn models_that_answer_well_are_run() {
    let Some(folder) = folder() else { return };
    if !runtime_is_there() {
        return;
    }
    for name in [
        "m00_good_fixed640",
        "m03_rtdetr_two_classes",
        "m05_nms_true_static",
        "m06_nms_true_dynamic",
        "m21_nhwc_input_x",
    ] {
        let result = answers(&folder.join(format!("{name}.onnx"))).unwrap();
        let found = result.outcome.unwrap();
        assert!(!found.is_empty() && !result.is_full, "{name}: {found:?}");
        // Objects of several px, within the window.
        assert!(found.iter().all(|d| d.bbox.width() > 1.0 && d.bbox.max.x < 641.0), "{name}: {found:?}");
    }
}

#[test]
fn a_yolov5_head_is_read_where_a_toml_says_so() {
    let Some(folder) = folder() else { return };
    if !runtime_is_there() {
        return;
    }
    let beside = tempfile::tempdir().unwrap();
    let path = beside.path().join("m01.onnx");
    std::fs::copy(folder.join("m01_yolov5_one_class.onnx"), &path).unwrap();
    std::fs::write(path.with_extension("toml"), "head = \"yolov5\"").unwrap();
    let found = answers(&path).unwrap().outcome.unwrap();
    let sides: Vec<_> = found.iter().map(|d| (d.bbox.min.x, d.bbox.min.y, d.bbox.width())).collect();
    assert_eq!(sides, [(80.0, 102.0, 40.0), (278.0, 180.0, 44.0), (402.0, 482.0, 36.0)]);
    assert!((found[0].score.get() - 0.95 * 0.98).abs() < 1e-6);
}

#[test]
fn boxes_in_fractions_fail_before_a_slide_is_read() {
    let Some(folder) = folder() else { return };
    if !runtime_is_there() {
        return;
    }
    let fault = match answers(&folder.join("m27_boxes_0_to_1.onnx")) {
        Err(DetectorError::Answer { fault }) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault, WindowFault::BoxesInFractions { boxes: 3 });
}
