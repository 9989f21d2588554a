//! A row of cells, copied to its window.
//!
//! Px by px row, across all cells: so a window is written from its first byte to its
//! last, every line of memory whole and once. Tile by tile, the line on each border of
//! two tiles would be written in two parts, and read before.

use std::ops::Range;

use wsi_types::{GridRect, Rgb};

use crate::past_cache;

/// What one tile or cell gives to some rows of a window.
pub(crate) struct Piece<'a> {
    /// Bytes in a row of the window.
    across: Range<usize>,
    /// From the first byte of the first row on.
    pixels: &'a [u8],
    /// Bytes from one row to the next.
    stride: usize,
}

impl<'a> Piece<'a> {
    /// Its bytes of one row, counted from its first; nothing past its last.
    fn row(&self, number: usize) -> &'a [u8] {
        let start = number.saturating_mul(self.stride);
        self.pixels.get(start..).and_then(|rest| rest.get(..self.across.len())).unwrap_or_default()
    }

    /// The px `part` of the picture `pixels` that lies at `whole`; both on the
    /// window's grid, `part` inside.
    pub(crate) fn new(part: &GridRect, whole: &GridRect, pixels: &'a [u8], window: &GridRect) -> Self {
        let stride = whole.width() as usize * 3;
        let top = (part.min_y() - whole.min_y()) as usize * stride;
        let left = (part.min_x() - whole.min_x()) as usize * 3;
        let start = (part.min_x() - window.min_x()) as usize * 3;
        let across = start..start + part.width() as usize * 3;
        Self { across, pixels: &pixels[top + left..], stride }
    }
}

/// Writes the grid rows `ys` of a window, each piece being as high; between the pieces
/// is background.
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
            // Most tiles were decoded long ago. A row each is what can be under way.
            past_cache::fetch(piece.row(number + 1));
            row[piece.across.clone()].copy_from_slice(piece.row(number));
        }
    });
}
