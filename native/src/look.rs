//! Search of one place.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::environment::Platform;
use crate::library::{Library, Version};
use crate::places::{Place, Source};

/// A place, and its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The place.
    pub place: Place,
    /// Its contents.
    pub outcome: Outcome,
}

/// Contents of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The library, in this file.
    Found(PathBuf),
    /// Only this file, whose name says that it is older than the needed version, which stands second.
    TooOld(PathBuf, &'static str),
    /// The place exists and does not hold the library.
    Without,
    /// The place does not exist.
    Absent,
}

impl Looked {
    /// Searches `place`.
    pub(crate) fn at(place: Place, library: Library, platform: Platform) -> Self {
        let outcome = match place.source {
            Source::FileVariable(_) => named_file(&place.path),
            Source::FolderVariable(_) => match newest_in(&place.path, library, platform) {
                Some((_, path)) => Outcome::Found(path),
                None => nothing_at(&place.path),
            },
            _ => in_folder(&place.path, library, platform),
        };
        Self { place, outcome }
    }
}

/// A file that the user named is accepted under any name.
fn named_file(path: &Path) -> Outcome {
    if path.is_file() { Outcome::Found(path.to_path_buf()) } else { nothing_at(path) }
}

fn in_folder(folder: &Path, library: Library, platform: Platform) -> Outcome {
    match newest_in(folder, library, platform) {
        Some((version, path)) if library.is_too_old(&version) => Outcome::TooOld(path, library.needs()),
        Some((_, path)) => Outcome::Found(path),
        None => nothing_at(folder),
    }
}

/// The library's newest file in `folder`. Of several names for one version the last in byte order counts,
/// so that the answer does not depend on how the file system lists them.
fn newest_in(folder: &Path, library: Library, platform: Platform) -> Option<(Version, PathBuf)> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .map(|entry| entry.path())
        .filter_map(|path| Some((library.version_of(&path, platform)?, path)))
        .filter(|(_, path)| path.is_file())
        .max()
}

fn nothing_at(path: &Path) -> Outcome {
    if path.exists() { Outcome::Without } else { Outcome::Absent }
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): ", self.place.path.display(), self.place.source)?;
        match &self.outcome {
            Outcome::Found(path) => write!(f, "found {}", path.display()),
            Outcome::TooOld(path, needs) => write!(f, "{needs} is needed, {} is older", path.display()),
            Outcome::Without if matches!(self.place.source, Source::FileVariable(_)) => {
                f.write_str("is no file")
            }
            Outcome::Without => f.write_str("no such library in it"),
            Outcome::Absent => f.write_str("does not exist"),
        }
    }
}
