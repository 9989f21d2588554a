//! The measures of all slides of a dataset.

use std::collections::BTreeMap;

use dataset::{Dataset, Outcome, SlideId};
use rayon::prelude::*;

use super::{count, definition::Definition, line::Measured};
use crate::error::ReportError;

/// The measures of each slide that has results.
pub(crate) type MeasuredSlides = BTreeMap<SlideId, Vec<Measured>>;

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
            count::measured(dataset, &account.slide, account.analysis.as_ref()?, definition.measures());
        Some((account.slide, lines))
    });
    Ok(Some(measured.collect()))
}
