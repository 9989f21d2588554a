//! `cohort.html`: the cohort for people, in the look of the report.

use std::collections::{BTreeMap, BTreeSet};

use dataset::{
    clock,
    wording::{counted, fixed, grouped},
};
use maud::{Markup, html};
use measures::groups::{APART, FEWEST_VALUES};

use super::{
    findings::{CohortSlide, DENSITY, Quantity, WHOLE, is_patient},
    grades::{PatientGrade, grades},
    groups::quantities,
    made::Cohort,
    strips::{number_in, strips},
};
use crate::page::{document, large_area, strong};

const STYLE: &str = include_str!("cohort.css");
/// Classes that have a picture of their own.
const CLASSES: usize = 6;
/// Lines of a table on the page; more are in the files.
const MOST_LINES: usize = 50;
/// Probability by chance below which a difference is pointed out.
const RARE: f64 = 0.05;

/// The page.
pub(super) fn page(cohort: &Cohort<'_>) -> String {
    let count = counted(cohort.slides.len(), "slide");
    let shown = chief(cohort.slides);
    let body = html! {
        header {
            h1 { "Cohort of " (count) }
            (totals(cohort))
            p.problem { "This page says what the slide list says of slides, such as patients. Treat it as private." }
            p.note { "Written " time { (clock::now()) } " by slidemill " (env!("CARGO_PKG_VERSION"))
                ". For research use. Not a medical device." }
        }
        main {
            @if cohort.columns.by.is_empty() { (no_groups(cohort)) }
            (grades_of_patients(cohort))
            @for column in &cohort.columns.by {
                section {
                    h2 { "By " (column) }
                    @for quantity in &shown {
                        figure.cohort-figure {
                            figcaption { (in_words(quantity)) }
                            (strips(cohort.slides, &cohort.groups, column, quantity))
                        }
                    }
                }
            }
            (outliers(cohort))
            (batches(cohort))
            (methods())
        }
    };
    document(&format!("slidemill cohort: {count}"), STYLE, &body).into_string()
}

fn totals(cohort: &Cohort<'_>) -> Markup {
    let cells: u64 = cohort.slides.iter().map(|slide| slide.cells).sum();
    let mm2: f64 = cohort.slides.iter().map(|slide| slide.analysed_mm2).sum();
    let doubtful = cohort.slides.iter().filter(|slide| slide.is_doubtful).count();
    let incomplete = cohort.slides.iter().filter(|slide| slide.is_incomplete).count();
    html! {
        p.totals {
            span { (strong(cells as usize, "cell")) }
            span { b { (large_area(mm2)) } " mm² of tissue analysed" }
            @for column in &cohort.columns.by {
                span { (strong(values(cohort.slides, column), column)) }
            }
        }
        @if doubtful + incomplete > 0 {
            p.note { "In all that follows: " (counted(doubtful, "slide")) " whose results are to be doubted (empty dots), and "
                (counted(incomplete, "slide")) " that are incomplete." }
        }
    }
}

/// Different values of a column.
fn values(slides: &[CohortSlide], column: &str) -> usize {
    let values: BTreeSet<&str> = slides.iter().filter_map(|slide| slide.group(column)).collect();
    values.len()
}

fn no_groups(cohort: &Cohort<'_>) -> Markup {
    html! {
        p { "Nothing is known of patients or groups. Columns of the slide list that " code { "slidemill run" }
            " is given come here; so does a table after " code { "--join" } ". Known are: "
            (cohort.columns.all.join(", ")) "." }
    }
}

/// Quantities with a picture: densities on the slide, which come first, those of few classes, of regions as a whole, and
/// measures.
fn chief(slides: &[CohortSlide]) -> Vec<&Quantity> {
    let mut all = quantities(slides.iter());
    all.sort_by_key(|quantity| quantity.name != DENSITY || quantity.place != WHOLE);
    let few = all.iter().filter(|quantity| is_of_class(quantity)).count() <= CLASSES;
    all.into_iter().filter(|quantity| quantity.class.is_none() || (few && is_of_class(quantity))).collect()
}

/// `true` for the density of one class on the slide.
fn is_of_class(quantity: &Quantity) -> bool {
    quantity.name == DENSITY && quantity.place == WHOLE && quantity.class.is_some()
}

fn in_words(quantity: &Quantity) -> String {
    let place = if quantity.place == WHOLE { String::new() } else { format!(", {}", quantity.place) };
    if quantity.name == DENSITY {
        let what = quantity.class.as_deref().unwrap_or("Cells");
        format!("{what} {}{place}", quantity.unit)
    } else {
        format!("{}, {}{place}", quantity.name, quantity.unit)
    }
}

fn quantity_of(quantity: &Quantity) -> String {
    match &quantity.class {
        Some(class) if quantity.name != DENSITY => format!("{}: {class}", in_words(quantity)),
        _ => in_words(quantity),
    }
}

