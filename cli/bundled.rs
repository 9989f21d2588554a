//! The models that come with slidemill, and opening whichever is asked for.

use std::path::{Path, PathBuf};

use detector::{DetectSettings, Manifest, ModelReport, OnnxDetector, SessionSettings};

use crate::{exit::Failure, settings::Settings};

/// A model within the program, asked for by its name.
struct Bundled {
    name: &'static str,
    onnx: &'static [u8],
}

/// Nuclei in H&E; the first is taken when none is asked for. Card, data, licence and limits:
/// `models/nuclei-he/README.md`, and of the last `models/nuclei-he-classes/README.md`.
static BUNDLED: [Bundled; 4] = [
    Bundled { name: "nuclei-he", onnx: include_bytes!("../models/nuclei-he/nuclei-he.onnx") },
    Bundled { name: "nuclei-he-int8", onnx: include_bytes!("../models/nuclei-he/nuclei-he.int8.onnx") },
    Bundled { name: "nuclei-he-seg", onnx: include_bytes!("../models/nuclei-he/nuclei-he-seg.onnx") },
    Bundled {
        name: "nuclei-he-classes",
        onnx: include_bytes!("../models/nuclei-he-classes/nuclei-he-classes.onnx"),
    },
];

/// Where a model is to be had.
enum Source<'a> {
    Bundled(&'static Bundled),
    File(&'a Path),
}

impl<'a> Source<'a> {
    fn of(model: Option<&'a Path>) -> Self {
        let [default, ..] = &BUNDLED;
        let Some(path) = model else { return Self::Bundled(default) };
        let named = BUNDLED.iter().find(|bundled| path == Path::new(bundled.name));
        named.map_or(Self::File(path), Self::Bundled)
    }
}

/// `model` as it is understood from any folder: the path of a file made absolute, the
/// name of a bundled model as it is.
#[must_use]
pub fn from_any_folder(model: PathBuf) -> PathBuf {
    match Source::of(Some(&model)) {
        Source::Bundled(_) => model,
        Source::File(path) => std::path::absolute(path).unwrap_or(model),
    }
}

/// What is known of the model at that path or of that name, or of the default one.
///
/// # Errors
///
/// A usage failure with the path last when it cannot be used.
pub fn describe(model: Option<&Path>) -> anyhow::Result<ModelReport> {
    match Source::of(model) {
        Source::Bundled(Bundled { name, onnx }) => {
            detector::describe_bytes(name, onnx, "").map_err(Failure::usage)
        }
        Source::File(path) if !path.exists() => {
            let names: Vec<_> = BUNDLED.iter().map(|bundled| bundled.name).collect();
            Err(Failure::usage(format!(
                "there is no such model file, and none of that name is bundled (those are {}): {}",
                names.join(", "),
                path.display()
            )))
        }
        // The error names the file.
        Source::File(path) => {
            detector::describe(path).map_err(|error| Failure::usage(format!("cannot use the model: {error}")))
        }
    }
}

/// What the model of the settings, or the default one, promises.
///
/// # Errors
///
/// As [`describe`].
pub fn manifest(settings: &Settings) -> anyhow::Result<Manifest> {
    Ok(describe(settings.model.as_deref())?.manifest)
}

/// Opens `model`, or the default one, at `manifest`'s thresholds; detections from
/// `score_floor` on are given.
///
/// # Errors
///
/// A usage failure when the model cannot be used, or its device not be had.
pub fn open(
    settings: &Settings,
    model: Option<&Path>,
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
    match Source::of(model) {
        Source::Bundled(Bundled { name, onnx }) => {
            OnnxDetector::from_bytes(name, onnx, "", &settings.device, &detect, &session)
                .map_err(Failure::usage)
        }
        Source::File(path) => OnnxDetector::open(path, &settings.device, &detect, &session)
            .map_err(|error| Failure::usage(format!("cannot use the model: {error}: {}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_models_have_names_and_files_have_paths() {
        for Bundled { name, .. } in &BUNDLED {
            let report = describe(Some(Path::new(name))).unwrap();
            let classes: Vec<&str> =
                report.manifest.classes.iter().map(|class| class.name.as_str()).collect();
            let several = ["lymphocyte", "epithelial", "stromal"];
            let expected = if *name == "nuclei-he-classes" { &several[..] } else { &["nucleus"] };
            assert_eq!(classes, expected, "{name}");
            assert_eq!(from_any_folder(name.into()), Path::new(name));
        }
        assert!(from_any_folder("own.onnx".into()).is_absolute());
        let missing = describe(Some(Path::new("nuclei"))).unwrap_err().to_string();
        assert!(missing.contains("nuclei-he-seg") && missing.ends_with(": nuclei"), "{missing}");
    }
}
