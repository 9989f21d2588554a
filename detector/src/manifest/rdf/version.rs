//! Version of the format of a description.

use super::field::Field;
use crate::DetectorError;

/// Version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

impl Version {
    pub(super) fn of(field: &Field<'_>) -> Result<Self, DetectorError> {
        match field.text()? {
            text if text.starts_with("0.4.") => Ok(Self::V4),
            text if text.starts_with("0.5.") => Ok(Self::V5),
            other => Err(field.refuse(format!("is {other}, expected 0.4 or 0.5"))),
        }
    }

    /// Key under which steps and tensors have their names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V4 => "name",
            Self::V5 => "id",
        }
    }
}
