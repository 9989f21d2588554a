//! `cargo xtask attack`: the tests by chance, ten times as long as every day, with other cases each time.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::build::cargo;
use crate::natives;
use crate::step::{run_quietly, say};

/// Tests by chance, by their names.
const TESTS: &str = "test(killed_anywhere) + test(killed_at_any_call) + test(a_call_that_fails) + test(jobs_at_once) + \
                     test(any_flipped_bit) + test(a_mutant_is_refused) + test(mutated_files_never_panic)";
/// Words that mark the lines in which the tests print what they did.
const FIGURES: [&str; 6] = [
    " kills (",
    " were killed at a call",
    " said that a call failed",
    " jobs at once, ",
    " flips, all noticed",
    "compression ",
];

/// Length of the attack, and the seed that its cases start from.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    minutes: u64,
    seed: u64,
}

impl Wanted {
    /// # Errors
    /// When an option is not known, or its value is no number.
    fn new(arguments: &[OsString]) -> Result<Self> {
        let mut wanted = Self { minutes: 60, seed: 1 };
        for pair in arguments.chunks(2) {
            let words: Vec<_> = pair.iter().map(|word| word.to_string_lossy()).collect();
            let number = words.get(1).and_then(|value| value.parse().ok());
            match (words[0].as_ref(), number) {
                ("--minutes", Some(minutes)) => wanted.minutes = minutes,
                ("--seed", Some(seed)) => wanted.seed = seed,
                (name, _) => bail!("expected --minutes N or --seed N, found {name}"),
            }
        }
        Ok(wanted)
    }
}

/// Runs seed after seed until the time is over; figures are added to `target/attack.log`. Stopped at any time, it goes on
/// from a later `--seed`.
///
/// # Errors
/// When a test fails: the message names the seed, and the same seed fails again.
pub(crate) fn attack(root: &Path, arguments: &[OsString]) -> Result<()> {
    let Wanted { minutes, seed } = Wanted::new(arguments)?;
    natives::fetch(root)?;
    let log = root.join("target/attack.log");
    let ends = Instant::now() + Duration::from_secs(60 * minutes);
    for seed in seed.. {
        let mut tests = cargo(root);
        tests.args([
            "nextest",
            "run",
            "--release",
            "--workspace",
            "--no-fail-fast",
            "--success-output",
            "final",
        ]);
        tests.args(["--run-ignored", "default", "--filterset", TESTS]);
        tests.env("SLIDEMILL_LONG", "1").env("SLIDEMILL_SEED", seed.to_string());
        let told = run_quietly(&mut tests, &format!("again: cargo xtask attack --minutes 0 --seed {seed}"))?;
        let figures = figures(&told);
        append(&log, &format!("seed {seed}\n{figures}"))?;
        say(&format!("seed {seed} held; {}", log.display()));
        if Instant::now() >= ends {
            break;
        }
    }
    Ok(())
}

/// The lines that say how much was tried.
fn figures(told: &str) -> String {
    let lines = told.lines().map(str::trim).filter(|line| FIGURES.iter().any(|sign| line.contains(sign)));
    lines.map(|line| format!("    {line}\n")).collect()
}

fn append(log: &Path, text: &str) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", log.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        let words = |words: &[&str]| Wanted::new(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(words(&["--seed", "7"]).unwrap(), Wanted { minutes: 60, seed: 7 });
        for wrong in [&["--minutes"][..], &["--seed", "x"], &["--hours", "1"]] {
            assert!(words(wrong).unwrap_err().to_string().contains("--minutes N"), "{wrong:?}");
        }
    }

    #[test]
    fn figures_are_the_lines_that_say_how_much_was_tried() {
        assert_eq!(figures("running 1 test\n500 flips, all noticed\nok\n"), "    500 flips, all noticed\n");
    }
}
