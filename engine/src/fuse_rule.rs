//! The rules by which cells of several detectors become one.

use std::fmt;

use merger::fusion::Fuse;
use serde::{Deserialize, Serialize};

/// Rules by which cells of several detectors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FuseRule {
    /// [`Fuse::Wbf`].
    #[default]
    Wbf,
    /// [`Fuse::NoisyOr`].
    NoisyOr,
    /// [`Fuse::Max`].
    Max,
    /// The cells of the first detector, weighed by the regions of the others.
    Context,
}

impl FuseRule {
    /// Rule by which scores become one; `None` for context, where cells are of one detector.
    #[must_use]
    pub fn scores(self) -> Option<Fuse> {
        match self {
            Self::Wbf => Some(Fuse::Wbf),
            Self::NoisyOr => Some(Fuse::NoisyOr),
            Self::Max => Some(Fuse::Max),
            Self::Context => None,
        }
    }
}

impl fmt::Display for FuseRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wbf => "wbf",
            Self::NoisyOr => "noisy-or",
            Self::Max => "max",
            Self::Context => "context",
        })
    }
}
