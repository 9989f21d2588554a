//! One picture that shows a whole result: where cells lie, and how well single
//! ones were found.

use wsi_reader::Slide;
use wsi_types::{ClassId, Level0Box, Level0Point, Rgb, RgbBuffer, class_colour};

use super::{
    canvas::{Canvas, PAPER},
    density::{self, Density},
    drawing::draw_boxes,
    ground::Ground,
    view::{PictureBox, PicturePoint, View},
};

/// Contents of a montage.
#[derive(Debug, Clone, Copy)]
pub struct Montage<'a> {
    /// All cells of the slide.
    pub cells: &'a [(Level0Box, ClassId)],
    /// The tissue that was seen.
    pub ground: &'a Ground,
    /// Middles of the parts shown at full size, one below the other, on level 0.
    pub crops: &'a [Level0Point],
    /// By class; a legend is drawn when there is more than one.
    pub class_names: &'a [String],
    /// Height of the picture, px. It is up to 1.9 times as wide.
    pub height: usize,
}

const FRAME: Rgb = [24, 22, 30];
const GAP_PX: usize = 8;
const TEXT_PX: f64 = 12.0;

/// Draws an overview with a veil of cell density and the `crops` at one level-0
/// px per px with all cells outlined. Each has a scale bar when the slide's mpp
/// is known.
#[must_use]
pub fn montage(slide: &dyn Slide, what: &Montage<'_>) -> RgbBuffer {
    let count = what.crops.len().max(1);
    let side = what.height.saturating_sub(GAP_PX * (count - 1)) / count;
    let crops: Vec<View> = what.crops.iter().map(|&crop| full_size(slide, crop, side)).collect();
    let overview = overview(slide, what, &crops);
    let left = overview.width() + GAP_PX;
    let mut canvas = Canvas::new(RgbBuffer::filled(left + side, what.height, PAPER));
    canvas.paste(&overview, 0, (what.height - overview.height()) / 2);
    for (i, crop) in crops.iter().enumerate() {
        canvas.paste(&crop_panel(slide, what, crop, i), left, i * (side + GAP_PX));
    }
    let mut picture = canvas.into_picture();
    round_colours(&mut picture);
    picture
}

/// Rounds every channel to a multiple of 8: on stained tissue the eye does not
/// see it, and the PNG is half as large.
fn round_colours(picture: &mut RgbBuffer) {
    for value in picture.bytes_mut() {
        *value = value.saturating_add(4) & !7;
        // White stays white.
        *value |= if *value == 248 { 7 } else { 0 };
    }
}

/// A square of `side` level-0 px around a point, moved to lie on the slide.
fn full_size(slide: &dyn Slide, centre: Level0Point, side: usize) -> View {
    let base = slide.info().pyramid.base();
    let side = side as f64;
    let start = |middle: f64, length: u32| {
        (middle - side / 2.0).round().clamp(0.0, (f64::from(length) - side).max(0.0))
    };
    let min = Level0Point::new(start(centre.x, base.width()), start(centre.y, base.height()));
    View::read(slide, Some(Level0Box::from_origin_and_size(min, euclid::size2(side, side))), side as usize)
}

fn crop_panel(slide: &dyn Slide, what: &Montage<'_>, crop: &View, index: usize) -> RgbBuffer {
    let mut canvas = Canvas::new(crop.picture.clone());
    draw_boxes(&mut canvas, crop, what.cells);
    canvas.label(PicturePoint::new(0.0, TEXT_PX * 2.1), TEXT_PX, &letter(index));
    if let Some(um_per_px) = um_per_px(slide, crop) {
        canvas.scale_bar(um_per_px);
    }
    if index == 0 && what.class_names.len() > 1 {
        draw_legend(&mut canvas, what.class_names, crop.picture.height() as f64);
    }
    canvas.into_picture()
}

