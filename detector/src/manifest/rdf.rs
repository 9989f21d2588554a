//! `rdf.yaml`, or `bioimageio.yaml`, of the bioimage.io model zoo, of versions 0.4 and 0.5.
//!
//! What it says of the pixels that a model wants, of axes, sizes and weights is taken; what cannot be done as it is
//! said is refused by its name. It does not say how objects are made of the answers: a TOML beside it does, and where both
//! say something the TOML counts.
//!
//! A *sample* is a picture as it was taken, of which blocks may be shown to a model: here the slide. So percentiles of each
//! sample are those of the slide.

mod field;
mod input;
mod steps;
mod version;

use self::{field::Field, input::Input, version::Version};
use super::{
    Activation,
    file::{Described, ManifestFile},
    yaml,
};
use crate::DetectorError;

/// Names that the file has.
pub(crate) const FILES: [&str; 2] = ["rdf.yaml", "bioimageio.yaml"];

/// The manifest that `text` stands for, as far as `toml`, the file that counts more, leaves it open. `None` for the
/// description of something else than a model, and of other weights than `model` where there is a TOML.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for what cannot be read, or not be done as it is said.
pub(crate) fn manifest(
    text: &str,
    model: &str,
    toml: Option<&ManifestFile>,
) -> Result<Option<ManifestFile>, DetectorError> {
    let root = yaml::parse(text).map_err(|reason| DetectorError::manifest("YAML", reason))?;
    let root = Field { path: String::new(), value: &root };
    if root.at("type").is_some_and(|kind| kind.value != "model") {
        return Ok(None);
    }
    let version = Version::of(&root.need("format_version")?)?;
    let weights = root.need("weights")?;
    let Some(onnx) = weights.at("onnx") else {
        let found: Vec<&str> =
            weights.value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        return Err(
            weights.refuse(format!("are {}, expected onnx: export the model to ONNX", found.join(", ")))
        );
    };
    let source = onnx.need("source")?;
    if file_name(source.text()?) != model {
        let reason = format!("is {}, and this model is {model}: name them alike", source.text()?);
        return if toml.is_some() { Ok(None) } else { Err(source.refuse(reason)) };
    }
    let nothing = ManifestFile::default();
    let toml = toml.unwrap_or(&nothing);
    let input = Input::of(&only(&root.need("inputs")?)?, version)?;
    if let Some(mode) = root.at("run_mode") {
        return Err(mode.refuse("which only software made for it can do".to_owned()));
    }
    let (side, stride) = match toml.stride {
        Some(_) => (None, None),
        None => input.sides()?,
    };
    let named = |key: &str| root.at(key).map(|field| field.text()).transpose();
    Ok(Some(ManifestFile {
        name: named("name")?.map(str::to_owned),
        version: root.at("version").map(|field| field.in_words()),
        description: named("description")?.map(str::to_owned),
        licence: named("license")?.map(str::to_owned),
        attribution: authors(&root)?,
        mpp: if toml.mpp.is_some() { None } else { input.mpp()? },
        stride,
        activation: if toml.activation.is_some() {
            None
        } else {
            activation(&root.need("outputs")?, version)?
        },
        input: if toml.input.is_about_values() { toml.input.clone() } else { input.section()? },
        described: Some(Described {
            file: "rdf.yaml",
            side,
            layout: Some(input.layout),
            sha256: onnx.at("sha256").map(|sha| sha.text()).transpose()?.map(str::to_ascii_lowercase),
        }),
        ..ManifestFile::default()
    }))
}

/// The last part of a path or address.
fn file_name(source: &str) -> &str {
    let path = source.split(['?', '#']).next().unwrap_or(source);
    path.rsplit('/').next().unwrap_or(path)
}

fn authors(root: &Field<'_>) -> Result<Option<String>, DetectorError> {
    let Some(authors) = root.at("authors") else { return Ok(None) };
    let names =
        authors.items()?.iter().map(|author| author.need("name")?.text()).collect::<Result<Vec<_>, _>>()?;
    Ok((!names.is_empty()).then(|| names.join(", ")))
}

