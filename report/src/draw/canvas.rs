//! Lines, boxes, dots and letters on a picture, with smooth edges.

use wsi_types::{Rgb, RgbBuffer};

use super::{
    font,
    view::{PictureBox, PicturePoint, PictureVector},
};

/// A picture to draw on.
pub(super) struct Canvas {
    picture: RgbBuffer,
}

pub(super) const INK: Rgb = [24, 22, 30];
pub(super) const PAPER: Rgb = [255, 255, 255];

impl Canvas {
    pub(super) fn new(picture: RgbBuffer) -> Self {
        Self { picture }
    }

    pub(super) fn into_picture(self) -> RgbBuffer {
        self.picture
    }

    /// Lays `colour` over one pixel; `cover` 0 to 1. Outside, nothing happens.
    pub(super) fn blend(&mut self, x: usize, y: usize, colour: Rgb, cover: f64) {
        if cover <= 0.0 || x >= self.picture.width() || y >= self.picture.height() {
            return;
        }
        let pixel = &mut self.picture.row_mut(y).as_chunks_mut::<3>().0[x];
        for (value, colour) in pixel.iter_mut().zip(colour) {
            let (from, to) = (f64::from(*value), f64::from(colour));
            *value = (from + (to - from) * cover.min(1.0)).round() as u8;
        }
    }

    /// The outline of a box with slightly round corners, `width` px wide, its
    /// middle on the border.
    pub(super) fn stroke_box(&mut self, bounds: PictureBox, width: f64, colour: Rgb) {
        const CORNER: f64 = 1.5;
        let middle = bounds.center();
        let half = (bounds.size() / 2.0).to_vector();
        let reach = bounds.inflate(width, width);
        self.shade(reach, colour, |p| {
            let away = (p - middle).abs() - half + PictureVector::new(CORNER, CORNER);
            let outside = PictureVector::new(away.x.max(0.0), away.y.max(0.0)).length();
            let distance = outside + away.x.max(away.y).min(0.0) - CORNER;
            width / 2.0 - distance.abs()
        });
    }

    /// A full circle.
    pub(super) fn disc(&mut self, centre: PicturePoint, radius: f64, colour: Rgb) {
        let bounds = PictureBox::new(centre, centre).inflate(radius, radius);
        self.shade(bounds, colour, |p| radius - (p - centre).length());
    }

    /// A line with round ends.
    pub(super) fn line(&mut self, from: PicturePoint, to: PicturePoint, width: f64, colour: Rgb) {
        let way = to - from;
        let length = way.square_length().max(1e-12);
        let bounds = PictureBox::from_points([from, to]).inflate(width, width);
        self.shade(bounds, colour, |p| {
            let share = ((p - from).dot(way) / length).clamp(0.0, 1.0);
            width / 2.0 - (p - from - way * share).length()
        });
    }

    /// An upright box, filled; `cover` 0 to 1.
    pub(super) fn fill_box(&mut self, bounds: PictureBox, colour: Rgb, cover: f64) {
        self.each_pixel(bounds, |canvas, x, y, _| canvas.blend(x, y, colour, cover));
    }

    /// Copies a picture here, its corner at (x, y), cut at the border.
    pub(super) fn paste(&mut self, picture: &RgbBuffer, x: usize, y: usize) {
        let width = picture.width().min(self.picture.width().saturating_sub(x));
        let height = picture.height().min(self.picture.height().saturating_sub(y));
        for row in 0..height {
            let target = &mut self.picture.row_mut(y + row)[x * 3..][..width * 3];
            target.copy_from_slice(&picture.row(row)[..width * 3]);
        }
    }

    /// Writes a line of text, `height` px from baseline to the top of an `l`;
    /// `at` is the left end of the baseline.
    pub(super) fn text(&mut self, at: PicturePoint, height: f64, text: &str, colour: Rgb) {
        let width = (height / 7.5).max(1.2);
        for (from, to) in font::strokes(text, height) {
            let place = |p: (f64, f64)| at + euclid::vec2(p.0, -p.1);
            self.line(place(from), place(to), width, colour);
        }
    }

    /// Text on a light plate whose lower left corner is `at`.
    pub(super) fn label(&mut self, at: PicturePoint, height: f64, text: &str) {
        let pad = height * 0.55;
        let size = PictureVector::new(font::width(text, height) + 2.0 * pad, height + 2.0 * pad);
        let plate = PictureBox::new(at - euclid::vec2(0.0, size.y), at + euclid::vec2(size.x, 0.0));
        self.fill_box(plate, PAPER, 0.86);
        self.text(at + euclid::vec2(pad, -pad), height, text, INK);
    }

