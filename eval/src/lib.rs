//! How good a table of cells is.
//!
//! Three entries, one per command:
//!
//! | entry | from | to |
//! | --- | --- | --- |
//! | [`evaluate`] | predictions and truth | [`Evaluation`]: AP, PR, FROC, PQ, counts, calibration |
//! | [`agree`](consensus::agree) | several annotators | [`Consensus`](consensus::Consensus): one agreed truth |
//! | [`plan_training_set`](training_set::plan_training_set) | annotated images | [`TrainingSet`](training_set::TrainingSet): tiles, labels, splits, weights |
//!
//! A figure's way: [`truth`] reads files into an [`ObjectSet`](objects::ObjectSet);
//! [`objects::align`] brings two sets to the same images and classes;
//! [`matching`] pairs their objects off; [`ranking`] lists predictions as hits
//! and false marks by falling score; [`ap`], [`pr`], [`froc`], [`pq`],
//! [`calibration`] and [`agreement`] read their figures from that;
//! [`bootstrap`] gives them intervals; [`evaluation`] is all of it in order.
//!
//! ```
//! # use std::path::Path;
//! use eval::{EvalError, EvaluationSettings, evaluate, matching::Criterion};
//! use eval::truth::{ReadSettings, read};
//!
//! fn judge(predictions: &Path, truth: &Path) -> Result<String, EvalError> {
//!     let criterion: Criterion = "distance:3um".parse()?;
//!     let files = ReadSettings { detail: criterion.detail(), ..ReadSettings::default() };
//!     let settings = EvaluationSettings { criterion, ..EvaluationSettings::default() };
//!     let found = evaluate(read(truth, &files)?.set, read(predictions, &files)?.set, &settings)?;
//!     Ok(found.to_string())
//! }
//! ```
//!
//! Results are the same, bit for bit, for any number of threads. What the
//! figures mean, and which formulas in circulation are wrong:
//! `docs/decisions/0013`; how annotators are brought together: `0014`.

#![forbid(unsafe_code)]

pub mod agreement;
mod align;
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
