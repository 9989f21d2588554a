//! An evaluation as one HTML page that needs no network: figures, curves,
//! confusion. It names no image.

mod charts;

use dataset::wording::{counted, fixed};
use eval::{
    Evaluation,
    agreement::Confusion,
    ap::{AreaRange, AreaUnit},
    bootstrap::Estimate,
    evaluation::{ClassReport, Figures, span},
};
use maud::{Markup, PreEscaped, html};

use crate::{
    chart::key,
    error::ReportError,
    page::{document, strong},
};

/// Style rules that this page has and the morning's report does not.
const OWN_STYLE: &str = "main table{width:auto;min-width:min(100%,34rem)}caption{text-align:left;font-weight:600;padding:.4rem 0}\
    .low{color:var(--muted);font-size:.85em;white-space:nowrap}.hit{font-weight:650}";

/// An evaluation as a whole page of HTML.
///
/// # Errors
///
/// When a chart cannot be drawn.
pub fn evaluation_page(found: &Evaluation) -> Result<String, ReportError> {
    let classes = coloured(found);
    let title = format!("slidemill evaluation: {}", counted(found.images, "image"));
    let page = document(
        &title,
        OWN_STYLE,
        &html! {
            header {
                h1 { "Predictions judged by annotations" }
                (summary(found))
                p.note { "Written by slidemill " (env!("CARGO_PKG_VERSION"))
                    ". For research use. Not a medical device." }
            }
            main {
                (notes(found))
                section { (figures(found)) }
                section {
                    (legend(&classes))
                    (curves(found, &classes)?)
                }
                @if found.classes.len() > 1 { section { (confusion(&found.confusion)) } }
                section { (sensitivities(found)) }
                (methods(found)?)
            }
        },
    );
    Ok(page.into_string())
}

/// The classes, and all pooled when there are several.
fn reports(found: &Evaluation) -> Vec<&ClassReport> {
    let pooled = (found.classes.len() != 1).then_some(&found.overall);
    found.classes.iter().chain(pooled).collect()
}

fn coloured(found: &Evaluation) -> Vec<charts::Coloured<'_>> {
    reports(found).into_iter().enumerate().collect()
}

fn summary(found: &Evaluation) -> Markup {
    let working = found.overall.working;
    let shares = [("F1", working.f1), ("precision", working.precision), ("recall", working.recall)];
    html! {
        p.totals {
            @for (name, value) in shares {
                @if let Some(value) = value { span { b { (format!("{value:.3}")) } " " (name) } }
            }
            span { b { (found.overall.truth) } " annotated" }
            span { b { (found.overall.counts.predicted) } " predicted" }
            span { (strong(found.images, "image")) }
            @if let Some(area) = found.area_mm2 { span { b { (format!("{area:.3}")) } " mm²" } }
        }
        p { "Matched by " code { (found.settings.criterion) } ", "
            @if found.settings.min_score > 0.0 { "scores from " (found.settings.min_score) "." }
            @else { "all predictions given." } }
    }
}

fn notes(found: &Evaluation) -> Markup {
    html! {
        @if !found.notes.is_empty() {
            ul.warning { @for note in &found.notes { li { (note) } } }
        }
    }
}

fn figures(found: &Evaluation) -> Markup {
    let reports = reports(found);
    let several = reports.len() > 1;
    let shown = |place: &usize| reports.iter().any(|report| report.figures.values()[*place].is_some());
    html! {
        div.scroll { table {
            caption { "Figures" @if has_intervals(found) { ", with " (percent(found)) " intervals over patients or slides" } }
            thead { tr { th {} @for report in &reports { th.number { (report.class) } }
                @if several { th.number { "mean of classes" } } } }
            tbody {
                tr { th { "annotated" } @for report in &reports { td.number { (report.truth) } } @if several { td {} } }
                tr { th { "predicted" } @for report in &reports { td.number { (report.counts.predicted) } } @if several { td {} } }
                @for place in (0..Figures::LABELS.len()).filter(shown) {
                    tr { th { (Figures::LABELS[place].replace("mm2", "mm²")) }
                        @for report in &reports { (estimate(report.figures.values()[place])) }
                        @if several { (estimate(found.mean.values()[place])) } }
                }
                @for (place, range) in found.settings.area_ranges.iter().enumerate() {
                    tr { th { "AP " (range.name) " " span.low { (limits(range)) } }
                        @for report in &reports { td.number {
                            @let area = &report.by_area[place];
                            @if let Some(ap) = area.ap { (format!("{ap:.3}")) " " }
                            span.low { "of " (area.truth) }
                        } }
                        @if several { td {} } }
                }
                tr { th { "best F1, at score" }
                    @for report in &reports { td.number { @if let Some(best) = report.best {
                        (format!("{:.3}", best.f1.unwrap_or_default())) " " span.low { (format!("{:.3}", best.threshold)) }
                    } } }
                    @if several { td {} } }
                tr { th { "calibration error" }
                    @for report in &reports { td.number { @if let Some(ece) = report.calibration.ece { (format!("{ece:.3}")) } } }
                    @if several { td {} } }
            }
        } }
    }
}

