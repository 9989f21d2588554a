//! The notebooks of the documentation, run on fresh results.

use std::{fs, process::Command};

use painted::{CellKind, MPP, PaintedCell};

use super::support::{
    SMALL_WINDOWS, accounts, annotation, python, python_of, run, run_notebook, small_slide, stderr,
    write_features,
};

#[test]
fn the_cohort_notebook_runs_on_a_fresh_cohort() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let slides = [31, 32].map(|seed| folder.path().join(format!("{seed}.tif")));
    for (slide, seed) in slides.iter().zip([31, 32]) {
        small_slide(slide, seed);
    }
    let out = folder.path().join("out");
    let output = run(&[&slides[0], &slides[1]], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));

    let pictures = folder.path().join("pictures");
    let text = run_notebook(&python, "cohort.ipynb", &out, &pictures);
    for account in accounts(&out) {
        assert!(
            text.contains(account.slide.as_str()) && text.contains(&account.cells().to_string()),
            "{text}"
        );
    }
    for said in ["row groups read", "median_um", "cells per mm²"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(fs::read_dir(pictures).unwrap().count(), 1, "the density map");
}

#[test]
fn dask_and_spark_count_what_the_accounts_have() {
    let Some(python) = python_of(".venv-parts") else { return };
    if Command::new("java").arg("-version").output().is_err() {
        eprintln!("SKIPPED: Spark needs Java, and there is none");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let slides = [34, 35].map(|seed| folder.path().join(format!("{seed}.tif")));
    for (slide, seed) in slides.iter().zip([34, 35]) {
        small_slide(slide, seed);
    }
    let out = folder.path().join("out");
    let more =
        [&SMALL_WINDOWS[..], &["--model", "nuclei-he-classes", "--features", "shape,stain,neighbours"]]
            .concat();
    let output = run(&[&slides[0], &slides[1]], &out, &more);
    assert!(output.status.success(), "{}", stderr(&output));

    let text = run_notebook(&python, "parts.ipynb", &out, &folder.path().join("pictures"));
    let counted: u64 = accounts(&out).iter().map(|account| account.cells()).sum();
    assert!(text.contains(&format!("{counted} cells of 2 slides, three times the same")), "{text}");
}

/// A square in the middle of a small slide, px: from this place on, so wide.
const TUMOUR: (f64, f64, f64) = (820.0, 600.0, 880.0);

/// Distance of a painted cell from the border of the square, µm; negative inside.
fn distance_um(cell: &PaintedCell) -> f64 {
    let (x, y, side) = TUMOUR;
    let [dx, dy] =
        [(cell.centre.x, x), (cell.centre.y, y)].map(|(at, from)| (from - at).max(at - from - side));
    let outside = dx.max(0.0).hypot(dy.max(0.0));
    (outside + dx.max(dy).min(0.0)) * MPP
}

#[test]
fn the_margin_notebook_finds_the_lymphocytes_that_were_painted() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (slide, drawn) = (folder.path().join("33.tif"), folder.path().join("33.geojson"));
    let truth = small_slide(&slide, 33);
    let (x, y, side) = TUMOUR;
    let corners = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]];
    write_features(&drawn, &[annotation("Tumor", "", &corners)]);
    let out = folder.path().join("out");
    let within = ["--within", drawn.to_str().unwrap(), "--margin-um", "-60,0,60", "--margin-of", "tumor"];
    let more = [&SMALL_WINDOWS[..], &["--model", "nuclei-he-classes"], &within].concat();
    let output = run(&[&slide], &out, &more);
    assert!(output.status.success(), "{}", stderr(&output));

    let pictures = folder.path().join("pictures");
    let text = run_notebook(&python, "margin.ipynb", &out, &pictures);
    assert!(text.contains("ratio") && text.contains("highest bar"), "{text}");
    assert_eq!(fs::read_dir(pictures).unwrap().count(), 1, "the profile");
    let regions = accounts(&out).remove(0).analysis.unwrap().regions;
    for (kind, from, to) in [("margin:-60..0", -60.0, 0.0), ("margin:0..60", 0.0, 60.0)] {
        let band = regions.iter().find(|region| region.kind == kind).unwrap();
        let painted = |kind: Option<CellKind>| {
            let cells = truth.cells.iter().filter(|cell| kind.is_none_or(|kind| cell.kind == kind));
            cells.filter(|cell| (from..to).contains(&distance_um(cell))).count() as f64
        };
        let found: u64 = band.cells.values().sum();
        let lymphocytes = band.cells["lymphocyte"];
        println!(
            "{kind}: {found} cells of {}, {lymphocytes} lymphocytes of {}",
            painted(None),
            painted(Some(CellKind::Lymphocyte))
        );
        assert!((found as f64 / painted(None) - 1.0).abs() < 0.15, "{kind}: {found} {}", painted(None));
        assert!(text.contains(&lymphocytes.to_string()), "{text}");
    }
}
