//! What files hold, one by one and together.

use std::path::Path;

use super::remarks::{Remark, Remarks};
use crate::{
    error::Result,
    objects::{ObjectSet, SetBuilder},
};

/// What a file or folder holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The objects.
    pub set: ObjectSet,
    /// What was left out or had to be decided.
    pub remarks: Remarks,
    /// Whether images that were looked at may be missing from the set because
    /// nothing was found in them: COCO results name an image only where they have
    /// an object.
    pub omits_empty_images: bool,
}

impl Reading {
    /// Without remarks, of a format that names every image.
    pub(super) fn of_all_images(set: ObjectSet) -> Self {
        Self { set, ..Self::default() }
    }
}

/// Several files as one.
#[derive(Default)]
pub(super) struct Together {
    set: SetBuilder,
    pub(super) remarks: Remarks,
    omits_empty_images: bool,
    pub(super) files: usize,
}

impl Together {
    pub(super) fn add(&mut self, reading: Reading, path: &Path) -> Result<()> {
        let joined = self.set.append(reading.set)?;
        self.remarks.extend(reading.remarks);
        self.remarks.add(Remark::SharedImage, joined as u64, || path.display().to_string());
        self.omits_empty_images |= reading.omits_empty_images;
        self.files += 1;
        Ok(())
    }

    pub(super) fn finish(self) -> Reading {
        Reading { set: self.set.finish(), remarks: self.remarks, omits_empty_images: self.omits_empty_images }
    }
}
