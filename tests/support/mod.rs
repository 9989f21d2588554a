//! Common parts of the end-to-end tests: a painted slide, the command, its outputs.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../../viewer/tests/browser/browser.rs"]
mod browser;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use dataset::{Dataset, RunAccount};
use painted::{PaintSettings, PaintedStain, Truth, paint_slide};
use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};

/// Returns the command under test, with no terminal and no settings of the machine.
pub(crate) fn slidemill() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slidemill"));
    for name in ["SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_CPU", "SLURM_MEM_PER_NODE"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs slides into `out` with further arguments.
pub(crate) fn run(slides: &[&Path], out: &Path, more: &[&str]) -> Output {
    let output = slidemill().arg("run").args(slides).arg("-o").arg(out).args(more).output();
    output.expect("the command starts")
}

/// Runs slides into the new folder `out`, and kills the command as soon as `reached` holds.
pub(crate) fn run_until(slides: &[&Path], out: &Path, more: &[&str], reached: impl Fn() -> bool) {
    let mut command = slidemill();
    command.arg("run").args(slides).arg("-o").arg(out).args(more).stderr(Stdio::null());
    fs::create_dir(out).expect("a folder can be made");
    let mut child = command.spawn().expect("the command starts");
    while !reached() {
        let ended = child.try_wait().expect("the command is waited for");
        assert!(ended.is_none(), "it ended before it was killed");
        pause(Duration::from_millis(1));
    }
    kill(child.id());
    let _ = child.wait();
}

/// `true` if a file that is not empty and whose name ends in `suffix` lies under `folder`, which a run
/// changes meanwhile.
pub(crate) fn any_file(folder: &Path, suffix: &str) -> bool {
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(suffix))
        .any(|entry| entry.metadata().is_ok_and(|data| data.len() > 0))
}

/// Kills a supervisor and the worker it started, as the loss of a node does.
pub(crate) fn kill(pid: u32) {
    let pid = pid.to_string();
    // Otherwise it starts another worker when the first is gone.
    signal("-STOP", &pid);
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for pid in children.split_whitespace().chain([pid.as_str()]) {
        signal("-9", pid);
    }
}

fn signal(name: &str, pid: &str) {
    // It may be gone.
    let _ = Command::new("kill").args([name, pid]).status();
}

/// Does nothing for a time.
pub(crate) fn pause(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// Waits until `what` holds; a test that waits for ever has failed.
pub(crate) fn wait_until(what: impl Fn() -> bool) {
    assert!(is_reached(Duration::from_secs(300), what), "what was waited for does not happen");
}

/// Waits until `what` holds; `false` if it does not within a time.
pub(crate) fn is_reached(within: Duration, what: impl Fn() -> bool) -> bool {
    let end = Instant::now() + within;
    while !what() {
        if Instant::now() >= end {
            return false;
        }
        pause(Duration::from_millis(5));
    }
    true
}

/// Windows small enough for a small slide to have many.
pub(crate) const SMALL_WINDOWS: [&str; 4] = ["--window", "512", "--threads", "2"];

/// A painted slide of 0.64 × 0.512 mm: 12 windows of 512 px at 0.5 µm/px.
pub(crate) fn small_slide(path: &Path, seed: u64) -> Truth {
    paint(path, seed, 640.0, 512.0)
}

/// A painted slide of these sides.
pub(crate) fn paint(path: &Path, seed: u64, width_um: f64, height_um: f64) -> Truth {
    let stain = PaintedStain::He;
    let settings = PaintSettings { seed, width_um, height_um, window_step_um: 128.0, stain };
    paint_slide(path, &settings).expect("the slide is painted")
}

/// Slides of 0.26 × 0.19 mm in `folder`, of different content.
pub(crate) fn tiny_slides(folder: &Path, count: u64, first_seed: u64) -> Vec<PathBuf> {
    let paint = |seed| {
        let path = folder.join(format!("tiny-{seed}.tif"));
        paint(&path, seed, 256.0, 192.0);
        path
    };
    (first_seed..first_seed + count).map(paint).collect()
}

/// The dice of a test by chance; `SLIDEMILL_SEED` gives other cases than those of every day.
pub(crate) fn dice() -> Pcg64Mcg {
    let seed = std::env::var("SLIDEMILL_SEED").ok().and_then(|seed| seed.parse().ok());
    Pcg64Mcg::seed_from_u64(seed.unwrap_or(6))
}

/// The number of tries of a test by chance: ten times the usual with `SLIDEMILL_LONG=1`.
pub(crate) fn times(usual: usize) -> usize {
    if std::env::var_os("SLIDEMILL_LONG").is_some() { 10 * usual } else { usual }
}

/// An annotation as QuPath writes it, a closed ring of (x, y) px.
pub(crate) fn annotation(class: &str, name: &str, corners: &[[f64; 2]]) -> Value {
    let closed: Vec<_> = corners.iter().chain(corners.first()).collect();
    json!({
        "type": "Feature", "geometry": {"type": "Polygon", "coordinates": [closed]},
        "properties": {"objectType": "annotation", "name": name, "classification": {"name": class}},
    })
}

/// Writes annotations as a GeoJSON file.
pub(crate) fn write_features(path: &Path, features: &[Value]) {
    let collection = json!({"type": "FeatureCollection", "features": features});
    fs::write(path, collection.to_string()).expect("a file can be written");
}

/// Runs a notebook of the documentation on the dataset at `out`; returns what it printed. Its pictures go to a folder.
pub(crate) fn run_notebook(python: &Path, name: &str, out: &Path, pictures: &Path) -> String {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python)
        .arg(checkout.join("tests/python/run_notebook.py"))
        .arg(checkout.join("docs/notebooks").join(name))
        .arg("--pictures")
        .arg(pictures)
        .env("SLIDEMILL_OUT", out)
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", stderr(&output));
    text
}

