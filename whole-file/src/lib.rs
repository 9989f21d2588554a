//! Files that appear whole or not at all.
//!
//! What is written goes to a temporary name in the same folder, to the disk, and then to its own name in one
//! step. Whoever reads sees the old file or the new one; a run that is killed leaves the old one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::Path,
};

/// How the temporary names begin; they end in `.tmp`.
pub const TEMPORARY_PREFIX: &str = ".slidemill-";

const BUFFER_BYTES: usize = 1 << 20;

/// Lets `write` fill a file, which then takes the name `path`, in place of a file that had it.
///
/// When `write` fails, its error is the inner one; nothing has changed and nothing is left behind. A name that is
/// a device or a pipe is written to as it is: a rename would put a file in its place.
///
/// # Errors
///
/// When the file cannot be created (the folder must exist), synced or renamed.
pub fn write<T, E>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, E>,
) -> io::Result<Result<T, E>> {
    if is_special(path) {
        let file = OpenOptions::new().write(true).open(path)?;
        return fill(&file, write);
    }
    let folder = folder_of(path);
    let temporary = temporary_in(folder)?;
    let value = match fill(temporary.as_file(), write)? {
        Ok(value) => value,
        Err(error) => return Ok(Err(error)),
    };
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)?;
    Ok(Ok(value))
}

/// Writes `bytes` as the whole of `path`, as [`write()`] does.
///
/// # Errors
///
/// When the file cannot be created (the folder must exist), written, synced or renamed.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, |out| out.write_all(bytes))?
}

fn fill<T, E>(
    file: &File,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, E>,
) -> io::Result<Result<T, E>> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let written = write(&mut out);
    match written {
        Ok(value) => out.flush().map(|()| Ok(value)),
        Err(error) => {
            // What is still buffered belongs to a file that nobody will see.
            let _ = out.into_parts();
            Ok(Err(error))
        }
    }
}

fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file in `folder`, readable by whom the umask allows (the crate's own default is the owner alone,
/// which would hide results from colleagues).
fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Makes a rename in `folder` outlast a power cut. File systems that cannot sync a folder (some network ones) are
/// left to their own promises.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        other => other,
    }
}

/// Folders cannot be opened as files here; the system orders renames itself.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b ä.json");
        write_bytes(&path, b"one, the longer").unwrap();
        write_bytes(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a b ä.json"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        write_bytes(&path, b"old").unwrap();
        let failed = write(&path, |out| {
            out.write_all(b"half").map_err(|_| "disk")?;
            Err::<(), _>("stop")
        });
        assert_eq!(failed.unwrap(), Err("stop"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["table"]);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = write_bytes(&folder.path().join("none").join("x"), b"x").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    /// A rename once put a file in the place of the null device.
    #[test]
    #[cfg(unix)]
    fn what_is_not_a_file_is_never_replaced() {
        use std::os::unix::fs::FileTypeExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(write_bytes(&path, b"x").is_err());
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_device_says_so() {
        let full = write_bytes(Path::new("/dev/full"), &[0; 2 * BUFFER_BYTES]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
}
