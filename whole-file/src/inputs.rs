//! Files that are read, and therefore must never be overwritten.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    path::{Path, PathBuf},
};

/// Files that a command reads. No output of it may replace one of them, under any name: links of both kinds
/// lead to the same file.
///
/// A file that does not exist, or is not a regular file, cannot be lost and so does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs(BTreeSet<Identity>);

/// Reason why an output is not written.
#[derive(Debug, thiserror::Error)]
#[error("that would write over a file that is read; give another name: {}", .output.display())]
pub struct OverInput {
    /// The output, as it was given.
    output: PathBuf,
}

impl Inputs {
    /// The inputs `files`.
    pub fn new(files: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        let mut inputs = Self::default();
        inputs.extend(files);
        inputs
    }

    /// Adds files.
    pub fn extend(&mut self, files: impl IntoIterator<Item = impl AsRef<Path>>) {
        self.0.extend(files.into_iter().filter_map(|file| Identity::at(file.as_ref())));
    }

    /// Refuses an output that is one of them.
    ///
    /// # Errors
    ///
    /// [`OverInput`].
    pub fn spare(&self, output: &Path) -> Result<(), OverInput> {
        match Identity::at(output) {
            Some(file) if self.0.contains(&file) => Err(OverInput { output: output.to_owned() }),
            _ => Ok(()),
        }
    }
}

/// Identity of a file, as the system tells files apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
    #[cfg(not(unix))]
    place: PathBuf,
}

impl Identity {
    fn at(path: &Path) -> Option<Self> {
        let facts = fs::metadata(path).ok().filter(Metadata::is_file)?;
        Self::of(path, &facts)
    }

    #[cfg(unix)]
    fn of(_: &Path, facts: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Some(Self { device: facts.dev(), inode: facts.ino() })
    }

    #[cfg(not(unix))]
    fn of(path: &Path, _: &Metadata) -> Option<Self> {
        fs::canonicalize(path).ok().map(|place| Self { place })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_input_is_known_by_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["slide.svs", "other.svs"] {
            fs::write(at(name), name).unwrap();
        }
        fs::hard_link(at("slide.svs"), at("hard.png")).unwrap();
        let inputs = Inputs::new([at("slide.svs"), at("missing"), folder.path().to_owned()]);
        let refused = inputs.spare(&at("slide.svs")).unwrap_err().to_string();
        assert!(refused.starts_with("that would write over a file that is read"), "{refused}");
        assert!(inputs.spare(&at("./slide.svs")).is_err());
        for free in ["other.svs", "missing", "new.png"] {
            assert!(inputs.spare(&at(free)).is_ok(), "{free}");
        }
        assert!(inputs.spare(folder.path()).is_ok());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("slide.svs"), at("soft.png")).unwrap();
            assert!(inputs.spare(&at("hard.png")).is_err() && inputs.spare(&at("soft.png")).is_err());
        }
    }
}
