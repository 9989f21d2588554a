//! Helpers of tests that compare with other tools.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python that `SLIDEMILL_TEST_PYTHON` names, or that of `.venv-test` (`cargo xtask test` makes it), when
/// it has `modules`; prints a skip.
pub(crate) fn python_with(modules: &str) -> Option<PathBuf> {
    let in_venv = if cfg!(windows) { ".venv-test/Scripts/python.exe" } else { ".venv-test/bin/python" };
    let given = std::env::var_os("SLIDEMILL_TEST_PYTHON").map(PathBuf::from);
    let python = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(in_venv));
    let probe = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if probe.is_ok_and(|probe| probe.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: neither SLIDEMILL_TEST_PYTHON nor .venv-test has {modules}");
    None
}
