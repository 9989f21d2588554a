//! The same maps, cut into nuclei by OpenCV, scipy and scikit-image: numbers of nuclei, their px, classes and scores.
//!
//! `tests/python/hover_reference.py` writes what is compared, below `$SLIDEMILL_REFERENCE_DIR` (else `target/reference`);
//! where that is absent the test says so and passes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, de::DeserializeOwned};

use super::HoverRule;
use crate::{
    manifest::{Background, Hover, HoverScores},
    watershed::{OPEN, OUTSIDE, flood},
    yolo::{Instances, TensorView},
};

#[derive(Deserialize)]
struct Case {
    name: String,
    side: usize,
    types: usize,
    sobel_px: u32,
    min_px: u32,
    found: Vec<([f32; 4], f32, u16)>,
}

impl Case {
    fn maps(&self) -> Vec<u8> {
        std::fs::read(folder().join(&self.name).with_extension("maps")).unwrap()
    }

    fn instances(&self, floats: &[f32]) -> Instances {
        let hover = Hover { sobel_px: self.sobel_px, min_px: self.min_px };
        let scores = HoverScores::Types { background: Background::First };
        let rule = HoverRule::new(&hover, scores, self.types - 1);
        let size = self.side * self.side;
        let shapes = [2, 2, self.types].map(|maps| [1, maps, self.side, self.side]);
        let outputs = [
            TensorView { name: "np", shape: &shapes[0], data: &floats[..2 * size] },
            TensorView { name: "hv", shape: &shapes[1], data: &floats[2 * size..4 * size] },
            TensorView { name: "tp", shape: &shapes[2], data: &floats[4 * size..] },
        ];
        rule.instances(&outputs, 0, (self.side, self.side), 0.0).unwrap()
    }
}

#[derive(Deserialize)]
struct Flood {
    width: usize,
    heights: Vec<f64>,
    mask: Vec<bool>,
    markers: Vec<u32>,
    expected: Vec<u32>,
}

fn folder() -> PathBuf {
    std::env::var_os("SLIDEMILL_REFERENCE_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/reference"), PathBuf::from)
}

fn references<T: DeserializeOwned>(name: &str) -> Vec<T> {
    match std::fs::read(folder().join(name)) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Err(_) => {
            eprintln!("skipped: {name} is absent: `cargo xtask test` writes it");
            vec![]
        }
    }
}

/// Places of each nucleus of ours, in the order of its answers.
fn places(instances: &Instances, width: usize) -> Vec<Vec<usize>> {
    let masks = instances.each.iter().filter_map(|(_, mask)| mask.as_ref());
    let places = masks.map(|mask| {
        let inside = (0..mask.field.len()).filter(|&at| mask.field[at] > 0.0);
        inside.map(|at| (mask.top + at / mask.width) * width + mask.left + at % mask.width).collect()
    });
    places.collect()
}

#[test]
fn nuclei_are_those_of_opencv_and_scikit_image() {
    for case in references::<Case>("hover.json") {
        let bytes = case.maps();
        let (floats, numbers) = bytes.split_at((4 + case.types) * case.side * case.side * 4);
        let floats: Vec<f32> = floats.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let numbers: Vec<u32> =
            numbers.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
        let ours = case.instances(&floats);
        assert_eq!(ours.each.len(), case.found.len(), "{}", case.name);
        for ((candidate, _), (bbox, score, class)) in ours.each.iter().zip(&case.found) {
            let [left, top, right, bottom] = *bbox;
            let found = candidate.bbox;
            assert_eq!([found.min.x, found.min.y, found.max.x, found.max.y], [left, top, right, bottom]);
            assert!((candidate.score.get() - score).abs() <= 1e-6 && candidate.class == *class);
        }
        for places in places(&ours, case.side) {
            let number = numbers[places[0]];
            let theirs = numbers.iter().filter(|&&other| other == number).count();
            let both = places.iter().filter(|&&place| numbers[place] == number).count();
            assert_eq!((both, both), (places.len(), theirs), "{}", case.name);
        }
        eprintln!("{}: {} nuclei, each px the same", case.name, ours.each.len());
    }
}

#[test]
fn floods_are_those_of_scikit_image() {
    for Flood { width, heights, mask, mut markers, expected } in references::<Flood>("watershed.json") {
        for (number, is_open) in markers.iter_mut().zip(&mask) {
            *number = if *is_open { *number } else { OUTSIDE };
        }
        flood(&heights, width, &mut markers);
        let flooded: Vec<u32> =
            markers.iter().map(|&number| if number == OUTSIDE { OPEN } else { number }).collect();
        assert_eq!(flooded, expected);
    }
}
