//! The picture that a model wants: axes, sizes, scale and values.

use super::{
    field::{Field, IN_TOML},
    steps::{Made, linear},
    version::Version,
};
use crate::{
    DetectorError,
    manifest::{
        ColourOrder, Layout,
        file::{InputSection, PercentileSection},
    },
};

/// Px along a side of the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Fixed(u32),
    Steps { least: u32, step: u32 },
}

impl Side {
    fn new(least: u32, step: u32) -> Self {
        if step == 0 { Self::Fixed(least) } else { Self::Steps { least, step } }
    }
}

/// The picture that a model wants.
pub(super) struct Input<'a> {
    field: Field<'a>,
    version: Version,
    pub(super) layout: Layout,
    /// Its axes in their order: b, c, y and x.
    axes: Vec<Field<'a>>,
    letters: String,
}

impl<'a> Input<'a> {
    pub(super) fn of(field: &Field<'a>, version: Version) -> Result<Self, DetectorError> {
        let field = Field { path: field.path.clone(), value: field.value };
        let stated = field.need("axes")?;
        let (letters, axes) = match version {
            Version::V4 => (stated.text()?.to_owned(), Vec::new()),
            Version::V5 => {
                let axes = stated.items()?;
                let letters = axes.iter().map(letter).collect::<Result<String, _>>()?;
                (letters, axes)
            }
        };
        let layout = match letters.as_str() {
            "bcyx" => Layout::Nchw,
            "byxc" => Layout::Nhwc,
            _ => {
                return Err(stated
                    .refuse(format!("are {letters}, expected bcyx or byxc: pictures of three channels")));
            }
        };
        let input = Self { field, version, layout, axes, letters };
        match input.channels()? {
            3 => Ok(input),
            channels => {
                Err(input.field.refuse(format!("has {channels} channels, expected 3: red, green and blue")))
            }
        }
    }

