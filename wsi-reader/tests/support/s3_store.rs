//! A store that speaks S3 and checks every signature: moto, in `.venv-s3`.

use std::{path::Path, process::Command};

use super::told_store::ToldStore;

/// A running store with one bucket; gone with it.
pub struct S3Store(ToldStore);

#[allow(dead_code, reason = "each test uses some")]
impl S3Store {
    /// Serves files as `s3://hospital/slides/NAME`; `None`, with a note, where the store is not installed. `root` is that of
    /// the checkout.
    pub fn of(root: &Path, files: &[&Path]) -> Option<Self> {
        let name = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
        let python = root.join(".venv-s3").join(name);
        if !python.exists() {
            eprintln!("SKIPPED: .venv-s3 is absent; `cargo xtask test` makes it");
            return None;
        }
        let mut command = Command::new(python);
        command.arg(root.join("tests/python/s3_store.py")).arg("hospital").args(files);
        Some(Self(ToldStore::start(&mut command)))
    }

    pub fn endpoint(&self) -> &str {
        self.text("/endpoint")
    }

    /// What it told, such as `/user/secret`.
    pub fn text(&self, at: &str) -> &str {
        self.0.text(at)
    }

    /// All that nobody may be told.
    pub fn secrets(&self) -> [&str; 5] {
        ["/user/id", "/user/secret", "/role/id", "/role/secret", "/role/token"].map(|at| self.text(at))
    }
}
