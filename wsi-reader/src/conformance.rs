//! The checks every backend passes. Written once, so that a new backend is held
//! to what the old ones promise.

use std::thread;

use wsi_types::{LevelIndex, LevelRect, RgbBuffer, TileId};

use crate::{
    region::read_region,
    slide::{ReadError, Slide, read_and_average},
};

/// Largest level that the tests read whole, px.
const MAX_WHOLE: u64 = 40_000_000;

/// Checks a slide's promises: sizes, repeatability, threads, edges, refusals.
///
/// # Panics
///
/// With the broken promise in words. Made for tests.
pub fn assert_conforms(slide: &dyn Slide) {
    let info = slide.info();
    assert_eq!(info.compression.len(), info.pyramid.levels().len(), "one compression per level");
    assert_eq!(info.pyramid.base().downsample, (1.0, 1.0), "level 0 is the measure");
    for index in 0..info.pyramid.levels().len() {
        let level = LevelIndex(index as u16);
        assert_tiles(slide, level);
        assert_regions(slide, level);
        assert_reduced(slide, level);
        assert_stored_jpegs(slide, level);
    }
    assert_refusals(slide);
    assert_associated(slide);
    match slide.icc_profile() {
        Ok(profile) => {
            assert_eq!(profile.is_some(), info.icc_profile_bytes.is_some(), "profile as announced");
        }
        Err(error) => panic!("{error}"),
    }
}

fn corners(slide: &dyn Slide, level: LevelIndex) -> Vec<TileId> {
    let grid =
        slide.info().pyramid.level(level).map(|l| l.tiles).unwrap_or(slide.info().pyramid.base().tiles);
    let (right, bottom) = (grid.columns() - 1, grid.rows() - 1);
    let mut tiles: Vec<TileId> = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom / 2, right / 2)]
        .map(|(row, column)| TileId { level, row, column })
        .to_vec();
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

/// Grey levels by which two decoders may differ on one px, and on average over a tile: each rounds, and
/// enlarges colours, in its own way. Over the 105 tiles of the painted and shared slides that the tests look at they
/// differ by at most 4, and by at most 0.62 on average over a tile; what stands here leaves as much room again.
const JPEG_DIFFERENCE: (u8, f64) = (8, 1.0);

/// Checks that streams handed out as stored decode to the pixels of the tile, by a decoder that knows nothing
/// of the file around them.
fn assert_stored_jpegs(slide: &dyn Slide, level: LevelIndex) {
    let mut pixels = RgbBuffer::default();
    for tile in corners(slide, level) {
        let Ok(Some(stream)) = slide.stored_jpeg(tile) else { continue };
        if slide.read_tile(tile, &mut pixels).is_err() {
            continue;
        }
        let Some((width, found)) = decode_alone(&stream) else { panic!("{tile:?} as stored is no JPEG") };
        let mut sum = 0_u64;
        for y in 0..pixels.height() {
            for (expected, found) in pixels.row(y).iter().zip(&found[y * width * 3..]) {
                let difference = expected.abs_diff(*found);
                assert!(difference <= JPEG_DIFFERENCE.0, "{tile:?} as stored has other colours");
                sum += u64::from(difference);
            }
        }
        let mean = sum as f64 / pixels.bytes().len() as f64;
        assert!(mean <= JPEG_DIFFERENCE.1, "{tile:?} as stored is off by {mean} on average");
    }
}

/// Returns width and RGB of a stream; `None` if it is not a JPEG.
fn decode_alone(stream: &[u8]) -> Option<(usize, Vec<u8>)> {
    let options = zune_core::options::DecoderOptions::new_fast()
        .jpeg_set_out_colorspace(zune_core::colorspace::ColorSpace::RGB);
    let stream = zune_core::bytestream::ZCursor::new(stream);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(stream, options);
    let pixels = decoder.decode().ok()?;
    Some((decoder.dimensions()?.0, pixels))
}

/// Checks corner and middle tiles: right size, the same again, the same into a dirty buffer, the same from
/// four threads at once.
fn assert_tiles(slide: &dyn Slide, level: LevelIndex) {
    for tile in corners(slide, level) {
        let rect = slide.info().pyramid.levels()[usize::from(level.0)].tiles.tile_rect(tile.column, tile.row);
        let mut first = RgbBuffer::default();
        let outcome = slide.read_tile(tile, &mut first);
        let mut dirty = RgbBuffer::filled(7, 333, [1, 2, 3]);
        assert_eq!(slide.read_tile(tile, &mut dirty), outcome, "{tile:?} twice");
        if outcome.is_err() {
            continue;
        }
        assert_eq!((first.width() as i64, first.height() as i64), (rect.width(), rect.height()), "{tile:?}");
        assert!(first == dirty, "{tile:?} differs when read into a used buffer");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut other = RgbBuffer::default();
                    assert_eq!(slide.read_tile(tile, &mut other), Ok(()), "{tile:?} in a thread");
                    assert!(other == first, "{tile:?} differs in another thread");
                });
            }
        });
    }
}

