#![doc = include_str!("../README.md")]

mod inputs;
mod private;

pub use inputs::{Inputs, OverInput};
pub use private::{make_private_folder, private_options, write_private_for_now};

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// Start of the temporary names; they end in `.tmp`.
pub const TEMPORARY_PREFIX: &str = ".slidemill-";

const BUFFER_BYTES: usize = 1 << 20;

/// Lets `write` fill a file, which then gets the name `path`, and replaces a file that had it.
///
/// When `write` fails, its error is the inner one; nothing has changed and nothing is left behind. A name
/// that is a device or a pipe is written to directly: a rename would replace it by a file.
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
    match stage(folder_of(path), path, write)? {
        Ok((value, staged)) => put_in_place(vec![staged], Vec::new()).map(|()| Ok(value)),
        Err(error) => Ok(Err(error)),
    }
}

/// Writes `bytes` as the whole of `path`, as [`write()`] does.
///
/// # Errors
///
/// When the file cannot be created (the folder must exist), written, synced or renamed.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, |out| out.write_all(bytes))?
}

/// Makes a file that was put in place [for now](Staged::put_in_place_for_now) safe against a power cut.
///
/// # Errors
///
/// When it does not exist or cannot be synced.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_folders(&folders_of(path).into())
}

/// A file that is written but does not have its name yet. Removed when dropped before it is [put in
/// place](put_in_place).
#[derive(Debug)]
pub struct Staged {
    temporary: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// The path of the file until then.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// The name that it will have.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name without waiting for the disk: after a power cut `path` may be the old file, the new
    /// one, or hold garbage.
    ///
    /// # Errors
    ///
    /// When it cannot be renamed.
    pub fn put_in_place_for_now(self) -> io::Result<()> {
        self.rename()
    }

    fn rename(self) -> io::Result<()> {
        self.temporary.persist(&self.path).map(drop).map_err(|error| error.error)
    }
}

/// Lets `write` fill a file in `folder`, which is on the file system of `path`. Nothing waits for the disk.
///
/// When `write` fails, its error is the inner one and nothing is left behind.
///
/// # Errors
///
/// When the file cannot be created (`folder` must exist).
pub fn stage<T, E>(
    folder: &Path,
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, E>,
) -> io::Result<Result<(T, Staged), E>> {
    stage_in(shared_temporary(folder)?, path, write)
}

/// As [`stage`], for a file that only its owner may read, whatever the umask.
///
/// # Errors
///
/// As [`stage`].
pub fn stage_private<T, E>(
    folder: &Path,
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, E>,
) -> io::Result<Result<(T, Staged), E>> {
    stage_in(temporary_builder().tempfile_in(folder)?, path, write)
}

fn stage_in<T, E>(
    temporary: tempfile::NamedTempFile,
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, E>,
) -> io::Result<Result<(T, Staged), E>> {
    let filled = fill(temporary.as_file(), write)?;
    Ok(filled.map(|value| (value, Staged { temporary, path: path.to_owned() })))
}

/// Gives files their names, whose folders must exist: `last` once all of `first` are safe against a power
/// cut. When this returns, `last` are safe too. If it is stopped on the way, by anything, a file has its old
/// content or its new one, and none of `last` is new while one of `first` is old.
///
/// # Errors
///
/// When a file cannot be synced or renamed; those before it may have their names.
pub fn put_in_place(first: Vec<Staged>, last: Vec<Staged>) -> io::Result<()> {
    sync_files(first.iter().chain(&last).map(|staged| staged.temporary.as_file()).collect())?;
    rename_all(first)?;
    rename_all(last)
}

fn rename_all(files: Vec<Staged>) -> io::Result<()> {
    let folders: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders_of(&file.path)).collect();
    files.into_iter().try_for_each(Staged::rename)?;
    sync_folders(&folders)
}

/// The folder of a file, and the folder above it, in which the former may be new.
fn folders_of(path: &Path) -> [PathBuf; 2] {
    let folder = folder_of(path);
    [folder.to_owned(), folder_of(folder).to_owned()]
}

/// Largest number of files that are synced one by one; for more it is faster to sync their whole file system,
/// which also waits for what other programs write there.
const FEW: usize = 6;

fn sync_files(files: Vec<&File>) -> io::Result<()> {
    if files.len() <= FEW || !sync_file_systems(&files)? {
        files.into_iter().try_for_each(File::sync_all)?;
    }
    Ok(())
}

/// Syncs all file systems that hold `files`; `false` if that is not possible.
#[cfg(target_os = "linux")]
fn sync_file_systems(files: &[&File]) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let mut done = BTreeSet::new();
    for file in files {
        if done.insert(file.metadata()?.dev()) {
            rustix::fs::syncfs(file)?;
        }
    }
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_systems(_: &[&File]) -> io::Result<bool> {
    Ok(false)
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
            // The buffered rest belongs to a file that is removed.
            let _ = out.into_parts();
            Ok(Err(error))
        }
    }
}

fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// The folder of a file with this path.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn temporary_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(".tmp");
    builder
}

/// A temporary file in `folder`, readable by all users whom the umask allows (the crate's own default is the
/// owner alone, which would hide results from colleagues).
fn shared_temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = temporary_builder();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Makes renames in `folders` safe against a power cut. Some network file systems cannot sync a folder;
/// there, nothing more is done.
#[cfg(unix)]
fn sync_folders(folders: &BTreeSet<PathBuf>) -> io::Result<()> {
    let open = folders.iter().map(File::open).collect::<io::Result<Vec<_>>>()?;
    match sync_files(open.iter().collect()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        other => other,
    }
}

/// Folders cannot be opened as files here; the system orders renames itself.
#[cfg(not(unix))]
fn sync_folders(_folders: &BTreeSet<PathBuf>) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
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
    fn files_that_belong_together_appear_together() {
        let folder = tempfile::tempdir().unwrap();
        let (stage_at, out) = (folder.path().join("stage"), folder.path().join("out"));
        fs::create_dir(&stage_at).unwrap();
        fs::create_dir(&out).unwrap();
        let staged = |name: &str| {
            let filled = stage(&stage_at, &out.join(name), |file| file.write_all(name.as_bytes()));
            filled.unwrap().unwrap().1
        };
        // More than FEW, so that both ways of syncing are used.
        let first: Vec<_> = (0..=FEW).map(|number| staged(&format!("table-{number}"))).collect();
        let last = staged("account");
        assert_eq!(fs::read(last.temporary()).unwrap(), b"account");
        assert_eq!(last.path(), out.join("account"));
        assert!(names(&out).is_empty(), "nothing has its name yet");
        put_in_place(first, vec![last]).unwrap();
        assert_eq!(names(&out).len(), FEW + 2);
        assert_eq!(fs::read(out.join("table-0")).unwrap(), b"table-0");
        drop(staged("given up"));
        assert!(names(&stage_at).is_empty(), "what is given up leaves nothing");
    }

    #[test]
    fn none_of_the_last_appears_without_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let staged =
            |path: &Path| stage(folder.path(), path, |file| file.write_all(b"x")).unwrap().unwrap().1;
        let (lost, last) = (folder.path().join("no-folder/table"), folder.path().join("account"));
        assert!(put_in_place(vec![staged(&lost)], vec![staged(&last)]).is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_nobody_waits_for_is_whole_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        for text in [b"one", b"two"] {
            let staged = stage(folder.path(), &path, |file| file.write_all(text)).unwrap().unwrap().1;
            staged.put_in_place_for_now().unwrap();
        }
        sync(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["status"]);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = write_bytes(&folder.path().join("none").join("x"), b"x").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    /// A rename once replaced the null device by a file.
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
