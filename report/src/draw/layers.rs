//! Regions as coloured areas, and cells in any colours, over a slide, with a
//! legend.

use wsi_reader::Slide;
use wsi_types::{Level0Box, Level0Point, Rgb, RgbBuffer};

use super::{
    canvas::{Canvas, INK, PAPER},
    font,
    spans::{for_each_span, sides},
    view::{PictureBox, PicturePoint, View},
};

/// A line of a legend: a colour and what it stands for.
pub type Legend = (Rgb, String);

/// An area to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    /// Closed rings in level-0 px; what lies in an even number of them is outside.
    pub rings: Vec<Vec<Level0Point>>,
    /// Of its border, and of the veil over it.
    pub colour: Rgb,
    /// How dense that veil is, 0 to 1.
    pub veil: f64,
}

/// What is drawn over a slide, from the bottom up.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// At the bottom.
    pub areas: Vec<Area>,
    /// Boxes on level 0; dots where they are too small to be seen as boxes.
    pub boxes: Vec<(Level0Box, Rgb)>,
    /// At the upper left, line by line.
    pub legend: Vec<Legend>,
}

/// Draws `layers` over the slide, or over `region` of level 0, in a picture whose
/// longer side is at most `max_side` px, with a scale bar where the scale is
/// known. Pixels are never enlarged. Tiles that cannot be read are grey.
#[must_use]
pub fn draw_layers(
    slide: &dyn Slide,
    layers: &Layers,
    region: Option<Level0Box>,
    max_side: usize,
) -> RgbBuffer {
    let view = View::read(slide, region, max_side);
    let mut canvas = Canvas::new(view.picture.clone());
    for area in &layers.areas {
        draw_area(&mut canvas, &view, area);
    }
    draw_boxes(&mut canvas, &view, layers.boxes.iter().copied());
    draw_legend(&mut canvas, &layers.legend);
    if let Ok(scale) = &slide.info().scale {
        canvas.scale_bar(scale.mpp.times(view.level0_per_px));
    }
    canvas.into_picture()
}

/// Boxes with sides below this many px are drawn as dots.
const SMALLEST_BOX_PX: f64 = 7.0;

pub(super) fn draw_boxes(
    canvas: &mut Canvas,
    view: &View,
    boxes: impl IntoIterator<Item = (Level0Box, Rgb)>,
) {
    for (bounds, colour) in boxes {
        let Some(placed) = view.place(bounds) else { continue };
        if placed.width().min(placed.height()) >= SMALLEST_BOX_PX {
            canvas.stroke_box(placed, 2.0, colour);
        } else {
            let radius = (placed.width().max(placed.height()) / 2.0).clamp(0.8, 2.5);
            canvas.disc(placed.center(), radius, colour);
        }
    }
}

const BORDER_PX: f64 = 2.0;

fn draw_area(canvas: &mut Canvas, view: &View, area: &Area) {
    let place = |ring: &Vec<Level0Point>| -> Vec<PicturePoint> {
        ring.iter().map(|&point| view.point(point)).collect()
    };
    let rings: Vec<Vec<PicturePoint>> = area.rings.iter().map(place).collect();
    let size = (view.picture.width(), view.picture.height());
    for_each_span(&rings, size, |y, across| {
        across.for_each(|x| canvas.blend(x, y, area.colour, area.veil));
    });
    for (from, to) in rings.iter().flat_map(|ring| sides(ring)) {
        canvas.line(from, to, BORDER_PX, area.colour);
    }
}

const TEXT_PX: f64 = 13.0;
const LINE_PX: f64 = 22.0;
const SWATCH_PX: f64 = 14.0;
const PAD_PX: f64 = 9.0;

/// A light plate in the upper left corner.
fn draw_legend(canvas: &mut Canvas, legend: &[Legend]) {
    let Some(widest) = legend.iter().map(|(_, text)| font::width(text, TEXT_PX)).reduce(f64::max) else {
        return;
    };
    let size = euclid::vec2(
        3.0 * PAD_PX + SWATCH_PX + widest,
        2.0 * PAD_PX + LINE_PX * (legend.len() - 1) as f64 + SWATCH_PX,
    );
    let corner = PicturePoint::new(0.0, 0.0);
    canvas.fill_box(PictureBox::new(corner, corner + size), PAPER, 0.86);
    for (line, (colour, text)) in legend.iter().enumerate() {
        let at = corner + euclid::vec2(PAD_PX, PAD_PX + LINE_PX * line as f64);
        canvas.fill_box(PictureBox::new(at, at + euclid::vec2(SWATCH_PX, SWATCH_PX)), *colour, 1.0);
        canvas.text(at + euclid::vec2(SWATCH_PX + PAD_PX, SWATCH_PX - 1.0), TEXT_PX, text, INK);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::view::tests::chequered, *};

    fn square(from: f64, to: f64) -> Vec<Level0Point> {
        [(from, from), (to, from), (to, to), (from, to)].map(|(x, y)| Level0Point::new(x, y)).to_vec()
    }

    #[test]
    fn an_area_is_veiled_but_for_its_holes_and_has_borders() {
        let slide = chequered(400, 300);
        let plain = draw_layers(&slide, &Layers::default(), None, 400);
        let area =
            Area { rings: vec![square(40.0, 200.0), square(80.0, 120.0)], colour: [255, 0, 0], veil: 0.5 };
        let layers = Layers { areas: vec![area], ..Layers::default() };
        let drawn = draw_layers(&slide, &layers, None, 400);
        assert_eq!(drawn.pixel(40, 100), [255, 0, 0], "the outer border");
        assert_eq!(drawn.pixel(80, 100), [255, 0, 0], "the hole's border");
        for at in [(20, 20), (100, 100), (230, 100)] {
            assert_eq!(drawn.pixel(at.0, at.1), plain.pixel(at.0, at.1), "{at:?} is not in it");
        }
        let under = plain.pixel(60, 100);
        let veiled = under.map(|value| value).into_iter().zip([255.0, 0.0, 0.0]);
        let expected: Vec<u8> =
            veiled.map(|(value, colour)| (f64::from(value) / 2.0 + colour / 2.0).round() as u8).collect();
        assert_eq!(drawn.pixel(60, 100).to_vec(), expected);
    }

    #[test]
    fn areas_that_reach_past_the_picture_are_cut() {
        let slide = chequered(64, 64);
        let area = Area { rings: vec![square(-1e5, 1e5)], colour: [0, 0, 255], veil: 1.0 };
        let layers = Layers { areas: vec![area], ..Layers::default() };
        let drawn = draw_layers(&slide, &layers, None, 64);
        assert_eq!((drawn.pixel(1, 1), drawn.pixel(60, 1)), ([0, 0, 255], [0, 0, 255]));
    }

    #[test]
    fn a_legend_shows_each_colour() {
        let slide = chequered(300, 200);
        let legend = vec![([200, 10, 10], "one".to_owned()), ([10, 10, 200], "two".to_owned())];
        let cell = Level0Box::new(euclid::point2(200.0, 100.0), euclid::point2(240.0, 140.0));
        let layers = Layers { legend, boxes: vec![(cell, [10, 10, 200])], ..Layers::default() };
        let drawn = draw_layers(&slide, &layers, None, 300);
        assert_eq!((drawn.pixel(15, 15), drawn.pixel(15, 38)), ([200, 10, 10], [10, 10, 200]));
        assert_eq!(drawn.pixel(200, 120), [10, 10, 200]);
    }
}
