//! Groups of slides, and how their quantities lie.

use std::collections::{BTreeMap, BTreeSet};

use measures::{
    groups::median,
    index::IndexValue,
    interval::{Level, mean as interval_of_mean},
};

use super::{
    bands::BELOW,
    findings::{CohortSlide, Finding, Quantity, quantity_columns},
    numbers::number_in,
    pool::Divisors,
    table::{Column, Table},
};

/// A quantity in one group of slides.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group<'a> {
    /// The column that makes the group, and its value; `None` for all slides, and for those without a value.
    pub(super) column: Option<&'a str>,
    pub(super) value: Option<&'a str>,
    pub(super) quantity: &'a Quantity,
    /// Number of slides that have the quantity.
    pub(super) slides: usize,
    /// Number of slides of the group.
    pub(super) of_slides: usize,
    /// Number of those with the quantity that are incomplete or to be doubted.
    pub(super) doubtful: usize,
    pub(super) cells: Option<u64>,
    pub(super) over: Option<f64>,
    /// All cells of the group over all that they are divided by, with the interval of that count.
    pub(super) pooled: Option<IndexValue>,
    /// Mean of the slides.
    pub(super) mean: f64,
    /// Its interval of 95 %, cut at the least and the most that the quantity can be; from two slides on.
    pub(super) interval: Option<(f64, f64)>,
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    /// What to know before the values are used.
    pub(super) note: Option<String>,
}

/// All slides, then the groups of each column, each with every quantity that some slide of it has.
pub(super) fn groups<'a>(slides: &'a [CohortSlide], by: &'a [String], divisors: &Divisors) -> Vec<Group<'a>> {
    let everyone: Vec<&CohortSlide> = slides.iter().collect();
    let mut groups = quantities_of(None, None, &everyone, divisors);
    for column in by {
        for (value, members) in members(slides, column) {
            groups.extend(quantities_of(Some(column), value, &members, divisors));
        }
    }
    groups
}

/// A value of a column, and the slides that have it.
pub(super) type Members<'a> = (Option<&'a str>, Vec<&'a CohortSlide>);

/// The slides of each value of a column: first those without one, then values that begin with a number by that number,
/// then the others by name: `P2` comes before `P10`.
pub(super) fn members<'a>(slides: &'a [CohortSlide], column: &str) -> Vec<Members<'a>> {
    let mut members: BTreeMap<Option<&str>, Vec<&CohortSlide>> = BTreeMap::new();
    for slide in slides {
        members.entry(slide.group(column)).or_default().push(slide);
    }
    let mut members: Vec<Members<'_>> = members.into_iter().collect();
    members.sort_by_cached_key(|(value, _)| value.map(parts));
    members.sort_by(|(one, _), (other, _)| place(*one).total_cmp(&place(*other)));
    members
}

/// A number that a group is ordered by.
fn place(value: Option<&str>) -> f64 {
    let Some(value) = value else { return f64::NEG_INFINITY };
    let first = value.split(' ').next().unwrap_or(value);
    if value.starts_with(BELOW) { f64::MIN } else { number_in(first).unwrap_or(f64::INFINITY) }
}

/// A name in parts, each a text and the number that follows it: its length, then its digits.
fn parts(mut name: &str) -> Vec<(&str, usize, &str)> {
    let mut parts = Vec::new();
    while !name.is_empty() {
        let (text, rest) = name.split_at(name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len()));
        let (digits, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let number = digits.trim_start_matches('0');
        parts.push((text, number.len(), number));
        name = rest;
    }
    parts
}

/// All quantities of some slides, in order.
pub(super) fn quantities<'a>(slides: impl Iterator<Item = &'a CohortSlide>) -> Vec<&'a Quantity> {
    let all: BTreeSet<&Quantity> =
        slides.flat_map(|slide| slide.findings.iter().map(|finding| &finding.quantity)).collect();
    all.into_iter().collect()
}

fn quantities_of<'a>(
    column: Option<&'a str>,
    value: Option<&'a str>,
    slides: &[&'a CohortSlide],
    divisors: &Divisors,
) -> Vec<Group<'a>> {
    let mut found: BTreeMap<&Quantity, (Vec<&Finding>, usize)> = BTreeMap::new();
    for slide in slides {
        for finding in &slide.findings {
            let (findings, doubtful) = found.entry(&finding.quantity).or_default();
            findings.push(finding);
            *doubtful += usize::from(slide.is_doubtful || slide.is_incomplete);
        }
    }
    let groups = found.into_iter().filter_map(|(quantity, (findings, doubtful))| {
        let values: Vec<f64> = findings.iter().map(|finding| finding.value).collect();
        let cells = findings.iter().map(|finding| finding.cells).sum();
        let over = findings.iter().map(|finding| finding.over).sum();
        Some(Group {
            column,
            value,
            quantity,
            slides: values.len(),
            of_slides: slides.len(),
            doubtful,
            cells,
            over,
            pooled: divisors.pooled(quantity, &findings),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            interval: interval_of_mean(&values, Level::PERCENT_95)
                .map(|(low, high)| (low.max(0.0), high.min(quantity.most()))),
            median: median(&values)?,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            note: note(&findings),
        })
    });
    groups.collect()
}

/// Notes of measures, each with the number of its slides.
fn note(findings: &[&Finding]) -> Option<String> {
    let mut slides: BTreeMap<&str, usize> = BTreeMap::new();
    for note in findings.iter().filter_map(|finding| finding.note.as_deref()) {
        *slides.entry(note).or_default() += 1;
    }
    let notes =
        slides.into_iter().map(|(note, count)| format!("on {count} of {} slides {note}", findings.len()));
    Some(notes.collect::<Vec<_>>().join("; ")).filter(|notes| !notes.is_empty())
}

