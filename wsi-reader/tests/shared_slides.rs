//! Every shared slide: the outcome of opening it, and agreement with OpenSlide.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use openslide_rs::OpenSlide;
use support::{openslide_level, shared_slides};
use wsi_reader::{
    OpenError, OpenOptions, Overview, Prefer, ReadError, ScaleProblem, Slide, SlideInfo,
    conformance::{Difference, assert_conforms, difference, whole_level},
    content_id, doctor, open, open_with, slide_files,
};
use wsi_types::{LevelIndex, RgbBuffer, TileId};

/// Levels up to this size are compared pixel by pixel.
const MAX_COMPARED: u64 = 12_000_000;

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() { found.extend(files_under(&entry)) } else { found.push(entry) }
    }
    found
}

fn unreadable(slide: &dyn Slide) -> usize {
    let mut out = RgbBuffer::default();
    let mut count = 0;
    for (index, level) in slide.info().pyramid.levels().iter().enumerate() {
        let grid = level.tiles;
        for row in 0..grid.rows().min(20) {
            for column in 0..grid.columns().min(20) {
                let tile = TileId { level: LevelIndex(index as u16), row, column };
                count += usize::from(matches!(slide.read_tile(tile, &mut out), Err(ReadError::Tile { .. })));
            }
        }
    }
    count
}

fn scale_word(info: &SlideInfo) -> String {
    match &info.scale {
        Ok(scale) => format!("{:.4} by {}", scale.mpp.get(), scale.source),
        Err(ScaleProblem::Missing) => "no mpp".into(),
        Err(ScaleProblem::NotANumber { .. }) => "mpp is text".into(),
        Err(ScaleProblem::Implausible { .. }) => "implausible mpp".into(),
        Err(ScaleProblem::PrintResolution { .. }) => "print resolution".into(),
        Err(ScaleProblem::Anisotropic { .. }) => "unequal axes".into(),
        Err(ScaleProblem::ContradictsObjective { .. }) => "contradicts the objective".into(),
        Err(ScaleProblem::UnknownUnit { .. }) => "unknown unit".into(),
        Err(ScaleProblem::Unreadable { .. }) => "unreadable text".into(),
    }
}

fn outcome(path: &Path) -> String {
    match open(path) {
        Ok(slide) => {
            let info = slide.info();
            let levels = info.pyramid.levels().len();
            let bad = match unreadable(&*slide) {
                0 => String::new(),
                count => format!(", {count} unreadable"),
            };
            format!("{} {} x{levels}, {}{bad}", info.backend, info.format, scale_word(info))
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains('\n'), "one line: {text}");
            assert!(!text.contains(&*path.to_string_lossy()), "the path is the caller's to add: {text}");
            match error {
                OpenError::NotASlide { .. } => "not a slide".into(),
                OpenError::Unsupported { .. } => "unsupported".into(),
                OpenError::Broken { .. } => "broken".into(),
                OpenError::TooLarge { .. } => "too large".into(),
                other => panic!("{other}: {}", path.display()),
            }
        }
    }
}

/// The outcome of opening each file. A file that is not in the list fails the test, so that new ones are
/// judged.
const OUTCOMES: &str = include_str!("shared_slides.txt");

#[test]
fn every_file_has_the_outcome_it_should() {
    let Some(root) = shared_slides() else { return };
    let mut found = String::new();
    for path in files_under(&root) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        found += &format!("{name}: {}\n", outcome(&path));
    }
    let [found, expected] = [&found[..], OUTCOMES].map(|text| text.lines().collect::<BTreeSet<_>>());
    let surplus: Vec<_> = found.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(found == expected, "found:\n{surplus:#?}\nexpected:\n{missing:#?}");
}

