//! The settings that results were made with, and how two such lists differ.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use dataset::hex;

/// Everything that can change a result, by name. Equal lists give equal results.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MadeWith(BTreeMap<String, String>);

impl MadeWith {
    /// Of pairs of name and value.
    #[must_use]
    pub fn new<Name: Into<String>>(pairs: impl IntoIterator<Item = (Name, String)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The same with what is in `more`, which comes before what is here.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        Self(self.0.iter().chain(&more.0).map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// SHA-256 of the list, 64 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        // A map of text to text is always JSON.
        hex(&Sha256::digest(serde_json::to_vec(&self.0).unwrap_or_default()))
    }

    /// The same, and what only `found` has: for two lists of one kind.
    #[must_use]
    pub fn all_differences(&self, found: &Self) -> Differences {
        if found.0.is_empty() {
            return Differences::default();
        }
        let gone = found.0.keys().filter(|name| !self.0.contains_key(*name));
        let unset = Self::new(gone.map(|name| (name.as_str(), String::new())));
        self.with(&unset).differences(found)
    }

    /// Returns the settings of this list that `found` lacks or has with another value. Those that only
    /// `found` has do not count, and an empty `found` gives no differences.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Differences {
        if found.0.is_empty() {
            return Differences::default();
        }
        let changed = self.0.iter().filter(|(name, wanted)| found.0.get(*name) != Some(*wanted));
        Differences(
            changed
                .map(|(name, wanted)| Difference {
                    name: name.clone(),
                    found: found.0.get(name).cloned(),
                    wanted: wanted.clone(),
                })
                .collect(),
        )
    }
}

impl From<MadeWith> for BTreeMap<String, String> {
    fn from(made: MadeWith) -> Self {
        made.0
    }
}

impl From<BTreeMap<String, String>> for MadeWith {
    fn from(pairs: BTreeMap<String, String>) -> Self {
        Self(pairs)
    }
}

/// One setting that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub name: String,
    /// Value that results were made with; `None`: it was not set.
    pub found: Option<String>,
    /// Value they would be made with now.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = or_not_set(self.found.as_deref().unwrap_or_default());
        write!(f, "{} was {found}, now {}", self.name, or_not_set(&self.wanted))
    }
}

fn or_not_set(value: &str) -> &str {
    if value.is_empty() { "not set" } else { value }
}

/// Differences of two lists of settings, in order of name: `window_px was 512, now 1024; …`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences(Vec<Difference>);

impl Differences {
    /// `true` if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one that is not a setting of the list.
    pub fn add(&mut self, name: &str, found: impl fmt::Display, wanted: impl fmt::Display) {
        let found = Some(found.to_string());
        self.0.push(Difference { name: name.into(), found, wanted: wanted.to_string() });
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Difference> {
        self.0.iter()
    }

    /// In brackets after a space; nothing where there are none.
    #[must_use]
    pub fn in_brackets(&self) -> String {
        if self.is_empty() { String::new() } else { format!(" ({self})") }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&each.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pairs: &[(&str, &str)]) -> MadeWith {
        MadeWith::new(pairs.iter().map(|&(name, value)| (name, value.to_owned())))
    }

    #[test]
    fn differences_are_named_in_order_with_both_values() {
        let now = made(&[("window_px", "1024"), ("stains", "true"), ("mpp", "0.5")]);
        let before = made(&[("window_px", "512"), ("mpp", "0.5"), ("gone", "1")]);
        let differences = now.differences(&before);
        assert_eq!(differences.to_string(), "stains was not set, now true; window_px was 512, now 1024");
        let unset = made(&[("window_px", "")]).differences(&before);
        assert_eq!(unset.to_string(), "window_px was 512, now not set");
        let all = now.all_differences(&before).to_string();
        assert_eq!(all, "gone was 1, now not set; stains was not set, now true; window_px was 512, now 1024");
        assert!(now.all_differences(&MadeWith::default()).is_empty(), "a list that says nothing");
        assert_eq!(now.differences(&now).in_brackets(), "");
        assert!(now.differences(&MadeWith::default()).is_empty(), "a list that says nothing");
    }

    #[test]
    fn what_comes_later_comes_first() {
        let both = made(&[("a", "1"), ("b", "1")]).with(&made(&[("b", "2")]));
        assert_eq!((both.get("a"), both.get("b"), both.get("c")), (Some("1"), Some("2"), None));
    }

    #[test]
    fn equal_lists_have_one_fingerprint() {
        let (list, turned) = (made(&[("a", "1"), ("b", "2")]), made(&[("b", "2"), ("a", "1")]));
        assert_eq!(list.fingerprint(), turned.fingerprint());
        assert_ne!(list.fingerprint(), made(&[("a", "1"), ("b", "3")]).fingerprint());
        // The fingerprint in accounts written before.
        assert_eq!(list.fingerprint(), hex(&Sha256::digest(br#"{"a":"1","b":"2"}"#)));
    }
}
