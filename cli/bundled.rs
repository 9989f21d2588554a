//! The model that comes with slidemill, and opening whichever is asked for.

use detector::{DetectSettings, Manifest, ModelReport, OnnxDetector, SessionSettings};

use crate::{exit::Failure, settings::Settings};

/// Nuclei in H&E. Card, data, licence and limits: `models/nuclei-he/README.md`.
const NUCLEI_HE: &[u8] = include_bytes!("../models/nuclei-he/nuclei-he.onnx");
const NAME: &str = "nuclei-he";

/// What is known of the model of the settings, or of the bundled one.
///
/// # Errors
///
/// A usage failure with the path last when it cannot be used.
pub fn describe(model: Option<&std::path::Path>) -> anyhow::Result<ModelReport> {
    match model {
        // The error names the file.
        Some(path) => {
            detector::describe(path).map_err(|error| Failure::usage(format!("cannot use the model: {error}")))
        }
        None => detector::describe_bytes(NAME, NUCLEI_HE, "").map_err(Failure::usage),
    }
}

/// What the model of the settings, or the bundled one, promises.
///
/// # Errors
///
/// As [`describe`].
pub fn manifest(settings: &Settings) -> anyhow::Result<Manifest> {
    Ok(describe(settings.model.as_deref())?.manifest)
}

/// Opens `model`, or the bundled one, at `manifest`'s thresholds; detections from
/// `score_floor` on are given.
///
/// # Errors
///
/// A usage failure when the model cannot be used, or its device not be had.
pub fn open(
    settings: &Settings,
    model: Option<&std::path::Path>,
    manifest: &Manifest,
    score_floor: f32,
) -> anyhow::Result<OnnxDetector> {
    let session = SessionSettings {
        threads: settings.threads,
        batch: settings.batch,
        window: (settings.window as usize, settings.window as usize),
        cache_dir: None,
    };
    let mut detect = DetectSettings::of(manifest);
    // The detector drops what is at its floor, a threshold keeps it.
    detect.score_floor = score_floor.next_down();
    if let Some(iou) = settings.window_iou {
        detect.nms_iou = iou as f32;
    }
    match model {
        Some(path) => OnnxDetector::open(path, &settings.device, &detect, &session)
            .map_err(|error| Failure::usage(format!("cannot use the model: {error}: {}", path.display()))),
        None => OnnxDetector::from_bytes(NAME, NUCLEI_HE, "", &settings.device, &detect, &session)
            .map_err(Failure::usage),
    }
}
