//! Expands globs that the shell left alone (quoted, or in a shell without globs) as a shell does: part by
//! part, links followed, hidden entries only where the pattern names them.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::error::JobError;

/// `true` if a path holds a pattern.
pub(crate) fn is_glob(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

/// Returns the matching paths, sorted. A folder that cannot be read is returned in place of its entries, so
/// that it is reported.
///
/// # Errors
///
/// [`JobError::Usage`] for a malformed pattern.
pub(crate) fn expand(pattern: &Path) -> Result<Vec<PathBuf>, JobError> {
    let mut found = vec![PathBuf::new()];
    let mut parts = pattern.components().peekable();
    while let Some(part) = parts.next() {
        found = match part {
            Component::Normal(name) if name == "**" => {
                found.iter().flat_map(|at| folders_below(at)).collect()
            }
            Component::Normal(name) if is_glob(Path::new(name)) => {
                matches(&found, name, parts.peek().is_some())?
            }
            part => found.into_iter().map(|at| at.join(part)).filter(|at| is_there(at)).collect(),
        };
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// `true` if an entry exists, also for a link to nothing.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Entries of `folders` whose names match; only folders if more of the pattern follows.
fn matches(folders: &[PathBuf], pattern: &OsStr, more_follows: bool) -> Result<Vec<PathBuf>, JobError> {
    let matcher = globset::GlobBuilder::new(&pattern.to_string_lossy())
        .literal_separator(true)
        .build()
        .map_err(|error| JobError::usage(format!("bad pattern: {error}")))?
        .compile_matcher();
    let mut found = Vec::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(or_here(folder)) else {
            found.extend(folder.is_dir().then(|| folder.clone()));
            continue;
        };
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let path = folder.join(&name);
            let is_wanted = matcher.is_match(Path::new(&name)) && (!is_hidden(&name) || is_hidden(pattern));
            if is_wanted && (path.is_dir() || !more_follows) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// A folder and all folders below it, each once, even if several links lead to it.
fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut waiting, mut visited) = (Vec::new(), vec![folder.to_owned()], BTreeSet::new());
    while let Some(folder) = waiting.pop() {
        if fs::canonicalize(or_here(&folder)).is_ok_and(|place| !visited.insert(place)) {
            continue;
        }
        for name in
            fs::read_dir(or_here(&folder)).into_iter().flatten().flatten().map(|entry| entry.file_name())
        {
            let inner = folder.join(&name);
            if !is_hidden(&name) && inner.is_dir() {
                waiting.push(inner);
            }
        }
        found.push(folder);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path, pattern: &str) -> Vec<String> {
        let found = expand(&root.join(pattern)).unwrap();
        found.iter().map(|p| p.strip_prefix(root).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn names_match_as_in_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("cohort/p2/deep")).unwrap();
        for name in [
            "a 1.svs",
            "._a.svs",
            "スライド.svs",
            "note.txt",
            "cohort/p2/b.svs",
            "cohort/p2/deep/c.svs",
            "cohort/.h.svs",
        ] {
            fs::write(root.join(name), "x").unwrap();
        }
        assert_eq!(names(root, "*.svs"), ["a 1.svs", "スライド.svs"]);
        assert_eq!(names(root, ".*.svs"), ["._a.svs"]);
        assert_eq!(names(root, "?ote.[st]*"), ["note.txt"]);
        assert_eq!(names(root, "cohort/*/*.svs"), ["cohort/p2/b.svs"]);
        assert_eq!(
            names(root, "**/*.svs"),
            ["a 1.svs", "cohort/p2/b.svs", "cohort/p2/deep/c.svs", "スライド.svs"]
        );
        assert_eq!(names(root, "*/p2"), ["cohort/p2"]);
        assert_eq!(names(root, "nowhere/*.svs"), Vec::<String>::new());
        assert_eq!(names(root, "note.txt/*"), Vec::<String>::new());
        assert!(expand(&root.join("[a.svs")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn linked_folders_are_entered_and_circles_end() {
        use std::os::unix::{ffi::OsStrExt as _, fs::symlink};
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path();
        fs::create_dir(root.join("cohort")).unwrap();
        fs::write(elsewhere.path().join("a.svs"), "x").unwrap();
        symlink(elsewhere.path(), root.join("cohort/p1")).unwrap();
        symlink(root, root.join("cohort/up")).unwrap();
        symlink("/nowhere.svs", root.join("gone.svs")).unwrap();
        assert_eq!(names(root, "cohort/*/*.svs"), ["cohort/p1/a.svs", "cohort/up/gone.svs"]);
        assert_eq!(names(root, "**/a.svs"), ["cohort/p1/a.svs"]);
        assert_eq!(names(root, "*.svs"), ["gone.svs"]);
        let odd = OsStr::from_bytes(b"H\xf6he.svs");
        if fs::write(root.join(odd), "x").is_ok() {
            assert_eq!(expand(&root.join("H*.svs")).unwrap(), [root.join(odd)]);
        }
    }
}
