//! Groups as rows, each with its slides as dots on one scale, and the mean of the group with its interval.

use dataset::wording::{fixed, grouped};
use maud::{Markup, html};

use super::{
    findings::{CohortSlide, Quantity},
    groups::{Group, Members, members},
};

/// Rows of a picture; more are in the tables alone.
const MOST_ROWS: usize = 60;
/// Width and height of a row's picture, and the room at both ends.
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 22.0;
const PAD: f64 = 6.0;

/// A number as people write it in its unit.
pub(super) fn number_in(unit: &str, value: f64) -> String {
    match unit {
        "share" => format!("{:.1}\u{a0}%", 100.0 * value),
        _ if value.is_infinite() => "∞".to_owned(),
        _ if value == 0.0 || value >= 100.0 => grouped(value.round() as u64),
        _ => fixed(value, 2),
    }
}

/// The groups of a column in one quantity.
pub(super) fn strips(
    slides: &[CohortSlide],
    groups: &[Group<'_>],
    column: &str,
    quantity: &Quantity,
) -> Markup {
    let rows: Vec<&Group<'_>> =
        groups.iter().filter(|group| group.column == Some(column) && group.quantity == quantity).collect();
    let members = members(slides, column);
    let scale = Scale::new(
        rows.iter()
            .map(|group| group.most.max(group.interval.map_or(0.0, |(_, high)| high.min(2.0 * group.most)))),
    );
    html! {
        div.scroll { table.strips {
            thead { tr {
                th { (column) }
                th.number { "Slides" }
                th.number { "Mean" }
                th.number { "95\u{a0}% interval" }
                th.number.more { "Median" }
                th { span.ends { span { "0" } span { (number_in(&quantity.unit, scale.top)) } } }
            } }
            tbody { @for group in rows.iter().take(MOST_ROWS) {
                tr {
                    th scope="row" { @match group.value { Some(value) => (value), None => span.note { "not said" } } }
                    td.number { (grouped(group.slides as u64)) }
                    td.number { (number_in(&quantity.unit, group.mean)) }
                    td.number { (interval(group)) }
                    td.number.more { (number_in(&quantity.unit, group.median)) }
                    td { (strip(slides_of(&members, group), group, &scale)) }
                }
            } }
        } }
        @if rows.len() > MOST_ROWS {
            p.note { (grouped((rows.len() - MOST_ROWS) as u64)) " more are in " code { "cohort.csv" } "." }
        }
    }
}

fn slides_of<'m, 'a>(members: &'m [Members<'a>], group: &Group<'_>) -> &'m [&'a CohortSlide] {
    members.iter().find(|(value, _)| *value == group.value).map_or(&[], |(_, slides)| slides)
}

fn interval(group: &Group<'_>) -> Markup {
    let unit = &group.quantity.unit;
    html! {
        @match group.interval {
            Some((low, high)) => { (number_in(unit, low)) " to " (number_in(unit, high)) },
            None => "–",
        }
    }
}

/// From 0 to a round number.
struct Scale {
    top: f64,
}

impl Scale {
    /// Reaches all `values`.
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let most = values.fold(0.0, f64::max);
        if most <= 0.0 {
            return Self { top: 1.0 };
        }
        let power = 10_f64.powf(most.log10().floor());
        let tops = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|digit| digit * power);
        Self { top: tops.into_iter().find(|top| *top >= most).unwrap_or(most) }
    }

    /// `true` if a value lies beyond the right end.
    fn is_short_of(&self, value: f64) -> bool {
        value > self.top
    }

    /// The place of a value, px from the left; those beyond the ends are at the ends.
    fn at(&self, value: f64) -> f64 {
        let place = PAD + (WIDTH - 2.0 * PAD) * (value / self.top).clamp(0.0, 1.0);
        (place * 10.0).round() / 10.0
    }
}

fn strip(slides: &[&CohortSlide], group: &Group<'_>, scale: &Scale) -> Markup {
    let middle = HEIGHT / 2.0;
    let mean = scale.at(group.mean);
    html! {
        svg.strip viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="slides, mean and interval" {
            line.base x1=(PAD) x2=(WIDTH - PAD) y1=(middle) y2=(middle) {}
            @if let Some((low, high)) = group.interval {
                rect.interval x=(scale.at(low)) y=(middle - 4.0) width=(scale.at(high) - scale.at(low)) height="8" {}
                @if scale.is_short_of(high) {
                    path.beyond d=(format!("M{} {}l{PAD} 4 -{PAD} 4z", scale.at(high), middle - 4.0)) {
                        title { "The interval goes on to " (number_in(&group.quantity.unit, high)) }
                    }
                }
            }
            @for slide in slides {
                @if let Some(value) = slide.value(group.quantity) {
                    circle.doubtful[slide.is_doubtful] cx=(scale.at(value)) cy=(middle) r="3" {}
                }
            }
            line.mean x1=(mean) x2=(mean) y1=(middle - 8.0) y2=(middle + 8.0) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use measures::Measures;

    use super::{
        super::{example::slide, groups::groups, pool::Divisors},
        *,
    };

    fn divisors() -> Divisors {
        Divisors::new(&Measures::default())
    }

    #[test]
    fn a_row_for_each_group_has_a_dot_for_each_slide() {
        let mut slides = vec![
            slide("a", &[("patient", "P<1>")], 1000.0),
            slide("b", &[("patient", "P<1>")], 1200.0),
            slide("c", &[("patient", "P2")], 400.0),
        ];
        slides[2].is_doubtful = true;
        let by = ["patient".to_owned()];
        let groups = groups(&slides, &by, &divisors());
        let html = strips(&slides, &groups, "patient", groups[0].quantity).into_string();
        assert!(html.contains("P&lt;1&gt;") && !html.contains("P<1>"), "{html}");
        assert_eq!((html.matches("<circle").count(), html.matches("class=\"doubtful\"").count()), (3, 1));
        assert_eq!(html.matches("<rect").count(), 1, "one slide has no interval");
        assert!(html.contains("1\u{202f}100"), "{html}");
    }

    /// A bar that is longer than the axis looked like one that ends there.
    #[test]
    fn an_interval_beyond_the_axis_is_marked() {
        let marks = |densities: [f64; 2]| {
            let slides = [("a", densities[0]), ("b", densities[1])]
                .map(|(id, density)| slide(id, &[("patient", "P")], density));
            let by = ["patient".to_owned()];
            let groups = groups(&slides, &by, &divisors());
            let html = strips(&slides, &groups, "patient", groups[0].quantity).into_string();
            html.matches("class=\"beyond\"").count()
        };
        assert_eq!(marks([100.0, 3000.0]), 1, "Student's interval of two slides that differ reaches far");
        assert_eq!(marks([1000.0, 1010.0]), 0);
    }

    #[test]
    fn scales_are_round_and_hold_what_is_drawn() {
        assert_eq!(Scale::new([3.0, 1_350.0].into_iter()).top, 1500.0);
        assert_eq!(Scale::new(std::iter::empty()).top, 1.0);
        let scale = Scale::new([10.0].into_iter());
        assert_eq!(
            (scale.at(-5.0), scale.at(0.0), scale.at(10.0), scale.at(99.0)),
            (PAD, PAD, WIDTH - PAD, WIDTH - PAD)
        );
        assert_eq!(
            (number_in("share", 0.125), number_in("per mm²", 3.456)),
            ("12.5\u{a0}%".into(), "3.46".into())
        );
    }
}
