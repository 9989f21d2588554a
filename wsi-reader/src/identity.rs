//! A fingerprint of a slide's content, cheap on files of gigabytes.

use std::{
    fmt, io, iter,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    address::is_address,
    backend::tiff::index_bytes,
    error::{OpenError, io_error},
    folder::{dicom_series, entries},
    makers::dicom,
    open::regular_or_folder,
    source::{Source, watching_the_device},
};

/// Bytes hashed at either end of a file.
const END: u64 = 64 << 10;
/// Blocks hashed between the ends, evenly spread.
const BLOCKS: u64 = 32;
/// Bytes of one such block.
const BLOCK: u64 = 16 << 10;

/// A slide's identity by its content, not by its path: the same after copying or renaming, different for two
/// slides called `001.svs`.
///
/// It is the SHA-256 over the length of the file; its first and last 64 KiB; 32 blocks of 16 KiB evenly
/// between; and, for a TIFF, the places and sizes of all its tiles, which change whenever a tile is
/// compressed again. Files of up to 640 KiB are hashed whole. About half a megabyte is read however large the
/// file is. It is an identity, not a seal: a change of pixels that keeps every compressed size can escape it;
/// [`same_content`] tells whether two slides of one id are the same.
///
/// A DICOM slide, given as a file or as its folder, is the set of the files of
/// its series; a MIRAX slide is its file and all files of its data folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentId([u8; 32]);

impl ContentId {
    /// Returns the digest.
    #[must_use]
    pub fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// Returns the first 8 bytes as a number, for keys derived from it.
    #[must_use]
    pub fn short(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Writes 64 hexadecimal digits.
impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

/// Returns the fingerprint of the slide at a path.
///
/// # Errors
///
/// [`OpenError::NotFound`] and [`OpenError::Io`]; a folder without one DICOM
/// series is [`OpenError::NotASlide`]. The file need not be a sound slide.
pub fn content_id(path: &Path) -> Result<ContentId, OpenError> {
    Parts::at(path)?.id(Way::Sampled)
}

/// Returns a fingerprint of all bytes of the slide at a path, another number than [`content_id`]: it tells
/// apart two slides that share a [`content_id`] and are not the same. As slow as reading the files; memory
/// holds 1 MiB.
///
/// # Errors
///
/// As [`content_id`].
pub fn full_content_id(path: &Path) -> Result<ContentId, OpenError> {
    Parts::at(path)?.id(Way::Whole)
}

/// `true` if two slides hold the same bytes, all of them. Ends at the first that differs; memory holds 2 MiB.
///
/// # Errors
///
/// As [`content_id`].
pub fn same_content(one: &Path, other: &Path) -> Result<bool, OpenError> {
    match (Parts::at(one)?, Parts::at(other)?) {
        (Parts::File(one), Parts::File(other)) => same_bytes(&one, &other).map_err(io_error),
        (one @ Parts::Set(_), other @ Parts::Set(_)) => Ok(one.id(Way::Whole)? == other.id(Way::Whole)?),
        (Parts::File(_), Parts::Set(_)) | (Parts::Set(_), Parts::File(_)) => Ok(false),
    }
}

/// Returns all files that the slide at a path consists of; none if there is no slide.
#[must_use]
pub fn files_of_slide(path: &Path) -> Vec<PathBuf> {
    match Parts::at(path) {
        Ok(Parts::File(file)) => vec![file],
        Ok(Parts::Set(files)) => files,
        Err(_) => Vec::new(),
    }
}

/// The part of a file that goes into a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Length, ends, blocks between and the index of tiles.
    Sampled,
    /// Every byte.
    Whole,
}

impl Way {
    fn of_file(self, path: &Path) -> io::Result<ContentId> {
        let source = Source::open(path)?;
        match self {
            Self::Sampled => of_source(source),
            Self::Whole => of_all_bytes(&source),
        }
    }

    fn set_prefix(self) -> &'static [u8] {
        match self {
            Self::Sampled => b"slidemill content set 1",
            Self::Whole => b"slidemill full content set 1",
        }
    }
}

/// The files of one slide.
#[derive(Debug)]
pub(crate) enum Parts {
    File(PathBuf),
    /// Files whose names and order do not matter.
    Set(Vec<PathBuf>),
}

impl Parts {
    pub(crate) fn at(path: &Path) -> Result<Self, OpenError> {
        if is_address(path) {
            return Ok(Self::File(path.to_owned()));
        }
        if regular_or_folder(path)?.is_dir() {
            let mut series = dicom_series(path)?.into_values();
            return match (series.next(), series.next()) {
                (Some(files), None) => Ok(Self::Set(files)),
                _ => Err(OpenError::NotASlide {
                    found: "a folder, expected a slide file or the folder of one DICOM slide".into(),
                }),
            };
        }
        let head = Source::open(path).and_then(|source| source.head(132)).map_err(io_error)?;
        if dicom::is_dicom(&head)
            && let Some(folder) = path.parent()
        {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let mine = dicom_series(folder)?
                .into_values()
                .find(|files| files.iter().any(|file| file.file_name() == path.file_name()));
            if let Some(files) = mine {
                return Ok(Self::Set(files));
            }
        }
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mrxs"))
            && path.with_extension("").is_dir()
        {
            let mut files = entries(&path.with_extension(""))?;
            files.retain(|file| file.is_file());
            files.push(path.to_owned());
            return Ok(Self::Set(files));
        }
        Ok(Self::File(path.to_owned()))
    }

