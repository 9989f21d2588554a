//! Reasons why this backend does not read a file.

use super::{directory::Broken, page};

/// Reasons why this backend does not read a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another reader knows this maker's format better.
    LeftToOpenSlide {
        /// `hamamatsu`, `philips`, …
        vendor: &'static str,
        /// Facts about the slide that the other reader does not know.
        remarks: Vec<String>,
    },
    /// Well formed, but with a feature that we do not read. `for_all`: another backend would not read it
    /// truthfully either.
    Unsupported { feature: String, for_all: bool },
    /// The header contradicts itself or the file.
    Broken(String),
    /// Larger than the limit for files that are decoded at once.
    TooLarge { what: String },
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken.0)
    }
}

impl From<page::Unsupported> for Refusal {
    fn from(page::Unsupported { feature, for_all }: page::Unsupported) -> Self {
        Self::Unsupported { feature, for_all }
    }
}

impl Refusal {
    /// Returns the reason in words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::LeftToOpenSlide { vendor, .. } => format!("a {vendor} slide, which OpenSlide reads"),
            Self::Unsupported { feature, .. } => feature.clone(),
            Self::Broken(what) | Self::TooLarge { what } => what.clone(),
        }
    }
}
