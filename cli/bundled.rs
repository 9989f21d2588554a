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

/// Opens the model of the settings, or the bundled one.
///
/// # Errors
///
/// A usage failure when the model cannot be used, or its device not be had.
pub fn open(settings: &Settings, manifest: &Manifest) -> anyhow::Result<OnnxDetector> {
    let session = SessionSettings {
        threads: settings.threads,
        batch: settings.batch,
        window: (settings.window as usize, settings.window as usize),
        cache_dir: None,
    };
    let mut detect = DetectSettings::of(manifest);
    if let Some(iou) = settings.merge_iou {
        detect.nms_iou = iou as f32;
    }
    if let Some(score) = settings.min_score {
        detect.score_floor = score;
    }
    match &settings.model {
        Some(path) => OnnxDetector::open(path, &settings.device, &detect, &session)
            .map_err(|error| Failure::usage(format!("cannot use the model: {error}: {}", path.display()))),
        None => OnnxDetector::from_bytes(NAME, NUCLEI_HE, "", &settings.device, &detect, &session)
            .map_err(Failure::usage),
    }
}
