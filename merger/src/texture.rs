//! Texture of the pixels of one detection: how often grey levels of hematoxylin lie side by side (Haralick 1973), and how
//! far the optical densities spread.
//!
//! Hematoxylin OD becomes 16 levels of 0.1, from 0: what is paler is level 0, what is darker 15. The same for every cell and
//! slide, so that cells can be compared. Two px at a distance of 1 that both lie inside make a pair, in four directions, each
//! counted both ways; a measure is its mean over the directions that have pairs.

use wsi_types::Detection;

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
        Some(Self { pairs, hematoxylin: Spread::of(&mut hematoxylin)?, eosin: Spread::of(&mut eosin)? })
    }
}

impl Spread {
    /// Spread of some densities, which are left in another order; `None` for none.
    fn of(densities: &mut [f64]) -> Option<Self> {
        let count = densities.len() as f64;
        let mean = densities.iter().sum::<f64>() / count;
        let variance = densities.iter().map(|od| (od - mean) * (od - mean)).sum::<f64>() / count;
        let [p10, p90] = [0.1, 0.9].map(|share| quantile(densities, share));
        Some(Self { sd: variance.sqrt() as f32, p10: p10? as f32, p90: p90? as f32 })
    }
}

/// The value that a share of `values` lie below, between two by a straight line; leaves them in another order.
fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    let place = share * values.len().checked_sub(1)? as f64;
    let (_, &mut below, rest) = values.select_nth_unstable_by(place as usize, f64::total_cmp);
    let above = rest.iter().copied().min_by(f64::total_cmp).unwrap_or(below);
    Some(below + (above - below) * place.fract())
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
        // To the right, down to the right, down, and down to the left.
        let steps = [1, self.width + 1, self.width, self.width - 1];
        let measured: Vec<[f64; 4]> = steps.iter().filter_map(|&step| self.counts(step).measures()).collect();
        if measured.is_empty() {
            return None;
        }
        let [contrast, homogeneity, entropy, correlation] = [0, 1, 2, 3]
            .map(|at| (measured.iter().map(|all| all[at]).sum::<f64>() / measured.len() as f64) as f32);
        Some(PairMeasures { contrast, homogeneity, entropy, correlation })
    }

    /// Counts the pairs of px that are so far apart in the list of levels.
    fn counts(&self, step: usize) -> PairCounts {
        let mut counts = [[0; LEVELS + 1]; LEVELS + 1];
        for (&a, &b) in self.levels.iter().zip(self.levels.get(step..).unwrap_or_default()) {
            counts[usize::from(a)][usize::from(b)] += 1;
        }
        PairCounts(counts)
    }
}

/// Number of pairs by level, in the order in which they lie; px outside have a level of their own, and make no pairs.
struct PairCounts([[u32; LEVELS + 1]; LEVELS + 1]);

impl PairCounts {
    /// Contrast, homogeneity, entropy and correlation; `None` without pairs.
    fn measures(&self) -> Option<[f64; 4]> {
        let total: u32 = self.occurring().map(|pair| pair.count).sum();
        if total == 0 {
            return None;
        }
        let mut logs = ShareLogs::new(total);
        let (mut contrast, mut homogeneity, mut entropy) = (0.0, 0.0, 0.0);
        let (mut sum, mut squares, mut products) = (0.0, 0.0, 0.0);
        let mut is_even = true;
        for Pair { levels: [low, high], count } in self.occurring() {
            is_even &= low == high && count == total;
            let [low, high] = [low, high].map(f64::from);
            let share = f64::from(count) / f64::from(total);
            let square = (high - low) * (high - low);
            contrast += share * square;
            homogeneity += share / (1.0 + square);
            // Pairs of two levels are counted both ways, each half as often.
            entropy -= share * logs.of(count, low < high);
            sum += share * (low + high) / 2.0;
            squares += share * (low * low + high * high) / 2.0;
            products += share * low * high;
        }
        let variance = squares - sum * sum;
        let correlation = if is_even { 1.0 } else { (products - sum * sum) / variance };
        Some([contrast, homogeneity, entropy.max(0.0), correlation])
    }

    /// The pairs of levels that occur, in their order.
    fn occurring(&self) -> impl Iterator<Item = Pair> {
        let each = (0..OUTSIDE).flat_map(|low| (low..OUTSIDE).map(move |high| [low, high]));
        each.filter_map(|levels| {
            let count = self.number(levels);
            (count > 0).then_some(Pair { levels, count })
        })
    }

    /// Number of pairs of two levels, whichever comes first.
    fn number(&self, [low, high]: [u8; 2]) -> u32 {
        let (low, high) = (usize::from(low), usize::from(high));
        if low == high { self.0[low][low] } else { self.0[low][high] + self.0[high][low] }
    }
}

/// Pairs of two levels.
struct Pair {
    /// The lower one first.
    levels: [u8; 2],
    count: u32,
}

/// Logarithms of shares of all pairs. Most levels occur in few pairs, so that the same numbers come again and again.
struct ShareLogs {
    total: f64,
    /// By count: of the share, and of half of it; NaN where it is not known yet.
    known: [[f64; 2]; Self::KEPT],
}

impl ShareLogs {
    const KEPT: usize = 64;

    fn new(total: u32) -> Self {
        Self { total: f64::from(total), known: [[f64::NAN; 2]; Self::KEPT] }
    }

    /// Of the share of so many pairs, or of half of it.
    fn of(&mut self, count: u32, is_halved: bool) -> f64 {
        let kept = self.known.get_mut(count as usize).map(|both| &mut both[usize::from(is_halved)]);
        if let Some(known) = kept.as_deref().filter(|known| !known.is_nan()) {
            return *known;
        }
        let share = f64::from(count) / self.total;
        let log = if is_halved { share / 2.0 } else { share }.ln();
        if let Some(known) = kept {
            *known = log;
        }
        log
    }
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

    #[test]
    fn quantiles_lie_between_px() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.1), Some(1.2));
        assert_eq!(quantile(&mut [4.0], 0.9), Some(4.0));
        assert_eq!(quantile(&mut [], 0.9), None);
    }
}
