//! `slidemill export` and `slidemill import` as a user runs them: cells out, cells in, and refusals.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use dataset::{CellRow, Dataset, read_cells};
use serde_json::{Value, json};
use support::{SMALL_WINDOWS, accounts, run, shared, slidemill, small_slide, stderr};
use wsi_types::Level0Point;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn export(out: &Path, more: &[&str]) -> Output {
    slidemill().arg("export").arg(out).args(more).output().expect("the command starts")
}

fn import(cells: &Path, slide: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = slidemill();
    command.arg("import").arg(cells).arg("--slide").arg(slide).arg("-o").arg(out).args(more);
    command.output().expect("the command starts")
}

/// The only slide's cells.
fn cells(out: &Path) -> Vec<CellRow> {
    read_cells(&Dataset::at(out).cells(&accounts(out)[0].slide)).expect("cells can be read")
}

fn counts(cells: &[CellRow]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for cell in cells {
        *counts.entry(cell.class_name.as_ref()).or_insert(0) += 1;
    }
    counts
}

fn area_um2(cells: &[CellRow]) -> f64 {
    cells.iter().map(|cell| f64::from(cell.area_um2)).sum()
}

/// Returns the place of an export of the only slide.
fn exported(folder: &Path, ending: &str) -> PathBuf {
    let mut files = fs::read_dir(folder).expect("exports are there").map(|entry| entry.unwrap().path());
    files.find(|path| path.to_string_lossy().ends_with(ending)).unwrap_or_else(|| panic!("no {ending}"))
}

/// Formats that hold cells, and the endings of their files.
const CELL_FORMATS: [(&str, &str); 10] = [
    ("qupath", ".geojson.zip"),
    ("geojson", ".geojson"),
    ("geojson.gz", ".geojson.gz"),
    ("annotation-store", ".db"),
    ("spatialdata", ".sd.zarr"),
    ("dicom-ann", "-ann.dcm"),
    ("coco", ".coco.json"),
    ("label-studio", ".label-studio.json"),
    ("cvat", ".cvat.xml"),
    ("geoarrow", ".geoarrow.parquet"),
];

/// An octagon around a place.
fn octagon(middle: Level0Point, radius: f64) -> Vec<[f64; 2]> {
    let corner = |step: u32| {
        let (sin, cos) = (f64::from(step) * std::f64::consts::FRAC_PI_4).sin_cos();
        [middle.x + radius * cos, middle.y + radius * sin]
    };
    (0..9).map(|step| corner(step % 8)).collect()
}

/// Writes cells on a lattice of 10 × 10 as QuPath writes them, every third a `tumour`; scores from 0 to 0.99.
fn write_cells(path: &Path) {
    let feature = |number: u32| {
        let middle =
            Level0Point::new(60.0 + f64::from(number % 10) * 40.0, 60.0 + f64::from(number / 10) * 40.0);
        let name = if number.is_multiple_of(3) { "tumour" } else { "other" };
        json!({
            "type": "Feature", "geometry": {"type": "Polygon", "coordinates": [octagon(middle, 9.0)]},
            "properties": {
                "objectType": "detection", "classification": {"name": name, "color": [200, 0, 0]},
                "measurements": {"Detection probability": f64::from(number) / 100.0},
            },
        })
    };
    let all: Vec<Value> = (0..100).map(feature).collect();
    fs::write(path, json!({"type": "FeatureCollection", "features": all}).to_string()).unwrap();
}

/// A dataset of the cells of [`write_cells`] on a painted slide.
fn lattice(folder: &Path) -> (PathBuf, PathBuf) {
    let (slide, given, out) =
        (folder.join("slide.tif"), folder.join("cells.geojson"), folder.join("results"));
    small_slide(&slide, 31);
    write_cells(&given);
    let output = import(&given, &slide, &out, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    (slide, out)
}

/// Once the path and the reason were said twice.
#[test]
fn a_missing_file_is_named_once() {
    let folder = folder();
    let (slide, cells) = (folder.path().join("slide.tif"), folder.path().join("cells.geojson"));
    small_slide(&slide, 70);
    let refused = import(&cells, &slide, &folder.path().join("out"), &[]);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(65), "{said}");
    assert_eq!(said.matches("cells.geojson").count(), 1, "{said}");
    assert_eq!(said.matches("os error 2").count(), 1, "{said}");
}

