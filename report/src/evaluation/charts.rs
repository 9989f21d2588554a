//! The curves of an evaluation as SVG.

use std::ops::Range;

use eval::{evaluation::ClassReport, froc::FrocPoint};
use plotters::prelude::*;

use crate::{
    chart::{Area, Chart, FONT, GRID, INK, MUTED, class_colour, sized},
    error::ReportError,
};

const WIDTH: u32 = 440;
const HEIGHT: u32 = 300;

/// One axis: its ends, its name, and how its numbers are written.
struct Axis<'a> {
    range: Range<f64>,
    name: &'a str,
    number: fn(f64) -> String,
}

impl<'a> Axis<'a> {
    /// An axis from 0 to 1.
    fn share(name: &'a str) -> Self {
        Self { range: 0.0..1.0, name, number: short }
    }
}

/// A class and the colour it is drawn in.
pub(super) type Coloured<'a> = (usize, &'a ClassReport);

/// Precision over recall; a dot where the working threshold is.
pub(super) fn precision_recall(classes: &[Coloured<'_>]) -> Result<String, ReportError> {
    sized(WIDTH, HEIGHT, |area| {
        let mut chart = axes(area, &Axis::share("recall"), &Axis::share("precision"))?;
        for &(colour, class) in classes {
            let points = class.curve.iter().filter_map(|point| Some((point.recall?, point.precision?)));
            line(&mut chart, points, colour)?;
            let working = class.working.recall.zip(class.working.precision);
            dots(&mut chart, working.into_iter(), 4, colour)?;
        }
        Ok(())
    })
}

/// F1 over the threshold of the score.
pub(super) fn f1_by_threshold(classes: &[Coloured<'_>]) -> Result<String, ReportError> {
    sized(WIDTH, HEIGHT, |area| {
        let mut chart = axes(area, &Axis::share("threshold of the score"), &Axis::share("F1"))?;
        for &(colour, class) in classes {
            let points = class.curve.iter().filter_map(|point| Some((f64::from(point.threshold), point.f1?)));
            line(&mut chart, points, colour)?;
            let best = class.best.and_then(|best| Some((f64::from(best.threshold), best.f1?)));
            dots(&mut chart, best.into_iter(), 4, colour)?;
        }
        Ok(())
    })
}

/// Sensitivity over false positives per unit, on a scale of powers of ten;
/// `None` when no curve has any false positives to draw.
pub(super) fn froc<'a>(
    classes: &[Coloured<'a>],
    curve: fn(&'a ClassReport) -> &'a [FrocPoint],
    name: &str,
) -> Result<Option<String>, ReportError> {
    let rates = classes.iter().flat_map(|(_, class)| curve(class)).map(|point| point.rate);
    let (low, high) = rates
        .filter(|rate| *rate > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), rate| (low.min(rate), high.max(rate)));
    if !low.is_finite() {
        return Ok(None);
    }
    // Whole powers of ten, so that the axis has numbers at its ends.
    let (left, right) = (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0));
    let chart = sized(WIDTH, HEIGHT, |area| {
        let rate = Axis { range: left..right, name, number: power_of_ten };
        let mut chart = axes(area, &rate, &Axis::share("sensitivity"))?;
        for &(colour, class) in classes {
            let points = curve(class).iter().map(|point| (point.rate.log10().max(left), point.sensitivity));
            line(&mut chart, points, colour)?;
        }
        Ok(())
    });
    chart.map(Some)
}

/// Share that is right over mean score, by bin: on the diagonal a score is the probability of being right.
/// Larger dots are of more predictions.
pub(super) fn reliability(classes: &[Coloured<'_>]) -> Result<String, ReportError> {
    sized(WIDTH, HEIGHT, |area| {
        let mut chart = axes(area, &Axis::share("mean score"), &Axis::share("share that is right"))?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], GRID.stroke_width(2)))?;
        for &(colour, class) in classes {
            let bins = || class.calibration.bins.iter().filter(|bin| bin.count > 0);
            line(&mut chart, bins().map(|bin| (bin.mean_score, bin.hit_rate)), colour)?;
            let most = bins().map(|bin| bin.count).max().unwrap_or(1) as f64;
            for bin in bins() {
                let radius = 2.0 + 5.0 * (bin.count as f64 / most).sqrt();
                dots(&mut chart, std::iter::once((bin.mean_score, bin.hit_rate)), radius as i32, colour)?;
            }
        }
        Ok(())
    })
}

