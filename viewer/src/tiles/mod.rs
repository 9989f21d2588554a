//! The tile file: every cell of a slide in a form that a browser can draw.
//!
//! It is derived: made in one pass over the cell table, safe to delete, and made again when the table has
//! another hash. No cell is left out at any zoom, so a count over a box of it equals that of the table.
//!
//! ```text
//! "SMT1"
//! tiles, each a raw DEFLATE stream of columns, one after the other
//! header as JSON ([`Header`]): classes, totals, and where each tile lies
//! length of the header   u32
//! "SMT1"
//! ```
//!
//! All numbers are little-endian; `n` is the number of cells that the header gives
//! for the tile. Three bands:
//!
//! | band | side of a tile, level-0 px | columns |
//! | --- | --- | --- |
//! | density | [`DENSITY_SIDE`] | bins of [`DENSITY_BIN`] px in order, row by row, as LEB128 differences; class `u8[n]`; step `u8[n]` |
//! | points | [`TILE_SIDE`] | x `u16[n]`, y `u16[n]` in 1/16 px from the tile's corner, rounded down; class `u8[n]`; step `u8[n]` |
//! | outlines | [`TILE_SIDE`] | row in the table as LEB128 differences; vertices as LEB128; all dx, then all dy, in 1/4 px as zigzag LEB128, each ring from its cell's point |
//!
//! The cells of an outlines tile are those of the points tile beside it, in the same order. A cell lies in
//! the tile of its centroid; its outline may reach beyond by [`Header::reach_px`]. A *step* is the number of
//! hundredths that the score is not below, so that `score >= t` is exact for every threshold of two decimals.
//! As places are rounded down, a box with whole px as corners is exact, too.

mod columns;
mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::TileFile;
pub use write::{CellMark, TileWriter};

/// Level-0 px along a tile of points and outlines.
pub const TILE_SIDE: u32 = 4096;
/// Level-0 px along a tile of densities.
pub const DENSITY_SIDE: u32 = 16384;
/// Level-0 px along a bin of densities.
pub const DENSITY_BIN: u32 = 32;
/// Number of thresholds that a score is compared with: hundredths.
pub const SCORE_STEPS: u8 = 100;
/// The layout of the file; raised with every change of it.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 4] = b"SMT1";
/// Parts of a level-0 px in which points are stored.
const POINT_PARTS: f64 = 16.0;
/// Number of these parts in the quarter px in which outlines are stored.
const POINT_PARTS_PER_OUTLINE_PART: i64 = 4;

/// The table that a tile file was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// SHA-256 of the cell table, as hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// One class of cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTotals {
    /// Its name in the cell table.
    pub name: String,
    /// Cells by score step, 0 to [`SCORE_STEPS`].
    pub steps: Vec<u64>,
}

/// Header of a tile file, which is at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// The table it was made from.
    pub table: TableFacts,
    /// Width and height of level 0, px.
    pub size: [u32; 2],
    /// Cells in the table.
    pub rows: u64,
    /// Cells of the table whose centroid is not on the slide; they are in no tile.
    pub outside: u64,
    /// Totals by class id. Cells outside the slide are not in them.
    pub classes: Vec<ClassTotals>,
    /// Largest distance of an outline from its cell's point, level-0 px.
    pub reach_px: f64,
    /// Mean side of a cell's box, level-0 px.
    pub typical_px: f64,
    /// `true` if some cell has an outline that is not a box.
    pub outlined: bool,
    /// Tiles of densities, by row and column.
    pub density: Vec<TileEntry>,
    /// Tiles of points, by row and column. A tile may come in several pieces.
    pub points: Vec<TileEntry>,
    /// Tiles of outlines; the entries are those of `points`.
    pub outlines: Vec<TileEntry>,
}

/// Place of a tile in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 5]", into = "[u64; 5]")]
pub struct TileEntry {
    /// In tiles of its band, from the left.
    pub column: u32,
    /// In tiles of its band, from the top.
    pub row: u32,
    /// First byte in the file.
    pub offset: u64,
    /// Stored bytes.
    pub bytes: u32,
    /// Cells in it.
    pub cells: u32,
}

impl From<TileEntry> for [u64; 5] {
    fn from(entry: TileEntry) -> Self {
        let TileEntry { column, row, offset, bytes, cells } = entry;
        [column.into(), row.into(), offset, bytes.into(), cells.into()]
    }
}

impl From<[u64; 5]> for TileEntry {
    fn from([column, row, offset, bytes, cells]: [u64; 5]) -> Self {
        // Numbers out of range cannot be a tile of the file; reading it then reports that.
        let [column, row, bytes, cells] =
            [column, row, bytes, cells].map(|value| u32::try_from(value).unwrap_or(u32::MAX));
        Self { column, row, offset, bytes, cells }
    }
}

/// Returns the step of a score: the count of 0.01, 0.02, … 1.00 that it is not below. Compared as `f32`, as
/// thresholds of a run are.
#[must_use]
pub fn score_step(score: f32) -> u8 {
    let near = (score * f32::from(SCORE_STEPS)).clamp(0.0, f32::from(SCORE_STEPS)) as u8;
    // The product is rounded: the step may be its neighbour.
    let candidates = near.saturating_sub(1)..=near.saturating_add(1).min(SCORE_STEPS);
    candidates.rev().find(|&step| threshold(step) <= score).unwrap_or(0)
}

/// Returns the threshold of a step.
fn threshold(step: u8) -> f32 {
    f32::from(step) / f32::from(SCORE_STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threshold_of_two_decimals_is_told_apart() {
        for step in 1..=SCORE_STEPS {
            let typed: f32 = format!("{}.{:02}", step / 100, step % 100).parse().unwrap();
            assert_eq!(typed.to_bits(), threshold(step).to_bits(), "as a person types it");
            assert_eq!(score_step(typed), step);
            assert_eq!(score_step(typed.next_down()), step - 1);
            assert_eq!(score_step(typed.next_up()), step);
        }
        assert_eq!(
            [score_step(0.0), score_step(-1.0), score_step(2.0), score_step(f32::NAN)],
            [0, 0, 100, 0]
        );
    }
}
