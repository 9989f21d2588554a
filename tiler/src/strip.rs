//! A row of cells, copied to its window.
//!
//! It is copied one px row at a time, across all cells: so a window is written from its first byte to its
//! last, every line of memory whole and once. Tile by tile, the line on each border of two tiles would be
//! written in two parts, and read before that.

use std::ops::Range;

use wsi_types::{GridRect, Rgb};

use crate::past_cache;

/// The pixels of one tile or cell for some rows of a window.
pub(crate) struct Piece<'a> {
    /// Its bytes in a row of the window.
    across: Range<usize>,
    /// Its pixels, from the first byte of the first row on.
    pixels: &'a [u8],
    /// Bytes from one row to the next.
    stride: usize,
}

impl<'a> Piece<'a> {
    /// Returns its bytes of one row, counted from its first; nothing past its last.
    fn row(&self, number: usize) -> &'a [u8] {
        let start = number.saturating_mul(self.stride);
        self.pixels.get(start..).and_then(|rest| rest.get(..self.across.len())).unwrap_or_default()
    }

    /// Takes the px `part` of the picture `pixels` that lies at `whole`; both on the window's grid, `part`
    /// inside.
    pub(crate) fn new(part: &GridRect, whole: &GridRect, pixels: &'a [u8], window: &GridRect) -> Self {
        let stride = whole.width() as usize * 3;
        let top = (part.min_y() - whole.min_y()) as usize * stride;
        let left = (part.min_x() - whole.min_x()) as usize * 3;
        let start = (part.min_x() - window.min_x()) as usize * 3;
        let across = start..start + part.width() as usize * 3;
        Self { across, pixels: &pixels[top + left..], stride }
    }
}

/// Writes the grid rows `ys` of a window, each piece being as high; gaps between the pieces become
/// background.
pub(crate) fn write(
    pieces: &[Piece<'_>],
    ys: Range<i64>,
    background: Rgb,
    window: &GridRect,
    out: &mut [u8],
) {
    let bytes = window.width() as usize * 3;
    let (top, bottom) = ((ys.start - window.min_y()) as usize, (ys.end - window.min_y()) as usize);
    let mut row = background.repeat(window.width() as usize);
    let places = out[top * bytes..bottom * bytes].chunks_exact_mut(bytes);
    past_cache::fill_rows(places, &mut row, |number, row| {
        for piece in pieces {
            // Most tiles were decoded long ago. One row of each piece is as much as can be fetched ahead.
            past_cache::fetch(piece.row(number + 1));
            row[piece.across.clone()].copy_from_slice(piece.row(number));
        }
    });
}
