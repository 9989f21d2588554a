//! The report as a table for terminals.

use wsi_types::wording::{fixed, signed};

use super::{
    figures::Figures,
    report::{ClassReport, Evaluation},
};
use crate::{
    bootstrap::Estimate,
    table::{Cell, Table, counted},
};

impl std::fmt::Display for Evaluation {
    /// The table for people: a row per figure that exists, a column per class.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let images = counted(self.images, "image");
        let area = self.area_mm2.map(|mm2| format!(", {mm2:.3} mm²")).unwrap_or_default();
        let scores = match self.settings.min_score {
            least if least > 0.0 => format!("scores from {least}"),
            _ => "all predictions given".to_owned(),
        };
        writeln!(f, "{images}{area}; matched by {}; {scores}\n", self.settings.criterion)?;
        self.figure_table().fmt(f)?;
        if self.classes.len() > 1 {
            writeln!(f, "\nmatched whatever their classes, truth down, predicted across\n")?;
            self.confusion.fmt(f)?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl Evaluation {
    /// Classes, then all pooled, then the mean over classes; one class is its
    /// own pool and mean.
    fn figure_table(&self) -> Table {
        let mut reports: Vec<&ClassReport> = self.classes.iter().collect();
        let several = self.classes.len() != 1;
        if several {
            reports.push(&self.overall);
        }
        let mut header = vec![Cell::left("")];
        header.extend(reports.iter().map(|report| Cell::right(report.class.as_str())));
        header.extend(several.then(|| Cell::right("mean of classes")));
        let mut table = Table::new(header);
        let mut row = |label: &str, of: &dyn Fn(&ClassReport) -> String, mean: String| {
            let cells: Vec<String> = reports.iter().map(|report| of(report)).collect();
            if cells.iter().chain([&mean]).any(|cell| !cell.is_empty()) {
                let numbers = cells.into_iter().chain(several.then_some(mean)).map(Cell::right);
                table.push([Cell::left(label)].into_iter().chain(numbers).collect());
            }
        };
        let none = String::new;
        row("truth", &|r| r.truth.to_string(), none());
        row("predicted", &|r| r.counts.predicted.to_string(), none());
        for (place, label) in Figures::LABELS.iter().enumerate() {
            let mean = shown(self.mean.values()[place]);
            row(label, &|r| shown(r.figures.values()[place]), mean);
        }
        for (place, range) in self.settings.area_ranges.iter().enumerate() {
            row(&format!("AP {}", range.name), &|r| number(r.by_area[place].ap), none());
            row(&format!("  truth {}", range.name), &|r| r.by_area[place].truth.to_string(), none());
        }
        row("best F1", &|r| number(r.best.and_then(|best| best.f1)), none());
        row("  at score", &|r| number(r.best.map(|best| f64::from(best.threshold))), none());
        row("score AUC", &|r| number(r.score_auc), none());
        row("calibration error", &|r| number(r.calibration.ece), none());
        row("count bias/image", &|r| difference(r.counts.bias.filter(|_| r.counts.limits.is_some())), none());
        row("  95 % limits", &|r| r.counts.limits.map_or_else(String::new, limits), none());
        table
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| fixed(value, 3))
}

fn difference(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| signed(value, 1))
}

fn limits((low, high): (f64, f64)) -> String {
    format!("{} to {}", signed(low, 1), signed(high, 1))
}

fn shown(estimate: Option<Estimate>) -> String {
    let Some(Estimate { value, interval }) = estimate else { return String::new() };
    let value = fixed(value, 3);
    match interval {
        Some(interval) => format!("{value} ({})", span(interval)),
        None => value,
    }
}

/// An interval as text, in a form in which no dash can be taken for a minus sign.
#[must_use]
pub fn span((low, high): (f64, f64)) -> String {
    let [low, high] = [low, high].map(|end| fixed(end, 3));
    if low.starts_with('-') { format!("{low} to {high}") } else { format!("{low}–{high}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_shows_the_sign_of_a_number_and_not_of_nothing() {
        assert_eq!(span((-0.0001, 0.5)), "0.000–0.500");
        assert_eq!(span((-0.25, -0.125)), "-0.250 to -0.125");
    }
}
