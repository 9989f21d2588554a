//! All that the report shows of one slide.

use dataset::{Dataset, Outcome, RunAccount, SeenTissue};

use super::{figures::Figures, full_size::FullSize, thresholds::Thresholds};
use crate::{measured::Measured, slide_files::SlideFiles};

/// A slide as the report shows it.
pub(super) struct SlideReport {
    pub(super) account: RunAccount,
    /// `None` for a failed slide.
    pub(super) figures: Option<Figures>,
    /// Parts of it at full size.
    pub(super) full_size: FullSize,
    /// The least scores of the run, where they are known.
    pub(super) thresholds: Option<Thresholds>,
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
    pub(super) fn read(
        dataset: &Dataset,
        files: &SlideFiles,
        account: RunAccount,
        measured: Vec<Measured>,
    ) -> Self {
        let mut slide = Self {
            overview: std::fs::read(dataset.overview(&account.slide)).ok(),
            coverage: std::fs::read(dataset.coverage(&account.slide)).ok(),
            thresholds: thresholds_of(&account),
            account,
            figures: None,
            full_size: FullSize::Shown(Vec::new()),
            measured,
            problems: Vec::new(),
        };
        if let Some(analysis) = slide.account.analysis.as_ref().filter(|_| slide.has_results()) {
            let seen = SeenTissue::read(&dataset.coverage(&slide.account.slide));
            let table = dataset.cells(&slide.account.slide);
            let thresholds = slide.thresholds.as_ref();
            let figures = Figures::count(&table, analysis, seen.as_ref().ok(), thresholds);
            slide.problems.extend(seen.err().map(|error| format!("there is no density map: {error}")));
            match figures {
                Ok(figures) => {
                    slide.full_size =
                        FullSize::read(dataset, files, &slide.account, &figures.crops, thresholds);
                    slide.figures = Some(figures);
                }
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

/// The least scores of the run, where they are the same for all of its detectors.
fn thresholds_of(account: &RunAccount) -> Option<Thresholds> {
    let has_several = account.analysis.as_ref().is_some_and(|analysis| !analysis.detectors.is_empty());
    Thresholds::from_settings(&account.settings, has_several)
}
