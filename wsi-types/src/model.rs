//! Facts that name a model in accounts, tables and ledgers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wording::versioned;

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

impl fmt::Display for ModelFacts {
    /// The name, and the version if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&versioned(&self.name, &self.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_without_a_version_is_its_name() {
        for (version, words) in [("", "nuclei"), ("0.3", "nuclei 0.3")] {
            let model = ModelFacts { name: "nuclei".into(), version: version.into(), sha256: "ab".into() };
            assert_eq!(model.to_string(), words);
        }
    }
}
