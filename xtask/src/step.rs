//! Running of other programs: each is announced before, and its failure comes with advice.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Number of lines of a failed program's output that are repeated.
const LINES_OF_A_FAILURE: usize = 12;

/// Tells the user what happens now, in one line.
pub(crate) fn say(line: &str) {
    eprintln!("==> {line}");
}

/// Runs a command whose output is for the user.
///
/// # Errors
/// When it cannot be started or does not succeed; the error names the command and `fix`.
pub(crate) fn run(command: &mut Command, fix: &str) -> Result<()> {
    let line = line_of(command);
    say(&line);
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{line}`: {fix}"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}): {fix}");
    }
    Ok(())
}

/// Runs a command whose output matters only if it fails. Returns its standard output.
///
/// # Errors
/// As [`run`]; the error ends with the last lines of the command's output.
pub(crate) fn run_quietly(command: &mut Command, fix: &str) -> Result<String> {
    let line = line_of(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{line}`: {fix}"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}): {fix}\n{}", output.status, last_words(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `true` if a command can be started and succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Returns the command as one would type it, without quoting and without the program's folder.
fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or_default()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn last_words(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES_OF_A_FAILURE)..];
    last.iter().map(|line| format!("    {}", without_addresses(line))).collect::<Vec<_>>().join("\n")
}

/// Returns the line without the text after each `://`: package indexes are often private, and their addresses
/// may hold a password.
fn without_addresses(line: &str) -> String {
    let mut parts = line.split("://");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "'\"<>)],".contains(c)).unwrap_or(part.len());
        kept.push_str("://…");
        kept.push_str(&part[end..]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_left_out_of_what_is_repeated() {
        let line = "Looking in indexes: https://user:word@host/simple, http://b/c and <file:///d>";
        assert_eq!(without_addresses(line), "Looking in indexes: https://…, http://… and <file://…>");
        assert_eq!(without_addresses("no address"), "no address");
    }

    #[test]
    fn a_failure_names_the_command_and_the_fix() {
        let cargo = std::env::var_os("CARGO").unwrap();
        let error =
            run_quietly(Command::new(cargo).arg("no-such-command"), "do this").unwrap_err().to_string();
        assert!(error.contains("no-such-command` failed"), "{error}");
        assert!(error.contains(": do this\n"), "{error}");
        let error =
            run(&mut Command::new("a program that is nowhere"), "install it").unwrap_err().to_string();
        assert_eq!(error, "cannot start `a program that is nowhere`: install it");
    }
}
