//! `slidemill completions`: the script with which a shell completes the command line.

use crate::{args, exit::Exit, stdout};

/// Prints the completions of a shell.
///
/// # Errors
///
/// An output failure when they cannot be printed.
pub fn completions(args: &args::Completions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command_line(), "slidemill", &mut script);
    stdout::print("the completions", |out| out.write_all(&script))?;
    Ok(Exit::Done)
}
