//! The slide that a DICOM object is about: what it must copy, and what it refers to.

use std::path::{Path, PathBuf};

use super::{Items, MAKER, Tag, Vr, date_and_time, read_file, tags, uids};
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
    /// Whether the slide is not DICOM, so that all identifiers are made up from its id.
    pub invented: bool,
}

/// Patient and study, type 2: present, and empty where not known.
const COPIED: [(Tag, Vr); 9] = [
    (tags::STUDY_DATE, Vr::DA),
    (tags::STUDY_TIME, Vr::TM),
    (tags::ACCESSION_NUMBER, Vr::SH),
    (tags::REFERRING_PHYSICIAN_NAME, Vr::PN),
    (tags::PATIENT_NAME, Vr::PN),
    (tags::PATIENT_ID, Vr::LO),
    (tags::PATIENT_BIRTH_DATE, Vr::DA),
    (tags::PATIENT_SEX, Vr::CS),
    (tags::STUDY_ID, Vr::SH),
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
        let uid = |what: &[u8]| ids::uid(&[b"slide", facts.id.as_bytes(), what]);
        let mut copied = Items::new();
        for (tag, vr) in COPIED {
            copied.text(tag, vr, "");
        }
        let mut container = Items::new();
        container
            .text(tags::CONTAINER_IDENTIFIER, Vr::LO, &facts.id)
            .sequence(tags::ISSUER_OF_THE_CONTAINER_IDENTIFIER_SEQUENCE, Vec::new());
        Self {
            copied,
            study_uid: uid(b"study"),
            series_uid: uid(b"series"),
            instance_uid: uid(b"instance"),
            container,
            specimen: (uid(b"specimen"), facts.id.clone()),
            invented: true,
        }
    }

    fn from_object(object: &Items, facts: &SlideFacts) -> Self {
        let mut copied = Items::new();
        for (tag, vr) in COPIED {
            copied.text(tag, vr, &object.text_of(tag).unwrap_or_default());
        }
        let mut container = Items::new();
        for tag in CONTAINER {
            if let Some(element) = object.get(tag) {
                container.put(tag, element.clone());
            }
        }
        let specimen = object.items_of(tags::SPECIMEN_DESCRIPTION_SEQUENCE).first();
        let of_specimen = |tag| specimen?.text_of(tag);
        let uid = |tag, what: &[u8]| {
            object.text_of(tag).unwrap_or_else(|| ids::uid(&[b"slide", facts.id.as_bytes(), what]))
        };
        Self {
            copied,
            study_uid: uid(tags::STUDY_INSTANCE_UID, b"study"),
            series_uid: uid(tags::SERIES_INSTANCE_UID, b"series"),
            instance_uid: uid(tags::SOP_INSTANCE_UID, b"instance"),
            specimen: (
                of_specimen(tags::SPECIMEN_UID)
                    .unwrap_or_else(|| ids::uid(&[b"slide", facts.id.as_bytes(), b"specimen"])),
                of_specimen(tags::SPECIMEN_IDENTIFIER)
                    .or_else(|| object.text_of(tags::CONTAINER_IDENTIFIER))
                    .unwrap_or_else(|| facts.id.clone()),
            ),
            container,
            invented: false,
        }
    }

    /// What a person must know of an object whose slide is not DICOM.
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

    /// Adds the container, for objects of the slide modality.
    pub(crate) fn put_container(&self, object: &mut Items) {
        for (tag, element) in self.container.iter() {
            object.put(tag, element.clone());
        }
    }

    /// The reference to the image itself.
    pub(crate) fn image(&self) -> Items {
        let mut item = Items::new();
        item.text(tags::REFERENCED_SOP_CLASS_UID, Vr::UI, uids::WHOLE_SLIDE_IMAGE).text(
            tags::REFERENCED_SOP_INSTANCE_UID,
            Vr::UI,
            &self.instance_uid,
        );
        item
    }

    /// What every object of the study begins with. `identity` tells it from the same with other settings: a PACS keeps
    /// the first object of an identifier.
    pub(crate) fn object(&self, class: &str, modality: &str, facts: &SlideFacts, identity: &str) -> Items {
        let mut object = self.copied.clone();
        let own = |what: &[u8]| {
            let parts = [facts.id.as_bytes(), identity.as_bytes(), class.as_bytes(), what];
            ids::uid(&parts)
        };
        let (date, time) = date_and_time(facts.made_at);
        object
            .text(tags::SPECIFIC_CHARACTER_SET, Vr::CS, "ISO_IR 192")
            .text(tags::SOP_CLASS_UID, Vr::UI, class)
            .text(tags::SOP_INSTANCE_UID, Vr::UI, &own(b"instance"))
            .text(tags::MODALITY, Vr::CS, modality)
            .text(tags::TIMEZONE_OFFSET_FROM_UTC, Vr::SH, "+0000")
            .text(tags::CONTENT_DATE, Vr::DA, &date)
            .text(tags::CONTENT_TIME, Vr::TM, &time)
            .text(tags::INSTANCE_CREATION_DATE, Vr::DA, &date)
            .text(tags::INSTANCE_CREATION_TIME, Vr::TM, &time)
            .text(tags::MANUFACTURER, Vr::LO, MAKER)
            .text(tags::MANUFACTURER_MODEL_NAME, Vr::LO, MAKER)
            .text(tags::DEVICE_SERIAL_NUMBER, Vr::LO, "0")
            .text(tags::SOFTWARE_VERSIONS, Vr::LO, env!("CARGO_PKG_VERSION"))
            .text(tags::STUDY_INSTANCE_UID, Vr::UI, &self.study_uid)
            .text(tags::SERIES_INSTANCE_UID, Vr::UI, &own(b"series"))
            .text(tags::INSTANCE_NUMBER, Vr::IS, "1");
        object
    }
}

/// Width and height of level 0 of a volume image; `None` for labels, overviews and other objects.
fn volume_size(object: &Items) -> Option<[u32; 2]> {
    let is_slide = object.text_of(tags::SOP_CLASS_UID)? == uids::WHOLE_SLIDE_IMAGE;
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

/// Whether a file has DICOM's marker.
pub(crate) fn is_dicom(path: &Path) -> Result<bool> {
    use std::io::Read as _;
    let mut head = Vec::new();
    let file = std::fs::File::open(path);
    file.and_then(|file| file.take(132).read_to_end(&mut head)).map_err(unreadable(WHAT, path))?;
    Ok(head.get(128..) == Some(b"DICM"))
}