/// Returns the text that a command printed to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the number of tables of cells among all tables.
pub(crate) fn cell_tables(tables: &BTreeMap<PathBuf, Vec<u8>>) -> usize {
    tables.keys().filter(|path| path.starts_with("cells")).count()
}

/// Returns all Parquet files under `out` with their bytes.
pub(crate) fn tables(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(out)
        .into_iter()
        .map(|entry| entry.expect("the output can be listed").into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .map(|path| {
            let bytes = fs::read(&path).expect("a table can be read");
            (path.strip_prefix(out).expect("it lies under out").to_owned(), bytes)
        })
        .collect()
}

/// Returns all run accounts of a dataset.
pub(crate) fn accounts(out: &Path) -> Vec<RunAccount> {
    let paths = Dataset::at(out).accounts().expect("accounts can be listed");
    paths.iter().map(|path| RunAccount::read(path).expect("an account can be read")).collect()
}

/// Returns data beside the checkout that users do not have; prints a note if it is `None`.
pub(crate) fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(part);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: ../shared/{part} is absent");
    None
}

/// Returns the interpreter with the pinned readers: that of `SLIDEMILL_TEST_PYTHON`, or the one that `cargo
/// xtask test` made; prints a note if it is `None`.
pub(crate) fn python() -> Option<PathBuf> {
    match std::env::var_os("SLIDEMILL_TEST_PYTHON") {
        Some(path) => Some(path.into()),
        None => python_of(".venv-test"),
    }
}

/// The Python of an environment that `cargo xtask test` makes.
pub(crate) fn python_of(environment: &str) -> Option<PathBuf> {
    let name = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(environment).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {environment} is absent; `cargo xtask test` makes it");
    None
}

/// Returns the pixels of a PNG, three bytes each, with its width and height.
pub(crate) fn read_png(path: &Path) -> (Vec<[u8; 3]>, u32, u32) {
    let file = std::io::BufReader::new(fs::File::open(path).expect("the picture is there"));
    let mut reader = png::Decoder::new(file).read_info().expect("it is a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("it fits into memory")];
    let info = reader.next_frame(&mut bytes).expect("it is whole");
    (bytes.as_chunks::<3>().0.to_vec(), info.width, info.height)
}

/// Returns the place of Chromium, if it, node and the packages that `cargo xtask test` fetches are there.
pub(crate) fn browser() -> Option<PathBuf> {
    browser::browser(&Path::new(env!("CARGO_MANIFEST_DIR")).join("viewer/tests/browser"))
}