/// A line for each group and quantity.
pub(super) fn table(groups: &[Group<'_>]) -> Table {
    let mut columns = vec![
        Column::texts("by", groups.iter().map(|group| Some(group.column.unwrap_or("all slides")))),
        Column::texts("group", groups.iter().map(|group| group.value)),
    ];
    columns.extend(quantity_columns(groups.iter().map(|group| group.quantity)));
    columns.extend([
        Column::counts("slides", groups.iter().map(|group| Some(group.slides as u64))),
        Column::counts("of_slides", groups.iter().map(|group| Some(group.of_slides as u64))),
        Column::counts("cells", groups.iter().map(|group| group.cells)),
        number("over", groups, |group| group.over),
        number("pooled", groups, |group| group.pooled?.value),
        number("pooled_low", groups, |group| Some(group.pooled?.low)),
        number("pooled_high", groups, |group| Some(group.pooled?.high).filter(|high| high.is_finite())),
        number("mean", groups, |group| Some(group.mean)),
        number("low", groups, |group| Some(group.interval?.0)),
        number("high", groups, |group| Some(group.interval?.1)),
        number("median", groups, |group| Some(group.median)),
        number("least", groups, |group| Some(group.least)),
        number("most", groups, |group| Some(group.most)),
        Column::texts("note", groups.iter().map(|group| group.note.as_deref())),
    ]);
    Table::new(columns)
}

fn number(name: &str, groups: &[Group<'_>], of: fn(&Group<'_>) -> Option<f64>) -> Column {
    Column::numbers(name, groups.iter().map(of))
}

#[cfg(test)]
mod tests {
    use measures::Measures;

    use super::{
        super::{example::slide, findings::DENSITY},
        *,
    };

    /// Student's interval of shares near 1 went to 150 %.
    #[test]
    fn no_interval_goes_beyond_what_a_share_or_a_score_can_be() {
        for (unit, values, most) in [("share", [0.6, 1.0], 1.0), ("of 300", [100.0, 290.0], 300.0)] {
            let quantity =
                Quantity { name: "Ki-67".into(), place: "slide".into(), class: None, unit: unit.into() };
            let slides = values.map(|value| {
                let mut slide = slide("a", &[], 1.0);
                slide.findings = vec![Finding {
                    quantity: quantity.clone(),
                    cells: None,
                    over: None,
                    stronger: None,
                    note: None,
                    value,
                }];
                slide
            });
            let divisors = Divisors::new(&Measures::default());
            let groups = quantities_of(None, None, &slides.iter().collect::<Vec<_>>(), &divisors);
            assert_eq!(groups[0].interval, Some((0.0, most)), "{unit}");
        }
    }

    #[test]
    fn groups_of_numbers_are_in_the_order_of_the_numbers() {
        let values = ["10", "9", "P10", "control", "below 3", "P2", "", "1e1x", "P2b", "P02"];
        let slides: Vec<_> = values
            .iter()
            .map(|value| slide("a", &[("stage", value)], 1.0))
            .chain([slide("b", &[], 1.0)])
            .collect();
        let found: Vec<_> = members(&slides, "stage").into_iter().map(|(value, _)| value).collect();
        let expected = ["below 3", "9", "10", "", "1e1x", "P02", "P2", "P2b", "P10", "control"];
        assert_eq!(found, [&[None][..], &expected.map(Some)].concat());
    }

    #[test]
    fn groups_have_sums_means_and_intervals_over_their_slides() {
        let slides = [
            slide("a", &[("patient", "P2")], 100.0),
            slide("b", &[("patient", "P1")], 300.0),
            slide("c", &[("patient", "P2")], 200.0),
            slide("d", &[], 10.0),
        ];
        let by = ["patient".to_owned()];
        let groups = groups(&slides, &by, &Divisors::new(&Measures::default()));
        let density = |column: Option<&str>, value: Option<&str>| {
            let is_it = |group: &&Group<'_>| {
                (group.column, group.value) == (column, value)
                    && group.quantity.name == DENSITY
                    && group.quantity.class.is_none()
            };
            groups.iter().find(is_it).cloned().unwrap()
        };
        let second = density(Some("patient"), Some("P2"));
        assert_eq!(
            (second.slides, second.cells, second.pooled.unwrap().value, second.mean),
            (2, Some(900), Some(150.0), 150.0)
        );
        // Student's t of one degree of freedom is 12.7062.
        let (low, high) = second.interval.unwrap();
        assert!(low == 0.0 && (high - (150.0 + 635.310)).abs() < 1e-2, "no density is below 0: {low} {high}");
        let first = density(Some("patient"), Some("P1"));
        assert_eq!((first.slides, first.interval, first.median), (1, None, 300.0));
        assert_eq!(density(Some("patient"), None).slides, 1, "a slide without a patient");
        let all = density(None, None);
        assert_eq!((all.slides, all.cells, all.least, all.most), (4, Some(1830), 10.0, 300.0));
        let csv = String::from_utf8(table(&groups).csv().unwrap()).unwrap();
        assert!(csv.starts_with("by,group,quantity,place,class_name,unit,slides,of_slides,cells,over,pooled,pooled_low,pooled_high,mean,low,high,median,least,most,note\n"));
    }
}
