//! What lists say of slides: of one slide one thing, in the list of a night and over the nights.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use super::support::{SMALL_WINDOWS, accounts, run, slidemill, small_slide, stderr};

/// A folder with a slide `a.tif`, its copy `b.tif` and another slide `c.tif`.
fn with_a_copy(seed: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [a, b, c] = ["a.tif", "b.tif", "c.tif"].map(|name| folder.path().join(name));
    small_slide(&a, seed);
    fs::copy(&a, &b).expect("it can be copied");
    small_slide(&c, seed + 1);
    folder
}

fn list(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("list.csv");
    fs::write(&path, text).expect("a file can be written");
    path
}

fn refused(output: &Output, expected: &str) {
    assert_eq!(output.status.code(), Some(64), "{}", stderr(output));
    assert!(stderr(output).contains(expected), "{}", stderr(output));
}

/// The columns that a dataset knows of its slides.
fn columns(out: &Path) -> String {
    fs::read_to_string(out.join(".slidemill/columns.csv")).expect("columns are known")
}

/// Once the second line was left out with the word copy, and its patient was nobody's.
#[test]
fn a_slide_listed_under_two_patients_is_refused_before_anything_is_done() {
    let folder = with_a_copy(610);
    let out = folder.path().join("out");
    let list = list(folder.path(), "path,patient\na.tif,P1\nb.tif,P2\nc.tif,P3\n");
    let expected = "b.tif is a copy of ";
    let output = run(&[&list], &out, &SMALL_WINDOWS);
    refused(&output, expected);
    assert!(stderr(&output).contains("its patient is \"P1\" and \"P2\""), "{}", stderr(&output));
    assert!(!out.join("runs").exists());
    for command in [&["doctor", "--quick"][..], &["plan", "-o", "planned"]] {
        let output = slidemill().current_dir(folder.path()).args(command).arg(&list).output().unwrap();
        refused(&output, expected);
    }
    assert!(!folder.path().join("planned").exists());
}

#[test]
fn a_part_of_a_job_looks_at_all_of_its_list() {
    let folder = with_a_copy(620);
    let out = folder.path().join("out");
    let list = list(folder.path(), "path,mpp\na.tif,0.5\nb.tif,0.25\nc.tif,\n");
    for shard in ["1/3", "2/3", "3/3"] {
        let output = run(&[&list], &out, &[&SMALL_WINDOWS[..], &["--shard", shard]].concat());
        refused(&output, "its mpp is 0.5 µm/px and 0.25 µm/px");
    }
}

