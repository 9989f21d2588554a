//! Amount of each dye in a pixel: colour deconvolution.

use wsi_types::{Absorption, Detection, Rgb, StainVectors};

use crate::window_pixels::WindowPixels;

/// Optical densities of two dyes, 0 for white.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stains {
    /// Nuclei: blue.
    pub hematoxylin: f64,
    /// Eosin (cytoplasm and stroma: pink) or DAB (what an antibody found: brown).
    pub second: f64,
    /// The rest, which the two do not explain.
    pub residual: f64,
}

/// Mean optical densities of one detection, 0 for white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StainOd {
    /// Of a slide with hematoxylin and eosin.
    He {
        /// Inside; nuclei: blue.
        hematoxylin: f32,
        /// Inside; cytoplasm and stroma: pink.
        eosin: f32,
    },
    /// Of a slide for immunohistochemistry.
    HDab {
        /// Inside; nuclei: blue.
        hematoxylin: f32,
        /// Inside; what an antibody found: brown.
        dab: f32,
        /// DAB in the ring around it; `None` where the ring has no pixel.
        ring: Option<f32>,
    },
}

impl StainOd {
    /// Hematoxylin inside.
    #[must_use]
    pub fn hematoxylin(self) -> f32 {
        match self {
            Self::He { hematoxylin, .. } | Self::HDab { hematoxylin, .. } => hematoxylin,
        }
    }

    /// Eosin inside, where the slide has it.
    #[must_use]
    pub fn eosin(self) -> Option<f32> {
        match self {
            Self::He { eosin, .. } => Some(eosin),
            Self::HDab { .. } => None,
        }
    }

    /// DAB inside, where the slide has it.
    #[must_use]
    pub fn dab(self) -> Option<f32> {
        match self {
            Self::He { .. } => None,
            Self::HDab { dab, .. } => Some(dab),
        }
    }

    /// DAB in the ring around it, where the slide has it.
    #[must_use]
    pub fn dab_ring(self) -> Option<f32> {
        match self {
            Self::He { .. } => None,
            Self::HDab { ring, .. } => ring,
        }
    }
}

/// Rows: absorption of red, green and blue by hematoxylin, eosin and DAB (Ruifrok and Johnston 2001), before
/// scaling to length 1.
const ABSORBS: [Absorption; 3] = [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]];

fn absorbs() -> [Absorption; 3] {
    ABSORBS.map(|row| {
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        row.map(|value| value / length)
    })
}

/// Colour deconvolution with fixed dye colours; that of hematoxylin and eosin by default.
#[derive(Debug, Clone, Copy)]
pub struct ColourDeconvolution {
    unmix: [[f64; 3]; 3],
    /// Optical density by value of a channel.
    density: [f64; 256],
    /// Width of the ring around a detection in which DAB is measured, window px.
    ring_px: Option<f64>,
}

impl Default for ColourDeconvolution {
    fn default() -> Self {
        Self::from_rows(&absorbs(), None)
    }
}

impl ColourDeconvolution {
    /// Of hematoxylin and DAB, which is also measured in a ring of `ring_px` window px around each detection. The third
    /// vector, of what both do not explain, is perpendicular to them.
    #[must_use]
    pub fn hematoxylin_dab(vectors: &StainVectors, ring_px: f64) -> Self {
        let [hematoxylin, dab] = vectors.units();
        let rest = [0, 1, 2].map(|at| {
            let (next, last) = ((at + 1) % 3, (at + 2) % 3);
            hematoxylin[next] * dab[last] - hematoxylin[last] * dab[next]
        });
        let length = rest.iter().map(|value| value * value).sum::<f64>().sqrt();
        Self::from_rows(&[hematoxylin, dab, rest.map(|value| value / length)], Some(ring_px))
    }

    fn from_rows(rows: &[Absorption; 3], ring_px: Option<f64>) -> Self {
        let density = std::array::from_fn(|value| -(value.max(1) as f64 / 255.0).log10());
        Self { unmix: inverse(rows), density, ring_px }
    }

    /// The stains of one pixel. Black counts as 1/255, so that its density is
    /// finite.
    #[must_use]
    pub fn stains(&self, pixel: Rgb) -> Stains {
        let [red, green, blue] = pixel.map(|value| self.density[usize::from(value)]);
        let [hematoxylin, second, residual] = [0, 1, 2]
            .map(|at| red * self.unmix[0][at] + green * self.unmix[1][at] + blue * self.unmix[2][at]);
        Stains { hematoxylin, second, residual }
    }

