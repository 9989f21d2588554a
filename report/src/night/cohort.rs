//! The first page: slides to be looked at, then all slides together.

use std::collections::{BTreeMap, BTreeSet};

use dataset::{
    Outcome, RunAccount,
    wording::{counted, fixed, grouped, span},
};
use maud::{Markup, PreEscaped, html};

use super::{
    charts,
    reasons::{Reason, Urgency, reasons},
    section::{badge, doubtful, doubtful_badge, thumbnail},
    slide::SlideReport,
};
use crate::{
    chart::key,
    error::ReportError,
    page::{SCRIPT, document, large_area, strong},
    private_facts::PrivateFacts,
};

/// Classes with a column of their own; more are in the slides' sections only.
const CLASS_COLUMNS: usize = 6;
/// Columns of slide lists in the table of a private report; more are in the slides' sections only.
const LIST_COLUMNS: usize = 4;
/// Lines of the list of slides to be looked at up to which all of it is shown.
const OPEN_LINES: usize = 12;
/// Slides that fit in a bar chart side by side.
const BARS: usize = 120;

/// All slides of a report.
pub(super) struct Cohort<'a> {
    /// Date and time of the report.
    pub(super) now: &'a str,
    /// What a private report says of slides.
    pub(super) private: Option<&'a PrivateFacts>,
    /// All slides, in the order they are shown.
    pub(super) slides: Vec<CohortSlide>,
}

/// Contents of the first page for one slide.
pub(super) struct CohortSlide {
    account: RunAccount,
    /// Name, colour and cells of each class.
    classes: Vec<(String, usize, u64)>,
    /// Address of its section; none for a failed slide.
    href: Option<String>,
    /// Its picture, where that is on the same page.
    thumbnail: Option<Markup>,
}

impl CohortSlide {
    /// A slide whose section is on this `page`; an empty one is the first page.
    pub(super) fn new(slide: SlideReport, page: String) -> Self {
        let thumbnail = if page.is_empty() { thumbnail(&slide) } else { None };
        let classes = slide.figures.iter().flat_map(|figures| &figures.classes);
        Self {
            classes: classes.map(|class| (class.name.clone(), class.colour, class.cells)).collect(),
            href: Some(format!("{page}#{}", slide.anchor())),
            thumbnail,
            account: slide.account,
        }
    }

    /// A slide without results.
    pub(super) fn failed(account: RunAccount) -> Self {
        Self { account, classes: Vec::new(), href: None, thumbnail: None }
    }

    /// Its place in the first page, where its section is on another one: links to the slide lead to its row then.
    fn anchor(&self) -> Option<String> {
        let (page, anchor) = self.href.as_ref()?.split_once('#')?;
        (!page.is_empty()).then(|| anchor.to_owned())
    }

    fn is_failed(&self) -> bool {
        self.account.outcome == Outcome::Failed
    }

    fn density(&self, cells: u64) -> Option<f64> {
        self.account.analysis.as_ref()?.coverage.per_mm2(cells)
    }
}

