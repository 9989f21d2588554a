//! What commands print.

use std::io::{self, Write};

use crate::exit::Failure;

/// Writes to standard output. That its reader has seen enough (`| head`) is no
/// failure: what is left is dropped.
///
/// # Errors
///
/// An output failure that names `what` was to be printed.
pub fn print(what: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::output(format!("cannot print {what}: {error}")))
        }
        _ => Ok(()),
    }
}
