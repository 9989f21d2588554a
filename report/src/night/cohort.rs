//! The page: what holds for the cohort, then each slide.

use std::collections::{BTreeMap, BTreeSet};

use dataset::{
    Outcome,
    wording::{counted, grouped, span},
};
use maud::{Markup, PreEscaped, html};

use super::{
    charts,
    section::{badge, doubtful},
    slide::SlideReport,
};
use crate::{chart::key, error::ReportError, page::document};

const SORT: &str = include_str!("sort.js");
/// Classes with a column of their own; more are in the slides' sections only.
const CLASS_COLUMNS: usize = 6;
/// Slides that fit in a bar chart side by side.
const BARS: usize = 120;

/// The whole report.
///
/// # Errors
///
/// When a chart cannot be drawn.
pub(super) fn render(slides: &[SlideReport], now: &str) -> Result<String, ReportError> {
    let sections = slides.iter().map(SlideReport::section).collect::<Result<Vec<_>, ReportError>>()?;
    let title = format!("slidemill report: {}", counted(slides.len(), "slide"));
    let page = document(
        &title,
        "",
        &html! {
            header {
                h1 { (counted(slides.len(), "slide")) }
                (summary(slides))
                p.note { "Written " time { (now) } " by slidemill " (env!("CARGO_PKG_VERSION"))
                    ". For research use. Not a medical device." }
            }
            main {
                section.cohort {
                    (cohort_chart(slides)?)
                    (table(slides))
                    (methods(slides))
                }
                @for section in sections { (section) }
            }
            script { (PreEscaped(SORT)) }
        },
    );
    Ok(page.into_string())
}

fn summary(slides: &[SlideReport]) -> Markup {
    let count = |outcome| slides.iter().filter(|slide| slide.account.outcome == outcome).count();
    let analysed: f64 = slides
        .iter()
        .filter_map(|slide| slide.account.analysis.as_ref())
        .map(|analysis| analysis.coverage.analysed_mm2)
        .sum();
    let cells: u64 = slides.iter().map(|slide| slide.account.cells()).sum();
    let is_plain =
        |slide: &&SlideReport| slide.account.outcome == Outcome::Done && slide.account.doubts.is_empty();
    let needing: Vec<_> = slides.iter().filter(|slide| !is_plain(slide)).collect();
    let doubted: Vec<_> = slides.iter().filter(|slide| !slide.account.doubts.is_empty()).collect();
    let doubted_cells: u64 = doubted.iter().map(|slide| slide.account.cells()).sum();
    html! {
        p.totals {
            span { b { (grouped(cells)) } " cells" }
            span { b { (format!("{analysed:.2}")) } " mm² of tissue analysed" }
            @if analysed > 0.0 { span { b { (charts::per_mm2(cells as f64 / analysed)) } " cells per mm²" } }
            @for outcome in [Outcome::Done, Outcome::Partial, Outcome::Failed] {
                @if count(outcome) > 0 { span { b { (count(outcome)) } " " (badge(outcome)) } }
            }
        }
        @if !doubted.is_empty() {
            p.note { "Of these cells, " (grouped(doubted_cells)) " are on " (counted(doubted.len(), "slide"))
                " whose results are to be doubted." }
        }
        @if !needing.is_empty() {
            p.problem { "To be looked at: "
                @for (index, slide) in needing.iter().enumerate() {
                    @if index > 0 { ", " }
                    a href=(format!("#{}", slide.anchor())) { (slide.account.slide) }
                }
            }
        }
    }
}

/// Names of all classes of all slides, each with its colour.
fn classes(slides: &[SlideReport]) -> BTreeMap<&str, Option<usize>> {
    let mut classes = BTreeMap::new();
    for slide in slides {
        for name in slide.account.analysis.iter().flat_map(|analysis| analysis.cells.keys()) {
            classes.entry(name.as_str()).or_insert(None);
        }
        for class in slide.figures.iter().flat_map(|figures| &figures.classes) {
            classes.insert(class.name.as_str(), Some(class.colour));
        }
    }
    classes
}

