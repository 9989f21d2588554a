//! Models that come with slidemill, and opening these or models of the user.

use std::path::{Path, PathBuf};

use detector::{DetectSettings, Device, ModelReport, OnnxDetector, Placement, SessionSettings};
use wsi_types::Mpp;

use crate::error::JobError;

/// Name of the model that is taken when none is asked for.
pub(crate) const DEFAULT: &str = "nuclei-he";

/// A model within the program, asked for by its name.
struct Bundled {
    name: &'static str,
    onnx: &'static [u8],
}

/// Nuclei in H&E and in H-DAB; the first is taken when none is asked for. Cards, data, licence and limits: `README.md` in the
/// folder of each.
static BUNDLED: [Bundled; 8] = [
    Bundled { name: DEFAULT, onnx: include_bytes!("../../models/nuclei-he/nuclei-he.onnx") },
    Bundled { name: "nuclei-he-int8", onnx: include_bytes!("../../models/nuclei-he/nuclei-he.int8.onnx") },
    Bundled { name: "nuclei-he-seg", onnx: include_bytes!("../../models/nuclei-he/nuclei-he-seg.onnx") },
    Bundled {
        name: "nuclei-he-classes",
        onnx: include_bytes!("../../models/nuclei-he-classes/nuclei-he-classes.onnx"),
    },
    Bundled {
        name: "nuclei-he-large",
        onnx: include_bytes!("../../models/nuclei-he-large/nuclei-he-large.onnx"),
    },
    Bundled {
        name: "nuclei-he-large-classes",
        onnx: include_bytes!("../../models/nuclei-he-large/nuclei-he-large-classes.onnx"),
    },
    Bundled {
        name: "nuclei-he-fast",
        onnx: include_bytes!("../../models/nuclei-he-large/nuclei-he-fast.int8.onnx"),
    },
    Bundled { name: "nuclei-hdab", onnx: include_bytes!("../../models/nuclei-hdab/nuclei-hdab.onnx") },
];

/// Place of a model.
enum Source<'a> {
    Bundled(&'static Bundled),
    File(&'a Path),
}

impl<'a> Source<'a> {
    fn new(model: Option<&'a Path>) -> Self {
        let [default, ..] = &BUNDLED;
        let Some(path) = model else { return Self::Bundled(default) };
        let named = BUNDLED.iter().find(|bundled| path == Path::new(bundled.name));
        named.map_or(Self::File(path), Self::Bundled)
    }
}

/// Returns `model` as it can be used from any folder: the path of a file made absolute, the name of a bundled
/// model unchanged.
#[must_use]
pub(crate) fn from_any_folder(model: PathBuf) -> PathBuf {
    match Source::new(Some(&model)) {
        Source::Bundled(_) => model,
        Source::File(path) => std::path::absolute(path).unwrap_or(model),
    }
}

/// Describes the model at that path or with that name, or the default one.
///
/// # Errors
///
/// A usage failure with the path last when it cannot be used.
pub fn describe(model: Option<&Path>) -> Result<ModelReport, JobError> {
    match Source::new(model) {
        Source::Bundled(Bundled { name, onnx }) => {
            detector::describe_bytes(name, onnx, "").map_err(JobError::usage)
        }
        Source::File(path) if !path.exists() => {
            let names: Vec<_> = names().collect();
            Err(JobError::usage(format!(
                "there is no such model file, and none of that name is bundled (those are {}): {}",
                names.join(", "),
                path.display()
            )))
        }
        // The error names the file.
        Source::File(path) => detector::describe(path)
            .map_err(|error| JobError::usage(format!("cannot use the model: {error}"))),
    }
}

/// Opens the model at that path or with that name, or the default one, outside any job: answers are as the model gives
/// them.
///
/// # Errors
///
/// [`JobError::Usage`] when the model cannot be used, or its device is not available.
pub fn open_model(
    model: Option<&Path>,
    device: &Device,
    detect: &DetectSettings,
    session: &SessionSettings,
) -> Result<OnnxDetector, JobError> {
    match Source::new(model) {
        Source::Bundled(Bundled { name, onnx }) => {
            OnnxDetector::from_bytes(name, onnx, "", device, detect, session).map_err(JobError::usage)
        }
        Source::File(path) => OnnxDetector::open(path, device, detect, session)
            .map_err(|error| JobError::usage(format!("cannot use the model: {error}: {}", path.display()))),
    }
}

/// Where the nodes of the model at that path or with that name, or of the default one, run on a device.
///
/// # Errors
///
/// [`JobError::Usage`] when the model cannot be used, or its device is not available; [`JobError::Again`] when the system
/// has no place for the profile.
pub fn placement(
    model: Option<&Path>,
    device: &Device,
    session: &SessionSettings,
) -> Result<Placement, JobError> {
    let scratch = tempfile::tempdir().map_err(|error| {
        JobError::again(format!("cannot make a folder for the profile of the model: {error}"))
    })?;
    let scratch = scratch.path();
    match Source::new(model) {
        Source::Bundled(Bundled { name, onnx }) => {
            detector::placement_bytes(name, onnx, "", device, session, scratch).map_err(JobError::usage)
        }
        Source::File(path) => detector::placement(path, device, session, scratch)
            .map_err(|error| JobError::usage(format!("cannot use the model: {error}: {}", path.display()))),
    }
}

/// Names of the bundled models; the first is taken when none is asked for.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUNDLED.iter().map(|bundled| bundled.name)
}

/// Settings for opening a model.
pub(crate) struct Opening<'a> {
    /// Device that it runs on.
    pub(crate) device: &'a Device,
    /// Settings of its session.
    pub(crate) session: SessionSettings,
    /// Boxes of one window with an IoU above this are one.
    pub(crate) nms_iou: f32,
    /// Lowest score of the detections that are given.
    pub(crate) score_floor: f32,
    /// Of its windows.
    pub(crate) mpp: Mpp,
}

impl Opening<'_> {
    /// Opens `model`, or the default one.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] when the model cannot be used, or its device is not available.
    pub(crate) fn open(&self, model: Option<&Path>) -> Result<OnnxDetector, JobError> {
        open_model(model, self.device, &self.detect(), &self.session)
    }

    /// The same for a model in memory; `manifest` is the text of its TOML.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn open_bytes(
        &self,
        name: &str,
        onnx: &[u8],
        manifest: &str,
    ) -> Result<OnnxDetector, JobError> {
        OnnxDetector::from_bytes(name, onnx, manifest, self.device, &self.detect(), &self.session)
            .map_err(JobError::usage)
    }

    fn detect(&self) -> DetectSettings {
        // The detector drops detections at its floor, a threshold keeps them.
        let score_floor = self.score_floor.next_down();
        let mpp = Some(self.mpp);
        DetectSettings { score_floor, nms_iou: self.nms_iou, mpp, ..DetectSettings::default() }
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
            let expected = if name.ends_with("-classes") { &several[..] } else { &["nucleus"] };
            assert_eq!(classes, expected, "{name}");
            assert_eq!(from_any_folder(name.into()), Path::new(name));
        }
        assert!(from_any_folder("own.onnx".into()).is_absolute());
        let missing = describe(Some(Path::new("nuclei"))).unwrap_err().to_string();
        assert!(missing.contains("nuclei-he-seg") && missing.ends_with(": nuclei"), "{missing}");
    }
}
