//! What no output may hold.

use std::fmt;

use super::fault::StoreFault;

/// A key or a token, which can stand in a header.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    /// Takes a text as a secret; where it cannot be one, says so by its name and place.
    pub(super) fn new(text: &str, name: &str, place: &str) -> Result<Self, StoreFault> {
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(StoreFault::lasting(format!(
            "{name} in {place} holds characters that no key has, such as spaces"
        )))
    }

    pub(super) fn tell(&self) -> &str {
        &self.0
    }
}

/// Tells nothing.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