#[test]
fn a_run_comes_back_from_every_format() {
    let folder = folder();
    let (slide, out, handover) =
        (folder.path().join("slide.tif"), folder.path().join("out"), folder.path().join("handover"));
    small_slide(&slide, 30);
    let output = run(&[&slide], &out, &[&SMALL_WINDOWS[..], &["--model", "nuclei-he-seg"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let found = cells(&out);
    assert!(found.len() > 100, "{} cells", found.len());

    let all = format!("{},dicom-sr,dicom-seg", CELL_FORMATS.map(|(format, _)| format).join(","));
    let output = export(&out, &["--as", &all, "--into", handover.to_str().unwrap(), "--verify"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    assert_eq!(said.matches("read back: the same cells").count(), CELL_FORMATS.len(), "{said}");
    assert_eq!(said.matches("no cells to compare").count(), 2, "{said}");
    let id = accounts(&out)[0].slide.to_string();
    for entry in fs::read_dir(&handover).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with(&id) || name == "qupath-import.groovy", "{name}");
    }

    for (format, ending) in CELL_FORMATS {
        let back = folder.path().join(format!("back-{format}"));
        let output = import(&exported(&handover, ending), &slide, &back, &[]);
        assert!(output.status.success(), "{format}: {}", stderr(&output));
        assert_same_cells(format, &found, &cells(&back));
        assert_same_ids(format, &out, &back);
    }
}

/// A run and an import agree on ids of cells: one stands for the same class and place wherever both have it.
fn assert_same_ids(format: &str, run: &Path, import: &Path) {
    let imported: BTreeMap<u64, CellRow> =
        cells(import).into_iter().map(|cell| (cell.cell_id, cell)).collect();
    for cell in cells(run) {
        if let Some(other) = imported.get(&cell.cell_id) {
            assert_eq!(other.class_name, cell.class_name, "{format}");
            assert!((other.centroid - cell.centroid).length() < 0.1, "{format}: {:?}", cell.centroid);
        }
    }
}

/// Checks for the same cells by class and place, and the same area.
fn assert_same_cells(format: &str, expected: &[CellRow], found: &[CellRow]) {
    assert_eq!(counts(found), counts(expected), "{format}");
    for cell in expected {
        let near = |other: &&CellRow| {
            other.class_name == cell.class_name && (other.centroid - cell.centroid).length() < 0.1
        };
        assert!(found.iter().any(|other| near(&other)), "{format}: {:?}", cell.centroid);
    }
    let off = area_um2(found) / area_um2(expected) - 1.0;
    assert!(off.abs() < 1e-3, "{format}: area is off by {off}");
}

/// Detections of an export as GeoJSON: class, score, corners.
fn detections(folder: &Path) -> Vec<(String, f64, usize)> {
    let text = fs::read_to_string(exported(folder, ".geojson")).unwrap();
    let collection: Value = serde_json::from_str(&text).unwrap();
    let features = collection["features"].as_array().unwrap().iter();
    features
        .filter(|feature| feature["properties"]["objectType"] == "detection")
        .map(|feature| {
            let properties = &feature["properties"];
            (
                properties["classification"]["name"].as_str().unwrap().to_owned(),
                properties["measurements"]["Detection probability"].as_f64().unwrap(),
                feature["geometry"]["coordinates"][0].as_array().unwrap().len() - 1,
            )
        })
        .collect()
}

#[test]
fn only_the_cells_asked_for_are_written() {
    let folder = folder();
    let (_, out) = lattice(folder.path());
    // The first two rows of the lattice.
    let within = folder.path().join("roi.geojson");
    let ring = [[0.0, 0.0], [600.0, 0.0], [600.0, 120.0], [0.0, 120.0], [0.0, 0.0]];
    let area =
        json!({"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}});
    fs::write(&within, area.to_string()).unwrap();
    let within = within.to_str().unwrap();

    let written = |name: &str, more: &[&str]| {
        let into = folder.path().join(name);
        let output = export(&out, &[&["--as", "geojson", "--into", into.to_str().unwrap()], more].concat());
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        (detections(&into), stdout(&output))
    };
    assert_eq!(written("all", &[]).0.len(), 100);
    let (tumour, said) = written("tumour", &["--class", "tumour"]);
    assert!(tumour.len() == 34 && tumour.iter().all(|(class, ..)| class == "tumour"));
    assert!(said.contains("34 cells"), "{said}");
    assert_eq!(written("both", &["--class", "tumour,other"]).0.len(), 100);
    let sure = written("sure", &["--min-score", "0.75"]).0;
    assert!(sure.len() == 25 && sure.iter().all(|(_, score, _)| *score >= 0.75));
    let inside = written("inside", &["--within", within]).0;
    assert!(inside.len() == 20 && inside.iter().all(|(_, score, _)| *score < 0.2));
    let all = ["--within", within, "--class", "tumour", "--min-score", "0.1", "--verify"];
    assert_eq!(written("few", &all).0.len(), 3);
}

#[test]
fn outlines_become_points_or_lose_corners_when_asked() {
    let folder = folder();
    let (slide, out) = lattice(folder.path());
    let plain = folder.path().join("plain");
    let output = export(&out, &["--as", "geojson", "--into", plain.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(detections(&plain).iter().all(|(.., corners)| *corners == 8));
    let simple = folder.path().join("simple");
    // An octagon of radius 9 without every second corner is off by 2.6 px, and by far more than 1 % of its area.
    let output =
        export(&out, &["--as", "geojson", "--into", simple.to_str().unwrap(), "--simplify", "3", "--verify"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(detections(&simple).iter().all(|(.., corners)| *corners == 8));

    let points = folder.path().join("points");
    let formats = "qupath,geojson,geojson.gz,dicom-ann,annotation-store,label-studio,cvat,geoarrow";
    let output = export(&out, &["--as", formats, "--into", points.to_str().unwrap(), "--points", "--verify"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("read back: the same cells").count(), 8);
    let back = folder.path().join("back");
    let refused = import(&exported(&points, "-ann.dcm"), &slide, &back, &[]);
    assert_eq!(refused.status.code(), Some(64), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--radius-um"), "{}", stderr(&refused));
    let output = import(&exported(&points, "-ann.dcm"), &slide, &back, &["--radius-um", "4"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let widths: Vec<f32> = cells(&back).iter().map(|cell| cell.width_um).collect();
    assert!(widths.len() == 100 && widths.iter().all(|width| (width - 8.0).abs() < 1e-4));
}

#[test]
fn an_imported_dataset_is_one_of_ours() {
    let folder = folder();
    let (slide, out) = lattice(folder.path());
    let rows = cells(&out);
    assert_eq!(counts(&rows), BTreeMap::from([("other", 66), ("tumour", 34)]));
    let account = &accounts(&out)[0];
    let analysis = account.analysis.as_ref().unwrap();
    assert_eq!(analysis.cells, BTreeMap::from([("other".to_owned(), 66), ("tumour".to_owned(), 34)]));
    assert!(account.warnings.iter().any(|warning| warning.contains("all tissue counts as analysed")));
    assert!(rows.iter().all(|cell| cell.perimeter_um.is_some()), "shapes are measured");
    assert!(analysis.regions.iter().any(|region| region.kind == "tissue"));
    let verified = slidemill().arg("verify").arg(&out).output().unwrap();
    assert!(verified.status.success(), "{}", stderr(&verified));
    for page in ["report.html", "summary.csv"] {
        assert!(out.join(page).is_file(), "{page}");
    }
    // Cells of a tool that worked at half of the resolution.
    let half = folder.path().join("half");
    let output = import(&folder.path().join("cells.geojson"), &slide, &half, &["--scale", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!((area_um2(&cells(&half)) / area_um2(&rows) - 4.0).abs() < 1e-3);
    let again = import(&folder.path().join("cells.geojson"), &slide, &half, &[]);
    assert_eq!(again.status.code(), Some(64));
    assert!(stderr(&again).contains("are here already"), "{}", stderr(&again));
}

#[test]
fn wrong_arguments_say_what_is_expected_and_write_nothing() {
    let folder = folder();
    let (slide, out) = lattice(folder.path());
    let (empty, table) = (folder.path().join("empty"), folder.path().join("no-cells.geojson"));
    fs::create_dir(&empty).unwrap();
    fs::write(&table, r#"{"type":"FeatureCollection","features":[]}"#).unwrap();
    let into = folder.path().join("into");
    for (more, code, expected) in [
        (&["--as", "excel"][..], 64, "there is no format \"excel\", known are qupath"),
        (&["--as", "geojson", "--min-score", "2"], 64, "--min-score is 2, expected 0 to 1"),
        (&["--as", "geojson", "--simplify", "0"], 64, "--simplify is 0"),
        (&["--as", "geojson", "--class", "mitosis"], 64, "no class \"mitosis\", but"),
        (&["--as", "geojson", "--id", "s0"], 64, "no slide \"s0\" is here"),
        (&["--as", "geojson", "--within", table.to_str().unwrap()], 64, "--within holds no polygon"),
        (&["--as", "geojson", "--within", "absent.geojson"], 65, "absent.geojson"),
        (&["--as", "geojson", "--slide", "absent.svs"], 65, "absent.svs"),
        (&["--as", "coco", "--points"], 64, "coco has no place for points"),
        (&["--as", "dicom-sr", "--class", "tumour"], 64, "dicom-sr tells of the whole slide"),
        (&["--as", "dicom-seg", "--points"], 64, "dicom-seg tells of all regions"),
        (&["--as", "geojson", "--points", "--simplify", "1"], 64, "--simplify"),
        (&[], 64, "--as"),
    ] {
        let output = export(&out, &[&["--into", into.to_str().unwrap()], more].concat());
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
        let left = fs::read_dir(&into).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{more:?} left something behind");
    }
    let nowhere = export(&empty, &["--as", "geojson"]);
    assert_eq!(nowhere.status.code(), Some(65));
    assert!(stderr(&nowhere).contains("no results of any slide"), "{}", stderr(&nowhere));

    let given = folder.path().join("cells.geojson");
    let made = folder.path().join("made");
    let absent = folder.path().join("absent.geojson");
    for (cells, slide, more, code, expected) in [
        (&given, &slide, &["--scale", "0"][..], 64, "--scale is 0"),
        (&given, &slide, &["--radius-um", "0"], 64, "--radius-um is 0"),
        (&given, &slide, &["--scale", "1000"], 64, "lie outside the slide"),
        (&table, &slide, &[], 65, "it holds no cells"),
        (&absent, &slide, &[], 65, "absent.geojson"),
        (&slide, &slide, &[], 65, "slide.tif"),
        (&given, &absent, &[], 65, "absent.geojson"),
        (&given, &empty, &[], 65, "empty"),
    ] {
        let output = import(cells, slide, &made, more);
        assert_eq!(output.status.code(), Some(code), "{expected}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!made.exists(), "{expected} left something behind");
    }
}

#[test]
fn an_export_never_takes_the_place_of_what_it_reads() {
    let folder = folder();
    let (_, out) = lattice(folder.path());
    let id = accounts(&out)[0].slide.to_string();
    let within = folder.path().join(format!("{id}.geojson"));
    write_cells(&within);
    let before = fs::read(&within).unwrap();
    let place = folder.path().to_str().unwrap();
    let output = export(&out, &["--as", "geojson", "--into", place, "--within", within.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).contains("write over a file that is read"), "{}", stderr(&output));
    assert_eq!(fs::read(&within).unwrap(), before);
}

/// The examples that a command's help shows.
fn examples(command: &str) -> Vec<String> {
    let help = stdout(&slidemill().args([command, "--help"]).output().unwrap());
    let (_, after) = help.split_once("Examples:").expect("help has examples");
    let lines = after.lines().map(str::trim).filter(|line| line.starts_with("slidemill "));
    lines.map(str::to_owned).collect()
}

fn run_example(example: &str, folder: &Path) -> Output {
    let words = example.split_whitespace().skip(1);
    slidemill().args(words).current_dir(folder).output().expect("the command starts")
}

#[test]
fn the_examples_of_the_help_run_as_written() {
    let folder = folder();
    let (slide, _) = lattice(folder.path());
    let square = [[0.0, 0.0], [200.0, 0.0], [200.0, 200.0], [0.0, 0.0]];
    let area = json!({"type": "Polygon", "coordinates": [square]});
    fs::write(
        folder.path().join("roi.geojson"),
        json!({"type": "Feature", "properties": {}, "geometry": area}).to_string(),
    )
    .unwrap();
    let exports = examples("export");
    assert_eq!(exports.len(), 4, "{exports:?}");
    for example in exports.iter().filter(|example| !example.contains("dicom")) {
        let output = run_example(example, folder.path());
        assert!(output.status.success(), "{example}: {}", stderr(&output));
    }

    fs::copy(&slide, folder.path().join("slide.svs")).unwrap();
    fs::create_dir(folder.path().join("cellvit")).unwrap();
    let contour = octagon(Level0Point::new(100.0, 100.0), 8.0);
    let cells = json!({"type_map": {"1": "Neoplastic"}, "cells": [{"contour": contour, "type": 1, "type_prob": 0.9}]});
    fs::write(folder.path().join("cellvit/cells.json"), cells.to_string()).unwrap();
    fs::write(folder.path().join("class_inst.json"), r#"{"1": [2, [30.5, 10.25]]}"#).unwrap();
    let imports = examples("import");
    assert_eq!(imports.len(), 3, "{imports:?}");
    for (example, place) in imports.iter().zip(0..) {
        let example = example.replace("-o imported", &format!("-o imported-{place}"));
        let output = run_example(&example, folder.path());
        assert!(output.status.success(), "{example}: {}", stderr(&output));
    }
}

#[test]
fn the_example_with_a_dicom_slide_runs_as_written() {
    let Some(slide) = shared("slides/dicom/cmu1_small_region_levels") else { return };
    let folder = folder();
    let given = folder.path().join("cells.geojson");
    write_cells(&given);
    fs::create_dir_all(folder.path().join("slides/case-7-dicom")).unwrap();
    for entry in fs::read_dir(slide).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join("slides/case-7-dicom").join(entry.file_name())).unwrap();
    }
    let slide = folder.path().join("slides/case-7-dicom");
    let output = import(&given, &slide, &folder.path().join("results"), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let all = examples("export");
    let example = all.iter().find(|example| example.contains("dicom")).expect("one with a DICOM slide");
    let output = run_example(example, folder.path());
    assert!(output.status.success(), "{example}: {}", stderr(&output));
    assert!(!stdout(&output).contains("is not known as DICOM"), "{}", stdout(&output));
}
