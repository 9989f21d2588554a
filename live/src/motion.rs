//! Moves of the stage between two pictures, by phase correlation (Kuglin and Hines 1975).
//!
//! A stage moves, it does not turn. So one vector says all, and the content of both pictures, not single cells,
//! tells it: cells that a model misses or makes up move nothing.

use euclid::Vector2D;
use phastft::{
    fft_f32_dit_with_planner,
    planner::{Direction, PlannerDit32},
};
use wsi_types::Level0Px;

use crate::thumbnail::Thumbnail;

/// Least share of two pictures that has to overlap.
const LEAST_OVERLAP: f64 = 0.2;
/// Peaks that are tried: where few cells are seen the highest may be chance.
const PEAKS: usize = 4;
/// Distance from a peak within which points belong to it, px.
const PEAK_REACH: usize = 4;
/// Standard deviation of the weight over frequencies, cycles per px: finer detail is mostly noise of the camera.
const FINE_SD: f32 = 0.12;
/// The same at the other end: coarser detail is mostly the shape of the taper, which never moves.
const COARSE_SD: f32 = 0.02;

/// A move of a picture's content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shift {
    /// Distance that the content of the later picture lies further, field px.
    pub(crate) by: Vector2D<f64, Level0Px>,
    /// Correlation of both pictures where they overlap, once shifted: 1 for the same content.
    pub(crate) confidence: f64,
}

/// A picture and its spectrum.
#[derive(Debug, Clone)]
pub(crate) struct Glimpse {
    thumbnail: Thumbnail,
    /// Column by column.
    spectrum: Waves,
}

/// Complex numbers, parts apart.
#[derive(Debug, Clone)]
struct Waves {
    re: Vec<f32>,
    im: Vec<f32>,
}

/// Tells moves between pictures of one size.
pub(crate) struct Registrar {
    /// Size of the pictures.
    size: (usize, usize),
    /// Size of the transform: a power of two that holds them.
    width: usize,
    height: usize,
    rows: PlannerDit32,
    columns: PlannerDit32,
    /// Weight of each px of a picture, falling to 0 at the borders, so that these do not look like content.
    taper: Vec<f32>,
    /// Weight of each frequency, column by column.
    weights: Vec<f32>,
}

impl Registrar {
    /// Makes a registrar for thumbnails of this size.
    pub(crate) fn new(size: (usize, usize)) -> Self {
        let [width, height] = [size.0, size.1].map(usize::next_power_of_two);
        let across = taper(size.0);
        let taper = taper(size.1).into_iter().flat_map(|y| across.iter().map(move |x| x * y)).collect();
        let down = frequencies(height);
        let weights =
            frequencies(width).into_iter().flat_map(|x| down.iter().map(move |y| weight(x, *y))).collect();
        let (rows, columns) = (PlannerDit32::new(width), PlannerDit32::new(height));
        Self { size, width, height, rows, columns, taper, weights }
    }

    pub(crate) fn glimpse(&self, thumbnail: Thumbnail) -> Glimpse {
        let grey = thumbnail.grey();
        // Weighted as the px are: what is left of the mean would be the shape of the taper, which never moves.
        let (sum, weight) = grey
            .iter()
            .zip(&self.taper)
            .fold((0.0, 0.0), |(sum, all), (grey, taper)| (sum + grey * taper, all + taper));
        let mean = sum / weight;
        let mut re = vec![0.0; self.width * self.height];
        let across = self.size.0.max(1);
        let lines = grey.chunks_exact(across).zip(self.taper.chunks_exact(across));
        for ((grey, taper), out) in lines.zip(re.chunks_exact_mut(self.width)) {
            let tapered = grey.iter().zip(taper).map(|(grey, taper)| (grey - mean) * taper);
            out.iter_mut().zip(tapered).for_each(|(out, value)| *out = value);
        }
        let mut waves = Waves { im: vec![0.0; re.len()], re };
        waves.transform(Direction::Forward, &self.rows, self.width);
        let mut spectrum = waves.transposed(self.width);
        spectrum.transform(Direction::Forward, &self.columns, self.height);
        Glimpse { thumbnail, spectrum }
    }

