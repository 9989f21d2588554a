//! DICOM files as this crate reads them: text that may be garbled is refused.

use std::{fs::File, path::Path};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_encoding::text::SpecificCharacterSet;
use dicom_file::{Attributes as _, Items};

use crate::error::{Result, malformed, unreadable};

/// The object of a file, up to `until`; all of it for [`EVERYTHING`](dicom_file::EVERYTHING). `what` names it in errors.
///
/// # Errors
///
/// When the file cannot be read, is no DICOM, ends early, or has text of a character set that is not known.
pub(crate) fn read_file(path: &Path, what: &'static str, until: Tag) -> Result<Items> {
    let file = File::open(path).map_err(unreadable(what, path))?;
    let bytes = file.metadata().map_err(unreadable(what, path))?.len();
    read_object(file, bytes, until).map_err(|problem| malformed(what, problem, path))
}

fn read_object(file: File, bytes: u64, until: Tag) -> std::result::Result<Items, String> {
    let object = dicom_file::read_object(file, bytes, until)?.items;
    check_character_set(&object)?;
    Ok(object)
}

/// The library decodes text by the first character set, and as Latin where it does not know it. Text that this may
/// have garbled is refused.
fn check_character_set(object: &Items) -> std::result::Result<(), String> {
    let sets = object.text_of(tags::SPECIFIC_CHARACTER_SET).unwrap_or_default();
    let is_known = sets.is_empty() || SpecificCharacterSet::from_code(&sets).is_some();
    if is_known || is_plain(object) {
        return Ok(());
    }
    Err(format!("text of its character sets {sets:?} cannot be read, expected one alone, such as ISO_IR 192"))
}