    /// A bar of round length with its length in µm, at the lower right.
    /// `um_per_px` is that of the picture.
    pub(super) fn scale_bar(&mut self, um_per_px: f64) {
        let (width, height) = (self.picture.width() as f64, self.picture.height() as f64);
        let text_height = (width.min(height) / 26.0).clamp(10.0, 18.0);
        let Some((um, text)) = round_length(width * um_per_px * 0.25) else { return };
        let bar = um / um_per_px;
        let text_width = font::width(&text, text_height);
        let pad = text_height * 0.6;
        let (wide, high) = (bar.max(text_width) + 2.0 * pad, text_height * 1.75 + 2.0 * pad);
        if wide > width || high > height {
            return;
        }
        let corner = PicturePoint::new(width - wide, height - high);
        self.fill_box(PictureBox::new(corner, PicturePoint::new(width, height)), PAPER, 0.86);
        let middle = corner.x + wide / 2.0;
        let baseline = corner.y + pad + text_height;
        self.text(PicturePoint::new(middle - text_width / 2.0, baseline), text_height, &text, INK);
        let top = (height - pad - text_height * 0.3).round();
        let left = (middle - bar / 2.0).round();
        let ends = [PicturePoint::new(left, top), PicturePoint::new(left + bar.round(), top + 3.0)];
        self.fill_box(PictureBox::from_points(ends), INK, 1.0);
    }

    /// Blends `colour` where `depth` (px inside the shape) is positive, with an
    /// edge one pixel wide.
    fn shade(&mut self, bounds: PictureBox, colour: Rgb, depth: impl Fn(PicturePoint) -> f64) {
        self.each_pixel(bounds.inflate(1.0, 1.0), |canvas, x, y, p| {
            canvas.blend(x, y, colour, depth(p) + 0.5);
        });
    }

    /// Calls `draw` with every pixel of the picture that a box touches, and the
    /// pixel's middle.
    fn each_pixel(
        &mut self,
        bounds: PictureBox,
        mut draw: impl FnMut(&mut Self, usize, usize, PicturePoint),
    ) {
        let span = |from: f64, to: f64, size: usize| {
            let clamp = |v: f64| v.clamp(0.0, size as f64) as usize;
            clamp(from.floor())..clamp(to.ceil())
        };
        let columns = span(bounds.min.x, bounds.max.x, self.picture.width());
        for y in span(bounds.min.y, bounds.max.y, self.picture.height()) {
            for x in columns.clone() {
                draw(self, x, y, PicturePoint::new(x as f64 + 0.5, y as f64 + 0.5));
            }
        }
    }
}

/// The longest of 1, 2, 5, 10, … µm that is at most `longest_um`, and how it is
/// written.
fn round_length(longest_um: f64) -> Option<(f64, String)> {
    let decades = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5];
    let um = decades.iter().flat_map(|d| [*d, 2.0 * d, 5.0 * d]).rfind(|um| *um <= longest_um)?;
    let text = if um < 1000.0 { format!("{um} µm") } else { format!("{} mm", um / 1000.0) };
    Some((um, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_round_lengths() {
        let of = |longest| round_length(longest).map(|(_, text)| text);
        assert_eq!(of(0.5), None);
        assert_eq!(of(26.0).as_deref(), Some("20 µm"));
        assert_eq!(of(999.0).as_deref(), Some("500 µm"));
        assert_eq!(of(2400.0).as_deref(), Some("2 mm"));
    }

    #[test]
    fn the_bar_is_as_long_as_it_says() {
        let mut canvas = Canvas::new(RgbBuffer::filled(400, 300, [200, 120, 160]));
        canvas.scale_bar(0.25);
        // A quarter of 400 px is 25 µm: the bar is 20 µm, 80 px.
        let picture = canvas.into_picture();
        let longest = (0..300).map(|y| (0..400).filter(|&x| picture.pixel(x, y) == INK).count()).max();
        assert_eq!(longest, Some(80));
    }

    #[test]
    fn lines_end_at_the_border_of_the_picture() {
        let mut canvas = Canvas::new(RgbBuffer::filled(20, 10, [0; 3]));
        canvas.line(PicturePoint::new(-50.0, 5.0), PicturePoint::new(90.0, 5.0), 2.0, [250; 3]);
        let picture = canvas.into_picture();
        assert_eq!(picture.pixel(0, 4), [250; 3]);
        assert_eq!(picture.pixel(19, 5), [250; 3]);
        assert_eq!(picture.pixel(10, 1), [0; 3]);
    }
}
