//! `--margin-um` and `--margin-of`: bands along a border, and how far each cell lies from it.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use dataset::{RegionCount, RegionRow, read_cells};
use serde_json::Value;

use super::{
    SMALLER_WINDOWS, annotation, centroids, draw, folder, measures, merge, only, regions, rois, succeed,
    tables as tables_of, text, write_features,
};
use crate::support::{any_file, python, run, run_until, small_slide, stderr, tables};

/// Bands of the tumour that [`draw`] draws: 40 µm on both sides.
const BANDS: [&str; 6] = ["--exclude", "necrosis", "--margin-um", "-40,0,40", "--margin-of", "tumor"];

const IN_BANDS: &str = r#"
[[index]]
name = "at the margin"
of = { class = ["nucleus"] }
per-mm2 = 1
regions = "margin:0..40"

[[index]]
name = "near"
of = { where = { distance_um = { min = -10, max = 10 } } }
share-of = { }
"#;

fn bands(out: &Path, kind: &str) -> Vec<RegionRow> {
    regions(out).into_iter().filter(|region| region.kind == kind).collect()
}

/// Distances of the cells of a dataset by id, µm.
fn distances(out: &Path) -> BTreeMap<u64, Option<f32>> {
    let cells = read_cells(&tables_of(out).0).unwrap();
    cells.iter().map(|cell| (cell.cell_id, cell.distance_um)).collect()
}

/// Returns what shapely says of the cells of `out` and of the bands of [`BANDS`].
fn reference(out: &Path, drawn: &Path) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/border_distances.py");
    let mut command = Command::new(python()?);
    command.arg(script).args([&tables_of(out).0, drawn]);
    let output = command.args(["Tumor", "Necrosis", "0.25", "2560", "2048", "-40,0,40"]).output().unwrap();
    succeed(&output);
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn bands_are_analysed_and_counted_as_shapely_counts_them() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (slide, drawn, wanted) = (at("case-8.tif"), at("case-8.geojson"), at("m.toml"));
    let (out, whole, inside) = (at("out"), at("whole"), at("inside"));
    small_slide(&slide, 74);
    draw(&drawn);
    fs::write(&wanted, IN_BANDS).unwrap();
    let within = [&["--within", text(&drawn), "--keep-raw"], &BANDS[..]].concat();
    let measure = ["--measure", text(&wanted)];
    succeed(&run(&[&slide], &out, &[&SMALLER_WINDOWS[..], &within, &measure].concat()));
    succeed(&run(&[&slide], &whole, &[&SMALLER_WINDOWS[..], &["--keep-raw"]].concat()));

    let account = only(&out);
    let analysis = account.analysis.clone().unwrap();
    let words: Vec<String> = analysis.regions.iter().map(RegionCount::label).collect();
    assert_eq!(words, ["margin:-40..0: Tumor", "margin:0..40: Tumor", "roi: Stroma", "roi: Tumor", "tissue"]);
    assert_eq!(account.settings["margin"], "bands at -40,0,40 µm from the border of tumor");
    let outer = bands(&out, "margin:0..40");
    assert!(outer.iter().all(|band| band.coverage > 0.5 && band.class_name.as_deref() == Some("Tumor")));
    assert!(distances(&out).values().flatten().any(|distance| *distance > 20.0), "cells around the tumour");
    assert!(distances(&whole).values().all(Option::is_none), "no regions, no border");

    // The same cells from all over the slide, merged again; and byte by byte from the run itself.
    let (merged, again) = (at("merged"), at("again"));
    succeed(&merge(&whole, &[&["--into", text(&merged), "--within", text(&drawn)], &BANDS[..]].concat()));
    assert_eq!(distances(&merged), distances(&out));
    let nowhere = merge(&whole, &["--margin-um", "0,40"]);
    assert_eq!(nowhere.status.code(), Some(64));
    assert!(
        stderr(&nowhere).contains("the run was not limited to regions of interest"),
        "{}",
        stderr(&nowhere)
    );
    let [from_whole, own] = [&merged, &out].map(|out| {
        let facts = |row: RegionRow| (row.region_id, row.n_cells, row.area_um2, row.analysed_tissue_um2);
        regions(out).into_iter().map(facts).collect::<Vec<_>>()
    });
    assert_eq!(from_whole, own);
    succeed(&merge(&out, &[&["--into", text(&again)], &measure[..]].concat()));
    assert!(tables(&again) == tables(&out), "merged again, byte by byte");

    // Bands alone may change; those that reach further than the run looked say so.
    succeed(&merge(&out, &["--into", text(&inside), "--margin-um", "-20,0"]));
    assert_eq!(rois(&inside), rois(&out));
    assert!(bands(&inside, "margin:-20..0").iter().map(|band| band.n_cells).sum::<u64>() > 10);
    assert!(centroids(&inside).len() < centroids(&out).len(), "no bands around the tumour");
    assert!(
        !only(&inside).warnings.join("; ").contains("planned for others"),
        "{:?}",
        only(&inside).warnings
    );
    let far = at("far");
    succeed(&merge(&out, &["--into", text(&far), "--margin-um", "-300,-200,0,150"]));
    let said = only(&far).warnings.join("; ");
    assert!(said.contains("nothing lies in margin:-300..-200"), "{said}");
    assert!(said.contains("its windows were planned for others"), "{said}");

    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("margin:-40..0: Tumor") && !report.contains("case-8"));
    let found = measures(&out);
    let counted: u64 = outer.iter().map(|band| band.n_cells).sum();
    assert_eq!(found["at the margin"][0]["cells"], counted.to_string());
    let near = distances(&out).values().flatten().filter(|distance| distance.abs() <= 10.0).count();
    assert_eq!(found["near"][0]["cells"], near.to_string());

    let Some(expected) = reference(&out, &drawn) else { return };
    assert_eq!((&expected["without"], expected["cells"].as_u64()), (&0.into(), Some(account.cells())));
    assert!(expected["most_off_um"].as_f64().unwrap() < 1e-4, "{expected}");
    for (kind, reference) in
        ["margin:-40..0", "margin:0..40"].iter().zip(expected["bands"].as_array().unwrap())
    {
        let own = bands(&out, kind);
        let (cells, area): (u64, f64) =
            own.iter().fold((0, 0.0), |(cells, area), band| (cells + band.n_cells, area + band.area_um2));
        assert!(cells > 20, "{kind}: {cells}");
        let off = cells.abs_diff(reference["cells"].as_u64().unwrap());
        assert!(off <= reference["near_border"].as_u64().unwrap(), "{kind}: {cells} {reference}");
        assert!((area / reference["area_um2"].as_f64().unwrap() - 1.0).abs() < 1e-3, "{area} {reference}");
    }
}

