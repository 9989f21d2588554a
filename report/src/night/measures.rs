//! The measures of one slide: a table, and hot spots on its picture.

use dataset::{
    Analysis,
    wording::{counted, fixed, grouped},
};
use maud::{Markup, html};
use measures::{FieldShape, HotSpot};

use super::charts;
use crate::measured::{Graded, Measured};

/// Lines of text of the table beside its rows: title, head and a note of two lines.
pub(super) const LINES_AROUND: usize = 4;

/// A line for each measure and place; nothing where none is asked for.
pub(super) fn table(measured: &[Measured]) -> Markup {
    first_lines(measured, measured.len())
}

/// Lines of text that a grade takes with its source, which is long.
const LINES_OF_A_GRADE: usize = 3;

/// Lines of text that a measure takes in the table, at least.
pub(super) fn lines_of_text(line: &Measured) -> usize {
    1.max(LINES_OF_A_GRADE * line.grades.len()) + usize::from(line.note.is_some())
}

/// The same with the first `count` of them alone, and the number of those left out.
pub(super) fn first_lines(measured: &[Measured], count: usize) -> Markup {
    if measured.is_empty() {
        return html! {};
    }
    if count == 0 {
        return html! {
            p.note { (counted(measured.len(), "line")) " of measures: in the report and in " code { "measures.csv" } "." }
        };
    }
    let numbers = numbers(measured);
    let left_out = measured.len().saturating_sub(count);
    html! {
        figure.regions.measures {
            figcaption { "Measures" }
            div.scroll {
                table.sorts {
                    thead { tr {
                        th { "Measure" }
                        th { "Where" }
                        th.number { "Value" }
                        th.number { "95\u{a0}% interval" }
                        th.number { "Cells" }
                        th { "Grade" }
                    } }
                    tbody { @for (line, number) in measured.iter().zip(numbers).take(count) { (row(line, number)) } }
                }
            }
            (more(left_out))
            p.note {
                "Intervals are of the count in this place, for cells that do not depend on each other; the field with most \
                 cells was chosen for them. For research use: a grade is a band of a number, not a diagnosis."
            }
        }
    }
}

fn more(left_out: usize) -> Markup {
    html! {
        @if left_out > 0 { p.note { (counted(left_out, "more line")) ": in the report and in " code { "measures.csv" } "." } }
    }
}

/// The number of each field on the picture, in order.
fn numbers(measured: &[Measured]) -> Vec<Option<usize>> {
    let mut fields = 1..;
    measured.iter().map(|line| line.field.and_then(|_| fields.next())).collect()
}

fn row(line: &Measured, number: Option<usize>) -> Markup {
    html! {
        tr {
            th scope="row" { (line.name) }
            td {
                (line.place) @if let Some(number) = number { " " span.spot-key { (number) } }
                @if let Some(note) = &line.note { div.note { (note) } }
            }
            @match &line.problem {
                Some(problem) => { td colspan="4" { span.problem { "not known: " (problem) } } }
                None => {
                    td.number { (value(line)) }
                    td.number { (interval(line)) }
                    td.number { (cells(line)) }
                    td { @for graded in &line.grades { (grade(graded)) } }
                }
            }
        }
    }
}

/// A number as people write it in its unit.
fn number_in(unit: &str, number: f64) -> String {
    match unit {
        "share" => format!("{:.1}\u{a0}%", 100.0 * number),
        _ if unit.starts_with("per mm²") && number >= 100.0 => charts::per_mm2(number),
        "of 300" => fixed(number, 0),
        _ if number.is_infinite() => "∞".to_owned(),
        _ => fixed(number, 2),
    }
}

fn value(line: &Measured) -> String {
    let number = line.value.map_or_else(|| "–".to_owned(), |value| number_in(&line.unit, value));
    match line.unit.as_str() {
        "share" | "ratio" => number,
        unit => format!("{number} {unit}"),
    }
}

fn interval(line: &Measured) -> String {
    let ends = line.interval.map(|(low, high)| [low, high].map(|end| number_in(&line.unit, end)));
    ends.map_or_else(|| "–".to_owned(), |[low, high]| format!("{low} to {high}"))
}

/// Tells the number of cells counted, and over what.
fn cells(line: &Measured) -> String {
    let cells = line.cells.map_or_else(|| "–".to_owned(), grouped);
    match (line.others, line.area_mm2) {
        (Some(others), _) => format!("{cells} of {}", grouped(others)),
        (None, Some(area)) => format!("{cells} in {} mm²", fixed(area, 2)),
        (None, None) => cells,
    }
}

