//! Painted TIFFs of every layout come back as they were painted.
#![allow(clippy::unwrap_used)]

mod support;

use std::{path::PathBuf, sync::Arc};

use jpeg_encoder::SamplingFactor;
use support::{
    paint, painted,
    tiff::{Flavour, PageSpec, write},
};
use wsi_reader::{
    LinearMapping, MemorySlide, OpenError, OpenOptions, Prefer, ReadError, ScaleProblem, Slide, TileState,
    conformance::{assert_conforms, difference, whole_level},
    open, open_with,
};
use wsi_types::{LevelIndex, RgbBuffer, TileId};
use zune_core::bytestream::ZCursor;
use zune_jpeg::JpegDecoder;

const SIZE: (u32, u32) = (203, 151);

/// The colour expected at x and y.
type Painter = fn(u32, u32) -> [u8; 3];
/// A change that makes a page wrong.
type Change = fn(&mut PageSpec);

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn file(bytes: &[u8]) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("painted slide.tif");
    std::fs::write(&path, bytes).unwrap();
    File { _folder: folder, path }
}

fn opened(bytes: &[u8]) -> (File, Arc<dyn Slide>) {
    let file = file(bytes);
    let slide = open(&file.path).unwrap();
    (file, slide)
}

fn page() -> PageSpec {
    PageSpec::new(painted(SIZE.0, SIZE.1))
}

fn level0(slide: &dyn Slide) -> RgbBuffer {
    whole_level(slide, LevelIndex(0)).unwrap()
}