#[test]
fn a_run_with_bands_that_was_killed_ends_as_one_that_was_not() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (slide, drawn) = (at("slide.tif"), at("drawn.geojson"));
    small_slide(&slide, 75);
    write_features(&drawn, &[annotation("Tumor", "", &[[700.0, 600.0], [1500.0, 600.0], [1100.0, 1300.0]])]);
    let more = [&SMALLER_WINDOWS[..], &["--within", text(&drawn), "--margin-um", "0,60"]].concat();
    let (whole, killed) = (at("whole"), at("killed"));
    succeed(&run(&[&slide], &whole, &more));
    run_until(&[&slide], &killed, &more, || any_file(&killed.join(".slidemill/ledger"), "windows.bin"));
    succeed(&run(&[&slide], &killed, &more));
    assert!(tables(&killed) == tables(&whole));
    let planned = |out: &Path| only(out).analysis.unwrap().windows.planned;
    let narrow = at("narrow");
    succeed(&run(&[&slide], &narrow, &[&SMALLER_WINDOWS[..], &["--within", text(&drawn)]].concat()));
    assert!(planned(&narrow) < planned(&whole), "windows where the band reaches");
    assert!(distances(&narrow).values().all(|distance| distance.is_some_and(|distance| distance <= 0.0)));
    let other = run(&[&slide], &narrow, &more);
    assert_eq!(other.status.code(), Some(65));
    assert!(
        stderr(&other).contains("bands at 0,60 µm from the border of the only class"),
        "{}",
        stderr(&other)
    );
}

#[test]
fn bands_that_cannot_be_laid_are_refused() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (slide, drawn, out) = (at("slide.tif"), at("drawn.geojson"), at("out"));
    small_slide(&slide, 76);
    draw(&drawn);
    let refused = |more: &[&str], expected: &str| {
        let output = run(&[&slide], &out, more);
        assert_eq!(output.status.code(), Some(64), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{expected}: {}", stderr(&output));
    };
    let within = ["--within", text(&drawn), "--exclude", "necrosis"];
    let with = |more: &[&'static str]| -> Vec<&str> { [&within[..], more].concat() };
    refused(&["--margin-um", "0,200"], "--margin-um is given without --within");
    refused(&["--margin-of", "tumor"], "--margin-of is given without --within");
    refused(&with(&["--margin-um", "200"]), "--margin-um is 200, expected at least two distances");
    refused(&with(&["--margin-um", "200,0"]), "--margin-um has 0 after 200, expected distances that ascend");
    refused(&with(&["--margin-um", "0,NaN"]), "--margin-um has NaN, expected distances from -20000");
    refused(&with(&["--margin-um", "0..200"]), "invalid value '0..200' for '--margin-um <UM>'");
    refused(
        &with(&["--margin-um", "0,200"]),
        "are of the class \"Stroma\" and the class \"Tumor\", and bands lie along the border of one",
    );
    refused(
        &with(&["--margin-um", "0,200", "--margin-of", "tumour"]),
        "--margin-of names \"tumour\", a class that no region of interest has; they have Stroma, Tumor",
    );
    assert!(!out.join("runs").exists(), "nothing was done");
}
