#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod agreement;
pub mod align;
pub mod ap;
pub mod bootstrap;
pub mod calibration;
pub mod consensus;
pub mod error;
pub mod evaluation;
pub mod froc;
mod groups;
mod ladder;
pub mod matching;
pub mod names;
pub mod objects;
pub mod polygon;
pub mod pq;
pub mod pr;
mod qupath;
pub mod ranking;
mod table;
pub mod training_set;
pub mod truth;

pub use error::EvalError;
pub use evaluation::{Evaluation, EvaluationSettings, evaluate};
