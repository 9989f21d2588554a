//! Files and folders that commands make.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::step::say;

/// Names a file that was made, with its size.
///
/// # Errors
/// When it is not there.
pub(crate) fn tell(made: &Path) -> Result<()> {
    let facts = fs::metadata(made).with_context(|| format!("not made: {}", made.display()))?;
    say(&format!("{} ({:.1} MB)", made.display(), facts.len() as f64 / 1e6));
    Ok(())
}

/// The folder, made new.
///
/// # Errors
/// When it cannot be cleared or made.
pub(crate) fn empty(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder.to_path_buf())
}

/// Copies a folder without what Python left in it.
///
/// # Errors
/// When something cannot be read or written.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", from.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_file() {
            copy(&path, &to.join(name))?;
        } else if !name.to_string_lossy().starts_with(['.', '_']) {
            copy_tree(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// Copies a file; its folder is made.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    write(to, &fs::read(from).with_context(|| format!("cannot read {}", from.display()))?)
}

/// Writes a file; its folder is made.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_python_left_is_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        write(&from.join("src/slidemill/__init__.py"), b"1").unwrap();
        write(&from.join("src/slidemill/__pycache__/a.pyc"), b"2").unwrap();
        write(&from.join(".mypy_cache/b"), b"3").unwrap();
        let to = folder.path().join("to");
        copy_tree(&from, &to).unwrap();
        assert!(to.join("src/slidemill/__init__.py").is_file());
        assert!(!to.join("src/slidemill/__pycache__").exists() && !to.join(".mypy_cache").exists());
    }
}
