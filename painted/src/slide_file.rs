//! Writes the painted slide as a tiled JPEG pyramid (TIFF 6.0 with the JPEG
//! tiles of Technical Note 2), which OpenSlide reads as `generic-tiff`.
//!
//! The pixel size is in `XResolution` and `YResolution`, in px per cm. No maker's name is claimed: the
//! description says that it is a painting.

use std::{
    io::{Seek, Write},
    path::Path,
};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rayon::prelude::*;
use tiff::{
    encoder::{Rational, TiffEncoder, TiffKindStandard},
    tags::Tag,
};
use wsi_types::RgbBuffer;

use crate::{
    cells,
    error::{EncodeError, PaintError},
    micron::MPP,
    paint::Painter,
    settings::{PaintSettings, PaintedStain, TILE_PX},
    tissue::Tissue,
    truth::{PaintedCell, Truth},
};

/// Downsample of each level against the one before, per axis.
const LEVEL_STEP: usize = 4;
const LEVELS: usize = 3;
const JPEG_QUALITY: u8 = 84;

/// Paints a slide into `path` (a `.tif`; it appears whole or not at all) and returns the places of its cells.
///
/// # Errors
///
/// When no slide can be made with the settings, or the file cannot be written.
pub fn paint_slide(path: &Path, settings: &PaintSettings) -> Result<Truth, PaintError> {
    let settings = settings.checked()?;
    let tissue = Tissue::lay_out(&settings);
    let cells = cells::plant(&tissue, &settings);
    paint_cells(path, &settings, &tissue, cells)
}

/// As [`paint_slide`] with [`PaintedStain::HDab`], but `dab_od` says how much DAB is in each nucleus, as its optical
/// density, in the order of planting; around nuclei there is none.
///
/// # Errors
///
/// As [`paint_slide`].
pub fn paint_with_dab(
    path: &Path,
    settings: &PaintSettings,
    mut dab_od: impl FnMut(&PaintedCell) -> f64,
) -> Result<Truth, PaintError> {
    let settings = PaintSettings { stain: PaintedStain::HDab, ..settings.checked()? };
    let tissue = Tissue::lay_out(&settings);
    let mut cells = cells::plant(&tissue, &settings);
    for cell in &mut cells {
        cell.dab_ring_od = 0.0;
        cell.dab_od = dab_od(cell);
    }
    paint_cells(path, &settings, &tissue, cells)
}

fn paint_cells(
    path: &Path,
    settings: &PaintSettings,
    tissue: &Tissue,
    cells: Vec<PaintedCell>,
) -> Result<Truth, PaintError> {
    let truth = Truth { cells, seam_step_px: settings.window_step_um / MPP };
    let painter = Painter::new(tissue, &truth.cells, settings.seed, settings.stain);
    let size = ((settings.width_um / MPP) as u32, (settings.height_um / MPP) as u32);
    let picture = Picture {
        size,
        description: describe(settings),
        tile: |column, row| {
            let mut pixels = RgbBuffer::default();
            painter.paint((column * TILE_PX, row * TILE_PX), TILE_PX, &mut pixels);
            pixels
        },
    };
    picture.write(path).map(|()| truth)
}

/// Side of a square of [`paint_squares`], level-0 px. A square is whole blocks of the JPEGs of the first two levels, so
/// that its px have its colour alone.
pub const SQUARE_PX: u32 = 64;

