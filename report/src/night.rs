//! `OUT/report.html`: the morning report, pages that need no network.
//!
//! Made from what is under `OUT`: run accounts, cell tables, overviews; and from the slides themselves, where they are
//! still there, for parts of them at full size. The shared one names slides by id and holds no path, no property of a
//! slide file and no label; the private one says the names of files too, and what lists say of slides. But for the time it
//! states, equal inputs give equal bytes.
//!
//! Up to [`SLIDES_PER_PAGE`] slides are one file. Of more, the first page has the tables alone, and their pictures and
//! charts are on pages of so many slides, made and written one after the other: neither the first page nor memory
//! grows with the pictures.

mod areas;
mod charts;
mod classes;
mod cohort;
mod crops;
mod figures;
mod full_size;
mod links;
mod measures;
mod pages;
mod paths;
mod print;
mod reasons;
mod regions;
mod scale;
mod section;
mod slide;
mod staining;
mod thresholds;
mod words;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dataset::{Dataset, Outcome, RunAccount, SlideId, clock};
use maud::Markup;
use rayon::prelude::*;

use crate::{
    error::ReportError,
    measured::{Definition, MeasuredSlide, MeasuredSlides},
    private_facts::PrivateFacts,
    slide_files::SlideFiles,
};
use cohort::{Cohort, CohortSlide};
use links::Place;
use pages::Pages;
pub use pages::ReportForm;
use slide::{SlideReport, Wanted};

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
    Night::open(dataset, files)?.write_report()
}

/// Writes the report that names files and says what lists say of slides, under `OUT/.slidemill` and for its owner alone;
/// gives its path.
///
/// # Errors
///
/// As [`write_report`].
pub fn write_private_report(dataset: &Dataset, files: &SlideFiles) -> Result<PathBuf, ReportError> {
    Night::open(dataset, files)?.write_private_report()
}

/// From now on the report of this form has a page for paper of each slide, in the folder that is returned. Removing that
/// folder ends it.
///
/// # Errors
///
/// When the folder cannot be made.
pub fn want_print_pages(dataset: &Dataset, form: ReportForm) -> Result<PathBuf, ReportError> {
    Pages::new(dataset, form).want_print_pages()
}

/// Removes the report of slides that are no longer there.
pub(crate) fn remove_report(dataset: &Dataset) -> Result<(), ReportError> {
    Pages::new(dataset, ReportForm::Shared).remove()
}

/// Removes the report that names files, where there is one.
///
/// # Errors
///
/// When it cannot be removed.
pub fn remove_private_report(dataset: &Dataset) -> Result<(), ReportError> {
    Pages::new(dataset, ReportForm::Private).remove()
}

