//! Cells over a slide.

use wsi_reader::Slide;
use wsi_types::{ClassId, Level0Box, RgbBuffer};

use super::{canvas::Canvas, colours::class_colour, layers::draw_boxes, view::View};

/// Draws cells over the slide, or over `region` of level 0, in a picture whose
/// longer side is at most `max_side` px. Pixels are never enlarged. Cells are
/// boxes where they are large enough to be seen as such, dots elsewhere; those
/// that come later lie on top. Tiles that cannot be read are grey.
#[must_use]
pub fn draw_detections(
    slide: &dyn Slide,
    cells: impl IntoIterator<Item = (Level0Box, ClassId)>,
    region: Option<Level0Box>,
    max_side: usize,
) -> RgbBuffer {
    let view = View::read(slide, region, max_side);
    let mut canvas = Canvas::new(view.picture.clone());
    draw_cells(&mut canvas, &view, cells);
    if let Ok(scale) = &slide.info().scale {
        canvas.scale_bar(scale.mpp.times(view.level0_per_px));
    }
    canvas.into_picture()
}

pub(super) fn draw_cells(
    canvas: &mut Canvas,
    view: &View,
    cells: impl IntoIterator<Item = (Level0Box, ClassId)>,
) {
    let coloured = cells.into_iter().map(|(bounds, class)| (bounds, class_colour(class)));
    draw_boxes(canvas, view, coloured);
}

#[cfg(test)]
mod tests {
    use super::{super::view::tests::chequered, *};

    #[test]
    fn a_box_is_drawn_where_the_cell_is() {
        let slide = chequered(400, 300);
        let cell = Level0Box::new(euclid::point2(100.0, 60.0), euclid::point2(140.0, 100.0));
        let plain = draw_detections(&slide, [], None, 4000);
        let drawn = draw_detections(&slide, [(cell, ClassId(0))], None, 4000);
        assert_eq!((drawn.width(), drawn.height()), (400, 300));
        assert_eq!(drawn.pixel(100, 80), class_colour(ClassId(0)));
        assert_eq!(drawn.pixel(120, 60), class_colour(ClassId(0)));
        for (x, y) in [(120, 80), (90, 80), (150, 80)] {
            assert_eq!(drawn.pixel(x, y), plain.pixel(x, y), "({x}, {y}) is not on the box");
        }
    }

    #[test]
    fn a_region_moves_cells_with_it_and_small_ones_are_dots() {
        let slide = chequered(400, 300);
        let cell = Level0Box::new(euclid::point2(100.0, 60.0), euclid::point2(108.0, 68.0));
        let region = Level0Box::new(euclid::point2(80.0, 40.0), euclid::point2(240.0, 120.0));
        let drawn = draw_detections(&slide, [(cell, ClassId(1))], Some(region), 80);
        assert_eq!((drawn.width(), drawn.height()), (80, 40));
        // The cell's middle, (104, 64), lies 24 px into the region, which is halved.
        assert_eq!(drawn.pixel(12, 12), class_colour(ClassId(1)));
    }

    #[test]
    fn cells_outside_the_picture_are_left_out() {
        let slide = chequered(64, 64);
        let far = Level0Box::new(euclid::point2(-900.0, 10.0), euclid::point2(-800.0, 50.0));
        let broken = Level0Box::new(euclid::point2(f64::NAN, 0.0), euclid::point2(f64::INFINITY, 9.0));
        let plain = draw_detections(&slide, [], None, 64);
        assert_eq!(draw_detections(&slide, [(far, ClassId(0)), (broken, ClassId(0))], None, 64), plain);
    }
}