/// Once a later list changed the patient without a word.
#[test]
fn another_patient_in_a_later_list_is_refused_until_it_is_taken_by_name() {
    let folder = with_a_copy(630);
    let out = folder.path().join("out");
    let first = list(folder.path(), "path,patient,note\na.tif,P1,\nc.tif,P3,\n");
    assert!(run(&[&first], &out, &SMALL_WINDOWS).status.success());
    let before = columns(&out);

    // The copy of the slide, that is, under another path.
    let second = list(folder.path(), "path,patient,note\nb.tif,P2,blue\nc.tif,P3,\n");
    let output = run(&[&second], &out, &SMALL_WINDOWS);
    refused(&output, "the patient of ");
    assert!(stderr(&output).contains("is \"P1\" here and \"P2\" in this list"), "{}", stderr(&output));
    assert_eq!(columns(&out), before);
    let planned = slidemill().arg("plan").arg(&second).arg("-o").arg(&out).output().unwrap();
    refused(&planned, "is \"P1\" here and \"P2\" in this list");

    let output = run(&[&second], &out, &[&SMALL_WINDOWS[..], &["--correct-columns"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 value of columns taken from this list"), "{}", stderr(&output));
    let id = |name: &str| {
        let names = fs::read_to_string(out.join(".slidemill/slides.csv")).unwrap();
        let line = names.lines().find(|line| line.ends_with(name)).unwrap_or_else(|| panic!("{names}"));
        line.split(',').next().unwrap().to_owned()
    };
    assert_eq!(id("a.tif"), id("b.tif"));
    let added = columns(&out).strip_prefix(&before).expect("the lines before stay").to_owned();
    let [a, blue] = ["patient,P2", "note,blue"].map(|said| format!("{},{said}\n", id("a.tif")));
    assert_eq!(added, format!("{a}{blue}"));
    assert!(run(&[&second], &out, &SMALL_WINDOWS).status.success(), "and now it is as known");
}

/// Once copies were slides in the counts of these, and `status` missed one of those planned.
#[test]
fn copies_are_counted_once_by_every_command() {
    let folder = with_a_copy(640);
    let out = folder.path().join("out");
    let stdout = |command: &[&str]| {
        let output = slidemill().current_dir(folder.path()).args(command).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let checked = stdout(&["doctor", "a.tif", "b.tif", "c.tif"]);
    assert!(checked.contains("\n2 slides: ") && checked.contains(", 1 copy left out\n"), "{checked}");
    assert!(checked.contains("copy   b.tif") && checked.contains("the same as a.tif: a run"), "{checked}");
    let [planned, part] = [
        &["plan", "a.tif", "b.tif", "c.tif", "-o", "out", "--shards", "2", "--window", "512"][..],
        &["run", "-o", "out", "--shard", "1/2", "--threads", "2"],
    ]
    .map(stdout);
    assert!(
        planned.contains("job       2 slides, ") && planned.contains(", 1 copy left out\n"),
        "{planned}{part}"
    );
    stdout(&["run", "-o", "out", "--shard", "2/2", "--threads", "2"]);
    let copies: Vec<usize> = accounts(&out).iter().map(|account| account.copies).collect();
    assert_eq!(copies.iter().sum::<usize>(), 1, "{copies:?}");
    let status = stdout(&["status", "out"]);
    let expected = "dataset  2 slides of 2 planned: 2 done, 0 incomplete, 0 failed, 1 copy left out\n";
    assert!(status.contains(expected), "{status}");
}

/// Once a part whose table was gone was called done.
#[test]
fn a_deleted_table_is_work_that_is_left() {
    let folder = with_a_copy(650);
    let out = folder.path().join("out");
    let stdout = |command: &[&str]| {
        let output = slidemill().current_dir(folder.path()).args(command).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(stdout(&["plan", "a.tif", "c.tif", "-o", "out", "--window", "512"]).0, Some(0));
    assert_eq!(stdout(&["run", "-o", "out", "--threads", "2"]).0, Some(0));
    assert_eq!(stdout(&["status", "out", "--parts-left", "1"]).1, "\n");
    let lost = accounts(&out)[0].slide.clone();
    fs::remove_file(dataset::Dataset::at(&out).cells(&lost)).expect("the table is there");
    assert_eq!(stdout(&["status", "out", "--parts-left", "1"]).1, "1\n");
    let status = stdout(&["status", "out"]).1;
    assert!(status.contains("; of 1 slide a table or picture is missing or changed"), "{status}");
    let (code, gathered) = stdout(&["gather", "out"]);
    assert_eq!(code, Some(65), "{gathered}");
    let expected = format!("{lost} is to be done again: cells/slide={lost}/part-0.parquet cannot be read");
    assert!(gathered.contains(&expected), "{gathered}");
    assert_eq!(stdout(&["run", "-o", "out", "--threads", "2"]).0, Some(0));
    assert_eq!(stdout(&["status", "out", "--parts-left", "1"]).1, "\n");
}

/// Once `forget` knew a slide by the path as it was typed at the run alone, and `draw` none that a list had given an id.
#[test]
fn a_slide_is_known_by_each_of_its_names() {
    let folder = with_a_copy(660);
    list(folder.path(), "path,id\nc.tif,case-7\n");
    let done = |arguments: &[&str]| {
        let output = slidemill().current_dir(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    fs::copy(folder.path().join("c.tif"), folder.path().join("moved.tif")).expect("it can be copied");
    let mut run = vec!["run", "list.csv", "-o", "out"];
    run.extend(SMALL_WINDOWS);
    done(&run);
    let whole = folder.path().join("c.tif");
    for (place, name) in
        ["case-7", "c.tif", "./c.tif", "moved.tif", whole.to_str().unwrap()].iter().enumerate()
    {
        let into = format!("exports-{place}");
        done(&["export", "out", "--as", "geojson", "--id", name, "--into", &into]);
        assert!(folder.path().join(into).join("case-7.geojson").exists(), "{name}");
    }
    done(&["draw", "out", "moved.tif", "-o", "drawn.png"]);
    let arguments = ["draw", "out", "a.tif", "-o", "other.png"];
    let other = slidemill().current_dir(folder.path()).args(arguments).output().unwrap();
    assert_eq!(other.status.code(), Some(65), "{}", stderr(&other));
    assert!(
        stderr(&other).contains("no results of this slide are here, but of case-7"),
        "{}",
        stderr(&other)
    );
    assert_eq!(done(&["forget", "out", "./c.tif"]), "forgot    case-7\nleft      0 slides\n");
}

/// Once a machine without OpenSlide said that it is missing, whatever was called as a slide.
#[test]
fn what_is_no_slide_is_named_without_openslide_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes, expected) in [
        (
            "pointer.svs",
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"[..],
            "a Git LFS pointer",
        ),
        ("archive.ndpi", b"PK\x03\x04\x14\0\0\0\x08\0", "a ZIP archive"),
        ("page.svs", b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        ("empty.svs", b"", "the file is broken: it has no bytes"),
        ("zeros.svs", &[0; 4096], "nothing but zeros"),
        ("cut.svs", b"II*\0\x08\0\0\0", "the file is broken"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file can be written");
        let output = slidemill()
            .env("OPENSLIDE_LIB", "/nowhere/libopenslide.so")
            .arg("info")
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{name}: {}", stderr(&output));
    }
}
