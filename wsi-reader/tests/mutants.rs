//! Mutated slides against OpenSlide: what both give is the same, px by px.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeMap, fs::File, path::Path};

use openslide_rs::OpenSlide;
use support::{
    Dice, cases, first_case, openslide_level, painted,
    tiff::{Flavour, PageSpec, write},
};
use tiff::{decoder::Decoder, tags::Tag};
use wsi_reader::{
    OpenOptions, Prefer, Slide,
    conformance::{difference, whole_level},
    open_with,
};
use wsi_types::{LevelIndex, RgbBuffer};

/// Compressions that both read in files of such small tiles: LZW, JPEG, Deflate, PackBits.
const COMPRESSIONS: [u16; 4] = [5, 7, 8, 32773];
const JPEG: u16 = 7;
/// Cases that were once read in another way: JPEG values of more than 10 bits.
const FOUND: [u64; 2] = [(1 << 32) + 1659, (3 << 32) + 9198];

/// A sound file of tiles.
fn sound(compression: u16, flavour: Flavour) -> Vec<u8> {
    let page = PageSpec::new(painted(80, 48)).with(|p| {
        p.compression = compression;
        p.photometric = if compression == JPEG { 6 } else { 2 };
        p.predictor = if compression == 5 { 2 } else { 1 };
        p.tile = Some((16, 16));
    });
    write(flavour, &[page])
}

/// Changes one to three bytes behind the header: few enough that some of the file still means something.
fn change(bytes: &mut [u8], dice: &mut Dice) {
    for _ in 0..=dice.roll(3) {
        let at = 8 + dice.roll(bytes.len() - 8);
        bytes[at] = match dice.roll(3) {
            0 => bytes[at] ^ 1 << dice.roll(8),
            1 => [0, 1, 0x7f, 0x80, 0xff][dice.roll(5)],
            _ => dice.roll(256) as u8,
        };
    }
}

/// Fate of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Not opened, or a tile of it not read, by us.
    Refused,
    /// Read by us alone.
    OursAlone,
    /// Read by both, with the same px.
    Same,
    /// Read by both with the same size, with other px.
    Other,
    /// Read by both with other px, as another kind of colours: TIFF does not say what gray of three samples means.
    OtherColours,
    /// Read by both with different sizes: which page is the slide is judged in another way.
    OtherSize,
}

fn ours(path: &Path) -> Option<RgbBuffer> {
    let tiff = OpenOptions { prefer: Prefer::Tiff, ..OpenOptions::default() };
    let slide = open_with(path, &tiff).ok()?;
    whole_level(&*slide as &dyn Slide, LevelIndex(0)).ok()
}

fn theirs(path: &Path) -> Option<RgbBuffer> {
    let handle = OpenSlide::new(path).ok()?;
    let size = handle.level_dimensions(0).ok()?;
    // A size that lies is not worth its memory.
    (u64::from(size.w) * u64::from(size.h) < 1 << 24).then(|| openslide_level(&handle, 0).ok()).flatten()
}

/// Reads the file's word on its colours: the tag `PhotometricInterpretation`.
fn colours(path: &Path) -> Option<u64> {
    let mut decoder = Decoder::new(File::open(path).ok()?).ok()?;
    decoder.get_tag_u64(Tag::PhotometricInterpretation).ok()
}

fn outcome(path: &Path) -> Outcome {
    let Some(ours) = ours(path) else { return Outcome::Refused };
    let Some(theirs) = theirs(path) else { return Outcome::OursAlone };
    if (ours.width(), ours.height()) != (theirs.width(), theirs.height()) {
        Outcome::OtherSize
    } else if difference(&ours, &theirs).max == 0 {
        Outcome::Same
    } else if colours(path) == Some(1) {
        Outcome::OtherColours
    } else {
        Outcome::Other
    }
}

#[test]
fn a_mutant_is_refused_or_read_as_openslide_reads_it() {
    openslide_sys::load().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutant.tif");
    let mut found: BTreeMap<(u16, Outcome), u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for compression in COMPRESSIONS {
        std::fs::write(&path, sound(compression, Flavour::PLAIN)).unwrap();
        assert_eq!(outcome(&path), Outcome::Same, "sound, compression {compression}");
    }
    for case in FOUND.into_iter().chain(first_case()..first_case() + cases(1000)) {
        let mut dice = Dice::new(case);
        let compression = COMPRESSIONS[dice.roll(COMPRESSIONS.len())];
        let mut bytes = sound(compression, Flavour::ALL[dice.roll(Flavour::ALL.len())]);
        change(&mut bytes, &mut dice);
        std::fs::write(&path, &bytes).unwrap();
        let outcome = outcome(&path);
        *found.entry((compression, outcome)).or_default() += 1;
        if outcome == Outcome::Other {
            wrong.push((case, compression));
        }
    }
    for ((compression, outcome), count) in &found {
        println!("compression {compression}: {outcome:?} {count}");
    }
    assert!(wrong.is_empty(), "other px than OpenSlide's in these cases and compressions: {wrong:?}");
}
