//! Texture of the pixels of one detection: how often grey levels of hematoxylin lie side by side (Haralick 1973), and how
//! far the optical densities spread.
//!
//! Hematoxylin OD becomes 16 levels of 0.1, from 0: what is paler is level 0, what is darker 15. The same for every cell and
//! slide, so that cells can be compared. Two px at a distance of 1 that both lie inside make a pair, in four directions, each
//! counted both ways; a measure is its mean over the directions that have pairs.

use std::sync::LazyLock;

use wsi_types::Detection;

use crate::ranked::Ranked;
use crate::stain::ColourDeconvolution;
use crate::window_pixels::{Span, WindowPixels};

/// Texture of one detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texture {
    /// Pairs of grey levels of hematoxylin; `None` where no two px lie side by side.
    pub pairs: Option<PairMeasures>,
    /// Spread of hematoxylin.
    pub hematoxylin: Spread,
    /// Spread of eosin.
    pub eosin: Spread,
}

/// Measures of the shares *p* of pairs of grey levels *i* and *j*.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairMeasures {
    /// Σ *p* (*i* − *j*)²: 0 for an even grey.
    pub contrast: f32,
    /// Σ *p* / (1 + (*i* − *j*)²): 1 for an even grey.
    pub homogeneity: f32,
    /// −Σ *p* ln *p*, nats: 0 for an even grey.
    pub entropy: f32,
    /// Correlation of *i* and *j*: 1 for an even grey.
    pub correlation: f32,
}

/// Spread of an optical density over the px inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Standard deviation.
    pub sd: f32,
    /// The density that a tenth of the px are below, between px by a straight line.
    pub p10: f32,
    /// The density that a tenth of the px are above.
    pub p90: f32,
}

const LEVELS: usize = 16;
/// Optical density from one level to the next.
const LEVEL_OD: f64 = 0.1;
/// Level of px that are not inside: one more than there are.
const OUTSIDE: u8 = LEVELS as u8;

impl Texture {
    /// Texture of `detection` in a window of `width` px, whose `pixels` lie row by row, red first; over the pixels that
    /// [`ColourDeconvolution::of_detection`] takes the mean of. `None` where there is none.
    #[must_use]
    pub fn of_detection(
        unmix: &ColourDeconvolution,
        detection: &Detection,
        pixels: &[u8],
        width: usize,
    ) -> Option<Self> {
        let window = WindowPixels::new(pixels, width);
        let spans = window.spans_inside(detection);
        let mut picture = Picture::around(&spans)?;
        let count = spans.iter().map(|span| span.columns.len()).sum();
        let (mut hematoxylin, mut eosin) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for span in spans {
            for (level, &pixel) in picture.levels_of(&span).iter_mut().zip(window.of(&span)) {
                let stains = unmix.stains(pixel);
                *level = level_of(stains.hematoxylin);
                hematoxylin.push(stains.hematoxylin);
                eosin.push(stains.second);
            }
        }
        let pairs = picture.pairs();
        Some(Self { pairs, hematoxylin: Spread::of(&hematoxylin)?, eosin: Spread::of(&eosin)? })
    }
}

impl Spread {
    /// Spread of some densities; `None` for none.
    fn of(densities: &[f64]) -> Option<Self> {
        let count = densities.len() as f64;
        let mean = densities.iter().sum::<f64>() / count;
        let variance = densities.iter().map(|od| (od - mean) * (od - mean)).sum::<f64>() / count;
        let ranked = Ranked::new(densities)?;
        let [p10, p90] = [0.1, 0.9].map(|share| ranked.quantile(share) as f32);
        Some(Self { sd: variance.sqrt() as f32, p10, p90 })
    }
}

/// The level of an optical density of hematoxylin.
fn level_of(density: f64) -> u8 {
    (density / LEVEL_OD).clamp(0.0, (LEVELS - 1) as f64) as u8
}

/// Levels of the px inside, in a rectangle around them with a column and a row of px outside after it.
struct Picture {
    top: usize,
    left: usize,
    width: usize,
    levels: Vec<u8>,
}

