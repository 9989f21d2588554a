//! The tables' files, and their errors in the words of this crate.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use crate::MergeError;

/// [`whole_file::write`], with [`MergeError`] for what went wrong.
pub(crate) fn write_whole<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, MergeError>,
) -> Result<T, MergeError> {
    whole_file::write(path, write).map_err(|error| io_error(error, path))?
}

pub(crate) fn io_error(source: io::Error, path: &Path) -> MergeError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => MergeError::DiskFull { path },
        _ => MergeError::Io { source, path },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_so() {
        let message = io_error(io::ErrorKind::StorageFull.into(), Path::new("x.parquet")).to_string();
        assert_eq!(message, "cannot write the table, the disk is full: x.parquet");
    }
}