/// A table for each scheme and place of its index.
fn grades_of_patients(cohort: &Cohort<'_>) -> Markup {
    let grades = grades(&cohort.groups, &cohort.definition.schemes);
    let mut by_place: BTreeMap<(&str, &Quantity), Vec<&PatientGrade<'_>>> = BTreeMap::new();
    for grade in &grades {
        by_place.entry((&grade.scheme.name, grade.group.quantity)).or_default().push(grade);
    }
    if by_place.is_empty() {
        return grades_of_nobody(cohort);
    }
    html! {
        section {
            h2 { "Grades of patients" }
            p.note {
                "All cells of a patient's slides together (pooled), with the interval of that count, which holds for cells that \
                 do not depend on each other. A grade is a band of a number, not a diagnosis."
            }
            @for ((scheme, quantity), grades) in &by_place {
                figure.cohort-figure {
                    figcaption { (scheme) ", by " (quantity_of(quantity)) }
                    (grade_table(grades))
                    p.note { "Bands: " (grades[0].scheme.source) "." }
                }
            }
        }
    }
}

fn grade_table(grades: &[&PatientGrade<'_>]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th { "Patient" }
                th { "Grade" }
                th.number { "Pooled" }
                th.number { "95\u{a0}% interval" }
                th { "Slides alone" }
                th.number { "Slides" }
                th.number { "Cells" }
            } }
            tbody { @for grade in grades.iter().take(MOST_LINES) { (grade_row(grade)) } }
        } }
        (more(grades.len(), "grades.csv"))
    }
}

fn grade_row(grade: &PatientGrade<'_>) -> Markup {
    let PatientGrade { group, pooled, .. } = grade;
    let unit = &group.quantity.unit;
    html! {
        tr {
            th scope="row" { (grade.patient) @if group.doubtful > 0 { " " span.badge.incomplete { (group.doubtful) " doubtful" } } }
            td { (grade_in_words(grade)) @if let Some(note) = &group.note { div.note { (note) } } }
            td.number { @if let Some(value) = pooled.value { (number_in(unit, value)) } }
            td.number { (number_in(unit, pooled.low)) " to " (number_in(unit, pooled.high)) }
            td { (grades_of_slides(grade)) }
            td.number { (group.slides) @if group.slides < group.of_slides { " of " (group.of_slides) } }
            td.number { (group.cells.map_or_else(|| "–".to_owned(), grouped)) }
        }
    }
}

/// The grade, and those of the ends of the interval where they are others.
fn grade_in_words(grade: &PatientGrade<'_>) -> Markup {
    html! {
        @match grade.grading {
            Some(grading) => {
                b { (grading.grade) }
                @if grading.interval.0 != grading.interval.1 {
                    " (" (grading.interval.0) " to " (grading.interval.1) ")"
                }
            }
            None => "outside of all bands",
        }
    }
}

/// The grades of the slides with the least and the largest index.
fn grades_of_slides(grade: &PatientGrade<'_>) -> String {
    match grade.of_slides.map(|band| band.unwrap_or("–")) {
        [least, most] if least == most => least.to_owned(),
        [least, most] => format!("{least} to {most}"),
    }
}

/// Says why there are no grades, where there are bands.
fn grades_of_nobody(cohort: &Cohort<'_>) -> Markup {
    let is_silent =
        !cohort.definition.schemes.is_empty() && !cohort.columns.by.iter().any(|column| is_patient(column));
    html! {
        @if is_silent {
            p.note { "Grades are of patients: they need a column " code { "patient" } " among those of " code { "--by" } "." }
        }
    }
}

fn outliers(cohort: &Cohort<'_>) -> Markup {
    html! {
        section {
            h2 { "Slides that stand apart" }
            p.note { "A slide stands apart in a quantity when its modified z-score is beyond " (APART)
                " (Iglewicz and Hoaglin 1993): 0.6745 times its distance from the median of all slides, over the median of \
                 all such distances. Fewer than " (FEWEST_VALUES) " slides judge none." }
            @if cohort.outliers.is_empty() { p { "None." } } @else {
                div.scroll { table {
                    thead { tr { th { "Slide" } th { "Quantity" } th.number { "Value" } th.number { "z" } } }
                    tbody { @for outlier in cohort.outliers.iter().take(MOST_LINES) {
                        tr {
                            th scope="row" { (outlier.slide.id) @if outlier.slide.is_doubtful { " " span.badge.incomplete { "doubtful" } } }
                            td.why { (quantity_of(outlier.quantity)) }
                            td.number { (number_in(&outlier.quantity.unit, outlier.value)) }
                            td.number { (fixed(outlier.z, 1)) }
                        }
                    } }
                } }
                (more(cohort.outliers.len(), "outliers.csv"))
            }
        }
    }
}

