//! Azure's own emulator of its store, which checks keys and signatures: Azurite, in `tests/azurite`.

use std::{path::Path, process::Command};

use super::told_store::ToldStore;

/// A running store with one container; gone with it.
pub struct AzureStore(ToldStore);

#[allow(dead_code, reason = "each test uses some")]
impl AzureStore {
    /// Serves files as `az://hospital/slides/NAME`; `None`, with a note, where the store is not installed. `root` is that of
    /// the checkout.
    pub fn of(root: &Path, files: &[&Path]) -> Option<Self> {
        let folder = root.join("tests/azurite");
        if !folder.join("node_modules/azurite/package.json").exists() {
            eprintln!(
                "SKIPPED: Azurite is absent; `SLIDEMILL_ALL_READERS=1 cargo xtask test` has npm install it in \
                 tests/azurite"
            );
            return None;
        }
        let mut command = Command::new("node");
        command.arg(folder.join("store.js")).arg("hospital").args(files);
        Some(Self(ToldStore::start(&mut command)))
    }

    /// What it told, such as `/key`.
    pub fn text(&self, at: &str) -> &str {
        self.0.text(at)
    }

    /// A connection string with its endpoint, and more.
    pub fn connection(&self, more: &str) -> String {
        format!("BlobEndpoint={};{more}", self.text("/endpoint"))
    }

    /// All that nobody may be told.
    pub fn secrets(&self) -> [&str; 3] {
        ["/key", "/signature", "/expired"].map(|at| self.text(at))
    }
}