#[test]
fn our_tiffs_agree_with_openslide() {
    let Some(root) = shared_slides() else { return };
    openslide_sys::load().unwrap();
    let mut agreement: BTreeMap<String, Agreement> = BTreeMap::new();
    for path in files_under(&root) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let tiff = OpenOptions { prefer: Prefer::Tiff, ..OpenOptions::default() };
        let (Ok(ours), Ok(handle)) = (open_with(&path, &tiff), OpenSlide::new(&path)) else { continue };
        let theirs =
            open_with(&path, &OpenOptions { prefer: Prefer::OpenSlide, ..OpenOptions::default() }).unwrap();
        assert_facts_agree(&name, ours.info(), theirs.info());
        for index in 0..handle.level_count().min(ours.info().pyramid.levels().len() as u32) {
            let level = &ours.info().pyramid.levels()[index as usize];
            if u64::from(level.width()) * u64::from(level.height()) > MAX_COMPARED {
                continue;
            }
            let Ok(mine) = whole_level(&*ours, LevelIndex(index as u16)) else { continue };
            let apart = difference(&mine, &openslide_level(&handle, index).unwrap());
            let what = format!("{name}, level {index}: {apart:?}");
            if ours.info().compression[index as usize].starts_with("JPEG") {
                // Our JPEG decoder rounds as libjpeg does; JPEG 2000 decoders differ by 1.
                let most = if ours.info().compression[index as usize] == "JPEG" { 0 } else { 2 };
                assert!(apart.max <= most, "{what}");
            } else {
                assert_eq!(apart.max, 0, "{what}");
            }
            agreement.entry(ours.info().compression[index as usize].clone()).or_default().add(&path, &apart);
        }
        assert_eq!(ours.icc_profile().unwrap(), theirs.icc_profile().unwrap(), "{name}: ICC profile");
    }
    for (compression, Agreement { files, levels, mean, max }) in &agreement {
        eprintln!("{compression}: {} files, {levels} levels, mean {mean:.4}, most {max}", files.len());
    }
    let compared: usize = agreement.values().map(|agreement| agreement.levels).sum();
    assert!(compared >= 60, "only {compared} levels were compared");
}

/// Difference between the levels of one compression and OpenSlide's, in grey levels: the largest mean of a
/// level, and the largest of all.
#[derive(Default)]
struct Agreement {
    files: BTreeSet<PathBuf>,
    levels: usize,
    mean: f64,
    max: u8,
}

impl Agreement {
    fn add(&mut self, path: &Path, apart: &Difference) {
        self.files.insert(path.to_owned());
        self.levels += 1;
        self.mean = self.mean.max(apart.mean);
        self.max = self.max.max(apart.max);
    }
}

fn assert_facts_agree(name: &str, ours: &SlideInfo, theirs: &SlideInfo) {
    // OpenSlide reads no SubIFDs, and no OME-XML.
    if ours.format != "ome-tiff" {
        let [our_sizes, their_sizes] = [ours, theirs]
            .map(|info| info.pyramid.levels().iter().map(|l| (l.width(), l.height())).collect::<Vec<_>>());
        assert_eq!(our_sizes, their_sizes, "{name}: levels");
        assert_eq!(scale_word(ours), scale_word(theirs), "{name}: scale");
    }
    assert_eq!(ours.objective, theirs.objective, "{name}: objective");
    assert_eq!(ours.bounds, theirs.bounds, "{name}: bounds");
    for image in &theirs.associated {
        assert!(ours.associated.contains(image), "{name}: {image:?}");
    }
    for key in ["aperio.MPP", "aperio.AppMag", "tiff.ResolutionUnit"] {
        if let Some(value) = ours.properties.get(key) {
            assert_eq!(Some(value), theirs.properties.get(key), "{name}: {key}");
        }
    }
}

#[test]
fn every_backend_conforms_on_real_files() {
    let Some(root) = shared_slides() else { return };
    for (name, backend) in [
        ("real/CMU-1-Small-Region.svs", "tiff"),
        ("real/tcga-cr-7395-01a-01-ts1.svs", "tiff"),
        ("real/OS-1-detail.ome.tif", "tiff"),
        ("real/instanseg_HE_example.tif", "tiff"),
        ("crafted/level_noninteger.svs", "tiff"),
        ("crafted/bad_corrupt_tiles.svs", "tiff"),
        ("crafted/strip_jpeg.tif", "tiff"),
        ("crafted/plain_photo.jpg", "picture"),
        ("fixtures/ospy_boxes.png", "picture"),
        ("dicom/highdicom/sm_image.dcm", "openslide"),
    ] {
        let slide = open(&root.join(name)).unwrap();
        assert_eq!(slide.info().backend, backend, "{name}");
        assert_conforms(&*slide);
    }
    let forced = OpenOptions { prefer: Prefer::OpenSlide, ..OpenOptions::default() };
    for name in
        ["crafted/generic_rgba_tiled.tif", "crafted/phi_label_macro.svs", "crafted/bad_corrupt_tiles.svs"]
    {
        assert_conforms(&*open_with(&root.join(name), &forced).unwrap());
    }
}