impl Picture {
    /// A picture in which all is outside; `None` where there are no px to put in.
    fn around(spans: &[Span]) -> Option<Self> {
        let left = spans.iter().map(|span| span.columns.start).min()?;
        let right = spans.iter().map(|span| span.columns.end).max()?;
        // From the top to the bottom.
        let (top, bottom) = (spans.first()?.row, spans.last()?.row);
        let width = right - left + 1;
        Some(Self { top, left, width, levels: vec![OUTSIDE; width * (bottom - top + 2)] })
    }

    /// The levels of the px of a span.
    fn levels_of(&mut self, span: &Span) -> &mut [u8] {
        let row = &mut self.levels[(span.row - self.top) * self.width..][..self.width];
        &mut row[span.columns.start - self.left..span.columns.end - self.left]
    }

    /// Measures of the pairs, as means over directions.
    fn pairs(&self) -> Option<PairMeasures> {
        let mut directions = 0.0;
        let mut sums = [0.0; 4];
        for measures in self.counts().iter().filter_map(PairCounts::measures) {
            directions += 1.0;
            sums.iter_mut().zip(measures).for_each(|(sum, measure)| *sum += measure);
        }
        if directions == 0.0 {
            return None;
        }
        let [contrast, homogeneity, entropy, correlation] = sums.map(|sum| (sum / directions) as f32);
        Some(PairMeasures { contrast, homogeneity, entropy, correlation })
    }

    /// Counts the pairs of px: to the right, down to the right, down, and down to the left.
    fn counts(&self) -> [PairCounts; 4] {
        let mut counts = [(); 4].map(|()| PairCounts::none());
        let (levels, width) = (&self.levels[..], self.width);
        // All directions at a time: a count that has just been raised is not waited for. There is no pair in the last
        // row, which is outside, nor with what would come before the first px.
        for (at, &level) in
            levels[..levels.len() - width].iter().enumerate().filter(|(_, level)| **level < OUTSIDE)
        {
            let others = [levels[at + 1], levels[at + width + 1], levels[at + width], levels[at + width - 1]];
            counts.iter_mut().zip(others).for_each(|(counts, other)| counts.add(level, other));
        }
        counts
    }
}

/// Number of pairs by level, in the order in which they lie; px outside have a level of their own, and make no pairs.
struct PairCounts([[u32; ROW]; LEVELS]);

/// Levels, with that of px outside, and room so that a row begins at a power of two.
const ROW: usize = 32;

impl PairCounts {
    fn none() -> Self {
        Self([[0; ROW]; LEVELS])
    }

    fn add(&mut self, level: u8, other: u8) {
        self.0[usize::from(level)][usize::from(other)] += 1;
    }

    /// Contrast, homogeneity, entropy and correlation; `None` without pairs.
    fn measures(&self) -> Option<[f64; 4]> {
        let mut sums = PairSums::default();
        for low in 0..LEVELS {
            for high in low..LEVELS {
                sums.add([low, high], self.number([low, high]));
            }
        }
        sums.measures()
    }

    /// Number of pairs of two levels, whichever comes first.
    fn number(&self, [low, high]: [usize; 2]) -> u32 {
        if low == high { self.0[low][low] } else { self.0[low][high] + self.0[high][low] }
    }
}

/// Sums over pairs, in whole numbers where they are, so that no order of adding matters.
#[derive(Default)]
struct PairSums {
    pairs: u64,
    /// Pairs by the difference of their levels.
    by_difference: [u64; LEVELS],
    /// Of both levels, of their squares, of their products.
    levels: u64,
    squares: u64,
    products: u64,
    /// Of the number of pairs of two levels, times its logarithm.
    number_logs: f64,
}

impl PairSums {
    /// Adds the pairs of two levels, the lower one first.
    fn add(&mut self, [low, high]: [usize; 2], number: u32) {
        if number == 0 {
            return;
        }
        let [number, at] = [u64::from(number), (high - low) as u64];
        let [low, high] = [low as u64, high as u64];
        self.pairs += number;
        self.by_difference[at as usize] += number;
        self.levels += number * (low + high);
        self.squares += number * (low * low + high * high);
        self.products += number * low * high;
        self.number_logs += number_log(number);
    }