fn cohort_chart(slides: &[SlideReport]) -> Result<Markup, ReportError> {
    let bars: Vec<Vec<(usize, f64)>> = slides
        .iter()
        .map(|slide| {
            let classes = slide.figures.iter().flat_map(|figures| &figures.classes);
            classes.filter_map(|class| Some((class.colour, slide.density(class.cells)?))).collect()
        })
        .collect();
    if !(2..=BARS).contains(&bars.len()) {
        return Ok(html! {});
    }
    let names = classes(slides);
    Ok(html! {
        figure.wide {
            figcaption {
                "Cells per mm² of analysed tissue "
                @if names.len() > 1 {
                    @for (name, colour) in &names {
                        @if let Some(colour) = colour {
                            (key(*colour, name))
                        }
                    }
                }
            }
            div.on-wide { (PreEscaped(charts::cohort_bars(&bars, 2)?)) }
            div.on-narrow { (PreEscaped(charts::cohort_bars(&bars, 1)?)) }
        }
    })
}

fn table(slides: &[SlideReport]) -> Markup {
    let names: Vec<&str> = classes(slides).into_keys().collect();
    let columns = if (2..=CLASS_COLUMNS).contains(&names.len()) { &names[..] } else { &[] };
    html! {
        div.scroll {
            table #cohort {
                thead {
                    tr {
                        th { button { "Slide" } }
                        th { button { "Outcome" } }
                        th.number.more { button { "Tissue mm²" } }
                        th.number.more { button { "Coverage" } }
                        th.number { button { "Cells" } }
                        @for name in columns { th.number.more { button { (name) } } }
                        th.number { button { "Cells per mm²" } }
                        th.number.more { button { "Warnings" } }
                        th.number.more { button { "Time" } }
                    }
                }
                tbody { @for slide in slides { (row(slide, columns)) } }
            }
        }
    }
}

fn row(slide: &SlideReport, columns: &[&str]) -> Markup {
    let account = &slide.account;
    let analysis = account.analysis.as_ref().filter(|_| account.outcome != Outcome::Failed);
    let coverage = analysis.map(|analysis| analysis.coverage);
    let total = analysis.map(|_| account.cells());
    html! {
        tr {
            th scope="row" { a href=(format!("#{}", slide.anchor())) { (account.slide) } }
            td { (badge(account.outcome)) (doubtful(account)) }
            (number(coverage.map(|coverage| coverage.tissue_mm2), "more", |value| format!("{value:.2}")))
            (number(coverage.map(|coverage| coverage.fraction), "more", |value| format!("{:.1} %", 100.0 * value)))
            (number(total.map(|cells| cells as f64), "", |value| grouped(value as u64)))
            @for name in columns {
                @let cells = analysis.and_then(|analysis| analysis.cells.get(*name));
                (number(cells.map(|&cells| cells as f64), "more", |value| grouped(value as u64)))
            }
            (number(total.and_then(|cells| slide.density(cells)), "", charts::per_mm2))
            (number(Some(account.warnings.len() as f64), "more", |value| format!("{value}")))
            (number(Some(account.elapsed_secs), "more", span))
        }
    }
}

/// A number as text, and as what the table is sorted by.
fn number(value: Option<f64>, class: &str, text: impl Fn(f64) -> String) -> Markup {
    html! {
        @match value {
            Some(value) => td class={ "number " (class) } data-value=(value) { (text(value)) },
            None => td class={ "number " (class) } { "–" },
        }
    }
}

/// Models and settings, each with the number of slides it was used for when
/// that is not all.
fn methods(slides: &[SlideReport]) -> Markup {
    /// In every account, and different in each.
    const OF_ONE_SLIDE: [&str; 2] = ["slide_content", "mpp"];
    let mut models = BTreeSet::new();
    let mut settings: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for slide in slides {
        let (model, device) = (&slide.account.model, &slide.account.device);
        models.insert(format!("{} {} on {device}, SHA-256 {}", model.name, model.version, model.sha256));
        for (name, value) in &slide.account.settings {
            if !OF_ONE_SLIDE.contains(&name.as_str()) {
                settings.entry(name).or_default().insert(value);
            }
        }
    }
    html! {
        details {
            summary { "Model, settings, and how to read this" }
            p { "Cells per mm² are cells over the tissue that was analysed, not over the whole slide. Scores are the \
                 model's confidence; nothing is known of cells below the threshold that was used, unless raw detections were \
                 kept. Density is smoothed \
                 over a few hundredths of the slide's side. Slides are named by an id made from their content; "
                code { ".slidemill/slides.csv" } " beside this report says which is which file." }
            ul { @for model in models { li.hash { (model) } } }
            dl.facts {
                @for (name, values) in settings {
                    div { dt { (name.replace('_', " ")) } dd.hash { (values.into_iter().collect::<Vec<_>>().join(", ")) } }
                }
            }
        }
    }
}
