//! Entry points for fuzzers and mutation tests, which pass hostile bytes and get nothing back. They must
//! return, quickly and without a panic, whatever the bytes.

use wsi_types::{LevelIndex, RgbBuffer, TileId};

use crate::{
    LinearMapping,
    backend::tiff::{TiffOptions, TiffSlide},
    makers,
    slide::Slide,
    source::Source,
};

/// Largest number of pixels that a fuzzed strip may claim: enough for every branch, small enough for many
/// runs a second.
const MAX_FUZZ_PIXELS: u64 = 1 << 20;

fn open(bytes: &[u8]) -> Option<TiffSlide> {
    let options =
        TiffOptions { max_picture_pixels: MAX_FUZZ_PIXELS, mapping: LinearMapping::new(0.0, 4095.0) };
    TiffSlide::from_source(Source::Memory(bytes.to_vec()), &options).ok()
}

/// Opens the bytes as a TIFF: header, directories, layout, facts.
pub fn fuzz_header(bytes: &[u8]) {
    if let Some(slide) = open(bytes) {
        std::hint::black_box(slide.info());
        _ = slide.icc_profile();
    }
}

/// Opens the bytes as a TIFF and decodes the first tiles of every level, and the
/// pictures beside them.
pub fn fuzz_tiles(bytes: &[u8]) {
    let Some(slide) = open(bytes) else { return };
    let mut out = RgbBuffer::default();
    for (index, level) in slide.info().pyramid.levels().iter().enumerate() {
        let grid = level.tiles;
        if u64::from(grid.tile_width) * u64::from(grid.tile_height) > MAX_FUZZ_PIXELS {
            continue;
        }
        for row in 0..grid.rows().min(2) {
            for column in 0..grid.columns().min(2) {
                let tile = TileId { level: LevelIndex(index as u16), row, column };
                _ = slide.tile_state(tile);
                _ = slide.read_tile(tile, &mut out);
                for shift in 1..=slide.reduces(tile.level) {
                    _ = slide.read_tile_reduced(tile, shift, &mut out);
                }
            }
        }
    }
    for image in &slide.info().associated {
        if u64::from(image.width) * u64::from(image.height) <= MAX_FUZZ_PIXELS {
            _ = slide.read_associated(&image.name, &mut out);
        }
    }
}

/// Reads the bytes as the texts in which makers write their facts.
pub fn fuzz_vendor_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let aperio = makers::aperio::parse(&text);
    _ = (aperio.scale(), aperio.objective(), aperio.properties().count());
    for image in makers::ome::parse(&text).unwrap_or_default() {
        _ = image.scale();
    }
    let properties = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    _ = makers::openslide::scale(&properties);
    _ = makers::openslide::bounds(&properties);
    _ = makers::openslide::background(&properties);
}
