//! How densely cells lie, as a veil over an overview.

use wsi_types::{Level0Point, Rgb};

use super::{canvas::Canvas, view::View};
use crate::error::ReportError;

/// Cells per mm² on a coarse grid over a view, smoothed.
pub(super) struct Density {
    columns: usize,
    rows: usize,
    per_mm2: Vec<f64>,
}

/// Side of a grid square, picture px.
const SQUARE_PX: usize = 4;
/// Half of the side of the square that is averaged, three times in a row: close
/// to a Gaussian (Wells 1986).
const BLUR_SQUARES: usize = 2;

/// Dark to light; after the viridis map of Smith and van der Walt (CC0).
const COLOURS: [Rgb; 5] = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/// Where the squares lie.
struct Squares {
    columns: usize,
    rows: usize,
    /// Upper left corner of the first.
    origin: Level0Point,
    side_px: f64,
    side_mm: f64,
}

impl Density {
    /// `um_per_px` is that of the picture.
    pub(super) fn of(view: &View, centres: impl Iterator<Item = Level0Point>, um_per_px: f64) -> Self {
        let squares = Squares {
            columns: view.picture.width().div_ceil(SQUARE_PX),
            rows: view.picture.height().div_ceil(SQUARE_PX),
            origin: view.region.min,
            side_px: view.level0_per_px * SQUARE_PX as f64,
            side_mm: SQUARE_PX as f64 * um_per_px * 1e-3,
        };
        Self::on(&squares, centres)
    }

    fn on(squares: &Squares, centres: impl Iterator<Item = Level0Point>) -> Self {
        let &Squares { columns, rows, origin, side_px, side_mm } = squares;
        let mut counts = vec![0.0; columns * rows];
        for centre in centres {
            let away = (centre - origin) / side_px;
            let inside = away.x >= 0.0 && away.y >= 0.0 && away.x < columns as f64 && away.y < rows as f64;
            if inside {
                counts[away.y as usize * columns + away.x as usize] += 1.0;
            }
        }
        let mut density = Self { columns, rows, per_mm2: counts };
        for _ in 0..3 {
            density.blur_rows();
            density.turn();
            density.blur_rows();
            density.turn();
        }
        for value in &mut density.per_mm2 {
            *value /= side_mm * side_mm;
        }
        density
    }

    /// The density drawn in the lightest colour: a round number above that of all but
    /// a hundredth of the squares with cells.
    pub(super) fn top(&self) -> f64 {
        let mut some: Vec<f64> = self.per_mm2.iter().copied().filter(|&v| v > 1.0).collect();
        some.sort_by(f64::total_cmp);
        let high = some.get((some.len() * 99) / 100).copied().unwrap_or(1000.0);
        let steps = [100.0, 1e3, 1e4, 1e5].into_iter().flat_map(|d| [d, 2.0 * d, 5.0 * d]);
        steps.into_iter().find(|&step| step >= high).unwrap_or(high)
    }

    /// Lays the veil over the canvas at (x, y); thin where there are few cells.
    pub(super) fn veil(&self, canvas: &mut Canvas, at: (usize, usize), view: &View, top: f64) {
        for y in 0..view.picture.height() {
            for x in 0..view.picture.width() {
                let share = (self.at(x, y) / top).min(1.0);
                canvas.blend(at.0 + x, at.1 + y, colour(share), cover(share));
            }
        }
    }

    /// Between squares the density is joined linearly.
    fn at(&self, x: usize, y: usize) -> f64 {
        let place = |v: usize, count: usize| {
            let v = ((v as f64 + 0.5) / SQUARE_PX as f64 - 0.5).clamp(0.0, (count - 1) as f64);
            let first = (v as usize).min(count.saturating_sub(2));
            (first, (first + 1).min(count - 1), v - first as f64)
        };
        let ((left, right, across), (up, low, down)) = (place(x, self.columns), place(y, self.rows));
        let value = |column: usize, row: usize| self.per_mm2[row * self.columns + column];
        let join = |a: f64, b: f64, t: f64| a + (b - a) * t;
        let upper = join(value(left, up), value(right, up), across);
        join(upper, join(value(left, low), value(right, low), across), down)
    }

    fn blur_rows(&mut self) {
        const WIDTH: f64 = (2 * BLUR_SQUARES + 1) as f64;
        for row in self.per_mm2.chunks_exact_mut(self.columns) {
            let before = row.to_vec();
            for (i, value) in row.iter_mut().enumerate() {
                let around = i.saturating_sub(BLUR_SQUARES)..(i + BLUR_SQUARES + 1).min(before.len());
                *value = before[around].iter().sum::<f64>() / WIDTH;
            }
        }
    }

