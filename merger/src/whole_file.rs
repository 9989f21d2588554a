//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::MergeError;

/// Writes `path` by way of a temporary name in the same folder: `write` fills
/// it, then it is flushed to the disk and renamed. A file of that name is
/// replaced in one step; on any failure it stays as it was and the temporary
/// one is removed.
///
/// # Errors
///
/// [`MergeError::DiskFull`] or [`MergeError::Io`], or whatever `write` says.
pub fn write_whole<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, MergeError>,
) -> Result<T, MergeError> {
    let temporary = Temporary::create(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, temporary.open(path)?);
    let value = write(&mut out)?;
    let file = out.into_inner().map_err(|error| io_error("write", error.into_error(), path))?;
    file.sync_all().map_err(|error| io_error("write", error, path))?;
    drop(file);
    temporary.rename(path)?;
    Ok(value)
}

/// A name that is removed unless it was given its final one.
struct Temporary {
    name: PathBuf,
    kept: bool,
}

impl Temporary {
    fn create(path: &Path) -> Result<Self, MergeError> {
        let file_name = path
            .file_name()
            .ok_or_else(|| io_error("create", io::Error::from(io::ErrorKind::InvalidInput), path))?;
        let mut name = OsString::from(".");
        name.push(file_name);
        // The process id keeps two runs that write one slide apart.
        name.push(format!(".{}.tmp", std::process::id()));
        Ok(Self { name: path.with_file_name(name), kept: false })
    }

    fn open(&self, path: &Path) -> Result<File, MergeError> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&self.name)
            .map_err(|error| io_error("create", error, path))
    }

    fn rename(mut self, path: &Path) -> Result<(), MergeError> {
        std::fs::rename(&self.name, path).map_err(|error| io_error("rename", error, path))?;
        self.kept = true;
        sync_folder(path).map_err(|error| io_error("write", error, path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing more can be done about a file that cannot be removed; its
            // name says that it is temporary.
            let _ = std::fs::remove_file(&self.name);
        }
    }
}

/// Makes the rename itself survive a power cut.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Folders cannot be opened as files here; the system orders renames itself.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

pub(crate) fn io_error(action: &'static str, source: io::Error, path: &Path) -> MergeError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => MergeError::DiskFull { path },
        _ => MergeError::Io { action, source, path },
    }
}

/// Writes all of `bytes`.
pub(crate) fn put(out: &mut impl Write, bytes: &[u8], path: &Path) -> Result<(), MergeError> {
    out.write_all(bytes).map_err(|error| io_error("write", error, path))
}

/// Writes `bytes` as the whole of `path`, as [`write_whole`] does.
///
/// # Errors
///
/// [`MergeError::DiskFull`] or [`MergeError::Io`].
pub fn write_bytes_whole(path: &Path, bytes: &[u8]) -> Result<(), MergeError> {
    write_whole(path, |out| put(out, bytes, path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b.json");
        write_bytes_whole(&path, b"old").unwrap();
        let failed = write_whole(&path, |out| {
            put(out, b"half", &path)?;
            Err::<(), _>(MergeError::Layout("stop".into()))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a b.json"]);
    }

    #[test]
    fn a_missing_folder_is_an_error_with_the_final_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none").join("x.parquet");
        let message = write_bytes_whole(&path, b"x").unwrap_err().to_string();
        assert!(message.starts_with("cannot create the table"), "{message}");
        assert!(message.ends_with("x.parquet"), "{message}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_says_so() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = (&full).write_all(b"x").unwrap_err();
        let message = io_error("write", error, Path::new("x.parquet")).to_string();
        assert_eq!(message, "cannot write the table, the disk is full: x.parquet");
    }
}
