//! The charts of the report, as SVG.

use std::ops::Range;

use dataset::{ThresholdCount, wording::grouped};
use plotters::prelude::*;

use super::figures::{ClassFigures, DIAMETER_STEP_UM, SCORE_BINS};
use crate::{
    chart::{Area, Chart, FONT, GRID, MUTED, class_colour, sized},
    error::ReportError,
};

const WIDTH: u32 = 400;
const HEIGHT: u32 = 230;

/// Cells by score, the classes stacked.
pub(super) fn score_histogram(classes: &[ClassFigures]) -> Result<String, ReportError> {
    let stacks = Stacks::new(classes, |class| &class.scores, SCORE_BINS / 20, 1.0 / SCORE_BINS as f64);
    stacks.draw("score", 0.0..1.0)
}

/// Cells by diameter, the classes stacked.
pub(super) fn size_histogram(classes: &[ClassFigures]) -> Result<String, ReportError> {
    let stacks = Stacks::new(classes, |class| &class.diameters, 5, DIAMETER_STEP_UM);
    let end = stacks.end().max(5.0);
    stacks.draw("diameter of a circle of the same area, µm", 0.0..end)
}

/// Number of cells there would be with another threshold, by class: above the one that was used from their
/// scores, below from `merged`, as far down as raw detections were kept. A grey line stands at `used`, where
/// both sides of it are known.
pub(super) fn count_by_threshold(
    classes: &[ClassFigures],
    merged: &[ThresholdCount],
    used: Option<f64>,
) -> Result<String, ReportError> {
    let first = classes.iter().filter_map(|class| class.scores.iter().position(|&n| n > 0)).min();
    let first = first.unwrap_or(0);
    let step = 1.0 / SCORE_BINS as f64;
    let below = |count: &&ThresholdCount| f64::from(count.min_score) < first as f64 * step - 1e-6;
    let below: Vec<&ThresholdCount> = merged.iter().filter(below).collect();
    let lines: Vec<_> = classes.iter().map(|class| threshold_line(class, first, &below)).collect();
    let points = || lines.iter().flatten();
    let start = points().map(|point| point.0).fold(0.95, f64::min);
    let most = points().map(|point| point.1).fold(0.0, f64::max);
    svg(HEIGHT, |area| {
        let top = nice_top(most as u64);
        let mut chart = framed(area, start..1.0, 0.0..top, "threshold of the score")?;
        if let Some(at) = used.filter(|&used| used > start + step) {
            chart.draw_series(LineSeries::new([(at, 0.0), (at, top)], MUTED.stroke_width(1)))?;
        }
        for (class, line) in classes.iter().zip(lines) {
            chart.draw_series(LineSeries::new(line, class_colour(class.colour).stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Cells of a class by threshold, ascending; from the bin `first` on by score.
fn threshold_line(class: &ClassFigures, first: usize, below: &[&ThresholdCount]) -> Vec<(f64, f64)> {
    let cells = |count: &&ThresholdCount| {
        let cells = count.cells.get(&class.name).copied().unwrap_or_default();
        (f64::from(count.min_score), cells as f64)
    };
    let mut points: Vec<_> = below.iter().map(cells).collect();
    let mut left = class.cells;
    for (bin, &count) in class.scores.iter().enumerate().skip(first) {
        points.push((bin as f64 / SCORE_BINS as f64, left as f64));
        left -= count;
    }
    points.push((1.0, left as f64));
    points
}

/// One bar for each slide: cells per mm², the classes stacked. `slides` are in order, each with the density
/// of its classes by colour. `pages` is the width of the chart in widths of the others: one that is shown
/// smaller than drawn cannot be read.
pub(super) fn cohort_bars(slides: &[Vec<(usize, f64)>], pages: u32) -> Result<String, ReportError> {
    let total = |slide: &Vec<(usize, f64)>| slide.iter().map(|(_, density)| density).sum::<f64>();
    let most = slides.iter().map(total).fold(0.0, f64::max);
    sized(pages * WIDTH, HEIGHT, |area| {
        let width = slides.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .set_label_area_size(LabelAreaPosition::Left, 60)
            .set_label_area_size(LabelAreaPosition::Bottom, 24)
            .build_cartesian_2d(0.0..width, 0.0..nice_top(most.ceil() as u64))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .y_labels(5)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(MUTED)
            .label_style(FONT.into_font().color(&MUTED))
            .y_label_formatter(&|value| grouped(value.round() as u64))
            .x_desc("slides, in the order of the table")
            .draw()?;
        for (index, slide) in slides.iter().enumerate() {
            let mut base = 0.0;
            for &(colour, density) in slide {
                let (left, right) = (index as f64 + 0.12, index as f64 + 0.88);
                let bar =
                    Rectangle::new([(left, base), (right, base + density)], class_colour(colour).filled());
                chart.draw_series(std::iter::once(bar))?;
                base += density;
            }
        }
        Ok(())
    })
}

/// A density in a sensible number of digits.
pub(super) fn per_mm2(density: f64) -> String {
    if density >= 100.0 { grouped(density.round() as u64) } else { format!("{density:.1}") }
}

/// Counts of all classes in bins of one width.
struct Stacks {
    step: f64,
    /// By class: its colour and its counts.
    classes: Vec<(usize, Vec<u64>)>,
}

impl Stacks {
    /// Joins `merged` of the classes' fine bins into one.
    fn new(
        classes: &[ClassFigures],
        bins: impl Fn(&ClassFigures) -> &Vec<u64>,
        merged: usize,
        fine_step: f64,
    ) -> Self {
        let sum = |class| bins(class).chunks(merged).map(|chunk| chunk.iter().sum()).collect();
        Self {
            step: merged as f64 * fine_step,
            classes: classes.iter().map(|class| (class.colour, sum(class))).collect(),
        }
    }

    fn height(&self, bin: usize) -> u64 {
        self.classes.iter().map(|(_, counts)| counts[bin]).sum()
    }

    fn bins(&self) -> usize {
        self.classes.first().map_or(0, |(_, counts)| counts.len())
    }

    /// Value below which all but one in two hundred of the counts lie.
    fn end(&self) -> f64 {
        let all: u64 = (0..self.bins()).map(|bin| self.height(bin)).sum();
        let mut above = 0;
        for bin in (0..self.bins()).rev() {
            above += self.height(bin);
            if above * 200 > all {
                return (bin + 2).min(self.bins()) as f64 * self.step;
            }
        }
        0.0
    }

    fn draw(&self, axis: &str, range: Range<f64>) -> Result<String, ReportError> {
        let top = (0..self.bins()).map(|bin| self.height(bin)).max().unwrap_or(0);
        svg(HEIGHT, |area| {
            let end = range.end;
            let mut chart = framed(area, range, 0.0..nice_top(top), axis)?;
            for bin in 0..self.bins() {
                let left = bin as f64 * self.step;
                let right = left + self.step * 0.92;
                let mut base = 0;
                for (colour, counts) in self.classes.iter().filter(|(_, counts)| counts[bin] > 0) {
                    let next = base + counts[bin];
                    if right <= end + 1e-9 {
                        let corners = [(left, base as f64), (right, next as f64)];
                        let bar = Rectangle::new(corners, class_colour(*colour).filled());
                        chart.draw_series(std::iter::once(bar))?;
                    }
                    base = next;
                }
            }
            Ok(())
        })
    }
}

/// Axes, and lines across at the labels of the upright one.
fn framed<'a, 'b>(
    area: &'a Area<'b>,
    x: Range<f64>,
    y: Range<f64>,
    x_axis: &str,
) -> Result<Chart<'a, 'b>, ReportError> {
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(14)
        .set_label_area_size(LabelAreaPosition::Left, 60)
        .set_label_area_size(LabelAreaPosition::Bottom, 42)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(6)
        .y_labels(5)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MUTED)
        .label_style(FONT.into_font().color(&MUTED))
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| grouped(value.round() as u64))
        .x_desc(x_axis)
        .draw()?;
    Ok(chart)
}

/// A number with up to two decimals, without zeros at the end.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The next of 1, 2, 2.5, 5 times a power of ten, at least 4: its quarters and
/// fifths are whole where counts are few.
fn nice_top(most: u64) -> f64 {
    let most = most.max(4) as f64;
    let power = 10_f64.powf(most.log10().floor());
    [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|&top| top >= most)
        .unwrap_or(most)
}

fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<(), ReportError>) -> Result<String, ReportError> {
    sized(WIDTH, height, draw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wsi_types::{css_colour, palette::CLASS_COLOURS};

    use crate::chart::colour_rules;

    fn class(colour: usize) -> ClassFigures {
        let mut scores = vec![0; SCORE_BINS];
        (scores[30], scores[90]) = (10, 5);
        let mut diameters = vec![0; super::super::figures::DIAMETER_BINS];
        diameters[40] = 15;
        ClassFigures { name: "a <b> & c".into(), colour, cells: 15, scores, diameters }
    }

    #[test]
    fn every_colour_of_a_chart_has_a_rule() {
        let rules = colour_rules();
        let classes: Vec<_> = (0..9).map(class).collect();
        for chart in [
            score_histogram(&classes).unwrap(),
            size_histogram(&classes).unwrap(),
            count_by_threshold(&classes, &[], Some(0.5)).unwrap(),
            cohort_bars(&[vec![(0, 10.0), (8, 3.0)], vec![]], 2).unwrap(),
        ] {
            assert!(chart.starts_with("<svg class=\"chart\""), "{}", &chart[..60]);
            for part in chart.split("=\"#").skip(1) {
                let is_ours = CLASS_COLOURS
                    .iter()
                    .any(|&colour| css_colour(colour)[1..].eq_ignore_ascii_case(&part[..6]));
                assert!(is_ours || rules.contains(&format!("\"#{}\"", &part[..6])), "{}", &part[..6]);
            }
        }
    }

    #[test]
    fn the_count_falls_as_the_threshold_rises() {
        let name = class(0).name;
        let count = |min_score, cells| ThresholdCount { min_score, cells: [(name.clone(), cells)].into() };
        // Counts from the threshold of the run on are those that the scores give.
        let merged = [count(0.1, 40), count(0.2, 21), count(0.3, 15), count(0.9, 5)];
        let below: Vec<_> = merged.iter().take(2).collect();
        let line = threshold_line(&class(0), 30, &below);
        assert_eq!(line[..3], [(f64::from(0.1_f32), 40.0), (f64::from(0.2_f32), 21.0), (0.3, 15.0)]);
        assert_eq!(line.last(), Some(&(1.0, 0.0)));
        assert!(line.is_sorted_by(|a, b| a.0 < b.0 && a.1 >= b.1), "{line:?}");
        assert!(line.contains(&(0.31, 5.0)) && line.contains(&(0.9, 5.0)) && line.contains(&(0.91, 0.0)));
    }

    #[test]
    fn tops_are_round() {
        assert_eq!([0, 7, 11, 12_345, 99].map(nice_top), [4.0, 8.0, 15.0, 15_000.0, 100.0]);
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(20.0), "20");
    }
}
