//! Marks of the slides that a job is working on, so that a crash costs the guilty slide and no other.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use dataset::{Dataset, hex};
use sha2::{Digest as _, Sha256};
use whole_file::{private_options, write_private_for_now};

use super::names;
use crate::gone::gone;

/// Number of strikes after which a slide is given up.
const LIMIT: usize = 2;

/// Marks of slides at work, and strikes, under `OUT/.slidemill/in-hand-<writer>`.
///
/// A job marks each slide that it is working on. When its process dies, the process that started it turns the
/// marks left into strikes. If there are strikes, a job takes one slide at a time, so that the next strike
/// hits the guilty one; a slide with two is given up.
#[derive(Debug, Clone)]
pub struct Marks {
    folder: PathBuf,
}

impl Marks {
    /// Marks of the job that writes to `dataset`: two shards of one job keep separate ones.
    #[must_use]
    pub fn new(dataset: &Dataset) -> Self {
        Self { folder: dataset.private().join(format!("{}{}", names::IN_HAND, dataset.writer())) }
    }

    /// Marks a slide as being at work until the mark is dropped.
    ///
    /// # Errors
    ///
    /// When the mark cannot be written.
    pub fn take(&self, slide: &Path) -> io::Result<Mark> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(key(slide)).with_extension("mark");
        write_private_for_now(&path, b"")?;
        Ok(Mark { path })
    }

    /// Reason that a slide is given up, if it is.
    #[must_use]
    pub fn given_up(&self, slide: &Path) -> Option<String> {
        let strikes = fs::read_to_string(self.folder.join(key(slide)).with_extension("strikes")).ok()?;
        (strikes.lines().count() >= LIMIT)
            .then(|| format!("given up after {LIMIT} tries: {}", strikes.lines().last().unwrap_or_default()))
    }

    /// `true` if any slide has a strike: then one is taken at a time.
    #[must_use]
    pub fn is_careful(&self) -> bool {
        self.files("strikes").is_ok_and(|files| !files.is_empty())
    }

    /// Turns marks into strikes; returns their number.
    ///
    /// # Errors
    ///
    /// When they cannot be listed or written.
    pub fn strike(&self, reason: &str) -> io::Result<usize> {
        let marks = self.files("mark")?;
        for mark in &marks {
            let path = mark.with_extension("strikes");
            let mut strikes = private_options().create(true).append(true).open(path)?;
            writeln!(strikes, "{reason}")?;
            fs::remove_file(mark)?;
        }
        Ok(marks.len())
    }

    /// Removes the folder of the marks unless it holds some.
    pub(crate) fn tidy(&self) {
        let _ = fs::remove_dir(&self.folder);
    }

    /// Removes all marks and strikes.
    ///
    /// # Errors
    ///
    /// When they cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        gone(fs::remove_dir_all(&self.folder))
    }

    fn files(&self, extension: &str) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        paths.sort();
        Ok(paths)
    }
}

/// Mark of a slide at work; dropped when the slide ended, with or without results.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
}

impl Mark {
    /// Leaves the mark in place: the slide never ended, and the process that started this one must know.
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// File name for a slide that tells nothing about it.
fn key(slide: &Path) -> String {
    hex(&Sha256::digest(slide.as_os_str().as_encoded_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_strike_gives_a_slide_up() {
        let folder = tempfile::tempdir().unwrap();
        let marks = Marks::new(&Dataset::at(folder.path()));
        let (bad, good) = (Path::new("bad.svs"), Path::new("good.svs"));
        let die = |slides: &[&Path]| {
            for slide in slides {
                // A killed process drops nothing.
                marks.take(slide).unwrap().leave();
            }
            marks.strike("signal 11").unwrap()
        };
        drop(marks.take(good).unwrap());
        assert!(!marks.is_careful());
        assert_eq!(die(&[bad, good]), 2);
        assert!(marks.is_careful() && marks.given_up(bad).is_none());
        assert_eq!(die(&[bad]), 1);
        assert_eq!(marks.given_up(bad).unwrap(), "given up after 2 tries: signal 11");
        assert_eq!(marks.given_up(good), None);
        marks.forget().unwrap();
        assert!(!marks.is_careful() && marks.given_up(bad).is_none());
    }
}
