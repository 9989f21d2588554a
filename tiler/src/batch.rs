//! Windows grouped for a model, with a short last batch.

use wsi_types::WindowIndex;

use crate::{WindowFault, WindowStream};

/// Some windows and their pixels. Made to be reused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Height of every window, in px.
    pub height: usize,
    /// Width of every window, in px.
    pub width: usize,
    /// The windows, in the order of the stream.
    pub windows: Vec<WindowIndex>,
    /// Windows × height × width × 3 bytes, red first.
    pub pixels: Vec<u8>,
}

/// Grouping of windows into batches of up to a fixed number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batcher {
    size: usize,
}

impl Batcher {
    /// Makes batches of `size` windows; at least 1.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size: size.max(1) }
    }

    /// Fills `batch` with the next windows of `stream`, fewer at its end. Windows that cannot be read are
    /// left out and added to `faults`. Returns `false` if no window is left: then `batch` is empty.
    pub fn fill(
        &mut self,
        stream: &mut WindowStream,
        batch: &mut Batch,
        faults: &mut Vec<WindowFault>,
    ) -> bool {
        (batch.width, batch.height) = stream.window_size();
        batch.windows.clear();
        let bytes = batch.width * batch.height * 3;
        batch.pixels.resize(self.size.min(stream.remaining()) * bytes, 0);
        while batch.windows.len() < self.size {
            let at = batch.windows.len() * bytes;
            // Space runs out only where no window is left.
            let Some(space) = batch.pixels.get_mut(at..at + bytes) else { break };
            match stream.next_into(space) {
                Some((window, Ok(()))) => batch.windows.push(window),
                Some((_, Err(fault))) => faults.push(fault),
                None => break,
            }
        }
        batch.pixels.truncate(batch.windows.len() * bytes);
        !batch.windows.is_empty()
    }
}
