//! DICOM pictures that are no whole slides: the pixels that pydicom sees, and refusals of what lies.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use serde_json::Value;
use support::{Dice, mutate};
use wsi_reader::{
    LinearMapping, MppSource, OpenError, OpenOptions, ScaleProblem, Slide, open, open_with, read_region,
};
use wsi_types::{LevelIndex, LevelRect, RgbBuffer};

/// All pixels of a picture.
fn pixels(slide: &dyn Slide) -> Vec<u8> {
    let base = slide.info().pyramid.base();
    let rect = LevelRect::from_size((i64::from(base.width()), i64::from(base.height())).into());
    let mut out = RgbBuffer::default();
    read_region(slide, LevelIndex(0), rect, &mut out).unwrap();
    out.bytes().to_vec()
}

#[test]
fn pydicom_sees_the_same_pixels() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".venv-exports/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED: .venv-exports is absent; `cargo xtask test` makes it");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = root.join("tests/python/dicom_pictures.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let cases: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 40, "{}", cases.len());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let frame = case["frame"].as_u64().map(|frame| frame as u32);
        let options = OpenOptions { frame, ..OpenOptions::default() };
        let slide = open_with(&folder.path().join(format!("{name}.dcm")), &options);
        let slide = slide.unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = fs::read(folder.path().join(format!("{name}.rgb"))).unwrap();
        let found = pixels(&*slide);
        assert_eq!(found.len(), expected.len(), "{name}");
        let off = found.iter().zip(&expected).map(|(one, other)| one.abs_diff(*other)).max().unwrap();
        assert!(u64::from(off) <= case["off"].as_u64().unwrap(), "{name}: off by {off}");
        assert_eq!(slide.info().properties["dicom.StudyInstanceUID"], "1.2.7");
    }
}

type Tag = (u16, u16);

/// A file in the making: explicit VR, little endian.
#[derive(Clone)]
struct Made {
    syntax: &'static str,
    elements: BTreeMap<Tag, Vec<u8>>,
    /// Last of all.
    pixels: Vec<u8>,
}

const FRAMES: Tag = (0x0028, 0x0008);
const PHOTOMETRIC: Tag = (0x0028, 0x0004);
const ROWS: Tag = (0x0028, 0x0010);
const ALLOCATED: Tag = (0x0028, 0x0100);
const STORED: Tag = (0x0028, 0x0101);
const SPACING: Tag = (0x0028, 0x0030);
const CENTRE: Tag = (0x0028, 0x1050);
const WIDTH: Tag = (0x0028, 0x1051);

fn element((group, number): Tag, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let fill = if vr == b"UI" || vr.starts_with(b"O") { 0 } else { b' ' };
    let mut value = value.to_vec();
    value.resize(value.len().next_multiple_of(2), fill);
    let length = value.len() as u32;
    let head = [group.to_le_bytes(), number.to_le_bytes()].concat();
    let length = match vr {
        b"OB" | b"OW" | b"SQ" => [&[0, 0][..], &length.to_le_bytes()].concat(),
        _ => (length as u16).to_le_bytes().to_vec(),
    };
    [head, vr.to_vec(), length, value].concat()
}

impl Made {
    /// A grey picture of 6 x 4 px in so many bits of a sample, all of them 0 but the first, which is 1.
    fn grey(bits: u16) -> Self {
        let bytes = if bits > 8 { 2 } else { 1 };
        let mut samples = vec![0; 24 * bytes];
        samples[0] = 1;
        let made = Self { syntax: "1.2.840.10008.1.2.1", elements: BTreeMap::new(), pixels: Vec::new() };
        made.with((0x0008, 0x0016), b"UI", b"1.2.840.10008.5.1.4.1.1.6.1")
            .with((0x0020, 0x000d), b"UI", b"1.2.7")
            .with((0x0028, 0x0002), b"US", &1_u16.to_le_bytes())
            .with(PHOTOMETRIC, b"CS", b"MONOCHROME2")
            .with(ROWS, b"US", &4_u16.to_le_bytes())
            .with((0x0028, 0x0011), b"US", &6_u16.to_le_bytes())
            .with(ALLOCATED, b"US", &(bytes as u16 * 8).to_le_bytes())
            .with(STORED, b"US", &bits.to_le_bytes())
            .with((0x0028, 0x0102), b"US", &(bits - 1).to_le_bytes())
            .with((0x0028, 0x0103), b"US", &0_u16.to_le_bytes())
            .with_pixels(&element((0x7fe0, 0x0010), b"OW", &samples))
    }

