//! The pixels of a window that lie in a detection, or around it: those with their centre there.

use std::ops::Range;

use wsi_types::{Detection, Rgb, WindowPx};

use crate::mask::first_pixel_from;

/// The pixels of a window, row by row.
#[derive(Clone, Copy)]
pub(crate) struct WindowPixels<'a> {
    pixels: &'a [Rgb],
    width: usize,
    height: usize,
}

/// Pixels of a row of a window, side by side; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// From the top.
    pub(crate) row: usize,
    /// From the left.
    pub(crate) columns: Range<usize>,
}

impl<'a> WindowPixels<'a> {
    /// Those of a window of `width` px, red first.
    pub(crate) fn new(bytes: &'a [u8], width: usize) -> Self {
        let (pixels, _) = bytes.as_chunks::<3>();
        Self { pixels, width, height: pixels.len() / width.max(1) }
    }

    /// The pixels of a span.
    pub(crate) fn of(self, span: &Span) -> &'a [Rgb] {
        &self.pixels[span.row * self.width..][span.columns.clone()]
    }

    /// The pixels in the outline of `detection`, or in the ellipse inscribed in its box, from the top.
    pub(crate) fn inside(self, detection: &Detection) -> impl Iterator<Item = Rgb> + use<'a> {
        self.spans_inside(detection).into_iter().flat_map(move |span| self.of(&span)).copied()
    }

    /// The same by row.
    pub(crate) fn spans_inside(self, detection: &Detection) -> Vec<Span> {
        let (mut spans, mut crossings) = (Vec::new(), Vec::new());
        for row in self.rows_of(detection, 0.0) {
            crossings_at(detection, row as f64 + 0.5, &mut crossings);
            let columns = crossings.chunks_exact(2).map(|ends| self.columns_between(ends));
            let filled = columns.filter(|columns| !columns.is_empty());
            spans.extend(filled.map(|columns| Span { row, columns }));
        }
        spans
    }

    /// Pixels that are not inside and lie at most `reach` px from the outline, or in the ellipse whose radii are longer by so
    /// much.
    pub(crate) fn around(self, detection: &Detection, reach: f64) -> Vec<Rgb> {
        let mut around = Vec::new();
        let (mut ends, mut crossings) = (Vec::new(), Vec::new());
        let mut is_around = vec![false; self.width];
        for row in self.rows_of(detection, reach) {
            let y = row as f64 + 0.5;
            spans_near(detection, y, reach, &mut ends);
            crossings_at(detection, y, &mut crossings);
            is_around.fill(false);
            self.mark(&ends, true, &mut is_around);
            self.mark(&crossings, false, &mut is_around);
            let pixels = self.pixels[row * self.width..].iter().zip(&is_around);
            around.extend(pixels.filter(|(_, is_around)| **is_around).map(|(pixel, _)| *pixel));
        }
        around
    }

    /// Rows whose middle lies at most `reach` px above or below the box.
    fn rows_of(self, detection: &Detection, reach: f64) -> Range<usize> {
        let bbox = detection.bbox.cast::<f64>();
        let [top, bottom] = [(bbox.min.y - reach - 0.5).ceil(), (bbox.max.y + reach + 0.5).floor()]
            .map(|y| (y.max(0.0) as usize).min(self.height));
        top..bottom
    }

    /// Marks the pixels of a row between each two ends.
    fn mark(self, ends: &[f64], as_what: bool, row: &mut [bool]) {
        for ends in ends.chunks_exact(2) {
            row[self.columns_between(ends)].fill(as_what);
        }
    }

    /// The columns with their middle between two places along x.
    fn columns_between(self, ends: &[f64]) -> Range<usize> {
        first_pixel_from(ends[0], self.width)..first_pixel_from(ends[1], self.width)
    }
}

/// Ends of the spans of the line at `y` that lie at most `reach` px from the outline of `detection`, or in the ellipse
/// in its box that is larger by so much on each side; window px. They may overlap.
fn spans_near(detection: &Detection, y: f64, reach: f64, spans: &mut Vec<f64>) {
    spans.clear();
    if let Some(ring) = detection.outline.as_deref() {
        let sides = ring.iter().zip(ring.iter().cycle().skip(1));
        let sides = sides.map(|(p, q)| (p.cast::<f64>(), q.cast::<f64>()));
        spans.extend(sides.filter_map(|side| span_near_side(side, y, reach)).flatten());
        return;
    }
    spans.extend(ellipse_at(detection, reach, y).into_iter().flatten());
}

type Point = euclid::Point2D<f64, WindowPx>;

