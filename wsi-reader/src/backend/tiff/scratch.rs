//! Buffers a thread keeps between tiles.

use std::cell::RefCell;

use super::{jpeg_baseline, unpack::Unpackers};

/// Buffers a thread keeps between tiles.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The tile's bytes as stored.
    pub(crate) stored: Vec<u8>,
    /// JPEG tables and tile joined into one stream.
    pub(crate) joined: Vec<u8>,
    /// Samples before they are converted to RGB.
    pub(crate) samples: Vec<u8>,
    pub(crate) jpeg: jpeg_baseline::Workspace,
    pub(crate) unpackers: Unpackers,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends this thread's buffers.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => work(&mut scratch),
        // A decoder that calls back into us would find them lent already.
        Err(_) => work(&mut Scratch::default()),
    })
}