    fn measures(&self) -> Option<[f64; 4]> {
        if self.pairs == 0 {
            return None;
        }
        let pairs = self.pairs as f64;
        let by_difference =
            || self.by_difference.iter().zip(0_u8..).map(|(&number, off)| (number as f64, f64::from(off)));
        let contrast = by_difference().map(|(number, off)| number * off * off).sum::<f64>() / pairs;
        let homogeneity =
            by_difference().map(|(number, off)| number / (1.0 + off * off)).sum::<f64>() / pairs;
        // Pairs of two levels are counted both ways, each half as often.
        let halved = (self.pairs - self.by_difference[0]) as f64;
        let entropy = pairs.ln() + (halved * std::f64::consts::LN_2 - self.number_logs) / pairs;
        // Times four, and times the square of the number of pairs: of both levels, a mean is half of the sum.
        let square_of_mean = self.levels * self.levels;
        let variance = 2 * self.pairs * self.squares - square_of_mean;
        let covariance = (4 * self.pairs * self.products) as f64 - square_of_mean as f64;
        let correlation = if variance == 0 { 1.0 } else { covariance / variance as f64 };
        Some([contrast, homogeneity, entropy.max(0.0), correlation])
    }
}

/// A number of pairs times its logarithm. Most are small, so that the same ones come again and again.
fn number_log(number: u64) -> f64 {
    static KEPT: LazyLock<[f64; 512]> =
        LazyLock::new(|| std::array::from_fn(|number| product_log(number as u64)));
    KEPT.get(number as usize).copied().unwrap_or_else(|| product_log(number))
}

fn product_log(number: u64) -> f64 {
    if number == 0 { 0.0 } else { number as f64 * (number as f64).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::detection;

    /// A window of 8 × 6 px of one grey, but for some px.
    fn window(other: &[(usize, usize)]) -> Vec<u8> {
        let mut pixels = vec![200; 8 * 6 * 3];
        for (x, y) in other {
            pixels[(y * 8 + x) * 3..][..3].copy_from_slice(&[60, 40, 120]);
        }
        pixels
    }

    fn texture(pixels: &[u8], detection: &Detection) -> Option<Texture> {
        Texture::of_detection(&ColourDeconvolution::default(), detection, pixels, 8)
    }

    #[test]
    fn an_even_grey_has_no_contrast_and_no_spread() {
        let found = texture(&window(&[]), &detection(0.0, 0.0, 8.0, 6.0, 0.9)).unwrap();
        let even = PairMeasures { contrast: 0.0, homogeneity: 1.0, entropy: 0.0, correlation: 1.0 };
        assert_eq!(found.pairs, Some(even));
        assert!(found.hematoxylin.sd < 1e-6 && found.hematoxylin.p10 == found.hematoxylin.p90);
    }

    #[test]
    fn a_single_px_has_no_pairs_and_what_lies_outside_no_texture() {
        let one = texture(&window(&[]), &detection(3.1, 2.1, 3.9, 2.9, 0.9)).unwrap();
        assert_eq!(one.pairs, None);
        assert_eq!(texture(&window(&[]), &detection(20.0, 2.0, 30.0, 3.0, 0.9)), None);
    }

    #[test]
    fn px_beside_the_detection_count_for_nothing() {
        // The ellipse in a box of 4 × 4 px leaves out its corners.
        let inside = detection(2.0, 1.0, 6.0, 5.0, 0.9);
        let even = texture(&window(&[]), &inside);
        assert_eq!(texture(&window(&[(2, 1), (6, 3), (1, 2), (5, 4), (3, 0), (3, 5)]), &inside), even);
        assert_ne!(texture(&window(&[(3, 2)]), &inside), even);
    }

    #[test]
    fn a_chess_board_has_the_measures_worked_out_by_hand() {
        let rows = [3, 4].map(|row| Span { row, columns: 5..7 });
        let mut board = Picture::around(&rows).unwrap();
        for (span, densities) in rows.iter().zip([[0.05, 0.25], [0.25, 0.05]]) {
            board.levels_of(span).copy_from_slice(&densities.map(level_of));
        }
        // Levels 0 and 2. Across and down all pairs are of both, so that p is 1/2 each way; the two slanting
        // directions have one pair of equal levels each.
        let found = board.pairs().unwrap();
        assert_eq!((found.contrast, found.correlation), (2.0, 0.0));
        assert!((found.homogeneity - 0.6).abs() < 1e-6);
        assert!((found.entropy - 2.0_f32.ln() / 2.0).abs() < 1e-6);
    }
}
