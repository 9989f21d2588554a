//! Zip archives (APPNOTE 6.3), as much of them as annotation files need: members deflated or stored, of any number, in
//! archives of any size.
//!
//! Members are packed on many threads and copied into place; a library that packs as it writes has no use for them.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    path::Path,
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Names are UTF-8.
const UTF8: u16 = 1 << 11;
const ENCRYPTED: u16 = 1;
/// The first of January 1980: the same archive every time.
const NO_DATE: u16 = (1 << 5) | 1;
/// What stands in a field of 32 bits for a number that has its own place.
const ELSEWHERE: u32 = u32::MAX;

/// A file of an archive, packed.
pub(crate) struct Packed {
    name: String,
    crc: u32,
    size: u32,
    bytes: Vec<u8>,
}

impl Packed {
    /// Packs what follows each other in `parts` as one file, below 4 GB.
    pub(crate) fn new(name: &str, parts: &[&[u8]], effort: u32) -> io::Result<Self> {
        let mut crc = crc32fast::Hasher::new();
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(effort));
        let mut size = 0;
        for part in parts {
            crc.update(part);
            encoder.write_all(part)?;
            size += part.len();
        }
        let size = u32::try_from(size).map_err(io::Error::other)?;
        Ok(Self { name: name.to_owned(), crc: crc.finalize(), size, bytes: encoder.finish()? })
    }

    /// What the local and the central header have in common.
    fn header(&self) -> io::Result<Vec<u8>> {
        const VERSION: u16 = 20;
        let packed = u32::try_from(self.bytes.len()).map_err(io::Error::other)?;
        let mut header = Vec::new();
        [VERSION, UTF8, DEFLATED, 0, NO_DATE].iter().for_each(|field| header.extend(field.to_le_bytes()));
        [self.crc, packed, self.size].iter().for_each(|field| header.extend(field.to_le_bytes()));
        header.extend((self.name.len() as u16).to_le_bytes());
        Ok(header)
    }
}

