//! The files of a report.

use std::{
    collections::BTreeSet,
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use dataset::{Dataset, RunAccount, SlideId, wording::grouped};
use maud::{Markup, PreEscaped, html};

use super::{
    cohort::Cohort,
    links::{Links, Place},
};
use crate::{
    error::ReportError,
    page::{SCRIPT, document},
};

/// Who a report is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportForm {
    /// For anybody: slides go by id.
    Shared,
    /// For the laboratory: with names of files and what lists say of slides.
    Private,
}

/// Paths of the pages of a report.
pub(super) struct Pages<'a> {
    dataset: &'a Dataset,
    first: PathBuf,
    /// Folder of further pages, beside the first page.
    folder: PathBuf,
    /// Way from the first page to the folder of the dataset.
    up: &'static str,
}

/// Last part of the path of that folder, which links have too.
const FOLDER: &str = "report";
/// Folder in it with a page for paper of each slide; while it is there, they are written with the report.
const PRINT: &str = "print";
/// Folder of the dataset in which `slidemill view --export` makes pages that the report links to.
const VIEWER: &str = "viewer";

impl<'a> Pages<'a> {
    pub(super) fn new(dataset: &'a Dataset, form: ReportForm) -> Self {
        let (root, up) = match form {
            ReportForm::Shared => (dataset.root().to_owned(), ""),
            ReportForm::Private => (dataset.private(), "../"),
        };
        Self { dataset, first: root.join("report.html"), folder: root.join(FOLDER), up }
    }

    /// Addresses for a slide on a page at this place.
    pub(super) fn links(&self, account: &RunAccount, from: Place) -> Links {
        let (id, up) = (&account.slide, from.up());
        Links {
            print: (from != Place::Print && self.have_print_pages())
                .then(|| format!("{up}{FOLDER}/{PRINT}/{}", print_name(id))),
            viewer: format!("{up}{}{VIEWER}/index.html#slide={id}", self.up),
            has_viewer: self.viewer_shows(account),
        }
    }

    /// `true` if there is a viewer without a server beside the report, and it was made from the cells of this account.
    fn viewer_shows(&self, account: &RunAccount) -> bool {
        let folder = self.dataset.root().join(VIEWER).join("slide").join(account.slide.as_str());
        let Ok(shown) = fs::read_to_string(folder.join("cells.sha256")) else { return false };
        let files = account.analysis.iter().flat_map(|analysis| &analysis.files);
        files.into_iter().any(|file| file.path.starts_with("cells/") && file.sha256 == shown)
    }

    /// Makes the folder of the pages for paper, and returns its path.
    pub(super) fn want_print_pages(&self) -> Result<PathBuf, ReportError> {
        let folder = self.folder.join(PRINT);
        match self.dataset.make_folder(&folder) {
            Ok(()) => Ok(folder),
            Err(reason) => Err(ReportError::write("the pages for paper", reason, folder)),
        }
    }

    /// `true` if pages for paper are written with the report.
    pub(super) fn have_print_pages(&self) -> bool {
        self.folder.join(PRINT).is_dir()
    }

    /// Writes the page for paper of a slide.
    pub(super) fn write_print_page(&self, id: &SlideId, html: &str) -> Result<(), ReportError> {
        self.write(&self.folder.join(PRINT).join(print_name(id)), html)
    }

    /// Removes pages for paper of all slides but these: of slides that were forgotten or failed since.
    pub(super) fn keep_print_pages(&self, accounts: &[RunAccount]) -> Result<(), ReportError> {
        let kept: BTreeSet<String> = accounts.iter().map(|account| print_name(&account.slide)).collect();
        let folder = self.folder.join(PRINT);
        remove_others(&folder, &kept)
            .map_err(|reason| ReportError::write("the pages for paper", reason, folder))
    }

    pub(super) fn are_there(&self) -> bool {
        self.first.exists()
    }

    /// Writes the page that people open, unless another job made one of more accounts meanwhile, and returns
    /// its path.
    pub(super) fn write_first(
        &self,
        make: impl Fn() -> Result<String, ReportError>,
    ) -> Result<PathBuf, ReportError> {
        let written = self.dataset.write_current(&self.first, || make().map(String::into_bytes))?;
        written.map_err(|reason| ReportError::write("the report", reason, self.first.clone()))?;
        Ok(self.first.clone())
    }

    /// Writes the page of some slides; the first is 0.
    pub(super) fn write_further(&self, place: usize, html: &str) -> Result<(), ReportError> {
        self.write(&self.folder.join(file_name(place)), html)
    }

    /// Address of a further page, for links on the first page.
    pub(super) fn href(&self, place: usize) -> String {
        format!("{FOLDER}/{}", file_name(place))
    }

    /// Removes further pages from `place` on, which an earlier report of more slides left.
    pub(super) fn clear_from(&self, place: usize) -> Result<(), ReportError> {
        let cleared = remove_pages(&self.folder, place);
        cleared.map_err(|reason| ReportError::write("the pages of the report", reason, self.folder.clone()))
    }

    /// Removes the whole report, where there is one.
    pub(super) fn remove(&self) -> Result<(), ReportError> {
        self.keep_print_pages(&[])?;
        // What somebody else put there stays.
        let _ = fs::remove_dir(self.folder.join(PRINT));
        self.clear_from(0)?;
        match fs::remove_file(&self.first) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ReportError::write("the report", error, self.first.clone()))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, path: &Path, html: &str) -> Result<(), ReportError> {
        self.dataset
            .write(path, html.as_bytes())
            .map_err(|reason| ReportError::write("the report", reason, path.to_owned()))
    }
}

fn file_name(place: usize) -> String {
    format!("slides-{:03}.html", place + 1)
}

fn print_name(id: &SlideId) -> String {
    format!("{id}.html")
}

/// Removes the pages in a folder whose names are not among those `kept`.
fn remove_others(folder: &Path, kept: &BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".html") && !kept.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove_pages(folder: &Path, from: usize) -> io::Result<()> {
    for place in from.. {
        match fs::remove_file(folder.join(file_name(place))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            removed => removed?,
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// The page of the slides `range` of a cohort, counted from 1.
pub(super) fn further(
    cohort: &Cohort<'_>,
    place: usize,
    count: usize,
    range: RangeInclusive<usize>,
    sections: &[Markup],
) -> String {
    let title = format!("Slides {} to {}", grouped(*range.start() as u64), grouped(*range.end() as u64));
    let ways = html! {
        nav {
            a href="../report.html" { "All slides" }
            @if place > 0 { a href=(file_name(place - 1)) rel="prev" { "Before" } }
            @if place + 1 < count { a href=(file_name(place + 1)) rel="next" { "Next" } }
        }
    };
    let body = html! {
        header { h1 { (title) } (cohort.mark()) (ways) }
        main { @for section in sections { (section) } }
        (ways)
        script { (PreEscaped(SCRIPT)) }
    };
    document(&format!("slidemill report: {title}"), "", &body).into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_larger_report_go() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let pages = Pages::new(&dataset, ReportForm::Shared);
        (0..3).for_each(|place| pages.write_further(place, "page").unwrap());
        pages.clear_from(1).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path().join(FOLDER))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["slides-001.html"]);
        pages.clear_from(0).unwrap();
        assert!(!folder.path().join(FOLDER).exists());
        pages.clear_from(0).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_private_page_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let path = Pages::new(&dataset, ReportForm::Private).write_first(|| Ok("names".into())).unwrap();
        assert!(path.starts_with(dataset.private()));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