#[test]
fn lossless_layouts_come_back_exactly() {
    for flavour in Flavour::ALL {
        for compression in [1, 5, 8, 32773, 50000] {
            for predictor in [1, 2] {
                for planar in [false, true] {
                    for tile in [Some((64, 48)), None] {
                        let spec = page().with(|p| {
                            (p.compression, p.predictor, p.planar, p.tile) =
                                (compression, predictor, planar, tile);
                        });
                        let (_file, slide) = opened(&write(flavour, &[spec]));
                        let what = format!("{flavour:?} {compression} {predictor} {planar} {tile:?}");
                        assert_eq!(slide.info().backend, "tiff", "{what}");
                        assert!(level0(&*slide) == painted(SIZE.0, SIZE.1), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn gray_palette_and_alpha_become_rgb() {
    let gray = |x: u32, y: u32| [paint(x, y)[0]; 3];
    let spec = |change: fn(&mut PageSpec)| page().with(change);
    let cases: [(&str, PageSpec, Painter); 6] = [
        ("gray", spec(|p| (p.samples, p.photometric) = (1, 1)), gray),
        ("white is zero", spec(|p| (p.samples, p.photometric) = (1, 0)), gray),
        ("palette", spec(|p| (p.samples, p.photometric) = (1, 3)), gray),
        ("gray and alpha", spec(|p| (p.samples, p.photometric, p.alpha) = (2, 1, Some((2, 255)))), gray),
        ("opaque", spec(|p| (p.samples, p.alpha) = (4, Some((2, 255)))), paint),
        ("clear", spec(|p| (p.samples, p.alpha) = (4, Some((2, 0)))), |_, _| [255; 3]),
    ];
    for (name, spec, expected) in cases {
        let (_file, slide) = opened(&write(Flavour::PLAIN, &[spec]));
        assert_conforms(&*slide);
        let found = level0(&*slide);
        for (x, y) in [(0, 0), (63, 47), (64, 48), (202, 150)] {
            assert_eq!(found.pixel(x as usize, y as usize), expected(x, y), "{name} at {x}, {y}");
        }
    }
    let half = page().with(|p| (p.samples, p.alpha) = (4, Some((2, 128))));
    let (_file, slide) = opened(&write(Flavour::PLAIN, &[half]));
    let [r, ..] = level0(&*slide).pixel(10, 10);
    let expected = (u32::from(paint(10, 10)[0]) * 128 + 255 * 127 + 127) / 255;
    assert_eq!(u32::from(r), expected);
}

#[test]
fn jpeg_in_all_its_ways_is_close() {
    for (photometric, sampling, jfif) in [
        (6, SamplingFactor::F_1_1, true),
        (6, SamplingFactor::F_2_1, false),
        (6, SamplingFactor::F_2_2, true),
        // Aperio: RGB, and nothing in the stream says so.
        (2, SamplingFactor::F_1_1, false),
        // QuPath: "RGB", and the stream is YCbCr all the same.
        (2, SamplingFactor::F_1_1, true),
        (2, SamplingFactor::F_2_2, true),
    ] {
        for shared_tables in [false, true] {
            for tile in [Some((64, 48)), None] {
                let spec = page().with(|p| {
                    (p.compression, p.photometric, p.sampling) = (7, photometric, sampling);
                    (p.shared_tables, p.tile, p.jfif) = (shared_tables, tile, jfif);
                });
                let (_file, slide) = opened(&write(Flavour::PLAIN, &[spec]));
                let apart = difference(&level0(&*slide), &painted(SIZE.0, SIZE.1));
                let what = format!("{photometric} {sampling:?} {jfif} {shared_tables} {tile:?}: {apart:?}");
                assert!(apart.mean < 1.6 && apart.max < 40, "{what}");
                assert_conforms(&*slide);
            }
        }
    }
    let gray = page().with(|p| (p.compression, p.photometric, p.samples) = (7, 1, 1));
    let (_file, slide) = opened(&write(Flavour::PLAIN, &[gray]));
    let [r, g, b] = level0(&*slide).pixel(100, 100);
    assert!(r == g && g == b && r.abs_diff(paint(100, 100)[0]) < 8);
}

#[test]
fn progressive_jpeg_has_the_same_colours() {
    for (photometric, jfif, samples) in
        [(6, true, 3), (6, false, 3), (2, false, 3), (2, true, 3), (1, true, 1)]
    {
        for tile in [Some((64, 48)), None] {
            let page = |progressive| {
                page().with(|p| {
                    (p.compression, p.photometric, p.samples) = (7, photometric, samples);
                    (p.jfif, p.tile, p.progressive) = (jfif, tile, progressive);
                })
            };
            let [(_one, plain), (_other, progressive)] =
                [false, true].map(|progressive| opened(&write(Flavour::PLAIN, &[page(progressive)])));
            let apart = difference(&level0(&*plain), &level0(&*progressive));
            assert!(apart.max <= 2, "{photometric} {jfif} {tile:?}: {apart:?}");
        }
    }
}

#[test]
fn a_stored_tile_is_a_jpeg_of_the_colours_that_are_read() {
    let tile = TileId { level: LevelIndex(0), row: 1, column: 1 };
    for (photometric, jfif) in [(6, true), (6, false), (2, false), (2, true)] {
        for shared_tables in [false, true] {
            let page = page().with(|p| {
                (p.compression, p.photometric, p.jfif) = (7, photometric, jfif);
                p.shared_tables = shared_tables;
            });
            let (_file, slide) = opened(&write(Flavour::PLAIN, &[page]));
            let mut read = RgbBuffer::default();
            slide.read_tile(tile, &mut read).unwrap();
            let stored = slide.stored_jpeg(tile).unwrap().unwrap();
            let pixels = JpegDecoder::new(ZCursor::new(&stored)).decode().unwrap();
            let most = read.bytes().iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert_eq!(pixels.len(), read.bytes().len());
            assert!(most <= 2, "{photometric} {jfif} {shared_tables}: {most}");
        }
    }
    for other in [page(), page().with(|p| (p.compression, p.tile) = (7, None))] {
        let (_file, slide) = opened(&write(Flavour::PLAIN, &[other]));
        assert_eq!(slide.stored_jpeg(TileId { row: 0, column: 0, ..tile }).unwrap(), None);
    }
}

#[test]
fn pyramids_are_sorted_and_measured() {
    let sizes = [(400, 300), (171, 128), (87, 65)];
    let reduced = |(w, h): (u32, u32)| PageSpec::new(painted(w, h)).with(|p| p.subfile = 1);
    let pages = [PageSpec::new(painted(400, 300)), reduced(sizes[2]), reduced(sizes[1])];
    let (_file, slide) = opened(&write(Flavour::PLAIN, &pages));
    let levels = slide.info().pyramid.levels();
    assert_eq!(levels.iter().map(|l| (l.width(), l.height())).collect::<Vec<_>>(), sizes);
    assert_eq!(levels[1].downsample, (400.0 / 171.0, 300.0 / 128.0));
    assert_conforms(&*slide);

    let subs = sizes[1..].iter().copied().map(reduced).collect();
    let ome = r#"<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="P" PhysicalSizeX="250" PhysicalSizeXUnit="nm"/></Image></OME>"#;
    let base = PageSpec::new(painted(400, 300)).with(|p| (p.subs, p.description) = (subs, ome.into()));
    let label = PageSpec::new(painted(60, 90)).with(|p| p.tile = None);
    let (_file, slide) = opened(&write(Flavour { big_endian: true, big_tiff: false }, &[base, label]));
    let info = slide.info();
    assert_eq!((info.format.as_str(), info.pyramid.levels().len()), ("ome-tiff", 3));
    assert_eq!(info.scale.as_ref().unwrap().mpp.get(), 0.25);
    assert_eq!(info.associated[0].name, "page-1");
    assert!(whole_level(&*slide, LevelIndex(1)).unwrap() == painted(171, 128));
}

#[test]
fn missing_tiles_are_background_and_broken_ones_are_named() {
    let spec = page().with(|p| p.absent = vec![1]);
    let (_file, slide) = opened(&write(Flavour::PLAIN, &[spec]));
    assert_eq!(level0(&*slide).pixel(70, 3), [255; 3]);
    assert_eq!(level0(&*slide).pixel(3, 3), paint(3, 3));

    let mut bytes = write(Flavour::PLAIN, &[page().with(|p| (p.compression, p.photometric) = (7, 6))]);
    let second = bytes.windows(3).enumerate().filter(|(_, w)| *w == [0xff, 0xd8, 0xff]).nth(1).unwrap().0;
    bytes[second] = 0;
    let (_file, slide) = opened(&bytes);
    let mut out = RgbBuffer::default();
    let [before, broken, after] =
        [0, 1, 2].map(|column| slide.read_tile(TileId { level: LevelIndex(0), row: 0, column }, &mut out));
    assert!(matches!(broken, Err(ReadError::Tile { .. })));
    assert_eq!((before, after), (Ok(()), Ok(())));
}

/// Byte counts whose sum overflows 64 bits: found by mutation.
#[test]
fn impossible_byte_counts_are_a_defect_not_a_panic() {
    let spec = page().with(|p| (p.tile, p.rows_per_strip) = (None, 16));
    let mut bytes = write(Flavour { big_endian: false, big_tiff: true }, &[spec]);
    let count = (u64::from(SIZE.0) * 16 * 3).to_le_bytes();
    let places: Vec<usize> = (0..bytes.len() - 8).filter(|&at| bytes[at..at + 8] == count).collect();
    assert!(places.len() > 3);
    places.iter().for_each(|&at| bytes[at..at + 8].fill(0xff));
    let (_file, slide) = opened(&bytes);
    let tile = TileId { level: LevelIndex(0), row: 0, column: 0 };
    let TileState::Stored { defects, .. } = slide.tile_state(tile) else { panic!("stored") };
    assert!(defects[0].contains("past the end of the file"), "{defects:?}");
    assert!(slide.read_tile(tile, &mut RgbBuffer::default()).is_err());
}

#[test]
fn sixteen_bits_need_a_stated_mapping() {
    for flavour in Flavour::ALL {
        let wide = page().with(|p| (p.bits, p.photometric, p.samples, p.compression) = (16, 2, 3, 8));
        let file = file(&write(flavour, &[wide]));
        let refusal = open(&file.path).map(|_| ()).unwrap_err().to_string();
        assert!(refusal.contains("16-bit samples") && refusal.contains("--map-range"), "{refusal}");
        let options = OpenOptions { mapping: LinearMapping::new(0.0, 65_535.0), ..OpenOptions::default() };
        let slide = open_with(&file.path, &options).unwrap();
        assert!(level0(&*slide) == painted(SIZE.0, SIZE.1), "{flavour:?}");
    }
}

#[test]
fn samples_are_mapped_as_stated_and_the_slide_says_so() {
    let mapping = LinearMapping::new(-4.0, 40.0).unwrap();
    let wide = LinearMapping::new(3000.0, 50_000.0).unwrap();
    let options = |mapping| OpenOptions { mapping: Some(mapping), ..OpenOptions::default() };
    for (flavour, compression) in Flavour::ALL.into_iter().flat_map(|f| [(f, 1), (f, 5), (f, 50000)]) {
        let stored = |bits: u16, format: u16, mapping: LinearMapping, back: fn(u8) -> f64| {
            let page =
                page().with(|p| (p.bits, p.sample_format, p.compression) = (bits, format, compression));
            let file = file(&write(flavour, &[page]));
            let slide = open_with(&file.path, &options(mapping)).unwrap();
            let mut expected = painted(SIZE.0, SIZE.1);
            expected.bytes_mut().iter_mut().for_each(|byte| *byte = mapping.apply(back(*byte)));
            assert!(level0(&*slide) == expected, "{flavour:?}, {bits} bits, compression {compression}");
            assert_eq!(slide.info().mapping, Some(mapping));
        };
        stored(16, 1, wide, |byte| f64::from(byte) * 257.0);
        stored(32, 3, mapping, |byte| f64::from(byte) / 4.0 - 10.0);
    }
    let eight = file(&write(Flavour::PLAIN, &[page()]));
    let slide = open_with(&eight.path, &options(mapping)).unwrap();
    assert_eq!(slide.info().mapping, None, "8 bits are read as they are");
    assert!(level0(&*slide) == painted(SIZE.0, SIZE.1));
}

#[test]
fn what_is_not_read_is_refused_in_one_line() {
    let cases: [(&str, Change); 7] = [
        ("float", |p| (p.bits, p.sample_format, p.samples, p.photometric) = (32, 3, 1, 1)),
        ("signed", |p| p.sample_format = 2),
        ("12-bit", |p| p.bits = 12),
        ("CMYK", |p| (p.photometric, p.samples) = (5, 4)),
        ("L*a*b*", |p| p.photometric = 8),
        ("WebP", |p| p.compression = 50001),
        ("YCbCr colours without JPEG", |p| p.photometric = 6),
    ];
    for (word, change) in cases {
        let file = file(&write(Flavour::PLAIN, &[page().with(change)]));
        let options = OpenOptions { prefer: Prefer::Tiff, ..OpenOptions::default() };
        let Err(error) = open_with(&file.path, &options) else { panic!("{word} was read") };
        let text = error.to_string();
        assert!(matches!(error, OpenError::Unsupported { .. }), "{text}");
        assert!(text.contains(word) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let strip = page().with(|p| (p.tile, p.rows_per_strip) = (None, 1000));
    let file = file(&write(Flavour::PLAIN, &[strip]));
    let options = OpenOptions { max_picture_pixels: 1000, ..OpenOptions::default() };
    assert!(matches!(open_with(&file.path, &options), Err(OpenError::TooLarge { .. })));
}

#[test]
fn aperio_pages_are_told_apart_and_labels_come_only_by_name() {
    let text = |line: &str| format!("Aperio Image Library v11.2.1 \r\n{line}");
    let page_of =
        |w: u32, h: u32, line: &str| PageSpec::new(painted(w, h)).with(|p| p.description = text(line));
    let strip = |w: u32, h: u32, line: &str| page_of(w, h, line).with(|p| p.tile = None);
    let pages = [
        page_of(400, 300, "400x300 (64x48) none|AppMag = 40|MPP = 0.2527"),
        strip(40, 30, "400x300 -> 40x30"),
        page_of(100, 75, "400x300 -> 100x75"),
        strip(50, 60, "label 50x60").with(|p| p.subfile = 1),
        strip(90, 30, "macro 90x30").with(|p| p.subfile = 9),
    ];
    let (_file, slide) = opened(&write(Flavour::PLAIN, &pages));
    let info = slide.info();
    let names: Vec<_> = info.associated.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["label", "macro", "thumbnail"]);
    assert_eq!(info.pyramid.levels().len(), 2);
    assert_eq!((info.scale.as_ref().unwrap().mpp.get(), info.objective.unwrap().0), (0.2527, 40.0));
    assert_conforms(&*slide);
    let shown = format!("{info:?}");
    assert!(!shown.contains("Aperio Image Library"), "{shown}");
}

#[test]
fn print_resolutions_are_no_scale() {
    let [fine, print, coarse] = [20_000, 118, 10].map(|per_cm| {
        let (_file, slide) = opened(&write(Flavour::PLAIN, &[page().with(|p| p.per_cm = Some(per_cm))]));
        slide.info().scale.clone()
    });
    assert_eq!(fine.unwrap().mpp.get(), 0.5);
    assert!(matches!(print, Err(ScaleProblem::PrintResolution { .. })));
    assert!(matches!(coarse, Err(ScaleProblem::Implausible { .. })));
}

#[test]
fn turned_pictures_are_refused_and_upright_ones_are_not() {
    let with = |orientation| {
        let file = file(&write(Flavour::PLAIN, &[page().with(|p| p.orientation = Some(orientation))]));
        open(&file.path).map(|slide| level0(&*slide)).map_err(|error| error.to_string())
    };
    for upright in [0, 1] {
        assert_eq!(with(upright).unwrap(), painted(SIZE.0, SIZE.1));
    }
    for (turned, words) in [(2, "mirrored left to right"), (6, "turned by 90°"), (9, "expected 1 to 8")] {
        let error = with(turned).unwrap_err();
        assert!(error.starts_with("not supported: orientation") && error.contains(words), "{error}");
    }
}

/// `huge_claim_sparse.tif` of the shared slides: 77 kB that claim 200000 x 200000 px.
#[test]
fn tiles_that_are_not_there_cost_an_overview_nothing_and_show_as_background() {
    let holes = page().with(|p| p.absent = (0..16).filter(|tile| tile % 3 != 0).collect());
    let (_file, slide) = opened(&write(Flavour::PLAIN, &[holes]));
    let small = wsi_reader::Overview::whole(&*slide, 50);
    let whole = level0(&*slide);
    let painted = MemorySlide::of_pictures(vec![whole], (64, 48), None).unwrap();
    assert_eq!(small.pixels, wsi_reader::Overview::whole(&painted, 50).pixels);
}