    fn with(mut self, tag: Tag, vr: &[u8; 2], value: &[u8]) -> Self {
        self.elements.insert(tag, element(tag, vr, value));
        self
    }

    fn without(mut self, tag: Tag) -> Self {
        self.elements.remove(&tag);
        self
    }

    fn with_pixels(mut self, pixels: &[u8]) -> Self {
        self.pixels = pixels.to_vec();
        self
    }

    /// The same with fragments of pixels, compressed in some way.
    fn in_fragments(mut self, syntax: &'static str, fragments: &[&[u8]]) -> Self {
        self.syntax = syntax;
        let mut pixels = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff".to_vec();
        for fragment in [&[][..]].iter().chain(fragments) {
            pixels.extend(b"\xfe\xff\x00\xe0");
            pixels.extend((fragment.len() as u32).to_le_bytes());
            pixels.extend(*fragment);
        }
        pixels.extend(b"\xfe\xff\xdd\xe0\0\0\0\0");
        self.with_pixels(&pixels)
    }

    fn bytes(&self) -> Vec<u8> {
        let about = [
            element((2, 1), b"OB", &[0, 1]),
            element((2, 2), b"UI", b"1.2.840.10008.5.1.4.1.1.6.1"),
            element((2, 3), b"UI", b"1.2.3"),
            element((2, 0x10), b"UI", self.syntax.as_bytes()),
            element((2, 0x12), b"UI", b"1.2.4"),
        ]
        .concat();
        let length = element((2, 0), b"UL", &(about.len() as u32).to_le_bytes());
        let elements: Vec<u8> = self.elements.values().flatten().copied().collect();
        [vec![0; 128], b"DICM".to_vec(), length, about, elements, self.pixels.clone()].concat()
    }

    fn open_with(&self, options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
        opened(&self.bytes(), options)
    }

    fn open(&self) -> Result<Arc<dyn Slide>, OpenError> {
        self.open_with(&OpenOptions::default())
    }
}

fn opened(bytes: &[u8], options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("upload");
    fs::write(&path, bytes).unwrap();
    open_with(&path, options)
}

fn refusal(made: &Made) -> String {
    made.open().err().unwrap().to_string()
}

#[test]
fn a_picture_is_said_to_be_one_and_keeps_no_name() {
    let slide = Made::grey(8).with((0x0010, 0x0010), b"PN", b"Miller^John").open().unwrap();
    let info = slide.info();
    assert_eq!((info.backend, info.format.as_str()), ("picture", "dicom-picture"));
    assert_eq!(info.properties.keys().collect::<Vec<_>>(), ["dicom.StudyInstanceUID"]);
    assert_eq!(info.remarks, ["a DICOM picture and no whole slide: read on its own grid"]);
    assert_eq!(pixels(&*slide)[..6], [1, 1, 1, 0, 0, 0]);
}

#[test]
fn the_first_of_several_windows_is_taken_and_said() {
    let made = Made::grey(12).with(CENTRE, b"DS", b"1\\9").with(WIDTH, b"DS", b"3\\9");
    let slide = made.open().unwrap();
    assert_eq!(pixels(&*slide)[..6], [191, 191, 191, 64, 64, 64]);
    let said = "its grey values are seen through its window of centre 1 and width 3, the first of 2";
    assert_eq!(slide.info().remarks[1], said);
}

#[test]
fn greys_without_a_window_are_not_guessed() {
    let wide = Made::grey(12);
    let said = refusal(&wide);
    assert!(said.contains("12-bit samples without a window") && said.contains("--map-range"), "{said}");
    let options = OpenOptions { mapping: LinearMapping::new(0.0, 2.0), ..OpenOptions::default() };
    let slide = wide.open_with(&options).unwrap();
    assert_eq!(pixels(&*slide)[..3], [128; 3]);
    assert_eq!(slide.info().mapping, options.mapping);
    // What is said by hand counts before what the file says; eight bits need no line.
    let both = wide.with(CENTRE, b"DS", b"1").with(WIDTH, b"DS", b"3").open_with(&options).unwrap();
    assert_eq!(pixels(&*both)[..3], [128; 3]);
    assert_eq!(Made::grey(8).open_with(&options).unwrap().info().mapping, None);
}

