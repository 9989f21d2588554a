//! The notebook of the documentation, run on a fresh cohort.

use std::{path::Path, process::Command};

use super::support::{SMALL_WINDOWS, accounts, python, run, small_slide, stderr};

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

    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = folder.path().join("pictures");
    let output = Command::new(python)
        .arg(checkout.join("tests/python/run_notebook.py"))
        .arg(checkout.join("docs/notebooks/cohort.ipynb"))
        .arg("--pictures")
        .arg(&pictures)
        .env("SLIDEMILL_OUT", &out)
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    for account in accounts(&out) {
        assert!(
            text.contains(account.slide.as_str()) && text.contains(&account.cells().to_string()),
            "{text}"
        );
    }
    for said in ["row groups read", "median_um", "cells per mm²"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(std::fs::read_dir(pictures).unwrap().count(), 1, "the density map");
}
