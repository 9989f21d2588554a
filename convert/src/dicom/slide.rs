//! The slide that a DICOM object is about: what it must copy, and what it refers to.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use dicom_core::{
    Tag, VR,
    chrono::{DateTime, Utc},
};
use dicom_dictionary_std::{tags, uids};
use dicom_file::{Attributes as _, Items};

use super::{codes::MAKER, frame::Frame, read::read_file};
use crate::{
    error::{Result, malformed, unreadable},
    ids,
    source::SlideFacts,
};

const WHAT: &str = "the DICOM slide";

/// Patient, study and image that an object belongs to.
#[derive(Debug, Clone)]
pub struct DicomSlide {
    /// Attributes that are copied as they are; empty ones where nothing is known.
    copied: Items,
    study_uid: String,
    series_uid: String,
    instance_uid: String,
    /// The container and the specimens on it.
    container: Items,
    specimen: (String, String),
    frame: Frame,
    /// `true` if the slide is not DICOM, so that all identifiers are made up from its id.
    pub invented: bool,
}

/// Patient and study, type 2: present, and empty where not known.
const COPIED: [(Tag, VR); 9] = [
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_ID, VR::SH),
];
/// Of the container: what a slide's own object may have.
const CONTAINER: [Tag; 5] = [
    tags::CONTAINER_IDENTIFIER,
    tags::ISSUER_OF_THE_CONTAINER_IDENTIFIER_SEQUENCE,
    tags::CONTAINER_TYPE_CODE_SEQUENCE,
    tags::CONTAINER_COMPONENT_SEQUENCE,
    tags::SPECIMEN_DESCRIPTION_SEQUENCE,
];

impl DicomSlide {
    /// Reads a DICOM slide: a file of it, or the folder of its files. `None` when the file is not DICOM at all.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or holds no whole-slide image of the size that was analysed.
    pub fn open(path: &Path, facts: &SlideFacts) -> Result<Option<Self>> {
        if path.is_file() && !is_dicom(path)? {
            return Ok(None);
        }
        let folder = if path.is_dir() { path } else { whole_file::folder_of(path) };
        let mut sizes = Vec::new();
        for file in files_in(folder)? {
            if !is_dicom(&file)? {
                continue;
            }
            let object = read_file(&file, WHAT, tags::PIXEL_DATA)?;
            if let Some(size) = volume_size(&object) {
                if size == facts.size_px {
                    return Ok(Some(Self::from_object(&object, facts)));
                }
                sizes.push(size);
            }
        }
        if sizes.is_empty() && path.is_dir() {
            return Ok(None);
        }
        sizes.sort_unstable();
        let found: Vec<String> =
            sizes.iter().rev().take(3).map(|[width, height]| format!("{width} × {height}")).collect();
        let [width, height] = facts.size_px;
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        Err(malformed(
            WHAT,
            format!(
                "its whole-slide images have {found} px, expected one of {width} × {height}, as was analysed"
            ),
            path,
        ))
    }

    /// For a slide that is not DICOM: identifiers made from its id, and a patient that nobody knows.
    #[must_use]
    pub fn invented(facts: &SlideFacts) -> Self {
        let mut copied = Items::new_empty();
        for (tag, vr) in COPIED {
            copied.text(tag, vr, "");
        }
        let mut container = Items::new_empty();
        container
            .text(tags::CONTAINER_IDENTIFIER, VR::LO, &facts.id)
            .sequence(tags::ISSUER_OF_THE_CONTAINER_IDENTIFIER_SEQUENCE, Vec::new());
        Self {
            copied,
            study_uid: invented_uid(facts, "study"),
            series_uid: invented_uid(facts, "series"),
            instance_uid: invented_uid(facts, "instance"),
            container,
            specimen: (invented_uid(facts, "specimen"), facts.id.clone()),
            frame: Frame::invented(facts),
            invented: true,
        }
    }

    fn from_object(object: &Items, facts: &SlideFacts) -> Self {
        let mut copied = Items::new_empty();
        for (tag, vr) in COPIED {
            copied.text(tag, vr, &object.text_of(tag).unwrap_or_default());
        }
        let mut container = Items::new_empty();
        for tag in CONTAINER {
            if let Some(element) = object.get(tag) {
                container.put(element.clone());
            }
        }
        Self {
            copied,
            study_uid: uid_of(object, tags::STUDY_INSTANCE_UID, facts, "study"),
            series_uid: uid_of(object, tags::SERIES_INSTANCE_UID, facts, "series"),
            instance_uid: uid_of(object, tags::SOP_INSTANCE_UID, facts, "instance"),
            specimen: specimen_of(object, facts),
            frame: Frame::from_object(object, facts),
            container,
            invented: false,
        }
    }

    /// Note for the user on an object whose slide is not DICOM.
    pub(crate) fn note(&self) -> Option<String> {
        self.invented.then(|| {
            "the slide is not known as DICOM: patient and study are empty, and the identifiers of study and image are \
             made from the slide's id, so a PACS will not find the picture; --slide names the DICOM slide".to_owned()
        })
    }

    /// UID and identifier of the specimen.
    pub(crate) fn specimen(&self) -> (&str, &str) {
        (&self.specimen.0, &self.specimen.1)
    }

