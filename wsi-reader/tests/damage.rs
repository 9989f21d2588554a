//! Damage is never read as good data where the format lets us detect it: we refuse what a full decode by a
//! reference refuses, and return what it accepts in the same form.
#![allow(clippy::unwrap_used)]

mod support;

use std::{io::Read as _, path::Path, sync::Arc};

use support::{
    Dice, painted, shared_cases, shared_slides,
    tiff::{Flavour, PageSpec, write},
    unpacked::{Reference, lzw, pack_bits},
};
use tiff::{decoder::Decoder, tags::Tag};
use wsi_reader::{
    Slide,
    doctor::{CheckOptions, Checkup, check},
    open,
};
use wsi_types::{LevelIndex, RgbBuffer, TileId};

const TILE: TileId = TileId { level: LevelIndex(0), row: 0, column: 0 };
const SIZE: (u32, u32) = (64, 48);
/// Place of the data in a classic TIFF of one tile, as the tests write it.
const DATA: usize = 8;

fn full(slide: &dyn Slide) -> Checkup {
    check(slide, &CheckOptions::full(2), &|_, _| {})
}

#[test]
fn broken_deflate_and_lzw_tiles_are_found() {
    let Some(folder) = shared_cases("reading") else { return };
    for (name, words) in [("deflate_bad_checksum.tif", "Deflate data"), ("lzw_bad_code.tif", "LZW data")] {
        let checkup = full(&*open(&folder.join(name)).unwrap());
        assert_eq!((checkup.unreadable(), checkup.damaged()), (1, 0), "{name}: {:?}", checkup.levels);
        let fault = checkup.levels.iter().flat_map(|level| &level.faults).next().unwrap();
        assert!(fault.reason.contains(words), "{}", fault.reason);
    }
}

/// Makes a file of one tile; returns it with the place of its data.
fn one_tile(compression: u16, predictor: u16) -> (Vec<u8>, std::ops::Range<usize>) {
    let page = PageSpec::new(painted(SIZE.0, SIZE.1))
        .with(|p| (p.compression, p.predictor, p.tile) = (compression, predictor, Some(SIZE)));
    let bytes = write(Flavour::PLAIN, &[page]);
    let mut decoder = Decoder::new(std::io::Cursor::new(&bytes)).unwrap();
    let count = decoder.get_tag_u64(Tag::TileByteCounts).unwrap() as usize;
    assert_eq!(decoder.get_tag_u64(Tag::TileOffsets).unwrap() as usize, DATA);
    (bytes, DATA..DATA + count)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn open(&self, bytes: &[u8]) -> Arc<dyn Slide> {
        let path = self.0.path().join("x.tif");
        std::fs::write(&path, bytes).unwrap();
        open(&path).unwrap()
    }
}

fn deflate(data: &[u8]) -> Reference {
    let mut bytes = Vec::new();
    match flate2::bufread::ZlibDecoder::new(data).read_to_end(&mut bytes) {
        Ok(_) => Reference::Whole(bytes),
        Err(_) => Reference::Broken,
    }
}

fn zstd_frames(data: &[u8]) -> Reference {
    zstd::stream::decode_all(data).map_or(Reference::Broken, Reference::Whole)
}

/// A reference decoder.
type Decode = fn(&[u8]) -> Reference;

/// Flips a few bits, cuts, or inserts, as a disk or a network may damage data.
fn damaged(sound: &[u8], data: &std::ops::Range<usize>, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..=dice.roll(3) {
        bytes[data.start + dice.roll(data.len())] ^= 1 << dice.roll(8);
    }
    bytes
}

