//! Folders whose slides may be named by path.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::error::ServiceError;

/// Folders whose slides may be named, links resolved.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<PathBuf>);

impl Roots {
    /// These folders.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Root`] for one that is not there.
    pub fn new(folders: &[PathBuf]) -> Result<Self, ServiceError> {
        let resolved = folders.iter().map(|folder| {
            fs::canonicalize(folder).map_err(|reason| ServiceError::Root { reason, path: folder.clone() })
        });
        resolved.collect::<Result<_, _>>().map(Self)
    }

    /// `true` if no slide may be named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slide at `path`, links resolved; `None` when it is not under one of the folders, or not there at all: which of
    /// both is not told.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> Option<PathBuf> {
        if !path.is_absolute() {
            return None;
        }
        let resolved = fs::canonicalize(path).ok()?;
        self.0.iter().any(|root| resolved.starts_with(root) && resolved != *root).then_some(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn only_what_really_lies_under_a_root_is_given() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(folder.path()).unwrap();
        let (root, beside) = (base.join("slides"), base.join("slides-secret"));
        for folder in [&root, &beside] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("a.svs"), "x").unwrap();
        }
        symlink(&beside, root.join("out")).unwrap();
        symlink(root.join("a.svs"), base.join("in.svs")).unwrap();
        let roots = Roots::new(std::slice::from_ref(&root)).unwrap();
        let given = root.join("a.svs");
        assert_eq!(roots.resolve(&given), Some(given.clone()));
        assert_eq!(roots.resolve(&base.join("in.svs")), Some(given), "a link into a root is a slide of it");
        for bad in [
            root.join("../slides-secret/a.svs"),
            root.join("out/a.svs"),
            beside.join("a.svs"),
            root.clone(),
            root.join("missing.svs"),
            "a.svs".into(),
            "/etc/passwd".into(),
        ] {
            assert_eq!(roots.resolve(&bad), None, "{}", bad.display());
        }
        assert!(Roots::new(&[base.join("missing")]).is_err());
        assert_eq!(Roots::default().resolve(&root.join("a.svs")), None);
    }
}