/// `true` if all text is ASCII without switches between character sets.
fn is_plain(object: &Items) -> bool {
    object.iter().all(|element| match element.items() {
        Some(items) => items.iter().all(is_plain),
        None => {
            element.strings().is_ok_and(|texts| {
                texts.iter().all(|text| text.chars().all(|letter| letter.is_ascii() && letter != '\u{1b}'))
            }) || element.strings().is_err()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use dicom_core::{DataElementHeader, Length, VR};
    use dicom_dictionary_std::uids;
    use dicom_encoding::encode::{Encode as _, explicit_le::ExplicitVRLittleEndianEncoder};
    use dicom_file::EVERYTHING;

    use super::{
        super::write::{begin_item, begin_sequence, write_head, write_items},
        *,
    };

    fn file(object: &Items) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_head(&mut bytes, uids::MICROSCOPY_BULK_SIMPLE_ANNOTATIONS_STORAGE, "2.25.7").unwrap();
        write_items(&mut bytes, object).unwrap();
        bytes
    }

    fn read(bytes: &[u8], until: Tag) -> std::result::Result<Items, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        read_object(file, bytes.len() as u64, until)
    }

    fn object() -> Items {
        let mut inner = Items::new_empty();
        inner.text(tags::CODE_MEANING, VR::LO, "Zelle \u{e4}").f64(tags::FLOATING_POINT_VALUE, 0.25);
        let mut object = Items::new_empty();
        object
            .text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192")
            .text(tags::PATIENT_NAME, VR::PN, "Odd")
            .u16(tags::ANNOTATION_GROUP_NUMBER, 7)
            .f32s(tags::GRAPHIC_DATA, &[1.5, -2.0])
            .sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![inner.clone(), Items::new_empty(), inner])
            .sequence(tags::CONTENT_SEQUENCE, Vec::new());
        object
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = file(&object());
        let found = read(&bytes, EVERYTHING).unwrap();
        assert_eq!(found.text_of(tags::PATIENT_NAME).as_deref(), Some("Odd"));
        assert_eq!(found.u32_of(tags::ANNOTATION_GROUP_NUMBER), Some(7));
        assert_eq!(found.f32s_of(tags::GRAPHIC_DATA), Some(&[1.5, -2.0][..]));
        let items = found.items_of(tags::CONCEPT_NAME_CODE_SEQUENCE);
        assert_eq!(items[2].text_of(tags::CODE_MEANING).as_deref(), Some("Zelle \u{e4}"));
        assert_eq!(items[0].f64s_of(tags::FLOATING_POINT_VALUE), Some(&[0.25][..]));
        assert!(items[1].iter().next().is_none());
        let until = read(&bytes, tags::GRAPHIC_DATA).unwrap();
        assert!(until.get(tags::GRAPHIC_DATA).is_none() && until.get(tags::CONTENT_SEQUENCE).is_some());
    }

    #[test]
    fn a_backslash_in_a_name_does_not_divide_it() {
        let mut named = Items::new_empty();
        named.text(tags::ANNOTATION_GROUP_LABEL, VR::LO, r"mitosis\apoptosis");
        let found = read(&file(&named), EVERYTHING).unwrap();
        assert_eq!(found.text_of(tags::ANNOTATION_GROUP_LABEL).as_deref(), Some("mitosis/apoptosis"));
    }

    #[test]
    fn a_cut_file_is_an_error_or_lacks_elements_at_its_end() {
        let bytes = file(&object());
        for cut in 0..bytes.len() {
            // Between elements nothing tells that more was meant.
            if let Ok(part) = read(&bytes[..cut], EVERYTHING) {
                let again = file(&part);
                assert!(again.len() < bytes.len() && bytes.starts_with(&again), "{cut}");
            }
        }
    }

    #[test]
    fn lengths_beyond_the_file_and_endless_nesting_are_refused() {
        let mut lying = file(&Items::new_empty());
        let header = DataElementHeader::new(tags::TEXT_VALUE, VR::UT, Length(u32::MAX - 1));
        ExplicitVRLittleEndianEncoder::default().encode_element_header(&mut lying, header).unwrap();
        assert!(read(&lying, EVERYTHING).unwrap_err().contains("4294967294 bytes"));
        let mut deep = file(&Items::new_empty());
        for _ in 0..100_000 {
            begin_sequence(&mut deep, tags::CONTENT_SEQUENCE).unwrap();
            begin_item(&mut deep).unwrap();
        }
        assert!(read(&deep, EVERYTHING).unwrap_err().contains("too deep"));
    }

    #[test]
    fn other_encodings_and_unknown_text_are_refused() {
        let whole = file(&object());
        let at = whole.windows(19).position(|bytes| bytes == b"1.2.840.10008.1.2.1").unwrap();
        let mut deflated = whole.clone();
        deflated.splice(at..at + 20, *b"1.2.840.10008.1.2.1.99");
        // The value is two bytes longer, and so is its group.
        deflated[at - 2] += 2;
        let group = 132 + 8;
        deflated[group] += 2;
        assert!(read(&deflated, EVERYTHING).unwrap_err().contains("1.2.840.10008.1.2.1.99"));
        let at = whole.windows(10).position(|bytes| bytes == b"ISO_IR 192").unwrap();
        let mut unknown = whole;
        unknown[at..at + 10].copy_from_slice(b"ISO_IR 999");
        assert!(read(&unknown, EVERYTHING).unwrap_err().contains("ISO_IR 999"));
    }

    #[test]
    fn implicit_kinds_are_read() {
        let mut bytes = Vec::new();
        write_head(&mut bytes, uids::MICROSCOPY_BULK_SIMPLE_ANNOTATIONS_STORAGE, "2.25.7").unwrap();
        let at = bytes.windows(19).position(|bytes| bytes == b"1.2.840.10008.1.2.1").unwrap();
        bytes[at + 17..at + 20].copy_from_slice(&[0; 3]);
        bytes.extend(implicit([0x08, 0, 0x60, 0], b"SM"));
        let item = implicit([0xfe, 0xff, 0, 0xe0], &implicit([0x08, 0, 0, 1], b"T-1 "));
        bytes.extend(implicit([0x40, 0, 0x43, 0xa0], &item));
        let found = read(&bytes, EVERYTHING).unwrap();
        assert_eq!(found.text_of(tags::MODALITY).as_deref(), Some("SM"));
        let items = found.items_of(tags::CONCEPT_NAME_CODE_SEQUENCE);
        assert_eq!(items[0].text_of(tags::CODE_VALUE).as_deref(), Some("T-1"));
    }

    fn implicit(tag: [u8; 4], value: &[u8]) -> Vec<u8> {
        [&tag[..], &(value.len() as u32).to_le_bytes(), value].concat()
    }
}