#[test]
fn what_a_reference_refuses_is_refused_and_what_it_reads_is_read_the_same() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let codecs: [(u16, &str, Decode); 4] = [
        (8, "Deflate", deflate),
        (5, "LZW", lzw),
        (50000, "ZSTD", zstd_frames),
        (32773, "PackBits", pack_bits),
    ];
    for (compression, name, reference) in codecs {
        let (sound, data) = one_tile(compression, 1);
        let mut dice = Dice::new(u64::from(compression));
        let (mut refused, mut same) = (0, 0);
        for round in 0..1500 {
            let bytes = if round == 0 { sound.clone() } else { damaged(&sound, &data, &mut dice) };
            let slide = folder.open(&bytes);
            let mut pixels = RgbBuffer::default();
            let ours = slide.read_tile(TILE, &mut pixels);
            let expected = (SIZE.0 * SIZE.1 * 3) as usize;
            match reference(&bytes[data.clone()]) {
                Reference::Whole(theirs) if theirs.len() == expected => {
                    assert_eq!(ours, Ok(()), "{name} {round}");
                    assert!(pixels.bytes() == theirs, "{name} {round}");
                    same += 1;
                }
                Reference::Endless(theirs) if theirs.len() == expected => {
                    assert_eq!(ours, Ok(()), "{name} {round}");
                    assert!(pixels.bytes() == theirs, "{name} {round}");
                    assert!(!slide.verify_tile(TILE).is_empty(), "{name} {round}");
                }
                _ => {
                    assert!(ours.is_err(), "{name} {round}: read as good");
                    refused += 1;
                }
            }
        }
        eprintln!("{name}: {refused} of 1499 damaged tiles are refused; {} decode to other pixels", same - 1);
        assert!(same > 0);
    }
}

#[test]
fn every_cut_of_a_tile_is_refused() {
    let folder = Folder(tempfile::tempdir().unwrap());
    for compression in [8, 5, 50000, 32773, 1] {
        let (sound, data) = one_tile(compression, 2);
        let counts = sound.len() - DATA;
        assert!(counts > data.len());
        for shorter in (1..data.len()).step_by(37).chain([data.len() - 1]) {
            let mut bytes = sound.clone();
            // The byte count states less: the tile ends too early.
            let stated = (data.len() as u32).to_le_bytes();
            let place = bytes.windows(4).rposition(|window| window == stated).unwrap();
            bytes[place..place + 4].copy_from_slice(&(shorter as u32).to_le_bytes());
            let slide = folder.open(&bytes);
            let outcome = slide.read_tile(TILE, &mut RgbBuffer::default());
            // All pixels of LZW may be there without its end code: then the check-up reports it.
            let told = compression == 5 && !slide.verify_tile(TILE).is_empty();
            assert!(outcome.is_err() || told, "{compression}, cut to {shorter} of {}", data.len());
        }
    }
}

#[test]
fn bytes_behind_the_end_are_told_and_padding_is_not() {
    let folder = Folder(tempfile::tempdir().unwrap());
    for (compression, behind, is_told) in
        [(8, 1_u8, true), (8, 0, false), (5, 0xaa, true), (5, 0, false), (32773, 3, true), (32773, 0, false)]
    {
        let page = PageSpec::new(painted(SIZE.0, SIZE.1))
            .with(|p| (p.compression, p.tile, p.behind) = (compression, Some(SIZE), vec![behind; 20]));
        let slide = folder.open(&write(Flavour::PLAIN, &[page]));
        let mut pixels = RgbBuffer::default();
        assert_eq!(slide.read_tile(TILE, &mut pixels), Ok(()), "{compression} {behind}");
        assert!(pixels == painted(SIZE.0, SIZE.1));
        let told = slide.verify_tile(TILE);
        assert_eq!(!told.is_empty(), is_told, "{compression} {behind}: {told:?}");
        assert_eq!(full(&*slide).damaged(), usize::from(is_told));
    }
}

/// The last strip of some writers is as high as the others.
#[test]
fn a_last_strip_that_is_filled_up_is_read() {
    let folder = Folder(tempfile::tempdir().unwrap());
    for compression in [1, 5, 8, 32773, 50000] {
        for planar in [false, true] {
            let page = PageSpec::new(painted(50, 41)).with(|p| {
                (p.compression, p.tile, p.rows_per_strip) = (compression, None, 16);
                (p.full_strips, p.planar) = (true, planar);
            });
            let slide = folder.open(&write(Flavour::PLAIN, &[page]));
            let whole = wsi_reader::conformance::whole_level(&*slide, LevelIndex(0)).unwrap();
            assert!(whole == painted(50, 41), "{compression} {planar}");
            assert_eq!(full(&*slide).damaged(), 0);
        }
    }
}

#[test]
fn a_plane_that_is_missing_beside_another_is_no_background() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let page = PageSpec::new(painted(SIZE.0, SIZE.1))
        .with(|p| (p.tile, p.planar, p.absent) = (Some(SIZE), true, vec![1]));
    let slide = folder.open(&write(Flavour::PLAIN, &[page]));
    let error = slide.read_tile(TILE, &mut RgbBuffer::default()).unwrap_err().to_string();
    assert!(error.contains("colour plane 1 is missing"), "{error}");
}

