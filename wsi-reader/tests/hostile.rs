//! Hostile files come back with an error or with pixels, never with a panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use jpeg_encoder::SamplingFactor;
use proptest::{prelude::*, test_runner::Config};
use support::{
    Dice, mutate, painted,
    tiff::{Flavour, PageSpec, write},
};
use wsi_reader::fuzzing::{fuzz_header, fuzz_tiles, fuzz_vendor_text};

/// Small sound files of every codec and flavour, to be broken.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (index, compression) in [1, 5, 7, 8, 32773, 50000].into_iter().enumerate() {
        for tiled in [true, false] {
            let base = PageSpec::new(painted(40, 33)).with(|p| {
                p.compression = compression;
                p.photometric = if compression == 7 { 6 } else { 2 };
                (p.sampling, p.shared_tables) = (SamplingFactor::F_2_2, compression == 7);
                (p.tile, p.rows_per_strip) = (tiled.then_some((16, 16)), 8);
                p.description = "Aperio Image Library v11.2.1 \r\n40x33|AppMag = 20|MPP = 0.5".into();
                p.per_cm = Some(20_000);
                p.subs = vec![PageSpec::new(painted(20, 17)).with(|s| s.subfile = 1)];
            });
            seeds.push(write(Flavour::ALL[index % 4], &[base]));
        }
    }
    seeds
}

fn run_case(seeds: &[Vec<u8>], case: u64) {
    let mut dice = Dice::new(case);
    let mut bytes = seeds[dice.roll(seeds.len())].clone();
    mutate(&mut bytes, &mut dice);
    fuzz_header(&bytes);
    fuzz_tiles(&bytes);
}

#[test]
fn mutated_files_never_panic() {
    let seeds = seeds();
    (0..4000).for_each(|case| run_case(&seeds, case));
}

#[test]
fn every_cut_of_a_sound_file_is_handled() {
    for seed in seeds() {
        for end in (0..seed.len()).step_by(7) {
            fuzz_tiles(&seed[..end]);
        }
    }
}

/// Runs for `SLIDEMILL_FUZZ_SECONDS` (default 60) and prints how far it came.
#[test]
#[ignore = "runs as long as it is told to"]
fn mutated_files_never_panic_for_long() {
    let seconds = std::env::var("SLIDEMILL_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let first: u64 =
        std::env::var("SLIDEMILL_FUZZ_FIRST").ok().and_then(|s| s.parse().ok()).unwrap_or(1_000_000);
    let seeds = seeds();
    let start = Instant::now();
    let (mut case, mut slowest) = (first, (Duration::ZERO, 0));
    while start.elapsed() < Duration::from_secs(seconds) {
        let before = Instant::now();
        run_case(&seeds, case);
        slowest = slowest.max((before.elapsed(), case));
        case += 1;
    }
    println!("{} cases in {seconds} s, slowest {:?} (case {})", case - first, slowest.0, slowest.1);
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, cases: 300, ..Config::default() })]

    #[test]
    fn any_bytes_after_a_tiff_magic_are_handled(tail in proptest::collection::vec(any::<u8>(), 0..600), big: bool) {
        let mut bytes = if big { b"MM\0\x2b\0\x08\0\0\0\0\0\0\0\0\0\x10".to_vec() } else { b"II\x2a\0\x08\0\0\0".to_vec() };
        bytes.extend(tail);
        fuzz_tiles(&bytes);
    }

    #[test]
    fn any_text_is_no_danger(text in ".{0,400}") {
        fuzz_vendor_text(text.as_bytes());
        fuzz_vendor_text(format!("Aperio|MPP = {text}|AppMag = {text}").as_bytes());
        fuzz_vendor_text(format!("<OME><Image><Pixels PhysicalSizeX=\"{text}\"/></Image></OME>").as_bytes());
    }
}
