//! Files that only their owner may read, whatever the umask, and that are never written through a link.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

/// Options to open or make such a file; a link in its place is an error.
#[must_use]
pub fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options
}

/// Makes `bytes` the content of such a file, without waiting for the disk: for notes that a job leaves for
/// itself.
///
/// # Errors
///
/// When it cannot be made or written, or is a link.
pub fn write_private_for_now(path: &Path, bytes: &[u8]) -> io::Result<()> {
    private_options().write(true).create(true).truncate(true).open(path)?.write_all(bytes)
}

/// Makes a folder that only its owner may enter. A folder that exists is closed to others, if we may change
/// it.
///
/// # Errors
///
/// When it cannot be made, or a link or file is in its place.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => close_to_others(path),
        made => made,
    }
}

fn close_to_others(path: &Path) -> io::Result<()> {
    let facts = fs::symlink_metadata(path)?;
    if !facts.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "a link or file lies in the place of a folder",
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if facts.permissions().mode() & 0o077 != 0 {
            // A folder of another user stays as it is: its owner decides.
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_look() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, wide) = (folder.path().join("inner"), folder.path().join("wide"));
        fs::create_dir(&wide).unwrap();
        fs::set_permissions(&wide, fs::Permissions::from_mode(0o777)).unwrap();
        for private in [&inner, &wide, &inner] {
            make_private_folder(private).unwrap();
            assert_eq!(mode(private), 0o700);
        }
        let file = inner.join("names");
        write_private_for_now(&file, b"longer").unwrap();
        write_private_for_now(&file, b"x").unwrap();
        assert_eq!((mode(&file), fs::read(&file).unwrap()), (0o600, b"x".to_vec()));
    }

    #[test]
    fn links_are_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("mine"), "mine").unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        symlink(at("mine"), at("file")).unwrap();
        symlink(at("elsewhere"), at("folder")).unwrap();
        assert!(write_private_for_now(&at("file"), b"theirs").is_err());
        assert_eq!(fs::read(at("mine")).unwrap(), b"mine");
        assert!(make_private_folder(&at("folder")).is_err() && make_private_folder(&at("mine")).is_err());
    }
}