    /// The mean over `pixels`; `None` when there are none.
    #[must_use]
    pub fn mean(&self, pixels: impl IntoIterator<Item = Rgb>) -> Option<Stains> {
        let (mut sum, mut count) = (Stains::default(), 0.0);
        pixels.into_iter().map(|pixel| self.stains(pixel)).for_each(|stains| {
            sum.hematoxylin += stains.hematoxylin;
            sum.second += stains.second;
            sum.residual += stains.residual;
            count += 1.0;
        });
        (count > 0.0).then(|| Stains {
            hematoxylin: sum.hematoxylin / count,
            second: sum.second / count,
            residual: sum.residual / count,
        })
    }
}

impl ColourDeconvolution {
    /// The mean over the pixels of `detection` in a window of `width` px, whose `pixels` lie row by row, red
    /// first: pixels with their centre in the outline, or in the ellipse inscribed in the box. `None` when
    /// there is none.
    ///
    /// The ring holds the pixels outside of it with their centre at most so far from the outline, or in the ellipse
    /// whose radii are longer by so much, as far as the window shows them.
    #[must_use]
    pub fn of_detection(&self, detection: &Detection, pixels: &[u8], width: usize) -> Option<StainOd> {
        let window = WindowPixels::new(pixels, width);
        let mean = self.mean(window.inside(detection))?;
        let (hematoxylin, second) = (mean.hematoxylin as f32, mean.second as f32);
        Some(match self.ring_px {
            None => StainOd::He { hematoxylin, eosin: second },
            Some(reach) => StainOd::HDab {
                hematoxylin,
                dab: second,
                ring: self.mean(window.around(detection, reach)).map(|ring| ring.second as f32),
            },
        })
    }
}

/// The inverse, by cofactors; no row is a mixture of the others, so it exists.
fn inverse(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let determinant: f64 = (0..3).map(|column| m[0][column] * cofactor(m, 0, column)).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| cofactor(m, column, row) / determinant))
}

fn cofactor(m: &[[f64; 3]; 3], row: usize, column: usize) -> f64 {
    let [[a, b], [c, d]] = [1, 2].map(|r| [1, 2].map(|c| m[(row + r) % 3][(column + c) % 3]));
    a * d - b * c
}

#[cfg(test)]
mod tests {
    use wsi_types::WindowPoint;

    use super::*;

    #[test]
    fn pure_dyes_come_out_pure_and_white_is_nothing() {
        let unmix = ColourDeconvolution::default();
        for [hematoxylin, eosin] in [[0.6, 0.0], [0.0, 0.4]] {
            let found = unmix.stains([0, 1, 2].map(|channel| {
                let absorbed = hematoxylin * absorbs()[0][channel] + eosin * absorbs()[1][channel];
                (255.0 * 10.0_f64.powf(-absorbed)).round() as u8
            }));
            assert!((found.hematoxylin - hematoxylin).abs() < 0.02, "{}", found.hematoxylin);
            assert!((found.second - eosin).abs() < 0.02, "{}", found.second);
        }
        let white = unmix.stains([255, 255, 255]);
        assert!(white.hematoxylin.abs() + white.second.abs() + white.residual.abs() < 0.02);
        assert!(unmix.mean([]).is_none());
    }

    #[test]
    fn a_detection_is_measured_inside_its_outline_or_ellipse_alone() {
        let unmix = ColourDeconvolution::default();
        // A blue disc of 10 px around (20, 16) on white, in a window of 40 × 32 px.
        let blue = [100, 80, 160];
        let pixels: Vec<u8> = (0..32 * 40)
            .flat_map(|at| {
                let (dx, dy) = (f64::from(at % 40) + 0.5 - 20.0, f64::from(at / 40) + 0.5 - 16.0);
                if dx * dx + dy * dy < 100.0 { blue } else { [255; 3] }
            })
            .collect();
        let pure = unmix.stains(blue).hematoxylin as f32;
        let mut disc = crate::testing::detection(10.0, 6.0, 30.0, 26.0, 0.9);
        let found = unmix.of_detection(&disc, &pixels, 40).map(StainOd::hematoxylin);
        assert!(found.is_some_and(|found| (found - pure).abs() < 0.02 * pure), "{found:?}, {pure}");
        let square = [(10.0, 6.0), (30.0, 6.0), (30.0, 26.0), (10.0, 26.0)];
        disc.outline = Some(square.map(|(x, y)| WindowPoint::new(x, y)).into());
        let found = unmix.of_detection(&disc, &pixels, 40).map_or(0.0, StainOd::hematoxylin);
        let share = std::f32::consts::FRAC_PI_4;
        assert!((found - share * pure).abs() < 0.02 * pure, "{found}");
        let outside = crate::testing::detection(60.0, 6.0, 70.0, 26.0, 0.9);
        assert_eq!(unmix.of_detection(&outside, &pixels, 40), None);
    }

