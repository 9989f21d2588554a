#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod detector;
mod detr;
mod device;
mod embedding;
mod error;
mod hover;
mod labels;
pub mod manifest;
mod objects;
mod onnx;
mod parts;
mod pieces;
mod points;
pub mod pump;
mod reference;
mod report;
pub mod scripted;
mod semantic;
mod star;
mod terms;
mod watershed;
pub mod yolo;

pub use detector::{Answers, BatchView, DetectSettings, Detector, WindowResult};
pub use device::{Device, DeviceError};
pub use error::{DetectorError, WindowFault};
pub use manifest::{ClassInfo, Manifest};
pub use onnx::{
    DeviceState, OnnxDetector, Placement, Provider, SessionSettings, devices, placement, placement_bytes,
};
pub use pieces::{InPieces, Piece, PieceRect, Pieces, Stitch, overlap_for};
pub use pump::{DeviceAtWork, Done, InFlight, Pump, Received};
pub use reference::{Reference, ReferenceObject};
pub use report::{ModelReport, describe, describe_bytes};
pub use scripted::{BlobDetector, ScriptedDetector, ScriptedDevice, ScriptedDevices};
pub use terms::MergeTerms;