/// Checks that a rectangle over tile borders is the same as its pixels from the whole level, with background
/// past the edges.
fn assert_regions(slide: &dyn Slide, level: LevelIndex) {
    let grid = slide.info().pyramid.levels()[usize::from(level.0)].tiles;
    let (width, height) = (i64::from(grid.width), i64::from(grid.height));
    let Ok(whole) = whole_level(slide, level) else { return };
    let background = slide.info().background;
    let (tile_width, tile_height) = (i64::from(grid.tile_width), i64::from(grid.tile_height));
    for (x, y, w, h) in [
        (tile_width - 9, tile_height - 5, 20, 11),
        (-6, -4, 30, 20),
        (width - 10, height - 7, 40, 21),
        (width + 5, 0, 8, 8),
        (0, 0, 1, 1),
    ] {
        let rect = LevelRect::new(euclid::point2(x, y), euclid::size2(w, h));
        let mut part = RgbBuffer::default();
        if let Err(error) = read_region(slide, level, rect, &mut part) {
            panic!("{error}");
        }
        for row in 0..h {
            for column in 0..w {
                let (at_x, at_y) = (x + column, y + row);
                let inside = (0..width).contains(&at_x) && (0..height).contains(&at_y);
                let expected = if inside { whole.pixel(at_x as usize, at_y as usize) } else { background };
                assert_eq!(
                    part.pixel(column as usize, row as usize),
                    expected,
                    "pixel {at_x}, {at_y} of level {}",
                    level.0
                );
            }
        }
    }
}

/// Checks that tiles decoded to a smaller size are means of the whole ones: of the same size, and nearly the
/// same colours.
fn assert_reduced(slide: &dyn Slide, level: LevelIndex) {
    for tile in corners(slide, level) {
        for shift in 1..=slide.reduces(level) {
            let (mut reduced, mut means) = (RgbBuffer::default(), RgbBuffer::default());
            let outcome = slide.read_tile_reduced(tile, shift, &mut reduced);
            assert_eq!(
                read_and_average(slide, tile, shift, &mut means),
                outcome,
                "{tile:?}, 1/{}",
                1 << shift
            );
            if outcome.is_ok() {
                let apart = difference(&reduced, &means);
                assert!(apart.mean < 1.0, "{tile:?}, 1/{}: {apart:?}", 1 << shift);
            }
        }
    }
}

fn assert_refusals(slide: &dyn Slide) {
    let info = slide.info();
    let grid = info.pyramid.base().tiles;
    let mut out = RgbBuffer::default();
    let beyond = LevelIndex(info.pyramid.levels().len() as u16);
    for tile in [
        TileId { level: LevelIndex(0), row: 0, column: grid.columns() },
        TileId { level: LevelIndex(0), row: grid.rows(), column: 0 },
        TileId { level: LevelIndex(0), row: u32::MAX, column: u32::MAX },
        TileId { level: beyond, row: 0, column: 0 },
    ] {
        assert_eq!(slide.read_tile(tile, &mut out), Err(ReadError::NoSuchTile { tile }));
    }
    let name = "no such picture".to_owned();
    assert_eq!(slide.read_associated(&name, &mut out), Err(ReadError::NoSuchImage { name }));
}

fn assert_associated(slide: &dyn Slide) {
    for image in &slide.info().associated {
        let mut out = RgbBuffer::default();
        if slide.read_associated(&image.name, &mut out).is_ok() {
            let size = (out.width() as u32, out.height() as u32);
            assert_eq!(size, (image.width, image.height), "size of {}", image.name);
        }
    }
}

/// Reads all pixels of a level, for tests.
///
/// # Errors
///
/// [`ReadError`] when a tile cannot be read, and `NoSuchTile` for levels larger
/// than tests should read.
pub fn whole_level(slide: &dyn Slide, level: LevelIndex) -> Result<RgbBuffer, ReadError> {
    let none = ReadError::NoSuchTile { tile: TileId { level, row: 0, column: 0 } };
    let grid = slide.info().pyramid.level(level).ok_or(none.clone())?.tiles;
    if u64::from(grid.width) * u64::from(grid.height) > MAX_WHOLE {
        return Err(none);
    }
    let rect =
        LevelRect::new(euclid::point2(0, 0), euclid::size2(i64::from(grid.width), i64::from(grid.height)));
    let mut out = RgbBuffer::default();
    read_region(slide, level, rect, &mut out)?;
    Ok(out)
}

/// Difference of two pictures of one size, in grey levels per sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Largest.
    pub max: u8,
    /// Mean of the absolute differences.
    pub mean: f64,
    /// Samples that differ by more than 4, per million.
    pub over_4_ppm: f64,
}

/// Compares two pictures.
///
/// # Panics
///
/// When their sizes differ.
#[must_use]
pub fn difference(a: &RgbBuffer, b: &RgbBuffer) -> Difference {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()), "pictures of one size");
    let apart = a.bytes().iter().zip(b.bytes()).map(|(x, y)| x.abs_diff(*y));
    let samples = a.bytes().len().max(1) as f64;
    Difference {
        max: apart.clone().max().unwrap_or(0),
        mean: apart.clone().map(f64::from).sum::<f64>() / samples,
        over_4_ppm: apart.filter(|&d| d > 4).count() as f64 / samples * 1e6,
    }
}
