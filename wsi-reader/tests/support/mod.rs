//! Common parts of the reader's tests: painted TIFFs of every layout, and the shared slides where they are
//! present.
#![allow(dead_code, clippy::unwrap_used)]

pub mod tiff;
pub mod unpacked;

use std::path::{Path, PathBuf};

use openslide_rs::{Address, OpenSlide, Region, Size};
use wsi_types::{Rgb, RgbBuffer};

/// A small generator of the project's own, so that a seed names the same case for ever (xorshift64*, Vigna
/// 2016).
pub struct Dice(u64);

impl Dice {
    pub fn new(case: u64) -> Self {
        Self(case.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns 0 to one less than `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(value) * sides.max(1) as u128) >> 64) as usize
    }
}

/// The number of cases of a test by chance: `SLIDEMILL_LONG=1` makes it ten times as many.
pub fn cases(usual: u64) -> u64 {
    if std::env::var_os("SLIDEMILL_LONG").is_some() { 10 * usual } else { usual }
}

/// The first case of a test by chance; `SLIDEMILL_SEED` gives others.
pub fn first_case() -> u64 {
    let seed: u64 = std::env::var("SLIDEMILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    seed << 32
}

/// Returns the shared slides; `None`, with a printed note, if they are absent.
pub fn shared_slides() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/slides");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: ../shared/slides is absent");
    None
}

/// Returns the shared cases from the field; `None`, with a printed note, if they are absent.
pub fn shared_cases(folder: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases").join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: ../shared/cases is absent");
    None
}

/// Paints a smooth picture with some structure: JPEG keeps it well, and a shift by one pixel shows.
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

/// A whole level by one OpenSlide read at the origin, where its grid and the
/// level's meet whatever the downsample.
pub fn openslide_level(handle: &OpenSlide, level: u32) -> openslide_rs::Result<RgbBuffer> {
    let size = handle.level_dimensions(level)?;
    let region = Region { address: Address { x: 0, y: 0 }, level, size: Size { w: size.w, h: size.h } };
    let argb = handle.read_region(&region)?;
    let rgb = argb
        .chunks_exact(4)
        .flat_map(|raw| {
            let [a, r, g, b] = u32::from_ne_bytes(raw.try_into().unwrap()).to_be_bytes();
            [r, g, b].map(|c| (u32::from(c) + u32::from(255 - a)).min(255) as u8)
        })
        .collect();
    Ok(RgbBuffer::from_bytes(size.w as usize, size.h as usize, rgb).unwrap())
}

/// Changes a few bytes: flips, extremes, copies, cuts.
pub fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(6) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.roll(bytes.len());
        match dice.roll(8) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.roll(5)],
            2 => {
                let end = (at + [2, 4, 8][dice.roll(3)]).min(bytes.len());
                let value = [0x00, 0xff, 0x7f][dice.roll(3)];
                bytes[at..end].fill(value);
            }
            3 => {
                let from = dice.roll(bytes.len());
                let count = dice.roll(32).min(bytes.len() - from).min(bytes.len() - at);
                bytes.copy_within(from..from + count, at);
            }
            4 if dice.roll(8) == 0 => bytes.truncate(at),
            // Headers and directories matter more than pixels.
            _ => {
                let near = at.min(dice.roll(64));
                bytes[near] = bytes[near].wrapping_add(dice.roll(256) as u8);
            }
        }
    }
}
