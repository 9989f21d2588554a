//! Files of an export: whole or not at all, and what is kept on the disk on the way.

use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
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
    pub(crate) fn pour(self, out: &mut impl io::Write) -> io::Result<()> {
        io::copy(&mut self.into_file()?, out).map(drop)
    }

    /// All of it, to be read from its beginning.
    fn into_file(self) -> io::Result<File> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    }
}

/// Columns of numbers with gaps that grow block by block and are read one by one, kept on the disk.
pub(crate) struct ColumnSpool {
    spool: Spool,
    /// Rows of each block.
    blocks: Vec<usize>,
    /// Numbers of each column that are not missing.
    known: Vec<u32>,
}

impl ColumnSpool {
    /// `columns` empty ones, on the file system of `path`.
    pub(crate) fn beside(path: &Path, columns: usize) -> Result<Self> {
        Ok(Self { spool: Spool::beside(path)?, blocks: Vec::new(), known: vec![0; columns] })
    }

    /// Adds rows: for each column as many numbers as for the others, NaN for those that are missing.
    pub(crate) fn push(&mut self, block: &[Vec<f32>]) -> Result<()> {
        for (values, known) in block.iter().zip(&mut self.known) {
            *known += values.iter().filter(|value| !value.is_nan()).count() as u32;
            self.spool.push(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;
        }
        self.blocks.push(block.first().map_or(0, Vec::len));
        Ok(())
    }

    /// No more rows.
    pub(crate) fn finish(self) -> io::Result<Columns> {
        Ok(Columns { file: self.spool.into_file()?, blocks: self.blocks, known: self.known })
    }
}

/// Columns of a [`ColumnSpool`] that are whole.
pub(crate) struct Columns {
    file: File,
    blocks: Vec<usize>,
    known: Vec<u32>,
}

impl Columns {
    /// Numbers of a column that are not missing.
    pub(crate) fn known(&self, column: usize) -> u32 {
        self.known[column]
    }

    /// Passes row and number of each of them to `each`.
    pub(crate) fn for_each_known(
        &mut self,
        column: usize,
        mut each: impl FnMut(u32, f32) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut row, mut block_at) = (0, 0);
        for &rows in &self.blocks {
            let column_bytes = rows * size_of::<f32>();
            let mut bytes = vec![0; column_bytes];
            self.file.seek(SeekFrom::Start(block_at + (column * column_bytes) as u64))?;
            self.file.read_exact(&mut bytes)?;
            for number in bytes.as_chunks().0 {
                let value = f32::from_le_bytes(*number);
                if !value.is_nan() {
                    each(row, value)?;
                }
                row += 1;
            }
            block_at += (self.known.len() * column_bytes) as u64;
        }
        Ok(())
    }
}

/// Bytes of a file, or of all files of a folder.
pub(crate) fn bytes_at(path: &Path) -> io::Result<u64> {
    let about = std::fs::metadata(path)?;
    if !about.is_dir() {
        return Ok(about.len());
    }
    std::fs::read_dir(path)?.map(|entry| bytes_at(&entry?.path())).sum()
}
