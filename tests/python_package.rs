//! The Python package: its tests, its documentation's examples and its notebook, run with this command.

mod support;

use std::{path::Path, process::Command};

use support::{python, small_slide, stderr};

#[test]
fn the_python_package_does_as_its_documentation_says() {
    let Some(python) = python() else { return };
    if !has_pytest(&python) {
        eprintln!("SKIPPED: .venv-test has no pytest; `cargo xtask test` installs it");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in [41, 42] {
        small_slide(&folder.path().join(format!("{seed}.tif")), seed);
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let output = Command::new(python)
        .args(["-m", "pytest", "-q", "--color=no"])
        .arg(&package)
        .env("PYTHONPATH", package.join("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SLIDEMILL_PROGRAM", env!("CARGO_BIN_EXE_slidemill"))
        .env("SLIDEMILL_TEST_SLIDES", folder.path())
        .output()
        .expect("Python starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", stderr(&output));
    println!("{told}");
}

fn has_pytest(python: &Path) -> bool {
    Command::new(python).args(["-c", "import pytest"]).output().is_ok_and(|output| output.status.success())
}
