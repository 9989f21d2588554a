//! Pictures side by side with outlines on them, to see at a glance what a data
//! set teaches.

use wsi_types::{ClassId, Rgb, RgbBuffer, class_colour};

use super::{
    canvas::{Canvas, INK, PAPER},
    font,
    spans::for_each_span,
    view::{PictureBox, PicturePoint},
};

/// One picture of a sheet; all have one size.
#[derive(Debug, Clone, PartialEq)]
pub struct SheetTile {
    /// Its pixels.
    pub picture: RgbBuffer,
    /// Closed rings in its px, each with the class it is drawn in.
    pub rings: Vec<(Vec<(f64, f64)>, ClassId)>,
}

const GAP_PX: usize = 8;
const TEXT_PX: f64 = 14.0;
const LEGEND_PX: usize = 28;
const COLUMNS: usize = 4;

/// Lays pictures out in rows of four, with a legend when there are several
/// classes. At least one px, even without pictures.
#[must_use]
pub fn sheet(tiles: &[SheetTile], class_names: &[String]) -> RgbBuffer {
    let width = tiles.iter().map(|tile| tile.picture.width()).max().unwrap_or(1);
    let height = tiles.iter().map(|tile| tile.picture.height()).max().unwrap_or(1);
    let columns = tiles.len().clamp(1, COLUMNS);
    let rows = tiles.len().div_ceil(columns).max(1);
    let legend = if class_names.len() > 1 { LEGEND_PX } else { 0 };
    let size = (columns * (width + GAP_PX) - GAP_PX, rows * (height + GAP_PX) - GAP_PX + legend);
    let mut canvas = Canvas::new(RgbBuffer::filled(size.0, size.1, PAPER));
    for (place, tile) in tiles.iter().enumerate() {
        let (column, row) = (place % columns, place / columns);
        canvas.paste(&outlined(tile), column * (width + GAP_PX), row * (height + GAP_PX) + legend);
    }
    if legend > 0 {
        draw_legend(&mut canvas, class_names);
    }
    canvas.into_picture()
}

fn outlined(tile: &SheetTile) -> RgbBuffer {
    let mut canvas = Canvas::new(tile.picture.clone());
    for (ring, class) in &tile.rings {
        let ends = ring.iter().zip(ring.iter().cycle().skip(1));
        for (&(ax, ay), &(bx, by)) in ends {
            canvas.line(PicturePoint::new(ax, ay), PicturePoint::new(bx, by), 2.0, class_colour(*class));
        }
    }
    canvas.into_picture()
}

fn draw_legend(canvas: &mut Canvas, class_names: &[String]) {
    let mut x = 4.0;
    for (name, class) in class_names.iter().zip(0..) {
        let swatch = PictureBox::new(PicturePoint::new(x, 7.0), PicturePoint::new(x + 14.0, 21.0));
        canvas.fill_box(swatch, class_colour(ClassId(class)), 1.0);
        canvas.text(PicturePoint::new(x + 20.0, 20.0), TEXT_PX, name, INK);
        x += 44.0 + font::width(name, TEXT_PX);
    }
}

/// Fills the pixels whose middles lie inside a ring (even-odd rule). Parts
/// outside the picture are left out.
pub fn fill_ring(picture: &mut RgbBuffer, ring: &[(f64, f64)], colour: Rgb) {
    let size = (picture.width(), picture.height());
    let ring = ring.iter().map(|&(x, y)| PicturePoint::new(x, y)).collect();
    for_each_span(&[ring], size, |y, across| picture.row_mut(y).as_chunks_mut::<3>().0[across].fill(colour));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_fills_the_pixels_whose_middles_it_holds() {
        let mut picture = RgbBuffer::filled(6, 5, [0; 3]);
        fill_ring(&mut picture, &[(1.4, -3.0), (4.6, -3.0), (4.6, 2.4), (1.4, 2.4)], [9; 3]);
        let filled = |x, y| picture.pixel(x, y) == [9; 3];
        assert!(filled(1, 0) && filled(4, 1) && !filled(0, 0) && !filled(5, 1) && !filled(2, 2));
        fill_ring(&mut picture, &[], [1; 3]);
        assert_eq!(picture.pixel(0, 0), [0; 3]);
    }

    #[test]
    fn a_sheet_holds_every_picture_and_a_legend() {
        let tile = SheetTile {
            picture: RgbBuffer::filled(40, 40, [200; 3]),
            rings: vec![(vec![(5.0, 5.0), (30.0, 5.0), (30.0, 30.0)], ClassId(1))],
        };
        let names = ["one".to_owned(), "two".to_owned()];
        let drawn = sheet(&vec![tile; 5], &names);
        assert_eq!((drawn.width(), drawn.height()), (4 * 48 - 8, 2 * 48 - 8 + LEGEND_PX));
        assert_eq!(drawn.pixel(20, LEGEND_PX + 5), class_colour(ClassId(1)));
        assert_eq!(sheet(&[], &[]).width(), 1);
    }
}
