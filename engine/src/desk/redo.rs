//! Progress of a run with `--redo`, so that the same command goes on where it was interrupted, and does not
//! begin all slides again.
//!
//! `OUT/.slidemill/redo-<command>/<id>.begun` says that the earlier windows of a slide are gone from its
//! ledger, `<id>.done` that the slide was done again. Both are removed when the job ends by itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use whole_file::write_private_for_now;

use dataset::{Dataset, SlideId, hex};

use super::names;
use crate::error::JobError;

/// The marks of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redo {
    folder: PathBuf,
}

impl Redo {
    /// Marks of the command with these settings, `asked`, which tell it from others.
    ///
    /// # Errors
    ///
    /// When `asked` cannot be written as JSON.
    pub fn new(dataset: &Dataset, asked: &impl Serialize) -> Result<Self, JobError> {
        let asked = serde_json::to_vec(asked).map_err(JobError::fault)?;
        let command = hex(&Sha256::digest(asked)[..8]);
        Ok(Self { folder: dataset.private().join(format!("{}{command}", names::REDO)) })
    }

    /// `true` if the ledger of a slide, if there is one, is of this command.
    #[must_use]
    pub fn has_begun(&self, id: &SlideId) -> bool {
        self.mark(id, "begun").exists()
    }

    /// Notes that a slide starts from nothing.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub fn note_begun(&self, id: &SlideId) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        write_private_for_now(&self.mark(id, "begun"), b"")
    }

    /// `true` if this command did a slide again before it was interrupted.
    #[must_use]
    pub fn is_done(&self, id: &SlideId) -> bool {
        self.mark(id, "done").exists()
    }

    /// Notes that a slide was done. If that cannot be written, the slide may be done once more, and no harm
    /// is done.
    pub fn note_done(&self, id: &SlideId) {
        let _ = write_private_for_now(&self.mark(id, "done"), b"");
    }

    /// Removes the marks, as the job ended by itself: the next `--redo` begins from the first slide.
    pub fn forget(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn mark(&self, id: &SlideId, what: &str) -> PathBuf {
        self.folder.join(Path::new(&format!("{id}.{what}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_of_one_command_and_go_with_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let redo = Redo::new(&dataset, &("a.svs", 1)).unwrap();
        let id = SlideId::new("case-7").unwrap();
        assert!(!redo.has_begun(&id) && !redo.is_done(&id));
        redo.note_begun(&id).unwrap();
        redo.note_done(&id);
        assert!(redo.has_begun(&id) && redo.is_done(&id));
        assert!(Redo::new(&dataset, &("a.svs", 1)).unwrap().is_done(&id));
        assert!(!Redo::new(&dataset, &("a.svs", 2)).unwrap().has_begun(&id));
        redo.forget();
        assert!(!redo.has_begun(&id) && !redo.is_done(&id));
    }
}
