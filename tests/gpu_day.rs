//! Tasks of a borrowed GPU, rehearsed on the CPU: `deploy/gpu-day/day.py`.

#![cfg(unix)]

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use support::{python, small_slide, stderr};

/// The stage's bench is built for itself: this one gives its figures and none of its work.
const BENCH: &str =
    "#!/bin/sh\ncase $1 in bare) echo 0.5 ;; infer | detector | other) echo 0.25 ;; *) exit 64 ;; esac\n";

#[test]
fn the_day_is_rehearsed_and_taken_up_again() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (load, out) = (folder.path().join("load"), folder.path().join("out"));
    pack(&load);

    let none = day(&python, &load, &out, &["--minutes", "0"]);
    assert_eq!(none.status.code(), Some(1), "{}", stderr(&none));
    assert_eq!(results(&out)["rates"]["status"], "not begun");

    let earlier = out.join("day.json");
    let whole = day(&python, &load, &out, &["--again", earlier.to_str().expect("a plain path")]);
    let told = String::from_utf8_lossy(&whole.stdout);
    assert!(whole.status.success(), "{told}{}", stderr(&whole));
    let results = results(&out);
    let killed = &results["kill_and_resume"]["figures"];
    assert_eq!(killed["same_bytes"], true, "{killed}");
    let placed = results["placement"]["figures"]["nuclei-he.int8"][0].as_str().unwrap_or_default();
    assert!(placed.starts_with("runs on        CPUExecutionProvider: "), "{placed}");
    let bounded = &results["out_of_memory"]["figures"];
    assert_eq!(
        bounded["large"]["cells_sha256"], bounded["small"]["cells_sha256"],
        "--gpu-mem is not for the CPU"
    );
    assert!(bounded["large"]["halved"].is_null(), "{bounded}");
    let run = &results["whole_runs"]["figures"][0];
    assert!(run["cpu"]["cells"]["nucleus"].as_u64() > Some(100), "{run}");
    assert_eq!(run["cpu"]["cells_sha256"], run["device"]["cells_sha256"], "the device is the CPU");
    assert!(told.contains("| nuclei-he.int8 | 256 | 1 | 0.50000 | 0.25000 | 2.000 |"), "{told}");
}

/// Packs what `cargo xtask gpu-day` packs, with this command and one small slide.
fn pack(load: &Path) {
    for name in ["lib", "models", "slides"] {
        fs::create_dir_all(load.join(name)).expect("a folder");
    }
    symlink(env!("CARGO_BIN_EXE_slidemill"), load.join("slidemill")).expect("a link");
    let runtime = native::find(native::Library::OnnxRuntime).expect("ONNX Runtime");
    let name = runtime.file_name().expect("a file's name").to_owned();
    symlink(runtime, load.join("lib").join(name)).expect("a link");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nuclei-he/nuclei-he.int8.onnx");
    symlink(model, load.join("models/nuclei-he.int8.onnx")).expect("a link");
    let bench = load.join("detect");
    fs::write(&bench, BENCH).expect("a script");
    fs::set_permissions(&bench, fs::Permissions::from_mode(0o755)).expect("a program");
    small_slide(&load.join("slides/small.tif"), 5);
}

fn day(python: &Path, load: &Path, out: &Path, more: &[&str]) -> Output {
    let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gpu-day/day.py");
    let mut command = Command::new(python);
    command.arg(script).arg(load).arg("--out").arg(out).args(["--device", "cpu", "--small"]).args(more);
    command.output().expect("Python starts")
}

fn results(out: &Path) -> Value {
    let text = fs::read_to_string(out.join("day.json")).expect("day.json");
    serde_json::from_str(&text).expect("JSON")
}
