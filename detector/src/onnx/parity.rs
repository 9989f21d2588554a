//! The same boxes and masks as Ultralytics' own ONNX pipeline.
//!
//! `tests/python/ultralytics_reference.py` writes models, pictures and answers into
//! `$SLIDEMILL_REFERENCE_DIR` (else `target/reference`); where they are absent the test says so and passes.
//! Boxes must agree within 0.05 px of the picture and scores within 1e-4, one to one; masks with an IoU of
//! at least 0.99.
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wsi_types::WindowIndex;

use super::{
    Model, read_model,
    run::Runner,
    session::{OrtRunner, SessionSettings},
};
use crate::{
    BatchView, DetectSettings, Device,
    manifest::ManifestFile,
    yolo::{Decoder, TensorView, segment::Mask},
};

const MAX_BOX_PX: f32 = 0.05;
const MAX_SCORE: f32 = 1e-4;
const MIN_MASK_IOU: f64 = 0.99;

#[derive(Deserialize)]
struct Reference {
    model: String,
    input: String,
    height: usize,
    width: usize,
    picture_height: usize,
    picture_width: usize,
    gain: f32,
    conf: f32,
    iou: f32,
    boxes: Vec<[f32; 4]>,
    scores: Vec<f32>,
    classes: Vec<u16>,
    masks: Option<Vec<Runs>>,
}

/// The part of a picture that a mask is in, as run lengths, the first of zeros.
#[derive(Deserialize)]
struct Runs {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    runs: Vec<usize>,
}

impl Runs {
    /// Set pixels of the picture, in order.
    fn pixels(&self) -> Vec<(usize, usize)> {
        let mut pixels = Vec::new();
        let mut at = 0;
        for (i, &run) in self.runs.iter().enumerate() {
            if i % 2 == 1 {
                pixels
                    .extend((at..at + run).map(|p| (self.top + p / self.width, self.left + p % self.width)));
            }
            at += run;
        }
        assert_eq!(at, self.width * self.height);
        pixels
    }
}

fn folder() -> PathBuf {
    std::env::var_os("SLIDEMILL_REFERENCE_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/reference"), PathBuf::from)
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // Other references lie there too; ours come with the pixels that were given.
    cases.retain(|path| {
        path.extension().is_some_and(|extension| extension == "json") && path.with_extension("rgb").exists()
    });
    cases.sort();
    cases
}

/// One object, in the picture's px.
struct Found {
    bbox: [f32; 4],
    score: f32,
    class: u16,
    mask: Option<Mask>,
}

fn detect(folder: &Path, reference: &Reference) -> Vec<Found> {
    let bytes = read_model(&folder.join(&reference.model)).unwrap();
    let model = Model::read(&bytes, &ManifestFile::default(), "parity").unwrap();
    let (width, height) = (reference.width, reference.height);
    let session = SessionSettings { window: (width, height), ..SessionSettings::default() };
    let (mut runner, _) = OrtRunner::open(&model, &Device::Cpu, &session).unwrap();
    let pixels = std::fs::read(folder.join(&reference.input)).unwrap();
    let batch = BatchView { height, width, windows: &[WindowIndex(0)], pixels: &pixels, stretch: None };
    let outputs = runner.run(batch).unwrap();
    let floats: Vec<_> = outputs.iter().map(super::Output::floats).collect();
    let views: Vec<TensorView<'_>> = std::iter::zip(&outputs, &floats)
        .map(|(output, data)| TensorView { name: &output.name, shape: &output.shape, data })
        .collect();
    let settings =
        DetectSettings { score_floor: reference.conf, nms_iou: reference.iou, ..DetectSettings::default() };
    let decoder = Decoder::new(&model.manifest, &settings);
    let kept = decoder.instances(&views, 0, width, height).unwrap().each;
    let to_picture = reference.to_picture();
    kept.into_iter()
        .map(|(candidate, mask)| Found {
            bbox: to_picture([
                candidate.bbox.min.x,
                candidate.bbox.min.y,
                candidate.bbox.max.x,
                candidate.bbox.max.y,
            ]),
            score: candidate.score.get(),
            class: candidate.class,
            mask,
        })
        .collect()
}