impl Cohort<'_> {
    /// The page, with the sections of slides where they are on it.
    ///
    /// # Errors
    ///
    /// When a chart cannot be drawn.
    pub(super) fn page(&self, sections: &[Markup]) -> Result<String, ReportError> {
        let count = counted(self.slides.len(), "slide");
        let body = html! {
            header {
                h1 { (count) }
                (self.summary())
                (self.mark())
            }
            main {
                section.cohort {
                    (self.to_be_looked_at())
                    (self.chart()?)
                    (self.table())
                    (self.methods())
                }
                @for section in sections { (section) }
            }
            script { (PreEscaped(SCRIPT)) }
        };
        Ok(document(&format!("slidemill report: {count}"), "", &body).into_string())
    }

    /// Notes on the time of writing and, in a private report, on who may see it.
    pub(super) fn mark(&self) -> Markup {
        html! {
            @if self.private.is_some() {
                p.problem { b { "Private." } " This report says the names of files, and what slide lists say of slides. It is not to be passed on; "
                    "the shared one is " code { "report.html" } " in the folder of the dataset." }
            }
            p.note { "Written " time { (self.now) } " by slidemill " (env!("CARGO_PKG_VERSION"))
                ". For research use. Not a medical device." }
        }
    }

    fn summary(&self) -> Markup {
        let count = |outcome| self.slides.iter().filter(|slide| slide.account.outcome == outcome).count();
        let coverages = self.slides.iter().filter_map(|slide| slide.account.analysis.as_ref());
        let analysed: f64 = coverages.map(|analysis| analysis.coverage.analysed_mm2).sum();
        let cells: u64 = self.slides.iter().map(|slide| slide.account.cells()).sum();
        let copies: usize = self.slides.iter().map(|slide| slide.account.copies).sum();
        let with_results = self.slides.iter().filter(|slide| !slide.is_failed());
        let doubted: Vec<_> = with_results.filter(|slide| !slide.account.doubts.is_empty()).collect();
        let doubted_cells: u64 = doubted.iter().map(|slide| slide.account.cells()).sum();
        html! {
            p.totals {
                span { (strong(cells as usize, "cell")) }
                span { b { (large_area(analysed)) } " mm² of tissue analysed" }
                @if analysed > 0.0 { span { b { (charts::per_mm2(cells as f64 / analysed)) } " cells per mm²" } }
                @for outcome in [Outcome::Done, Outcome::Partial, Outcome::Failed] {
                    @if count(outcome) > 0 { span { b { (grouped(count(outcome) as u64)) } " " (badge(outcome)) } }
                }
                @if copies > 0 { span { (strong(copies, "copy")) " left out" } }
            }
            @if !doubted.is_empty() {
                p.note { "Of these cells, " (grouped(doubted_cells)) " are on " (counted(doubted.len(), "slide"))
                    " whose results are to be doubted." }
            }
        }
    }

    /// Slides that somebody has to look at, by reason; of many, the slides of each reason are folded.
    fn to_be_looked_at(&self) -> Markup {
        let reasons = reasons(self.slides.iter(), |slide| &slide.account);
        let lines: usize = reasons.iter().map(|reason| reason.slides.len()).sum();
        html! {
            @if !reasons.is_empty() {
                h2 { "To be looked at" }
                p.note { (told_urgencies(&self.slides)) }
                @for reason in &reasons { (self.slides_with(reason, lines <= OPEN_LINES)) }
            }
        }
    }

    /// A reason, and the slides that have it.
    fn slides_with(&self, reason: &Reason<&CohortSlide>, is_open: bool) -> Markup {
        let says_more = reason.differs();
        html! {
            details.reason open[is_open] {
                summary {
                    (urgency_badge(reason.urgency)) " " b { (counted(reason.slides.len(), "slide")) } ": "
                    span.why { (reason.sentence) }
                }
                div.scroll { table.reasons.sorts {
                    thead { tr { th { "Slide" } th { "Outcome" } @if says_more { th { "Why" } } } }
                    tbody { @for (slide, own) in &reason.slides {
                        tr {
                            th scope="row" { (self.called(slide)) }
                            td { (badge(slide.account.outcome)) (doubtful(&slide.account)) }
                            @if says_more { td.why { (own) } }
                        }
                    } }
                } }
            }
        }
    }

    /// Name of a slide, linked to its section.
    fn called(&self, slide: &CohortSlide) -> Markup {
        let id = &slide.account.slide;
        let name = self.private.and_then(|private| private.name(id));
        let text = html! { @if let Some(name) = name { (name) " " span.note { (id) } } @else { (id) } };
        html! { @if let Some(href) = &slide.href { a href=(href) { (text) } } @else { (text) } }
    }

    /// Names of all classes of all slides, each with its colour.
    fn classes(&self) -> BTreeMap<&str, Option<usize>> {
        let mut classes = BTreeMap::new();
        for slide in &self.slides {
            for name in slide.account.analysis.iter().flat_map(|analysis| analysis.cells.keys()) {
                classes.entry(name.as_str()).or_insert(None);
            }
            for (name, colour, _) in &slide.classes {
                classes.insert(name.as_str(), Some(*colour));
            }
        }
        classes
    }

    fn chart(&self) -> Result<Markup, ReportError> {
        let with_results = self.slides.iter().filter(|slide| !slide.is_failed());
        let bars: Vec<Vec<(usize, f64)>> = with_results
            .map(|slide| {
                let classes = slide.classes.iter();
                classes.filter_map(|&(_, colour, cells)| Some((colour, slide.density(cells)?))).collect()
            })
            .collect();
        if !(2..=BARS).contains(&bars.len()) {
            return Ok(html! {});
        }
        let names = self.classes();
        Ok(html! {
            figure.wide {
                figcaption {
                    "Cells per mm² of analysed tissue "
                    @if names.len() > 1 {
                        @for (name, colour) in &names {
                            @if let Some(colour) = colour { (key(*colour, name)) }
                        }
                    }
                }
                div.on-wide { (PreEscaped(charts::cohort_bars(&bars, 2)?)) }
                div.on-narrow { (PreEscaped(charts::cohort_bars(&bars, 1)?)) }
            }
        })
    }

    /// Names of the columns that lists have, of a private report: as many as have room.
    fn list_columns(&self) -> Vec<&str> {
        let Some(private) = self.private else { return Vec::new() };
        let shown = self.slides.iter().filter(|slide| !slide.is_failed());
        let names: BTreeSet<&str> =
            shown.flat_map(|slide| private.columns(&slide.account.slide).map(|(name, _)| name)).collect();
        names.into_iter().take(LIST_COLUMNS).collect()
    }

    /// All slides with results: each column sorts and filters.
    fn table(&self) -> Markup {
        let names: Vec<&str> = self.classes().into_keys().collect();
        let columns = Columns {
            lists: self.list_columns(),
            classes: if (2..=CLASS_COLUMNS).contains(&names.len()) { names } else { Vec::new() },
        };
        let heads = columns.heads();
        let slides = self.slides.iter().filter(|slide| !slide.is_failed()).zip(1_u32..);
        html! {
            div.scroll {
                table #cohort.sorts data-filters {
                    thead {
                        tr { @for head in &heads {
                            th.number[head.holds == Holds::Numbers].more[!head.is_on_phones] { (head.name) }
                        } }
                    }
                    tbody { @for (slide, place) in slides { (self.row(slide, place, &columns)) } }
                }
            }
        }
    }

    fn row(&self, slide: &CohortSlide, place: u32, columns: &Columns<'_>) -> Markup {
        let account = &slide.account;
        let analysis = account.analysis.as_ref();
        let coverage = analysis.map(|analysis| analysis.coverage);
        let total = analysis.map(|_| account.cells());
        html! {
            tr id=[slide.anchor()] {
                (number(Some(f64::from(place)), "more", |value| format!("{value}")))
                th scope="row" { @if let Some(picture) = &slide.thumbnail { (picture) " " } (self.called(slide)) }
                @for name in &columns.lists {
                    td.more { (self.private.and_then(|private| private.value(&account.slide, name)).unwrap_or_default()) }
                }
                td { (badge(account.outcome)) (doubtful(account)) }
                (number(coverage.map(|coverage| coverage.tissue_mm2), "more", |value| fixed(value, 2)))
                (number(coverage.map(|coverage| coverage.fraction), "more", |value| format!("{:.1} %", 100.0 * value)))
                (number(total.map(|cells| cells as f64), "", |value| grouped(value as u64)))
                @for name in &columns.classes {
                    @let cells = analysis.and_then(|analysis| analysis.cells.get(*name));
                    (number(cells.map(|&cells| cells as f64), "more", |value| grouped(value as u64)))
                }
                (number(total.and_then(|cells| slide.density(cells)), "", charts::per_mm2))
                (number(Some(account.warnings.len() as f64), "more", |value| format!("{value}")))
                (number(Some(account.elapsed_secs), "more", span))
            }
        }
    }

    /// Models and settings, each with the number of slides it was used for when
    /// that is not all.
    fn methods(&self) -> Markup {
        /// Settings that are in every account, and different in each.
        const OF_ONE_SLIDE: [&str; 2] = ["slide_content", "mpp"];
        let mut models = BTreeSet::new();
        let mut settings: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for CohortSlide { account, .. } in &self.slides {
            let (model, device) = (&account.model, &account.device);
            models.insert(format!("{model} on {device}, SHA-256 {}", model.sha256));
            for (name, value) in &account.settings {
                if !OF_ONE_SLIDE.contains(&name.as_str()) {
                    settings.entry(name).or_default().insert(value);
                }
            }
        }
        html! {
            details {
                summary { "Model, settings, and how to read this" }
                p { "Cells per mm² are cells over the tissue that was analysed, not over the whole slide. Scores are the \
                     model's confidence; nothing is known of cells below the threshold that was used, unless raw detections \
                     were kept. Density is smoothed over a few hundredths of the slide's side, and is per area of tissue \
                     that was seen. Slides are named by an id made from their content; "
                    code { ".slidemill/slides.csv" } " beside this report says which is which file, and "
                    code { "slidemill report --private" } " writes a report that names them." }
                ul { @for model in models { li.hash { (model) } } }
                dl.facts {
                    @for (name, values) in settings {
                        div { dt { (name.replace('_', " ")) } dd.hash { (values.into_iter().collect::<Vec<_>>().join(", ")) } }
                    }
                }
            }
        }
    }
}