fn overview(slide: &dyn Slide, what: &Montage<'_>, crops: &[View]) -> RgbBuffer {
    let base = slide.info().pyramid.base();
    let (width, height) = (f64::from(base.width()), f64::from(base.height()));
    let room = what.height.max(1) as f64;
    let scale = (width / (room * 1.45)).max(height / room);
    let view = View::read(slide, None, (width.max(height) / scale).floor() as usize);
    let mut canvas = Canvas::new(view.picture.clone());
    let scale_bar = um_per_px(slide, &view);
    let centres = what.cells.iter().map(|cell| cell.0.center());
    let density = Density::of(&view, what.ground, centres, scale_bar.unwrap_or(1.0));
    let top = density.top();
    density.veil(&mut canvas, (0, 0), &view, top);
    for (i, crop) in crops.iter().enumerate() {
        if let Some(frame) = view.place(crop.region) {
            canvas.stroke_box(frame, 2.0, FRAME);
            canvas.label(PicturePoint::new(frame.max.x + 3.0, frame.max.y), TEXT_PX, &letter(i));
        }
    }
    if let Some(um_per_px) = scale_bar {
        canvas.scale_bar(um_per_px);
        draw_density_key(&mut canvas, top, view.picture.height() as f64);
    }
    canvas.into_picture()
}

/// A bar of the veil's colours with its ends named, at the lower left.
fn draw_density_key(canvas: &mut Canvas, top: f64, height: f64) {
    const BAR: (f64, f64) = (150.0, 9.0);
    let left = 10.0;
    let baseline = height - 12.0;
    let upper = baseline - TEXT_PX - 9.0 - BAR.1;
    let plate = PictureBox::new(
        PicturePoint::new(0.0, upper - 10.0),
        PicturePoint::new(left + BAR.0 + 112.0, height),
    );
    canvas.fill_box(plate, PAPER, 0.86);
    for x in 0..BAR.0 as usize {
        let column = PicturePoint::new(left + x as f64, upper);
        let bounds = PictureBox::new(column, column + euclid::vec2(1.0, BAR.1));
        canvas.fill_box(bounds, density::colour((x as f64 + 0.5) / BAR.0), 1.0);
    }
    canvas.text(PicturePoint::new(left, baseline), TEXT_PX, "0", FRAME);
    let end = PicturePoint::new(left + BAR.0 - 30.0, baseline);
    canvas.text(end, TEXT_PX, &format!("{} cells/mm²", thousands(top)), FRAME);
}

/// A whole number with its thousands set apart.
fn thousands(value: f64) -> String {
    let (thousands, rest) = ((value / 1000.0).floor(), value % 1000.0);
    if thousands > 0.0 { format!("{thousands} {rest:03}") } else { format!("{value}") }
}

fn draw_legend(canvas: &mut Canvas, names: &[String], height: f64) {
    let line = TEXT_PX * 1.9;
    let first = height - line * names.len() as f64;
    for (i, name) in names.iter().enumerate() {
        let bottom = first + line * (i as f64 + 1.0);
        canvas.label(PicturePoint::new(0.0, bottom), TEXT_PX, &format!("   {name}"));
        let dot = PicturePoint::new(TEXT_PX * 1.1, bottom - line / 2.0);
        canvas.disc(dot, TEXT_PX / 2.2, class_colour(ClassId(i as u16)));
    }
}

fn um_per_px(slide: &dyn Slide, view: &View) -> Option<f64> {
    slide.info().scale.as_ref().ok().map(|scale| scale.mpp.times(view.level0_per_px))
}

fn letter(index: usize) -> String {
    char::from(b'a' + (index % 26) as u8).to_string()
}

#[cfg(test)]
mod tests {
    use super::{super::view::tests::chequered, *};

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(20_000.0), "20 000");
        assert_eq!(thousands(500.0), "500");
    }

    #[test]
    fn panels_fill_the_height_and_cells_are_outlined() {
        let slide = chequered(1600, 1000);
        let cell = Level0Box::new(euclid::point2(390.0, 290.0), euclid::point2(410.0, 310.0));
        let what = Montage {
            cells: &[(cell, ClassId(0))],
            ground: &Ground::whole([1600, 1000]),
            crops: &[Level0Point::new(400.0, 300.0), Level0Point::new(0.0, 0.0)],
            class_names: &["nucleus".into()],
            height: 500,
        };
        let picture = montage(&slide, &what);
        assert_eq!(picture.height(), 500);
        let side = (500 - GAP_PX) / 2;
        let left = picture.width() - side;
        let mut expected = RgbBuffer::filled(1, 1, class_colour(ClassId(0)));
        round_colours(&mut expected);
        assert_eq!(picture.pixel(left + side / 2 - 10, side / 2), expected.pixel(0, 0));
        assert_eq!(picture.pixel(left - 1, 250), PAPER);
    }
}
