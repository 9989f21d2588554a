//! Masks of real slides: tissue where a pathologist sees it, and nowhere else.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use tiler::{Plan, PlanSettings, TissueMask, TissueNote, TissueSettings};
use wsi_types::{Level0Box, Mpp};

/// Returns the shared slide of that name; `None`, with a printed note, if it is absent.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/slides").join(name);
    if !path.exists() {
        eprintln!("skipped: ../shared/slides/{name} is absent");
        return None;
    }
    Some(path)
}

fn mask(path: &Path) -> TissueMask {
    let slide = wsi_reader::open(path).unwrap();
    let mpp = slide.info().scale.as_ref().ok().map(|scale| scale.mpp);
    TissueMask::compute(&*slide, mpp, &TissueSettings::default())
}

fn share(mask: &TissueMask) -> f64 {
    mask.tissue_fraction(&part(mask, 0.0, 0.0, 1.0, 1.0))
}

/// Returns a part of the slide, in shares of its sides.
fn part(mask: &TissueMask, x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
    let (width, height) = mask.level0_size();
    let (width, height) = (f64::from(width), f64::from(height));
    Level0Box::new(euclid::point2(x0 * width, y0 * height), euclid::point2(x1 * width, y1 * height))
}

#[test]
fn a_white_slide_has_no_tissue() {
    let Some(path) = shared("crafted/all_white.svs") else { return };
    let slide = wsi_reader::open(&path).unwrap();
    let mask = mask(&path);
    assert_eq!((share(&mask), mask.notes()), (0.0, [].as_slice()));
    let mpp = Mpp::new(0.5).unwrap();
    let plan = Plan::new(&slide.info().pyramid, mpp, &mask, &PlanSettings::new(mpp)).unwrap();
    assert_eq!((plan.windows().len(), plan.cost().tiles_needed), (0, 0));
}

#[test]
fn skin_is_found_and_glass_and_dust_are_not() {
    let Some(path) = shared("real/CMU-1-Small-Region.svs") else { return };
    let mask = mask(&path);
    assert!((0.37..0.44).contains(&share(&mask)), "{}", share(&mask));
    assert!(!mask.has_tissue(&part(&mask, 0.0, 0.0, 0.3, 0.3)), "glass, and dust in the corner");
    assert!(!mask.has_tissue(&part(&mask, 0.9, 0.1, 1.0, 0.4)), "dust on glass");
    assert!(!mask.has_tissue(&part(&mask, 0.0, 0.5, 0.2, 1.0)), "glass");
    assert!(mask.tissue_fraction(&part(&mask, 0.3, 0.8, 0.7, 1.0)) > 0.98, "dermis and epidermis");
}

#[test]
fn a_core_is_whole() {
    let Some(path) = shared("real/instanseg_HE_example.tif") else { return };
    let mask = mask(&path);
    assert!((0.69..0.75).contains(&share(&mask)), "{}", share(&mask));
    // Dark lymphocytes above, pale carcinoma below.
    assert!(mask.tissue_fraction(&part(&mask, 0.2, 0.15, 0.8, 0.85)) > 0.999);
    assert!(!mask.has_tissue(&part(&mask, 0.0, 0.0, 0.15, 0.15)));
}

#[test]
fn a_picture_full_of_tissue_stays_full() {
    let Some(path) = shared("real/OS-1-detail.ome.tif") else { return };
    assert!(share(&mask(&path)) > 0.97, "{}", share(&mask(&path)));
}

#[test]
fn a_pale_blue_counterstain_is_tissue_and_no_ink() {
    let Some(path) = shared("real/OS-2-ndpi.ome.tif") else { return };
    let mask = mask(&path);
    assert_eq!(mask.notes(), []);
    assert!((0.82..0.9).contains(&share(&mask)), "{}", share(&mask));
    assert!(mask.tissue_fraction(&part(&mask, 0.35, 0.25, 0.7, 0.9)) > 0.999);
    assert!(!mask.has_tissue(&part(&mask, 0.05, 0.65, 0.2, 0.8)), "a lumen open to the border");
}

#[test]
fn fluorescence_is_said() {
    let Some(path) = shared("real/hamamatsu-dapi.ndpi") else { return };
    assert_eq!(mask(&path).notes(), [TissueNote::DarkGround]);
}

/// The mask may miss none of 925 nuclei of known place that a model could find.
#[test]
fn every_known_nucleus_lies_on_tissue() {
    let Some(path) = shared("gt/tnbc_dev_mosaic.svs") else { return };
    let Some(truth) = shared("gt/tnbc_dev_mosaic_nuclei.csv") else { return };
    let mask = mask(&path);
    let truth = std::fs::read_to_string(truth).unwrap();
    let boxes: Vec<Level0Box> = truth.lines().skip(1).map(nucleus).collect();
    assert_eq!(boxes.len(), 925);
    let missed: Vec<_> = boxes.iter().filter(|nucleus| mask.tissue_fraction(nucleus) < 0.5).collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert!((0.095..0.11).contains(&share(&mask)), "{}", share(&mask));
}

fn nucleus(line: &str) -> Level0Box {
    let sides: Vec<f64> = line.split(',').skip(2).take(4).map(|side| side.parse().unwrap()).collect();
    Level0Box::new(euclid::point2(sides[0], sides[1]), euclid::point2(sides[2], sides[3]))
}
