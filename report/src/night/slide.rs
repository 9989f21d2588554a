//! All that the report shows of one slide.

use dataset::{Dataset, Outcome, RunAccount};

use super::figures::Figures;
use crate::error::ReportError;

/// A slide as the report shows it.
pub(super) struct SlideReport {
    pub(super) account: RunAccount,
    /// `None` for a failed slide.
    pub(super) figures: Option<Figures>,
    /// JPEG.
    pub(super) overview: Option<Vec<u8>>,
    /// PNG.
    pub(super) coverage: Option<Vec<u8>>,
    /// What of the above could not be had.
    pub(super) problem: Option<String>,
}

impl SlideReport {
    /// Reads all that is shown of a slide.
    pub(super) fn read(dataset: &Dataset, account: RunAccount) -> Self {
        let (figures, problem) = match Self::figures(dataset, &account).transpose() {
            Ok(figures) => (figures, None),
            Err(error) => (None, Some(format!("the cell table cannot be used: {error}"))),
        };
        Self {
            overview: std::fs::read(dataset.overview(&account.slide)).ok(),
            coverage: std::fs::read(dataset.coverage(&account.slide)).ok(),
            account,
            figures,
            problem,
        }
    }

    fn figures(dataset: &Dataset, account: &RunAccount) -> Option<Result<Figures, ReportError>> {
        let analysis = account.analysis.as_ref().filter(|_| account.outcome != Outcome::Failed)?;
        let table = dataset.cells(&account.slide);
        Some(Figures::count(&table, analysis))
    }

    /// Cells per mm² of analysed tissue, where there is some.
    pub(super) fn density(&self, cells: u64) -> Option<f64> {
        let analysed = self.account.analysis.as_ref()?.coverage.analysed_mm2;
        (analysed > 0.0).then(|| cells as f64 / analysed)
    }

    /// What its id is as a place in the page.
    pub(super) fn anchor(&self) -> String {
        format!("slide-{}", self.account.slide)
    }
}
