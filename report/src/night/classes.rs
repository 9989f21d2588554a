//! The cells of one slide by class, with what chance and the threshold may change.

use dataset::{
    Analysis,
    wording::{counted, grouped},
};
use maud::{Markup, html};
use measures::interval::{Level, poisson, wilson};

use super::{
    charts,
    figures::ClassFigures,
    thresholds::{NEAR, Thresholds},
};
use crate::chart::key;

/// Lines of text of the table beside its rows: title, head, sum and note.
pub(super) const LINES_AROUND: usize = 4;

/// A line for each class, and one for all of them where there are several; nothing for a slide without cells.
pub(super) fn table(classes: &[ClassFigures], analysis: &Analysis, used: Option<&Thresholds>) -> Markup {
    first_lines(classes, analysis, used, classes.len())
}

/// The same with the first `count` classes alone, and the number of those left out.
pub(super) fn first_lines(
    classes: &[ClassFigures],
    analysis: &Analysis,
    used: Option<&Thresholds>,
    count: usize,
) -> Markup {
    if classes.is_empty() {
        return html! {};
    }
    if count == 0 {
        return html! { p.note { (counted(classes.len(), "class")) " of cells: in the report." } };
    }
    let all = Counts::of_all(classes, used);
    let mm2 = analysis.coverage.analysed_mm2;
    let left_out = classes.len().saturating_sub(count);
    html! {
        figure.regions.classes {
            figcaption { "Cells by class" }
            div.scroll {
                table.sorts {
                    thead { tr {
                        th { "Class" }
                        th.number { "Cells" }
                        th.number { "Share" }
                        th.number.more { "95\u{a0}% interval" }
                        th.number { "Cells per mm²" }
                        th.number.more { "95\u{a0}% interval" }
                        @if used.is_some() { th.number.more { "Threshold " (NEAR) " higher" } }
                    } }
                    tbody { @for class in classes.iter().take(count) {
                        (line(&key(class.colour, &class.name), &Counts::of(class, used), all.cells, mm2))
                    } }
                    @if classes.len() > 1 { tfoot { (line(&html! { "All" }, &all, all.cells, mm2)) } }
                }
            }
            @if left_out > 0 { p.note { (counted(left_out, "more class")) ": in the report." } }
            p.note { "Intervals are of the count by chance alone: cells that the model missed or made up are not in them." }
        }
    }
}

/// Cells, and those of them that a higher threshold would leave.
struct Counts {
    cells: u64,
    /// `None` where the threshold is not known.
    higher: Option<u64>,
}

impl Counts {
    fn of(class: &ClassFigures, used: Option<&Thresholds>) -> Self {
        Self {
            cells: class.cells,
            higher: used.map(|used| class.at_least(used.of_class(&class.name) + NEAR)),
        }
    }

    fn of_all(classes: &[ClassFigures], used: Option<&Thresholds>) -> Self {
        let each = classes.iter().map(|class| Self::of(class, used));
        each.fold(Self { cells: 0, higher: used.map(|_| 0) }, |all, class| Self {
            cells: all.cells + class.cells,
            higher: all.higher.zip(class.higher).map(|(one, other)| one + other),
        })
    }
}

fn line(name: &Markup, counts: &Counts, all: u64, mm2: f64) -> Markup {
    let Counts { cells, higher } = *counts;
    html! {
        tr {
            th scope="row" { (name) }
            td.number data-value=(cells) { (grouped(cells)) }
            td.number { (percent(cells as f64 / all.max(1) as f64)) }
            td.number.more { (share_interval(cells, all)) }
            td.number { @if mm2 > 0.0 { (charts::per_mm2(cells as f64 / mm2)) } @else { "–" } }
            td.number.more { (density_interval(cells, mm2)) }
            @if let Some(higher) = higher { td.number.more data-value=(higher) { (grouped(higher)) } }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * share)
}

fn share_interval(cells: u64, all: u64) -> String {
    if cells == all {
        return "–".into();
    }
    let (low, high) = wilson(cells, all, Level::PERCENT_95);
    format!("{} to {}", percent(low), percent(high))
}

/// The interval of the count by chance alone, per mm².
pub(super) fn density_interval(cells: u64, mm2: f64) -> String {
    if mm2 <= 0.0 {
        return "–".into();
    }
    let (low, high) = poisson(cells, Level::PERCENT_95);
    let [low, high] = [low, high].map(|end| charts::per_mm2(end / mm2));
    format!("{low} to {high}")
}

#[cfg(test)]
mod tests {
    use dataset::Coverage;

    use super::{super::figures::SCORE_BINS, *};

    fn class(name: &str, colour: usize, scores: &[(usize, u64)]) -> ClassFigures {
        let mut bins = vec![0; SCORE_BINS];
        scores.iter().for_each(|&(bin, count)| bins[bin] = count);
        let cells = bins.iter().sum();
        ClassFigures { name: name.into(), colour, cells, scores: bins, diameters: Vec::new() }
    }

    #[test]
    fn each_class_has_its_interval_and_what_a_threshold_would_leave() {
        let classes =
            [class("tumour <b>", 0, &[(30, 10), (90, 20)]), class("immune", 9, &[(55, 8), (65, 2)])];
        let coverage = Coverage { analysed_mm2: 2.0, ..Coverage::default() };
        let analysis = Analysis { coverage, ..Analysis::default() };
        let settings = [("min_score", "0.25"), ("class_score", "immune=0.5")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let used = Thresholds::from_settings(&settings.into(), false);
        let html = table(&classes, &analysis, used.as_ref()).into_string();
        for expected in [
            "tumour &lt;b&gt; </span></th><td class=\"number\" data-value=\"30\">30</td><td class=\"number\">75.0\u{a0}%</td>\
             <td class=\"number more\">59.8\u{a0}% to 85.8\u{a0}%</td><td class=\"number\">15.0</td>\
             <td class=\"number more\">10.1 to 21.4</td><td class=\"number more\" data-value=\"20\">20</td>",
            "immune </span></th><td class=\"number\" data-value=\"10\">10</td>",
            "data-value=\"2\">2</td></tr></tbody><tfoot>",
            "All</th><td class=\"number\" data-value=\"40\">40</td><td class=\"number\">100.0\u{a0}%</td><td class=\"number more\">–</td>",
            "Threshold 0.1 higher",
            "background:#5f34f3",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        let unknown = first_lines(&classes, &Analysis::default(), None, 1).into_string();
        assert!(unknown.contains("1 more class: in the report."), "{unknown}");
        assert!(!unknown.contains("higher") && !unknown.contains("immune"), "{unknown}");
        assert_eq!(table(&[], &analysis, used.as_ref()).into_string(), "");
    }
}
