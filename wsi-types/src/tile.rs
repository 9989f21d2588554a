//! Tiles: blocks as stored in the file.

use serde::{Deserialize, Serialize};

use crate::{LevelIndex, LevelRect};

/// Division of one level into tiles, in px of that level.
///
/// Tiles start at the level's origin and do not overlap; the last column and
/// row may be cut by the level's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileGrid {
    /// Width of the level.
    pub width: u32,
    /// Height of the level.
    pub height: u32,
    /// Width of a full tile; at least 1.
    pub tile_width: u32,
    /// Height of a full tile; at least 1.
    pub tile_height: u32,
}

impl TileGrid {
    /// Tiles per row.
    #[must_use]
    pub fn columns(&self) -> u32 {
        self.width.div_ceil(self.tile_width)
    }

    /// Rows of tiles.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.height.div_ceil(self.tile_height)
    }

    /// The pixels of one tile, cut at the level's edge. Empty when the tile is
    /// not in the grid.
    #[must_use]
    pub fn tile_rect(&self, column: u32, row: u32) -> LevelRect {
        let span = |i: u32, size: u32, end: u32| {
            let start = (u64::from(i) * u64::from(size)).min(u64::from(end));
            let stop = (start + u64::from(size)).min(u64::from(end));
            (start as i64, stop as i64)
        };
        let (x0, x1) = span(column, self.tile_width, self.width);
        let (y0, y1) = span(row, self.tile_height, self.height);
        LevelRect::new(euclid::point2(x0, y0), euclid::size2(x1 - x0, y1 - y0))
    }

    /// Columns and rows of the tiles that share a pixel with `rect`, row by row.
    pub fn tiles_in(&self, rect: &LevelRect) -> impl Iterator<Item = (u32, u32)> + use<> {
        let range = |lo: i64, hi: i64, size: u32, end: u32| {
            let (lo, hi) = (lo.clamp(0, i64::from(end)) as u32, hi.clamp(0, i64::from(end)) as u32);
            if lo < hi { lo / size..hi.div_ceil(size) } else { 0..0 }
        };
        let columns = range(rect.min_x(), rect.max_x(), self.tile_width, self.width);
        let rows = range(rect.min_y(), rect.max_y(), self.tile_height, self.height);
        rows.flat_map(move |row| columns.clone().map(move |column| (column, row)))
    }
}

/// One stored tile of a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TileId {
    /// The level it is stored in.
    pub level: LevelIndex,
    /// Row of tiles, from the top.
    pub row: u32,
    /// Column of tiles, from the left.
    pub column: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(x: i64, y: i64, w: i64, h: i64) -> LevelRect {
        LevelRect::new(euclid::point2(x, y), euclid::size2(w, h))
    }

    #[test]
    fn edge_tiles_are_cut_and_outside_is_empty() {
        let grid = TileGrid { width: 500, height: 300, tile_width: 240, tile_height: 240 };
        assert_eq!((grid.columns(), grid.rows()), (3, 2));
        assert_eq!(grid.tile_rect(2, 1), rect(480, 240, 20, 60));
        assert!(grid.tile_rect(3, 0).is_empty());
        assert_eq!(grid.tiles_in(&rect(-10, -10, 5, 5)).count(), 0);
        assert_eq!(grid.tiles_in(&rect(600, 0, 5, 5)).count(), 0);
        assert_eq!(
            grid.tiles_in(&rect(239, 0, 2, 241)).collect::<Vec<_>>(),
            [(0, 0), (1, 0), (0, 1), (1, 1)]
        );
        assert_eq!(grid.tiles_in(&rect(0, 0, 0, 10)).count(), 0);
    }
}