/// Paints a slide of `columns` × `rows` squares, each of one colour, into `path`. It is filled up with white to whole
/// tiles of four squares.
///
/// # Errors
///
/// When the file cannot be written.
pub fn paint_squares(
    path: &Path,
    (columns, rows): (u32, u32),
    colour: impl Fn(u32, u32) -> [u8; 3] + Sync,
) -> Result<(), PaintError> {
    let [width, height] =
        [columns, rows].map(|squares| (squares.max(1) * SQUARE_PX).next_multiple_of(TILE_PX));
    let picture = Picture {
        size: (width, height),
        description: format!("slidemill: painted squares, not tissue; {MPP} um/px"),
        tile: |column, row| {
            let mut pixels = RgbBuffer::filled(TILE_PX as usize, TILE_PX as usize, [u8::MAX; 3]);
            for y in 0..TILE_PX {
                for (x, pixel) in (0..).zip(pixels.row_mut(y as usize).as_chunks_mut::<3>().0) {
                    let square = ((column * TILE_PX + x) / SQUARE_PX, (row * TILE_PX + y) / SQUARE_PX);
                    if square.0 < columns && square.1 < rows {
                        *pixel = colour(square.0, square.1);
                    }
                }
            }
            pixels
        },
    };
    picture.write(path)
}

/// A slide that is painted tile by tile.
struct Picture<Tile> {
    /// Width and height of level 0, px: whole tiles.
    size: (u32, u32),
    description: String,
    /// Paints the tile of level 0 in that column and row.
    tile: Tile,
}

impl<Tile: Fn(u32, u32) -> RgbBuffer + Sync> Picture<Tile> {
    fn write(&self, path: &Path) -> Result<(), PaintError> {
        match whole_file::write(path, |file| write_pyramid(file, self)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(PaintError::Encode { reason, path: path.to_owned() }),
            Err(reason) => {
                Err(PaintError::Write { what: "the painted slide", reason, path: path.to_owned() })
            }
        }
    }
}

fn write_pyramid<W: Write + Seek>(
    file: W,
    picture: &Picture<impl Fn(u32, u32) -> RgbBuffer + Sync>,
) -> Result<(), EncodeError> {
    let mut tiff = TiffEncoder::new(file)?;
    let Picture { size, description, tile } = picture;
    let size = *size;
    let mut level = LevelWriter::begin(&mut tiff, size, 0, description)?;
    let mut smaller = RgbBuffer::filled(size.0 as usize / LEVEL_STEP, size.1 as usize / LEVEL_STEP, [0; 3]);
    for row in 0..size.1 / TILE_PX {
        let tiles: Vec<(Vec<u8>, RgbBuffer)> = (0..size.0 / TILE_PX)
            .into_par_iter()
            .map(|column| encode_tile(&tile(column, row)))
            .collect::<Result<_, EncodeError>>()?;
        for (column, (jpeg, shrunk)) in tiles.iter().enumerate() {
            level.write_tile(jpeg)?;
            let side = TILE_PX as usize / LEVEL_STEP;
            paste(shrunk, (column * side, row as usize * side), &mut smaller);
        }
    }
    level.finish()?;
    for index in 1..LEVELS {
        write_level(&mut tiff, &smaller, index, description)?;
        smaller = shrink(&smaller);
    }
    Ok(())
}

/// One tile of level 0 as JPEG, and its part of the next level.
fn encode_tile(pixels: &RgbBuffer) -> Result<(Vec<u8>, RgbBuffer), EncodeError> {
    Ok((encode(pixels)?, shrink(pixels)))
}

/// Writes a level whose pixels are in memory.
fn write_level<W: Write + Seek>(
    tiff: &mut TiffEncoder<W>,
    pixels: &RgbBuffer,
    index: usize,
    description: &str,
) -> Result<(), EncodeError> {
    let size = (pixels.width() as u32, pixels.height() as u32);
    let mut level = LevelWriter::begin(tiff, size, index, description)?;
    for row in 0..size.1.div_ceil(TILE_PX) {
        for column in 0..size.0.div_ceil(TILE_PX) {
            level.write_tile(&encode(&cut_tile(pixels, column, row))?)?;
        }
    }
    level.finish()
}

/// One directory of the file, filled tile by tile.
struct LevelWriter<'a, W: Write + Seek> {
    directory: tiff::encoder::DirectoryEncoder<'a, W, TiffKindStandard>,
    offsets: Vec<u32>,
    lengths: Vec<u32>,
}