    /// Returns the move from `earlier` to `later`; `None` when they have too little in common to say any.
    pub(crate) fn shift(&self, earlier: &Glimpse, later: &Glimpse) -> Option<Shift> {
        let mut surface = self.surface(earlier, later);
        let tried = (0..PEAKS).filter_map(|_| {
            let (x, y) = self.take_peak(&mut surface)?;
            // The transform goes round: a peak at x may be a move by x, or by x less the width.
            let (columns, rows) = ([x, x - self.width as i64], [y, y - self.height as i64]);
            let places = rows.into_iter().flat_map(|y| columns.map(|x| (x, y)));
            let tried = places.map(|place| (agreement(&earlier.thumbnail, &later.thumbnail, place), place));
            tried.max_by(|a, b| a.0.total_cmp(&b.0))
        });
        let (_, start) = tried.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|best| best.0 > 0.0)?;
        Some(finest(&earlier.thumbnail, &later.thumbnail, start))
    }

    /// The highest point of the surface, which is cleared with its surroundings.
    fn take_peak(&self, surface: &mut [f32]) -> Option<(i64, i64)> {
        let (peak, _) = surface.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        let (x, y) = (peak % self.width, peak / self.width);
        for row in y.saturating_sub(PEAK_REACH)..(y + PEAK_REACH + 1).min(self.height) {
            let line = &mut surface[row * self.width..][..self.width];
            line[x.saturating_sub(PEAK_REACH)..(x + PEAK_REACH + 1).min(self.width)].fill(f32::MIN);
        }
        Some((x as i64, y as i64))
    }

    /// The surface whose peak is the move, row by row.
    fn surface(&self, earlier: &Glimpse, later: &Glimpse) -> Vec<f32> {
        let mut cross = earlier.spectrum.phases_to(&later.spectrum, &self.weights);
        cross.transform(Direction::Inverse, &self.columns, self.height);
        let mut rows = cross.transposed(self.height);
        rows.transform(Direction::Inverse, &self.rows, self.width);
        rows.re
    }
}

/// Steps from a peak, to find the move at which both pictures agree best: the taper pulls peaks towards no move.
const MOST_STEPS: usize = 24;

/// The move near `start` at which both pictures agree best, to a fraction of a px.
fn finest(earlier: &Thumbnail, later: &Thumbnail, start: (i64, i64)) -> Shift {
    let mut best = start;
    let mut confidence = agreement(earlier, later, start);
    for _ in 0..MOST_STEPS {
        let around = [(-1, 0), (1, 0), (0, -1), (0, 1)].map(|(x, y)| (best.0 + x, best.1 + y));
        let tried = around.map(|place| (agreement(earlier, later, place), place));
        match tried.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).filter(|next| next.0 > confidence) {
            Some(next) => (confidence, best) = next,
            None => break,
        }
    }
    let [x, y] = [(1, 0), (0, 1)].map(|(x, y)| {
        let before = agreement(earlier, later, (best.0 - x, best.1 - y));
        vertex(before, confidence, agreement(earlier, later, (best.0 + x, best.1 + y)))
    });
    let by = euclid::vec2(best.0 as f64 + x, best.1 as f64 + y) * earlier.step();
    Shift { by, confidence }
}

/// Correlation at a move; none where too little overlaps.
fn agreement(earlier: &Thumbnail, later: &Thumbnail, (dx, dy): (i64, i64)) -> f64 {
    earlier.correlation(later, dx, dy, LEAST_OVERLAP).unwrap_or(0.0)
}

