//! The `slidemill` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    slidemill::args::main()
}
