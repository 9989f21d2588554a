//! Zip archives of annotation files, as QuPath reads and writes them (PKWARE
//! APPNOTE 6.3, stored and deflated members).

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use flate2::{Crc, read::DeflateDecoder};

use super::{
    bytes::read_bytes,
    files::{Source, TEXTS, has_ending, image_name, malformed},
    reading::{Reading, Together},
    settings::ReadSettings,
};
use crate::{EvalError, error::Result};

const FORMAT: &str = "zip";

/// Reads every member that is an annotation file by its name. A single one is about the image named like the
/// archive; several are each about the image named like the member.
pub(super) fn read(source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let archive = fs::read(source.path)
        .map_err(|error| EvalError::Read { source: error, path: source.path.to_owned() })?;
    let members =
        members(&archive).map_err(|problem| malformed(FORMAT, "directory", problem, source.path))?;
    let wanted: Vec<&Member> = members.iter().filter(|member| member.is_wanted()).collect();
    let mut together = Together::default();
    for member in &wanted {
        let place = format!("member {}", member.name);
        let bytes =
            member.bytes(&archive).map_err(|problem| malformed(FORMAT, place, problem, source.path))?;
        let inside = source.path.join(&member.name);
        let own = if wanted.len() == 1 { source.image.clone() } else { member_image(source, member) };
        match read_bytes(bytes, &Source { path: &inside, image: own }, settings) {
            Ok(reading) => together.add(reading, &inside)?,
            // A list of slides beside the annotations, say.
            Err(EvalError::UnknownFormat { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if together.files() == 0 {
        return Err(EvalError::UnknownFormat { path: source.path.to_owned() });
    }
    Ok(together.finish())
}

/// Name of the image that a member is about: the archive stands for the folder its members lie in.
fn member_image(source: &Source<'_>, member: &Member) -> String {
    image_name(&PathBuf::from(&source.image).join(&member.name))
}

/// A file in an archive.
struct Member {
    name: String,
    deflated: bool,
    crc: u32,
    packed: usize,
    size: usize,
    /// Offset of its local header.
    header: usize,
}

impl Member {
    /// `false` for files that macOS adds.
    fn is_wanted(&self) -> bool {
        let path = Path::new(&self.name);
        let hidden = path.iter().any(|part| part.to_string_lossy().starts_with('.'));
        has_ending(path, &TEXTS) && !hidden && !self.name.starts_with("__MACOSX/")
    }

    fn bytes(&self, archive: &[u8]) -> Result<Vec<u8>, String> {
        let header = Fields::at(archive, self.header, b"PK\x03\x04")?;
        let start = self.header + 30 + usize::from(header.u16(26)?) + usize::from(header.u16(28)?);
        let packed = archive.get(start..).and_then(|rest| rest.get(..self.packed));
        let packed = packed.ok_or("the archive ends within it")?;
        let mut bytes = Vec::new();
        if self.deflated {
            // One byte more than expected, to notice members that are too long.
            let most = self.size as u64 + 1;
            DeflateDecoder::new(packed)
                .take(most)
                .read_to_end(&mut bytes)
                .map_err(|error| error.to_string())?;
        } else {
            bytes.extend_from_slice(packed);
        }
        let mut crc = Crc::new();
        crc.update(&bytes);
        if bytes.len() != self.size || crc.sum() != self.crc {
            return Err("its size or checksum is not what the archive says".to_owned());
        }
        Ok(bytes)
    }
}

/// All files that the directory at the end lists.
fn members(archive: &[u8]) -> Result<Vec<Member>, String> {
    const END: &[u8; 4] = b"PK\x05\x06";
    let end = (0..archive.len().saturating_sub(21)).rev().take(1 << 17);
    let end =
        end.into_iter().find(|&at| archive[at..].starts_with(END)).ok_or("there is no end of directory")?;
    let end = Fields::at(archive, end, END)?;
    let (count, mut at) = (end.u16(10)?, end.u32(16)? as usize);
    if count == u16::MAX || at == u32::MAX as usize {
        return Err("it is a zip64 archive, expected one below 4 GiB and 65535 files".to_owned());
    }
    let mut members = Vec::new();
    for _ in 0..count {
        let entry = Fields::at(archive, at, b"PK\x01\x02")?;
        let name_length = usize::from(entry.u16(28)?);
        let name = entry.bytes.get(46..46 + name_length).ok_or("it ends within a name")?;
        let name = String::from_utf8_lossy(name).into_owned();
        let deflated = match (entry.u16(10)?, entry.u16(8)? & 1) {
            (0, 0) => false,
            (8, 0) => true,
            (_, 1) => return Err(format!("{name} is encrypted")),
            (method, _) => return Err(format!("{name} is packed by method {method}, expected 0 or 8")),
        };
        members.push(Member {
            name,
            deflated,
            crc: entry.u32(16)?,
            packed: entry.u32(20)? as usize,
            size: entry.u32(24)? as usize,
            header: entry.u32(42)? as usize,
        });
        at += 46 + name_length + usize::from(entry.u16(30)?) + usize::from(entry.u16(32)?);
    }
    Ok(members)
}

/// Numbers at fixed places behind a signature, least byte first.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn at(archive: &'a [u8], place: usize, signature: &[u8; 4]) -> Result<Self, String> {
        let bytes = archive.get(place..).filter(|bytes| bytes.starts_with(signature));
        let bytes = bytes.ok_or_else(|| format!("there is no header at byte {place}"))?;
        Ok(Self { bytes })
    }

    fn take<const N: usize>(&self, place: usize) -> Result<[u8; N], String> {
        let bytes = self.bytes.get(place..).and_then(|bytes| bytes.first_chunk::<N>());
        bytes.copied().ok_or_else(|| "it ends within a header".to_owned())
    }

    fn u16(&self, place: usize) -> Result<u16, String> {
        self.take(place).map(u16::from_le_bytes)
    }

    fn u32(&self, place: usize) -> Result<u32, String> {
        self.take(place).map(u32::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::DeflateEncoder};

    use super::*;
    use crate::names::stem;

    /// An archive of files, every second one deflated.
    fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
        let (mut archive, mut directory) = (Vec::new(), Vec::new());
        for (place, (name, text)) in files.iter().enumerate() {
            let method = if place % 2 == 0 { 8_u16 } else { 0 };
            let packed = if method == 0 {
                text.as_bytes().to_vec()
            } else {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.finish().unwrap()
            };
            let mut crc = Crc::new();
            crc.update(text.as_bytes());
            let mut common = Vec::new();
            for field in [20_u16, 0, method, 0, 0] {
                common.extend(field.to_le_bytes());
            }
            for field in [crc.sum(), packed.len() as u32, text.len() as u32] {
                common.extend(field.to_le_bytes());
            }
            common.extend((name.len() as u16).to_le_bytes());
            common.extend(0_u16.to_le_bytes());
            let header = archive.len() as u32;
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend(header.to_le_bytes());
            directory.extend(name.as_bytes());
            archive.extend(b"PK\x03\x04");
            archive.extend(&common);
            archive.extend(name.as_bytes());
            archive.extend(packed);
        }
        let start = archive.len() as u32;
        archive.extend(&directory);
        archive.extend(b"PK\x05\x06\x00\x00\x00\x00");
        archive.extend((files.len() as u16).to_le_bytes());
        archive.extend((files.len() as u16).to_le_bytes());
        archive.extend((directory.len() as u32).to_le_bytes());
        archive.extend(start.to_le_bytes());
        archive.extend(0_u16.to_le_bytes());
        archive
    }

    fn reading(archive: &[u8]) -> Result<Reading> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slide-7.zip");
        fs::write(&path, archive).unwrap();
        super::super::read(&path, &ReadSettings::default())
    }

    const POINT: &str = r#"[{"geometry":{"type":"Point","coordinates":[1,2]}}]"#;

    #[test]
    fn the_only_member_is_about_the_image_the_archive_is_called_after() {
        let set = reading(&zipped(&[("objects.geojson", POINT), ("notes.txt", "no")])).unwrap().set;
        assert_eq!((stem(&set.images[0].name), set.objects.len()), ("slide-7", 1));
    }

    #[test]
    fn several_members_are_images_of_their_own() {
        let files = [("a.geojson", POINT), ("b.csv", "x,y\n1,2\n"), ("__MACOSX/._a.geojson", "?")];
        let set = reading(&zipped(&files)).unwrap().set;
        let names: Vec<&str> = set.images.iter().map(|image| stem(&image.name)).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_damaged_archive_is_refused_wherever_it_is_damaged() {
        let whole = zipped(&[("objects.geojson", POINT)]);
        for end in 4..whole.len() {
            assert!(reading(&whole[..end]).is_err(), "cut at {end}");
        }
        let mut wrong = whole.clone();
        // In the packed bytes.
        wrong[30 + "objects.geojson".len() + 5] ^= 0x10;
        let message = reading(&wrong).unwrap_err().to_string();
        assert!(message.contains("bad zip, member objects.geojson"), "{message}");
        assert!(matches!(reading(&zipped(&[("a.txt", "x")])), Err(EvalError::UnknownFormat { .. })));
    }
}
