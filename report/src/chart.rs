//! Parts that all charts share: SVG whose colours are placeholders that the page's style sheet gives a
//! meaning for light, dark and paper; see [`colour_rules`].

use maud::{Markup, html};
use plotters::prelude::*;
use wsi_types::{css_colour, palette::CLASS_COLOURS};

use crate::error::ReportError;

/// Placeholders: presentation attributes give way to any style rule.
pub(crate) const INK: RGBColor = RGBColor(0, 0, 1);
pub(crate) const MUTED: RGBColor = RGBColor(0, 0, 2);
pub(crate) const GRID: RGBColor = RGBColor(0, 0, 3);

pub(crate) const FONT: (&str, i32) = ("sans-serif", 16);

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
pub(crate) type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// Colour of a class, counted from 0; the same on every background.
pub(crate) fn class_colour(class: usize) -> RGBColor {
    let [red, green, blue] = CLASS_COLOURS[class % CLASS_COLOURS.len()];
    RGBColor(red, green, blue)
}

/// The key of a class in a legend.
pub(crate) fn key(class: usize, name: &str) -> Markup {
    let colour = css_colour(CLASS_COLOURS[class % CLASS_COLOURS.len()]);
    html! { span.key { span.swatch style=(format!("background:{colour}")) {} " " (name) " " } }
}

/// Style rules that turn the placeholders into the page's colours.
pub(crate) fn colour_rules() -> String {
    [(INK, "--ink"), (MUTED, "--muted"), (GRID, "--grid")]
        .into_iter()
        .map(|(RGBColor(r, g, b), name)| {
            let hex = format!("#{r:02X}{g:02X}{b:02X}");
            format!("svg.chart [fill=\"{hex}\"]{{fill:var({name})}}svg.chart [stroke=\"{hex}\"]{{stroke:var({name})}}\n")
        })
        .collect()
}

pub(crate) fn sized(
    width: u32,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<(), ReportError>,
) -> Result<String, ReportError> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    // The page sets the size; the view box keeps the proportions.
    let sized = format!("<svg width=\"{width}\" height=\"{height}\"");
    Ok(text.replacen(&sized, "<svg class=\"chart\" role=\"img\"", 1).replace('\n', ""))
}
