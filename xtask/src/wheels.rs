//! Wheels pinned by their content: downloaded with pip, checked, and unpacked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::python::Python;
use crate::step;

/// Writes one member of a zip file to a path.
const UNZIP: &str =
    "import sys, zipfile; open(sys.argv[3], 'wb').write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";

/// One wheel of a package index.
pub(crate) struct Wheel<'a> {
    /// As pip's command line names it.
    pub(crate) requirement: &'a str,
    /// Its platform as pip names it.
    pub(crate) platform: &'a str,
    /// Of the file.
    pub(crate) sha256: &'a str,
}

impl Wheel<'_> {
    /// Downloads it into `scratch` with pip, so that the user's own index, proxy and certificates serve. The version
    /// of Python is given so that the wheel is the same whichever one runs here.
    ///
    /// # Errors
    /// When pip fails, with `fix` as advice, or the index serves another file.
    pub(crate) fn download(&self, python: &Python, scratch: &Path, fix: &str) -> Result<PathBuf> {
        let folder = scratch.join("wheel");
        let mut pip = python.pip("download");
        pip.args(["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.12"]);
        pip.args(["--platform", self.platform]).arg("--dest").arg(&folder).arg(self.requirement);
        step::run_quietly(&mut pip, fix)?;
        let mut files = fs::read_dir(&folder).context("pip left no wheel")?;
        let wheel = files.next().context("pip left no wheel")??.path();
        expect(&wheel, self.sha256)?;
        Ok(wheel)
    }
}

/// Takes one member of a wheel out of it.
///
/// # Errors
/// When it is not there or cannot be written.
pub(crate) fn unzip(python: &Python, wheel: &Path, member: &str, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let mut unzip = python.command();
    unzip.args(["-c", UNZIP]).arg(wheel).arg(member).arg(to);
    step::run_quietly(&mut unzip, "the wheel has the pinned content but cannot be unpacked")?;
    Ok(())
}

/// Compares a file with what was pinned.
///
/// # Errors
/// When the file's SHA-256 is another than the pinned one.
pub(crate) fn expect(file: &Path, pinned: &str) -> Result<()> {
    let found = sha256(file)?;
    if found != pinned {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        bail!(
            "{name} has SHA-256 {found}, pinned is {pinned}: the package index serves another file; \
             nothing was installed"
        );
    }
    Ok(())
}

/// The SHA-256 of a file, in lower-case hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex(&Sha256::digest(content)))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn another_content_than_the_pinned_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("library.so");
        fs::write(&file, b"abc").unwrap();
        // FIPS 180-2, appendix B.1.
        expect(&file, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        let error = expect(&file, "00").unwrap_err().to_string();
        assert!(error.starts_with("library.so has SHA-256 ba7816bf"), "{error}");
    }
}