/// Returns the file and the place of the bytes of its first page's first tile.
fn first_tile(path: &Path) -> (Vec<u8>, std::ops::Range<usize>) {
    let bytes = std::fs::read(path).unwrap();
    let mut decoder = Decoder::new(std::io::Cursor::new(&bytes)).unwrap();
    let [at, count] =
        [Tag::TileOffsets, Tag::TileByteCounts].map(|tag| decoder.get_tag_u64_vec(tag).unwrap()[0] as usize);
    (bytes, at..at + count)
}

/// Streams whose second half was never written, as an interrupted copy leaves them.
#[test]
fn halves_of_jpeg_streams_of_every_kind_are_refused() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let (Some(slides), Some(cases)) = (shared_slides(), shared_cases("reading")) else { return };
    for path in [
        slides.join("crafted/jp2k_33003_ycbcr.svs"),
        slides.join("crafted/base_for_corruption.svs"),
        cases.join("r01_progressive_tiles.svs"),
        cases.join("r00_reference.svs"),
    ] {
        let (sound, data) = first_tile(&path);
        for share in [0.3, 0.5, 0.8, 0.95] {
            let mut bytes = sound.clone();
            let from = data.start + (data.len() as f64 * share) as usize;
            bytes[from..data.end].fill(0);
            let slide = folder.open(&bytes);
            let outcome = slide.read_tile(TILE, &mut RgbBuffer::default());
            assert!(outcome.is_err(), "{}, cut at {share}", path.display());
        }
    }
}

/// Flips in one tile that are refused on reading, and those that the check-up reports: as many as JPEG lets
/// one know.
#[test]
fn some_flips_in_jpeg_are_known() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let Some(cases) = shared_cases("reading") else { return };
    // A flip inside a value changes some pixels and nothing else: JPEG has no checksum.
    for (name, fewest) in [("r00_reference.svs", 35), ("r01_progressive_tiles.svs", 0)] {
        let (sound, data) = first_tile(&cases.join(name));
        let mut dice = Dice::new(7);
        let (mut refused, mut told) = (0, 0);
        for _ in 0..200 {
            let mut bytes = sound.clone();
            bytes[data.start + 700 + dice.roll(data.len() - 702)] ^= 1 << dice.roll(8);
            let slide = folder.open(&bytes);
            let is_refused = slide.read_tile(TILE, &mut RgbBuffer::default()).is_err();
            refused += usize::from(is_refused);
            told += usize::from(is_refused || !slide.verify_tile(TILE).is_empty());
        }
        eprintln!("{name}: of 200 flips {refused} are refused on reading, {told} told by the check-up");
        assert!(told >= fewest, "{name}: {told}");
    }
}

#[test]
fn every_flip_in_a_png_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.png");
    let picture = painted(90, 70);
    let mut sound = Vec::new();
    let mut encoder = png::Encoder::new(&mut sound, 90, 70);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(picture.bytes()).unwrap();
    std::fs::write(&path, &sound).unwrap();
    assert!(wsi_reader::conformance::whole_level(&*open(&path).unwrap(), LevelIndex(0)).unwrap() == picture);
    let mut dice = Dice::new(3);
    for round in 0..400 {
        // After the signature.
        let at = 8 + dice.roll(sound.len() - 8);
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << dice.roll(8);
        std::fs::write(&path, &bytes).unwrap();
        assert!(open(&path).is_err(), "round {round}: byte {at} of {}", sound.len());
    }
}

#[test]
fn a_jpeg_picture_that_goes_on_after_its_last_block_is_told() {
    let Some(folder) = shared_cases("reading") else { return };
    let sound = std::fs::read(folder.join("r20_upright.jpg")).unwrap();
    let at = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jpg");
        std::fs::write(&path, bytes).unwrap();
        open(&path).map(|slide| full(&*slide).damaged())
    };
    assert_eq!(at(&sound).unwrap(), 0);
    assert!(sound.ends_with(b"\xff\xd9"));
    let longer = [&sound[..sound.len() - 2], &[0x5a; 40], b"\xff\xd9"].concat();
    assert!(at(&longer).map_or(true, |damaged| damaged == 1));
    assert!(at(&sound[..sound.len() / 2]).is_err());
}
