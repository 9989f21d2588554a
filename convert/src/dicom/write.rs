//! Objects written: elements by the library, and the heads of values that are too large to be held.

use std::{
    error::Error,
    io::{self, Write},
};

use dicom_core::{DataElementHeader, Length, Tag, VR};
use dicom_dictionary_std::uids;
use dicom_encoding::{
    encode::{self, Encode as _, explicit_le::ExplicitVRLittleEndianEncoder},
    text::SpecificCharacterSet,
};
use dicom_file::Items;
use dicom_object::FileMetaTableBuilder;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;

use super::codes::MAKER;
use crate::{error::with_causes, ids};

/// The mark, then what is known of the file before its data.
pub(crate) fn write_head(out: &mut impl Write, class: &str, instance: &str) -> io::Result<()> {
    const PREAMBLE: [u8; 128] = [0; 128];
    let about = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid(instance)
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(ids::uid(&[b"slidemill", b"implementation"]))
        .implementation_version_name(format!("{MAKER} {}", env!("CARGO_PKG_VERSION")));
    let about = about.build().map_err(unencodable)?;
    out.write_all(&PREAMBLE)?;
    out.write_all(b"DICM")?;
    about.write(out).map_err(unencodable)
}

/// Writes elements, in the order of their tags.
pub(crate) fn write_items(out: &mut impl Write, items: &Items) -> io::Result<()> {
    let text = SpecificCharacterSet::ISO_IR_192;
    items.write_dataset_with_ts_cs(out, &EXPLICIT_VR_LITTLE_ENDIAN.erased(), text).map_err(unencodable)
}

/// Begins a value of `bytes` bytes, an even number, which the caller writes.
pub(crate) fn begin_value(out: &mut impl Write, tag: Tag, vr: VR, bytes: u32) -> io::Result<()> {
    encoded(encoder().encode_element_header(out, DataElementHeader::new(tag, vr, Length(bytes))))
}

/// Begins a sequence that ends with [`end_sequence`].
pub(crate) fn begin_sequence(out: &mut impl Write, tag: Tag) -> io::Result<()> {
    encoded(encoder().encode_element_header(out, DataElementHeader::new(tag, VR::SQ, Length::UNDEFINED)))
}

pub(crate) fn end_sequence(out: &mut impl Write) -> io::Result<()> {
    encoded(encoder().encode_sequence_delimiter(out))
}

/// Begins an item that ends with [`end_item`].
pub(crate) fn begin_item(out: &mut impl Write) -> io::Result<()> {
    encoded(encoder().encode_item_header(out, Length::UNDEFINED.0))
}

pub(crate) fn end_item(out: &mut impl Write) -> io::Result<()> {
    encoded(encoder().encode_item_delimiter(out))
}

fn encoder() -> ExplicitVRLittleEndianEncoder {
    ExplicitVRLittleEndianEncoder::default()
}

fn encoded<T>(done: encode::Result<T>) -> io::Result<()> {
    done.map(drop).map_err(unencodable)
}

fn unencodable(error: impl Error + 'static) -> io::Error {
    io::Error::other(with_causes(&error))
}
