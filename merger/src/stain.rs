//! Amount of each dye in a pixel: colour deconvolution.

use wsi_types::{Detection, Rgb};

use crate::mask::first_pixel_from;

/// Optical densities of hematoxylin and eosin, 0 for white.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stains {
    /// Nuclei: blue.
    pub hematoxylin: f64,
    /// Cytoplasm and stroma: pink.
    pub eosin: f64,
    /// The rest, which the two do not explain.
    pub residual: f64,
}

/// Mean optical densities over one detection, 0 for white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StainOd {
    /// Nuclei: blue.
    pub hematoxylin: f32,
    /// Cytoplasm and stroma: pink.
    pub eosin: f32,
}

/// Rows: absorption of red, green and blue by hematoxylin, eosin and DAB (Ruifrok and Johnston 2001), before
/// scaling to length 1.
const ABSORBS: [[f64; 3]; 3] = [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]];

fn absorbs() -> [[f64; 3]; 3] {
    ABSORBS.map(|row| {
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        row.map(|value| value / length)
    })
}

/// Colour deconvolution with fixed dye colours.
#[derive(Debug, Clone, Copy)]
pub struct ColourDeconvolution {
    unmix: [[f64; 3]; 3],
    /// Optical density by value of a channel.
    density: [f64; 256],
}

impl Default for ColourDeconvolution {
    fn default() -> Self {
        let density = std::array::from_fn(|value| -(value.max(1) as f64 / 255.0).log10());
        Self { unmix: inverse(&absorbs()), density }
    }
}

impl ColourDeconvolution {
    /// The stains of one pixel. Black counts as 1/255, so that its density is
    /// finite.
    #[must_use]
    pub fn stains(&self, pixel: Rgb) -> Stains {
        let [red, green, blue] = pixel.map(|value| self.density[usize::from(value)]);
        let [hematoxylin, eosin, residual] = [0, 1, 2]
            .map(|at| red * self.unmix[0][at] + green * self.unmix[1][at] + blue * self.unmix[2][at]);
        Stains { hematoxylin, eosin, residual }
    }

    /// The mean over `pixels`; `None` when there are none.
    #[must_use]
    pub fn mean(&self, pixels: impl IntoIterator<Item = Rgb>) -> Option<Stains> {
        let (mut sum, mut count) = (Stains::default(), 0.0);
        for stains in pixels.into_iter().map(|pixel| self.stains(pixel)) {
            sum.hematoxylin += stains.hematoxylin;
            sum.eosin += stains.eosin;
            sum.residual += stains.residual;
            count += 1.0;
        }
        (count > 0.0).then(|| Stains {
            hematoxylin: sum.hematoxylin / count,
            eosin: sum.eosin / count,
            residual: sum.residual / count,
        })
    }
}

impl ColourDeconvolution {
    /// The mean over the pixels of `detection` in a window of `width` px, whose `pixels` lie row by row, red
    /// first: pixels with their centre in the outline, or in the ellipse inscribed in the box. `None` when
    /// there is none.
    #[must_use]
    pub fn of_detection(&self, detection: &Detection, pixels: &[u8], width: usize) -> Option<StainOd> {
        let (rows, _) = pixels.as_chunks::<3>();
        let height = rows.len() / width.max(1);
        let bbox = detection.bbox.cast::<f64>();
        let [top, bottom] = [(bbox.min.y - 0.5).ceil(), (bbox.max.y + 0.5).floor()]
            .map(|y| (y.max(0.0) as usize).min(height));
        let mut inside: Vec<Rgb> = Vec::new();
        let mut crossings = Vec::new();
        for row in top..bottom {
            crossings_at(detection, row as f64 + 0.5, &mut crossings);
            for ends in crossings.chunks_exact(2) {
                let (from, to) = (first_pixel_from(ends[0], width), first_pixel_from(ends[1], width));
                inside.extend(&rows[row * width..][from..to]);
            }
        }
        let mean = self.mean(inside)?;
        Some(StainOd { hematoxylin: mean.hematoxylin as f32, eosin: mean.eosin as f32 })
    }
}

/// Crossings of the outline of `detection`, or of the ellipse in its box, with the line at `y`, ascending;
/// window px.
fn crossings_at(detection: &Detection, y: f64, crossings: &mut Vec<f64>) {
    crossings.clear();
    if let Some(ring) = detection.outline.as_deref() {
        let sides = ring.iter().zip(ring.iter().cycle().skip(1));
        let sides = sides.map(|(p, q)| (p.cast::<f64>(), q.cast::<f64>()));
        crossings.extend(
            sides
                .filter(|(p, q)| (p.y <= y) != (q.y <= y))
                .map(|(p, q)| p.x + (y - p.y) / (q.y - p.y) * (q.x - p.x)),
        );
        crossings.sort_unstable_by(f64::total_cmp);
        return;
    }
    let bbox = detection.bbox.cast::<f64>();
    let (centre, radius) = (bbox.center(), bbox.size() / 2.0);
    let off = (y - centre.y) / radius.height;
    if off.abs() < 1.0 {
        let half = radius.width * (1.0 - off * off).sqrt();
        crossings.extend([centre.x - half, centre.x + half]);
    }
}

/// The inverse, by cofactors; the three dyes are not mixtures of each other, so it exists.
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
            assert!((found.eosin - eosin).abs() < 0.02, "{}", found.eosin);
        }
        let white = unmix.stains([255, 255, 255]);
        assert!(white.hematoxylin.abs() + white.eosin.abs() + white.residual.abs() < 0.02);
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
        let found = unmix.of_detection(&disc, &pixels, 40).map(|od| od.hematoxylin);
        assert!(found.is_some_and(|found| (found - pure).abs() < 0.02 * pure), "{found:?}, {pure}");
        let square = [(10.0, 6.0), (30.0, 6.0), (30.0, 26.0), (10.0, 26.0)];
        disc.outline = Some(square.map(|(x, y)| WindowPoint::new(x, y)).into());
        let found = unmix.of_detection(&disc, &pixels, 40).map_or(0.0, |od| od.hematoxylin);
        let share = std::f32::consts::FRAC_PI_4;
        assert!((found - share * pure).abs() < 0.02 * pure, "{found}");
        let outside = crate::testing::detection(60.0, 6.0, 70.0, 26.0, 0.9);
        assert_eq!(unmix.of_detection(&outside, &pixels, 40), None);
    }
}