/// Numbers of slides to be looked at, and that one slide may be in several places.
fn told_urgencies(slides: &[CohortSlide]) -> String {
    let failed = slides.iter().filter(|slide| slide.is_failed()).count();
    let doubtful =
        slides.iter().filter(|slide| !slide.is_failed() && !slide.account.doubts.is_empty()).count();
    let incomplete = slides.iter().filter(|slide| slide.account.outcome == Outcome::Partial).count();
    let counts = [(failed, "without results"), (doubtful, "doubtful"), (incomplete, "incomplete")];
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", counted(*count, "slide")))
        .collect();
    format!("{}. A slide with several reasons is under each of them.", told.join(", "))
}

fn urgency_badge(urgency: Urgency) -> Markup {
    match urgency {
        Urgency::Failed => badge(Outcome::Failed),
        Urgency::Doubtful => doubtful_badge(),
        Urgency::Incomplete => badge(Outcome::Partial),
    }
}

/// Columns of the table that not every report has.
struct Columns<'a> {
    /// Of slide lists.
    lists: Vec<&'a str>,
    /// Cells of a class.
    classes: Vec<&'a str>,
}

/// A head of the table.
struct Head<'a> {
    name: &'a str,
    holds: Holds,
    /// `true` if the column has room on a small screen.
    is_on_phones: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Words,
    Numbers,
}

