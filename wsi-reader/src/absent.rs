//! Tiles that a file leaves out, which are read as background.

use wsi_types::{Level0Box, LevelIndex, TileId};

use crate::slide::Slide;

/// Tiles of one level that the file leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AbsentTiles {
    /// Number of these tiles.
    pub tiles: u64,
    /// Area that they cover, in px² of level 0.
    pub level0_px2: f64,
}

/// Counts the tiles of a level that the file leaves out and for whose boxes `counts` returns `true`. The
/// boxes, in level-0 px, are first grown by `margin` px on each side: tissue that ends at the border of such
/// a tile may continue in it.
pub fn absent_tiles(
    slide: &dyn Slide,
    level: LevelIndex,
    margin: f64,
    counts: impl Fn(&Level0Box) -> bool,
) -> AbsentTiles {
    let mut found = AbsentTiles::default();
    let Some(measured) = slide.info().pyramid.level(level) else { return found };
    let (grid, (across, down)) = (measured.tiles, measured.downsample);
    for row in 0..grid.rows() {
        for column in 0..grid.columns() {
            if !slide.is_absent(TileId { level, row, column }) {
                continue;
            }
            let tile = grid.tile_rect(column, row).to_f64();
            let area = Level0Box::new(
                euclid::point2(tile.min_x() * across, tile.min_y() * down),
                euclid::point2(tile.max_x() * across, tile.max_y() * down),
            );
            if counts(&area.inflate(margin, margin)) {
                found.tiles += 1;
                found.level0_px2 += area.area();
            }
        }
    }
    found
}
