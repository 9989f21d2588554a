//! A folder that appears whole or not at all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// Filled under a temporary name beside its own, which it takes at the end. Gone
/// with all its files when dropped before.
#[derive(Debug)]
pub struct NewFolder {
    temporary: tempfile::TempDir,
    path: PathBuf,
}

impl NewFolder {
    /// Begins a folder that will be called `path`.
    ///
    /// # Errors
    ///
    /// A usage failure when something is there already, an output failure when
    /// no folder can be made beside it.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        if fs::symlink_metadata(path).is_ok() && !is_empty_folder(path) {
            return Err(Failure::usage(format!(
                "the output exists already; give a new folder, or remove it: {}",
                path.display()
            )));
        }
        let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(whole_file::TEMPORARY_PREFIX).suffix(".tmp");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let temporary =
            fs::create_dir_all(parent).and_then(|()| builder.tempdir_in(parent)).map_err(|error| {
                Failure::output(format!("cannot make the output folder: {error}: {}", path.display()))
            })?;
        Ok(Self { temporary, path: path.to_owned() })
    }

    /// Writes one file of it; `name` may be in folders, which are made.
    ///
    /// # Errors
    ///
    /// An output failure.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let file = self.temporary.path().join(name);
        let folder = file.parent().unwrap_or(self.temporary.path());
        fs::create_dir_all(folder).and_then(|()| fs::write(&file, bytes)).map_err(|error| {
            Failure::output(format!("cannot write {name}: {error}: {}", self.path.display()))
        })
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    ///
    /// An output failure; then nothing is left.
    pub fn finish(self) -> anyhow::Result<()> {
        fs::rename(self.temporary.path(), &self.path).map_err(|error| {
            Failure::output(format!("cannot name the output folder: {error}: {}", self.path.display()))
        })?;
        // It no longer has the name it would be removed by.
        let _ = self.temporary.keep();
        Ok(())
    }
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
