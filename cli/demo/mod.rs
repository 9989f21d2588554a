//! The demo slide: a painted picture that looks like tissue stained with
//! haematoxylin and eosin, every nucleus of which is known.
//!
//! [`paint_slide`] lays out tissue (stroma with fibres, glands, solid nests,
//! lymphocyte clusters, vessels, fat, a pen mark), plants nuclei so that none
//! overlaps another by more than [`MAX_OVERLAP_UM`] and some lie on the borders
//! and corners of windows, paints it tile by tile, and writes a pyramidal TIFF.
//! [`score`] compares what a run found with what was painted.
//!
//! The same settings give the same file, byte for byte, for any number of
//! threads and on any machine: layout and colours use only arithmetic that
//! IEEE 754 defines to the last bit, and JPEG is encoded with integers.
//!
//! Nothing here knows a model. A model that finds the painted nuclei does so
//! from their looks.

mod blob;
mod cells;
mod dice;
mod noise;
mod paint;
mod score;
mod slide_file;
mod stain;
mod tissue;
mod truth;

use std::path::Path;

use anyhow::ensure;

pub use cells::MAX_OVERLAP_UM;
pub use score::{DemoScore, MATCH_DISTANCE_UM, Tally, score};
pub use truth::{CellKind, DemoTruth, PaintedCell};

/// The painted slide in µm; x to the right, y down, the origin at the upper
/// left corner of level 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Micron {}
/// A vector on the painted slide, in µm, or a direction of length 1.
pub type VectorUm = euclid::Vector2D<f64, Micron>;
type PointUm = euclid::Point2D<f64, Micron>;

/// Size of a level-0 pixel of the painted slide, µm.
pub const MPP: f64 = 0.25;

/// What to paint.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct PaintSettings {
    /// Another seed, another slide.
    pub seed: u64,
    /// Width of the slide in µm, rounded up to whole tiles of 64 µm.
    pub width_um: f64,
    /// Height of the slide in µm, rounded up to whole tiles of 64 µm.
    pub height_um: f64,
    /// Borders of windows lie on multiples of this: cells are planted across
    /// them. A model at 0.5 µm/px with a stride of 1024 px has one every 512 µm.
    pub window_step_um: f64,
}

impl Default for PaintSettings {
    /// 3 × 2.3 mm: 12288 × 9216 px, read in under a minute on two cores.
    fn default() -> Self {
        Self { seed: 2026, width_um: 3072.0, height_um: 2304.0, window_step_um: 512.0 }
    }
}

impl PaintSettings {
    /// Sides shorter than this hold no structure, longer ones no classic TIFF.
    const SIDES_UM: std::ops::RangeInclusive<f64> = 192.0..=16_384.0;

    fn check(self) -> anyhow::Result<Self> {
        for side in [self.width_um, self.height_um] {
            ensure!(
                Self::SIDES_UM.contains(&side),
                "cannot paint a slide with a side of {side} µm, expected {} to {}",
                Self::SIDES_UM.start(),
                Self::SIDES_UM.end(),
            );
        }
        ensure!(
            self.window_step_um >= 32.0,
            "cannot paint for window borders {} µm apart, expected at least 32",
            self.window_step_um
        );
        let whole_tiles = |side: f64| {
            let tile = f64::from(slide_file::TILE_PX) * MPP;
            (side / tile).ceil() * tile
        };
        Ok(Self { width_um: whole_tiles(self.width_um), height_um: whole_tiles(self.height_um), ..self })
    }
}

/// Paints a slide into `path` (a `.tif`; it appears whole or not at all) and
/// says where its cells are.
///
/// # Errors
///
/// When the settings make no slide, or the file cannot be written.
pub fn paint_slide(path: &Path, settings: &PaintSettings) -> anyhow::Result<DemoTruth> {
    let settings = settings.check()?;
    let tissue = tissue::Tissue::lay_out(&settings);
    let truth =
        DemoTruth { cells: cells::plant(&tissue, &settings), seam_step_px: settings.window_step_um / MPP };
    let painter = paint::Painter::new(&tissue, &truth.cells, settings.seed);
    slide_file::write(path, &painter, &settings)?;
    Ok(truth)
}
