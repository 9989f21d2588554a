//! Density of cells, as a veil over an overview.

use wsi_types::{Level0Point, Rgb};

use super::{
    canvas::Canvas,
    ground::{Ground, Squares},
    view::View,
};
use crate::error::ReportError;

/// Cells per mm² of seen tissue, on a coarse grid, smoothed.
pub(super) struct Density {
    /// Near a border a square is judged by the tissue around it alone, so that it does not fade.
    per_mm2: Grid,
    /// Share of each square that is seen tissue, 0 to 1.
    seen: Grid,
}

/// Side of a grid square, picture px.
const SQUARE_PX: usize = 4;
/// Half of the side of the square that is averaged, three times in a row: close
/// to a Gaussian (Wells 1986).
const BLUR_SQUARES: usize = 2;

/// Colours of the veil, dark to light; after the viridis map of Smith and van der Walt (CC0).
const COLOURS: [Rgb; 5] = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

impl Density {
    /// Density of cells with these `centres` over a view; `um_per_px` is that of its picture.
    pub(super) fn of(
        view: &View,
        ground: &Ground,
        centres: impl Iterator<Item = Level0Point>,
        um_per_px: f64,
    ) -> Self {
        let squares = Squares {
            columns: view.picture.width().div_ceil(SQUARE_PX),
            rows: view.picture.height().div_ceil(SQUARE_PX),
            origin: view.region.min,
            side_px: view.level0_per_px * SQUARE_PX as f64,
        };
        Self::on(&squares, SQUARE_PX as f64 * um_per_px * 1e-3, ground, centres)
    }

    fn on(
        squares: &Squares,
        side_mm: f64,
        ground: &Ground,
        centres: impl Iterator<Item = Level0Point>,
    ) -> Self {
        let mut counts = Grid::new(squares.columns, squares.rows);
        for centre in centres.filter(|&centre| ground.holds(centre)) {
            if let Some(square) = squares.at(centre) {
                counts.values[square] += 1.0;
            }
        }
        let seen = Grid { values: ground.shares(squares), ..counts };
        let (mut per_mm2, around) = (counts.blurred(), seen.blurred());
        for (value, share) in per_mm2.values.iter_mut().zip(&around.values) {
            *value = if *share > 0.0 { *value / (share * side_mm * side_mm) } else { 0.0 };
        }
        Self { per_mm2, seen }
    }

    /// The density drawn in the lightest colour: a round number above that of all but
    /// a hundredth of the squares with cells.
    pub(super) fn top(&self) -> f64 {
        let squares = self.per_mm2.values.iter().zip(&self.seen.values);
        let some = squares.filter(|&(&density, &seen)| density > 1.0 && seen > 0.0);
        let mut some: Vec<f64> = some.map(|(&density, _)| density).collect();
        some.sort_by(f64::total_cmp);
        let high = some.get((some.len() * 99) / 100).copied().unwrap_or(1000.0);
        let steps = [100.0, 1e3, 1e4, 1e5].into_iter().flat_map(|d| [d, 2.0 * d, 5.0 * d]);
        steps.into_iter().find(|&step| step >= high).unwrap_or(high)
    }

    /// Lays the veil over the canvas at (x, y): thin where there are few cells, none where no tissue was seen.
    pub(super) fn veil(&self, canvas: &mut Canvas, at: (usize, usize), view: &View, top: f64) {
        for y in 0..view.picture.height() {
            for x in 0..view.picture.width() {
                let share = (self.per_mm2.between(x, y) / top).min(1.0);
                canvas.blend(at.0 + x, at.1 + y, colour(share), cover(share) * self.seen.between(x, y));
            }
        }
    }
}

/// Numbers by square, row by row.
#[derive(Debug, Clone)]
struct Grid {
    columns: usize,
    rows: usize,
    values: Vec<f64>,
}

impl Grid {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, values: vec![0.0; columns * rows] }
    }

    /// The value at a px of the picture; between the middles of squares it is joined linearly.
    fn between(&self, x: usize, y: usize) -> f64 {
        let ((left, right, across), (up, low, down)) = (place(x, self.columns), place(y, self.rows));
        let value = |column: usize, row: usize| self.values[row * self.columns + column];
        let upper = joined(value(left, up), value(right, up), across);
        joined(upper, joined(value(left, low), value(right, low), across), down)
    }

    /// Smoothed; what lies outside counts as 0.
    fn blurred(&self) -> Self {
        let mut grid = self.clone();
        for _ in 0..3 {
            grid = grid.with_blurred_rows().turned().with_blurred_rows().turned();
        }
        grid
    }

    fn with_blurred_rows(mut self) -> Self {
        const WIDTH: f64 = (2 * BLUR_SQUARES + 1) as f64;
        for row in self.values.chunks_exact_mut(self.columns) {
            let before = row.to_vec();
            for (i, value) in row.iter_mut().enumerate() {
                let around = i.saturating_sub(BLUR_SQUARES)..(i + BLUR_SQUARES + 1).min(before.len());
                *value = before[around].iter().sum::<f64>() / WIDTH;
            }
        }
        self
    }

    /// Rows become columns.
    fn turned(&self) -> Self {
        let (columns, rows) = (self.columns, self.rows);
        let values = (0..columns)
            .flat_map(|column| (0..rows).map(move |row| self.values[row * columns + column]))
            .collect();
        Self { columns: rows, rows: columns, values }
    }
}

