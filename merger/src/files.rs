//! The tables' files, and their errors in the words of this crate.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use whole_file::Staged;

use crate::MergeError;

/// As [`whole_file::stage`], with errors as [`MergeError`].
pub(crate) fn stage<T>(
    folder: &Path,
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, MergeError>,
) -> Result<(T, Staged), MergeError> {
    whole_file::stage(folder, path, write).map_err(|error| io_error(error, path))?
}

/// Gives a staged table its final name.
pub(crate) fn put_in_place<T>((value, staged): (T, Staged)) -> Result<T, MergeError> {
    let path = staged.path().to_owned();
    whole_file::put_in_place(vec![staged], Vec::new()).map_err(|error| io_error(error, &path))?;
    Ok(value)
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
