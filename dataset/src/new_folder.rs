//! A folder that appears whole or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::error::DatasetError;

/// A folder filled under a temporary name beside its own, which it gets at the end. Removed with all its
/// files when dropped before.
#[derive(Debug)]
pub struct NewFolder {
    temporary: tempfile::TempDir,
    path: PathBuf,
}

impl NewFolder {
    /// Begins a folder that will get the name `path`.
    ///
    /// # Errors
    ///
    /// When `path` exists already, or no folder can be made beside it.
    pub fn at(path: &Path) -> Result<Self, DatasetError> {
        if fs::symlink_metadata(path).is_ok() && !is_empty_folder(path) {
            return Err(DatasetError::Exists { path: path.to_owned() });
        }
        let parent = whole_file::folder_of(path);
        let mut builder = tempfile::Builder::new();
        builder.prefix(whole_file::TEMPORARY_PREFIX).suffix(".tmp");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let temporary = fs::create_dir_all(parent).and_then(|()| builder.tempdir_in(parent));
        let temporary = temporary.map_err(|reason| cannot("make", reason, path))?;
        Ok(Self { temporary, path: path.to_owned() })
    }

    /// Writes one file of it; `name` may be in folders, which are made.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DatasetError> {
        let file = self.temporary.path().join(name);
        let folder = file.parent().unwrap_or(self.temporary.path());
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&file, bytes))
            .map_err(|reason| DatasetError::Write { what: name.to_owned(), reason, path: self.path.clone() })
    }

    /// The path of the folder until it has its name: for files that are too large for memory.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    ///
    /// When that fails; then nothing is left.
    pub fn finish(self) -> Result<(), DatasetError> {
        fs::rename(self.temporary.path(), &self.path).map_err(|reason| cannot("name", reason, &self.path))?;
        // It no longer has the name under which it would be removed.
        let _ = self.temporary.keep();
        Ok(())
    }
}

fn cannot(what: &'static str, reason: io::Error, path: &Path) -> DatasetError {
    DatasetError::Folder { what, reason, path: path.to_owned() }
}

fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_appears_with_all_its_files_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/out");
        let dropped = NewFolder::at(&path).unwrap();
        dropped.write("a/b.txt", b"one").unwrap();
        assert!(!path.exists());
        drop(dropped);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);

        let kept = NewFolder::at(&path).unwrap();
        kept.write("a/b.txt", b"two").unwrap();
        kept.finish().unwrap();
        assert_eq!(fs::read(path.join("a/b.txt")).unwrap(), b"two");
        assert!(NewFolder::at(&path).unwrap_err().to_string().contains("give a new folder"));
    }
}
