//! Checksums in the form of the outputs.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};
use wsi_types::wording::hex;

/// Size of a file, and its SHA-256 as hexadecimal digits.
///
/// # Errors
///
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<(u64, String)> {
    digest(fs::File::open(path)?)
}

/// The same for the first `bytes` of a file, or for all if it has fewer.
///
/// # Errors
///
/// When it cannot be read.
pub(crate) fn sha256_of_start(path: &Path, bytes: u64) -> io::Result<(u64, String)> {
    digest(fs::File::open(path)?.take(bytes))
}

fn digest(mut file: impl io::Read) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hex(&digest.finalize())));
        }
        digest.update(&buffer[..read]);
        bytes += read as u64;
    }
}
