//! How much of each dye a pixel holds: colour deconvolution.

use wsi_types::Rgb;

/// Optical densities of hematoxylin and eosin, 0 for white.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stains {
    /// Nuclei: blue.
    pub hematoxylin: f64,
    /// Cytoplasm and stroma: pink.
    pub eosin: f64,
    /// What the two do not explain.
    pub residual: f64,
}

/// Rows: what hematoxylin, eosin and DAB absorb of red, green and blue (Ruifrok
/// and Johnston 2001), before they are brought to length 1.
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
}

impl Default for ColourDeconvolution {
    fn default() -> Self {
        Self { unmix: inverse(&absorbs()) }
    }
}

impl ColourDeconvolution {
    /// The stains of one pixel. Black counts as 1/255, so that its density is
    /// finite.
    #[must_use]
    pub fn stains(&self, pixel: Rgb) -> Stains {
        let density = |value: u8| -(f64::from(value.max(1)) / 255.0).log10();
        let [red, green, blue] = pixel.map(density);
        let dye = |at: usize| red * self.unmix[0][at] + green * self.unmix[1][at] + blue * self.unmix[2][at];
        Stains { hematoxylin: dye(0), eosin: dye(1), residual: dye(2) }
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

/// By cofactors; the three dyes are not mixtures of each other, so it exists.
fn inverse(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let cofactor = |row: usize, column: usize| {
        let at = |r: usize, c: usize| m[(row + r) % 3][(column + c) % 3];
        at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1)
    };
    let determinant: f64 = (0..3).map(|column| m[0][column] * cofactor(0, column)).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| cofactor(column, row) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_dyes_come_out_pure_and_white_is_nothing() {
        let unmix = ColourDeconvolution::default();
        let painted = |dye: usize, amount: f64| {
            let value =
                |channel: usize| (255.0 * 10.0_f64.powf(-amount * absorbs()[dye][channel])).round() as u8;
            [value(0), value(1), value(2)]
        };
        let near =
            |found: f64, expected: f64| assert!((found - expected).abs() < 0.02, "{found}, {expected}");
        let (blue, pink) = (unmix.stains(painted(0, 0.6)), unmix.stains(painted(1, 0.4)));
        near(blue.hematoxylin, 0.6);
        near(blue.eosin, 0.0);
        near(pink.hematoxylin, 0.0);
        near(pink.eosin, 0.4);
        let white = unmix.stains([255, 255, 255]);
        near(white.hematoxylin.abs() + white.eosin.abs() + white.residual.abs(), 0.0);
        assert!(unmix.mean([]).is_none());
    }
}