fn batches(cohort: &Cohort<'_>) -> Markup {
    let rare = cohort.batches.iter().filter(|batch| batch.p_corrected < RARE).count();
    html! {
        section {
            h2 { "What depends on how slides were made" }
            @if cohort.batches.is_empty() {
                p { "Nothing to compare: the slides have one scale, and no column such as scanner, stain or date with several \
                     values and several slides of one." }
            } @else {
                p { (grouped(rare as u64)) " of " (counted(cohort.batches.len(), "comparison"))
                    " would be rare by chance (corrected p below " (RARE) ")." }
                div.scroll { table {
                    thead { tr {
                        th { "Column" } th { "Quantity" } th.number { "Values" } th.number { "Slides" }
                        th { "Lowest median" } th { "Highest median" } th.number { "p" } th.number { "Corrected p" }
                    } }
                    tbody { @for batch in cohort.batches.iter().take(MOST_LINES) {
                        @let unit = &batch.quantity.unit;
                        tr.rare[batch.p_corrected < RARE] {
                            th scope="row" { (batch.column) }
                            td.why { (quantity_of(batch.quantity)) }
                            td.number { (batch.levels) }
                            td.number { (grouped(batch.slides as u64)) }
                            td { (batch.lowest.0) ": " (number_in(unit, batch.lowest.1)) }
                            td { (batch.highest.0) ": " (number_in(unit, batch.highest.1)) }
                            td.number { (probability(batch.p)) }
                            td.number { (probability(batch.p_corrected)) }
                        }
                    } }
                } }
                (more(cohort.batches.len(), "batches.csv"))
            }
            p.note { "Ranks are compared between the values of a column (Kruskal and Wallis 1952) and the probabilities corrected for \
                      their number (Holm 1979). A difference says that slides differ, not why: where patients or groups went to \
                      different scanners, it may be theirs." }
        }
    }
}

fn probability(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

fn more(all: usize, file: &str) -> Markup {
    html! {
        @if all > MOST_LINES { p.note { (grouped((all - MOST_LINES) as u64)) " more are in " code { (file) } "." } }
    }
}

fn methods() -> Markup {
    html! {
        details {
            summary { "How to read this" }
            p { "Each dot is a slide, the line the mean of a group's slides, the bar its interval of 95\u{a0}%: Student's, over slides; an arrow at \
                 its end says that it goes on beyond the axis. \
                 It holds for slides that do not depend on each other and lie about the mean as a normal variable does: of few \
                 slides it is a rough guide, and several slides of one patient make it too narrow for a group of patients. \
                 Cells per mm² are over analysed tissue; in drawn regions over all of these that was analysed, and per mm² of \
                 tissue over the tissue in it. " code { "cohort.csv" }
                " has all quantities, also over all cells of a group together (pooled); " code { "grades.csv" }
                " has the grades of patients; " code { "slides.csv" }
                " has those of each slide with all columns that are known of it." }
        }
    }
}

#[cfg(test)]
mod tests {
    use measures::Measures;

    use super::{
        super::{
            columns::{Asked, Columns},
            example::{GRADED, ki_67, slide},
            findings::Finding,
        },
        *,
    };

    #[test]
    fn the_page_shows_groups_outliers_and_batches_and_asks_for_nothing() {
        let mut slides: Vec<_> = (0..12_u8)
            .map(|place| {
                let scanner = ["A <1>", "B"][usize::from(place % 2)];
                let per_mm2 = if place == 11 {
                    9000.0
                } else {
                    1000.0 + f64::from(place) * 9.0 + f64::from(place % 2) * 500.0
                };
                slide(
                    &format!("s{place}"),
                    &[("patient", ["P1", "P2", "P3"][usize::from(place / 4)]), ("scanner", scanner)],
                    per_mm2,
                )
            })
            .collect();
        let columns = Columns::new(&mut slides, &Asked { by: &[], batch: &[] }).unwrap();
        let html = page(&Cohort::new(&slides, &columns, &Measures::default()));
        for expected in [
            "Cohort of 12 slides",
            "By patient",
            "immune per mm²",
            ">s11<",
            "A &lt;1&gt;: ",
            "would be rare by chance",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        for foreign in ["http://", "https://", "src=", "@import", "url(", "<script"] {
            assert!(!html.contains(foreign), "the page asks for {foreign}");
        }
        assert_eq!(html.matches("<circle").count(), 3 * 12, "three quantities of each slide");
        let graded = Measures::from_toml(GRADED).unwrap();
        let html = page(&Cohort::new(&slides, &columns, &graded));
        assert!(!html.contains("Grades") && !html.contains("a paper"), "no slide has the index");
        for (place, slide) in (0..).zip(&mut slides) {
            let note = (place == 5).then(|| "its regions overlap".to_owned());
            slide.findings.push(Finding { note, ..ki_67(place, 12) });
        }
        slides[1].is_incomplete = true;
        let html = page(&Cohort::new(&slides, &columns, &graded));
        for expected in [
            "halves, by Ki-67, share<",
            "Bands: a paper.",
            // 22 of 48 cells.
            "<b>low</b> (low to high)<div class=\"note\">on 1 of 4 slides its regions overlap</div></td><td class=\"number\">45.8\u{a0}%<",
            "P1 <span class=\"badge incomplete\">1 doubtful</span>",
            "<td>low to high</td>",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        let by_scanner = Columns { by: vec!["scanner".to_owned()], ..columns };
        let html = page(&Cohort::new(&slides, &by_scanner, &graded));
        assert!(html.contains("Grades are of patients") && !html.contains("Bands: "), "{html}");
        assert_eq!([probability(0.00001), probability(0.0432)], ["< 0.0001", "0.0432"]);
    }
}
