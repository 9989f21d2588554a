//! A store that speaks S3 and checks every signature: moto, in `.venv-s3`.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// A running store with one bucket; gone with it.
pub struct S3Store {
    process: Child,
    /// Its endpoint and keys.
    told: Value,
}

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
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the store starts");
        let mut line = String::new();
        let said = process.stdout.take().expect("its output is read");
        BufReader::new(said).read_line(&mut line).expect("it says where it is");
        let told = serde_json::from_str(&line).expect("it says where it is, in JSON");
        Some(Self { process, told })
    }

    pub fn endpoint(&self) -> &str {
        self.text("/endpoint")
    }

    /// What it told, such as `/user/secret`.
    pub fn text(&self, at: &str) -> &str {
        self.told.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("it says {at}"))
    }

    /// All that nobody may be told.
    pub fn secrets(&self) -> [&str; 5] {
        ["/user/id", "/user/secret", "/role/id", "/role/secret", "/role/token"].map(|at| self.text(at))
    }
}

impl Drop for S3Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
