//! A fingerprint of a slide's content, cheap on files of gigabytes.

use std::{fmt, io, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    backend::tiff::index_bytes,
    folder::{dicom_series, entries},
    makers::dicom,
    open::{OpenError, io_error},
    source::Source,
};

/// Bytes hashed at either end of a file.
const END: u64 = 64 << 10;
/// Blocks hashed between the ends, evenly spread.
const BLOCKS: u64 = 32;
/// Bytes of one such block.
const BLOCK: u64 = 16 << 10;

/// Names a slide by what it holds, not by where it lies: the same after copying
/// or renaming, different for two slides called `001.svs`.
///
/// SHA-256 over the length of the file; its first and last 64 KiB; 32 blocks of
/// 16 KiB evenly between; and, for a TIFF, the places and sizes of all its tiles,
/// which change whenever a tile is compressed anew. Files of up to 640 KiB are
/// hashed whole. About half a megabyte is read however large the file is. It is
/// an identity, not a seal: a change of pixels that keeps every compressed size
/// can escape it.
///
/// A DICOM slide, given as a file or as its folder, is the set of the files of
/// its series; a MIRAX slide is its file and all files of its data folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentId([u8; 32]);

impl ContentId {
    /// The digest.
    #[must_use]
    pub fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// The first 8 bytes as a number, for keys derived from it.
    #[must_use]
    pub fn short(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// 64 hexadecimal digits.
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

/// The fingerprint of the slide at a path.
///
/// # Errors
///
/// [`OpenError::NotFound`] and [`OpenError::Io`]; a folder without one DICOM
/// series is [`OpenError::NotASlide`]. The file need not be a sound slide.
pub fn content_id(path: &Path) -> Result<ContentId, OpenError> {
    if std::fs::metadata(path).map_err(io_error)?.is_dir() {
        let mut series = dicom_series(path)?.into_values();
        return match (series.next(), series.next()) {
            (Some(files), None) => of_set(&files),
            _ => Err(OpenError::NotASlide {
                found: "a folder, expected a slide file or the folder of one DICOM slide".into(),
            }),
        };
    }
    let source = Source::open(path).map_err(io_error)?;
    let head = source.head(132).map_err(io_error)?;
    if dicom::is_dicom(&head)
        && let Some(folder) = path.parent()
    {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mine = dicom_series(folder)?
            .into_values()
            .find(|files| files.iter().any(|file| file.file_name() == path.file_name()));
        if let Some(files) = mine {
            return of_set(&files);
        }
    }
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mrxs")) && path.with_extension("").is_dir() {
        let mut files = entries(&path.with_extension(""))?;
        files.retain(|file| file.is_file());
        files.push(path.to_owned());
        return of_set(&files);
    }
    of_source(source).map_err(io_error)
}

/// The fingerprint of several files, whatever their names and order.
fn of_set(files: &[impl AsRef<Path>]) -> Result<ContentId, OpenError> {
    let mut parts = files
        .iter()
        .map(|file| of_source(Source::open(file.as_ref())?))
        .collect::<io::Result<Vec<_>>>()
        .map_err(io_error)?;
    parts.sort_unstable();
    let mut hash = Sha256::new_with_prefix(b"slidemill content set 1");
    for part in parts {
        hash.update(part.0);
    }
    Ok(ContentId(hash.finalize().into()))
}

fn of_source(source: Source) -> io::Result<ContentId> {
    let mut hash = Sha256::new_with_prefix(b"slidemill content 1");
    let length = source.len();
    hash.update(length.to_le_bytes());
    if length <= 2 * END + BLOCKS * BLOCK {
        hash.update(source.bytes_at(0, length)?);
        return Ok(ContentId(hash.finalize().into()));
    }
    hash.update(source.bytes_at(0, END)?);
    let between = length - 2 * END - BLOCK;
    for block in 0..BLOCKS {
        // In u128: a file's length times 32 may not fit 64 bits on paper.
        let at = END + (u128::from(between) * u128::from(block) / u128::from(BLOCKS - 1)) as u64;
        hash.update(source.bytes_at(at, BLOCK)?);
    }
    hash.update(source.bytes_at(length - END, END)?);
    // A broken TIFF still has an identity: then the index adds nothing.
    index_bytes(source, |part| hash.update(part));
    Ok(ContentId(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
}
