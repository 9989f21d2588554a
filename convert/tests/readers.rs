//! Exports read by the tools' own libraries: the same cells by class, the same area, every shape valid, also beside rings
//! that no format takes as they are.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use convert::{Choice, DicomSlide, Format, Settings};
use eval::polygon::Polygon;
use merger::RegionRow;
use serde_json::Value;
use support::{MPP, Painted, ellipse_of, ellipses, python, with_wrong_rings};
use wsi_types::Level0Point;

/// Answer of the library of a format.
fn seen(python: &Path, format: Format, path: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/python/read_exports.py");
    let output = Command::new(python).arg(script).arg(format.name()).arg(path).output().unwrap();
    let (told, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {failed}", format.name());
    serde_json::from_str(told.lines().last().unwrap()).unwrap()
}

/// Compares what a library sees with what was written and what was painted.
fn assert_seen(environment: &str, format: Format) {
    let Some(python) = python(environment) else { return };
    for painted in [Painted::new(ellipses(1_500)), Painted::new(with_wrong_rings())] {
        let (tally, path) = painted.export(format, &Choice::default(), &Settings::default());
        let seen = seen(&python, format, &path);
        assert_eq!(seen["classes"], serde_json::to_value(painted.counts()).unwrap(), "{}", format.name());
        assert_eq!(seen["valid"], tally.cells(), "{}", format.name());
        let area = seen["area_px2"].as_f64().unwrap() * MPP * MPP;
        assert!(
            (area / tally.area_um2 - 1.0).abs() < 1e-3,
            "{}: {area} for {}",
            format.name(),
            tally.area_um2
        );
        if let Some(tissue) = seen["tissue_px2"].as_f64() {
            assert!(
                (tissue * MPP * MPP / painted.regions[0].area_um2 - 1.0).abs() < 1e-6,
                "{}",
                format.name()
            );
        }
    }
}

#[test]
fn qupath_objects_survive_its_grid() {
    assert_seen(".venv-exports", Format::QuPath);
    assert_seen(".venv-exports", Format::GeoJsonGz);
}

#[test]
fn geopandas_reads_the_geojson() {
    assert_seen(".venv-exports", Format::GeoJson);
}

#[test]
fn geopandas_reads_native_geometry() {
    assert_seen(".venv-exports", Format::GeoArrow);
}

#[test]
fn pycocotools_reads_the_instances() {
    assert_seen(".venv-exports", Format::Coco);
}

#[test]
fn tasks_of_label_studio_are_as_its_schema_says() {
    assert_seen(".venv-exports", Format::LabelStudio);
}

#[test]
fn xml_of_cvat_is_as_its_schema_says() {
    assert_seen(".venv-exports", Format::Cvat);
}

#[test]
fn tiatoolbox_opens_and_queries_the_store() {
    assert_seen(".venv-exports", Format::AnnotationStore);
}

#[test]
fn highdicom_reads_the_annotations() {
    assert_seen(".venv-exports", Format::DicomAnn);
}

#[test]
fn spatialdata_opens_the_store_with_its_table() {
    let Some(python) = python(".venv-spatialdata") else { return };
    assert_seen(".venv-spatialdata", Format::SpatialData);
    let painted = Painted::new(ellipses(900));
    let (_, path) = painted.export(Format::SpatialData, &Choice::default(), &Settings::default());
    let seen = seen(&python, Format::SpatialData, &path);
    assert!((seen["um_per_px"].as_f64().unwrap() - MPP).abs() < 1e-9);
    assert_eq!(seen["points"], seen["classes"]);
}

#[test]
fn highdicom_reads_the_report() {
    let Some(python) = python(".venv-exports") else { return };
    let painted = Painted::new(ellipses(900));
    let (_, path) = painted.export(Format::DicomSr, &Choice::default(), &Settings::default());
    let seen = seen(&python, Format::DicomSr, &path);
    assert_eq!(seen["classes"], serde_json::to_value(painted.counts()).unwrap());
    assert_eq!(seen["regions"], 1);
    let area = seen["areas_mm2"][0].as_f64().unwrap();
    assert!((area - painted.regions[0].area_um2 * 1e-6).abs() < 1e-6);
}

/// Tissue, and within it two pieces of another kind, all with holes.
fn painted_regions() -> Painted {
    let mut painted = Painted::new(ellipses(30));
    painted.regions = vec![
        region("tissue", (9_500.0, 9_700.0), [9_000.0, 8_500.0]),
        region("tumour", (3_000.0, 5_000.0), [1_300.0, 900.0]),
        region("tumour", (11_000.0, 13_000.0), [1_300.0, 900.0]),
    ];
    painted
}

/// An ellipse with a hole of a third of its size.
fn region(kind: &str, (x, y): (f64, f64), [a, b]: [f64; 2]) -> RegionRow {
    let middle = Level0Point::new(x, y);
    let rings = vec![ellipse_of(middle, a, b, 400), ellipse_of(middle, a / 3.0, b / 3.0, 400)];
    let [whole, hole] = [&rings[0], &rings[1]].map(|ring| Polygon::from_ring(ring.clone()).area());
    RegionRow {
        region_id: 8,
        kind: kind.to_owned(),
        centroid: middle,
        area_um2: (whole - hole) * MPP * MPP,
        rings,
        ..RegionRow::default()
    }
}

#[test]
fn highdicom_puts_the_tiles_of_the_segmentation_together() {
    let Some(python) = python(".venv-exports") else { return };
    let painted = painted_regions();
    let (tally, path) = painted.export(Format::DicomSeg, &Choice::default(), &Settings::default());
    assert_eq!((tally.regions, tally.cells()), (3, 0));
    let seen = seen(&python, Format::DicomSeg, &path);
    for kind in ["tissue", "tumour"] {
        let segment = &seen["segments"][kind];
        let regions: Vec<&RegionRow> = painted.regions.iter().filter(|region| region.kind == kind).collect();
        let area: f64 = regions.iter().map(|region| region.area_um2 * 1e-6).sum();
        let found = segment["area_mm2"].as_f64().unwrap();
        assert!((found / area - 1.0).abs() < 1e-3, "{kind}: {found} mm² for {area}");
        let middle = regions.iter().fold(Level0Point::zero(), |sum, region| {
            sum + region.centroid.to_vector() * (region.area_um2 * 1e-6 / area)
        });
        for (axis, place) in [middle.x, middle.y].into_iter().enumerate() {
            let found = segment["middle_mm"][axis].as_f64().unwrap();
            assert!((found - place * MPP * 1e-3).abs() < 0.004, "{kind}: {found} mm for {place} px");
        }
        assert_eq!(segment["type"].as_str().unwrap().to_lowercase(), kind);
    }
}

/// The validator of DICOM objects, where it is installed.
fn dciodvfy(path: &Path) -> Option<Vec<String>> {
    let output = Command::new("dciodvfy").arg(path).output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no dciodvfy (Debian: apt-get install dicom3tools)");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(text.lines().filter(|line| line.starts_with("Error")).map(str::to_owned).collect())
}

/// Known to be the validator's: highdicom's files get it too, and the attribute is absent.
const VALIDATORS_OWN: &str = "CommonZCoordinateValue";

/// The validator knows tiles without a place in each frame in whole-slide images alone: highdicom's segmentations get
/// the same.
const OF_FULL_TILING: [&str; 5] = [
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PlanePositionSlideSequence",
    "SegmentIdentificationSequence",
    "PerFrameFunctionalGroupsSequence",
];

#[test]
fn the_segmentation_is_valid() {
    let (_, path) = painted_regions().export(Format::DicomSeg, &Choice::default(), &Settings::default());
    let Some(mut errors) = dciodvfy(&path) else { return };
    errors.retain(|error| !OF_FULL_TILING.iter().any(|known| error.contains(known)));
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn dicom_objects_are_valid() {
    let painted = Painted::new(ellipses(300));
    for format in [Format::DicomAnn, Format::DicomSr] {
        let (_, path) = painted.export(format, &Choice::default(), &Settings::default());
        let Some(mut errors) = dciodvfy(&path) else { return };
        errors.retain(|error| !error.contains(VALIDATORS_OWN));
        assert!(errors.is_empty(), "{}: {errors:#?}", format.name());
    }
}

/// A DICOM slide of the shared ones; its level 0 has 2220 × 2967 px.
fn shared_slide() -> Option<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/slides/dicom/cmu1_small_region_levels");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: the shared slides are not here");
    None
}