impl<'a> Head<'a> {
    fn words(name: &'a str) -> Self {
        Self { name, holds: Holds::Words, is_on_phones: true }
    }

    fn numbers(name: &'a str) -> Self {
        Self { name, holds: Holds::Numbers, is_on_phones: true }
    }

    fn not_on_phones(self) -> Self {
        Self { is_on_phones: false, ..self }
    }
}

impl<'a> Columns<'a> {
    /// All heads, in order.
    fn heads(&self) -> Vec<Head<'a>> {
        let mut heads = vec![Head::numbers("#").not_on_phones(), Head::words("Slide")];
        heads.extend(self.lists.iter().map(|name| Head::words(name).not_on_phones()));
        heads.push(Head::words("Outcome"));
        heads.extend(["Tissue mm²", "Coverage"].map(|name| Head::numbers(name).not_on_phones()));
        heads.push(Head::numbers("Cells"));
        heads.extend(self.classes.iter().map(|name| Head::numbers(name).not_on_phones()));
        heads.push(Head::numbers("Cells per mm²"));
        heads.extend(["Warnings", "Time"].map(|name| Head::numbers(name).not_on_phones()));
        heads
    }
}

/// A cell of the table: a number as text, and the value that the table is sorted by.
fn number(value: Option<f64>, class: &str, text: impl Fn(f64) -> String) -> Markup {
    html! {
        @match value {
            Some(value) => td class={ "number " (class) } data-value=(value) { (text(value)) },
            None => td class={ "number " (class) } { "–" },
        }
    }
}
