//! The commands that build and run the project. One profile, `release`, serves them all, so that nothing is
//! compiled twice.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::build::{cargo, program};
use crate::step::{run, say, succeeds};
use crate::{arrows, natives, npm, references};

/// `cargo xtask demo`: everything up to a painted slide, analysed.
///
/// # Errors
/// When a step fails.
pub(crate) fn demo(root: &Path, arguments: &[OsString]) -> Result<()> {
    natives::fetch(root)?;
    run(Command::new(program(root)?).arg("demo").args(arguments), "its message is above")
}

/// `cargo xtask test`: every test of the workspace; `arguments` go to the test runner.
///
/// The runner comes last, so that its summary closes the output.
///
/// # Errors
/// When a step or a test fails.
pub(crate) fn test(root: &Path, arguments: &[OsString]) -> Result<()> {
    natives::fetch(root)?;
    references::prepare(root)?;
    npm::prepare(root);
    let fix = "the failed tests are named above";
    let scope = scope(arguments);
    let how = ["--release", "--no-fail-fast"];
    if !succeeds(cargo(root).args(["nextest", "--version"])) {
        return run(cargo(root).arg("test").args(how).args(scope).args(arguments), fix);
    }
    if arguments.is_empty() {
        run(cargo(root).args(["test", "--release", "--doc"]).args(scope), fix)?;
    }
    run(cargo(root).args(["nextest", "run"]).args(how).args(scope).args(arguments), fix)
}

/// All packages, unless the user names some: cargo ignores the names beside `--workspace`.
fn scope(arguments: &[OsString]) -> Option<&'static str> {
    let named = |word: &OsString| word == "--package" || word.to_string_lossy().starts_with("-p");
    (!arguments.iter().any(named)).then_some("--workspace")
}

/// `cargo xtask check`: formatting, arrows, lints, documentation, book and licences, then [`test()`].
///
/// # Errors
/// When a check or a test fails.
pub(crate) fn check(root: &Path) -> Result<()> {
    run(cargo(root).args(["fmt", "--all", "--check"]), "run `cargo fmt --all`")?;
    arrows::check(root)?;
    let lints = ["--all-targets", "--all-features", "--", "--deny", "warnings"];
    run(cargo(root).args(["clippy", "--release", "--workspace"]).args(lints), "each warning is named above")?;
    let mut docs = cargo(root);
    docs.args(["doc", "--release", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings");
    run(&mut docs, "each broken link is named above")?;
    book(root)?;
    licences(root)?;
    test(root, &[])
}

/// `mdbook`, where it is installed: the pages of `docs` as a book. The tests follow its links.
fn book(root: &Path) -> Result<()> {
    if !succeeds(Command::new("mdbook").arg("--version")) {
        say("book: skipped, mdbook is not installed (`cargo install mdbook`)");
        return Ok(());
    }
    let place = root.join("target/book");
    run(
        Command::new("mdbook").arg("build").arg(root.join("docs")).arg("--dest-dir").arg(place),
        "docs/SUMMARY.md lists the pages",
    )
}

/// `cargo deny`, where it is installed.
fn licences(root: &Path) -> Result<()> {
    if !succeeds(cargo(root).args(["deny", "--version"])) {
        say("licences: skipped, cargo-deny is not installed (`cargo install cargo-deny`)");
        return Ok(());
    }
    run(
        cargo(root).args(["deny", "check", "bans", "licenses", "sources"]),
        "deny.toml says what is allowed and why",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_package_takes_the_place_of_the_workspace() {
        let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(scope(&words(&["seam", "--no-capture"])), Some("--workspace"));
        assert_eq!(scope(&words(&["-p", "merger"])), None);
        assert_eq!(scope(&words(&["-pmerger"])), None);
    }
}
