#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod arrows;
mod attack;
mod build;
mod files;
mod gpu_day;
mod mutants;
mod natives;
mod npm;
mod package;
mod pins;
mod portable;
mod python;
mod references;
mod roots;
mod step;
mod tasks;
mod wheels;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

const HELP: &str = "\
Usage: cargo xtask <command> [arguments]

  natives   fetch ONNX Runtime and OpenSlide into .native, unless they are there already
  demo      natives, build slidemill, then run `slidemill demo` with the arguments
  test      natives, the reference readers in .venv-test, then every test;
            the arguments go to the test runner (-p merger, a test's name, ...)
  arrows    which crate knows which, how large each is, circles of imports
  check     formatting, arrows, lints, documentation, book, licences, then test: what CI runs
  attack    tests by chance with other cases each time: --minutes N, --seed N
  mutants   code changed in one place at a time, for the tests to notice: --area NAME, --sample K/N
  wheel     a wheel in target/dist for `pip install`; --try: then installed in a new environment, and in new roots
            of Debian 12 and 13 where mmdebstrap and bubblewrap are installed, and its demo run in each
  tarball   the command with its libraries, manual and completions in target/dist; --try: then its demo is run in
            such roots, as in a container
  gpu-day   what a bare machine with a GPU needs, in target/gpu-day: --slide FILE, --model FILE, --sm NUMBER
  help      this text
";

/// A wrong command line, as `sysexits.h` numbers it.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(command) = arguments.next() else {
        eprint!("{HELP}");
        return ExitCode::from(USAGE);
    };
    let rest: Vec<OsString> = arguments.collect();
    let result = match command.to_string_lossy().as_ref() {
        "natives" => root().and_then(|root| natives::fetch(&root)),
        "demo" => root().and_then(|root| tasks::demo(&root, &rest)),
        "test" => root().and_then(|root| tasks::test(&root, &rest)),
        "arrows" => root().and_then(|root| arrows::check(&root)),
        "attack" => root().and_then(|root| attack::attack(&root, &rest)),
        "mutants" => root().and_then(|root| mutants::mutants(&root, &rest)),
        "wheel" => root().and_then(|root| package::wheel(&root, &rest)),
        "tarball" => root().and_then(|root| package::tarball(&root, &rest)),
        "gpu-day" => root().and_then(|root| gpu_day::pack(&root, &rest)),
        "check" => root().and_then(|root| tasks::check(&root)),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => {
            eprint!("error: no such command: {unknown}\n\n{HELP}");
            return ExitCode::from(USAGE);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout: the folder above the package that cargo runs, or above the working folder, that has an
/// `xtask`.
fn root() -> Result<PathBuf> {
    let start =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(env::current_dir, |folder| Ok(folder.into()))?;
    start
        .ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file())
        .map(Path::to_path_buf)
        .context("not in a checkout of slidemill: change into one and run `cargo xtask` there")
}
