//! Batches of windows in, detections out: YOLO heads over ONNX Runtime.
//!
//! A model is an ONNX file plus a [`Manifest`]: its own metadata, overridden by a TOML beside it.
//! [`OnnxDetector`] runs it on a [`Device`]; [`Pump`] overlaps running with decoding. Everything here is in
//! window px: level 0 is the merger's.
//!
//! Nothing is sent anywhere: telemetry of ONNX Runtime is switched off before it is loaded.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`manifest`] | what a model promises, read from its metadata, shapes and TOML |
//! | `onnx/preprocess.rs` | nodes put in front of the graph: u8 pixels become the tensor the model wants |
//! | `onnx/session.rs` | ONNX Runtime on a device |
//! | [`yolo`], `detr.rs` | raw heads become detections |
//! | `pieces.rs` | windows larger than the model takes, piece by piece |
//! | [`pump`] | running and decoding at once, results in order |
//! | [`scripted`] | detectors without a model, for tests of everything downstream |

#![deny(unsafe_code)]

mod detector;
mod detr;
mod device;
mod error;
pub mod manifest;
mod onnx;
mod pieces;
pub mod pump;
mod report;
pub mod scripted;
mod terms;
pub mod yolo;

pub use detector::{Answers, BatchView, DetectSettings, Detector, WindowResult};
pub use device::Device;
pub use error::{DetectorError, WindowFault};
pub use manifest::{ClassInfo, Manifest};
pub use onnx::{OnnxDetector, SessionSettings};
pub use pieces::{InPieces, Piece, PieceRect, Pieces, Stitch, overlap_for};
pub use pump::{Done, Pump, Received};
pub use report::{ModelReport, describe, describe_bytes};
pub use scripted::{BlobDetector, ScriptedDetector};
pub use terms::MergeTerms;
