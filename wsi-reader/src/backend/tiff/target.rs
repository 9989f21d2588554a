//! The place of decoded pixels, and the guard around foreign decoders.

use std::panic;

/// Target of decoded pixels: `height` rows of `width` px, 3 bytes each. Pixels decoded beyond it (the part of
/// an edge tile outside the level) are dropped.
pub(crate) struct Target<'a> {
    pub(crate) pixels: &'a mut [u8],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl<'a> Target<'a> {
    /// A place for all of a picture.
    pub(crate) fn whole(pixels: &'a mut [u8], (width, height): (usize, usize)) -> Self {
        Self { pixels, width, height }
    }

    /// Copies the top left corner out of rows of RGB that are `width` px wide.
    pub(crate) fn take_corner(&mut self, rgb: &[u8], width: usize) {
        for (to, from) in self.pixels.chunks_exact_mut(self.width * 3).zip(rgb.chunks_exact(width * 3)) {
            let bytes = to.len();
            to.copy_from_slice(&from[..bytes]);
        }
    }
}

/// Runs a foreign decoder on bytes that may be hostile. Ours return errors; a
/// panic in theirs must cost one tile, not the night.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(panic::AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err("the decoder gave up on its bytes".into()))
}
