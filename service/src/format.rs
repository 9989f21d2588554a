//! Forms that results may have.

use serde::{Deserialize, Serialize};

/// Formats that results are turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One GeoJSON file.
    GeoJson,
    /// A zip of GeoJSON for QuPath.
    QuPath,
    /// DICOM Microscopy Bulk Simple Annotations.
    DicomAnn,
    /// A DICOM structured report.
    DicomSr,
    /// A DICOM segmentation of the regions.
    DicomSeg,
}

/// A DICOM object that results are turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DicomResult {
    /// Microscopy Bulk Simple Annotations: the cells.
    Ann,
    /// A structured report: counts and regions.
    Sr,
    /// A segmentation: the regions, if there are any.
    Seg,
}

impl DicomResult {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ann, Self::Sr, Self::Seg];

    /// Those that all results have.
    pub const USUAL: [Self; 2] = [Self::Ann, Self::Sr];

    /// The same as a format.
    #[must_use]
    pub fn format(self) -> Format {
        match self {
            Self::Ann => Format::DicomAnn,
            Self::Sr => Format::DicomSr,
            Self::Seg => Format::DicomSeg,
        }
    }

    /// The one of this name: `ann`, `sr` or `seg`.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "ann" => Some(Self::Ann),
            "sr" => Some(Self::Sr),
            "seg" => Some(Self::Seg),
            _ => None,
        }
    }
}
