//! The command, as cargo builds it.

use std::env::{self, consts};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::run;

/// What a compiler's failure most often means on a fresh machine.
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
