//! Elements of DICOM, written and read (PS3.5): little-endian, explicit kinds; implicit ones are read too.
//!
//! A few hundred lines instead of a library, as bulk values are written from the disk and never held.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read as _, Write},
};

use super::tags;

/// Group and element of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(pub(crate) u16, pub(crate) u16);

pub(crate) const ITEM: Tag = Tag(0xfffe, 0xe000);
pub(crate) const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
pub(crate) const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);
pub(crate) const UNDEFINED: u32 = u32::MAX;

/// The kind of a value, as its two letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vr(pub(crate) [u8; 2]);

impl Vr {
    pub(crate) const CS: Self = Self(*b"CS");
    pub(crate) const DA: Self = Self(*b"DA");
    pub(crate) const DS: Self = Self(*b"DS");
    pub(crate) const FD: Self = Self(*b"FD");
    pub(crate) const FL: Self = Self(*b"FL");
    pub(crate) const IS: Self = Self(*b"IS");
    pub(crate) const LO: Self = Self(*b"LO");
    pub(crate) const OD: Self = Self(*b"OD");
    pub(crate) const OF: Self = Self(*b"OF");
    pub(crate) const OL: Self = Self(*b"OL");
    pub(crate) const PN: Self = Self(*b"PN");
    pub(crate) const SH: Self = Self(*b"SH");
    pub(crate) const SQ: Self = Self(*b"SQ");
    pub(crate) const ST: Self = Self(*b"ST");
    pub(crate) const TM: Self = Self(*b"TM");
    pub(crate) const UI: Self = Self(*b"UI");
    pub(crate) const UL: Self = Self(*b"UL");
    pub(crate) const UN: Self = Self(*b"UN");
    pub(crate) const US: Self = Self(*b"US");
    pub(crate) const UT: Self = Self(*b"UT");

    /// Whether its length is a number of 32 bits.
    fn is_long(self) -> bool {
        const LONG: [&[u8; 2]; 13] =
            [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];
        LONG.contains(&&self.0)
    }

    /// Most characters of a text of this kind.
    fn most(self) -> usize {
        match self {
            Self::SH | Self::CS | Self::DS => 16,
            Self::LO | Self::PN | Self::UI => 64,
            Self::ST => 1024,
            _ => usize::MAX,
        }
    }

    /// What makes an odd length even.
    fn filler(self) -> u8 {
        if self == Self::UI { 0 } else { b' ' }
    }
}

