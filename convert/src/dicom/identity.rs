//! The identifiers of a DICOM object, whatever it is.

use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_file::Attributes as _;

use super::read::read_file;
use crate::error::{Result, malformed};

const WHAT: &str = "the DICOM object";

/// The identifiers of a DICOM object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomIdentity {
    /// `SOPClassUID`: the kind of object.
    pub class_uid: String,
    /// `SOPInstanceUID`: which one.
    pub instance_uid: String,
    /// `StudyInstanceUID`: the study that it belongs to.
    pub study_uid: String,
    /// `SeriesInstanceUID`: the series that it belongs to.
    pub series_uid: String,
}

impl DicomIdentity {
    /// Reads them from the head of a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no DICOM, or lacks one of them.
    pub fn read(path: &Path) -> Result<Self> {
        // The first tag behind them.
        let object = read_file(path, WHAT, tags::STUDY_ID)?;
        let uid = |tag: Tag| {
            let uid = object.text_of(tag).filter(|uid| is_uid(uid));
            uid.ok_or_else(|| malformed(WHAT, format!("it has no identifier at {tag}"), path))
        };
        Ok(Self {
            class_uid: uid(tags::SOP_CLASS_UID)?,
            instance_uid: uid(tags::SOP_INSTANCE_UID)?,
            study_uid: uid(tags::STUDY_INSTANCE_UID)?,
            series_uid: uid(tags::SERIES_INSTANCE_UID)?,
        })
    }
}

/// Digits and points, at most 64 (PS3.5, 9.1).
fn is_uid(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use dicom_core::VR;
    use dicom_file::Items;

    use super::{
        super::write::{write_head, write_items},
        *,
    };

    fn identity(series: &str) -> Result<DicomIdentity> {
        let mut object = Items::new_empty();
        object
            .text(tags::SOP_CLASS_UID, VR::UI, "1.2")
            .text(tags::SOP_INSTANCE_UID, VR::UI, "1.3")
            .text(tags::STUDY_INSTANCE_UID, VR::UI, "1.5")
            .texts(tags::SERIES_INSTANCE_UID, VR::UI, &[series])
            .text(tags::TEXT_VALUE, VR::UT, "and more");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        let mut file = std::fs::File::create(&path).unwrap();
        write_head(&mut file, "1.2", "1.3").unwrap();
        write_items(&mut file, &object).unwrap();
        DicomIdentity::read(&path)
    }

    #[test]
    fn identifiers_are_read_and_must_be_some() {
        let found = identity("1.4").unwrap();
        let expected = ["1.2", "1.3", "1.5", "1.4"].map(str::to_owned);
        assert_eq!([found.class_uid, found.instance_uid, found.study_uid, found.series_uid], expected);
        for bad in ["", "Miller", "1.2/../3", &"1".repeat(65)] {
            assert!(identity(bad).is_err(), "{bad}");
        }
    }
}
