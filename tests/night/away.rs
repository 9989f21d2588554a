//! A night does not end because nobody reads its output, because a worker died between two slides, or for a
//! limit of the machine; and private data stays private.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use dataset::Outcome;

use super::{
    faults::{KilledWith, SETTINGS, is_running, paths, signal, start, workers},
    support::{accounts, paint, python, run, slidemill, stderr, tables, tiny_slides, wait_until},
};

/// Returns `run` through a shell that first does `before` and adds `after` to the command.
fn in_shell(before: &str, slides: &[PathBuf], out: &Path, after: &str) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-c", &format!("{before} exec \"$0\" \"$@\" {after}")])
        .arg(env!("CARGO_BIN_EXE_slidemill"));
    command.arg("run").args(slides).arg("-o").arg(out).args(SETTINGS).stdin(Stdio::null());
    command
}

#[test]
fn a_job_goes_on_when_nobody_reads_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 2, 310);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());
    let expected = tables(&undisturbed);
    let assert_done = |what: &str, out: &Path, status: std::process::ExitStatus, is_said: bool| {
        assert_eq!(status.code(), Some(0), "{what}");
        assert_eq!(tables(out), expected, "{what}");
        let logs = fs::read_dir(out.join(".slidemill/log")).unwrap();
        let log: String = logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect();
        assert_eq!(log.contains("cannot be written, and is lost"), is_said, "{what}: {log}");
    };

    // Readers that have ended.
    for more in [[].as_slice(), &["--json-logs"]] {
        let out = folder.path().join(format!("gone-{}", more.len()));
        let mut command = slidemill();
        command.arg("run").args(&slides).arg("-o").arg(&out).args(SETTINGS).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_done("reader gone", &out, child.wait().unwrap(), true);
    }
    // Closed from the start, and a disk without room.
    for (number, (after, is_said)) in
        [("2>&- >&-", false), ("--json-logs >/dev/full 2>/dev/null", true)].into_iter().enumerate()
    {
        let out = folder.path().join(format!("closed-{number}"));
        let status = in_shell("", &slides, &out, after).status().unwrap();
        assert_done(after, &out, status, is_said);
    }
}

/// The job's worker dies at seven points in a row, at most of them while no slide is at work.
#[test]
fn a_worker_that_dies_between_slides_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 3, 320);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());

    let out = folder.path().join("out");
    let child = start(&slides, &out, &[]);
    let pid = child.id();
    let _guard = KilledWith(pid);
    // Five times as it begins; once with a slide at work, which must not happen to one slide twice; once as it ends.
    let points = [None, None, None, None, None, Some(".slidemill/ledger"), Some("summary.csv")];
    let mut killed = Vec::new();
    for point in points {
        let worker = || workers(pid).first().copied().filter(|worker| !killed.contains(worker));
        let is_reached = || point.is_none_or(|file| out.join(file).exists());
        wait_until(|| !is_running(pid) || (worker().is_some() && is_reached()));
        if let Some(worker) = worker() {
            signal(worker, "KILL");
            wait_until(|| !workers(pid).contains(&worker));
            killed.push(worker);
        }
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // The last is too late where the job is quick.
    assert!(killed.len() >= 6, "{killed:?}");
    assert!(stderr(&output).contains("going on with another one"), "{}", stderr(&output));
    assert_eq!(tables(&out), tables(&undisturbed));
}

/// A worker that dies at once, always.
#[test]
fn a_worker_that_never_comes_far_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 1, 330);
    let out = folder.path().join("out");
    let child = start(&slides, &out, &[]);
    let pid = child.id();
    let _guard = KilledWith(pid);
    while is_running(pid) {
        wait_until(|| !is_running(pid) || !workers(pid).is_empty());
        workers(pid).into_iter().for_each(|worker| signal(worker, "KILL"));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(stderr(&output).contains("worker processes in a row died"), "{}", stderr(&output));
}

#[test]
fn limits_of_the_process_are_no_fault_of_a_slide() {
    let folder = tempfile::tempdir().unwrap();
    let slides = vec![folder.path().join("slide.tif")];
    paint(&slides[0], 340, 1280.0, 1024.0);
    let undisturbed = folder.path().join("undisturbed");
    assert!(run(&paths(&slides), &undisturbed, &SETTINGS).status.success());
    for (limit, said) in [("ulimit -t 1;", "(ulimit -t)"), ("ulimit -f 2;", "(ulimit -f)")] {
        let out = folder.path().join(said);
        let output = in_shell(limit, &slides, &out, "").output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(75), "{limit} {text}");
        assert!(text.contains(said) && text.contains("the same command goes on"), "{limit} {text}");
        assert!(accounts(&out).iter().all(|account| account.outcome == Outcome::Done), "{limit}");
        let again = run(&paths(&slides), &out, &SETTINGS);
        assert!(again.status.success(), "{limit} {}", stderr(&again));
        assert_eq!(tables(&out), tables(&undisturbed), "{limit}");
    }
}

#[test]
fn what_is_private_stays_so_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let slides = tiny_slides(folder.path(), 1, 350);
    let out = folder.path().join("out");
    let output: Output = in_shell("umask 0;", &slides, &out, "--keep-raw").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&out.join(".slidemill")), 0o700);
    let private = walkdir::WalkDir::new(out.join(".slidemill")).into_iter().filter_map(Result::ok);
    let files: Vec<_> = private.filter(|entry| entry.file_type().is_file()).collect();
    assert!(files.iter().any(|entry| entry.file_name() == "slides.csv"));
    for entry in files {
        assert_eq!(mode(entry.path()) & 0o077, 0, "{}", entry.path().display());
    }
    assert_eq!(mode(&out.join("summary.csv")), 0o666, "colleagues read results");
}

/// A graph with a loop whose condition always holds.
const ENDLESS: &str = r#"
import sys
import onnx
from onnx import TensorProto as T, helper as h

def value(name, kind, shape):
    return h.make_tensor_value_info(name, kind, shape)

body = h.make_graph(
    [h.make_node("Identity", ["go"], ["go_on"]), h.make_node("Sin", ["x"], ["y"])],
    "body",
    [value("turn", T.INT64, []), value("go", T.BOOL, []), value("x", T.FLOAT, [])],
    [value("go_on", T.BOOL, []), value("y", T.FLOAT, [])],
)
graph = h.make_graph(
    [
        h.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        h.make_node("Loop", ["", "true", "mean"], ["turned"], body=body),
        h.make_node("Mul", ["zeros", "turned"], ["output0"]),
    ],
    "endless",
    [value("images", T.FLOAT, ["batch", 3, "height", "width"])],
    [value("output0", T.FLOAT, [1, 5, 84])],
    [h.make_tensor("true", T.BOOL, [], [True]), h.make_tensor("zeros", T.FLOAT, [1, 5, 84], [0.0] * 420)],
)
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
for key, text in {"names": "{0: 'cell'}", "task": "detect", "stride": "32", "mpp": "0.5"}.items():
    model.metadata_props.add(key=key, value=text)
onnx.save(model, sys.argv[1])
"#;

#[test]
fn a_model_that_never_ends_is_named_and_no_slide_is_given_up() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("endless.onnx");
    let made = Command::new(python).args(["-c", ENDLESS]).arg(&model).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let slides = tiny_slides(folder.path(), 1, 360);
    let out = folder.path().join("out");
    let model = model.to_str().expect("a temporary path is text");
    let output = run(&paths(&slides), &out, &["--window", "128", "--model", model, "--slide-timeout", "1"]);
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).contains("the model did not answer within"), "{}", stderr(&output));
    assert!(accounts(&out).is_empty(), "no slide is to blame");
}
