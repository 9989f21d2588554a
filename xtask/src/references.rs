//! Results of other people's programs, for the tests to compare with.
//!
//! `.venv-test` holds them, pinned in `tests/python/requirements*.txt`; the libraries of the tools that exports are for
//! have environments of their own. The scripts named
//! `tests/python/*_reference.py` write what the tests compare with into `target/reference`. It depends on
//! nothing but the scripts and the pinned packages, and is kept until one of these changes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::python::Python;
use crate::step;
use crate::wheels::hex;

/// The pinned packages need this Python (3.N).
const OLDEST_PYTHON: u32 = 11;

/// Lists of pinned packages, complete, so that pip resolves nothing.
const REQUIREMENTS: [&str; 2] = ["requirements.txt", "requirements-ultralytics.txt"];

/// The packages that run the tests of the Python package; no reference depends on them.
const PACKAGE_TESTS: &str = "requirements-package.txt";

/// Makes the environment and the references in the checkout at `root`, as far as they are missing or old.
///
/// # Errors
/// When no fitting Python is there, a package cannot be installed or a script fails.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let folder = root.join(".venv-test");
    let sources = root.join("tests/python");
    let python = environment(&folder)?;
    let lists = REQUIREMENTS.map(|name| sources.join(name));
    for list in lists.iter().chain([&sources.join(PACKAGE_TESTS)]) {
        install(&python, list, &folder)?;
    }
    write_references(&python, &lists, &reference_scripts(&sources)?, &root.join("target/reference"))?;
    prepare_guests(root, &sources);
    Ok(())
}

/// An environment of its own, as its packages would not agree with the versions of others.
struct Guest {
    folder: &'static str,
    list: &'static str,
    /// What the tests do with it.
    purpose: &'static str,
    /// It takes minutes to install, so only who sets [`ALL_READERS`] waits for it.
    is_slow: bool,
}

const GUESTS: [Guest; 5] = [
    Guest {
        folder: ".venv-exports",
        list: "requirements-exports.txt",
        purpose: "readers of exports",
        is_slow: false,
    },
    Guest {
        folder: ".venv-snakemake",
        list: "requirements-snakemake.txt",
        purpose: "Snakemake",
        is_slow: false,
    },
    Guest {
        folder: ".venv-s3",
        list: "requirements-s3.txt",
        purpose: "a store that speaks S3",
        is_slow: false,
    },
    Guest {
        folder: ".venv-parts",
        list: "requirements-parts.txt",
        purpose: "Dask and Spark",
        is_slow: false,
    },
    Guest {
        folder: ".venv-spatialdata",
        list: "requirements-spatialdata.txt",
        purpose: "SpatialData",
        is_slow: true,
    },
];
/// Set by who waits for all that the tests can make use of.
pub(crate) const ALL_READERS: &str = "SLIDEMILL_ALL_READERS";

/// Makes the environments of other tools. Where one cannot be made its tests say that they are skipped: no fault of the
/// program's.
fn prepare_guests(root: &Path, sources: &Path) {
    let is_all = std::env::var_os(ALL_READERS).is_some();
    for guest in &GUESTS {
        if guest.is_slow && !is_all {
            let purpose = guest.purpose;
            step::say(&format!("{purpose} is left out; {ALL_READERS}=1 has it installed (minutes)"));
            continue;
        }
        let folder = root.join(guest.folder);
        let made =
            environment(&folder).and_then(|python| install(&python, &sources.join(guest.list), &folder));
        if let Err(error) = made {
            step::say(&format!("{}: {} is left out: {error:#}", guest.purpose, guest.folder));
        }
    }
}

fn environment(folder: &Path) -> Result<Python> {
    if let Some(python) = Python::of_environment(folder) {
        return Ok(python);
    }
    step::say(&format!("reference readers: making {}", name_of(folder)));
    Python::at_least(OLDEST_PYTHON)?.make_environment(folder)
}

/// Installs a list of packages unless the same list was installed before.
fn install(python: &Python, requirements: &Path, folder: &Path) -> Result<()> {
    let name = name_of(requirements);
    let stamp = Stamp::new(folder.join(format!("{name}.sha256")), &[requirements])?;
    if stamp.is_set() {
        return Ok(());
    }
    step::say(&format!("reference readers: installing {name} (minutes the first time)"));
    let mut pip = python.pip("install");
    pip.args(["--no-deps", "--only-binary=:all:", "--no-compile", "--requirement"]).arg(requirements);
    step::run_quietly(
        &mut pip,
        "check the network, pip's index and the space on the disk, then run it again",
    )?;
    stamp.set()
}

/// Runs the scripts unless the same ones, with the same packages, have filled `out` before. What others
/// have filled it with is removed; what a run that was broken off has left is gone on with.
fn write_references(python: &Python, lists: &[PathBuf], scripts: &[PathBuf], out: &Path) -> Result<()> {
    let sources: Vec<&Path> = lists.iter().chain(scripts).map(PathBuf::as_path).collect();
    let stamp = Stamp::new(out.join("complete.sha256"), &sources)?;
    if stamp.is_set() {
        return Ok(());
    }
    if stamp.file.exists() {
        fs::remove_dir_all(out).with_context(|| format!("cannot clear {}", out.display()))?;
    }
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    for script in scripts {
        step::say(&format!("references: {} (minutes)", name_of(script)));
        let mut command = python.command();
        command.arg(script).arg("--out").arg(out);
        step::run_quietly(&mut command, "remove .venv-test and run this again; else the script is at fault")?;
    }
    stamp.set()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The scripts that write references, in the order of their names.
fn reference_scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut scripts: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| name_of(path).ends_with("_reference.py"))
        .collect();
    scripts.sort();
    Ok(scripts)
}

/// A file that says from which sources a result was made; written last, so a broken run leaves none.
struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    fn new(file: PathBuf, sources: &[&Path]) -> Result<Self> {
        let mut hasher = Sha256::new();
        for source in sources {
            let text = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
            hasher.update(Sha256::digest(text));
        }
        Ok(Self { file, hash: hex(&hasher.finalize()) })
    }

    fn is_set(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|text| text == self.hash)
    }

    fn set(&self) -> Result<()> {
        fs::write(&self.file, &self.hash).with_context(|| format!("cannot write {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_until_a_source_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&a, "one").unwrap();
        fs::write(&b, "two").unwrap();
        let stamp = || Stamp::new(folder.path().join("stamp"), &[&a, &b]).unwrap();
        assert!(!stamp().is_set());
        stamp().set().unwrap();
        assert!(stamp().is_set());
        // The same bytes, divided otherwise between the sources.
        fs::write(&a, "onet").unwrap();
        fs::write(&b, "wo").unwrap();
        assert!(!stamp().is_set());
    }

    #[test]
    fn only_reference_scripts_are_run_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b_reference.py", "read_dataset.py", "a_reference.py", "requirements.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<String> =
            reference_scripts(folder.path()).unwrap().iter().map(|path| name_of(path)).collect();
        assert_eq!(names, ["a_reference.py", "b_reference.py"]);
    }

    #[test]
    fn each_reference_script_takes_the_folder_to_write_to() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python");
        let scripts = reference_scripts(&sources).unwrap();
        assert!(!scripts.is_empty());
        for script in scripts {
            let text = fs::read_to_string(&script).unwrap();
            assert!(text.contains("\"--out\""), "{} has no --out: give it another name", name_of(&script));
        }
    }
}
