//! Mask and plan drawn over the tissue, for people.

use wsi_types::{Level0Box, Rgb, RgbBuffer};

use crate::{Plan, TissueMask};

/// Outline of the tissue.
const TISSUE: Rgb = [0, 140, 60];
/// Outline of a window.
const WINDOW: Rgb = [30, 90, 220];

/// Draws over an overview of the whole slide: everything but tissue is grey, the tissue has a green outline,
/// windows a blue one.
#[must_use]
pub fn draw_plan(overview: &RgbBuffer, mask: &TissueMask, plan: &Plan) -> RgbBuffer {
    let mut picture = overview.clone();
    draw_mask(&mut picture, mask);
    for window in plan.windows() {
        outline(&mut picture, mask, &window.level0_box());
    }
    picture
}

fn draw_mask(picture: &mut RgbBuffer, mask: &TissueMask) {
    let (width, height) = (picture.width(), picture.height());
    let (step_x, step_y) = level0_per_px(picture, mask);
    let (dx, dy) = mask.downsample();
    let column: Vec<u32> = (0..width).map(|x| ((x as f64 + 0.5) * step_x / dx) as u32).collect();
    let row: Vec<u32> = (0..height).map(|y| ((y as f64 + 0.5) * step_y / dy) as u32).collect();
    let tissue = |x: usize, y: usize| mask.is_tissue(column[x], row[y]);
    for y in 0..height {
        for x in 0..width {
            let here = tissue(x, y);
            let edge = here
                && (!tissue(x.saturating_sub(1), y)
                    || !tissue(x, y.saturating_sub(1))
                    || !tissue((x + 1).min(width - 1), y)
                    || !tissue(x, (y + 1).min(height - 1)));
            let pixel = &mut picture.row_mut(y).as_chunks_mut::<3>().0[x];
            *pixel = if edge {
                TISSUE
            } else if here {
                *pixel
            } else {
                faded(*pixel)
            };
        }
    }
}

/// Returns the colour halfway to a middle grey.
fn faded(pixel: Rgb) -> Rgb {
    let grey = pixel.map(u16::from).iter().sum::<u16>() / 3;
    [u8::midpoint(grey as u8, 128); 3]
}

fn outline(picture: &mut RgbBuffer, mask: &TissueMask, area: &Level0Box) {
    let (step_x, step_y) = level0_per_px(picture, mask);
    let (right, bottom) = (picture.width() - 1, picture.height() - 1);
    let [x0, x1] = [area.min.x, area.max.x].map(|x| ((x / step_x).max(0.0) as usize).min(right));
    let [y0, y1] = [area.min.y, area.max.y].map(|y| ((y / step_y).max(0.0) as usize).min(bottom));
    for y in [y0, y1] {
        picture.row_mut(y).as_chunks_mut::<3>().0[x0..=x1].fill(WINDOW);
    }
    for y in y0..=y1 {
        let row = picture.row_mut(y).as_chunks_mut::<3>().0;
        (row[x0], row[x1]) = (WINDOW, WINDOW);
    }
}

/// Returns level-0 px per px of a picture that shows the whole slide.
fn level0_per_px(picture: &RgbBuffer, mask: &TissueMask) -> (f64, f64) {
    let (width, height) = mask.level0_size();
    (f64::from(width) / picture.width().max(1) as f64, f64::from(height) / picture.height().max(1) as f64)
}