/// The span of the line at `y` that lies at most `reach` px from a side: of its two round ends and the two lines beside
/// it, what is farthest left and right.
fn span_near_side((p, q): (Point, Point), y: f64, reach: f64) -> Option<[f64; 2]> {
    let of_ends = [p, q].into_iter().filter(|end| (end.y - y).abs() <= reach).flat_map(|end| {
        let half = (reach * reach - (end.y - y) * (end.y - y)).sqrt();
        [end.x - half, end.x + half]
    });
    let along = q - p;
    let beside = euclid::vec2(-along.y, along.x) * (reach / along.length());
    let of_lines = [beside, -beside].into_iter().filter_map(|beside| crossing((p + beside, q + beside), y));
    of_ends.chain(of_lines).fold(None, |span, x| {
        let [low, high] = span.unwrap_or([x, x]);
        Some([f64::min(low, x), f64::max(high, x)])
    })
}

/// Place where a side crosses the line at `y`; its upper end counts, its lower one does not.
fn crossing((p, q): (Point, Point), y: f64) -> Option<f64> {
    ((p.y <= y) != (q.y <= y)).then(|| p.x + (y - p.y) / (q.y - p.y) * (q.x - p.x))
}

/// Both ends, at `y`, of the ellipse in the box of `detection` with radii longer by `more` px.
fn ellipse_at(detection: &Detection, more: f64, y: f64) -> Option<[f64; 2]> {
    let bbox = detection.bbox.cast::<f64>();
    let (centre, radius) = (bbox.center(), bbox.size() / 2.0 + euclid::size2(more, more));
    let off = (y - centre.y) / radius.height;
    (off.abs() < 1.0).then(|| {
        let half = radius.width * (1.0 - off * off).sqrt();
        [centre.x - half, centre.x + half]
    })
}

/// Crossings of the outline of `detection`, or of the ellipse in its box, with the line at `y`, ascending;
/// window px.
fn crossings_at(detection: &Detection, y: f64, crossings: &mut Vec<f64>) {
    crossings.clear();
    if let Some(ring) = detection.outline.as_deref() {
        let sides = ring.iter().zip(ring.iter().cycle().skip(1));
        let sides = sides.map(|(p, q)| (p.cast::<f64>(), q.cast::<f64>()));
        crossings.extend(sides.filter_map(|side| crossing(side, y)));
        crossings.sort_unstable_by(f64::total_cmp);
        return;
    }
    crossings.extend(ellipse_at(detection, 0.0, y).into_iter().flatten());
}

#[cfg(test)]
mod tests {
    use wsi_types::WindowPoint;

    use super::*;

    /// The distance of each pixel from each side, one by one.
    #[test]
    fn pixels_around_an_outline_are_those_near_a_side() {
        let corners = [(12.0, 9.0), (34.5, 7.25), (20.0, 16.0), (37.0, 30.0), (9.0, 27.5)];
        let mut notched = crate::testing::detection(9.0, 7.0, 37.0, 30.0, 0.9);
        notched.outline = Some(corners.map(|(x, y)| WindowPoint::new(x, y)).into());
        // Each pixel has a colour of its own.
        let pixels: Vec<Rgb> = (0..36_u8).flat_map(|y| (0..44_u8).map(move |x| [x, y, 0])).collect();
        let window = WindowPixels { pixels: &pixels, width: 44, height: 36 };
        let inside: Vec<Rgb> = window.inside(&notched).collect();
        // No px lies at exactly such a distance, where rounding decides.
        for reach in [0.8, 3.1, 9.05] {
            let mut around = window.around(&notched, reach);
            let mut expected: Vec<Rgb> = pixels.clone();
            expected.retain(|pixel| !inside.contains(pixel) && distance_to_ring(&corners, *pixel) <= reach);
            around.sort_unstable();
            expected.sort_unstable();
            assert!(expected.len() > 50);
            assert_eq!(around, expected, "{reach}");
        }
    }

    fn distance_to_ring(corners: &[(f32, f32)], [x, y, _]: Rgb) -> f64 {
        let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        let sides = corners.iter().zip(corners.iter().cycle().skip(1));
        let distances = sides.map(|(p, q)| {
            let [(px, py), (qx, qy)] = [p, q].map(|&(x, y)| (f64::from(x), f64::from(y)));
            let (along_x, along_y) = (qx - px, qy - py);
            let share = ((x - px) * along_x + (y - py) * along_y) / (along_x * along_x + along_y * along_y);
            let share = share.clamp(0.0, 1.0);
            (x - px - share * along_x).hypot(y - py - share * along_y)
        });
        distances.fold(f64::INFINITY, f64::min)
    }
}