#[test]
fn only_the_spacing_of_what_is_seen_is_a_scale() {
    let with = |value: &[u8]| Made::grey(8).with(SPACING, b"DS", value).open().unwrap();
    let scale = with(b"0.0005\\0.0005").info().scale.clone().unwrap();
    assert_eq!((scale.mpp.get(), scale.source), (0.5, MppSource::Dicom));
    assert!(matches!(with(b"0.7\\0.7").info().scale, Err(ScaleProblem::Implausible { .. })));
    assert!(matches!(with(b"0.0005\\0.0006").info().scale, Err(ScaleProblem::Anisotropic { .. })));
    assert!(matches!(with(b"0.0005").info().scale, Err(ScaleProblem::NotANumber { .. })));
    assert!(matches!(with(b"").info().scale, Err(ScaleProblem::Missing)));
    let of_detector = Made::grey(8).with((0x0018, 0x1164), b"DS", b"0.0005\\0.0005").open().unwrap();
    assert_eq!(of_detector.info().scale, Err(ScaleProblem::Missing));
    assert!(of_detector.info().remarks[1].contains("ImagerPixelSpacing"));
}

#[test]
fn one_frame_is_read_and_it_must_be_named() {
    let mut samples = vec![0; 72];
    samples[24] = 9;
    let three =
        Made::grey(8).with(FRAMES, b"IS", b"3").with_pixels(&element((0x7fe0, 0x0010), b"OW", &samples));
    assert!(refusal(&three).contains("3 frames, of which one is read at a time: say which, from 1 to 3"));
    let frame = |frame| three.open_with(&OpenOptions { frame: Some(frame), ..OpenOptions::default() });
    assert_eq!(pixels(&*frame(2).unwrap())[0], 9);
    assert_eq!(pixels(&*frame(3).unwrap())[0], 0);
    for beyond in [0, 4, u32::MAX] {
        assert!(frame(beyond).err().unwrap().to_string().contains("whose frames are 1 to 3"));
    }
    let png = b"\x89PNG\r\n\x1a\nxxxxxxxx";
    let options = OpenOptions { frame: Some(1), ..OpenOptions::default() };
    assert!(opened(png, &options).is_err());
}

#[test]
fn what_lies_or_cannot_be_read_is_refused_in_words() {
    let grey = || Made::grey(8);
    let wide = || Made::grey(12).with(CENTRE, b"DS", b"1");
    let u16 = |value: u16| value.to_le_bytes();
    let cases: Vec<(Made, &str)> = vec![
        (grey().with(ALLOCATED, b"US", &u16(16)), "PixelData has 24 bytes, expected 48"),
        (grey().with(ALLOCATED, b"US", &u16(0)), "in 0 bits; 8 and 16 are read"),
        (grey().with(ALLOCATED, b"US", &u16(1)), "in 1 bits"),
        (grey().with(ALLOCATED, b"US", &u16(32)), "in 32 bits"),
        (grey().with(STORED, b"US", &u16(12)), "BitsStored is 12, of 8"),
        (grey().with(STORED, b"US", &u16(0)), "BitsStored is 0"),
        (grey().with((0x0028, 0x0102), b"US", &u16(15)), "highest is bit 15"),
        (grey().with(FRAMES, b"IS", b"0"), "NumberOfFrames is \"0\""),
        (grey().with(FRAMES, b"IS", b"-1"), "NumberOfFrames is \"-1\""),
        (grey().with(FRAMES, b"IS", b"1e9"), "NumberOfFrames is \"1e9\""),
        (grey().with(ROWS, b"US", &u16(0)), "6 x 0 px"),
        (grey().with(ROWS, b"US", &u16(5)), "PixelData has 24 bytes, expected 30"),
        (
            grey().with(ROWS, b"US", &u16(65535)).with((0x0028, 0x0011), b"US", &u16(65535)),
            "65535 x 65535 px",
        ),
        (grey().without(ROWS), "without a picture"),
        (grey().without(PHOTOMETRIC), "no PhotometricInterpretation"),
        (grey().without((0x0028, 0x0103)), "PixelRepresentation is missing"),
        (grey().with(PHOTOMETRIC, b"CS", b"RGB"), "SamplesPerPixel is 1, expected 3 of RGB"),
        (grey().with(PHOTOMETRIC, b"CS", b"CMYK"), "\"CMYK\""),
        (grey().with(PHOTOMETRIC, b"CS", b"PALETTE COLOR"), "its palette has no descriptors"),
        (wide(), "1 centres of windows and 0 widths"),
        (wide().with(WIDTH, b"DS", b"0"), "WindowWidth is 0, expected 1 or more"),
        (wide().with(WIDTH, b"DS", b"-5"), "WindowWidth is -5, expected 1 or more"),
        (wide().with(WIDTH, b"DS", b"NaN"), "WindowWidth holds something that is no number"),
        (wide().with(WIDTH, b"DS", b"x"), "WindowWidth holds something that is no number"),
        (
            wide().with(WIDTH, b"DS", b"0").with((0x0028, 0x1056), b"CS", b"SIGMOID"),
            "WindowWidth is 0, expected more than 0",
        ),
        (wide().with(WIDTH, b"DS", b"5").with((0x0028, 0x1053), b"DS", b"0"), "RescaleSlope is 0"),
        (grey().with_pixels(&[]), "without a picture"),
        (grey().in_fragments("1.2.840.10008.1.2.4.80", &[b"xx"]), "JPEG-LS Lossless"),
        (grey().in_fragments("1.2.840.10008.1.2.4.50", &[b"xx"]), "broken"),
        (grey().in_fragments("1.2.840.10008.1.2.4.90", &[b"xx"]), "JPEG 2000 header is broken"),
        (grey().in_fragments("1.2.840.10008.1.2.4.90", &[]), "have no fragment"),
        (grey().in_fragments("1.2.840.10008.1.2.5", &[b"xx"]), "RLE data ends within its header"),
        (grey().in_fragments("1.2.840.10008.1.2.5", &[&[7; 64]]), "has 117901063 segments, expected 1"),
        (grey().with(FRAMES, b"IS", b"3").in_fragments("1.2.840.10008.1.2.5", &[b"xx"]), "3 frames"),
        (grey().in_fragments("1.2.840.10008.1.2.1", &[b"xx"]), "in fragments, and not compressed"),
    ];
    for (made, expected) in cases {
        let said = refusal(&made);
        assert!(said.contains(expected), "{said}, expected {expected}");
    }
    let mut rle = grey().in_fragments("1.2.840.10008.1.2.5", &[&[0; 64]]);
    rle.syntax = "1.2.840.10008.1.2.4.50";
    assert!(!refusal(&rle).is_empty());
}

