//! Pixels of any rectangle, put together from tiles.

use wsi_types::{LevelIndex, LevelRect, RgbBuffer, TileId};

use crate::slide::{ReadError, Slide};

/// Reads a rectangle of one level, in px of that level, from whole tiles.
///
/// `out` takes its size. Pixels outside the level, and tiles that the file leaves out, are
/// [`SlideInfo::background`](crate::SlideInfo::background). Each tile is decoded once per call and kept no
/// longer: runs that read overlapping windows use the tiler's shared cache instead.
///
/// # Errors
///
/// [`ReadError`] of the first tile that cannot be read, row by row.
///
/// # Panics
///
/// When the rectangle has more pixels than memory can hold.
pub fn read_region(
    slide: &dyn Slide,
    level: LevelIndex,
    rect: LevelRect,
    out: &mut RgbBuffer,
) -> Result<(), ReadError> {
    let Some(grid) = slide.info().pyramid.level(level).map(|l| l.tiles) else {
        return Err(ReadError::NoSuchTile { tile: TileId { level, row: 0, column: 0 } });
    };
    out.fill(rect.width().max(0) as usize, rect.height().max(0) as usize, slide.info().background);
    let mut tile_pixels = RgbBuffer::default();
    slide.will_read(&mut grid.tiles_in(&rect).map(|(column, row)| TileId { level, row, column }));
    for (column, row) in grid.tiles_in(&rect) {
        slide.read_tile(TileId { level, row, column }, &mut tile_pixels)?;
        let tile = grid.tile_rect(column, row);
        let Some(shared) = tile.intersection(&rect) else { continue };
        let from = ((shared.min_x() - tile.min_x()) as usize, (shared.min_y() - tile.min_y()) as usize);
        let to = ((shared.min_x() - rect.min_x()) as usize, (shared.min_y() - rect.min_y()) as usize);
        copy_rect(&tile_pixels, from, out, to);
    }
    Ok(())
}

/// Copies the pixels that both buffers hold from `at` in one to `to` in the other.
pub(crate) fn copy_rect(from: &RgbBuffer, at: (usize, usize), out: &mut RgbBuffer, to: (usize, usize)) {
    let width = from.width().saturating_sub(at.0).min(out.width().saturating_sub(to.0));
    let height = from.height().saturating_sub(at.1).min(out.height().saturating_sub(to.1));
    for y in 0..height {
        let source = &from.row(at.1 + y)[at.0 * 3..(at.0 + width) * 3];
        out.row_mut(to.1 + y)[to.0 * 3..(to.0 + width) * 3].copy_from_slice(source);
    }
}