    fn id(&self, way: Way) -> Result<ContentId, OpenError> {
        let files = match self {
            Self::File(file) => return way.of_file(file).map_err(io_error),
            Self::Set(files) => files,
        };
        let parts = files.iter().map(|file| way.of_file(file)).collect::<io::Result<Vec<_>>>();
        let mut parts = parts.map_err(io_error)?;
        parts.sort_unstable();
        let mut hash = Sha256::new_with_prefix(way.set_prefix());
        for part in parts {
            hash.update(part.0);
        }
        Ok(ContentId(hash.finalize().into()))
    }
}

/// Bytes read at once of a whole file.
const CHUNK: u64 = 1 << 20;

/// Returns the places and lengths of the pieces in which a file of `len` bytes is read.
pub(crate) fn chunks(len: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..len.div_ceil(CHUNK)).map(move |chunk| (chunk * CHUNK, CHUNK.min(len - chunk * CHUNK)))
}

fn of_all_bytes(source: &Source) -> io::Result<ContentId> {
    let mut hash = Sha256::new_with_prefix(b"slidemill full content 1");
    source.will_read(chunks(source.len()).map(|(at, count)| at..at + count));
    for (at, count) in chunks(source.len()) {
        hash.update(source.bytes_at(at, count)?);
    }
    Ok(ContentId(hash.finalize().into()))
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (Source::open(one)?, Source::open(other)?);
    if one.len() != other.len() {
        return Ok(false);
    }
    for (at, count) in chunks(one.len()) {
        if one.bytes_at(at, count)? != other.bytes_at(at, count)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the places that are hashed of a file of `length` bytes: its ends, and blocks between.
fn samples(length: u64) -> impl Iterator<Item = Range<u64>> {
    let between = length - 2 * END - BLOCK;
    let blocks = (0..BLOCKS).map(move |block| {
        // In u128: a file's length times 32 may not fit 64 bits in theory.
        let at = END + (u128::from(between) * u128::from(block) / u128::from(BLOCKS - 1)) as u64;
        at..at + BLOCK
    });
    iter::once(0..END).chain(blocks).chain(iter::once(length - END..length))
}

fn of_source(source: Source) -> io::Result<ContentId> {
    let mut hash = Sha256::new_with_prefix(b"slidemill content 1");
    let length = source.len();
    hash.update(length.to_le_bytes());
    if length <= 2 * END + BLOCKS * BLOCK {
        hash.update(source.bytes_at(0, length)?);
        return Ok(ContentId(hash.finalize().into()));
    }
    source.will_read(samples(length));
    for sample in samples(length) {
        hash.update(source.bytes_at(sample.start, sample.end - sample.start)?);
    }
    // A broken TIFF still has an identity: the index then adds nothing.
    match watching_the_device(|| index_bytes(source, |part| hash.update(part))) {
        ((), Some(fault)) => Err(fault),
        ((), None) => Ok(ContentId(hash.finalize().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(bytes: Vec<u8>) -> ContentId {
        of_source(Source::Memory(bytes)).unwrap()
    }

    #[test]
    fn length_ends_and_spread_blocks_count() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let whole = id(bytes.clone());
        assert_eq!(whole, id(bytes.clone()));
        assert_ne!(whole, id(bytes[..2_999_999].to_vec()));
        for at in [0, END as usize, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_ne!(whole, id(changed), "byte {at}");
        }
        assert_eq!(whole.to_string().len(), 64);
        assert!(whole.to_string().starts_with(&format!("{:016x}", whole.short())));
        assert_ne!(id(Vec::new()), id(vec![0]));
    }

    #[test]
    fn a_flip_that_the_samples_miss_is_seen_by_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut rotten = bytes.clone();
        // Between two of the blocks that are hashed.
        rotten[END as usize + BLOCK as usize + 5000] ^= 4;
        for (name, bytes) in [("a", &bytes), ("copy", &bytes), ("rotten", &rotten)] {
            std::fs::write(at(name), bytes).unwrap();
        }
        std::fs::write(at("shorter"), &bytes[..4_999_999]).unwrap();
        assert_eq!(content_id(&at("a")).unwrap(), content_id(&at("rotten")).unwrap());
        assert!(same_content(&at("a"), &at("copy")).unwrap());
        assert_eq!(full_content_id(&at("a")).unwrap(), full_content_id(&at("copy")).unwrap());
        for other in ["rotten", "shorter"] {
            assert!(!same_content(&at("a"), &at(other)).unwrap(), "{other}");
            assert_ne!(full_content_id(&at("a")).unwrap(), full_content_id(&at(other)).unwrap(), "{other}");
        }
        assert_ne!(full_content_id(&at("a")).unwrap(), content_id(&at("a")).unwrap());
        assert!(matches!(same_content(&at("a"), &at("gone")), Err(OpenError::NotFound)));
    }

    #[test]
    fn slides_of_several_files_are_compared_as_sets() {
        let folder = tempfile::tempdir().unwrap();
        let slide = |name: &str, data: &[u8]| {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("Data.dat"), data).unwrap();
            let file = folder.path().join(format!("{name}.mrxs"));
            std::fs::write(&file, b"x").unwrap();
            file
        };
        let (one, copy, other) = (slide("a", b"12"), slide("b", b"12"), slide("c", b"13"));
        assert!(same_content(&one, &copy).unwrap() && !same_content(&one, &other).unwrap());
        let single = folder.path().join("single.svs");
        std::fs::write(&single, b"x").unwrap();
        assert!(!same_content(&one, &single).unwrap());
    }
}
