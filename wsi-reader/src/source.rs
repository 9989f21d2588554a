//! Bytes of a file at a place: positioned reads, so that any number of threads
//! read at once without a lock or a shared seek.

use std::{fs::File, io, path::Path};

/// Where bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file and its length when it was opened.
    File { file: File, len: u64 },
    /// Bytes in memory: tests and fuzzing.
    Memory(Vec<u8>),
}

impl Source {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // A pipe would block until somebody writes to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self::File { file, len })
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Whether `count` bytes lie at `offset`.
    pub(crate) fn holds(&self, offset: u64, count: u64) -> bool {
        offset.checked_add(count).is_some_and(|end| end <= self.len())
    }

    /// Fills `out` from `offset`; an error when the file ends before.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if !self.holds(offset, out.len() as u64) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self {
            Self::File { file, .. } => read_exact_at(file, offset, out),
            Self::Memory(bytes) => {
                let start = offset as usize;
                out.copy_from_slice(&bytes[start..start + out.len()]);
                Ok(())
            }
        }
    }

    /// The bytes at `offset`. Nothing is allocated before the file is known to
    /// hold them.
    pub(crate) fn bytes_at(&self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        if !self.holds(offset, count) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; count as usize];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The first bytes, at most `count`.
    pub(crate) fn head(&self, count: u64) -> io::Result<Vec<u8>> {
        self.bytes_at(0, count.min(self.len()))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, out, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += read as u64;
        out = &mut out[read..];
    }
    Ok(())
}
