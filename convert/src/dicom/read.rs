//! DICOM files read: the tokens of `dicom-parser`, held to what a file can be.
//!
//! The library believes a length and goes as deep as items are nested; a broken or hostile file could then take all
//! memory or the stack. So no value may be longer than the file, and nesting ends where no object goes.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::Path,
};

use dicom_core::{DataElement, DataElementHeader, Length, Tag, VR, value::DataSetSequence};
use dicom_dictionary_std::tags;
use dicom_encoding::{Codec, TransferSyntaxIndex as _, text::SpecificCharacterSet};
use dicom_object::{FileMetaTable, mem::InMemElement};
use dicom_parser::{
    dataset::{DataToken, read::DataSetReader},
    stateful::decode::DynStatefulDecoder,
};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::attributes::{Attributes as _, Items};
use crate::error::{Result, malformed, unreadable, with_causes};

/// Items within items: no object has as many.
const MOST_DEPTH: u32 = 24;

/// The object of a file, up to `until`; all of it for [`EVERYTHING`]. `what` names it in errors.
///
/// # Errors
///
/// When the file cannot be read, is no DICOM, ends early, or has text of a character set that is not known.
pub(crate) fn read_file(path: &Path, what: &'static str, until: Tag) -> Result<Items> {
    let file = File::open(path).map_err(unreadable(what, path))?;
    let bytes = file.metadata().map_err(unreadable(what, path))?.len();
    read_object(file, bytes, until).map_err(|problem| malformed(what, problem, path))
}

/// Above all tags.
pub(crate) const EVERYTHING: Tag = Tag(0xffff, 0xffff);

fn read_object(file: File, bytes: u64, until: Tag) -> std::result::Result<Items, String> {
    let mut input = BufReader::with_capacity(1 << 16, file);
    let mut preamble = [0; 128];
    input.read_exact(&mut preamble).map_err(|_| "it is too short for DICOM".to_owned())?;
    let about = FileMetaTable::from_reader(&mut input).map_err(|error| with_causes(&error))?;
    let name = about.transfer_syntax();
    let syntax =
        TransferSyntaxRegistry.get(name).filter(|syntax| !matches!(syntax.codec(), Codec::Dataset(_)));
    let syntax = syntax.ok_or_else(|| {
        format!("its transfer syntax is {name}, expected one that is known and not deflated")
    })?;
    let reader = DataSetReader::new_with_ts(input, syntax).map_err(|error| with_causes(&error))?;
    let object = Tokens { reader, bytes, until }.object(0)?;
    check_character_set(&object)?;
    Ok(object)
}

struct Tokens {
    reader: DataSetReader<DynStatefulDecoder<BufReader<File>>>,
    /// Of the file.
    bytes: u64,
    until: Tag,
}

impl Tokens {
    fn next(&mut self) -> std::result::Result<Option<DataToken>, String> {
        self.reader.next().transpose().map_err(|error| with_causes(&error))
    }

    /// Elements up to the end of their item, or of the file at depth 0.
    fn object(&mut self, depth: u32) -> std::result::Result<Items, String> {
        let mut object = Items::new_empty();
        while let Some(token) = self.next()? {
            match token {
                DataToken::ElementHeader(header) if self.is_beyond(header.tag, depth) => return Ok(object),
                DataToken::SequenceStart { tag, .. } if self.is_beyond(tag, depth) => return Ok(object),
                DataToken::PixelSequenceStart if self.is_beyond(tags::PIXEL_DATA, depth) => {
                    return Ok(object);
                }
                DataToken::ElementHeader(header) => drop(object.put(self.element(header)?)),
                DataToken::SequenceStart { tag, .. } => {
                    let items = DataSetSequence::from(self.sequence(depth + 1)?);
                    object.put(DataElement::new(tag, VR::SQ, items));
                }
                DataToken::PixelSequenceStart => self.skip_fragments()?,
                DataToken::ItemEnd if depth > 0 => return Ok(object),
                other => return Err(unexpected(&other)),
            }
        }
        if depth == 0 { Ok(object) } else { Err("it ends early, within an item".to_owned()) }
    }

    fn is_beyond(&self, tag: Tag, depth: u32) -> bool {
        depth == 0 && tag >= self.until
    }

    fn element(&mut self, header: DataElementHeader) -> std::result::Result<InMemElement, String> {
        self.check_length(header.tag, header.len)?;
        match self.next()? {
            Some(DataToken::PrimitiveValue(value)) => Ok(DataElement::new(header.tag, header.vr, value)),
            Some(other) => Err(unexpected(&other)),
            None => Err(format!("it ends early, before the value of {}", header.tag)),
        }
    }

    fn sequence(&mut self, depth: u32) -> std::result::Result<Vec<Items>, String> {
        if depth > MOST_DEPTH {
            return Err("its items are nested too deep".to_owned());
        }
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some(DataToken::ItemStart { .. }) => items.push(self.object(depth)?),
                Some(DataToken::SequenceEnd) => return Ok(items),
                Some(other) => return Err(unexpected(&other)),
                None => return Err("it ends early, within a sequence".to_owned()),
            }
        }
    }

    /// Passes over the compressed pixels of an icon.
    fn skip_fragments(&mut self) -> std::result::Result<(), String> {
        loop {
            match self.next()? {
                Some(DataToken::SequenceEnd) => return Ok(()),
                Some(DataToken::ItemStart { len }) => self.check_length(tags::PIXEL_DATA, len)?,
                Some(_) => {}
                None => return Err("it ends early, within pixels".to_owned()),
            }
        }
    }

    fn check_length(&self, tag: Tag, length: Length) -> std::result::Result<(), String> {
        match length.get() {
            Some(length) if u64::from(length) > self.bytes => Err(format!(
                "it ends early: the value of {tag} is to have {length} bytes, the file has {}",
                self.bytes
            )),
            _ => Ok(()),
        }
    }
}

fn unexpected(token: &DataToken) -> String {
    let found = match token {
        DataToken::ElementHeader(header) => format!("element {}", header.tag),
        DataToken::SequenceStart { tag, .. } => format!("sequence {tag}"),
        DataToken::ItemStart { .. } => "the start of an item".to_owned(),
        DataToken::ItemEnd => "the end of an item".to_owned(),
        DataToken::SequenceEnd => "the end of a sequence".to_owned(),
        _ => "a value".to_owned(),
    };
    format!("{found} stands where it does not belong")
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

    use dicom_dictionary_std::uids;
    use dicom_encoding::encode::{Encode as _, explicit_le::ExplicitVRLittleEndianEncoder};

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
