//! Packages of npm for the tests, pinned with their checksums in the `package-lock.json` of a folder: the driver of a browser,
//! where the browser itself is the machine's own Chromium, and Azure's emulator of its store.

use std::path::Path;
use std::process::Command;

use crate::references::ALL_READERS;
use crate::step::{run_quietly, say, succeeds};

/// A folder with pinned packages.
struct Folder {
    path: &'static str,
    /// A package that is there once all are.
    package: &'static str,
    /// What is skipped without it.
    tests: &'static str,
    /// It takes minutes to install, so only who sets [`ALL_READERS`] waits for it.
    is_slow: bool,
}

const FOLDERS: [Folder; 2] = [
    Folder {
        path: "viewer/tests/browser",
        package: "playwright-core",
        tests: "viewer: tests in a browser",
        is_slow: false,
    },
    Folder {
        path: "tests/azurite",
        package: "azurite",
        tests: "stores: tests with Azure's emulator",
        is_slow: true,
    },
];

/// Fetches the packages that are not there. Without npm, or without its registry, their tests are skipped, and this prints a
/// note.
pub(crate) fn prepare(root: &Path) {
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    for Folder { path, package, tests, is_slow } in &FOLDERS {
        let folder = root.join(path);
        if folder.join("node_modules").join(package).join("package.json").is_file() {
            continue;
        }
        if *is_slow && std::env::var_os(ALL_READERS).is_none() {
            say(&format!("{tests} are skipped; {ALL_READERS}=1 has it installed (minutes)"));
            continue;
        }
        if !succeeds(Command::new(npm).arg("--version")) {
            say(&format!(
                "{tests} are skipped, npm is not installed (Debian: `apt-get install npm chromium`)"
            ));
            continue;
        }
        let mut install = Command::new(npm);
        install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder);
        if let Err(error) = run_quietly(&mut install, "check the network and npm's registry") {
            say(&format!("{tests} are skipped: {error:#}"));
        }
    }
}
