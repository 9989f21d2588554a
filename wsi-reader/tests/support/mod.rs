//! What the reader's tests share: painted TIFFs of every layout, and the shared
//! slides where they are.
#![allow(dead_code, clippy::unwrap_used)]

pub mod tiff;
pub mod unpacked;

use std::path::{Path, PathBuf};

use wsi_types::{Rgb, RgbBuffer};

/// A small generator of its own, so that a seed names a case for ever
/// (xorshift64*, Vigna 2016).
pub struct Dice(u64);

impl Dice {
    pub fn new(case: u64) -> Self {
        Self(case.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 to one less than `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(value) * sides.max(1) as u128) >> 64) as usize
    }
}

/// The shared slides, or a visible skip.
pub fn shared_slides() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/slides");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: ../shared/slides is absent");
    None
}

/// The shared cases from the field, or a visible skip.
pub fn shared_cases(folder: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases").join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: ../shared/cases is absent");
    None
}

/// A smooth picture with some structure: what JPEG keeps well, and where a shift
/// by one pixel shows.
pub fn paint(x: u32, y: u32) -> Rgb {
    let (x, y) = (f64::from(x), f64::from(y));
    let waves = [(90.0, 150.0, 23.0, 0.3), (70.0, 160.0, 31.0, 1.1), (110.0, 130.0, 41.0, 2.0)];
    waves.map(|(least, range, period, phase)| {
        let wave = ((x / period + phase).sin() * (y / period - phase).cos() + 1.0) / 2.0;
        (least + range * wave) as u8
    })
}

/// A picture of any size by [`paint`].
pub fn painted(width: u32, height: u32) -> RgbBuffer {
    let bytes = (0..height).flat_map(|y| (0..width).flat_map(move |x| paint(x, y))).collect();
    RgbBuffer::from_bytes(width as usize, height as usize, bytes).unwrap()
}
