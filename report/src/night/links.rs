//! Links from page to page of a report.

/// Where a page lies that links to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    First,
    /// In the folder of further pages.
    Further,
    /// In the folder of the pages for paper.
    Print,
}

impl Place {
    /// Way to the folder of the first page.
    pub(super) fn up(self) -> &'static str {
        match self {
            Self::First => "",
            Self::Further => "../",
            Self::Print => "../../",
        }
    }
}

/// Addresses of what else shows a slide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Links {
    /// Its page for paper, where there is one and it is not this page.
    pub(super) print: Option<String>,
    /// The viewer at the slide.
    pub(super) viewer: String,
    /// `true` if the viewer lies there as files; else it is there only while `slidemill view` serves the report.
    pub(super) has_viewer: bool,
}
