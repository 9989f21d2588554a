//! The measures of all slides of a dataset.

use std::collections::BTreeMap;

use dataset::{Analysis, Dataset, Outcome, RunAccount, SlideId, for_each_cell};
use measures::Measures;
use rayon::prelude::*;

use super::{
    count::{ChosenCells, measured},
    definition::Definition,
    line::Measured,
};
use crate::error::ReportError;

/// The measures of one slide, and how far they are to be trusted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MeasuredSlide {
    /// Outcome of the slide.
    pub(crate) outcome: Outcome,
    /// Why its results are to be doubted.
    pub(crate) doubts: Option<String>,
    /// In the order of their definition.
    pub(crate) lines: Vec<Measured>,
}

impl MeasuredSlide {
    pub(crate) fn new(account: &RunAccount, lines: Vec<Measured>) -> Self {
        Self { outcome: account.outcome, doubts: account.told_doubts(), lines }
    }
}

/// The measures of each slide that has results.
pub(crate) type MeasuredSlides = BTreeMap<SlideId, MeasuredSlide>;

/// The measures of all slides, by the definition that lies in the dataset; `None` where there is none.
///
/// # Errors
///
/// When the definition or an account cannot be read. What is wrong with the tables of a slide is said of its measures.
pub(crate) fn measured_slides(dataset: &Dataset) -> Result<Option<MeasuredSlides>, ReportError> {
    let Some(definition) = Definition::read(dataset)? else { return Ok(None) };
    let accounts = dataset.read_accounts()?;
    let analysed = accounts.into_par_iter().filter(|account| account.outcome != Outcome::Failed);
    let measured = analysed.filter_map(|account| {
        let lines =
            measured_slide(dataset, &account.slide, account.analysis.as_ref()?, definition.measures());
        Some((account.slide.clone(), MeasuredSlide::new(&account, lines)))
    });
    Ok(Some(measured.collect()))
}

fn measured_slide(dataset: &Dataset, id: &SlideId, analysis: &Analysis, wanted: &Measures) -> Vec<Measured> {
    let mut chosen = ChosenCells::new(Some(wanted));
    let columns = chosen.columns();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let read =
        for_each_cell(&dataset.cells(id), &columns, |cell| chosen.add(cell)).map_err(ReportError::from);
    measured(dataset, id, analysis, wanted, read.as_ref().map(|()| chosen))
}