    /// Rows become columns.
    fn turn(&mut self) {
        let (columns, rows) = (self.columns, self.rows);
        let old = &self.per_mm2;
        self.per_mm2 =
            (0..columns).flat_map(|column| (0..rows).map(move |row| old[row * columns + column])).collect();
        (self.columns, self.rows) = (rows, columns);
    }
}

/// How much of the slide a share of the top density covers: nothing where there
/// are no cells.
fn cover(share: f64) -> f64 {
    0.72 * (share / 0.4).min(1.0)
}

/// The density of a whole slide, to be laid over a picture of it.
pub struct DensityMap {
    /// Transparent where there are no cells; its corners are the slide's.
    pub png: Vec<u8>,
    /// Cells per mm² in the lightest colour.
    pub top: f64,
    /// Width and height of what the picture spans, in level-0 px: the slide,
    /// filled up to whole squares.
    pub level0_px: [f64; 2],
}

/// The map's squares along its longer side, at most.
const MAP_SQUARES: f64 = 180.0;
/// Smaller squares would show single cells.
const SMALLEST_SQUARE_UM: f64 = 12.0;

/// Draws the density of cells with these `centres` over a slide of `slide_px`
/// level-0 px of `um_per_px`.
///
/// # Errors
///
/// When the picture cannot be encoded.
pub fn density_map(
    slide_px: [u32; 2],
    um_per_px: f64,
    centres: impl Iterator<Item = Level0Point>,
) -> Result<DensityMap, ReportError> {
    let [width, height] = slide_px.map(f64::from);
    let side_px = (width.max(height) / MAP_SQUARES).max(SMALLEST_SQUARE_UM / um_per_px);
    let squares = |length: f64| ((length / side_px).ceil() as usize).max(1);
    let squares = Squares {
        columns: squares(width),
        rows: squares(height),
        origin: Level0Point::origin(),
        side_px,
        side_mm: side_px * um_per_px * 1e-3,
    };
    let density = Density::on(&squares, centres);
    let top = density.top();
    let pixels = density.per_mm2.iter().flat_map(|value| {
        let share = (value / top).min(1.0);
        let [r, g, b] = colour(share);
        [r, g, b, (cover(share) * 255.0).round() as u8]
    });
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, squares.columns as u32, squares.rows as u32);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels.collect::<Vec<_>>())?;
    writer.finish()?;
    let level0_px = [squares.columns, squares.rows].map(|count| count as f64 * side_px);
    Ok(DensityMap { png, top, level0_px })
}

/// The map's colours from none to the top, as a CSS gradient.
#[must_use]
pub fn density_gradient() -> String {
    let stops: Vec<_> = COLOURS.iter().map(|[r, g, b]| format!("rgb({r} {g} {b})")).collect();
    format!("linear-gradient(to right, {})", stops.join(", "))
}

/// The colour of a share, 0 to 1, of the top density.
pub(super) fn colour(share: f64) -> Rgb {
    let place = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let first = (place as usize).min(COLOURS.len() - 2);
    let part = place - first as f64;
    std::array::from_fn(|c| {
        let (from, to) = (f64::from(COLOURS[first][c]), f64::from(COLOURS[first + 1][c]));
        (from + (to - from) * part).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::{super::view::tests::chequered, *};

    #[test]
    fn density_adds_up_to_the_cells() {
        // 400 × 300 px of 0.5 µm; no cell near the border, where blur loses some.
        let view = View::read(&chequered(400, 300), None, 400);
        let centres = (0..50).map(|i| Level0Point::new(120.0 + f64::from(i) * 3.0, 150.0));
        let density = Density::of(&view, centres, 0.5);
        let square_mm2 = (4.0 * 0.5e-3) * (4.0 * 0.5e-3);
        let cells: f64 = density.per_mm2.iter().sum::<f64>() * square_mm2;
        assert!((cells - 50.0).abs() < 1e-6, "{cells}");
        assert!(density.at(200, 150) > density.at(200, 100));
        assert_eq!(density.at(20, 20), 0.0);
    }

    #[test]
    fn the_scale_ends_on_a_round_number() {
        let view = View::read(&chequered(64, 64), None, 64);
        assert_eq!(Density::of(&view, std::iter::empty(), 0.5).top(), 1000.0);
        let one = Density::of(&view, [Level0Point::new(32.0, 32.0)].into_iter(), 0.5);
        assert!([10_000.0, 20_000.0, 50_000.0].contains(&one.top()), "{}", one.top());
    }

    #[test]
    fn colours_run_from_dark_to_light() {
        assert_eq!(colour(-1.0), COLOURS[0]);
        assert_eq!(colour(0.5), COLOURS[2]);
        assert_eq!(colour(7.0), COLOURS[4]);
    }
}
