//! Regions as coloured areas, and cells in any colours, over a slide, with a legend.

use wsi_reader::Slide;
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp, Rgb, RgbBuffer, class_colour};

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
    /// Closed rings in level-0 px; a point in an even number of them is outside.
    pub rings: Vec<Vec<Level0Point>>,
    /// Colour of its border, and of the veil over it.
    pub colour: Rgb,
    /// Opacity of that veil, 0 to 1.
    pub veil: f64,
}

/// A slide, or a part of it, being drawn on from the bottom up.
pub struct Drawing {
    view: View,
    canvas: Canvas,
    /// µm per level-0 px, where it is known.
    mpp: Option<Mpp>,
}

impl Drawing {
    /// A drawing on the slide, or on `region` of level 0, in a picture whose longer side is at most
    /// `max_side` px. Pixels are never enlarged. Tiles that cannot be read are grey.
    #[must_use]
    pub fn new(slide: &dyn Slide, region: Option<Level0Box>, max_side: usize) -> Self {
        let view = View::read(slide, region, max_side);
        let canvas = Canvas::new(view.picture.clone());
        let mpp = slide.info().scale.as_ref().ok().map(|scale| scale.mpp);
        Self { view, canvas, mpp }
    }

    /// Draws an area.
    pub fn area(&mut self, area: &Area) {
        draw_area(&mut self.canvas, &self.view, area);
    }

    /// Draws a cell: its outline or, without one, its box; a dot where that is too small to be seen. Those that come later
    /// lie on top.
    pub fn cell(&mut self, bbox: Level0Box, outline: Option<&[Level0Point]>, colour: Rgb) {
        let Some(placed) = self.view.place(bbox) else { return };
        match outline {
            Some(outline) if is_drawn_whole(&placed) => {
                let ring: Vec<PicturePoint> = outline.iter().map(|&point| self.view.point(point)).collect();
                for (from, to) in sides(&ring) {
                    self.canvas.line(from, to, BORDER_PX, colour);
                }
            }
            _ => draw_box(&mut self.canvas, placed, colour),
        }
    }

    /// The picture, with a legend at the upper left, line by line, and a scale bar where the scale is known.
    #[must_use]
    pub fn finish(mut self, legend: &[Legend]) -> RgbBuffer {
        draw_legend(&mut self.canvas, legend);
        if let Some(mpp) = self.mpp {
            self.canvas.scale_bar(mpp.times(self.view.level0_per_px));
        }
        self.canvas.into_picture()
    }
}

/// Boxes with sides below this many px are drawn as dots.
const SMALLEST_BOX_PX: f64 = 7.0;

fn is_drawn_whole(placed: &PictureBox) -> bool {
    placed.width().min(placed.height()) >= SMALLEST_BOX_PX
}

/// Boxes in the colours of their classes.
pub(super) fn draw_boxes(canvas: &mut Canvas, view: &View, cells: &[(Level0Box, ClassId)]) {
    for &(bounds, class) in cells {
        if let Some(placed) = view.place(bounds) {
            draw_box(canvas, placed, class_colour(class));
        }
    }
}

