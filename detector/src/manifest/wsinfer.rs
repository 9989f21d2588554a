//! The `config.json` of the WSInfer model zoo: classes, size and scale of patches, and their normalisation.
//!
//! Zoo models are folders with a TorchScript file and this one. Once exported to ONNX in the same folder, such a model
//! needs no TOML.

use serde::Deserialize;

use super::{
    Activation, Background,
    file::{ClassSection, Described, InputSection, ManifestFile},
};
use crate::DetectorError;

/// The part of the file that says how a model is run.
#[derive(Debug, Deserialize)]
struct Config {
    class_names: Vec<String>,
    patch_size_pixels: u32,
    spacing_um_px: f64,
    transform: Vec<Transform>,
}

/// A step from the pixels of a patch to the tensor.
#[derive(Debug, Deserialize)]
#[serde(tag = "name", content = "arguments")]
enum Transform {
    Resize { size: u32 },
    ToTensor,
    Normalize { mean: [f32; 3], std: [f32; 3] },
}

/// The manifest that `text` stands for; `None` for a `config.json` of something else.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for a file of the zoo that cannot be understood whole.
pub(crate) fn manifest(text: &str) -> Option<Result<ManifestFile, DetectorError>> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let is_of_zoo = ["patch_size_pixels", "spacing_um_px"].iter().all(|key| json.get(key).is_some());
    is_of_zoo.then(|| {
        let config: Config = serde_json::from_value(json)
            .map_err(|error| DetectorError::manifest("config.json", error.to_string()))?;
        config.manifest()
    })
}

impl Config {
    fn manifest(self) -> Result<ManifestFile, DetectorError> {
        let (side, steps) = match &self.transform[..] {
            [Transform::Resize { size }, steps @ ..] => (*size, steps),
            steps => (self.patch_size_pixels, steps),
        };
        // `ToTensor` gives bytes over 255.
        let (mean, std) = match steps {
            [Transform::ToTensor] => ([0.0; 3], None),
            [Transform::ToTensor, Transform::Normalize { mean, std }] => (*mean, Some(*std)),
            _ => {
                let reason = format!(
                    "has the steps {:?}, expected Resize, ToTensor and Normalize in this order; describe the model in a \
                     TOML beside it",
                    self.transform
                );
                return Err(DetectorError::manifest("config.json, transform", reason));
            }
        };
        if side == 0 || self.patch_size_pixels == 0 {
            let reason = "a patch of 0 px, expected 1 or more".to_owned();
            return Err(DetectorError::manifest("config.json", reason));
        }
        // WSInfer gives a single score a sigmoid, and several a softmax.
        let activation = if self.class_names.len() == 1 { Activation::Sigmoid } else { Activation::Softmax };
        let named = |name| ClassSection { name, ..ClassSection::default() };
        Ok(ManifestFile {
            head: Some("patch".to_owned()),
            activation: Some(activation),
            background: Some(Background::None),
            mpp: Some(self.spacing_um_px * f64::from(self.patch_size_pixels) / f64::from(side)),
            described: Some(Described {
                file: "config.json",
                side: Some((side, side)),
                layout: None,
                sha256: None,
            }),
            input: InputSection { mean: Some(mean), std, ..InputSection::default() },
            classes: Some(self.class_names.into_iter().map(named).collect()),
            ..ManifestFile::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As breast-tumor-resnet34.tcga-brca has it.
    const BREAST: &str = r#"{"spec_version": "1.0", "architecture": "resnet34", "num_classes": 2,
        "class_names": ["notumor", "tumor"], "patch_size_pixels": 350, "spacing_um_px": 0.25,
        "transform": [{"name": "Resize", "arguments": {"size": 224}}, {"name": "ToTensor"},
            {"name": "Normalize", "arguments": {"mean": [0.7238, 0.5716, 0.6779], "std": [0.112, 0.1459, 0.1089]}}]}"#;

    fn file(text: &str) -> ManifestFile {
        manifest(text).expect("of the zoo").expect("understood")
    }

    fn side(file: &ManifestFile) -> Option<(u32, u32)> {
        file.described.as_ref().and_then(|described| described.side)
    }

    #[test]
    fn a_patch_is_as_large_in_um_as_the_zoo_says() {
        let breast = file(BREAST);
        assert_eq!((breast.head.as_deref(), breast.activation), (Some("patch"), Some(Activation::Softmax)));
        // 350 px of 0.25 µm are 87.5 µm, given as 224 px.
        assert_eq!((breast.mpp, side(&breast)), (Some(87.5 / 224.0), Some((224, 224))));
        assert_eq!(breast.input.std, Some([0.112, 0.1459, 0.1089]));
        let names = breast.classes.expect("classes").into_iter().map(|class| class.name);
        assert!(names.eq(["notumor", "tumor"]));
        let same_size = BREAST.replace(r#"{"name": "Resize", "arguments": {"size": 224}}, "#, "");
        assert_eq!((file(&same_size).mpp, side(&file(&same_size))), (Some(0.25), Some((350, 350))));
    }

    #[test]
    fn a_single_score_stands_alone() {
        let one = BREAST.replace(r#"["notumor", "tumor"]"#, r#"["tumor"]"#);
        assert_eq!(file(&one).activation, Some(Activation::Sigmoid));
    }

    #[test]
    fn other_files_of_that_name_are_not_read_and_unknown_steps_refused() {
        assert!(manifest(r#"{"architectures": ["RTDetrForObjectDetection"]}"#).is_none());
        assert!(manifest("not JSON").is_none());
        for (wanted, instead, expected) in [
            ("\"Resize\"", "\"CenterCrop\"", "unknown variant `CenterCrop`"),
            (r#"{"name": "ToTensor"},"#, "", "expected Resize, ToTensor and Normalize in this order"),
            ("224", "0", "a patch of 0 px"),
        ] {
            let refused = manifest(&BREAST.replace(wanted, instead)).expect("of the zoo").unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }
}