#[test]
fn a_length_before_the_data_that_lies_takes_no_memory() {
    let mut lying = Made::grey(8).bytes();
    let at = lying.windows(6).position(|bytes| bytes == b"\x02\0\x01\0OB").unwrap();
    lying[at + 8..at + 12].copy_from_slice(&0x7fff_fff0_u32.to_le_bytes());
    let said = opened(&lying, &OpenOptions::default()).err().unwrap().to_string();
    assert!(said.contains("(0002,0001) is to have 2147483632 bytes"), "{said}");
}

#[test]
fn an_object_that_is_no_picture_is_called_so() {
    let class = |uid: &[u8]| refusal(&Made::grey(8).with((0x0008, 0x0016), b"UI", uid));
    assert!(class(b"1.2.840.10008.5.1.4.1.1.66.4").contains("a DICOM segmentation, which is no picture"));
    let tiled = Made::grey(8).with((0x0048, 0x0006), b"UL", &9_u32.to_le_bytes());
    assert!(refusal(&tiled).contains("tiles of a DICOM picture of another kind"));
}

#[test]
fn broken_files_come_back_with_an_error_or_with_pixels() {
    let seeds = [
        Made::grey(8).bytes(),
        Made::grey(12).with(CENTRE, b"DS", b"1\\9").with(WIDTH, b"DS", b"3\\9").bytes(),
        Made::grey(8)
            .in_fragments(
                "1.2.840.10008.1.2.5",
                &[&[&[1, 0, 0, 0, 64, 0, 0, 0][..], &[0; 56], &[233, 5]].concat()],
            )
            .bytes(),
    ];
    for seed in &seeds {
        let whole = opened(seed, &OpenOptions::default());
        assert!(whole.is_ok(), "{}", whole.err().unwrap());
        for cut in 0..seed.len() {
            // Behind the pixels only the mark of their end can be missing.
            let cut = opened(&seed[..cut], &OpenOptions::default());
            assert!(cut.is_err());
        }
    }
    for case in 0..3_000 {
        let mut dice = Dice::new(case);
        let mut bytes = seeds[dice.roll(seeds.len())].clone();
        mutate(&mut bytes, &mut dice);
        if let Ok(slide) = opened(&bytes, &OpenOptions::default()) {
            assert!(!pixels(&*slide).is_empty());
        }
    }
}

#[test]
fn a_frame_of_a_slide_that_has_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let mut out = Vec::new();
    jpeg_encoder::Encoder::new(&mut out, 90)
        .encode(&[7; 8 * 8 * 3], 8, 8, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    fs::write(&path, out).unwrap();
    assert!(open(&path).is_ok());
    let asked = open_with(&path, &OpenOptions { frame: Some(1), ..OpenOptions::default() });
    assert!(asked.err().unwrap().to_string().contains("only DICOM pictures of several frames"));
}
