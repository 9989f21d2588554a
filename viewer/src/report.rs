//! The report of a dataset, which links to the viewer as the viewer links to it.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use crate::http::{Keep, Response};

/// Name of the first page of a report, in the folder of its dataset.
const FIRST: &str = "report.html";
/// Folder in which a dataset keeps a viewer without a server; links of the report begin with it.
const VIEWER: &str = "viewer/";

/// A report holds its own scripts, and may come from elsewhere: they run, but as those of a page that has no origin and may
/// ask nobody for anything.
const POLICY: &str = "sandbox allow-scripts allow-modals allow-popups allow-top-navigation; default-src 'none'; img-src data:; \
    style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'";

/// The report of a dataset.
#[derive(Debug, Clone)]
pub struct Report {
    /// Folder of the dataset.
    folder: PathBuf,
    /// Way from the viewer's page to that folder.
    up: &'static str,
}

/// Addresses of the report, for the page.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReportLinks {
    /// Its first page.
    first: String,
    /// The page for paper of each slide that has one.
    print: BTreeMap<String, String>,
}

impl Report {
    /// The report of the dataset in `folder`, to be served beside the viewer.
    #[must_use]
    pub fn served(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), up: "" }
    }

    /// The report of the dataset in `folder`, for a viewer that lies in its folder `viewer`.
    #[must_use]
    pub fn above(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), up: "../" }
    }

    /// Addresses for these slides; `None` as long as there is no report.
    pub(crate) fn links(&self, ids: &[String]) -> Option<ReportLinks> {
        let Self { folder, up } = self;
        let print = ids.iter().filter_map(|id| {
            let path = format!("report/print/{id}.html");
            folder.join(&path).is_file().then(|| (id.clone(), format!("{up}{path}")))
        });
        folder
            .join(FIRST)
            .is_file()
            .then(|| ReportLinks { first: format!("{up}{FIRST}"), print: print.collect() })
    }

    /// The answer to a path that is one of the pages of the report.
    pub(crate) fn page(&self, path: &str) -> Option<Response> {
        let parts: Vec<&str> = path.split('/').collect();
        let name = match parts.as_slice() {
            [name] if *name == FIRST => name,
            ["report", name] | ["report", "print", name] => name,
            _ => return None,
        };
        if !is_page(name) {
            return None;
        }
        let bytes = std::fs::read(self.folder.join(path)).ok()?;
        let page = Response::ok("text/html; charset=utf-8", Keep::No, bytes);
        Some(Response { policy: POLICY, ..page })
    }
}

/// `true` for a name that a page of a report can have.
fn is_page(name: &str) -> bool {
    let has_page = name.ends_with(".html") && !name.starts_with('.');
    has_page && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A path as the viewer knows it: pages of the report find the viewer in its folder.
pub(crate) fn without_folder(mut path: &str) -> &str {
    while let Some(rest) = path.strip_prefix(VIEWER) {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn pages_of_the_report_are_answered_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("report/print")).unwrap();
        let ids = ["s1".to_owned(), "s2".to_owned()];
        let report = Report::served(folder.path());
        assert_eq!(report.links(&ids), None, "there is no report yet");
        let pages = ["report.html", "report/slides-001.html", "report/print/s1.html"];
        for path in pages.iter().chain(&["secret.html", "report/notes.txt", "report/print/.html"]) {
            fs::write(folder.path().join(path), path).unwrap();
        }
        for path in pages {
            assert_eq!(report.page(path).unwrap().body.as_slice(), path.as_bytes());
        }
        for path in [
            "secret.html",
            "report/notes.txt",
            "report/print/.html",
            "report/../secret.html",
            "report/print/../../secret.html",
            "report/slides-002.html",
            "",
        ] {
            assert!(report.page(path).is_none(), "{path}");
        }
        let print = [("s1".to_owned(), "../report/print/s1.html".to_owned())].into();
        let expected = ReportLinks { first: "../report.html".into(), print };
        assert_eq!(Report::above(folder.path()).links(&ids), Some(expected));
        assert_eq!(without_folder("viewer/viewer/slides.json"), "slides.json");
    }
}
