//! The commands of the pages, run as they are written, in their order.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use painted::Truth;
use serde_json::{Value, json};

use super::{
    markdown::{Page, pages, root},
    support::{small_slide, stderr},
};

/// Beginnings of commands that are not run here, and the reason.
const NOT_RUN: [(&str, &str); 2] = [
    ("slidemill demo", "it paints a large slide; `cargo xtask demo` runs it"),
    ("slidemill view", "somebody has to stop it; tests/viewer.rs runs such"),
];

/// Left, top, right and bottom of the field that was annotated, px of level 0.
const FIELD: [f64; 4] = [200.0, 200.0, 1900.0, 1700.0];

/// A rectangle of a class, as QuPath writes it.
fn rectangle(class: &str, [left, top, right, bottom]: [f64; 4]) -> Value {
    let ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
    json!({
        "type": "Feature",
        "properties": {"objectType": "annotation", "classification": {"name": class}},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    })
}

/// Writes annotations of the slide `case-7` to a new folder.
fn annotate(folder: &Path, features: &[Value]) {
    fs::create_dir(folder).expect("a folder can be made");
    let text = json!({"type": "FeatureCollection", "features": features}).to_string();
    fs::write(folder.join("case-7.geojson"), text).expect("a file can be written");
}

/// The painted nuclei of the field, as somebody marked them.
fn nuclei(truth: &Truth) -> Vec<Value> {
    let [left, top, right, bottom] = FIELD;
    let cells = truth
        .cells
        .iter()
        .filter(|cell| (left..right).contains(&cell.centre.x) && (top..bottom).contains(&cell.centre.y));
    cells
        .map(|cell| cell.level0_box())
        .map(|bounds| rectangle("nucleus", [bounds.min.x, bounds.min.y, bounds.max.x, bounds.max.y]))
        .collect()
}

/// Fills a folder with the files that the pages name.
fn prepare(folder: &Path) {
    fs::create_dir(folder.join("slides")).expect("a folder can be made");
    let truth = small_slide(&folder.join("slides/case-7.svs"), 73);
    fs::copy(folder.join("slides/case-7.svs"), folder.join("slide.svs")).expect("a file can be copied");
    for annotator in ["truth", "a", "b"] {
        annotate(&folder.join(annotator), &nuclei(&truth));
    }
    annotate(&folder.join("fields"), &[rectangle("field", FIELD)]);
    let tumour = rectangle("Tumor", FIELD);
    annotate(&folder.join("tumour"), std::slice::from_ref(&tumour));
    let necrosis = rectangle("Necrosis", [600.0, 600.0, 900.0, 900.0]);
    annotate(&folder.join("annotations"), &[tumour, necrosis]);
    fs::write(folder.join("patients.csv"), "image,group\ncase-7,P1\n").expect("a file can be written");
    for model in ["tumour.onnx", "M.onnx"] {
        let bundled = root().join("models/nuclei-he/nuclei-he.onnx");
        fs::copy(bundled, folder.join(model)).expect("the model can be copied");
    }
}

/// Writes the measures that a page declares to the files that its commands name.
fn write_measures(page: &Page, folder: &Path) {
    let declared = page.blocks.iter().filter(|block| block.language == "toml");
    for block in declared.take(1) {
        for name in ["measures.toml", "other.toml"] {
            fs::write(folder.join(name), &block.text).expect("a file can be written");
        }
    }
}

/// Commands of a page that are run here.
fn commands(page: &Page) -> impl Iterator<Item = &str> {
    let blocks = page.blocks.iter().filter(|block| block.language == "sh");
    let lines = blocks.flat_map(|block| block.text.lines()).map(str::trim);
    lines
        .filter(|line| line.starts_with("slidemill "))
        .filter(|line| !NOT_RUN.iter().any(|(begin, _)| line.starts_with(begin)))
}

/// Runs a command as a shell does; returns its message if it fails.
fn failure(command: &str, folder: &Path) -> Option<String> {
    let program = env!("CARGO_BIN_EXE_slidemill");
    let line = command.replacen("slidemill", &format!("'{program}'"), 1);
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(folder).stdin(Stdio::null());
    let output = shell.output().expect("a shell starts");
    (!output.status.success()).then(|| format!("{command}\n{}", stderr(&output)))
}

/// Runs the commands of pages of the book, each page in a folder of its own.
fn run_pages(names: &[&str]) {
    let book = root().join("docs");
    let all = pages();
    for name in names {
        let page = all.iter().find(|page| page.path == book.join(name)).expect("the page is there");
        let folder = tempfile::tempdir().expect("a temporary folder");
        prepare(folder.path());
        write_measures(page, folder.path());
        assert!(commands(page).next().is_some(), "{name} has no command to run");
        let failed: Vec<String> =
            commands(page).filter_map(|command| failure(command, folder.path())).collect();
        assert!(failed.is_empty(), "{name}\n{}", failed.join("\n"));
    }
}

#[test]
fn the_commands_of_the_first_steps_run() {
    run_pages(&["start.md", "slides.md", "night.md", "models.md"]);
}

#[test]
fn the_commands_around_the_results_run() {
    run_pages(&["threshold.md", "regions-of-interest.md", "measures.md", "counting.md"]);
}
