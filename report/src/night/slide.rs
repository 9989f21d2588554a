//! All that the report shows of one slide.

use std::{collections::BTreeSet, path::Path};

use dataset::{
    Analysis, Dataset, DatasetError, Outcome, RunAccount, SeenTissue, SlideId, TISSUE, for_each_cell,
};
use measures::Measures;

use super::{
    areas::{Areas, DrawnKind},
    figures::{COLUMNS, Counting, Figures},
    full_size::FullSize,
    staining::Rules,
    thresholds::Thresholds,
};
use crate::{
    error::ReportError,
    measured::{ChosenCells, Definition, Measured, measured},
    slide_files::SlideFiles,
};

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
    /// Outlines of its regions over its picture.
    pub(super) areas: Vec<DrawnKind>,
    /// Measures that the dataset asks for.
    pub(super) measured: Vec<Measured>,
    /// How its cells were told apart.
    pub(super) rules: Rules,
    /// Parts of the above that cannot be shown, and why.
    pub(super) problems: Vec<String>,
}

/// Measures that are shown of a slide.
pub(super) enum Wanted<'a> {
    /// They are made in the same pass over its cells; of no definition there are none.
    Made(Option<&'a Definition>),
    /// They were made before.
    Known(Vec<Measured>),
}

impl Wanted<'_> {
    /// The definition of those that are still to be made.
    fn definition(&self) -> Option<&Measures> {
        match self {
            Self::Made(definition) => definition.map(Definition::measures),
            Self::Known(_) => None,
        }
    }
}

impl SlideReport {
    /// Reads all that is shown of a slide, its cells once.
    pub(super) fn read(
        dataset: &Dataset,
        files: &SlideFiles,
        account: RunAccount,
        definition: Option<&Definition>,
        wanted: Wanted<'_>,
    ) -> Self {
        let mut slide = Self {
            rules: Rules::new(&account.settings, definition.map(Definition::measures)),
            overview: std::fs::read(dataset.overview(&account.slide)).ok(),
            coverage: std::fs::read(dataset.coverage(&account.slide)).ok(),
            thresholds: thresholds_of(&account),
            account,
            figures: None,
            full_size: FullSize::Shown(Vec::new()),
            areas: Vec::new(),
            measured: Vec::new(),
            problems: Vec::new(),
        };
        if let Some(analysis) = slide.account.analysis.as_ref().filter(|_| slide.has_results()) {
            let id = &slide.account.slide;
            let seen = SeenTissue::read(&dataset.coverage(id));
            let areas = areas_of(dataset, id, analysis).unwrap_or_else(|error| {
                slide.problems.push(format!("the regions cannot be drawn: {error}"));
                Areas::default()
            });
            slide.areas = areas.over_slide(analysis.slide_px);
            let thresholds = slide.thresholds.as_ref();
            let mut counting = Counting::new(thresholds);
            let mut chosen = ChosenCells::new(wanted.definition());
            let read = read_cells(&dataset.cells(id), &mut counting, &mut chosen);
            slide.measured = match wanted {
                Wanted::Made(Some(definition)) => {
                    let chosen = read.as_ref().map(|()| chosen);
                    measured(dataset, id, analysis, definition.measures(), chosen)
                }
                Wanted::Made(None) => Vec::new(),
                Wanted::Known(known) => known,
            };
            let figures = read.and_then(|()| counting.finish(analysis, seen.as_ref().ok()));
            slide.problems.extend(seen.err().map(|error| format!("there is no density map: {error}")));
            match figures {
                Ok(figures) => {
                    let crops = &figures.crops;
                    slide.full_size =
                        FullSize::read(dataset, files, &slide.account, crops, &areas, thresholds);
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

/// Hands each cell of a table to the figures and to the measures.
fn read_cells(
    table: &Path,
    counting: &mut Counting<'_>,
    chosen: &mut ChosenCells,
) -> Result<(), ReportError> {
    let own = COLUMNS.map(str::to_owned);
    let columns: BTreeSet<String> = chosen.columns().into_iter().chain(own).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    Ok(for_each_cell(table, &columns, |cell| {
        counting.add(cell);
        chosen.add(cell);
    })?)
}

/// The regions beside tissue, of a slide that has some.
fn areas_of(dataset: &Dataset, id: &SlideId, analysis: &Analysis) -> Result<Areas, DatasetError> {
    let has_some = analysis.regions.iter().any(|kind| kind.kind != TISSUE);
    if has_some { Areas::read(&dataset.regions(id)) } else { Ok(Areas::default()) }
}

/// The least scores of the run, where they are the same for all of its detectors.
fn thresholds_of(account: &RunAccount) -> Option<Thresholds> {
    let has_several = account.analysis.as_ref().is_some_and(|analysis| !analysis.detectors.is_empty());
    Thresholds::from_settings(&account.settings, has_several)
}
