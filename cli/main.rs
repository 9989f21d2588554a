//! The `slidemill` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    slidemill::args::main()
}