/// An archive that is written member by member.
pub(crate) struct Writer<W> {
    out: W,
    at: u64,
    directory: Vec<u8>,
    members: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, at: 0, directory: Vec::new(), members: 0 }
    }

    pub(crate) fn add(&mut self, member: &Packed) -> io::Result<()> {
        const VERSION_WITH_64: u16 = 45;
        let (header, name) = (member.header()?, member.name.as_bytes());
        let local = [&LOCAL[..], &header, &[0; 2], name].concat();
        let offset = u32::try_from(self.at).unwrap_or(ELSEWHERE);
        let extra = if offset == ELSEWHERE { offset64(self.at) } else { Vec::new() };
        self.directory.extend(CENTRAL);
        self.directory.extend(VERSION_WITH_64.to_le_bytes());
        self.directory.extend(header);
        self.directory.extend((extra.len() as u16).to_le_bytes());
        // No comment, the first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend_from_slice(name);
        self.directory.extend(extra);
        self.members += 1;
        self.put(&local)?;
        self.put(&member.bytes)
    }

    /// Writes what is where.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let (start, size) = (self.at, self.directory.len() as u64);
        let directory = std::mem::take(&mut self.directory);
        self.put(&directory)?;
        let few = u16::try_from(self.members).ok().filter(|&few| few < u16::MAX);
        let (near, short) = (u32::try_from(start), u32::try_from(size));
        let fits = few.is_some() && near.is_ok() && short.is_ok();
        if !fits {
            let end64 = self.end64(start, size);
            self.put(&end64)?;
        }
        let mut end = [&END[..], &[0; 4]].concat();
        let members = few.filter(|_| fits).unwrap_or(u16::MAX);
        end.extend([members.to_le_bytes(), members.to_le_bytes()].concat());
        end.extend(short.ok().filter(|_| fits).unwrap_or(ELSEWHERE).to_le_bytes());
        end.extend(near.ok().filter(|_| fits).unwrap_or(ELSEWHERE).to_le_bytes());
        end.extend([0; 2]);
        self.put(&end)?;
        self.out.flush()
    }

    fn end64(&self, start: u64, size: u64) -> Vec<u8> {
        const BYTES_AFTER: u64 = 44;
        let mut end = END64.to_vec();
        end.extend(BYTES_AFTER.to_le_bytes());
        end.extend([45_u16.to_le_bytes(), 45_u16.to_le_bytes()].concat());
        end.extend([0; 8]);
        [self.members, self.members, size, start].iter().for_each(|field| end.extend(field.to_le_bytes()));
        end.extend(LOCATOR64);
        end.extend([0; 4]);
        end.extend(self.at.to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// The extra field that holds an offset beyond 32 bits.
fn offset64(offset: u64) -> Vec<u8> {
    [&[1, 0, 8, 0][..], &offset.to_le_bytes()].concat()
}

/// A file of an archive that is read.
pub(crate) struct Entry {
    pub(crate) name: String,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
}

/// An archive that is read; errors say what is wrong.
pub(crate) struct Archive {
    file: File,
    pub(crate) entries: Vec<Entry>,
}

impl Archive {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let entries = entries(&mut file)?;
        Ok(Self { file, entries })
    }

    /// The content of a file, checked against its checksum.
    pub(crate) fn read(&mut self, place: usize) -> io::Result<Vec<u8>> {
        let Entry { flags, method, crc, packed, size, offset, .. } = &self.entries[place];
        if flags & ENCRYPTED != 0 {
            return Err(broken("it is encrypted"));
        }
        self.file.seek(SeekFrom::Start(*offset))?;
        let mut header = [0; 30];
        self.file.read_exact(&mut header)?;
        if header[..4] != LOCAL {
            return Err(broken("it is not where the archive says"));
        }
        let skipped = i64::from(u16_at(&header, 26)) + i64::from(u16_at(&header, 28));
        self.file.seek(SeekFrom::Current(skipped))?;
        let input = (&self.file).take(*packed);
        let mut content = Vec::new();
        // One byte more than there should be tells a size that lies, without unpacking a bomb.
        match *method {
            STORED => input.take(size + 1).read_to_end(&mut content)?,
            DEFLATED => {
                DeflateDecoder::new(io::BufReader::new(input)).take(size + 1).read_to_end(&mut content)?
            }
            other => return Err(broken(&format!("it is packed by method {other}, expected 0 or 8"))),
        };
        if content.len() as u64 != *size || crc32fast::hash(&content) != *crc {
            return Err(broken("its content is damaged"));
        }
        Ok(content)
    }
}

fn broken(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.to_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What the directory at the end says.
fn entries(file: &mut File) -> io::Result<Vec<Entry>> {
    const END_BYTES: usize = 22;
    const LOCATOR_BYTES: usize = 20;
    const LONGEST_COMMENT: u64 = u16::MAX as u64;
    let length = file.seek(SeekFrom::End(0))?;
    let tail_at = length.saturating_sub(LONGEST_COMMENT + (END_BYTES + LOCATOR_BYTES) as u64);
    file.seek(SeekFrom::Start(tail_at))?;
    let mut tail = Vec::new();
    (&*file).take(length - tail_at).read_to_end(&mut tail)?;
    let last = tail.len().checked_sub(END_BYTES).ok_or_else(|| broken("it is too short for an archive"))?;
    let end = (0..=last).rev().find(|&at| tail[at..].starts_with(&END));
    let end = end.ok_or_else(|| broken("it has no directory: it may have been cut"))?;
    let (mut count, mut size, mut start) = (
        u64::from(u16_at(&tail, end + 10)),
        u64::from(u32_at(&tail, end + 12)),
        u64::from(u32_at(&tail, end + 16)),
    );
    let locator = end.checked_sub(LOCATOR_BYTES).filter(|&at| tail[at..].starts_with(&LOCATOR64));
    if let Some(locator) = locator {
        file.seek(SeekFrom::Start(u64_at(&tail, locator + 8)))?;
        let mut end64 = [0; 56];
        file.read_exact(&mut end64)?;
        if end64[..4] != END64 {
            return Err(broken("its directory is not where it says"));
        }
        (count, size, start) = (u64_at(&end64, 32), u64_at(&end64, 40), u64_at(&end64, 48));
    }
    file.seek(SeekFrom::Start(start))?;
    let mut directory = Vec::new();
    (&*file).take(size).read_to_end(&mut directory)?;
    let mut rest = directory.as_slice();
    (0..count).map(|_| entry(&mut rest)).collect()
}

fn entry(rest: &mut &[u8]) -> io::Result<Entry> {
    const FIXED: usize = 46;
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(rest, at)));
    let whole = FIXED + name + extra + comment;
    if !rest.starts_with(&CENTRAL) || rest.len() < whole {
        return Err(broken("its directory is damaged"));
    }
    let (own, after) = rest.split_at(whole);
    *rest = after;
    let mut entry = Entry {
        name: String::from_utf8_lossy(&own[FIXED..FIXED + name]).into_owned(),
        flags: u16_at(own, 8),
        method: u16_at(own, 10),
        crc: u32_at(own, 16),
        packed: u64::from(u32_at(own, 20)),
        size: u64::from(u32_at(own, 24)),
        offset: u64::from(u32_at(own, 42)),
    };
    let mut fields = &own[FIXED + name..FIXED + name + extra];
    while fields.len() >= 4 {
        let (kind, length) = (u16_at(fields, 0), usize::from(u16_at(fields, 2)));
        let value = fields.get(4..4 + length).ok_or_else(|| broken("its directory is damaged"))?;
        if kind == 1 {
            entry.take_64(value);
        }
        fields = &fields[4 + length..];
    }
    Ok(entry)
}