/// Place of the highest point of the parabola through three values, from the middle one, in steps.
fn vertex(before: f64, middle: f64, after: f64) -> f64 {
    let bend = before - 2.0 * middle + after;
    if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

impl Waves {
    /// Transforms each line of `length` numbers.
    fn transform(&mut self, direction: Direction, planner: &PlannerDit32, length: usize) {
        for (re, im) in self.re.chunks_exact_mut(length).zip(self.im.chunks_exact_mut(length)) {
            fft_f32_dit_with_planner(re, im, direction, planner);
        }
    }

    /// Lines of `length` numbers made columns.
    fn transposed(&self, length: usize) -> Self {
        Self { re: transposed(&self.re, length), im: transposed(&self.im, length) }
    }

    /// Turns from these to `later`, with the square roots of their lengths, weighted.
    fn phases_to(&self, later: &Self, weights: &[f32]) -> Self {
        let mut out = Self { re: Vec::with_capacity(weights.len()), im: Vec::with_capacity(weights.len()) };
        let ours = self.re.iter().zip(&self.im);
        let theirs = later.re.iter().zip(&later.im);
        for ((one, other), weight) in ours.zip(theirs).zip(weights) {
            // The product of the conjugate of ours and theirs.
            let re = one.0 * other.0 + one.1 * other.1;
            let im = one.0 * other.1 - one.1 * other.0;
            let length = re.hypot(im);
            // Half of the way to phases alone: frequencies that only noise has would count as much as cells.
            let scale = if length > f32::EPSILON { weight / length.sqrt() } else { 0.0 };
            out.re.push(re * scale);
            out.im.push(im * scale);
        }
        out
    }
}

fn weight(x: f32, y: f32) -> f32 {
    let half_square = -0.5 * (x * x + y * y);
    (half_square / (FINE_SD * FINE_SD)).exp() * (1.0 - (half_square / (COARSE_SD * COARSE_SD)).exp())
}

/// Frequencies of a transform, cycles per px.
fn frequencies(length: usize) -> Vec<f32> {
    let half = length / 2;
    let signed = (0..length).map(|at| if at > half { at as f32 - length as f32 } else { at as f32 });
    signed.map(|cycles| cycles / length as f32).collect()
}

/// Weights along a side that fall to 0 over the outer fifths (a Tukey window): one that falls from the middle on would
/// leave little of what two distant pictures share.
fn taper(length: usize) -> Vec<f32> {
    const EDGE: f32 = 0.2;
    let places = (0..length).map(|at| (at as f32 + 0.5) / length as f32);
    let edges = places.map(|place| (place.min(1.0 - place) / EDGE).min(1.0));
    edges.map(|edge| 0.5 - 0.5 * (std::f32::consts::PI * edge).cos()).collect()
}

/// Rows of `width` values made columns.
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width;
    let mut out = vec![0.0; values.len()];
    for (y, row) in values.chunks_exact(width).enumerate() {
        for (x, &value) in row.iter().enumerate() {
            out[x * height + y] = value;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use wsi_types::RgbBuffer;

    use super::*;
    use crate::dice::Dice;

    /// Round spots at fractional places, smooth, as seen from `left`, `top`; with noise of the camera.
    fn spots(left: f64, top: f64, noise: f64, seed: u64) -> RgbBuffer {
        const REACH: f64 = 20.0;
        let mut dice = Dice::new(5);
        let mut grey = vec![220.0; 320 * 240];
        for _ in 0..400 {
            let (x, y) = (dice.range(-200.0, 520.0) - left, dice.range(-200.0, 440.0) - top);
            for row in (y - REACH).max(0.0) as usize..(y + REACH).clamp(0.0, 240.0) as usize {
                for column in (x - REACH).max(0.0) as usize..(x + REACH).clamp(0.0, 320.0) as usize {
                    let (dx, dy) = (column as f64 - x, row as f64 - y);
                    grey[row * 320 + column] -= 90.0 * (-(dx * dx + dy * dy) / 50.0).exp();
                }
            }
        }
        let mut camera = Dice::new(seed);
        let mut pixels = RgbBuffer::filled(320, 240, [0; 3]);
        for (pixel, grey) in pixels.bytes_mut().as_chunks_mut::<3>().0.iter_mut().zip(grey) {
            *pixel = [0; 3].map(|_: u8| (grey + noise * camera.normal()).clamp(0.0, 255.0) as u8);
        }
        pixels
    }

    fn moved(one: &RgbBuffer, later: &RgbBuffer) -> Option<Shift> {
        let [one, later] = [one, later].map(|field| Thumbnail::new(field, (320, 240)));
        let registrar = Registrar::new(one.size());
        let [one, later] = [one, later].map(|thumbnail| registrar.glimpse(thumbnail));
        registrar.shift(&one, &later)
    }

    #[test]
    fn a_move_is_told_to_a_fraction_of_a_px() {
        let still = spots(0.0, 0.0, 4.0, 1);
        for (x, y) in [(0.0, 0.0), (7.0, -3.0), (0.4, 12.3), (-90.25, 40.5), (60.0, 60.0)] {
            let shift = moved(&still, &spots(x, y, 4.0, 2)).unwrap();
            // The view goes right: content goes left.
            assert!((shift.by + euclid::vec2(x, y)).length() < 0.35, "{x}, {y}: {shift:?}");
            assert!(shift.confidence > 0.9, "{shift:?}");
        }
    }

    #[test]
    fn pictures_without_common_content_have_no_confidence() {
        let one = spots(0.0, 0.0, 4.0, 1);
        let elsewhere = spots(0.0, 0.0, 60.0, 9);
        let other = {
            let mut turned = one.clone();
            let bytes: Vec<u8> = one.bytes().as_chunks::<3>().0.iter().rev().flatten().copied().collect();
            turned.bytes_mut().copy_from_slice(&bytes);
            turned
        };
        assert!(moved(&one, &other).is_none_or(|shift| shift.confidence < 0.4));
        assert!(moved(&one, &elsewhere).unwrap().confidence > 0.4, "noise alone does not lose the place");
        assert!(moved(&one, &RgbBuffer::filled(320, 240, [240; 3])).is_none());
    }
}