fn draw_box(canvas: &mut Canvas, placed: PictureBox, colour: Rgb) {
    if is_drawn_whole(&placed) {
        canvas.stroke_box(placed, BORDER_PX, colour);
    } else {
        let radius = (placed.width().max(placed.height()) / 2.0).clamp(0.8, 2.5);
        canvas.disc(placed.center(), radius, colour);
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

    const RED: Rgb = [255, 0, 0];

    fn square(from: f64, to: f64) -> Vec<Level0Point> {
        [(from, from), (to, from), (to, to), (from, to)].map(|(x, y)| Level0Point::new(x, y)).to_vec()
    }

    fn bounds(left: f64, top: f64, right: f64, bottom: f64) -> Level0Box {
        Level0Box::new(Level0Point::new(left, top), Level0Point::new(right, bottom))
    }

    /// The slide whole, one px of the picture for each of its own.
    fn plain(slide: &dyn Slide) -> RgbBuffer {
        Drawing::new(slide, None, 4000).finish(&[])
    }

    #[test]
    fn an_area_is_veiled_but_for_its_holes_and_has_borders() {
        let slide = chequered(400, 300);
        let plain = plain(&slide);
        let mut drawing = Drawing::new(&slide, None, 400);
        drawing.area(&Area { rings: vec![square(40.0, 200.0), square(80.0, 120.0)], colour: RED, veil: 0.5 });
        let drawn = drawing.finish(&[]);
        assert_eq!(drawn.pixel(40, 100), RED, "the outer border");
        assert_eq!(drawn.pixel(80, 100), RED, "the hole's border");
        for at in [(20, 20), (100, 100), (230, 100)] {
            assert_eq!(drawn.pixel(at.0, at.1), plain.pixel(at.0, at.1), "{at:?} is not in it");
        }
        let expected = std::array::from_fn(|channel| {
            (f64::from(plain.pixel(60, 100)[channel]) / 2.0 + f64::from(RED[channel]) / 2.0).round() as u8
        });
        assert_eq!(drawn.pixel(60, 100), expected);
    }

    #[test]
    fn areas_that_reach_past_the_picture_are_cut() {
        let slide = chequered(64, 64);
        let mut drawing = Drawing::new(&slide, None, 64);
        drawing.area(&Area { rings: vec![square(-1e5, 1e5)], colour: RED, veil: 1.0 });
        let drawn = drawing.finish(&[]);
        assert_eq!((drawn.pixel(1, 1), drawn.pixel(60, 1)), (RED, RED));
    }

    #[test]
    fn a_legend_shows_each_colour() {
        let slide = chequered(300, 200);
        let legend = [([200, 10, 10], "one".to_owned()), ([10, 10, 200], "two".to_owned())];
        let drawn = Drawing::new(&slide, None, 300).finish(&legend);
        assert_eq!((drawn.pixel(15, 15), drawn.pixel(15, 38)), ([200, 10, 10], [10, 10, 200]));
    }

    #[test]
    fn a_cell_without_an_outline_is_a_box() {
        let slide = chequered(400, 300);
        let plain = plain(&slide);
        let mut drawing = Drawing::new(&slide, None, 4000);
        drawing.cell(bounds(100.0, 60.0, 140.0, 100.0), None, RED);
        let drawn = drawing.finish(&[]);
        assert_eq!((drawn.width(), drawn.height()), (400, 300));
        assert_eq!((drawn.pixel(100, 80), drawn.pixel(120, 60)), (RED, RED));
        for (x, y) in [(120, 80), (90, 80), (150, 80)] {
            assert_eq!(drawn.pixel(x, y), plain.pixel(x, y), "({x}, {y}) is not on the box");
        }
    }

    /// Cells were boxes even where their outlines are known.
    #[test]
    fn a_cell_with_an_outline_is_drawn_as_that() {
        let slide = chequered(400, 300);
        let diamond = [(120.0, 60.0), (140.0, 80.0), (120.0, 100.0), (100.0, 80.0)];
        let diamond = diamond.map(|(x, y)| Level0Point::new(x, y));
        let mut drawing = Drawing::new(&slide, None, 4000);
        drawing.cell(bounds(100.0, 60.0, 140.0, 100.0), Some(&diamond), RED);
        let drawn = drawing.finish(&[]);
        assert_eq!(drawn.pixel(130, 70), RED, "the middle of a side");
        assert_eq!(drawn.pixel(102, 62), plain(&slide).pixel(102, 62), "a corner of the box");
    }

    #[test]
    fn a_region_moves_cells_with_it_and_small_ones_are_dots() {
        let slide = chequered(400, 300);
        let mut drawing = Drawing::new(&slide, Some(bounds(80.0, 40.0, 240.0, 120.0)), 80);
        drawing.cell(bounds(100.0, 60.0, 108.0, 68.0), Some(&square(100.0, 108.0)), RED);
        let drawn = drawing.finish(&[]);
        assert_eq!((drawn.width(), drawn.height()), (80, 40));
        // The cell's middle, (104, 64), lies 24 px into the region, which is halved.
        assert_eq!(drawn.pixel(12, 12), RED);
    }

    #[test]
    fn cells_outside_the_picture_are_left_out() {
        let slide = chequered(64, 64);
        let mut drawing = Drawing::new(&slide, None, 64);
        drawing.cell(bounds(-900.0, 10.0, -800.0, 50.0), None, RED);
        drawing.cell(bounds(f64::NAN, 0.0, f64::INFINITY, 9.0), None, RED);
        assert_eq!(drawing.finish(&[]), plain(&slide));
    }
}
