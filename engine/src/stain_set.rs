//! The pair of stains that a job measures, as it is asked for.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::checks::nearest;

/// Stains as they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "SwitchOrWord", into = "SwitchOrWord")]
pub enum StainSet {
    /// None is measured.
    #[default]
    None,
    /// Hematoxylin and eosin.
    He,
    /// Hematoxylin and DAB.
    HDab,
}

impl FromStr for StainSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "false" => Ok(Self::None),
            "true" | "he" => Ok(Self::He),
            "h-dab" => Ok(Self::HDab),
            _ => {
                let words = ["he", "h-dab", "true", "false"];
                Err(format!("{text:?} is no pair of stains{}", nearest(text, words.into_iter())))
            }
        }
    }
}

impl fmt::Display for StainSet {
    /// H&E as before there were others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "false",
            Self::He => "true",
            Self::HDab => "h-dab",
        })
    }
}

/// Form of the stains in a settings file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SwitchOrWord {
    Switch(bool),
    Word(String),
}

impl TryFrom<SwitchOrWord> for StainSet {
    type Error = String;

    fn try_from(value: SwitchOrWord) -> Result<Self, String> {
        match value {
            SwitchOrWord::Switch(true) => Ok(Self::He),
            SwitchOrWord::Switch(false) => Ok(Self::None),
            SwitchOrWord::Word(word) => word.parse(),
        }
    }
}

impl From<StainSet> for SwitchOrWord {
    fn from(set: StainSet) -> Self {
        match set {
            StainSet::None => Self::Switch(false),
            StainSet::He => Self::Switch(true),
            StainSet::HDab => Self::Word(set.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_and_words_mean_the_same() {
        for (text, set) in [("true", StainSet::He), ("he", StainSet::He), ("false", StainSet::None)] {
            assert_eq!(text.parse(), Ok(set));
        }
        for set in [StainSet::None, StainSet::He, StainSet::HDab] {
            assert_eq!(set.to_string().parse(), Ok(set));
            let json = serde_json::to_string(&set).unwrap();
            assert_eq!(serde_json::from_str::<StainSet>(&json).unwrap(), set, "{json}");
        }
        assert_eq!(serde_json::to_string(&StainSet::He).unwrap(), "true", "as it always was");
        assert!("hdab".parse::<StainSet>().unwrap_err().contains("did you mean \"h-dab\"?"));
    }
}
