//! Parts of a job, several processes, one dataset.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use dataset::Outcome;

use super::support::{accounts, run, slidemill, stderr, tables, tiny_slides};

const SETTINGS: [&str; 4] = ["--window", "128", "--threads", "1"];

/// Starts a part of a job.
fn start(slides: &[PathBuf], out: &Path, shard: &str) -> std::process::Child {
    let mut command = slidemill();
    command.arg("run").args(slides).arg("-o").arg(out).args(SETTINGS).args(["--shard", shard]);
    command.stderr(Stdio::piped()).spawn().expect("the command starts")
}

fn undisturbed(slides: &[PathBuf], out: &Path) {
    let slides: Vec<_> = slides.iter().map(PathBuf::as_path).collect();
    let output = run(&slides, out, &SETTINGS);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn all_well(outputs: &[Output]) {
    for output in outputs {
        assert!(output.status.success(), "{}", stderr(output));
    }
}

#[test]
fn shards_and_twins_at_once_end_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 6, 40);
    let whole = folder.path().join("whole");
    undisturbed(&slides, &whole);

    // Two parts, the first of them twice, all at once.
    let out = folder.path().join("out");
    let children = ["1/2", "1/2", "2/2"].map(|shard| start(&slides, &out, shard));
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    all_well(&outputs);
    assert_eq!(tables(&out), tables(&whole));
    let done = accounts(&out).iter().filter(|account| account.outcome == Outcome::Done).count();
    assert_eq!(done, slides.len());
    let verified = slidemill().arg("verify").arg(&out).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_planned_job_is_run_in_parts_and_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let mut slides = tiny_slides(folder.path(), 3, 50);
    let whole = folder.path().join("whole");
    undisturbed(&slides, &whole);
    // A missing slide that a list names fails as one slide; a missing path that was typed ends the command.
    let list = folder.path().join("more.csv");
    std::fs::write(&list, "path\nnot-there.svs\n").unwrap();
    slides.push(list);

    let out = folder.path().join("out");
    let at_out = |command: &str| {
        let output = slidemill().arg(command).arg(&out).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let planned = slidemill()
        .arg("plan")
        .args(&slides)
        .arg("-o")
        .arg(&out)
        .args(["--shards", "2", "--window", "128"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert_eq!(planned.status.code(), Some(65), "{text}{}", stderr(&planned));
    assert!(text.contains("WILL FAIL") && text.contains("no such file"), "{text}");
    assert!(text.contains("4 slides") && text.contains("--shard 1/2"), "{text}");

    let part = |more: &[&str]| slidemill().arg("run").arg("-o").arg(&out).args(more).output().unwrap();
    let other = part(&["--shard", "1/2", "--window", "256"]);
    assert_eq!(other.status.code(), Some(64), "{}", stderr(&other));
    assert!(stderr(&other).contains("window_px was 128, now 256"), "{}", stderr(&other));

    let parts_left = || {
        let output = slidemill().arg("status").arg(&out).args(["--parts-left", "2"]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(parts_left(), "1-2\n");
    let first = part(&["--shard", "1/2"]);
    let (code, text) = at_out("gather");
    assert_eq!(code, Some(65), "{text}");
    assert!(text.contains("is not done yet"), "{text}");
    let second = part(&["--shard", "2/2"]);
    let codes = [first.status.code(), second.status.code()];
    assert!(
        codes.contains(&Some(65)) && codes.contains(&Some(0)),
        "one part has the missing slide: {codes:?}"
    );
    assert_eq!(
        parts_left(),
        if codes[0] == Some(65) { "1\n" } else { "2\n" },
        "a failed slide is tried again"
    );

    let (code, text) = at_out("gather");
    assert_eq!(code, Some(65), "the missing slide has no results: {text}");
    assert!(!text.contains("is not done yet") && text.contains("no such file"), "{text}");
    let (_, status) = at_out("status");
    assert!(status.contains("4 slides of 4 planned: 3 done, 0 incomplete, 1 failed"), "{status}");
    // The missing slide adds only its own line in the summary.
    let cells = |out: &Path| -> Vec<_> {
        tables(out).into_iter().filter(|(path, _)| path.starts_with("cells")).collect()
    };
    assert_eq!(cells(&out), cells(&whole));
}

#[test]
fn wrong_shards_and_a_lacking_plan_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let slide = folder.path().join("x.svs");
    std::fs::write(&slide, "no slide").unwrap();
    let of = |arguments: &[&str]| slidemill().args(arguments).arg("-o").arg(&out).output().unwrap();
    let output = of(&["run", &slide.to_string_lossy(), "--shard", "3/2"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("--shard: \"3/2\" is no part, expected"), "{}", stderr(&output));
    let output = of(&["run"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("no plan is here"), "{}", stderr(&output));
    assert!(!out.join("runs").exists());
    for command in [&["gather"][..], &["status", "--parts-left", "2"]] {
        let output = slidemill().args(command).arg(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{command:?}");
        assert!(stderr(&output).contains("no plan is here"), "{}", stderr(&output));
    }
    let output = slidemill().arg("status").arg(folder.path()).args(["--parts-left", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("expected a whole number from 1 to 100000"), "{}", stderr(&output));
}
