//! The examples of the help texts run as they are written.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::support::{accounts, run, slidemill, small_slide, stderr};

/// Parts of examples that are not run here, and their requirements.
const NOT_RUN: [(&str, &str); 20] = [
    ("${fpath[1]}", "zsh"),
    ("&& man", "a reader of manual pages"),
    ("forget results", "slides of these names: tests/end_to_end.rs takes slides out"),
    ("view results --open", "a browser"),
    ("view results /slides/case-7.svs", "somebody who stops it: tests/viewer.rs runs such"),
    ("slidemill serve", "the same: tests/service.rs runs such"),
    ("--port 8080", "the same: tests/viewer.rs runs such"),
    ("--against strict", "the same"),
    ("--page", "somebody who closes the page: tests/live.rs runs such"),
    ("--device cuda", "a graphics card"),
    ("--class tumour", "a model with such a class"),
    ("case-7-dicom", "a DICOM slide"),
    ("cellvit/", "what CellViT wrote: the tests of convert read such"),
    ("class_inst.json", "what HoVer-NeXt wrote: the same"),
    ("--reference answers.json", "what a model's own framework answers: tests/models.rs compares such"),
    ("eval --pred results.json", "what other programs detected: the tests of eval read such"),
    ("eval --pred training-set", "the same"),
    ("eval --pred cells.parquet", "the same"),
    ("tnbc/", "fields of a public data set"),
    ("crops/", "the same"),
];

/// Regions that a person drew on the slide: tumour with necrosis in it.
const REGIONS: &str = r#"{"type": "FeatureCollection", "features": [
    {"type": "Feature", "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
     "geometry": {"type": "Polygon", "coordinates": [[[300, 300], [1800, 300], [1800, 1600], [300, 1600], [300, 300]]]}},
    {"type": "Feature", "properties": {"objectType": "annotation", "classification": {"name": "Necrosis"}},
     "geometry": {"type": "Polygon", "coordinates": [[[600, 600], [900, 600], [900, 900], [600, 900], [600, 600]]]}}]}"#;

/// Returns the example lines of a command's help.
fn examples(command: &str) -> Vec<String> {
    let output = slidemill().args([command, "--help"]).output().expect("the command starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.starts_with("slidemill ")).map(str::to_owned).collect()
}

/// All commands that the help names.
fn commands() -> Vec<String> {
    let text = String::from_utf8(slidemill().arg("--help").output().expect("the command starts").stdout)
        .expect("UTF-8");
    let (_, commands) = text.split_once("Commands:\n").expect("a list of commands");
    let lines = commands.lines().take_while(|line| line.starts_with("  "));
    lines
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Makes a folder with the files that the examples name, and the results of two detectors over its slide.
fn prepare(folder: &Path) {
    for place in ["slides", ".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"]
    {
        fs::create_dir_all(folder.join(place)).expect("a folder can be made");
    }
    small_slide(&folder.join("slide.svs"), 61);
    fs::copy(folder.join("slide.svs"), folder.join("slides/slide.svs")).expect("a file can be copied");
    let two = ["--keep-raw", "--threads", "2", "--detector", "mpp=0.25", "--detector", "mpp=0.5"];
    let output = run(&[&folder.join("slides")], &folder.join("results"), &two);
    assert!(output.status.success(), "{}", stderr(&output));
    let slide = &accounts(&folder.join("results"))[0].slide;
    let clinical = format!("slide_id,patient,group\n{slide},P1,control\n");
    fs::write(folder.join("clinical.csv"), clinical).expect("a file can be written");
    fs::create_dir(folder.join("pictures")).expect("a folder can be made");
    for ready in ["export results --as geojson", "thumbnail slide.svs -o pictures/one.png"] {
        let mut command = slidemill();
        let made = command.args(ready.split(' ')).current_dir(folder).output().expect("the command starts");
        assert!(made.status.success(), "{}", stderr(&made));
    }
    let exported = fs::read_dir(folder.join("results/exports"))
        .expect("a folder of exports")
        .flatten()
        .next()
        .expect("a file of cells")
        .path();
    for name in ["truth", "cells", "anna", "ben", "carla"] {
        fs::copy(&exported, folder.join(name).with_extension("geojson")).expect("a file can be copied");
    }
    fs::create_dir(folder.join("rois")).expect("a folder can be made");
    fs::write(folder.join("rois/slide.geojson"), REGIONS).expect("a file can be written");
    for place in ["annotations", "a", "b", "agreed/truth"] {
        fs::create_dir_all(folder.join(place)).expect("a folder can be made");
        fs::copy(&exported, folder.join(place).join("slide.geojson")).expect("a file can be copied");
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().map(|entry| entry.expect("the folder can be listed"))
    {
        let place = to.join(entry.path().strip_prefix(from).expect("it lies in the folder"));
        if entry.file_type().is_dir() {
            fs::create_dir_all(place).expect("a folder can be made");
        } else {
            fs::copy(entry.path(), place).expect("a file can be copied");
        }
    }
}

/// Runs an example as a shell does, in a copy of the folder; returns its message if it fails.
fn try_example(example: &str, prepared: &Path) -> Option<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy(prepared, folder.path());
    if example.starts_with("slidemill run") {
        fs::remove_dir_all(folder.path().join("results")).expect("a folder can be removed");
    }
    if example.contains("agreed") && example.starts_with("slidemill consensus") {
        fs::remove_dir_all(folder.path().join("agreed")).expect("a folder can be removed");
    }
    let program = env!("CARGO_BIN_EXE_slidemill");
    let command = example.replacen("slidemill", &format!("'{program}'"), 1);
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null());
    let output = shell.output().expect("the command starts");
    (!output.status.success()).then(|| format!("{example}\n{}", stderr(&output)))
}

#[test]
fn the_examples_of_the_help_run() {
    let prepared = tempfile::tempdir().unwrap();
    prepare(prepared.path());
    let examples: BTreeSet<String> = commands().iter().flat_map(|command| examples(command)).collect();
    assert!(examples.len() > 20, "{examples:?}");
    for (part, need) in NOT_RUN {
        assert!(examples.iter().any(|example| example.contains(part)), "no example needs {need} for {part}");
    }
    let runnable = examples.iter().filter(|example| !NOT_RUN.iter().any(|(part, _)| example.contains(part)));
    let failed: Vec<String> = runnable.filter_map(|example| try_example(example, prepared.path())).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
