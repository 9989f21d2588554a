//! Contents of annotation files, one by one and together.

use std::{collections::BTreeMap, path::Path};

use super::remarks::{Remark, Remarks};
use crate::{
    error::Result,
    objects::{ObjectSet, SetBuilder},
};

/// Contents of a file or folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The objects.
    pub set: ObjectSet,
    /// Remarks on objects left out and on decisions made.
    pub remarks: Remarks,
    /// `true` if images that were looked at may be missing from the set because nothing was found in them:
    /// COCO results name an image only where they have an object.
    pub omits_empty_images: bool,
    /// `true` if it is a picture of labels: px are those of the picture, and ids of objects are their labels.
    pub is_label_picture: bool,
    /// Names of objects that have one, by place among the objects; of
    /// [`QuPathObjects::Annotations`](super::QuPathObjects::Annotations) alone.
    pub names: BTreeMap<usize, String>,
}

impl Reading {
    /// A reading without remarks, of a format that names every image.
    pub(super) fn of_all_images(set: ObjectSet) -> Self {
        Self { set, ..Self::default() }
    }
}

/// Several files as one.
#[derive(Debug, Default)]
pub struct Together {
    set: SetBuilder,
    all: Reading,
    files: usize,
}

impl Together {
    pub(super) fn add(&mut self, reading: Reading, path: &Path) -> Result<()> {
        let joined = self.add_part(reading)?;
        self.note(Remark::SharedImage, joined as u64, path);
        Ok(())
    }

    /// Notes what was met in a file, so often.
    pub(super) fn note(&mut self, what: Remark, count: u64, path: &Path) {
        self.all.remarks.add(what, count, || path.display().to_string());
    }

    /// Adds what is about the same images. Gives the number of images that were there already.
    ///
    /// # Errors
    ///
    /// [`TooManyClasses`](crate::EvalError::TooManyClasses).
    pub fn add_part(&mut self, reading: Reading) -> Result<usize> {
        let before = self.set.objects();
        self.all.names.extend(reading.names.into_iter().map(|(place, name)| (before + place, name)));
        self.all.remarks.extend(reading.remarks);
        self.all.omits_empty_images |= reading.omits_empty_images;
        self.all.is_label_picture |= reading.is_label_picture;
        self.files += 1;
        self.set.append(reading.set)
    }

    /// Files that were added.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files
    }

    /// All of them.
    #[must_use]
    pub fn finish(self) -> Reading {
        Reading { set: self.set.finish(), ..self.all }
    }
}
