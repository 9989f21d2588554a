//! The files of a report.

use std::{
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use dataset::{Dataset, wording::grouped};
use maud::{Markup, html};

use super::cohort::Cohort;
use crate::{error::ReportError, page::document};

/// Paths of the pages of a report.
pub(super) struct Pages<'a> {
    dataset: &'a Dataset,
    first: PathBuf,
    /// Folder of further pages, beside the first page.
    folder: PathBuf,
}

/// Last part of the path of that folder, which links have too.
const FOLDER: &str = "report";

impl<'a> Pages<'a> {
    pub(super) fn shared(dataset: &'a Dataset) -> Self {
        Self { dataset, first: dataset.report(), folder: dataset.root().join(FOLDER) }
    }

    pub(super) fn private(dataset: &'a Dataset) -> Self {
        let folder = dataset.private();
        Self { dataset, first: folder.join("report.html"), folder: folder.join(FOLDER) }
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
        let pages = Pages::shared(&dataset);
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
        let path = Pages::private(&dataset).write_first(|| Ok("names".into())).unwrap();
        assert!(path.starts_with(dataset.private()));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
