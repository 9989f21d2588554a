//! The stains of a pixel.
//!
//! A stained section absorbs light by the law of Beer and Lambert, so optical densities of stains add up and
//! a 3 × 3 matrix separates them: colour deconvolution, Ruifrok and Johnston 2001, Anal. Quant. Cytol.
//! Histol. 23:291, with their vectors of hematoxylin, eosin and DAB.

use wsi_types::{Rgb, RgbBuffer};

use crate::scale_space::Plane;

/// Weights of the optical densities of red, green and blue in the amount of
/// hematoxylin: the first column of the inverse of the matrix whose rows are the
/// unit vectors (0.65, 0.70, 0.29), (0.07, 0.99, 0.11) and (0.27, 0.57, 0.78).
const HEMATOXYLIN: [f32; 3] = [1.874_787, -0.065_796, -0.600_883];
/// Largest amount; more is folds, ink or pigment, and counts no more than this.
const MOST: f32 = 1.2;

/// Optical densities of a channel against a white of 255, by value; black counts as 1.
pub(crate) struct Densities([f32; 256]);

impl Densities {
    pub(crate) fn new() -> Self {
        let mut table = [0.0; 256];
        for (value, density) in table.iter_mut().enumerate() {
            *density = (255.0 / value.max(1) as f32).log10();
        }
        Self(table)
    }

    /// Returns the amount of hematoxylin, 0 to 1.2.
    pub(crate) fn hematoxylin(&self, pixel: Rgb) -> f32 {
        let amount: f32 = (0..3).map(|c| self.0[usize::from(pixel[c])] * HEMATOXYLIN[c]).sum();
        amount.clamp(0.0, MOST)
    }

    /// Returns the hematoxylin of a whole picture.
    pub(crate) fn hematoxylin_plane(&self, picture: &RgbBuffer) -> Plane {
        let pixels = picture.bytes().as_chunks::<3>().0;
        Plane::new(picture.width(), pixels.iter().map(|&pixel| self.hematoxylin(pixel)).collect())
    }
}

/// `true` for dark brown, as DAB is: much redder than blue, no less green than blue, and dark. Eosin, blood
/// and saffron are brighter, or have less green than red and blue.
pub(crate) fn is_brown(pixel: Rgb) -> bool {
    let [r, g, b] = pixel.map(i32::from);
    r >= b + 30 && r > g && g >= b && r < 160
}

/// `true` for pink to violet, as eosin is, alone or with hematoxylin: less green than red and blue by far. Hematoxylin
/// alone leaves about as much green as red.
pub(crate) fn is_pink(pixel: Rgb) -> bool {
    let [r, g, b] = pixel.map(i32::from);
    r.min(b) >= g + 15
}

/// `true` for a pixel that is coloured or darker than glass, and so may be tissue; for shares of a picture.
pub(crate) fn is_stained(pixel: Rgb) -> bool {
    let (low, high) = extremes(pixel);
    high >= 40 && (high - low > 18 || high < 200)
}

/// `true` for a pixel with more colour than the lamp or the camera gives to grey.
pub(crate) fn is_coloured(pixel: Rgb) -> bool {
    let (low, high) = extremes(pixel);
    high - low > 12
}

fn extremes([r, g, b]: Rgb) -> (u8, u8) {
    (r.min(g).min(b), r.max(g).max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the colour that some amounts of hematoxylin and eosin give.
    fn stained(hematoxylin: f32, eosin: f32) -> Rgb {
        [(0.65, 0.07), (0.70, 0.99), (0.29, 0.11)].map(|(h, e)| {
            // The vectors' lengths are 0.998 and 0.999.
            let density = hematoxylin * h / 0.998 + eosin * e / 0.999;
            (255.0 * 10f32.powf(-density)).round() as u8
        })
    }

    #[test]
    fn stains_are_taken_apart() {
        let densities = Densities::new();
        for (hematoxylin, eosin) in [(0.0, 0.0), (0.4, 0.0), (0.0, 0.5), (0.3, 0.3), (0.8, 0.1)] {
            let found = densities.hematoxylin(stained(hematoxylin, eosin));
            assert!((found - hematoxylin).abs() < 0.02, "{hematoxylin} with {eosin} of eosin: {found}");
        }
        assert_eq!(densities.hematoxylin([0; 3]), MOST);
    }

    #[test]
    fn brown_is_no_pink_no_blood_and_no_saffron() {
        assert!([[91, 58, 28], [120, 80, 50], [60, 40, 25]].into_iter().all(is_brown));
        let others = [[210, 120, 160], [150, 30, 60], [225, 190, 160], [120, 90, 160], [30; 3]];
        assert!(!others.into_iter().any(is_brown));
        assert!([[210, 120, 160], [225, 170, 200], [110, 70, 150]].into_iter().all(is_pink));
        let others = [[91, 58, 28], [225, 190, 160], [105, 100, 160], [180, 180, 205], [30; 3]];
        assert!(!others.into_iter().any(is_pink));
    }
}
