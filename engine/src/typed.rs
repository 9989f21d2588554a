//! Types of options: read from typed values, and written as in a settings file.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use wsi_reader::LinearMapping;

use crate::{checks::nearest, stain_set::StainSet};

/// A type of an option.
pub(crate) trait Typed: Sized {
    /// Reads typed values, at least one.
    fn typed(values: &[OsString]) -> Result<Self, String>;

    /// Writes it as a value of TOML.
    fn toml(&self) -> String;
}

/// Reads one value from text.
fn one<T: FromStr<Err: fmt::Display>>(values: &[OsString]) -> Result<T, String> {
    text(values.first().map_or(OsStr::new(""), OsString::as_os_str))?
        .parse()
        .map_err(|error: T::Err| error.to_string())
}

fn number<T: FromStr<Err: fmt::Display>>(values: &[OsString], expected: &str) -> Result<T, String> {
    one(values).map_err(|_| expected.to_owned())
}

fn each<T: Typed>(values: &[OsString]) -> Result<Vec<T>, String> {
    values.iter().map(|value| T::typed(std::slice::from_ref(value))).collect()
}

fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| format!("{} is no text", value.display()))
}

/// Writes a text of TOML.
fn quoted(value: &impl fmt::Display) -> String {
    format!("{:?}", value.to_string())
}

/// Types that are read from text, each with its form in TOML.
macro_rules! typed {
    ($($type:ty => $toml:expr),* $(,)?) => {
        $(impl Typed for $type {
            fn typed(values: &[OsString]) -> Result<Self, String> {
                one(values)
            }

            fn toml(&self) -> String {
                $toml(self)
            }
        })*
    };
}
typed!(
    bool => bool::to_string,
    String => quoted,
    LinearMapping => quoted,
);

/// Numbers, each with what is expected in place of a text that is none.
macro_rules! typed_numbers {
    ($($number:ty => $expected:literal),* $(,)?) => {
        $(impl Typed for $number {
            fn typed(values: &[OsString]) -> Result<Self, String> {
                number(values, $expected)
            }

            fn toml(&self) -> String {
                self.to_string()
            }
        })*
    };
}
typed_numbers!(
    u32 => "expected a whole number, 0 or more",
    u64 => "expected a whole number, 0 or more",
    usize => "expected a whole number, 0 or more",
    f32 => "expected a number",
    f64 => "expected a number",
);

/// Lists of these types.
macro_rules! typed_lists {
    ($($item:ty),*) => {
        $(impl Typed for Vec<$item> {
            fn typed(values: &[OsString]) -> Result<Self, String> {
                each(values)
            }

            fn toml(&self) -> String {
                format!("{self:?}")
            }
        })*
    };
}
typed_lists!(String, f64);

impl Typed for PathBuf {
    fn typed(values: &[OsString]) -> Result<Self, String> {
        Ok(values.first().map(Self::from).unwrap_or_default())
    }

    fn toml(&self) -> String {
        quoted(&self.display())
    }
}

/// The scale given for slides that do not say theirs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub enum GivenMpp {
    /// µm per level-0 px.
    Number(f64),
    /// Estimated from the nuclei of each slide.
    Estimate,
}

impl GivenMpp {
    /// Returns the number, if it is one.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Number(mpp) => Some(mpp),
            Self::Estimate => None,
        }
    }
}

impl FromStr for GivenMpp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(mpp) => Ok(Self::Number(mpp)),
            Err(_) if text == "estimate" => Ok(Self::Estimate),
            Err(_) => {
                Err(format!("{text:?} is no number of µm per pixel such as 0.25, nor the word estimate"))
            }
        }
    }
}

impl fmt::Display for GivenMpp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(mpp) => mpp.fmt(f),
            Self::Estimate => f.write_str("estimate"),
        }
    }
}

/// Form of the scale in a settings file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum NumberOrWord {
    Number(f64),
    Word(String),
}

impl TryFrom<NumberOrWord> for GivenMpp {
    type Error = String;

    fn try_from(value: NumberOrWord) -> Result<Self, String> {
        match value {
            NumberOrWord::Number(mpp) => Ok(Self::Number(mpp)),
            NumberOrWord::Word(word) => word.parse(),
        }
    }
}

impl From<GivenMpp> for NumberOrWord {
    fn from(given: GivenMpp) -> Self {
        match given {
            GivenMpp::Number(mpp) => Self::Number(mpp),
            GivenMpp::Estimate => Self::Word(given.to_string()),
        }
    }
}

impl Typed for GivenMpp {
    fn typed(values: &[OsString]) -> Result<Self, String> {
        one(values)
    }

    fn toml(&self) -> String {
        match self {
            Self::Number(mpp) => mpp.to_string(),
            Self::Estimate => quoted(self),
        }
    }
}

impl Typed for StainSet {
    fn typed(values: &[OsString]) -> Result<Self, String> {
        one(values)
    }

    fn toml(&self) -> String {
        match self {
            Self::None | Self::He => self.to_string(),
            Self::HDab => quoted(self),
        }
    }
}

/// One of several detectors, as typed or as a settings file holds it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorOption {
    /// Its model, as in `--model`.
    pub model: Option<PathBuf>,
    /// µm per px at which it looks; `None` for the model's own.
    pub mpp: Option<f64>,
}

impl DetectorOption {
    pub(crate) const KEYS: [&str; 2] = ["model", "mpp"];
}

impl FromStr for DetectorOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut option = Self::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("model", path)) => option.model = Some(path.into()),
                Some(("mpp", number)) => {
                    option.mpp =
                        Some(number.parse().map_err(|_| format!("mpp is {number:?}, expected a number"))?);
                }
                Some((key, _)) => {
                    return Err(format!("unknown part {key:?}{}", nearest(key, Self::KEYS.into_iter())));
                }
                None => return Err(format!("{part:?} is not KEY=VALUE, expected such as mpp=0.5")),
            }
        }
        Ok(option)
    }
}

impl fmt::Display for DetectorOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_ref().map(|path| format!("model = {:?}", path.display().to_string()));
        let mpp = self.mpp.map(|mpp| format!("mpp = {mpp}"));
        let parts: Vec<String> = model.into_iter().chain(mpp).collect();
        write!(f, "{{ {} }}", parts.join(", "))
    }
}

impl Typed for Vec<DetectorOption> {
    fn typed(values: &[OsString]) -> Result<Self, String> {
        values.iter().map(|value| one(std::slice::from_ref(value))).collect()
    }

    fn toml(&self) -> String {
        let detectors: Vec<String> = self.iter().map(ToString::to_string).collect();
        format!("[{}]", detectors.join(", "))
    }
}
