//! All that the report shows of one slide.

use dataset::{Dataset, Outcome, RunAccount, SeenTissue};

use super::figures::Figures;
use crate::measured::Measured;

/// A slide as the report shows it.
pub(super) struct SlideReport {
    pub(super) account: RunAccount,
    /// `None` for a failed slide.
    pub(super) figures: Option<Figures>,
    /// JPEG.
    pub(super) overview: Option<Vec<u8>>,
    /// PNG.
    pub(super) coverage: Option<Vec<u8>>,
    /// Measures that the dataset asks for.
    pub(super) measured: Vec<Measured>,
    /// Parts of the above that cannot be shown, and why.
    pub(super) problems: Vec<String>,
}

impl SlideReport {
    /// Reads all that is shown of a slide.
    pub(super) fn read(dataset: &Dataset, account: RunAccount, measured: Vec<Measured>) -> Self {
        let mut slide = Self {
            overview: std::fs::read(dataset.overview(&account.slide)).ok(),
            coverage: std::fs::read(dataset.coverage(&account.slide)).ok(),
            account,
            figures: None,
            measured,
            problems: Vec::new(),
        };
        if let Some(analysis) = slide.account.analysis.as_ref().filter(|_| slide.has_results()) {
            let seen = SeenTissue::read(&dataset.coverage(&slide.account.slide));
            let table = dataset.cells(&slide.account.slide);
            let figures = Figures::count(&table, analysis, seen.as_ref().ok());
            slide.problems.extend(seen.err().map(|error| format!("there is no density map: {error}")));
            match figures {
                Ok(figures) => slide.figures = Some(figures),
                Err(error) => slide.problems.push(format!("the cell table cannot be used: {error}")),
            }
        }
        slide
    }

    /// `true` if there are cells to show.
    pub(super) fn has_results(&self) -> bool {
        self.account.outcome != Outcome::Failed && self.account.analysis.is_some()
    }

    /// Cells per mm² of analysed tissue, where there is some.
    pub(super) fn density(&self, cells: u64) -> Option<f64> {
        self.account.analysis.as_ref()?.coverage.per_mm2(cells)
    }

    /// Returns its id as a place in the page.
    pub(super) fn anchor(&self) -> String {
        format!("slide-{}", self.account.slide)
    }
}
