//! DICOM files read: the tokens of `dicom-parser`, held to what a file can be.
//!
//! The library believes a length and goes as deep as items are nested; a broken or hostile file could then take all
//! memory or the stack. So no value may be longer than the file, and nesting ends where no object goes.

use std::{
    cell::Cell,
    io::{self, BufRead as _, BufReader, Read},
    rc::Rc,
};

use dicom_core::{DataElement, DataElementHeader, Length, Tag, VR, value::DataSetSequence};
use dicom_dictionary_std::tags;
use dicom_encoding::{Codec, TransferSyntaxIndex as _};
use dicom_object::{FileMetaTable, mem::InMemElement};
use dicom_parser::{
    dataset::{DataToken, read::DataSetReader},
    stateful::decode::DynStatefulDecoder,
};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use wsi_types::wording::with_causes;

use crate::attributes::Items;

/// Items within items: no object has as many.
const MOST_DEPTH: u32 = 24;

/// Above all tags.
pub const EVERYTHING: Tag = Tag(0xffff, 0xffff);

/// A DICOM object, up to a tag.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its elements before that tag.
    pub items: Items,
    /// UID of its transfer syntax: how it, and its pixels, are encoded.
    pub syntax: String,
    /// Its pixels, where it was read up to [`tags::PIXEL_DATA`] and has some.
    pub pixels: Option<PixelsAt>,
}

impl Object {
    /// The name of its transfer syntax, and its UID.
    #[must_use]
    pub fn syntax_in_words(&self) -> String {
        let name = TransferSyntaxRegistry.get(&self.syntax).map_or("an unknown form", |syntax| syntax.name());
        format!("{name} ({})", self.syntax)
    }
}

/// Place of the pixels of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelsAt {
    /// Where their value begins, from the start of the file.
    pub offset: u64,
    /// Bytes of the value; `None` for fragments, which follow as items.
    pub bytes: Option<u32>,
}

/// Reads the object of a file that has `bytes` bytes, up to `until`; all of it for [`EVERYTHING`].
///
/// # Errors
///
/// In words, when it cannot be read, is no DICOM or ends early.
pub fn read_object(input: impl Read, bytes: u64, until: Tag) -> Result<Object, String> {
    let count = Rc::new(Cell::new(0));
    let mut input = Counted { inner: BufReader::with_capacity(1 << 16, input), count: Rc::clone(&count) };
    let mut preamble = [0; 128];
    input.read_exact(&mut preamble).map_err(|_| "it is too short for DICOM".to_owned())?;
    let head = input.inner.fill_buf().map_err(|error| format!("it cannot be read: {error}"))?;
    check_about(head.get(MARK..).unwrap_or_default(), bytes)?;
    let about = FileMetaTable::from_reader(&mut input).map_err(|error| with_causes(&error))?;
    let name = about.transfer_syntax();
    let syntax =
        TransferSyntaxRegistry.get(name).filter(|syntax| !matches!(syntax.codec(), Codec::Dataset(_)));
    let syntax = syntax.ok_or_else(|| {
        format!("its transfer syntax is {name}, expected one that is known and not deflated")
    })?;
    let reader = DataSetReader::new_with_ts(input, syntax).map_err(|error| with_causes(&error))?;
    let mut tokens = Tokens { reader, bytes, until, count, pixels: None };
    let items = tokens.object(0)?;
    Ok(Object { items, syntax: syntax.uid().to_owned(), pixels: tokens.pixels })
}

/// Bytes of `DICM`.
const MARK: usize = 4;

/// Kinds of values whose length has 16 bits; the library takes all others, unknown ones too, for long ones.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
    b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
];

/// Checks the lengths of what is known of a file before its data, for which the library takes memory before it reads.
/// Group 2 is explicit, little endian, in every file.
fn check_about(head: &[u8], bytes: u64) -> Result<(), String> {
    let mut rest = head;
    while let [2, 0, low, high, vr @ ..] = rest
        && let Some((vr, after)) = vr.split_first_chunk::<2>()
    {
        let (length, value) = if SHORT.contains(&vr) {
            let Some((length, value)) = after.split_first_chunk() else { break };
            (u32::from(u16::from_le_bytes(*length)), value)
        } else {
            let Some((length, value)) = after.get(2..).and_then(<[u8]>::split_first_chunk) else { break };
            (u32::from_le_bytes(*length), value)
        };
        if u64::from(length) > bytes {
            let tag = Tag(2, u16::from_le_bytes([*low, *high]));
            return Err(ends_early(tag, length, bytes));
        }
        let Some(after) = value.get(length as usize..) else { break };
        rest = after;
    }
    Ok(())
}

fn ends_early(tag: Tag, length: u32, bytes: u64) -> String {
    format!("it ends early: the value of {tag} is to have {length} bytes, the file has {bytes}")
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

struct Tokens<R> {
    reader: DataSetReader<DynStatefulDecoder<R>>,
    /// Of the file.
    bytes: u64,
    until: Tag,
    /// Bytes read so far.
    count: Rc<Cell<u64>>,
    pixels: Option<PixelsAt>,
}

impl<R: Read> Tokens<R> {
    fn next(&mut self) -> Result<Option<DataToken>, String> {
        self.reader.next().transpose().map_err(|error| with_causes(&error))
    }

    /// Elements up to the end of their item, or of the file at depth 0.
    fn object(&mut self, depth: u32) -> Result<Items, String> {
        let mut object = Items::new_empty();
        while let Some(token) = self.next()? {
            match token {
                DataToken::ElementHeader(header) if self.is_beyond(header.tag, depth) => {
                    if header.tag == tags::PIXEL_DATA {
                        self.pixels = Some(PixelsAt { offset: self.count.get(), bytes: header.len.get() });
                    }
                    return Ok(object);
                }
                DataToken::SequenceStart { tag, .. } if self.is_beyond(tag, depth) => return Ok(object),
                DataToken::PixelSequenceStart if self.is_beyond(tags::PIXEL_DATA, depth) => {
                    self.pixels = Some(PixelsAt { offset: self.count.get(), bytes: None });
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

    fn element(&mut self, header: DataElementHeader) -> Result<InMemElement, String> {
        self.check_length(header.tag, header.len)?;
        match self.next()? {
            Some(DataToken::PrimitiveValue(value)) => Ok(DataElement::new(header.tag, header.vr, value)),
            Some(other) => Err(unexpected(&other)),
            None => Err(format!("it ends early, before the value of {}", header.tag)),
        }
    }

    fn sequence(&mut self, depth: u32) -> Result<Vec<Items>, String> {
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
    fn skip_fragments(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                Some(DataToken::SequenceEnd) => return Ok(()),
                Some(DataToken::ItemStart { len }) => self.check_length(tags::PIXEL_DATA, len)?,
                Some(_) => {}
                None => return Err("it ends early, within pixels".to_owned()),
            }
        }
    }

    fn check_length(&self, tag: Tag, length: Length) -> Result<(), String> {
        match length.get() {
            Some(length) if u64::from(length) > self.bytes => Err(ends_early(tag, length, self.bytes)),
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