    /// UID of the study.
    pub(crate) fn study_uid(&self) -> &str {
        &self.study_uid
    }

    /// UID of the series the image is in.
    pub(crate) fn series_uid(&self) -> &str {
        &self.series_uid
    }

    /// Place of level 0.
    pub(crate) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Adds the container, for objects of the slide modality.
    pub(crate) fn put_container(&self, object: &mut Items) {
        for element in self.container.iter() {
            object.put(element.clone());
        }
    }

    /// The reference to the image itself.
    pub(crate) fn image(&self) -> Items {
        let mut item = Items::new_empty();
        item.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, uids::VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE)
            .text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &self.instance_uid);
        item
    }

    /// Begins an object of the study. `identity` tells it from the same with other settings: a PACS keeps the first
    /// object of an identifier.
    pub(crate) fn object(&self, class: &str, modality: &str, facts: &SlideFacts, identity: &str) -> Items {
        let mut object = self.copied.clone();
        let [slide, identity, kind] = [&facts.id, identity, class].map(str::as_bytes);
        let instance_uid = ids::uid(&[slide, identity, kind, b"instance"]);
        let series_uid = ids::uid(&[slide, identity, kind, b"series"]);
        let (date, time) = date_and_time(facts.made_at);
        object
            .text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192")
            .text(tags::SOP_CLASS_UID, VR::UI, class)
            .text(tags::SOP_INSTANCE_UID, VR::UI, &instance_uid)
            .text(tags::MODALITY, VR::CS, modality)
            .text(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0000")
            .text(tags::CONTENT_DATE, VR::DA, &date)
            .text(tags::CONTENT_TIME, VR::TM, &time)
            .text(tags::INSTANCE_CREATION_DATE, VR::DA, &date)
            .text(tags::INSTANCE_CREATION_TIME, VR::TM, &time)
            .text(tags::MANUFACTURER, VR::LO, MAKER)
            .text(tags::MANUFACTURER_MODEL_NAME, VR::LO, MAKER)
            .text(tags::DEVICE_SERIAL_NUMBER, VR::LO, "0")
            .text(tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION"))
            .text(tags::STUDY_INSTANCE_UID, VR::UI, &self.study_uid)
            .text(tags::SERIES_INSTANCE_UID, VR::UI, &series_uid)
            .text(tags::INSTANCE_NUMBER, VR::IS, "1");
        object
    }
}

/// An identifier made of the slide's id.
fn invented_uid(facts: &SlideFacts, what: &str) -> String {
    ids::uid(&[b"slide", facts.id.as_bytes(), what.as_bytes()])
}

/// The identifier that an object has, or an invented one.
fn uid_of(object: &Items, tag: Tag, facts: &SlideFacts, what: &str) -> String {
    object.text_of(tag).unwrap_or_else(|| invented_uid(facts, what))
}

/// UID and identifier of the first specimen of a slide.
fn specimen_of(object: &Items, facts: &SlideFacts) -> (String, String) {
    let none = Items::new_empty();
    let specimen = object.items_of(tags::SPECIMEN_DESCRIPTION_SEQUENCE).first().unwrap_or(&none);
    let identifier = specimen
        .text_of(tags::SPECIMEN_IDENTIFIER)
        .or_else(|| object.text_of(tags::CONTAINER_IDENTIFIER))
        .unwrap_or_else(|| facts.id.clone());
    (uid_of(specimen, tags::SPECIMEN_UID, facts, "specimen"), identifier)
}

/// Width and height of level 0 of a volume image; `None` for labels, overviews and other objects.
fn volume_size(object: &Items) -> Option<[u32; 2]> {
    let is_slide = object.text_of(tags::SOP_CLASS_UID)? == uids::VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE;
    let kinds = object.text_of(tags::IMAGE_TYPE)?;
    let is_volume = kinds.split('\\').nth(2).is_some_and(|kind| kind.trim() == "VOLUME");
    let size =
        [object.u32_of(tags::TOTAL_PIXEL_MATRIX_COLUMNS)?, object.u32_of(tags::TOTAL_PIXEL_MATRIX_ROWS)?];
    (is_slide && is_volume).then_some(size)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()
    });
    let mut files = entries.map_err(unreadable(WHAT, folder))?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

/// `true` if a file has DICOM's marker.
pub(crate) fn is_dicom(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(132).read_to_end(&mut head))
        .map_err(unreadable(WHAT, path))?;
    Ok(head.get(128..) == Some(b"DICM"))
}

/// Year, month and day, hour, minute and second of a time, in UTC, as DICOM writes them.
fn date_and_time(at: SystemTime) -> (String, String) {
    let at = DateTime::<Utc>::from(at);
    (at.format("%Y%m%d").to_string(), at.format("%H%M%S").to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_dates_of_the_calendar() {
        for (seconds, date, time) in [
            (0, "19700101", "000000"),
            (951_782_400, "20000229", "000000"),
            (1_795_651_199, "20261125", "235959"),
        ] {
            let told = date_and_time(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(told, (date.to_owned(), time.to_owned()));
        }
    }
}
