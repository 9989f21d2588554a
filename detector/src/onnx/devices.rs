//! Devices that can be used here, found by opening a small model on each.

use prost::Message;

use super::{
    load::Model,
    proto::{
        self, Attribute, Dimension, DimensionValue, Entry, Graph, Node, OperatorSet, Tensor, ValueInfo,
        element,
    },
    session::{OrtRunner, SessionSettings, built_for},
};
use crate::{DetectorError, Device, manifest::ManifestFile};

/// Side of the windows that the small model is opened for, px.
const SIDE: usize = 64;
/// Rows of a detect head of one class: a box and a score.
const ROWS: i64 = 5;
/// Side of the small model's only kernel, and its stride, px.
const STRIDE: i64 = 4;

/// A device that this ONNX Runtime was built for.
#[derive(Debug)]
pub struct DeviceState {
    /// The device; the first, where there can be several.
    pub device: Device,
    /// Reason that no model can be opened on it, if so.
    pub fault: Option<DetectorError>,
}

/// The devices that ONNX Runtime was built for, the CPU first. A small model is opened on each: a driver or a
/// library that is missing shows nowhere else. Takes seconds on a GPU.
///
/// # Errors
///
/// When ONNX Runtime is not found or cannot be opened.
pub fn devices() -> Result<Vec<DeviceState>, DetectorError> {
    let model = Model::read(&small_model(), &ManifestFile::default(), "small")?;
    let settings =
        SessionSettings { threads: 1, batch: 1, window: (SIDE, SIDE), ..SessionSettings::default() };
    let state = |device| DeviceState { fault: OrtRunner::open(&model, &device, &settings).err(), device };
    Ok(built_for()?.into_iter().map(state).collect())
}

/// A detect head of one convolution, whose boxes are all empty.
fn small_model() -> Vec<u8> {
    let kernel = [ROWS, 3, STRIDE, STRIDE];
    let weights = vec![0.0; kernel.iter().product::<i64>() as usize];
    let convolution = Node::new("Conv", &["images", "kernel"], "cells");
    let graph = Graph {
        node: vec![
            convolution.with(Attribute::ints("strides", &[STRIDE, STRIDE])),
            Node::new("Reshape", &["cells", "shape"], "output0"),
        ],
        name: "small".to_owned(),
        initializer: vec![
            Tensor::floats("kernel", &kernel, &weights),
            Tensor::ints("shape", &[3], &[0, ROWS, -1]),
        ],
        input: vec![value("images", [named("batch"), Dimension::fixed(3), named("height"), named("width")])],
        output: vec![value("output0", [named("batch"), Dimension::fixed(ROWS), named("anchors")])],
    };
    let model = proto::Model {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: 17 }],
        metadata_props: vec![said("names", "{0: 'cell'}"), said("stride", "4"), said("task", "detect")],
        ..proto::Model::default()
    };
    model.encode_to_vec()
}

fn value<const N: usize>(name: &str, dimensions: [Dimension; N]) -> ValueInfo {
    ValueInfo::new(name, element::FLOAT, dimensions.into())
}

fn named(name: &str) -> Dimension {
    Dimension { value: Some(DimensionValue::Named(name.to_owned())) }
}

fn said(key: &str, value: &str) -> Entry {
    Entry { key: key.to_owned(), value: value.to_owned() }
}
