//! What all charts share: SVG whose colours are placeholders that the page's style
//! sheet gives a meaning for light, dark and paper; see [`colour_rules`].

use plotters::prelude::*;

use crate::error::ReportError;

/// Placeholders: presentation attributes give way to any style rule.
pub(crate) const INK: RGBColor = RGBColor(0, 0, 1);
pub(crate) const MUTED: RGBColor = RGBColor(0, 0, 2);
pub(crate) const GRID: RGBColor = RGBColor(0, 0, 3);
/// Class colours the style sheet has, `--class-0` and so on.
pub(crate) const COLOURS: usize = 8;

pub(crate) const FONT: (&str, i32) = ("sans-serif", 16);

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
pub(crate) type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

pub(crate) fn class_colour(class: usize) -> RGBColor {
    RGBColor(0, 1, (class % COLOURS) as u8)
}

/// Style rules that turn the placeholders into the page's colours.
pub(crate) fn colour_rules() -> String {
    let named = [(INK, "--ink".to_owned()), (MUTED, "--muted".to_owned()), (GRID, "--grid".to_owned())];
    let classes = (0..COLOURS).map(|class| (class_colour(class), format!("--class-{class}")));
    named
        .into_iter()
        .chain(classes)
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
    // The size is the page's affair; the view box keeps the proportions.
    let sized = format!("<svg width=\"{width}\" height=\"{height}\"");
    Ok(text.replacen(&sized, "<svg class=\"chart\" role=\"img\"", 1).replace('\n', ""))
}