    /// The axis of a letter; of version 0.5 alone.
    fn axis(&self, letter: char) -> Result<&Field<'a>, DetectorError> {
        let place = self.letters.find(letter);
        let axis = place.and_then(|place| self.axes.get(place));
        axis.ok_or_else(|| self.field.refuse(format!("has no axis {letter}")))
    }

    fn channels(&self) -> Result<u32, DetectorError> {
        if self.version == Version::V4 {
            return match self.side('c')? {
                Side::Fixed(channels) => Ok(channels),
                Side::Steps { .. } => {
                    Err(self.field.refuse("has any number of channels, expected 3".to_owned()))
                }
            };
        }
        let names = self.axis('c')?.need("channel_names")?.items()?;
        Ok(u32::try_from(names.len()).unwrap_or(u32::MAX))
    }

    /// Order of the channels, where their names say it.
    fn colour_order(&self) -> Result<Option<ColourOrder>, DetectorError> {
        if self.version == Version::V4 {
            return Ok(None);
        }
        let names = self.axis('c')?.need("channel_names")?.items()?;
        let names = names
            .iter()
            .map(|name| Ok(name.text()?.to_ascii_lowercase()))
            .collect::<Result<Vec<_>, DetectorError>>()?;
        let first: String = names.iter().filter_map(|name| name.chars().next()).collect();
        Ok(match first.as_str() {
            "rgb" => Some(ColourOrder::Rgb),
            "bgr" => Some(ColourOrder::Bgr),
            _ => None,
        })
    }

    fn side(&self, letter: char) -> Result<Side, DetectorError> {
        let size = match self.version {
            Version::V4 => {
                let shape = self.field.need("shape")?;
                let place = self.letters.find(letter).unwrap_or(0);
                let nth = |list: &Field<'_>| {
                    let mut items = list.items()?;
                    if place < items.len() {
                        items.swap_remove(place).whole()
                    } else {
                        Err(list.unexpected("a number for each axis"))
                    }
                };
                return match (shape.at("min"), shape.at("step")) {
                    (Some(least), Some(step)) => Ok(Side::new(nth(&least)?, nth(&step)?)),
                    _ => nth(&shape).map(Side::Fixed),
                };
            }
            Version::V5 => self.axis(letter)?.need("size")?,
        };
        match (size.at("min"), size.at("step")) {
            (Some(least), Some(step)) => Ok(Side::new(least.whole()?, step.whole()?)),
            _ => size.whole().map(Side::Fixed),
        }
    }

    /// Width and height that pictures always have, or else the px that their sides are multiples of.
    #[expect(clippy::type_complexity, reason = "either of the two")]
    pub(super) fn sides(&self) -> Result<(Option<(u32, u32)>, Option<u32>), DetectorError> {
        match (self.side('x')?, self.side('y')?) {
            (Side::Fixed(width), Side::Fixed(height)) => Ok((Some((width, height)), None)),
            (across @ Side::Steps { least, step }, down) if across == down && least.is_multiple_of(step) => {
                Ok((None, Some(step)))
            }
            (across, down) => Err(self.field.refuse(format!(
                "has sides of {across:?} and {down:?} px, expected one size, or multiples of one number; say stride = … \
                 in a TOML beside the model"
            ))),
        }
    }

    /// µm per px, where its axes say so.
    pub(super) fn mpp(&self) -> Result<Option<f64>, DetectorError> {
        if self.version == Version::V4 {
            return Ok(None);
        }
        let [across, down] = [um_per_px(self.axis('x')?)?, um_per_px(self.axis('y')?)?];
        if across == down {
            return Ok(across);
        }
        Err(self.field.refuse(format!(
            "has px of {across:?} × {down:?} µm, expected squares; say mpp in a TOML beside the model"
        )))
    }

    /// Scale from bytes to the values that the first step gets; `None` if nothing says it.
    fn of_bytes(&self) -> Result<Option<f64>, DetectorError> {
        let (kind, range) = match self.version {
            Version::V4 => (self.field.at("data_type"), self.field.at("data_range")),
            Version::V5 => {
                let data = match self.field.at("data") {
                    Some(list) if list.value.is_array() => list.items()?.into_iter().next(),
                    other => other,
                };
                if let Some(data) = &data {
                    data.knows(&["type", "range", "unit", "scale", "offset"])?;
                    let is = |key: &str, nothing: f64| {
                        data.at(key)
                            .map_or(Ok(true), |field| Ok::<_, DetectorError>(field.number()? == nothing))
                    };
                    if !is("scale", 1.0)? || !is("offset", 0.0)? {
                        return Err(
                            data.refuse(format!("has a scale or an offset, which is not known{IN_TOML}"))
                        );
                    }
                }
                data.map_or((None, None), |data| (data.at("type"), data.at("range")))
            }
        };
        let kind = kind.as_ref().map_or(Ok("float32"), Field::text)?;
        let ends = range.map(|range| range.items()).transpose()?.unwrap_or_default();
        let ends: Vec<Option<f64>> = ends.iter().map(|end| end.value.as_f64()).collect();
        Ok(match (kind, &ends[..]) {
            ("uint8", _) | (_, [Some(0.0), Some(255.0)]) => Some(1.0),
            (_, [Some(0.0), Some(1.0)]) => Some(1.0 / 255.0),
            _ => None,
        })
    }

    /// What becomes of bytes.
    pub(super) fn section(&self) -> Result<InputSection, DetectorError> {
        let steps =
            self.field.at("preprocessing").map(|steps| steps.items()).transpose()?.unwrap_or_default();
        let of_bytes = self.of_bytes()?;
        let mut made = Made::Linear { gain: [1.0; 3], offset: [0.0; 3] };
        for step in &steps {
            made = made.then(step, self.version)?;
        }
        let section = InputSection { colour_order: self.colour_order()?, ..InputSection::default() };
        match (made, of_bytes) {
            (Made::Percentiles { low, high, channels, epsilon }, scale) => {
                // Without a scale it is so small that it changes no digit of a result.
                let epsilon = epsilon / scale.unwrap_or(1.0);
                let per = Some("slide".to_owned());
                let percentile =
                    PercentileSection { low: Some(low), high: Some(high), per, channels: Some(channels), epsilon: Some(epsilon) };
                Ok(InputSection { percentile: Some(percentile), ..section })
            }
            (Made::Linear { gain, offset }, Some(scale)) => linear(gain.map(|gain| gain * scale), offset, section)
                .ok_or_else(|| self.field.refuse(format!("is scaled by {gain:?}, expected positive numbers"))),
            (Made::Linear { .. }, None) => Err(self.field.refuse(format!(
                "does not say whether its values are bytes (data type uint8, or a range of 0 to 255) or from 0 to 1{IN_TOML}"
            ))),
        }
    }
}

/// The letter of an axis of version 0.5.
fn letter(axis: &Field<'_>) -> Result<char, DetectorError> {
    Ok(match axis.need("type")?.text()? {
        "batch" => 'b',
        "channel" => 'c',
        // The specification's own default.
        "space" => axis.at("id").map_or(Ok("x"), |id| id.text())?.chars().next().unwrap_or('?'),
        "time" => 't',
        _ => 'i',
    })
}

/// µm per px along an axis of version 0.5; `None` where it has no unit.
fn um_per_px(axis: &Field<'_>) -> Result<Option<f64>, DetectorError> {
    let Some(unit) = axis.at("unit") else { return Ok(None) };
    let scale = axis.at("scale").map_or(Ok(1.0), |scale| scale.number())?;
    match unit.text()? {
        "micrometer" => Ok(Some(scale)),
        "nanometer" => Ok(Some(scale / 1000.0)),
        other => {
            Err(unit.refuse(format!("is {other}, expected micrometer; say mpp in a TOML beside the model")))
        }
    }
}
