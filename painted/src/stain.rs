//! Colour from amounts of stain: light absorbed twice as often is squared (Beer and Lambert), per colour
//! channel.
//!
//! Stain colours follow Ruifrok and Johnston 2001, "Quantification of
//! histochemical staining by color deconvolution", warmed a little after real
//! slides.

use wsi_types::Rgb;

use crate::settings::PaintedStain;

/// Amount of each dye on one spot; 1 is a strongly stained nucleus.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Stain {
    /// Haematoxylin: nuclei, blue-violet.
    pub(crate) haematoxylin: f32,
    /// Eosin: cytoplasm and collagen, pink.
    pub(crate) eosin: f32,
    /// Haemoglobin under eosin: red cells, orange-red.
    pub(crate) red_cells: f32,
    /// Felt-tip ink on the glass.
    pub(crate) ink: f32,
    /// DAB, as its optical density.
    pub(crate) dab: f32,
}

impl Stain {
    /// A stain of tissue dyes only.
    pub(crate) const fn he(haematoxylin: f32, eosin: f32) -> Self {
        Self { haematoxylin, eosin, red_cells: 0.0, ink: 0.0, dab: 0.0 }
    }

    /// The stain at a share of the way from this one to `other`.
    #[inline]
    pub(crate) fn blend(self, other: Self, share: f32) -> Self {
        Self {
            haematoxylin: mix(self.haematoxylin, other.haematoxylin, share),
            eosin: mix(self.eosin, other.eosin, share),
            red_cells: mix(self.red_cells, other.red_cells, share),
            ink: mix(self.ink, other.ink, share),
            dab: mix(self.dab, other.dab, share),
        }
    }

    /// All tissue dyes times `factor`; the ink lies above the tissue and stays.
    #[inline]
    pub(crate) fn thinned(self, factor: f32) -> Self {
        Self {
            haematoxylin: self.haematoxylin * factor,
            eosin: self.eosin * factor,
            red_cells: self.red_cells * factor,
            ink: self.ink,
            dab: self.dab * factor,
        }
    }
}

/// Light through clean glass.
pub(crate) const GLASS: Rgb = [242, 242, 243];

const INK: [f32; 3] = [1.70, 0.62, 0.95];
/// For an optical density of 1: the published vector at length 1, times the natural logarithm of 10.
const DAB: [f32; 3] = [0.619_78, 1.308_42, 1.790_48];

/// Natural optical densities of the dyes of a slide.
struct Dyes {
    haematoxylin: [f32; 3],
    eosin: [f32; 3],
    red_cells: [f32; 3],
}

impl Dyes {
    fn of(stain: PaintedStain) -> Self {
        match stain {
            PaintedStain::He => Self {
                haematoxylin: [0.66, 0.72, 0.35],
                eosin: [0.09, 0.70, 0.44],
                red_cells: [0.14, 0.72, 0.66],
            },
            // What eosin would stain has a breath of the counterstain; red cells are bleached. The published vector,
            // so that what is measured with it can be held against what was painted.
            PaintedStain::HDab => Self {
                haematoxylin: [0.65, 0.70, 0.29],
                eosin: [0.078, 0.084, 0.0348],
                red_cells: [0.13, 0.14, 0.058],
            },
        }
    }
}

const STEPS_PER_UNIT: f32 = 256.0;
const TABLE_SIZE: usize = 1280;

/// Table of the light that passes; made once per slide.
pub(crate) struct Light {
    /// `exp(-i / 256)`.
    transmitted: [f32; TABLE_SIZE],
    dyes: Dyes,
}

impl Light {
    pub(crate) fn new(stain: PaintedStain) -> Self {
        // exp(-1 / 256), from which powers are made by multiplying: no library's exp is used.
        const STEP: f64 = 0.996_101_369_470_117_5;
        let mut transmitted = [0.0; TABLE_SIZE];
        let mut value = 1.0_f64;
        for entry in &mut transmitted {
            *entry = value as f32;
            value *= STEP;
        }
        Self { transmitted, dyes: Dyes::of(stain) }
    }

    /// Red, green and blue light that passes, 0 to 255.
    #[inline]
    pub(crate) fn through(&self, stain: Stain) -> [f32; 3] {
        std::array::from_fn(|channel| {
            let density = stain.haematoxylin * self.dyes.haematoxylin[channel]
                + stain.eosin * self.dyes.eosin[channel]
                + stain.red_cells * self.dyes.red_cells[channel]
                + stain.ink * INK[channel]
                + stain.dab * DAB[channel];
            f32::from(GLASS[channel]) * self.share(density)
        })
    }

    #[inline]
    fn share(&self, density: f32) -> f32 {
        let place = (density * STEPS_PER_UNIT).clamp(0.0, (TABLE_SIZE - 2) as f32);
        let index = place as usize;
        let (here, next) = (self.transmitted[index], self.transmitted[index + 1]);
        here + (next - here) * (place - index as f32)
    }
}

/// From `a` towards `b` by a share of the way.
fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_follows_beer_and_lambert() {
        let light = Light::new(PaintedStain::He);
        assert_eq!(light.through(Stain::default()), [242.0, 242.0, 243.0]);
        for density in [0.1_f32, 0.5, 1.0, 2.0, 4.0] {
            assert!((light.share(density) - (-density).exp()).abs() < 1e-4, "{density}");
        }
        assert!(light.share(1e9) > 0.0);
    }

    #[test]
    fn nuclei_are_blue_violet_and_collagen_is_pink() {
        let light = Light::new(PaintedStain::He);
        let [r, g, b] = light.through(Stain::he(1.0, 0.2));
        assert!(b > r && r > g, "{r} {g} {b}");
        let [r, g, b] = light.through(Stain::he(0.05, 0.5));
        assert!(r > b && b > g, "{r} {g} {b}");
    }

    /// Optical densities of the published vector at length 1.
    #[test]
    fn dab_is_brown_and_as_dense_as_it_says() {
        let light = Light::new(PaintedStain::HDab);
        let seen = light.through(Stain { dab: 0.5, ..Stain::default() });
        assert!(seen[0] > seen[1] && seen[1] > seen[2], "{seen:?}");
        for (channel, share) in [0.269_17_f32, 0.568_24, 0.777_59].into_iter().enumerate() {
            let density = (f32::from(GLASS[channel]) / seen[channel]).log10();
            assert!((density - 0.5 * share).abs() < 1e-3, "{density}, {share}");
        }
    }
}
