//! Removing what may not be there.

use std::io;

/// The outcome of removing something: what is not there is gone as well.
pub(crate) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
