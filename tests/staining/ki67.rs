//! The notebook about Ki-67, run on slides whose nuclei are known.

use std::{collections::BTreeMap, fs};

use super::{
    patients::{MEASURES, PaintedSlide, Patient, STROMA, TUMOUR},
    support::{annotation, python, run_notebook, slidemill, stderr, write_features},
};

/// A tumour beside control tissue of which half is positive.
const PATIENT: Patient =
    Patient { name: "", group: "", tumour: 0.15, hot: 0.6, stroma: 0.5, ods: [0.5, 0.5, 0.9], grade: "" };

#[test]
fn the_ki67_notebook_counts_what_was_painted() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("drawn");
    fs::create_dir(&drawn).unwrap();
    let features = [annotation("Tumor", "", &TUMOUR), annotation("Control", "", &STROMA)];
    let mut painted = Vec::new();
    for place in 0..2 {
        let path = folder.path().join(format!("{place}.tif"));
        painted.push(PaintedSlide::new(&path, &PATIENT, 740 + place, place).tumour().index());
        write_features(&drawn.join(format!("{place}.geojson")), &features);
    }
    let [measures, out] = ["measures.toml", "out"].map(|name| folder.path().join(name));
    fs::write(&measures, MEASURES.replace("0.12", "0.2").replace("Stroma", "Control")).unwrap();
    let mut command = slidemill();
    command.arg("run").arg(folder.path()).arg("-o").arg(&out).arg("--within").arg(&drawn);
    command.args(["--stains", "h-dab", "--window", "512", "--threads", "2"]).arg("--measure").arg(&measures);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let pictures = folder.path().join("pictures");
    let text = run_notebook(&python, "ki67.ipynb", &out, &pictures);
    println!("{text}");
    assert_eq!(fs::read_dir(pictures).unwrap().count(), 3, "densities, thresholds and the hottest field");
    let threshold = text.split("as stated; ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let threshold: f64 = threshold.parse().unwrap();
    assert!((0.12..0.4).contains(&threshold), "{threshold} parts 0 from 0.5: {text}");

    // The notebook holds its own counts against this table.
    let mut reader = csv::Reader::from_path(out.join("measures.csv")).unwrap();
    let lines: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    let mut found: Vec<f64> = lines
        .iter()
        .filter(|line| line["measure"] == "Ki-67")
        .map(|line| line["value"].parse().unwrap())
        .collect();
    assert!(lines.iter().all(|line| text.contains(&line["slide_id"])), "{text}");
    found.sort_by(f64::total_cmp);
    painted.sort_by(f64::total_cmp);
    println!("Ki-67 {found:?} of {painted:?}");
    assert!(found.iter().zip(&painted).all(|(found, painted)| (found - painted).abs() < 0.04), "{found:?}");
}