/// Bland and Altman's plot: by image, predicted minus true over their mean, with the bias and its limits of
/// agreement. `None` for fewer than two images.
pub(super) fn counts(class: &ClassReport) -> Result<Option<String>, ReportError> {
    let Some((bias, (low, high))) = class.counts.bias.zip(class.counts.limits) else { return Ok(None) };
    let point = |&(truth, predicted): &(u32, u32)| {
        let (truth, predicted) = (f64::from(truth), f64::from(predicted));
        ((truth + predicted) / 2.0, predicted - truth)
    };
    let points: Vec<(f64, f64)> = class.counts.per_image.iter().map(point).collect();
    let right = points.iter().map(|point| point.0).fold(1.0, f64::max) * 1.05;
    let reach =
        points.iter().map(|point| point.1.abs()).chain([low.abs(), high.abs()]).fold(1.0, f64::max) * 1.1;
    let chart = sized(WIDTH, HEIGHT, |area| {
        let mean = Axis { range: 0.0..right, name: "mean of both counts, per image", number: short };
        let difference = Axis { range: -reach..reach, name: "predicted − true", number: short };
        let mut chart = axes(area, &mean, &difference)?;
        for (at, width) in [(bias, 2), (low, 1), (high, 1)] {
            chart.draw_series(LineSeries::new([(0.0, at), (right, at)], MUTED.stroke_width(width)))?;
        }
        dots(&mut chart, points.iter().copied(), 3, 0)
    });
    chart.map(Some)
}

fn axes<'a, 'b>(area: &'a Area<'b>, x: &Axis<'_>, y: &Axis<'_>) -> Result<Chart<'a, 'b>, ReportError> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(18)
        .set_label_area_size(LabelAreaPosition::Left, 58)
        .set_label_area_size(LabelAreaPosition::Bottom, 44)
        .build_cartesian_2d(x.range.clone(), y.range.clone())?;
    chart
        .configure_mesh()
        .x_labels(6)
        .y_labels(6)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MUTED)
        .label_style(FONT.into_font().color(&MUTED))
        .x_label_formatter(&|value| (x.number)(*value))
        .y_label_formatter(&|value| (y.number)(*value))
        .axis_desc_style(FONT.into_font().color(&INK))
        .x_desc(x.name)
        .y_desc(y.name)
        .draw()?;
    Ok(chart)
}

fn line(
    chart: &mut Chart<'_, '_>,
    points: impl Iterator<Item = (f64, f64)>,
    colour: usize,
) -> Result<(), ReportError> {
    chart.draw_series(LineSeries::new(points, class_colour(colour).stroke_width(2)))?;
    Ok(())
}

fn dots(
    chart: &mut Chart<'_, '_>,
    points: impl Iterator<Item = (f64, f64)>,
    radius: i32,
    colour: usize,
) -> Result<(), ReportError> {
    chart.draw_series(points.map(|point| Circle::new(point, radius, class_colour(colour).filled())))?;
    Ok(())
}

/// A number with up to two decimals, without zeros at the end.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A number on an axis of powers of ten; none between them.
fn power_of_ten(exponent: f64) -> String {
    if (exponent - exponent.round()).abs() > 1e-6 {
        return String::new();
    }
    let value = 10_f64.powf(exponent.round());
    if exponent < -0.5 { format!("{value:.*}", (-exponent).round() as usize) } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_axes_say_no_more_than_needed() {
        assert_eq!([0.2, 1.0, -0.001, 12.345].map(short), ["0.2", "1", "0", "12.35"]);
        assert_eq!([-2.0, 0.0, 3.0, 0.5].map(power_of_ten), ["0.01", "1", "1000", ""]);
    }
}
