//! Reasons why an object is not read.

use std::{fmt, io};

/// A reason why bytes of an object were not had, in words, without its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreFault {
    pub(super) what: String,
    /// A later try of the same request may succeed: the server or the network failed, not the object.
    pub(super) is_passing: bool,
}

impl StoreFault {
    pub(super) fn passing(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_passing: true }
    }

    pub(super) fn lasting(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_passing: false }
    }

    /// The fault of a store in an error of reading, if it is one.
    pub(crate) fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for StoreFault {}

impl From<StoreFault> for io::Error {
    fn from(fault: StoreFault) -> Self {
        let kind = if fault.is_passing { io::ErrorKind::TimedOut } else { io::ErrorKind::InvalidData };
        Self::new(kind, fault)
    }
}
