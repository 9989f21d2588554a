//! The command, as cargo builds it.

use std::env::{self, consts};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::portable::Glibc;
use crate::step::{run, run_quietly};

/// The usual cause when a compiler fails on a fresh machine.
const BUILD_FIX: &str = "the compiler's message is above; a missing linker or <stdio.h> means no C tools \
                         (Debian and Ubuntu: `apt-get install gcc libc6-dev`)";

/// Builds the command; gives its place, beside this program.
///
/// # Errors
/// When it does not compile, or the system does not say where this program is.
pub(crate) fn program(root: &Path) -> Result<PathBuf> {
    // The whole workspace, so that features unify as in the tests and nothing is compiled twice.
    run(cargo(root).args(["build", "--release", "--workspace"]), BUILD_FIX)?;
    let here = env::current_exe().context("the system does not say where cargo built xtask")?;
    Ok(here.with_file_name(program_name()))
}

/// The command in `folder`, built and without debugging symbols; gives the glibc that it needs.
///
/// # Errors
/// As [`program`]; without `strip` and `readelf`.
pub(crate) fn program_in(root: &Path, folder: &Path) -> Result<Glibc> {
    let copied = folder.join(program_name());
    strip(&program(root)?, &copied)?;
    Glibc::needed_by(&copied)
}

/// A copy of a program without debugging symbols.
///
/// # Errors
/// Without `strip`, or when the copy cannot be written.
pub(crate) fn strip(program: &Path, copy: &Path) -> Result<()> {
    if let Some(folder) = copy.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    run_quietly(Command::new("strip").arg("-o").arg(copy).arg(program), "install binutils")?;
    Ok(())
}

/// A bench of the root package, built; gives its place.
///
/// # Errors
/// When it does not compile, or cargo does not say where it is.
pub(crate) fn bench(root: &Path, name: &str) -> Result<PathBuf> {
    let mut build = cargo(root);
    build.args(["bench", "--no-run", "--message-format=json", "--bench", name]);
    let told = run_quietly(&mut build, BUILD_FIX)?;
    executable(&told).with_context(|| format!("cargo does not say where the bench {name} is"))
}

/// The last program that cargo's messages name.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, after) = messages.rsplit_once("\"executable\":\"")?;
    after.split_once('"').map(|(path, _)| path.into())
}

/// The name of its file.
pub(crate) fn program_name() -> String {
    format!("slidemill{}", consts::EXE_SUFFIX)
}

/// The cargo that runs this program, in the checkout.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_program_that_cargo_names_is_taken() {
        let messages = "{\"executable\":\"/target/a\"}\n{\"executable\":null}\n{\"executable\":\"/target/b\",\"fresh\":true}";
        assert_eq!(executable(messages), Some("/target/b".into()));
        assert_eq!(executable("{\"executable\":null}"), None);
    }
}
