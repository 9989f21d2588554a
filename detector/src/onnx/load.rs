//! From a file to a model whose contract is understood and whose input takes u8.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use prost::Message;
use sha2::{Digest, Sha256};
use wsi_types::wording::hex;

use super::{
    foreign,
    preprocess::{self, StretchInputs},
    proto,
};
use crate::{
    DetectorError, Manifest,
    manifest::{ManifestFile, RDF_FILES, manifest_of, manifest_of_rdf, manifest_of_zoo},
};

/// Largest size of a protobuf message, bytes.
const MAX_MODEL_BYTES: u64 = i32::MAX as u64;
/// Size that no manifest exceeds, bytes; it bounds the reading of a wrong file.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A model ready to be given to ONNX Runtime.
pub(crate) struct Model {
    /// Its contract.
    pub manifest: Manifest,
    /// The model, with its preprocessing in front.
    pub bytes: Vec<u8>,
    /// The name of its u8 input.
    pub input: String,
    /// Its inputs for the ends between which pixels are stretched, if it wants percentiles of the slide.
    pub stretch: Option<StretchInputs>,
}

impl Model {
    /// Reads the contract of `bytes` and puts the preprocessing in front.
    pub(crate) fn read(bytes: &[u8], file: &ManifestFile, name: &str) -> Result<Self, DetectorError> {
        let (proto, manifest) = read_contract(bytes, file, name)?;
        let graph = proto.graph.unwrap_or_default();
        let (bytes, input) = preprocess::prepend(bytes, &graph, &manifest.input, &manifest.normalisation)
            .map_err(|e| DetectorError::NotOnnx { reason: e.to_string() })?;
        let stretch = StretchInputs::of(&input, &manifest.input, &manifest.normalisation);
        Ok(Self { manifest, bytes, input, stretch })
    }
}

/// Decodes `bytes` and reads the contract.
pub(crate) fn read_contract(
    bytes: &[u8],
    file: &ManifestFile,
    name: &str,
) -> Result<(proto::Model, Manifest), DetectorError> {
    let not_onnx = |reason: String| DetectorError::NotOnnx { reason };
    if bytes.is_empty() {
        return Err(not_onnx("it is empty".to_owned()));
    }
    if let Some(name) = foreign::named(bytes) {
        return Err(not_onnx(name.to_owned()));
    }
    let model = proto::Model::decode(bytes).map_err(|e| {
        not_onnx(format!("{e}; it may be cut short: compare its size with that of the original"))
    })?;
    let graph = model.graph.as_ref().ok_or_else(|| not_onnx("it has no graph".to_owned()))?;
    if graph.node.is_empty() {
        return Err(not_onnx("its graph has no nodes".to_owned()));
    }
    check_versions(&model)?;
    check_weights(graph)?;
    check_operators(&model, graph)?;
    let sha256 = hex(&Sha256::digest(bytes));
    let manifest = manifest_of(&model, file, name, sha256)?;
    Ok((model, manifest))
}

/// The newest versions that any ONNX Runtime we know of reads (1.32).
const NEWEST_IR: i64 = 14;
const NEWEST_OPSET: i64 = 28;

