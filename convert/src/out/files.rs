//! Files of an export: whole or not at all, and what is kept on the disk on the way.

use std::{
    fs::File,
    io::{BufWriter, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use crate::error::{Result, unwritable};

/// Writes a whole file, or none.
pub(crate) fn write_file<T>(
    path: &Path,
    what: &'static str,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T>,
) -> Result<T> {
    whole_file::write(path, write).map_err(unwritable(what, path))?
}

/// Bytes that are wanted later than they come, kept on the disk beside the output.
pub(crate) struct Spool {
    file: BufWriter<File>,
    bytes: u64,
    path: PathBuf,
}

impl Spool {
    /// An empty one, on the file system of `path`.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(whole_file::folder_of(path))
            .map_err(unwritable("a temporary file", path))?;
        Ok(Self { file: BufWriter::new(file), bytes: 0, path: path.to_owned() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(unwritable("a temporary file", &self.path))
    }

    /// Copies all of it to `out`.
    pub(crate) fn pour(self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        let mut file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        std::io::copy(&mut file, out).map(drop)
    }
}

/// Bytes of a file, or of all files of a folder.
pub(crate) fn size_of(path: &Path) -> std::io::Result<u64> {
    let about = std::fs::metadata(path)?;
    if !about.is_dir() {
        return Ok(about.len());
    }
    std::fs::read_dir(path)?.map(|entry| size_of(&entry?.path())).sum()
}
