//! What names a model in accounts, tables and ledgers.

use serde::{Deserialize, Serialize};

/// The model a run used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// As the model calls itself.
    pub name: String,
    /// As the model states it; empty when it does not.
    pub version: String,
    /// Of the ONNX file, 64 hexadecimal digits; empty for a detector without one.
    pub sha256: String,
}