/// The squares along an axis between whose middles a picture px lies, and how far it is from the first to the second.
fn place(px: usize, squares: usize) -> (usize, usize, f64) {
    let at = ((px as f64 + 0.5) / SQUARE_PX as f64 - 0.5).clamp(0.0, (squares - 1) as f64);
    let first = (at as usize).min(squares.saturating_sub(2));
    (first, (first + 1).min(squares - 1), at - first as f64)
}

fn joined(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share
}

/// Opacity of the veil, 0 to 1, for a share of the top density; 0 where there are no cells.
fn cover(share: f64) -> f64 {
    0.72 * (share / 0.4).min(1.0)
}

/// The density of a whole slide, to be laid over a picture of it.
pub struct DensityMap {
    /// Transparent where there are no cells or no tissue was seen; its corners are the slide's.
    pub png: Vec<u8>,
    /// Cells per mm² in the lightest colour.
    pub top: f64,
    /// Width and height of the area that the picture spans, in level-0 px: the slide, filled up to whole
    /// squares.
    pub level0_px: [f64; 2],
}

/// The map's squares along its longer side, at most.
const MAP_SQUARES: f64 = 180.0;
/// Smallest side of a square, µm: smaller ones would show single cells.
const SMALLEST_SQUARE_UM: f64 = 12.0;

/// Draws the density of cells with these `centres` over a slide of `slide_px`
/// level-0 px of `um_per_px`, per area of `ground`.
///
/// # Errors
///
/// When the picture cannot be encoded.
pub fn density_map(
    slide_px: [u32; 2],
    um_per_px: f64,
    ground: &Ground,
    centres: impl Iterator<Item = Level0Point>,
) -> Result<DensityMap, ReportError> {
    let [width, height] = slide_px.map(f64::from);
    let side_px = (width.max(height) / MAP_SQUARES).max(SMALLEST_SQUARE_UM / um_per_px);
    let squares = |length: f64| ((length / side_px).ceil() as usize).max(1);
    let squares =
        Squares { columns: squares(width), rows: squares(height), origin: Level0Point::origin(), side_px };
    let density = Density::on(&squares, side_px * um_per_px * 1e-3, ground, centres);
    let top = density.top();
    let pixels = density.per_mm2.values.iter().zip(&density.seen.values).flat_map(|(value, seen)| {
        let share = (value / top).min(1.0);
        let [r, g, b] = colour(share);
        [r, g, b, (cover(share) * seen * 255.0).round() as u8]
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

    /// The cells of a square lattice, one per `step` level-0 px.
    fn lattice(columns: u32, rows: u32, step: f64) -> impl Iterator<Item = Level0Point> {
        (0..columns * rows)
            .map(move |i| Level0Point::new(f64::from(i % columns) + 0.5, f64::from(i / columns) + 0.5) * step)
    }

    #[test]
    fn density_adds_up_to_the_cells() {
        // 400 × 300 px of 0.5 µm; no cell near the border.
        let view = View::read(&chequered(400, 300), None, 400);
        let centres = (0..50).map(|i| Level0Point::new(120.0 + f64::from(i) * 3.0, 150.0));
        let density = Density::of(&view, &Ground::whole([400, 300]), centres, 0.5);
        let square_mm2 = (4.0 * 0.5e-3) * (4.0 * 0.5e-3);
        let cells: f64 = density.per_mm2.values.iter().sum::<f64>() * square_mm2;
        assert!((cells - 50.0).abs() < 1e-6, "{cells}");
        assert!(density.per_mm2.between(200, 150) > density.per_mm2.between(200, 100));
        assert_eq!(density.per_mm2.between(20, 20), 0.0);
    }

    /// Maps faded at every border: what lies beyond counted as tissue without cells.
    #[test]
    fn even_density_is_even_up_to_the_borders_of_slide_and_tissue() {
        let view = View::read(&chequered(400, 300), None, 400);
        // Tissue is the left half. A cell per square of 4 µm².
        let ground = Ground::new((4, 1), vec![true, true, false, false], [400, 300]);
        let density = Density::of(&view, &ground, lattice(100, 75, 4.0), 0.5);
        for at in [(0, 0), (0, 150), (100, 0), (100, 150), (199, 150), (199, 299), (0, 299)] {
            let found = density.per_mm2.between(at.0, at.1);
            assert!((found / 250_000.0 - 1.0).abs() < 1e-9, "{found} at {at:?}");
        }
        assert_eq!((density.seen.between(100, 150), density.seen.between(300, 150)), (1.0, 0.0));
    }

    #[test]
    fn cells_where_no_tissue_was_seen_do_not_count() {
        let view = View::read(&chequered(400, 300), None, 400);
        let ground = Ground::new((4, 1), vec![true, false, true, true], [400, 300]);
        let unseen = (0..50).map(|i| Level0Point::new(110.0 + f64::from(i), 150.0));
        let density = Density::of(&view, &ground, unseen, 0.5);
        assert_eq!(density.per_mm2.values.iter().sum::<f64>(), 0.0);
    }

    #[test]
    fn the_scale_ends_on_a_round_number() {
        let view = View::read(&chequered(64, 64), None, 64);
        let ground = Ground::whole([64, 64]);
        assert_eq!(Density::of(&view, &ground, std::iter::empty(), 0.5).top(), 1000.0);
        let one = Density::of(&view, &ground, [Level0Point::new(32.0, 32.0)].into_iter(), 0.5);
        assert!([10_000.0, 20_000.0, 50_000.0].contains(&one.top()), "{}", one.top());
    }

    #[test]
    fn colours_run_from_dark_to_light() {
        assert_eq!(colour(-1.0), COLOURS[0]);
        assert_eq!(colour(0.5), COLOURS[2]);
        assert_eq!(colour(7.0), COLOURS[4]);
    }
}