/// The only one of a list.
fn only<'a>(list: &Field<'a>) -> Result<Field<'a>, DetectorError> {
    let mut items = list.items()?;
    match (items.pop(), items.len()) {
        (Some(one), 0) => Ok(one),
        (last, others) => {
            let found = others + usize::from(last.is_some());
            Err(list.refuse(format!("has {found} tensors, expected one picture")))
        }
    }
}

/// An argument of a step.
fn argument<'a>(step: &Field<'a>, key: &str) -> Option<Field<'a>> {
    step.at("kwargs")?.at(key)
}

fn is_float32(step: &Field<'_>) -> bool {
    argument(step, "dtype").is_some_and(|dtype| dtype.value == "float32")
}

/// The function that the answers are still to be given; `None` where there is none.
fn activation(outputs: &Field<'_>, version: Version) -> Result<Option<Activation>, DetectorError> {
    let outputs = outputs.items()?;
    let mut found = None;
    for output in &outputs {
        let steps = output.at("postprocessing").map(|steps| steps.items()).transpose()?.unwrap_or_default();
        for step in &steps {
            let activation = match step.need(version.name())?.text()? {
                "ensure_dtype" if is_float32(step) => continue,
                "sigmoid" => Activation::Sigmoid,
                "softmax" if argument(step, "axis").is_none_or(|axis| axis.value == "channel") => {
                    Activation::Softmax
                }
                other => {
                    let reason = format!(
                        "is {other}, expected sigmoid, softmax over channels, or nothing; say activation = … in a TOML \
                         beside the model, with \"none\" for answers that are taken as they are"
                    );
                    return Err(step.refuse(reason));
                }
            };
            if found.replace(activation).is_some() || outputs.len() > 1 {
                let reason =
                    "is for one of several outputs or steps; say activation = … in a TOML beside the model";
                return Err(step.refuse(reason.to_owned()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use wsi_types::StretchedChannels;

    use super::*;
    use crate::manifest::{
        ColourOrder, Layout,
        file::{InputSection, PercentileSection},
    };

    /// As version 0.5 has it: bytes, percentiles of each channel, half a µm.
    const V5: &str = r#"%YAML 1.2
---
type: model
format_version: 0.5.4
name: Nuclei
description: Nuclei of H&E
license: Apache-2.0
version: 1.2
authors: [{name: A. Author}, {name: B. Author, orcid: 0000-0001}]
inputs:
  - id: raw
    data: {type: uint8}
    axes:
      - {type: batch}
      - {type: channel, channel_names: [red, green, blue]}
      - {type: space, id: y, size: {min: 64, step: 32}, unit: micrometer, scale: 0.5}
      - {type: space, size: {min: 64, step: 32}, unit: micrometer, scale: 0.5}
    preprocessing:
      - {id: ensure_dtype, kwargs: {dtype: float32}}
      - {id: scale_range, kwargs: {axes: [y, x], min_percentile: 1, max_percentile: 99.8}}
outputs:
  - id: logits
    postprocessing: [{id: sigmoid}, {id: ensure_dtype, kwargs: {dtype: float32}}]
weights:
  onnx: {source: 'https://example.org/files/model.onnx?v=1', sha256: ABC, opset_version: 17}
  torchscript: {source: model.pt}
"#;

    /// As version 0.4 has it: fixed mean and deviation, one size.
    const V4: &str = r"
type: model
format_version: 0.4.10
name: Nuclei
inputs:
  - name: raw
    axes: byxc
    data_type: float32
    data_range: [0, 255]
    shape: [1, 512, 256, 3]
    preprocessing:
      - name: scale_linear
        kwargs: {gain: 0.5, offset: 1, axes: yx}
      - name: zero_mean_unit_variance
        kwargs: {mode: fixed, axes: yx, mean: [1, 2, 3], std: [1, 1, 2], eps: 0}
outputs: [{name: labels, axes: byx}]
weights: {onnx: {source: ./model.onnx}}
";

    fn read(text: &str) -> ManifestFile {
        manifest(text, "model.onnx", None).expect("understood").expect("of this model")
    }

    /// The refusal after `from` became `to`.
    fn said(text: &str, from: &str, to: &str) -> String {
        assert!(text.contains(from), "{from}");
        manifest(&text.replace(from, to), "model.onnx", None).expect_err(from).to_string()
    }

    #[test]
    fn percentiles_scale_and_names_are_taken() {
        let file = read(V5);
        let percentile = PercentileSection {
            low: Some(1.0),
            high: Some(99.8),
            per: Some("slide".to_owned()),
            channels: Some(StretchedChannels::Each),
            epsilon: Some(1e-6),
        };
        let input = InputSection {
            colour_order: Some(ColourOrder::Rgb),
            percentile: Some(percentile),
            ..InputSection::default()
        };
        assert_eq!((file.input, file.mpp, file.stride), (input, Some(0.5), Some(32)));
        assert_eq!((file.name.as_deref(), file.version.as_deref()), (Some("Nuclei"), Some("1.2")));
        assert_eq!(file.attribution.as_deref(), Some("A. Author, B. Author"));
        assert_eq!(
            (file.licence.as_deref(), file.activation),
            (Some("Apache-2.0"), Some(Activation::Sigmoid))
        );
        let described = Described {
            file: "rdf.yaml",
            side: None,
            layout: Some(Layout::Nchw),
            sha256: Some("abc".to_owned()),
        };
        assert_eq!(file.described, Some(described));
        let together = read(&V5.replace("axes: [y, x]", "axes: [channel, y, x]"));
        assert_eq!(
            together.input.percentile.and_then(|section| section.channels),
            Some(StretchedChannels::Together)
        );
    }

    #[test]
    fn linear_steps_become_one() {
        let file = read(V4);
        // (byte / 2 + 1 - mean) / std.
        let scaled = |byte: f32, c: usize| {
            let section = &file.input;
            (byte * section.scale.unwrap() as f32 - section.mean.unwrap()[c]) / section.std.unwrap()[c]
        };
        assert_eq!([scaled(10.0, 0), scaled(10.0, 1), scaled(10.0, 2)], [5.0, 4.0, 1.5]);
        let described = file.described.expect("described");
        assert_eq!((described.side, described.layout), (Some((256, 512)), Some(Layout::Nhwc)));
        assert_eq!((file.mpp, file.activation, file.stride), (None, None, None));
        let over_255 = V4.replace("gain: 0.5, offset: 1", "gain: 0.00392156862745098");
        let over_255 = read(&over_255.replace("mean: [1, 2, 3], std: [1, 1, 2]", "mean: 0.5, std: 0.25"));
        // Over 255, less a half, over a quarter.
        assert_eq!((over_255.input.mean, over_255.input.scale), (Some([2.0; 3]), Some(4.0 / 255.0)));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_name() {
        for (from, to, expected) in [
            ("0.5.4", "0.3.6", "format_version: is 0.3.6, expected 0.4 or 0.5"),
            ("onnx: {", "tensorflow: {", "weights: are tensorflow, torchscript, expected onnx"),
            (
                "files/model.onnx",
                "files/other.onnx",
                "weights.onnx.source: is https://example.org/files/other.onnx?v=1",
            ),
            ("[red, green, blue]", "[dapi]", "inputs[0]: has 1 channels, expected 3"),
            ("{type: batch}", "{type: time}", "inputs[0].axes: are tcyx, expected bcyx or byxc"),
            (
                "id: y, size: {min: 64, step: 32}",
                "id: y, size: 512",
                "expected one size, or multiples of one number",
            ),
            (
                "unit: micrometer, scale: 0.5}\n      - {type: space, size",
                "unit: inch}\n      - {type: space, size",
                "is inch",
            ),
            (
                "scale_range, kwargs",
                "zero_mean_unit_variance, kwargs",
                "preprocessing[1]: takes mean and deviation of each picture",
            ),
            ("id: scale_range", "id: clip", "preprocessing[1]: is clip, expected scale_linear"),
            (
                "max_percentile: 99.8",
                "max_percentile: 99.8, reference_tensor: raw",
                "kwargs: has reference_tensor, which is not known",
            ),
            ("axes: [y, x]", "axes: [channel]", "kwargs.axes: are c, expected both y and x"),
            (
                "{dtype: float32}}\n      -",
                "{dtype: uint8}}\n      -",
                "kwargs.dtype: is \"uint8\", expected float32",
            ),
            ("{type: uint8}", "{type: uint8, scale: 2}", "inputs[0].data: has a scale or an offset"),
            (
                "{id: sigmoid}",
                "{id: binarize, kwargs: {threshold: 0.5}}",
                "outputs[0].postprocessing[0]: is binarize",
            ),
            ("{id: sigmoid}", "{id: sigmoid}, {id: sigmoid}", "is for one of several outputs or steps"),
            (
                "  - id: logits",
                "  - id: logits\n    postprocessing: []\n  - id: more",
                "is for one of several outputs or steps",
            ),
            (
                "inputs:",
                "run_mode: {name: deepimagej}\ninputs:",
                "run_mode: which only software made for it can do",
            ),
            ("inputs:\n", "inputs:\n  - id: prompt\n", "inputs: has 2 tensors, expected one picture"),
            ("name: Nuclei\n", "name: *alias\n", "YAML: "),
        ] {
            let refused = said(V5, from, to);
            assert!(refused.contains(expected), "{from}: {refused}");
        }
        for (from, to, expected) in [
            ("[0, 255]", "[-.inf, .inf]", "inputs[0]: does not say whether its values are bytes"),
            ("mode: fixed", "mode: per_dataset", "takes mean and deviation of each picture"),
            ("gain: 0.5", "gain: -1", "expected positive numbers"),
            ("gain: 0.5", "gain: [1, 2]", "expected a number for each of three channels"),
            ("gain: 0.5", "gian: 0.5", "kwargs: has gian, which is not known"),
            ("shape: [1, 512, 256, 3]", "shape: [1, 512, 256, 1]", "has 1 channels, expected 3"),
        ] {
            let refused = said(V4, from, to);
            assert!(refused.contains(expected), "{from}: {refused}");
        }
    }

    /// A TOML counts more, and settles what would be refused.
    #[test]
    fn a_toml_settles_what_is_open() {
        let toml = ManifestFile::parse(
            "mpp = 0.25\nstride = 16\nactivation = 'none'\n[input]\nmean = [0.0, 0.0, 0.0]\n[[classes]]\nname = 'a'",
        );
        let toml = toml.expect("a manifest");
        let text =
            V5.replace("scale_range", "clip").replace("sigmoid", "binarize").replace("micrometer", "inch");
        let rdf = manifest(&text, "model.onnx", Some(&toml)).expect("understood").expect("of this model");
        let both = toml.clone().or(rdf);
        assert_eq!((both.mpp, both.stride, both.activation), (Some(0.25), Some(16), Some(Activation::None)));
        assert_eq!((both.input.mean, both.input.percentile), (Some([0.0; 3]), None));
        assert_eq!(
            (both.name.as_deref(), both.classes.map(|classes| classes.len())),
            (Some("Nuclei"), Some(1))
        );
        // Of another model in the same folder.
        assert!(matches!(manifest(V5, "mine.onnx", Some(&toml)), Ok(None)));
        let dataset = V5.replace("type: model", "type: dataset");
        assert!(matches!(manifest(&dataset, "model.onnx", None), Ok(None)));
    }
}
