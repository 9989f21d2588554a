//! Facts that name a model in accounts, tables and ledgers.

use serde::{Deserialize, Serialize};

/// The model a run used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// The name that the model states.
    pub name: String,
    /// The version that the model states; empty when it states none.
    pub version: String,
    /// SHA-256 of the ONNX file, 64 hexadecimal digits; empty for a detector without one.
    pub sha256: String,
}
