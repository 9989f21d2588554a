//! Settings of the painting.

use std::ops::RangeInclusive;

use crate::{error::PaintError, micron::MPP};

/// Settings of the painting.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct PaintSettings {
    /// Seed of all random numbers: another seed gives another slide.
    pub seed: u64,
    /// Width of the slide in µm, rounded up to whole tiles of 64 µm.
    pub width_um: f64,
    /// Height of the slide in µm, rounded up to whole tiles of 64 µm.
    pub height_um: f64,
    /// Distance of window borders, which lie on its multiples: cells are planted across them. A model at 0.5
    /// µm/px with a stride of 1024 px has one every 512 µm.
    pub window_step_um: f64,
    /// Dyes that it is painted with.
    pub stain: PaintedStain,
}

/// Dyes of a painted slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum PaintedStain {
    /// Hematoxylin and eosin.
    #[default]
    He,
    /// Hematoxylin and DAB in the colours of Ruifrok and Johnston 2001, without eosin: as for immunohistochemistry.
    HDab,
}

impl Default for PaintSettings {
    /// 3 × 2.3 mm: 12288 × 9216 px, read in under a minute on two cores.
    fn default() -> Self {
        Self {
            seed: 2026,
            width_um: 3072.0,
            height_um: 2304.0,
            window_step_um: 512.0,
            stain: PaintedStain::He,
        }
    }
}

/// Side of a stored tile, px of its level.
pub(crate) const TILE_PX: u32 = 256;

impl PaintSettings {
    /// Sides accepted, µm: shorter ones hold no structure, longer ones do not fit into a classic TIFF.
    const SIDES_UM: RangeInclusive<f64> = 192.0..=16_384.0;
    /// Smallest distance of borders, µm: closer ones would leave no room between the cells on them.
    const CLOSEST_BORDERS_UM: f64 = 32.0;

    /// These settings with both sides rounded up to whole tiles.
    ///
    /// # Errors
    ///
    /// When no slide can be made with them.
    pub(crate) fn checked(self) -> Result<Self, PaintError> {
        for side_um in [self.width_um, self.height_um] {
            if !Self::SIDES_UM.contains(&side_um) {
                return Err(PaintError::Side { side_um, expected: Self::SIDES_UM });
            }
        }
        if self.window_step_um.is_nan() || self.window_step_um < Self::CLOSEST_BORDERS_UM {
            return Err(PaintError::Borders {
                step_um: self.window_step_um,
                least_um: Self::CLOSEST_BORDERS_UM,
            });
        }
        Ok(Self { width_um: whole_tiles(self.width_um), height_um: whole_tiles(self.height_um), ..self })
    }
}

fn whole_tiles(side_um: f64) -> f64 {
    let tile_um = f64::from(TILE_PX) * MPP;
    (side_um / tile_um).ceil() * tile_um
}