/// Limits of a range of areas, in words.
fn limits(range: &AreaRange) -> String {
    let unit = match range.unit {
        AreaUnit::Um2 => "µm²",
        AreaUnit::Px2 => "px²",
    };
    match range.max {
        max if max < f64::MAX => format!("{} to {max} {unit}", range.min),
        _ => format!("from {} {unit}", range.min),
    }
}

fn has_intervals(found: &Evaluation) -> bool {
    found.overall.figures.values().iter().flatten().any(|estimate| estimate.interval.is_some())
}

fn percent(found: &Evaluation) -> String {
    found.settings.bootstrap.map_or_else(String::new, |bootstrap| format!("{:.0} %", bootstrap.level * 100.0))
}

fn estimate(estimate: Option<Estimate>) -> Markup {
    html! {
        td.number {
            @if let Some(Estimate { value, interval }) = estimate {
                (fixed(value, 3))
                @if let Some(interval) = interval { " " span.low { (span(interval)) } }
            }
        }
    }
}

fn legend(classes: &[charts::Coloured<'_>]) -> Markup {
    html! {
        @if classes.len() > 1 {
            p { @for (colour, class) in classes {
                (key(*colour, &class.class))
            } }
        }
    }
}

fn curves(found: &Evaluation, classes: &[charts::Coloured<'_>]) -> Result<Markup, ReportError> {
    let per_image = charts::froc(classes, |class| &class.froc_per_image, "false positives per image")?;
    let per_mm2 = charts::froc(classes, |class| &class.froc_per_mm2, "false positives per mm²")?;
    let all = [
        (
            "Precision and recall",
            "The dot is the working threshold.",
            Some(charts::precision_recall(classes)?),
        ),
        ("F1 by threshold", "The dot is the best F1.", Some(charts::f1_by_threshold(classes)?)),
        ("FROC per mm²", "How much is found at so many false positives.", per_mm2),
        ("FROC per image", "How much is found at so many false positives.", per_image),
        (
            "Reliability",
            "On the grey line, of predictions with score 0.7, 70 % are right. Larger dots are of more predictions.",
            Some(charts::reliability(classes)?),
        ),
        (
            "Counts per image",
            "Bland and Altman: the bias, and the limits that hold 95 % of the differences.",
            charts::counts(&found.overall)?,
        ),
    ];
    Ok(html! {
        div.charts {
            @for (title, note, chart) in all {
                @if let Some(chart) = chart {
                    figure { figcaption { (title) } (PreEscaped(chart)) p.note { (note) } }
                }
            }
        }
    })
}

fn confusion(confusion: &Confusion) -> Markup {
    let agreed = [("same class", confusion.accuracy), ("kappa", confusion.kappa)];
    html! {
        div.scroll { table {
            caption { "Pairs matched whatever their classes: annotated down, predicted across" }
            thead { tr { th {} @for name in &confusion.classes { th.number { (name) } } th.number { "missed" } } }
            tbody {
                @for (row, name) in confusion.classes.iter().enumerate() {
                    tr { th { (name) }
                        @for (column, pairs) in confusion.pairs[row].iter().enumerate() {
                            td.number.hit[row == column] { (pairs) }
                        }
                        td.number { (confusion.missed[row]) } }
                }
                tr { th { "false marks" } @for n in &confusion.false_marks { td.number { (n) } } td {} }
            }
        } }
        p { @for (name, value) in agreed { @if let Some(value) = value { span.key { (name) " " b { (fixed(value, 3)) } } " " } } }
    }
}

fn sensitivities(found: &Evaluation) -> Markup {
    let reports = reports(found);
    let rows = found.overall.sensitivity_at.iter().enumerate();
    html! {
        details {
            summary { "Sensitivity at stated false-positive rates" }
            div.scroll { table {
                thead { tr { th { "false positives" } @for report in &reports { th.number { (report.class) } } } }
                tbody { @for (place, at) in rows {
                    @if at.sensitivity.is_some() {
                        tr { th { (at.rate) " per " (if at.per == "mm2" { "mm²" } else { at.per }) }
                            @for report in &reports { td.number {
                                @if let Some(value) = report.sensitivity_at[place].sensitivity { (format!("{value:.3}")) }
                            } } }
                    }
                } }
            } }
        }
    }
}

fn methods(found: &Evaluation) -> Result<Markup, ReportError> {
    let settings = serde_json::to_string_pretty(&found.settings)
        .map_err(|error| ReportError::encode("the settings of the evaluation", &error))?;
    Ok(html! {
        details {
            summary { "How it was measured" }
            p { "Average precision, curves and FROC pair predictions as COCO does, the surest first, and use all predictions given; \
                precision, recall, F1, counts and PQ are of the working threshold. Sensitivity is of all annotated objects; \
                rates divide by all images, or all mm², looked at. Absent figures are those that the criterion does not have." }
            pre { (settings) }
        }
    })
}