impl Reference {
    /// Undoes the letterboxing: the picture was scaled by `gain` to whole pixels, so by a little more or less
    /// on each axis, and centred, an odd pixel of border going to the right and bottom; boxes are cut at the
    /// picture.
    fn to_picture(&self) -> impl Fn([f32; 4]) -> [f32; 4] {
        let sizes = [(self.width, self.picture_width), (self.height, self.picture_height)];
        let [x, y] = sizes.map(|(input, side)| {
            let scaled = (side as f32 * self.gain).round();
            let pad = ((input as f32 - scaled) / 2.0 - 0.1).round();
            let gain = scaled / side as f32;
            move |at: f32| ((at - pad) / gain).clamp(0.0, side as f32)
        });
        move |[x0, y0, x1, y1]| [x(x0), y(y0), x(x1), y(y1)]
    }

    /// `true` if the picture was given to the model as it is, so that masks are on the same grid.
    fn is_unscaled(&self) -> bool {
        (self.width, self.height) == (self.picture_width, self.picture_height)
    }
}

/// The largest difference of any side.
fn distance(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn mask_iou(mask: &Mask, runs: &Runs) -> f64 {
    let theirs = runs.pixels();
    let shared = theirs.iter().filter(|&&(row, column)| {
        let (row, column) = (row.wrapping_sub(mask.top), column.wrapping_sub(mask.left));
        row < mask.height && column < mask.width && mask.field[row * mask.width + column] > 0.0
    });
    let shared = shared.count();
    let ours = mask.field.iter().filter(|&&value| value > 0.0).count();
    let union = ours + theirs.len() - shared;
    if union == 0 { 1.0 } else { shared as f64 / union as f64 }
}

/// Largest differences of boxes and scores, and the IoU of each mask.
#[derive(Default)]
struct Worst {
    box_px: f32,
    score: f32,
    masks: Vec<f64>,
}

fn compare(reference: &Reference, found: &[Found]) -> Result<Worst, String> {
    let mut worst = Worst::default();
    let mut free = vec![true; found.len()];
    for (i, bbox) in reference.boxes.iter().enumerate() {
        let nearest = (0..found.len())
            .filter(|&j| {
                free[j]
                    && found[j].class == reference.classes[i]
                    && distance(&found[j].bbox, bbox) <= MAX_BOX_PX
                    && (found[j].score - reference.scores[i]).abs() <= MAX_SCORE
            })
            .min_by(|&a, &b| distance(&found[a].bbox, bbox).total_cmp(&distance(&found[b].bbox, bbox)));
        let j = nearest.ok_or_else(|| {
            let closest =
                found.iter().min_by(|a, b| distance(&a.bbox, bbox).total_cmp(&distance(&b.bbox, bbox)));
            let closest = closest.map(|found| (found.bbox, found.score, found.class));
            format!("box {i} {bbox:?} of score {} is not there; {closest:?} is closest", reference.scores[i])
        })?;
        free[j] = false;
        worst.box_px = worst.box_px.max(distance(&found[j].bbox, bbox));
        worst.score = worst.score.max((found[j].score - reference.scores[i]).abs());
        if let (Some(masks), Some(mask), true) = (&reference.masks, &found[j].mask, reference.is_unscaled()) {
            worst.masks.push(mask_iou(mask, &masks[i]));
        }
    }
    match free.iter().position(|&free| free) {
        Some(j) => Err(format!("{:?} of score {} is not theirs", found[j].bbox, found[j].score)),
        None => Ok(worst),
    }
}

#[test]
fn boxes_and_masks_are_those_of_ultralytics() {
    let folder = folder();
    let cases = cases(&folder);
    if cases.is_empty() {
        eprintln!(
            "skipped: no references in {}: run tests/python/ultralytics_reference.py",
            folder.display()
        );
        return;
    }
    if let Err(e) = native::find(native::Library::OnnxRuntime) {
        eprintln!("skipped: ONNX Runtime is absent: {e}");
        return;
    }
    let mut failures = Vec::new();
    for case in cases {
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        let reference: Reference = serde_json::from_slice(&std::fs::read(&case).unwrap()).unwrap();
        match compare(&reference, &detect(&folder, &reference)) {
            Ok(worst) => {
                let least = worst.masks.iter().copied().fold(1.0, f64::min);
                eprintln!(
                    "{name}: {} boxes, worst {:.4} px, score {:.1e}; {} masks, least IoU {least:.4}",
                    reference.boxes.len(),
                    worst.box_px,
                    worst.score,
                    worst.masks.len()
                );
                if least < MIN_MASK_IOU {
                    let below = worst.masks.iter().filter(|&&iou| iou < MIN_MASK_IOU).count();
                    failures
                        .push(format!("{name}: {below} of {} masks below {MIN_MASK_IOU}", worst.masks.len()));
                }
            }
            Err(reason) => failures.push(format!("{name}: {reason}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
