//! Source and settings of an export.

use merger::RegionRow;

use crate::{
    choice::Choice,
    dicom::slide::DicomSlide,
    source::{CellTable, SlideFacts},
};

/// Tables and facts of the slide that is exported.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Of the slide.
    pub facts: &'a SlideFacts,
    /// Its cells.
    pub cells: &'a CellTable,
    /// Its regions.
    pub regions: &'a [RegionRow],
    /// Choice of its cells.
    pub choice: &'a Choice,
}

/// Settings of an export.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Centroids instead of outlines.
    pub points: bool,
    /// Outlines may be off by this, level-0 px, and their area by 1 %.
    pub simplify_px: Option<f64>,
    /// The DICOM slide that the cells were found on, where it is one.
    pub dicom_slide: Option<DicomSlide>,
}

impl Settings {
    pub(crate) fn dicom_slide(&self, facts: &SlideFacts) -> DicomSlide {
        self.dicom_slide.clone().unwrap_or_else(|| DicomSlide::invented(facts))
    }
}

impl Source<'_> {
    /// Text that tells this export from others of the same slide.
    pub(crate) fn identity(&self, settings: &Settings) -> String {
        let Settings { points, simplify_px, .. } = settings;
        format!("{} {} {points} {simplify_px:?}", self.facts.fingerprint, self.choice.fingerprint())
    }
}
