//! The name of a slide.

use std::fmt;

use serde::{Deserialize, Serialize};

use wsi_types::wording::hex;

/// Names one slide in all outputs. Made from the file's content, so it is the
/// same on every machine and says nothing of a patient; or given by the user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlideId(String);

impl SlideId {
    const MAX_LEN: usize = 100;

    /// Checks an id given by a user: letters of ASCII, digits, `-`, `_`, `.`, a letter first. Readers of
    /// partitioned datasets guess a type from `slide=<id>`: text that looks like a number, a truth value or
    /// nothing to them would come back as another id (`001` as 1, `inf` as infinity), so it is refused.
    ///
    /// # Errors
    ///
    /// A sentence with the fault.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        const READ_AS_VALUES: [&str; 6] = ["inf", "infinity", "nan", "null", "true", "false"];
        let text = text.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.chars().all(allowed) {
            return Err(format!(
                "slide id {text:?} cannot be a folder name: expected 1 to {} of A-Z a-z 0-9 - _ .",
                Self::MAX_LEN
            ));
        }
        let a_value = READ_AS_VALUES.iter().any(|value| text.eq_ignore_ascii_case(value));
        if a_value || !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(format!(
                "slide id {text:?} would be read as a number or another value: expected a letter first, such as \"s{text}\""
            ));
        }
        Ok(Self(text))
    }

    /// An `s` and the first 16 hexadecimal digits of a content fingerprint.
    #[must_use]
    pub fn from_content(fingerprint: &[u8; 32]) -> Self {
        Self(format!("s{}", hex(&fingerprint[..8])))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SlideId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(text)
    }
}

impl From<SlideId> for String {
    fn from(id: SlideId) -> Self {
        id.0
    }
}

impl fmt::Display for SlideId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_folder_names() {
        assert!(SlideId::new("case-7_A.2").is_ok());
        for bad in ["", "../x", "a/b", ".hidden", "name with space", "a=b", &"x".repeat(101)] {
            assert!(SlideId::new(bad).is_err(), "{bad:?}");
        }
    }

    /// `slide=1234567890123456` was read back as a number, `slide=12345e6789012345` as infinity.
    #[test]
    fn ids_are_never_read_as_numbers() {
        for bad in ["001", "12345e6789012345", "-5", "_1", "2026-11-22", "inf", "NaN", "true"] {
            assert!(SlideId::new(bad).is_err(), "{bad:?}");
        }
        let id = SlideId::from_content(&[0x12; 32]);
        assert_eq!(id.as_str(), "s1212121212121212");
        assert!(SlideId::new(id.as_str()).is_ok());
    }
}
