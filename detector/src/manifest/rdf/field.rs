//! Values of a description, and where they are, for refusals that name the field.

use serde_json::Value;

use crate::DetectorError;

/// What to do about a step that cannot be done.
pub(super) const IN_TOML: &str = "; say below [input] in a TOML beside the model what it wants instead";

/// A value of the file, and where it is: `inputs[0].axes`.
pub(super) struct Field<'a> {
    pub(super) path: String,
    pub(super) value: &'a Value,
}

impl<'a> Field<'a> {
    /// The value of a key; `None` where there is none, or null.
    pub(super) fn at(&self, key: &str) -> Option<Field<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Some(Field { path, value })
    }

    pub(super) fn need(&self, key: &str) -> Result<Field<'a>, DetectorError> {
        self.at(key).ok_or_else(|| self.refuse(format!("has no {key}")))
    }

    pub(super) fn items(&self) -> Result<Vec<Field<'a>>, DetectorError> {
        let Value::Array(items) = self.value else { return Err(self.unexpected("a list")) };
        let each = items.iter().enumerate();
        Ok(each.map(|(place, value)| Field { path: format!("{}[{place}]", self.path), value }).collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, DetectorError> {
        self.value.as_str().ok_or_else(|| self.unexpected("a text"))
    }

    pub(super) fn number(&self) -> Result<f64, DetectorError> {
        self.value.as_f64().ok_or_else(|| self.unexpected("a number"))
    }

    pub(super) fn whole(&self) -> Result<u32, DetectorError> {
        let whole = self.value.as_u64().and_then(|whole| u32::try_from(whole).ok());
        whole.ok_or_else(|| self.unexpected("a whole number"))
    }

    /// One number for all channels, or one for each.
    pub(super) fn of_channels(&self) -> Result<[f64; 3], DetectorError> {
        match self.value {
            Value::Array(_) => {
                let each = self.items()?.iter().map(Field::number).collect::<Result<Vec<_>, _>>()?;
                each.try_into().map_err(|_| self.unexpected("a number for each of three channels"))
            }
            _ => self.number().map(|one| [one; 3]),
        }
    }

    /// Refuses keys that are not among those that are done.
    pub(super) fn knows(&self, known: &[&str]) -> Result<(), DetectorError> {
        let mut keys = self.value.as_object().into_iter().flatten();
        match keys.find(|(key, value)| !known.contains(&key.as_str()) && !value.is_null()) {
            None => Ok(()),
            Some((key, _)) => Err(self.refuse(format!("has {key}, which is not known{IN_TOML}"))),
        }
    }

    pub(super) fn in_words(&self) -> String {
        self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned)
    }

    pub(super) fn unexpected(&self, expected: &str) -> DetectorError {
        self.refuse(format!("is {}, expected {expected}", self.value))
    }

    pub(super) fn refuse(&self, reason: impl Into<String>) -> DetectorError {
        let path = if self.path.is_empty() { "the file" } else { &self.path };
        DetectorError::manifest(path, reason)
    }
}
