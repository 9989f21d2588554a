//! `cargo xtask mutants`: the code of an area is changed in one place at a time, and a test must notice it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::cargo;
use crate::natives;
use crate::step::{run, run_quietly, succeeds};

/// Code whose tests are tried, and the tests that are run for it.
#[derive(Debug, PartialEq, Eq)]
struct Area {
    name: &'static str,
    package: &'static str,
    /// Patterns of paths in the checkout.
    files: &'static [&'static str],
    /// `true` where the tests inside the package alone are run.
    lib_only: bool,
}

const AREAS: [Area; 5] = [
    Area { name: "merger", package: "merger", files: &["merger/src/**/*.rs"], lib_only: false },
    Area {
        name: "metrics",
        package: "eval",
        files: &[
            "eval/src/agreement.rs",
            "eval/src/align.rs",
            "eval/src/ap.rs",
            "eval/src/bootstrap.rs",
            "eval/src/calibration.rs",
            "eval/src/froc.rs",
            "eval/src/ladder.rs",
            "eval/src/matching/*.rs",
            "eval/src/objects.rs",
            "eval/src/polygon.rs",
            "eval/src/pq.rs",
            "eval/src/pr.rs",
            "eval/src/ranking.rs",
        ],
        lib_only: false,
    },
    Area {
        name: "plan",
        package: "tiler",
        files: &[
            "tiler/src/lattice.rs",
            "tiler/src/morphology.rs",
            "tiler/src/order.rs",
            "tiler/src/plan.rs",
            "tiler/src/tissue_mask.rs",
        ],
        lib_only: false,
    },
    Area {
        name: "codecs",
        package: "wsi-reader",
        files: &[
            "wsi-reader/src/backend/tiff/codec.rs",
            "wsi-reader/src/backend/tiff/jpeg*.rs",
            "wsi-reader/src/backend/tiff/unpack.rs",
        ],
        lib_only: false,
    },
    Area { name: "ledger", package: "engine", files: &["engine/src/desk/ledger.rs"], lib_only: true },
];

/// The area, and the part of its mutants that is tried: every Nth from the Kth on, counted from 0.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    area: &'static Area,
    sample: String,
}

impl Wanted {
    /// # Errors
    /// When an option or the area is not known, or no area is named.
    fn new(arguments: &[OsString]) -> Result<Self> {
        let mut area = None;
        let mut sample = "0/1".to_owned();
        for pair in arguments.chunks(2) {
            let words: Vec<_> = pair.iter().map(|word| word.to_string_lossy()).collect();
            match (words[0].as_ref(), words.get(1)) {
                ("--area", Some(name)) => area = Some(named(name)?),
                ("--sample", Some(part)) => sample = part.clone().into_owned(),
                (name, _) => bail!("expected --area NAME or --sample K/N, found {name}"),
            }
        }
        let area = area.with_context(|| format!("expected --area, one of {}", names()))?;
        Ok(Self { area, sample })
    }

    /// The run of cargo-mutants, which changes the checkout and restores it.
    fn command(&self, root: &Path) -> Command {
        let mut command = cargo(root);
        command.args(["mutants", "--in-place", "--profile", "release", "--test-tool", "nextest"]);
        command.args(["--output", "target", "--package", self.area.package]);
        command.args(["--sharding", "round-robin", "--shard", &self.sample]);
        command.args(self.area.files.iter().flat_map(|&file| ["--file", file]));
        if self.area.lib_only {
            command.args(["--", "--lib"]);
        }
        command
    }
}

fn named(name: &str) -> Result<&'static Area> {
    AREAS
        .iter()
        .find(|area| area.name == name)
        .with_context(|| format!("no area {name}: expected one of {}", names()))
}

fn names() -> String {
    AREAS.map(|area| area.name).join(", ")
}

/// Tries the mutants of a sample; those that no test noticed are listed in `target/mutants.out/missed.txt`.
///
/// # Errors
/// Without cargo-mutants or cargo-nextest; when the checkout holds changes, which a mutant could be mixed up
/// with; when a mutant was not noticed.
pub(crate) fn mutants(root: &Path, arguments: &[OsString]) -> Result<()> {
    let wanted = Wanted::new(arguments)?;
    for tool in ["mutants", "nextest"] {
        if !succeeds(cargo(root).args([tool, "--version"])) {
            bail!("cargo-{tool} is not installed: run `cargo install --locked cargo-{tool}`");
        }
    }
    let mut status = Command::new("git");
    status.current_dir(root).args(["status", "--porcelain", "--untracked-files=no"]);
    if !run_quietly(&mut status, "run it in a checkout")?.is_empty() {
        bail!("the checkout holds changes: commit them first, since mutants are written into its files");
    }
    natives::fetch(root)?;
    run(&mut wanted.command(root), "target/mutants.out/missed.txt names what no test noticed")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn options_are_read_or_refused() {
        let wanted = Wanted::new(&words(&["--sample", "1/9", "--area", "codecs"])).unwrap();
        assert_eq!((wanted.area.package, wanted.sample.as_str()), ("wsi-reader", "1/9"));
        for (wrong, says) in [
            (&[][..], "merger, metrics, plan, codecs, ledger"),
            (&["--area", "merge"], "no area merge"),
            (&["--sample"], "--sample K/N"),
            (&["--shard", "1/9"], "--sample K/N"),
        ] {
            let error = Wanted::new(&words(wrong)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn every_pattern_of_an_area_has_a_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for pattern in AREAS.iter().flat_map(|area| area.files) {
            let path = root.join(pattern.split('*').next().unwrap());
            let there = path.exists() || {
                let start = path.file_name().unwrap().to_string_lossy().into_owned();
                let folder = path.parent().unwrap().read_dir().unwrap();
                folder.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(&start))
            };
            assert!(there, "{pattern}");
        }
    }

    #[test]
    fn the_tests_of_the_ledger_are_those_inside_its_crate() {
        let wanted = Wanted::new(&words(&["--area", "ledger"])).unwrap();
        let command = wanted.command(Path::new("."));
        let line: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        assert!(
            line.join(" ").ends_with("--shard 0/1 --file engine/src/desk/ledger.rs -- --lib"),
            "{line:?}"
        );
    }
}
