//! Python, which the project uses for two things: to fetch wheels, and to read slidemill's output with other
//! people's readers.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step;

/// Advice for a machine on which Python, or its `pip` and `venv`, are missing.
const INSTALL: &str = "install Python 3 with pip or venv (Debian and Ubuntu: `apt-get install python3-venv`; \
                       Fedora: `dnf install python3-pip`; macOS: `xcode-select --install`), or set PYTHON to one \
                       that has them";

/// A Python interpreter.
pub(crate) struct Python {
    program: OsString,
}

impl Python {
    /// Finds the interpreter of the user: `PYTHON`, otherwise the first on the path that is at least `oldest`
    /// (minor version of Python 3).
    ///
    /// # Errors
    /// When there is none; the error names the packages to install.
    pub(crate) fn at_least(oldest: u32) -> Result<Self> {
        let named = env::var_os("PYTHON").filter(|name| !name.is_empty());
        let usual = ["python3", "python"].map(OsString::from);
        let numbered = (oldest.max(9)..20).rev().map(|minor| OsString::from(format!("python3.{minor}")));
        let candidates: Vec<OsString> = match named {
            Some(name) => vec![name],
            None => usual.into_iter().chain(numbered).collect(),
        };
        candidates
            .into_iter()
            .map(|program| Self { program })
            .find(|python| python.is_at_least(oldest))
            .with_context(|| format!("Python 3.{oldest} or later is needed and was not found: {INSTALL}"))
    }

    fn is_at_least(&self, oldest: u32) -> bool {
        let question = format!("import sys; sys.exit(sys.version_info < (3, {oldest}))");
        step::succeeds(self.command().args(["-c", &question]))
    }

    /// Returns the interpreter of the virtual environment in `folder`, if it works and has pip.
    pub(crate) fn of_environment(folder: &Path) -> Option<Self> {
        let python = Self { program: interpreter(folder).into_os_string() };
        python.has_pip().then_some(python)
    }

    /// Makes a virtual environment in `folder`, replacing what is there.
    ///
    /// # Errors
    /// When Python lacks `venv`; the error names the packages to install.
    pub(crate) fn make_environment(&self, folder: &Path) -> Result<Self> {
        step::run_quietly(self.command().args(["-m", "venv", "--clear"]).arg(folder), INSTALL)?;
        Ok(Self { program: interpreter(folder).into_os_string() })
    }

    /// Returns this Python if it has pip, otherwise one made from it in `folder` that has.
    ///
    /// # Errors
    /// When it has neither pip nor `venv`.
    pub(crate) fn with_pip(self, folder: &Path) -> Result<Self> {
        if self.has_pip() { Ok(self) } else { self.make_environment(folder) }
    }

    fn has_pip(&self) -> bool {
        step::succeeds(self.command().args(["-m", "pip", "--version"]))
    }

    /// Returns a command that starts the interpreter. Folders of modules that the user's shell adds are left
    /// out, so that it runs what was installed.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command
    }

    /// Returns `pip <verb>` with the index and mirrors that the user has configured.
    pub(crate) fn pip(&self, verb: &str) -> Command {
        let mut command = self.command();
        command.args(["-m", "pip", "--disable-pip-version-check", "--no-input", verb, "--quiet"]);
        command
    }
}

/// Returns the place of a virtual environment's interpreter.
fn interpreter(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}