fn grade(graded: &Graded) -> Markup {
    let unsure = graded.interval.as_ref().filter(|(low, high)| low != high);
    html! {
        div {
            b { (graded.grade.as_deref().unwrap_or("outside of all bands")) }
            @if let Some((low, high)) = unsure { " (" (low) " to " (high) ")" }
            " " (graded.scheme)
        }
        div.note { (graded.source) }
    }
}

/// Outlines of all hot spots with their numbers, in px of level 0.
pub(super) fn fields(measured: &[Measured], analysis: &Analysis) -> Markup {
    let [width, height] = analysis.slide_px.map(f64::from);
    let unit = width.max(height) / 100.0;
    let fields = measured.iter().filter_map(|line| line.field);
    html! {
        @for (field, number) in fields.zip(1..) {
            @for class in ["spot-under", "spot"] { (outline(&field, class, unit)) }
            text.spot-number x=(field.centre.x) y=(field.centre.y - field.reach_px - unit) text-anchor="middle"
                font-size=(4.2 * unit) stroke-width=(0.9 * unit) { (number) }
        }
    }
}

fn outline(field: &HotSpot, class: &str, unit: f64) -> Markup {
    let (centre, reach) = (field.centre, field.reach_px);
    let stroke = if class == "spot" { 0.6 * unit } else { 1.2 * unit };
    html! {
        @match field.shape {
            FieldShape::Circle => {
                circle class=(class) cx=(centre.x) cy=(centre.y) r=(reach) stroke-width=(stroke) {}
            }
            FieldShape::Square => {
                rect class=(class) x=(centre.x - reach) y=(centre.y - reach) width=(2.0 * reach) height=(2.0 * reach)
                    stroke-width=(stroke) {}
            }
        }
    }
}

/// Explains the outlines on the picture.
pub(super) fn legend(measured: &[Measured]) -> Markup {
    let any = measured.iter().any(|line| line.field.is_some());
    html! { @if any { "; hot spots " span.spot-key { "1" } } }
}

#[cfg(test)]
mod tests {
    use wsi_types::Level0Point;

    use super::*;

    fn line(name: &str, unit: &str) -> Measured {
        Measured {
            name: name.into(),
            unit: unit.into(),
            place: "slide".into(),
            cells: Some(30),
            others: None,
            stronger: None,
            area_mm2: None,
            value: Some(0.125),
            interval: Some((0.1, f64::INFINITY)),
            field: None,
            grades: Vec::new(),
            problem: None,
            note: None,
        }
    }

    #[test]
    fn values_have_intervals_grades_and_sources() {
        let grade = Graded {
            scheme: "tumours".into(),
            grade: Some("G2".into()),
            interval: Some(("G1".into(), "G2".into())),
            source: "a <book>".into(),
        };
        let note = Some("its regions overlap".into());
        let share = Measured { others: Some(240), grades: vec![grade], note, ..line("Ki-67", "share") };
        let failed = Measured { problem: Some("there is no region".into()), ..line("mitoses", "per mm²") };
        let html = table(&[share, failed]).into_string();
        for expected in [
            "12.5\u{a0}%",
            "10.0\u{a0}% to",
            "30 of 240",
            "G2",
            "(G1 to G2)",
            "a &lt;book&gt;",
            "not known: there is no",
            "its regions overlap",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        assert_eq!(table(&[]).into_string(), "");
    }

    #[test]
    fn hot_spots_lie_where_they_were_found() {
        let field = HotSpot {
            centre: Level0Point::new(300.0, 200.0),
            shape: FieldShape::Circle,
            reach_px: 50.0,
            cells: 30,
            area_mm2: 0.5,
            share: 1.0,
        };
        let spot = Measured { field: Some(field), area_mm2: Some(0.5), ..line("mitoses", "per mm²") };
        let analysis = Analysis { slide_px: [1000, 800], mpp: 0.5, ..Analysis::default() };
        let html = fields(&[line("x", "ratio"), spot.clone()], &analysis).into_string();
        assert!(html.contains("cx=\"300\" cy=\"200\" r=\"50\"") && html.contains(">1</text>"), "{html}");
        assert!(table(&[spot]).into_string().contains("30 in 0.50 mm²"));
    }
}
