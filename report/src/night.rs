//! `OUT/report.html`: the morning report, pages that need no network.
//!
//! Made from what is under `OUT`: run accounts, cell tables, overviews; and from the slides themselves, where they are
//! still there, for parts of them at full size. The shared one names slides by id and holds no path, no property of a
//! slide file and no label; the private one says the names of files too. But for the time it states, equal inputs give
//! equal bytes.
//!
//! Up to [`SLIDES_PER_PAGE`] slides are one file. Of more, the first page has the tables alone, and their pictures and
//! charts are on pages of so many slides, made and written one after the other: neither the first page nor memory
//! grows with the pictures.

mod charts;
mod cohort;
mod crops;
mod figures;
mod full_size;
mod measures;
mod pages;
mod regions;
mod scale;
mod section;
mod slide;
mod thresholds;
mod words;

use std::path::PathBuf;

use dataset::{Dataset, Outcome, RunAccount, clock};
use rayon::prelude::*;

use crate::{
    error::ReportError,
    file_names::FileNames,
    measured::{MeasuredSlides, measured_slides},
    slide_files::SlideFiles,
};
use cohort::{Cohort, CohortSlide};
use pages::Pages;
use slide::SlideReport;

/// Slides whose pictures and charts are on one page.
pub(crate) const SLIDES_PER_PAGE: usize = 25;

/// Writes the shared report of all slides that have an account, and gives its path.
///
/// A table or picture that cannot be read is said in its slide's section: one
/// broken file does not take the report of a night.
///
/// # Errors
///
/// When there is no account or one cannot be read, or the report cannot be
/// written.
pub fn write_report(dataset: &Dataset, files: &SlideFiles) -> Result<PathBuf, ReportError> {
    write_report_with(dataset, files, measured_slides(dataset)?.as_ref())
}

/// The same with measures that are made already.
pub(crate) fn write_report_with(
    dataset: &Dataset,
    files: &SlideFiles,
    measured: Option<&MeasuredSlides>,
) -> Result<PathBuf, ReportError> {
    let pages = Pages::shared(dataset);
    let reader = Reader { dataset, files, measured };
    pages.write_first(|| first_page(&reader, &pages, None))
}

/// Writes the report that names files, under `OUT/.slidemill` and for its owner alone; gives its path.
///
/// # Errors
///
/// As [`write_report`].
pub fn write_private_report(
    dataset: &Dataset,
    files: &SlideFiles,
    names: &FileNames,
) -> Result<PathBuf, ReportError> {
    let pages = Pages::private(dataset);
    let measured = measured_slides(dataset)?;
    let reader = Reader { dataset, files, measured: measured.as_ref() };
    pages.write_first(|| first_page(&reader, &pages, Some(names)))
}

/// Writes the report that names files again, where there is one: it is not to be older than the shared one.
pub(crate) fn rewrite_private_report(
    dataset: &Dataset,
    files: &SlideFiles,
    measured: Option<&MeasuredSlides>,
) -> Result<(), ReportError> {
    let pages = Pages::private(dataset);
    if !pages.are_there() {
        return Ok(());
    }
    let (reader, names) = (Reader { dataset, files, measured }, files.names());
    pages.write_first(|| first_page(&reader, &pages, Some(&names))).map(|_| ())
}

/// Removes the report of slides that are no longer there.
pub(crate) fn remove_report(dataset: &Dataset) -> Result<(), ReportError> {
    Pages::shared(dataset).remove()
}

/// Removes the report that names files, where there is one.
///
/// # Errors
///
/// When it cannot be removed.
pub fn remove_private_report(dataset: &Dataset) -> Result<(), ReportError> {
    Pages::private(dataset).remove()
}

/// The page that people open; further ones are written on the way.
fn first_page(reader: &Reader<'_>, pages: &Pages, names: Option<&FileNames>) -> Result<String, ReportError> {
    let accounts = in_order(reader.dataset.read_accounts()?);
    if accounts.is_empty() {
        return Err(ReportError::nothing_to_report(reader.dataset));
    }
    let now = clock::now();
    let cohort = Cohort { now: &now, names, slides: Vec::new() };
    let (failed, shown): (Vec<_>, Vec<_>) =
        accounts.into_iter().partition(|account| account.outcome == Outcome::Failed);
    if shown.len() <= SLIDES_PER_PAGE {
        let slides = reader.read(shown);
        let sections = slides.iter().map(|slide| slide.section(names)).collect::<Result<Vec<_>, _>>()?;
        let own = slides.into_iter().map(|slide| CohortSlide::new(slide, String::new()));
        let cohort =
            Cohort { slides: own.chain(failed.into_iter().map(CohortSlide::failed)).collect(), ..cohort };
        pages.clear_from(0)?;
        cohort.page(&sections)
    } else {
        let mut own = Vec::with_capacity(shown.len());
        let count = shown.len().div_ceil(SLIDES_PER_PAGE);
        for (place, accounts) in shown.chunks(SLIDES_PER_PAGE).enumerate() {
            let slides = reader.read(accounts.to_vec());
            let sections = slides.iter().map(|slide| slide.section(names)).collect::<Result<Vec<_>, _>>()?;
            let range = place * SLIDES_PER_PAGE + 1..=place * SLIDES_PER_PAGE + slides.len();
            pages.write_further(place, &pages::further(&cohort, place, count, range, &sections))?;
            let href = pages.href(place);
            own.extend(slides.into_iter().map(|slide| CohortSlide::new(slide, href.clone())));
        }
        pages.clear_from(count)?;
        own.extend(failed.into_iter().map(CohortSlide::failed));
        Cohort { slides: own, ..cohort }.page(&[])
    }
}

/// Data that pages are made from.
struct Reader<'a> {
    dataset: &'a Dataset,
    files: &'a SlideFiles,
    /// Measures by slide, where the dataset asks for some.
    measured: Option<&'a MeasuredSlides>,
}

impl Reader<'_> {
    fn read(&self, accounts: Vec<RunAccount>) -> Vec<SlideReport> {
        let accounts = accounts.into_par_iter();
        accounts
            .map(|account| {
                let measured = self.measured.and_then(|measured| measured.get(&account.slide));
                SlideReport::read(self.dataset, self.files, account, measured.cloned().unwrap_or_default())
            })
            .collect()
    }
}

/// Slides that somebody has to look at first: doubtful ones, then incomplete ones, then the others; each by id.
fn in_order(mut accounts: Vec<RunAccount>) -> Vec<RunAccount> {
    accounts.sort_by_key(|account| (account.doubts.is_empty(), account.outcome != Outcome::Partial));
    accounts
}