impl<'a, W: Write + Seek> LevelWriter<'a, W> {
    fn begin(
        tiff: &'a mut TiffEncoder<W>,
        size: (u32, u32),
        index: usize,
        description: &str,
    ) -> Result<Self, EncodeError> {
        let mut directory = tiff.image_directory()?;
        directory.write_tag(Tag::NewSubfileType, u32::from(index > 0))?;
        directory.write_tag(Tag::ImageWidth, size.0)?;
        directory.write_tag(Tag::ImageLength, size.1)?;
        directory.write_tag(Tag::BitsPerSample, &[8_u16, 8, 8][..])?;
        directory.write_tag(Tag::Compression, 7_u16)?;
        directory.write_tag(Tag::PhotometricInterpretation, 6_u16)?;
        directory.write_tag(Tag::SamplesPerPixel, 3_u16)?;
        directory.write_tag(Tag::PlanarConfiguration, 1_u16)?;
        directory.write_tag(Tag::Unknown(530), &[2_u16, 2][..])?; // YCbCrSubSampling
        directory.write_tag(Tag::TileWidth, TILE_PX)?;
        directory.write_tag(Tag::TileLength, TILE_PX)?;
        let scale = (0..index).fold(1_u32, |scale, _| scale * LEVEL_STEP as u32);
        let per_cm = Rational { n: (1e4 / MPP) as u32, d: scale };
        directory.write_tag(Tag::XResolution, Rational { ..per_cm })?;
        directory.write_tag(Tag::YResolution, per_cm)?;
        directory.write_tag(Tag::ResolutionUnit, 3_u16)?;
        if index == 0 {
            directory.write_tag(Tag::ImageDescription, description)?;
            directory.write_tag(Tag::Software, concat!("slidemill ", env!("CARGO_PKG_VERSION")))?;
        }
        Ok(Self { directory, offsets: Vec::new(), lengths: Vec::new() })
    }

    fn write_tile(&mut self, jpeg: &[u8]) -> Result<(), EncodeError> {
        let offset = self.directory.write_data(jpeg)?;
        self.offsets.push(u32::try_from(offset)?);
        self.lengths.push(u32::try_from(jpeg.len())?);
        Ok(())
    }

    fn finish(mut self) -> Result<(), EncodeError> {
        self.directory.write_tag(Tag::TileOffsets, &self.offsets[..])?;
        self.directory.write_tag(Tag::TileByteCounts, &self.lengths[..])?;
        self.directory.finish()?;
        Ok(())
    }
}

fn describe(settings: &PaintSettings) -> String {
    let colours = match settings.stain {
        PaintedStain::He => "H&E",
        PaintedStain::HDab => "H-DAB",
    };
    format!(
        "slidemill demo: a painting in the colours of {colours}, not tissue; {MPP} um/px; seed {}",
        settings.seed
    )
}

fn encode(pixels: &RgbBuffer) -> Result<Vec<u8>, EncodeError> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(
        pixels.bytes(),
        u16::try_from(pixels.width())?,
        u16::try_from(pixels.height())?,
        ColorType::Rgb,
    )?;
    Ok(jpeg)
}

/// The mean of every 4 × 4 pixels, rounded; remainders are left out.
fn shrink(pixels: &RgbBuffer) -> RgbBuffer {
    let (width, height) = (pixels.width() / LEVEL_STEP, pixels.height() / LEVEL_STEP);
    let mut small = RgbBuffer::filled(width, height, [0; 3]);
    let mut sums = vec![[0_u16; 3]; width];
    for y in 0..height {
        sums.fill([0; 3]);
        for row in y * LEVEL_STEP..(y + 1) * LEVEL_STEP {
            let (groups, _) = pixels.row(row).as_chunks::<{ 3 * LEVEL_STEP }>();
            for (sum, group) in sums.iter_mut().zip(groups) {
                for pixel in group.as_chunks::<3>().0 {
                    *sum = std::array::from_fn(|c| sum[c] + u16::from(pixel[c]));
                }
            }
        }
        for (pixel, sum) in small.row_mut(y).as_chunks_mut::<3>().0.iter_mut().zip(&sums) {
            *pixel = sum.map(|s| ((s + 8) / 16) as u8);
        }
    }
    small
}

