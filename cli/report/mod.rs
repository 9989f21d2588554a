//! `OUT/report.html`: the morning report, one file that needs no network.
//!
//! Made from what is under `OUT` alone: run accounts, cell tables, overviews. It
//! names slides by id and holds no path, no property of a slide file and no
//! label. But for the time it states, equal inputs give equal bytes.

pub(crate) mod charts;
mod clock;
mod figures;
pub(crate) mod page;
mod regions;
mod slide;
mod words;

use anyhow::Context as _;
use rayon::prelude::*;

use crate::{
    account::{Outcome, RunAccount},
    dataset::Dataset,
    exit::Failure,
};
use figures::Figures;

/// A slide as the report shows it.
struct SlideReport {
    account: RunAccount,
    /// `None` for a failed slide.
    figures: Option<Figures>,
    /// JPEG.
    overview: Option<Vec<u8>>,
    /// PNG.
    coverage: Option<Vec<u8>>,
    /// What of the above could not be had.
    problem: Option<String>,
}

/// Writes the report of all slides that have an account.
///
/// A table or picture that cannot be read is said in its slide's section: one
/// broken file does not take the report of a night.
///
/// # Errors
///
/// An input failure when there is no account or one cannot be read, an output
/// failure when the report cannot be written.
pub fn write(dataset: &Dataset) -> anyhow::Result<()> {
    let accounts = dataset
        .accounts()?
        .iter()
        .map(|path| {
            RunAccount::read(path).map_err(|error| {
                Failure::input(format!("cannot read an account: {error}: {}", path.display()))
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    if accounts.is_empty() {
        return Err(Failure::input(format!(
            "no run account is here, so there is nothing to report: {}",
            dataset.root().display()
        )));
    }
    let slides: Vec<_> = accounts.into_par_iter().map(|account| SlideReport::of(dataset, account)).collect();
    let html = page::render(&slides, &clock::now())?;
    let path = dataset.report();
    dataset
        .write(&path, html.as_bytes())
        .map_err(|error| Failure::output(format!("cannot write the report: {error}: {}", path.display())))
}

impl SlideReport {
    fn of(dataset: &Dataset, account: RunAccount) -> Self {
        let (figures, problem) = match Self::figures(dataset, &account).transpose() {
            Ok(figures) => (figures, None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Self {
            overview: std::fs::read(dataset.overview(&account.slide)).ok(),
            coverage: std::fs::read(dataset.coverage(&account.slide)).ok(),
            account,
            figures,
            problem,
        }
    }

    fn figures(dataset: &Dataset, account: &RunAccount) -> Option<anyhow::Result<Figures>> {
        let analysis = account.analysis.as_ref().filter(|_| account.outcome != Outcome::Failed)?;
        let table = dataset.cells(&account.slide);
        Some(Figures::of(&table, analysis).context("the cell table cannot be used"))
    }

    /// Cells per mm² of analysed tissue, where there is some.
    fn density(&self, cells: u64) -> Option<f64> {
        let analysed = self.account.analysis.as_ref()?.coverage.analysed_mm2;
        (analysed > 0.0).then(|| cells as f64 / analysed)
    }

    /// What its id is as a place in the page.
    fn anchor(&self) -> String {
        format!("slide-{}", self.account.slide)
    }
}
