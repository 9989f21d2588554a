//! The browser of tests that look at pages.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Returns the place of Chromium, if it, node and the packages of `scripts` are there; prints a note if not. `cargo xtask
/// test` fetches the packages.
pub(crate) fn browser(scripts: &Path) -> Option<PathBuf> {
    let known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let named = std::env::var_os("SLIDEMILL_TEST_BROWSER").map(PathBuf::from);
    let browser = named.into_iter().chain(known.map(PathBuf::from)).find(|path| path.exists());
    let node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    match browser {
        Some(browser) if node && scripts.join("node_modules/playwright-core").exists() => Some(browser),
        _ => {
            eprintln!("SKIPPED: no Chromium, node or playwright-core; `cargo xtask test` fetches the latter");
            None
        }
    }
}