#[test]
fn a_dicom_slide_lends_its_study_and_image() {
    let Some(folder) = shared_slide() else { return };
    let mut painted = Painted::new(ellipses(300));
    painted.facts.size_px = [2220, 2967];
    let slide = DicomSlide::open(&folder, &painted.facts).unwrap().unwrap();
    assert!(!slide.invented);
    for format in [Format::DicomAnn, Format::DicomSr, Format::DicomSeg] {
        let settings = Settings { dicom_slide: Some(slide.clone()), ..Settings::default() };
        let (tally, path) = painted.export(format, &Choice::default(), &settings);
        assert!(tally.notes.iter().all(|note| !note.contains("not known as DICOM")), "{:?}", tally.notes);
        let bytes = std::fs::read(&path).unwrap();
        let image = b"1.2.276.0.7230010.3.1.4.2425734838.4124713.1626788322.499659";
        assert!(bytes.windows(image.len()).any(|window| window == image), "{}", format.name());
        if let Some(mut errors) = dciodvfy(&path) {
            errors.retain(|error| {
                !error.contains(VALIDATORS_OWN) && !OF_FULL_TILING.iter().any(|known| error.contains(known))
            });
            assert!(errors.is_empty(), "{}: {errors:#?}", format.name());
        }
    }
    painted.facts.size_px = [2220, 2968];
    let refused = DicomSlide::open(&folder, &painted.facts).unwrap_err().to_string();
    assert!(refused.contains("2220 × 2967") && refused.contains("expected one of 2220 × 2968"), "{refused}");
}

#[test]
fn annotations_of_another_maker_are_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/ann.dcm");
    if !golden.exists() {
        eprintln!("skipped: the shared golden files are not here");
        return;
    }
    let set = convert::into::read(&golden, &eval::truth::ReadSettings::default()).unwrap().set;
    assert_eq!(set.objects.len(), 2000);
    assert_eq!(convert::into::count_by_class(&set).get("nucleus"), Some(&2000));
    assert!(set.objects.iter().all(|object| object.shape.area() > 0.0));
}
