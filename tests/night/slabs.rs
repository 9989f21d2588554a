//! Parts of one slide, several processes, one dataset.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use dataset::Dataset;

use super::support::{accounts, kill, paint, run, slidemill, stderr, tables, wait_until};

const SETTINGS: [&str; 4] = ["--window", "128", "--threads", "1"];

/// A slide of a few dozen windows.
fn slide(folder: &Path) -> PathBuf {
    let path = folder.join("slide.tif");
    paint(&path, 60, 400.0, 300.0);
    path
}

fn run_with(slide: &Path, out: &Path, more: &[&str]) -> Output {
    run(&[slide], out, &[&SETTINGS[..], more].concat())
}

fn is_well(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

fn private(out: &Path, name: &str) -> PathBuf {
    Dataset::at(out).private().join(name)
}

/// Ledgers of the parts that are there.
fn parts(out: &Path) -> Vec<String> {
    let slides = fs::read_dir(private(out, "slabs")).into_iter().flatten().flatten();
    let parts = slides.flat_map(|slide| fs::read_dir(slide.path()).into_iter().flatten().flatten());
    let mut names: Vec<_> = parts.map(|part| part.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn parts_of_a_slide_done_at_once_end_in_the_bytes_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, whole, out) = (slide(folder.path()), folder.path().join("whole"), folder.path().join("out"));
    is_well(&run_with(&slide, &whole, &[]));

    // The second twice, all at once.
    let start = |slab| {
        let mut command = slidemill();
        command.arg("run").arg(&slide).arg("-o").arg(&out).args(SETTINGS).args(["--slab", slab]);
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children = ["1/3", "2/3", "2/3", "3/3"].map(start);
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    outputs.iter().for_each(is_well);
    assert!(stderr(&outputs[0]).contains("part 1/3 done"), "{}", stderr(&outputs[0]));
    assert!(accounts(&out).is_empty(), "no slide is ended by its parts");
    assert_eq!(parts(&out), ["1-of-3", "2-of-3", "3-of-3"]);

    let last = run_with(&slide, &out, &[]);
    is_well(&last);
    let planned = accounts(&out)[0].analysis.as_ref().unwrap().windows.planned;
    assert!(planned >= 12, "{planned} windows are few");
    assert!(
        stderr(&last).contains(&format!("{planned} windows, {planned} already done")),
        "{}",
        stderr(&last)
    );
    assert_eq!(tables(&out), tables(&whole));
    assert!(
        parts(&out).is_empty() && !private(&out, "ledger").join(accounts(&out)[0].slide.as_str()).exists()
    );
    let verified = slidemill().arg("verify").arg(&out).output().unwrap();
    is_well(&verified);

    let again = run_with(&slide, &out, &["--slab", "1/3"]);
    is_well(&again);
    assert!(stderr(&again).contains("skipped, done before"), "{}", stderr(&again));
    assert!(parts(&out).is_empty());
}

#[test]
fn what_parts_lack_is_done_by_the_run_that_ends_the_slide() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, whole, out) = (slide(folder.path()), folder.path().join("whole"), folder.path().join("out"));
    is_well(&run_with(&slide, &whole, &[]));

    // One part is never done, one is killed, and one is of another division.
    is_well(&run_with(&slide, &out, &["--slab", "1/3"]));
    let mut killed = slidemill();
    killed.arg("run").arg(&slide).arg("-o").arg(&out).args(SETTINGS).args(["--slab", "2/3"]);
    let mut child = killed.stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_until(|| parts(&out).contains(&"2-of-3".to_owned()));
    kill(child.id());
    let _ = child.wait();
    is_well(&run_with(&slide, &out, &["--slab", "1/2"]));
    is_well(&run_with(&slide, &out, &[]));
    assert_eq!(tables(&out), tables(&whole));
    assert!(parts(&out).is_empty());
}

#[test]
fn parts_of_other_settings_are_refused_and_redo_drops_them() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (slide(folder.path()), folder.path().join("out"));
    is_well(&run_with(&slide, &out, &["--slab", "1/2"]));
    let other = ["--overlap", "25%"];
    let refused = run_with(&slide, &out, &other);
    assert_eq!(refused.status.code(), Some(65), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--redo starts this slide again"), "{}", stderr(&refused));
    assert_eq!(parts(&out), ["1-of-2"]);
    is_well(&run_with(&slide, &out, &["--overlap", "25%", "--redo"]));
    assert!(parts(&out).is_empty());
    for (more, said) in [
        (&["--slab", "3/2"][..], "--slab: \"3/2\" is no part, expected"),
        (&["--slab", "1/2", "--redo"], "cannot be used with"),
        (&["--slab", "1/2", "--shard", "1/2"], "cannot be used with"),
    ] {
        let output = run_with(&slide, &out, more);
        assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}
