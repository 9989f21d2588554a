//! The time, as jobs note it.

use std::time::SystemTime;

/// Seconds since 1970.
pub(crate) fn secs_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
