//! The driver of a browser for the viewer's tests: one package of npm, pinned with its checksum in
//! `viewer/tests/browser/package-lock.json`. The browser itself is the machine's own Chromium.

use std::path::Path;
use std::process::Command;

use crate::step::{run_quietly, say, succeeds};

/// Fetches the package unless it is there. Without npm, or without its registry, the tests in a browser are
/// skipped, and this prints a note.
pub(crate) fn prepare(root: &Path) {
    let folder = root.join("viewer/tests/browser");
    if folder.join("node_modules/playwright-core/package.json").is_file() {
        return;
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    if !succeeds(Command::new(npm).arg("--version")) {
        say(
            "viewer: tests in a browser are skipped, npm is not installed (Debian: `apt-get install npm chromium`)",
        );
        return;
    }
    let mut install = Command::new(npm);
    install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder);
    if let Err(error) = run_quietly(&mut install, "check the network and npm's registry") {
        say(&format!("viewer: tests in a browser are skipped: {error:#}"));
    }
}