fn paste(part: &RgbBuffer, at: (usize, usize), whole: &mut RgbBuffer) {
    for y in 0..part.height() {
        whole.row_mut(at.1 + y)[at.0 * 3..][..part.width() * 3].copy_from_slice(part.row(y));
    }
}

/// A whole tile; past the level's edge its last pixels are repeated, which
/// costs JPEG least.
fn cut_tile(pixels: &RgbBuffer, column: u32, row: u32) -> RgbBuffer {
    let side = TILE_PX as usize;
    let mut tile = RgbBuffer::filled(side, side, [0; 3]);
    for y in 0..side {
        let from_row = (row as usize * side + y).min(pixels.height() - 1);
        for (x, pixel) in tile.row_mut(y).as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = pixels.pixel((column as usize * side + x).min(pixels.width() - 1), from_row);
        }
    }
    tile
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use tiff::decoder::Decoder;
    use wsi_reader::MppSource;
    use wsi_types::{LevelIndex, TileId};

    use super::*;

    fn small() -> PaintSettings {
        PaintSettings { width_um: 384.0, height_um: 256.0, window_step_um: 128.0, ..Default::default() }
    }

    fn painted(folder: &Path, settings: &PaintSettings) -> (PathBuf, Truth) {
        let path = folder.join("demo ä.tif");
        let truth = paint_slide(&path, settings).expect("painted");
        (path, truth)
    }

    #[test]
    fn our_reader_opens_it_with_its_scale_and_levels() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (path, truth) = painted(folder.path(), &small());
        let slide = wsi_reader::open(&path).expect("a slide");
        let info = slide.info();
        let sizes: Vec<_> = info.pyramid.levels().iter().map(|l| (l.width(), l.height())).collect();
        assert_eq!(sizes, [(1536, 1024), (384, 256), (96, 64)]);
        let scale = info.scale.as_ref().expect("known");
        assert_eq!((scale.mpp.get(), scale.source), (MPP, MppSource::TiffResolution));
        assert!(truth.cells.len() > 20, "{}", truth.cells.len());
    }

    #[test]
    fn nuclei_are_dark_and_glass_is_bright() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (path, truth) = painted(folder.path(), &small());
        let slide = wsi_reader::open(&path).expect("a slide");
        let grey = |x: f64, y: f64| {
            let (x, y) = (x as u32, y as u32);
            let tile = TileId { level: LevelIndex(0), column: x / TILE_PX, row: y / TILE_PX };
            let mut pixels = RgbBuffer::default();
            slide.read_tile(tile, &mut pixels).expect("readable");
            let [r, ..] = pixels.pixel((x % TILE_PX) as usize, (y % TILE_PX) as usize);
            r
        };
        let mut red: Vec<u8> = truth.cells.iter().map(|cell| grey(cell.centre.x, cell.centre.y)).collect();
        red.sort_unstable();
        assert!(red[red.len() / 2] < 170, "half of the nuclei are at least {}", red[red.len() / 2]);
        assert!(grey(1535.0, 1023.0) > 235);
    }

    #[test]
    fn dab_is_where_it_was_asked_for() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("dab.tif");
        let is_stained = |cell: &PaintedCell| cell.centre.x < 768.0;
        let truth = paint_with_dab(&path, &small(), |cell| if is_stained(cell) { 0.9 } else { 0.0 });
        let truth = truth.expect("painted");
        let plain = painted(folder.path(), &small()).1;
        assert!(truth.cells.iter().zip(&plain.cells).all(|(one, other)| one.centre == other.centre));
        let slide = wsi_reader::open(&path).expect("a slide");
        // Brown lets less blue than red through, hematoxylin less red than blue.
        let is_brown = |cell: &PaintedCell| {
            let (x, y) = (cell.centre.x as u32, cell.centre.y as u32);
            let tile = TileId { level: LevelIndex(0), column: x / TILE_PX, row: y / TILE_PX };
            let mut pixels = RgbBuffer::default();
            slide.read_tile(tile, &mut pixels).expect("readable");
            let [r, _, b] = pixels.pixel((x % TILE_PX) as usize, (y % TILE_PX) as usize);
            b < r
        };
        assert!(truth.cells.iter().any(is_stained) && !truth.cells.iter().all(is_stained));
        for cell in &truth.cells {
            assert_eq!((is_brown(cell), cell.dab_ring_od), (is_stained(cell), 0.0), "{cell:?}");
        }
    }

    #[test]
    fn squares_have_their_colour_alone_on_two_levels() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("squares.tif");
        let colour =
            |x: u32, y: u32| if (x + y).is_multiple_of(2) { [142, 74, 150] } else { [226, 150, 190] };
        paint_squares(&path, (5, 4), colour).expect("painted");
        let slide = wsi_reader::open(&path).expect("a slide");
        for (level, square) in [(0, 64), (1, 16)] {
            let mut pixels = RgbBuffer::default();
            let tile = TileId { level: LevelIndex(level), column: 0, row: 0 };
            slide.read_tile(tile, &mut pixels).expect("readable");
            // JPEG mixes the colours of neighbours at their border.
            let (first, last) = (2, square - 3);
            for (x, y) in [
                (first, first),
                (last, last),
                (square + first, last),
                (2 * square + first, 3 * square + last),
            ] {
                let near = |(a, b): (u8, u8)| a.abs_diff(b) < 8;
                let wanted = colour((x / square) as u32, (y / square) as u32);
                assert!(pixels.pixel(x, y).into_iter().zip(wanted).all(near), "level {level} ({x}, {y})");
            }
        }
        assert_eq!(slide.info().pyramid.levels()[0].width(), 512);
    }

    #[test]
    fn threads_change_no_byte_and_the_seed_does() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let runs = [(1, small()), (3, small()), (1, PaintSettings { seed: 7, ..small() })];
        let [one, three, other] = runs.map(|(threads, settings)| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let (path, _) = pool.install(|| painted(folder.path(), &settings));
            fs::read(path).expect("written")
        });
        assert_eq!(one, three);
        assert_ne!(one, other);
    }

    #[test]
    fn the_description_claims_no_maker() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (path, _) = painted(folder.path(), &small());
        let mut decoder = Decoder::new(fs::File::open(path).expect("open")).expect("TIFF");
        let text = decoder.get_tag_ascii_string(Tag::ImageDescription).expect("described");
        assert!(text.starts_with("slidemill demo: a painting"), "{text}");
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for side in [f64::NAN, 0.0, -5.0, 100.0, 1e9] {
            let settings = PaintSettings { width_um: side, ..small() };
            assert!(paint_slide(&folder.path().join("x.tif"), &settings).is_err(), "{side}");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
    }

    #[test]
    fn shrinking_rounds_means() {
        let mut pixels = RgbBuffer::filled(8, 4, [10, 0, 255]);
        pixels.row_mut(0)[..3].copy_from_slice(&[18, 0, 255]);
        let small = shrink(&pixels);
        assert_eq!((small.width(), small.height()), (2, 1));
        // (18 + 15 × 10) / 16 = 10.5, rounded up.
        assert_eq!((small.pixel(0, 0), small.pixel(1, 0)), ([11, 0, 255], [10, 0, 255]));
    }
}