/// Refuses versions from the future before ONNX Runtime does so in its own words.
fn check_versions(model: &proto::Model) -> Result<(), DetectorError> {
    refuse_newer("IR version", model.ir_version, NEWEST_IR)?;
    let standard = model.opset_import.iter().filter(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    standard.map(|set| set.version).try_for_each(|opset| refuse_newer("opset", opset, NEWEST_OPSET))
}

fn refuse_newer(what: &'static str, found: i64, newest: i64) -> Result<(), DetectorError> {
    if found > newest { Err(DetectorError::TooNew { what, found, newest }) } else { Ok(()) }
}

fn check_weights(graph: &proto::Graph) -> Result<(), DetectorError> {
    const EXTERNAL: i32 = 1;
    let external = graph.initializer.iter().filter(|tensor| tensor.data_location == EXTERNAL);
    let locations = external.flat_map(|tensor| &tensor.external_data).filter(|entry| entry.key == "location");
    let mut files: Vec<&str> = locations.map(|entry| entry.value.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    files.truncate(4);
    if files.is_empty() { Ok(()) } else { Err(DetectorError::ExternalData { files: files.join(", ") }) }
}

/// Refuses operators of domains that no build of ONNX Runtime has, before it is even loaded.
fn check_operators(model: &proto::Model, graph: &proto::Graph) -> Result<(), DetectorError> {
    match graph.node.iter().find(|node| !is_known(&node.domain, model)) {
        None => Ok(()),
        Some(node) => {
            Err(DetectorError::CustomOperator { operator: node.op_type.clone(), domain: node.domain.clone() })
        }
    }
}

/// `true` if ONNX Runtime has the operators of a domain, or the model brings them.
fn is_known(domain: &str, model: &proto::Model) -> bool {
    domain.is_empty()
        || domain.starts_with("ai.onnx")
        || domain.starts_with("com.microsoft")
        || domain.starts_with("com.ms.")
        || domain == "org.pytorch.aten"
        || model.functions.iter().any(|function| function.domain == domain)
}

/// The bytes of a model file.
pub(crate) fn read_model(path: &Path) -> Result<Vec<u8>, DetectorError> {
    read_at_most(path, MAX_MODEL_BYTES, "the model")
}

/// `model.toml` beside `model.onnx`, and `rdf.yaml` of the bioimage.io zoo for what it leaves open, or `config.json` of the
/// WSInfer zoo; nothing when there is none.
pub(crate) fn read_manifest_beside(model: &Path) -> Result<ManifestFile, DetectorError> {
    let path: PathBuf = model.with_extension("toml");
    let own = if path.is_file() {
        let parsed = read_text(&path).and_then(|text| ManifestFile::parse(&text));
        Some(parsed.map_err(|e| e.of_file(&path))?)
    } else {
        None
    };
    let rdf = read_rdf_beside(model, own.as_ref())?;
    match (own, rdf) {
        (Some(own), Some(rdf)) => Ok(own.or(rdf)),
        (Some(file), None) | (None, Some(file)) => Ok(file),
        (None, None) => read_zoo_beside(model),
    }
}

/// `rdf.yaml` of the bioimage.io zoo, as far as it is of this model.
fn read_rdf_beside(model: &Path, own: Option<&ManifestFile>) -> Result<Option<ManifestFile>, DetectorError> {
    let paths = RDF_FILES.map(|name| model.with_file_name(name));
    let Some(path) = paths.into_iter().find(|path| path.is_file()) else { return Ok(None) };
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    read_text(&path).and_then(|text| manifest_of_rdf(&text, &name, own)).map_err(|e| e.of_file(&path))
}

/// `config.json` of the WSInfer zoo. Many tools write files of that name: one that cannot be read is not of the zoo.
fn read_zoo_beside(model: &Path) -> Result<ManifestFile, DetectorError> {
    let path = model.with_file_name("config.json");
    if !path.is_file() {
        return Ok(ManifestFile::default());
    }
    let of_zoo = read_text(&path).ok().and_then(|text| manifest_of_zoo(&text));
    of_zoo.unwrap_or_else(|| Ok(ManifestFile::default())).map_err(|e| e.of_file(&path))
}

fn read_text(path: &Path) -> Result<String, DetectorError> {
    let bytes = read_at_most(path, MAX_MANIFEST_BYTES, "the manifest")?;
    String::from_utf8(bytes).map_err(|_| DetectorError::manifest("manifest", "not UTF-8"))
}

fn read_at_most(path: &Path, limit: u64, what: &'static str) -> Result<Vec<u8>, DetectorError> {
    let wrap = |source| DetectorError::Read { what, source };
    let file = std::fs::File::open(path).map_err(wrap)?;
    let size = file.metadata().map_err(wrap)?.len();
    if size > limit {
        return Err(DetectorError::TooLarge { bytes: size, limit });
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // The file may grow meanwhile, or be a pipe without a size.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(wrap)?;
    match bytes.len() as u64 {
        read if read > limit => Err(DetectorError::TooLarge { bytes: read, limit }),
        _ => Ok(bytes),
    }
}