/// What an element holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// As in the file.
    Bytes(Vec<u8>),
    Sequence(Vec<Items>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Element {
    vr: Vr,
    value: Value,
}

/// Elements that belong together: an item, or a whole object. Text is UTF-8.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Items(BTreeMap<Tag, Element>);

impl Items {
    /// None.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Text; what is longer than its kind may be is cut.
    pub(crate) fn text(&mut self, tag: Tag, vr: Vr, text: &str) -> &mut Self {
        let mut bytes = text.chars().take(vr.most()).collect::<String>().into_bytes();
        if bytes.len() % 2 == 1 {
            bytes.push(vr.filler());
        }
        self.bytes(tag, vr, bytes)
    }

    pub(crate) fn u16(&mut self, tag: Tag, value: u16) -> &mut Self {
        self.bytes(tag, Vr::US, value.to_le_bytes().to_vec())
    }

    pub(crate) fn u32(&mut self, tag: Tag, value: u32) -> &mut Self {
        self.bytes(tag, Vr::UL, value.to_le_bytes().to_vec())
    }

    pub(crate) fn f64(&mut self, tag: Tag, value: f64) -> &mut Self {
        self.bytes(tag, Vr::FD, value.to_le_bytes().to_vec())
    }

    pub(crate) fn f32s(&mut self, tag: Tag, values: &[f32]) -> &mut Self {
        self.bytes(tag, Vr::FL, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(crate) fn sequence(&mut self, tag: Tag, items: Vec<Items>) -> &mut Self {
        self.put(tag, Element { vr: Vr::SQ, value: Value::Sequence(items) })
    }

    fn bytes(&mut self, tag: Tag, vr: Vr, bytes: Vec<u8>) -> &mut Self {
        self.put(tag, Element { vr, value: Value::Bytes(bytes) })
    }

    pub(crate) fn put(&mut self, tag: Tag, element: Element) -> &mut Self {
        self.0.insert(tag, element);
        self
    }

    pub(crate) fn get(&self, tag: Tag) -> Option<&Element> {
        self.0.get(&tag)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Tag, &Element)> {
        self.0.iter().map(|(tag, element)| (*tag, element))
    }

    /// Those whose tags belong.
    pub(crate) fn part(&self, belongs: impl Fn(Tag) -> bool) -> Self {
        let part = self.iter().filter(|(tag, _)| belongs(*tag));
        Self(part.map(|(tag, element)| (tag, element.clone())).collect())
    }

    /// The value as it is; `None` where there is none, and of sequences.
    pub(crate) fn value(&self, tag: Tag) -> Option<&[u8]> {
        match &self.get(tag)?.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Sequence(_) => None,
        }
    }

    /// Text without what fills it up; `None` where it is absent, empty or no UTF-8.
    pub(crate) fn text_of(&self, tag: Tag) -> Option<String> {
        let text = std::str::from_utf8(self.value(tag)?).ok()?.trim_matches([' ', '\0']);
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The items of a sequence; none where it is absent.
    pub(crate) fn items_of(&self, tag: Tag) -> &[Items] {
        match self.get(tag).map(|element| &element.value) {
            Some(Value::Sequence(items)) => items,
            _ => &[],
        }
    }

    pub(crate) fn u32_of(&self, tag: Tag) -> Option<u32> {
        match self.value(tag)? {
            bytes @ [_, _, _, _, ..] => bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)),
            bytes => bytes.first_chunk().map(|bytes| u32::from(u16::from_le_bytes(*bytes))),
        }
    }

    pub(crate) fn u32s_of(&self, tag: Tag) -> Option<Vec<u32>> {
        Some(self.value(tag)?.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn f32s_of(&self, tag: Tag) -> Option<Vec<f64>> {
        let value = |bytes: &[u8; 4]| f64::from(f32::from_le_bytes(*bytes));
        Some(self.value(tag)?.as_chunks().0.iter().map(value).collect())
    }

    pub(crate) fn f64s_of(&self, tag: Tag) -> Option<Vec<f64>> {
        Some(self.value(tag)?.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    /// Writes all of them, in the order of their tags.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(tag, element)| element.write(*tag, out))
    }
}

impl Element {
    /// Text in it is made UTF-8, in items too.
    pub(crate) fn make_utf8(&mut self, decode: &impl Fn(&[u8]) -> Option<String>) -> Option<()> {
        const TEXTS: [&[u8; 2]; 7] = [b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"];
        match &mut self.value {
            Value::Sequence(items) => items
                .iter_mut()
                .flat_map(|items| items.0.values_mut())
                .try_for_each(|element| element.make_utf8(decode)),
            Value::Bytes(bytes) if TEXTS.contains(&&self.vr.0) && !bytes.is_ascii() => {
                let mut text = decode(bytes)?.into_bytes();
                if text.len() % 2 == 1 {
                    text.push(self.vr.filler());
                }
                *bytes = text;
                Some(())
            }
            Value::Bytes(_) => Some(()),
        }
    }

    fn write(&self, tag: Tag, out: &mut impl Write) -> io::Result<()> {
        match &self.value {
            Value::Bytes(bytes) => {
                write_header(out, tag, self.vr, u32::try_from(bytes.len()).map_err(io::Error::other)?)?;
                out.write_all(bytes)
            }
            Value::Sequence(items) => {
                begin_sequence(out, tag)?;
                for item in items {
                    begin_item(out)?;
                    item.write(out)?;
                    end_item(out)?;
                }
                end_sequence(out)
            }
        }
    }
}

/// What stands before a value of `bytes` bytes, an even number.
pub(crate) fn write_header(out: &mut impl Write, tag: Tag, vr: Vr, bytes: u32) -> io::Result<()> {
    write_tag(out, tag)?;
    out.write_all(&vr.0)?;
    if vr.is_long() {
        out.write_all(&[0; 2])?;
        return out.write_all(&bytes.to_le_bytes());
    }
    out.write_all(&u16::try_from(bytes).map_err(io::Error::other)?.to_le_bytes())
}

/// Begins a sequence that ends with [`end_sequence`].
pub(crate) fn begin_sequence(out: &mut impl Write, tag: Tag) -> io::Result<()> {
    write_header(out, tag, Vr::SQ, UNDEFINED)
}

pub(crate) fn begin_item(out: &mut impl Write) -> io::Result<()> {
    write_tag(out, ITEM)?;
    out.write_all(&UNDEFINED.to_le_bytes())
}

pub(crate) fn end_item(out: &mut impl Write) -> io::Result<()> {
    write_tag(out, ITEM_END)?;
    out.write_all(&[0; 4])
}

pub(crate) fn end_sequence(out: &mut impl Write) -> io::Result<()> {
    write_tag(out, SEQUENCE_END)?;
    out.write_all(&[0; 4])
}

fn write_tag(out: &mut impl Write, tag: Tag) -> io::Result<()> {
    out.write_all(&tag.0.to_le_bytes())?;
    out.write_all(&tag.1.to_le_bytes())
}

/// Reads elements. Lengths are believed only as far as there are bytes, depth to what no object has.
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes taken so far.
    at: u64,
    /// Elements from here on are left unread.
    until: Tag,
}

const MOST_DEPTH: u32 = 24;

/// Where a run of elements ends.
#[derive(Clone, Copy)]
enum End {
    /// With the file.
    Input,
    /// At this many bytes.
    At(u64),
    /// At a delimiter.
    Delimiter,
}

impl<R: BufRead> Reader<R> {
    /// A reader that leaves out what comes from `until` on.
    pub(crate) fn new(input: R, until: Tag) -> Self {
        Self { input, at: 0, until }
    }

    /// The object of a file that begins with a preamble and what it says of itself.
    pub(crate) fn file(mut self) -> Result<Items, String> {
        const EXPLICIT: &str = "1.2.840.10008.1.2.1";
        const IMPLICIT: &str = "1.2.840.10008.1.2";
        const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
        const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
        let head: [u8; 132] = self.take()?;
        if &head[128..] != b"DICM" {
            return Err("it has no mark of DICOM".to_owned());
        }
        // The group of the file itself is explicit; its first element tells how long it is.
        let (tag, _, length) = self.header(true)?;
        if tag != Tag(2, 0) || length != 4 {
            return Err("what it says of itself has no length".to_owned());
        }
        let length = u32::from_le_bytes(self.take()?);
        let about = self.items(true, End::At(self.at + u64::from(length)), 0)?;
        match about.text_of(Tag(2, 0x10)).as_deref() {
            None => Err("it does not say how it is encoded".to_owned()),
            Some(EXPLICIT) => self.items(true, End::Input, 0),
            Some(IMPLICIT) => self.items(false, End::Input, 0),
            Some(other @ (DEFLATED | BIG_ENDIAN)) => {
                Err(format!("its transfer syntax is {other}, expected little-endian and not deflated"))
            }
            // Those of packed pixels: all else is explicit.
            Some(_) => self.items(true, End::Input, 0),
        }
    }

    fn items(&mut self, explicit: bool, end: End, depth: u32) -> Result<Items, String> {
        if depth > MOST_DEPTH {
            return Err("its items are nested too deep".to_owned());
        }
        let mut items = Items::new();
        loop {
            match end {
                End::At(at) if self.at >= at => return Ok(items),
                End::Input if self.is_at_end()? => return Ok(items),
                _ => {}
            }
            let (tag, vr, length) = self.header(explicit)?;
            if matches!(end, End::Input) && tag >= self.until {
                return Ok(items);
            }
            if tag == ITEM_END && matches!(end, End::Delimiter) {
                return Ok(items);
            }
            let value = self.value(tag, vr, length, explicit, depth)?;
            items.put(tag, Element { vr, value });
        }
    }

    fn value(&mut self, tag: Tag, vr: Vr, length: u32, explicit: bool, depth: u32) -> Result<Value, String> {
        let of_items = vr == Vr::SQ
            || (vr == Vr::UN && (length == UNDEFINED || (!explicit && tags::SEQUENCES.contains(&tag))));
        if of_items {
            // Items of an unknown kind are implicit, whatever is around them.
            let explicit = explicit && vr == Vr::SQ;
            return Ok(Value::Sequence(self.sequence(length, explicit, depth)?));
        }
        if length == UNDEFINED {
            self.skip_fragments()?;
            return Ok(Value::Bytes(Vec::new()));
        }
        self.take_many(u64::from(length)).map(Value::Bytes)
    }

    fn sequence(&mut self, length: u32, explicit: bool, depth: u32) -> Result<Vec<Items>, String> {
        let end = self.at + u64::from(length);
        let mut all = Vec::new();
        while length == UNDEFINED || self.at < end {
            let (tag, length) = (self.tag()?, u32::from_le_bytes(self.take()?));
            match tag {
                SEQUENCE_END => break,
                ITEM if length == UNDEFINED => all.push(self.items(explicit, End::Delimiter, depth + 1)?),
                ITEM => all.push(self.items(explicit, End::At(self.at + u64::from(length)), depth + 1)?),
                Tag(group, element) => {
                    return Err(format!("({group:04x},{element:04x}) stands where an item is expected"));
                }
            }
        }
        Ok(all)
    }

    /// Packed pixels of an icon, in pieces.
    fn skip_fragments(&mut self) -> Result<(), String> {
        loop {
            let (tag, length) = (self.tag()?, u32::from_le_bytes(self.take()?));
            if tag == SEQUENCE_END {
                return Ok(());
            }
            self.take_many(u64::from(length))?;
        }
    }

    /// Tag, kind and length. Kinds that the file does not say are [`Vr::UN`].
    fn header(&mut self, explicit: bool) -> Result<(Tag, Vr, u32), String> {
        let tag = self.tag()?;
        if tag.0 == ITEM.0 || !explicit {
            return Ok((tag, Vr::UN, u32::from_le_bytes(self.take()?)));
        }
        let vr = Vr(self.take()?);
        let short = u16::from_le_bytes(self.take()?);
        let length = if vr.is_long() { u32::from_le_bytes(self.take()?) } else { u32::from(short) };
        Ok((tag, vr, length))
    }

    fn tag(&mut self) -> Result<Tag, String> {
        let [a, b, c, d] = self.take()?;
        Ok(Tag(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        let at = self.at;
        self.input.read_exact(&mut bytes).map_err(|_| format!("it ends early, after byte {at}"))?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// Memory is taken as bytes come, not as a length claims.
    fn take_many(&mut self, count: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read =
            (&mut self.input).take(count).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if (read as u64) < count {
            return Err(format!(
                "it ends early: {count} bytes are due after byte {}, {read} are there",
                self.at
            ));
        }
        self.at += count;
        Ok(bytes)
    }

    fn is_at_end(&mut self) -> Result<bool, String> {
        self.input.fill_buf().map(<[u8]>::is_empty).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Tag = Tag(0xffff, 0xffff);

    fn file(object: &Items, syntax: &str) -> Vec<u8> {
        let mut about = Items::new();
        about.text(Tag(2, 0x10), Vr::UI, syntax);
        let mut group = Vec::new();
        about.write(&mut group).unwrap();
        let mut bytes = [&[0; 128][..], b"DICM"].concat();
        let mut length = Items::new();
        length.u32(Tag(2, 0), group.len() as u32);
        length.write(&mut bytes).unwrap();
        bytes.extend(group);
        object.write(&mut bytes).unwrap();
        bytes
    }

    fn object() -> Items {
        let mut inner = Items::new();
        inner.text(tags::CODE_MEANING, Vr::LO, "Zelle \u{e4}").f64(tags::FLOATING_POINT_VALUE, 0.25);
        let mut object = Items::new();
        object
            .text(tags::PATIENT_NAME, Vr::PN, "Odd")
            .u16(tags::ANNOTATION_GROUP_NUMBER, 7)
            .f32s(tags::GRAPHIC_DATA, &[1.5, -2.0])
            .sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![inner.clone(), Items::new(), inner])
            .sequence(tags::CONTENT_SEQUENCE, Vec::new());
        object
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = file(&object(), "1.2.840.10008.1.2.1");
        let read = Reader::new(bytes.as_slice(), ALL).file().unwrap();
        assert_eq!(read, object());
        assert_eq!(read.text_of(tags::PATIENT_NAME).as_deref(), Some("Odd"));
        assert_eq!(read.u32_of(tags::ANNOTATION_GROUP_NUMBER), Some(7));
        let items = read.items_of(tags::CONCEPT_NAME_CODE_SEQUENCE);
        assert_eq!(items[2].text_of(tags::CODE_MEANING).as_deref(), Some("Zelle \u{e4}"));
        assert_eq!(items[0].f64s_of(tags::FLOATING_POINT_VALUE), Some(vec![0.25]));
        let until = Reader::new(bytes.as_slice(), tags::GRAPHIC_DATA).file().unwrap();
        assert!(until.get(tags::GRAPHIC_DATA).is_none() && until.get(tags::CONTENT_SEQUENCE).is_some());
    }

    #[test]
    fn a_cut_file_is_an_error_wherever_it_is_cut_within_an_element() {
        let bytes = file(&object(), "1.2.840.10008.1.2.1");
        let whole = Reader::new(bytes.as_slice(), ALL).file().unwrap();
        for cut in 0..bytes.len() {
            // Between elements nothing tells that more was meant.
            if let Ok(part) = Reader::new(&bytes[..cut], ALL).file() {
                assert!(
                    part != whole && part.iter().all(|(tag, element)| whole.get(tag) == Some(element)),
                    "{cut}"
                );
            }
        }
    }

    #[test]
    fn lengths_that_lie_take_no_memory_and_other_encodings_are_refused() {
        let mut bytes = file(&Items::new(), "1.2.840.10008.1.2.1");
        write_header(&mut bytes, tags::TEXT_VALUE, Vr::UT, u32::MAX - 1).unwrap();
        assert!(Reader::new(bytes.as_slice(), ALL).file().unwrap_err().contains("are due"));
        let deflated = file(&object(), "1.2.840.10008.1.2.1.99");
        assert!(Reader::new(deflated.as_slice(), ALL).file().unwrap_err().contains("1.2.840.10008.1.2.1.99"));
        let mut deep = file(&Items::new(), "1.2.840.10008.1.2.1");
        for _ in 0..100 {
            begin_sequence(&mut deep, tags::CONTENT_SEQUENCE).unwrap();
            begin_item(&mut deep).unwrap();
        }
        assert!(Reader::new(deep.as_slice(), ALL).file().unwrap_err().contains("too deep"));
    }

    #[test]
    fn implicit_kinds_are_read() {
        let mut bytes = file(&Items::new(), "1.2.840.10008.1.2");
        let mut put = |tag: Tag, value: &[u8]| {
            bytes.extend(tag.0.to_le_bytes());
            bytes.extend(tag.1.to_le_bytes());
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(value);
        };
        put(tags::MODALITY, b"SM");
        let inner = [&[0x08, 0, 0, 1, 4, 0, 0, 0][..], b"T-1 "].concat();
        let item = [&[0xfe, 0xff, 0, 0xe0][..], &(inner.len() as u32).to_le_bytes(), &inner].concat();
        put(tags::CONCEPT_NAME_CODE_SEQUENCE, &item);
        let read = Reader::new(bytes.as_slice(), ALL).file().unwrap();
        assert_eq!(read.text_of(tags::MODALITY).as_deref(), Some("SM"));
        let items = read.items_of(tags::CONCEPT_NAME_CODE_SEQUENCE);
        assert_eq!(items[0].text_of(tags::CODE_VALUE).as_deref(), Some("T-1"));
    }
}