#[test]
fn a_dicom_folder_is_one_slide_and_so_is_each_of_its_files() {
    let Some(root) = shared_slides() else { return };
    let folder = root.join("dicom/cmu1_small_region_levels");
    let slide = open(&folder).unwrap();
    assert_eq!(slide.info().format, "dicom");
    assert_eq!(slide.info().pyramid.levels().len(), 12);
    assert_eq!(slide_files(&folder).unwrap(), std::slice::from_ref(&folder));
    let file = folder.join("level-3-frames-0-1.dcm");
    assert_eq!(content_id(&folder).unwrap(), content_id(&file).unwrap());
    let listed = slide_files(&root.join("dicom/highdicom")).unwrap();
    let names: Vec<_> =
        listed.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| name.starts_with("sm_image")), "{names:?}");
    let real = slide_files(&root.join("real")).unwrap();
    assert_eq!(real.len(), 6, "{real:?}");
    let truth = slide_files(&root.join("gt")).unwrap();
    assert_eq!(truth.len(), 3, "pictures and tables beside slides do not count: {truth:?}");
}

fn mean_colours(slide: &dyn Slide) -> [f64; 3] {
    let pixels = whole_level(slide, LevelIndex(0)).unwrap();
    [0, 1, 2].map(|channel| {
        let sum: u64 = pixels.bytes().iter().skip(channel).step_by(3).map(|&v| u64::from(v)).sum();
        sum as f64 / (pixels.width() * pixels.height()) as f64
    })
}

/// The file states RGB for frames that are JFIF streams, and so YCbCr: earlier it gave a salmon-coloured
/// slide, all of it tissue.
#[test]
fn a_dicom_slide_has_the_colours_of_the_tiff_it_was_made_from() {
    let Some(root) = shared_slides() else { return };
    let [dicom, tiff] = ["dicom/cmu1_small_region_levels", "real/CMU-1-Small-Region.svs"]
        .map(|name| mean_colours(&*open(&root.join(name)).unwrap()));
    for (dicom, tiff) in dicom.iter().zip(tiff) {
        assert!((dicom - tiff).abs() < 1.0, "{dicom} {tiff}");
    }
}

/// Mean colours of the whole picture, as tifffile and libjpeg-turbo give them.
#[test]
fn colours_of_other_writers_are_true() {
    let Some(root) = shared_slides() else { return };
    for (name, expected) in [
        ("real/OS-1-detail.ome.tif", [144.37, 123.64, 179.70]),
        ("real/OS-2-ndpi.ome.tif", [180.68, 187.93, 200.18]),
        ("real/instanseg_HE_example.tif", [177.75, 138.64, 193.99]),
    ] {
        let means = mean_colours(&*open(&root.join(name)).unwrap());
        for (channel, (mean, expected)) in means.into_iter().zip(expected).enumerate() {
            assert!((mean - expected).abs() < 0.01, "{name}, channel {channel}: {mean}, expected {expected}");
        }
    }
}

#[test]
fn labels_do_not_leak() {
    let Some(root) = shared_slides() else { return };
    let slide = open(&root.join("crafted/phi_label_macro.svs")).unwrap();
    let shown = format!("{:?}{}", slide.info(), serde_json::to_string(slide.info()).unwrap());
    for (key, value) in &slide.info().properties {
        if value.len() > 8 && !value.chars().all(|c| c.is_ascii_digit() || c == '.') {
            assert!(!shown.contains(value.as_str()), "{key} leaks");
        }
    }
    let mut label = RgbBuffer::default();
    slide.read_associated("label", &mut label).unwrap();
    let shot = Overview::whole(&*slide, 256);
    assert!(shot.pixels.bytes() != label.bytes());
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let Some(root) = shared_slides() else { return };
    let checkup = |name: &str| {
        let slide = open(&root.join(name)).unwrap();
        doctor::check(&*slide, &doctor::CheckOptions::full(2), &|_, _| {})
    };
    let sound = checkup("crafted/base_for_corruption.svs");
    assert_eq!((sound.unreadable(), sound.damaged()), (0, 0));
    let corrupt = checkup("crafted/bad_corrupt_tiles.svs");
    assert_eq!(corrupt.unreadable(), 4);
    let rotten = checkup("crafted/bad_bitrot_tiles.svs");
    assert!(rotten.unreadable() + rotten.damaged() > 0, "{:?}", rotten.levels);
    assert!(checkup("real/hamamatsu-dapi.ndpi").look.is_dark());
    // The last is Ki67: black nuclei among blue ones, and as sharp as the others.
    for name in [
        "real/CMU-1-Small-Region.svs",
        "gt/tnbc_dev_mosaic.svs",
        "real/OS-1-detail.ome.tif",
        "real/OS-2-ndpi.ome.tif",
    ] {
        let found = checkup(name);
        eprintln!("{name}: {:?}", found.look);
        assert_eq!((found.unreadable(), found.damaged()), (0, 0), "{name}: {:?}", found.levels);
        assert!(!found.look.is_dark() && !found.look.is_blurred(), "{name}: {:?}", found.look);
    }
}