    /// A disc of radius 10 around (32, 24) in a window of 64 × 48 px, with a ring of 4 px; the rest is white.
    fn stained_disc(inner: Rgb, ring: Rgb) -> Vec<u8> {
        let colour = |at: i32| {
            let (dx, dy) = (f64::from(at % 64) + 0.5 - 32.0, f64::from(at / 64) + 0.5 - 24.0);
            match dx.hypot(dy) {
                away if away < 10.0 => inner,
                away if away < 14.0 => ring,
                _ => [255; 3],
            }
        };
        (0..64 * 48).flat_map(colour).collect()
    }

    /// Colour of some amounts of hematoxylin and DAB.
    fn mixed(vectors: &StainVectors, hematoxylin: f64, dab: f64) -> Rgb {
        let [first, second] = vectors.units();
        [0, 1, 2].map(|channel| {
            let density = hematoxylin * first[channel] + dab * second[channel];
            (255.0 * 10.0_f64.powf(-density)).round() as u8
        })
    }

    #[test]
    fn dab_is_told_from_hematoxylin_with_any_vectors() {
        for text in ["0.65,0.70,0.29/0.27,0.57,0.78", "0.55,0.76,0.35/0.30,0.49,0.82"] {
            let vectors: StainVectors = text.parse().unwrap();
            let unmix = ColourDeconvolution::hematoxylin_dab(&vectors, 4.0);
            for (hematoxylin, dab) in [(0.0, 0.0), (0.4, 0.0), (0.0, 0.6), (0.3, 0.2), (0.2, 0.9)] {
                let found = unmix.stains(mixed(&vectors, hematoxylin, dab));
                assert!((found.hematoxylin - hematoxylin).abs() < 0.015, "{hematoxylin}, {dab}: {found:?}");
                assert!((found.second - dab).abs() < 0.015 && found.residual.abs() < 0.015, "{found:?}");
            }
        }
    }

    #[test]
    fn the_ring_is_what_lies_around_and_not_inside() {
        let vectors = StainVectors::RUIFROK;
        let pixels = stained_disc(mixed(&vectors, 0.5, 0.1), mixed(&vectors, 0.1, 0.7));
        let unmix = ColourDeconvolution::hematoxylin_dab(&vectors, 4.0);
        let mut disc = crate::testing::detection(22.0, 14.0, 42.0, 34.0, 0.9);
        let circle = (0..64).map(|step| std::f64::consts::TAU * f64::from(step) / 64.0);
        let ring: Vec<_> = circle
            .map(|angle| {
                WindowPoint::new((32.0 + 10.0 * angle.cos()) as f32, (24.0 + 10.0 * angle.sin()) as f32)
            })
            .collect();
        for outline in [None, Some(ring.into_boxed_slice())] {
            disc.outline = outline;
            let found = unmix.of_detection(&disc, &pixels, 64).unwrap();
            assert!((found.hematoxylin() - 0.5).abs() < 0.02, "{found:?}");
            assert!((found.dab().unwrap() - 0.1).abs() < 0.02 && found.eosin().is_none(), "{found:?}");
            assert!((found.dab_ring().unwrap() - 0.7).abs() < 0.03, "{found:?}");
        }
        let none = ColourDeconvolution::default().of_detection(&disc, &pixels, 64).unwrap();
        assert_eq!((none.dab(), none.dab_ring()), (None, None));
    }

    #[test]
    fn a_ring_beyond_the_window_is_what_the_window_shows() {
        let vectors = StainVectors::RUIFROK;
        let brown = mixed(&vectors, 0.1, 0.5);
        let pixels: Vec<u8> = brown.repeat(20 * 20);
        let unmix = ColourDeconvolution::hematoxylin_dab(&vectors, 5.0);
        let corner = crate::testing::detection(-3.0, -3.0, 6.0, 6.0, 0.9);
        let found = unmix.of_detection(&corner, &pixels, 20).unwrap();
        assert!((found.dab_ring().unwrap() - 0.5).abs() < 0.02, "{found:?}");
        let whole = crate::testing::detection(-20.0, -20.0, 40.0, 40.0, 0.9);
        assert_eq!(unmix.of_detection(&whole, &pixels, 20).unwrap().dab_ring(), None, "the ring is outside");
    }
}
