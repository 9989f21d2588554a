//! The structure of a TIFF file: header, chain of directories, values of tags.
//!
//! Classic TIFF (TIFF 6.0, section 2) and BigTIFF, both byte orders. Made for
//! hostile files: every count is checked against a limit and against the length
//! of the file before anything is allocated, and no directory is read twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// Largest number of directories read from one file, SubIFDs included. A pyramid has tens; a z-stack, which
/// we do not read, has some thousands.
pub(crate) const MAX_DIRECTORIES: usize = 1024;
/// Largest number of entries in one directory. The standard knows some hundred tags.
const MAX_ENTRIES: u64 = 4096;
/// Largest size of one tag's value in bytes: an index of 8 million tiles, or a long OME-XML.
const MAX_VALUE_BYTES: u64 = 64 << 20;

/// A fault in the structure of the file. The text states what was found and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

pub(crate) type Result<T> = std::result::Result<T, Broken>;

fn broken<T>(what: impl Into<String>) -> Result<T> {
    Err(Broken(what.into()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteOrder {
    Little,
    Big,
}

/// A file whose header is that of a TIFF.
#[derive(Debug)]
pub(crate) struct TiffFile {
    pub(crate) source: Source,
    order: ByteOrder,
    /// BigTIFF: 8-byte offsets and counts.
    big: bool,
    first: u64,
}

/// One image file directory: its tags and the places of their values.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// Its place in the file.
    pub(crate) offset: u64,
    entries: BTreeMap<u16, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: u16,
    count: u64,
    /// Place of the value's first byte in the file.
    at: u64,
}

/// Returns the bytes of one value of a TIFF field type; `None` for types that no standard defines.
fn width_of(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

/// `true` if a file that starts with `head` claims to be a TIFF.
pub(crate) fn looks_like_tiff(head: &[u8]) -> bool {
    matches!(head.get(..4), Some(b"II\x2a\0" | b"MM\0\x2a" | b"II\x2b\0" | b"MM\0\x2b"))
}

impl TiffFile {
    /// Reads the header: byte order, classic or BigTIFF, place of the first
    /// directory.
    pub(crate) fn new(source: Source) -> Result<Self> {
        let head = source.head(16).map_err(|e| Broken(format!("cannot read the header: {e}")))?;
        let order = match head.get(..2) {
            Some(b"II") => ByteOrder::Little,
            Some(b"MM") => ByteOrder::Big,
            _ => return broken("the file does not start with a TIFF header"),
        };
        let mut file = Self { source, order, big: false, first: 0 };
        file.big = match file.u16_in(&head, 2) {
            Some(42) => false,
            Some(43) => true,
            other => return broken(format!("the TIFF version is {other:?}, expected 42 or 43")),
        };
        if file.big && (file.u16_in(&head, 4), file.u16_in(&head, 6)) != (Some(8), Some(0)) {
            return broken("the BigTIFF header does not say 8-byte offsets");
        }
        let first = if file.big { file.u64_in(&head, 8) } else { file.u32_in(&head, 4).map(u64::from) };
        file.first = match first {
            Some(offset) if offset != 0 => offset,
            _ => return broken("the TIFF header ends before the place of its first directory"),
        };
        Ok(file)
    }

    /// The first directory alone.
    pub(crate) fn first_directory(&self) -> Result<Directory> {
        self.directory(self.first).map(|(directory, _)| directory)
    }

    /// The chain of directories that starts in the header.
    pub(crate) fn directories(&self) -> Result<Vec<Directory>> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = self.first;
        while next != 0 {
            if !seen.insert(next) {
                return broken(format!("directory {} leads back to an earlier one", found.len()));
            }
            if found.len() == MAX_DIRECTORIES {
                return broken(format!("the file has more than {MAX_DIRECTORIES} directories"));
            }
            let (directory, following) =
                self.directory(next).map_err(|e| Broken(format!("directory {}: {}", found.len(), e.0)))?;
            found.push(directory);
            next = following;
        }
        Ok(found)
    }

    /// Returns the first directory of an NDPI file of more than 4 GiB, which is not a sound TIFF: all offsets
    /// have 4 bytes except the first, which has 8.
    pub(crate) fn first_beyond_4_gib(&self) -> Option<Directory> {
        if self.big || self.source.len() <= u64::from(u32::MAX) {
            return None;
        }
        let head = self.source.bytes_at(4, 8).ok()?;
        let (directory, _) = self.directory(self.u64_in(&head, 0)?).ok()?;
        Some(directory)
    }

    /// Reads the directories that a `SubIFDs` tag (330) names.
    pub(crate) fn sub_directories(&self, parent: &Directory) -> Result<Vec<Directory>> {
        let Some(offsets) = self.unsigned(parent, 330)? else { return Ok(Vec::new()) };
        if offsets.len() > MAX_DIRECTORIES {
            return broken(format!(
                "SubIFDs name {} directories, at most {MAX_DIRECTORIES} are read",
                offsets.len()
            ));
        }
        let distinct: BTreeSet<u64> = offsets.iter().copied().collect();
        if distinct.len() != offsets.len() || distinct.contains(&parent.offset) {
            return broken("SubIFDs name a directory twice");
        }
        offsets.into_iter().map(|offset| self.directory(offset).map(|(directory, _)| directory)).collect()
    }

    /// Reads one directory; also returns the place of the next in the chain, 0 at its end.
    fn directory(&self, offset: u64) -> Result<(Directory, u64)> {
        let (count_bytes, entry_bytes, next_bytes) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let head = self.source.bytes_at(offset, count_bytes).map_err(|_| {
            Broken(format!("it should stand at byte {offset}, but the file ends at {}", self.source.len()))
        })?;
        let count = if self.big { self.u64_in(&head, 0) } else { self.u16_in(&head, 0).map(u64::from) };
        let count = count.unwrap_or(0);
        if count == 0 || count > MAX_ENTRIES {
            return broken(format!("it claims {count} tags, expected 1 to {MAX_ENTRIES}"));
        }
        let table = self
            .source
            .bytes_at(offset + count_bytes, count * entry_bytes)
            .map_err(|_| Broken(format!("its {count} tags reach past the end of the file")))?;
        let mut entries = BTreeMap::new();
        for index in 0..count {
            let place = (index * entry_bytes) as usize;
            let raw = &table[place..place + entry_bytes as usize];
            let here = offset + count_bytes + index * entry_bytes;
            if let Some((tag, entry)) = self.entry(raw, here) {
                // Of a tag given twice, libtiff keeps the first; so do we.
                entries.entry(tag).or_insert(entry);
            }
        }
        // Some writers leave out the final 0 at the end of the file.
        let next =
            self.source.bytes_at(offset + count_bytes + count * entry_bytes, next_bytes).ok().and_then(
                |raw| if self.big { self.u64_in(&raw, 0) } else { self.u32_in(&raw, 0).map(u64::from) },
            );
        Ok((Directory { offset, entries }, next.unwrap_or(0)))
    }

    /// Reads one table row; `None` if its type is unknown, which TIFF 6.0 says to skip.
    fn entry(&self, raw: &[u8], here: u64) -> Option<(u16, Entry)> {
        let tag = self.u16_in(raw, 0)?;
        let kind = self.u16_in(raw, 2)?;
        let (count, inline_at, inline_bytes) =
            if self.big { (self.u64_in(raw, 4)?, 12, 8) } else { (u64::from(self.u32_in(raw, 4)?), 8, 4) };
        let bytes = width_of(kind)?.checked_mul(count)?;
        let at = if bytes <= inline_bytes {
            here + inline_at
        } else if self.big {
            self.u64_in(raw, 12)?
        } else {
            u64::from(self.u32_in(raw, 8)?)
        };
        Some((tag, Entry { kind, count, at }))
    }

    /// The raw bytes of a tag's value.
    fn raw(&self, tag: u16, entry: Entry) -> Result<Vec<u8>> {
        let width = width_of(entry.kind).unwrap_or(1);
        let bytes = width.saturating_mul(entry.count);
        if bytes > MAX_VALUE_BYTES {
            return broken(format!("tag {tag} claims {bytes} bytes, at most {MAX_VALUE_BYTES} are read"));
        }
        self.source.bytes_at(entry.at, bytes).map_err(|_| {
            Broken(format!("tag {tag} claims {bytes} bytes at {}, past the end of the file", entry.at))
        })
    }

    /// Whole numbers of a tag (BYTE, SHORT, LONG, IFD, LONG8, IFD8).
    pub(crate) fn unsigned(&self, directory: &Directory, tag: u16) -> Result<Option<Vec<u64>>> {
        let Some(&entry) = directory.entries.get(&tag) else { return Ok(None) };
        let raw = self.raw(tag, entry)?;
        let values = match entry.kind {
            1 | 7 => raw.iter().map(|&b| u64::from(b)).collect(),
            3 => raw.chunks_exact(2).filter_map(|c| self.u16_in(c, 0)).map(u64::from).collect(),
            4 | 13 => raw.chunks_exact(4).filter_map(|c| self.u32_in(c, 0)).map(u64::from).collect(),
            16 | 18 => raw.chunks_exact(8).filter_map(|c| self.u64_in(c, 0)).collect(),
            kind => return broken(format!("tag {tag} has field type {kind}, expected a whole number")),
        };
        Ok(Some(values))
    }

    /// The first whole number of a tag.
    pub(crate) fn first(&self, directory: &Directory, tag: u16) -> Result<Option<u64>> {
        Ok(self.unsigned(directory, tag)?.and_then(|values| values.first().copied()))
    }

    /// The first whole number of a tag, where it must fit 32 bits.
    pub(crate) fn first_u32(&self, directory: &Directory, tag: u16) -> Result<Option<u32>> {
        match self.first(directory, tag)? {
            None => Ok(None),
            Some(value) => match u32::try_from(value) {
                Ok(value) => Ok(Some(value)),
                Err(_) => broken(format!("tag {tag} is {value}, expected less than 2^32")),
            },
        }
    }

    /// A RATIONAL, FLOAT or DOUBLE; `None` when absent or divided by zero.
    pub(crate) fn real(&self, directory: &Directory, tag: u16) -> Result<Option<f64>> {
        let Some(&entry) = directory.entries.get(&tag) else { return Ok(None) };
        if entry.count == 0 {
            return Ok(None);
        }
        let raw = self.raw(tag, Entry { count: 1, ..entry })?;
        let value = match entry.kind {
            5 => self.u32_in(&raw, 0).zip(self.u32_in(&raw, 4)).map(|(n, d)| f64::from(n) / f64::from(d)),
            11 => self.u32_in(&raw, 0).map(|bits| f64::from(f32::from_bits(bits))),
            12 => self.u64_in(&raw, 0).map(f64::from_bits),
            _ => self.first(directory, tag)?.map(|value| value as f64),
        };
        Ok(value.filter(|value| value.is_finite()))
    }

    /// Text up to its first NUL; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self, directory: &Directory, tag: u16) -> Result<Option<String>> {
        Ok(self.bytes(directory, tag)?.map(|raw| {
            let end = raw.iter().position(|&b| b == 0).unwrap_or(raw.len());
            String::from_utf8_lossy(&raw[..end]).into_owned()
        }))
    }

    /// The value as bytes, whatever its type.
    pub(crate) fn bytes(&self, directory: &Directory, tag: u16) -> Result<Option<Vec<u8>>> {
        directory.entries.get(&tag).map(|&entry| self.raw(tag, entry)).transpose()
    }

    /// Bytes of a tag's value, without reading it.
    pub(crate) fn byte_len(&self, directory: &Directory, tag: u16) -> Option<u64> {
        directory.entries.get(&tag).and_then(|e| width_of(e.kind)?.checked_mul(e.count))
    }

    fn array_in<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
        bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16_in(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw = Self::array_in(bytes, at)?;
        Some(if self.order == ByteOrder::Little { u16::from_le_bytes(raw) } else { u16::from_be_bytes(raw) })
    }

    fn u32_in(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw = Self::array_in(bytes, at)?;
        Some(if self.order == ByteOrder::Little { u32::from_le_bytes(raw) } else { u32::from_be_bytes(raw) })
    }

    fn u64_in(&self, bytes: &[u8], at: usize) -> Option<u64> {
        let raw = Self::array_in(bytes, at)?;
        Some(if self.order == ByteOrder::Little { u64::from_le_bytes(raw) } else { u64::from_be_bytes(raw) })
    }

    /// `true` if samples of more than a byte are stored most significant byte first.
    pub(crate) fn is_big_endian(&self) -> bool {
        self.order == ByteOrder::Big
    }
}

impl Directory {
    /// `true` if the directory has the tag.
    pub(crate) fn has(&self, tag: u16) -> bool {
        self.entries.contains_key(&tag)
    }
}