impl Entry {
    /// Numbers beyond 32 bits, those that are, in this order.
    fn take_64(&mut self, mut value: &[u8]) {
        for field in [&mut self.size, &mut self.packed, &mut self.offset] {
            if *field == u64::from(ELSEWHERE) && value.len() >= 8 {
                *field = u64_at(value, 0);
                value = &value[8..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &[u8])], first_at: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut handle = file.as_file();
        handle.seek(SeekFrom::Start(first_at)).unwrap();
        let mut writer = Writer::new(handle);
        writer.at = first_at;
        for (name, content) in members {
            let (start, end) = content.split_at(content.len() / 2);
            writer.add(&Packed::new(name, &[start, end], 3).unwrap()).unwrap();
        }
        writer.finish().unwrap();
        file
    }

    #[test]
    fn members_come_back_and_damage_is_seen() {
        let file = archive(&[("a.geojson", b"[1, 2, 3]"), ("ä/b.json", &[b'x'; 5000]), ("empty", b"")], 0);
        let mut read = Archive::open(file.path()).unwrap();
        let names: Vec<&str> = read.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a.geojson", "ä/b.json", "empty"]);
        assert_eq!(read.read(0).unwrap(), b"[1, 2, 3]");
        assert_eq!(read.read(1).unwrap(), [b'x'; 5000]);
        assert_eq!(read.read(2).unwrap(), b"");
        let mut bytes = std::fs::read(file.path()).unwrap();
        bytes[40] ^= 0x55;
        std::fs::write(file.path(), &bytes).unwrap();
        assert!(Archive::open(file.path()).unwrap().read(0).is_err());
        for cut in [0, 10, bytes.len() - 1, bytes.len() - 30] {
            std::fs::write(file.path(), &bytes[..cut]).unwrap();
            assert!(Archive::open(file.path()).is_err(), "cut at {cut}");
        }
    }

    /// A file with a hole, so that nothing of it is on the disk.
    #[test]
    fn beyond_four_gigabytes_offsets_have_a_place_of_their_own() {
        let file = archive(&[("late.json", b"{}"), ("later.json", b"[]")], u64::from(u32::MAX) - 40);
        let mut read = Archive::open(file.path()).unwrap();
        assert_eq!(read.read(0).unwrap(), b"{}");
        assert_eq!(read.read(1).unwrap(), b"[]");
    }

    #[test]
    fn more_members_than_a_short_number_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::new(file.as_file());
        let member = Packed::new("same", &[b"x"], 3).unwrap();
        for _ in 0..70_000 {
            writer.add(&member).unwrap();
        }
        writer.finish().unwrap();
        let mut read = Archive::open(file.path()).unwrap();
        assert_eq!(read.entries.len(), 70_000);
        assert_eq!(read.read(69_999).unwrap(), b"x");
    }
}