/// The page that people open; further ones are written on the way.
fn first_page(
    night: &Night<'_>,
    pages: &Pages<'_>,
    private: Option<&PrivateFacts>,
) -> Result<String, ReportError> {
    let accounts = in_order(night.dataset.read_accounts()?);
    if accounts.is_empty() {
        return Err(ReportError::nothing_to_report(night.dataset));
    }
    let now = clock::now();
    let cohort = Cohort { now: &now, private, slides: Vec::new() };
    let (failed, shown): (Vec<_>, Vec<_>) =
        accounts.into_iter().partition(|account| account.outcome == Outcome::Failed);
    pages.keep_print_pages(&shown)?;
    if shown.len() <= SLIDES_PER_PAGE {
        let slides = night.read(shown);
        let sections = sections(&slides, pages, &cohort, Place::First)?;
        let own = slides.into_iter().map(|slide| CohortSlide::new(slide, String::new()));
        let cohort =
            Cohort { slides: own.chain(failed.into_iter().map(CohortSlide::failed)).collect(), ..cohort };
        pages.clear_from(0)?;
        cohort.page(&sections)
    } else {
        let mut own = Vec::with_capacity(shown.len());
        let count = shown.len().div_ceil(SLIDES_PER_PAGE);
        for (place, accounts) in shown.chunks(SLIDES_PER_PAGE).enumerate() {
            let slides = night.read(accounts.to_vec());
            let sections = sections(&slides, pages, &cohort, Place::Further)?;
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

/// The sections of some slides on a page; where pages for paper are wanted, they are written on the way.
fn sections(
    slides: &[SlideReport],
    pages: &Pages<'_>,
    cohort: &Cohort<'_>,
    place: Place,
) -> Result<Vec<Markup>, ReportError> {
    if pages.have_print_pages() {
        write_print_pages(slides, pages, cohort)?;
    }
    let sections = slides.iter();
    sections.map(|slide| slide.section(cohort.private, &pages.links(&slide.account, place))).collect()
}

/// Makes pages for paper side by side, and writes them one after the other.
fn write_print_pages(
    slides: &[SlideReport],
    pages: &Pages<'_>,
    cohort: &Cohort<'_>,
) -> Result<(), ReportError> {
    let made = slides.par_iter().map(|slide| {
        let links = pages.links(&slide.account, Place::Print);
        Ok((&slide.account.slide, slide.print_page(cohort.now, cohort.private, &links)?))
    });
    let made: Vec<(&SlideId, String)> = made.collect::<Result<_, ReportError>>()?;
    made.into_iter().try_for_each(|(id, html)| pages.write_print_page(id, &html))
}

/// A dataset that reports are made from, and the measures that are made on the way.
pub(crate) struct Night<'a> {
    dataset: &'a Dataset,
    files: &'a SlideFiles,
    /// Measures that the dataset asks for.
    definition: Option<Definition>,
    /// Those of the slides that a report was made of.
    measured: Mutex<MeasuredSlides>,
}

impl<'a> Night<'a> {
    /// The night that lies in a dataset.
    ///
    /// # Errors
    ///
    /// When the definition of measures cannot be used.
    pub(crate) fn open(dataset: &'a Dataset, files: &'a SlideFiles) -> Result<Self, ReportError> {
        Ok(Self { dataset, files, definition: Definition::read(dataset)?, measured: Mutex::default() })
    }

    pub(crate) fn write_report(&self) -> Result<PathBuf, ReportError> {
        let pages = Pages::new(self.dataset, ReportForm::Shared);
        pages.write_first(|| first_page(self, &pages, None))
    }

    pub(crate) fn write_private_report(&self) -> Result<PathBuf, ReportError> {
        let pages = Pages::new(self.dataset, ReportForm::Private);
        let private = self.files.private_facts();
        pages.write_first(|| first_page(self, &pages, Some(&private)))
    }

    /// Writes the private report again, where there is one: it is not to be older than the shared one.
    pub(crate) fn rewrite_private_report(&self) -> Result<(), ReportError> {
        if Pages::new(self.dataset, ReportForm::Private).are_there() {
            self.write_private_report()?;
        }
        Ok(())
    }

    /// The measures of the slides that a report was made of; `None` where nobody asks for any.
    pub(crate) fn into_measured(self) -> Option<MeasuredSlides> {
        self.definition.map(|_| self.measured.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self, accounts: Vec<RunAccount>) -> Vec<SlideReport> {
        accounts.into_par_iter().map(|account| self.read_slide(account)).collect()
    }

    fn read_slide(&self, account: RunAccount) -> SlideReport {
        let known = self.measured().get(&account.slide).map(|measured| measured.lines.clone());
        let wanted = known.map_or(Wanted::Made(self.definition.as_ref()), Wanted::Known);
        let slide = SlideReport::read(self.dataset, self.files, account, self.definition.as_ref(), wanted);
        if slide.has_results() {
            let measured = MeasuredSlide::new(&slide.account, slide.measured.clone());
            self.measured().insert(slide.account.slide.clone(), measured);
        }
        slide
    }

    fn measured(&self) -> MutexGuard<'_, MeasuredSlides> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slides that somebody has to look at first: doubtful ones, then incomplete ones, then the others; each by id.
fn in_order(mut accounts: Vec<RunAccount>) -> Vec<RunAccount> {
    accounts.sort_by_key(|account| (account.doubts.is_empty(), account.outcome != Outcome::Partial));
    accounts
}
