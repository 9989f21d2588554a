//! Steps of a preprocessing, made into one.

use serde_json::Value;
use wsi_types::StretchedChannels;

use super::{
    field::{Field, IN_TOML},
    version::Version,
};
use crate::{DetectorError, manifest::file::InputSection};

/// `byte × gain + offset` as a scale, a mean and a deviation; `None` where a gain is not positive.
pub(super) fn linear(gain: [f64; 3], offset: [f64; 3], section: InputSection) -> Option<InputSection> {
    if !gain.iter().all(|gain| gain.is_finite() && *gain > 0.0) {
        return None;
    }
    let (scale, gain) = if gain == [gain[0]; 3] { (gain[0], [1.0; 3]) } else { (1.0, gain) };
    let mean = [0, 1, 2].map(|channel| (-offset[channel] / gain[channel]) as f32);
    let std = gain.map(|gain| (1.0 / gain) as f32);
    Some(InputSection { scale: Some(scale), mean: Some(mean), std: Some(std), ..section })
}

/// What the steps so far make of the values.
pub(super) enum Made {
    /// `value × gain + offset`.
    Linear { gain: [f64; 3], offset: [f64; 3] },
    /// Stretched between percentiles of the slide.
    Percentiles { low: f64, high: f64, channels: StretchedChannels, epsilon: f64 },
}

impl Made {
    /// With one step more.
    pub(super) fn then(self, step: &Field<'_>, version: Version) -> Result<Self, DetectorError> {
        let name = step.need(version.name())?.text()?;
        let nothing = Value::Null;
        let kwargs =
            step.at("kwargs").unwrap_or(Field { path: format!("{}.kwargs", step.path), value: &nothing });
        let is_fixed = kwargs.at("mode").is_some_and(|mode| mode.value == "fixed");
        match (name, self) {
            ("ensure_dtype", made) => {
                let dtype = kwargs.need("dtype")?;
                if dtype.value == "float32" { Ok(made) } else { Err(dtype.unexpected("float32")) }
            }
            ("scale_linear", Self::Linear { gain, offset }) => {
                kwargs.knows(&["gain", "offset", "axes", "axis"])?;
                let (more, add) = (of_channels(&kwargs, "gain", 1.0)?, of_channels(&kwargs, "offset", 0.0)?);
                Ok(after(gain, offset, more, add))
            }
            ("fixed_zero_mean_unit_variance", Self::Linear { gain, offset }) => {
                kwargs.knows(&["mean", "std", "axis"])?;
                fixed(gain, offset, &kwargs, 0.0)
            }
            ("zero_mean_unit_variance", Self::Linear { gain, offset }) if version == Version::V4 && is_fixed => {
                kwargs.knows(&["mode", "mean", "std", "eps", "axes"])?;
                let eps = kwargs.at("eps").map_or(Ok(1e-6), |eps| eps.number())?;
                fixed(gain, offset, &kwargs, eps)
            }
            ("zero_mean_unit_variance", _) => Err(step.refuse(format!(
                "takes mean and deviation of each picture, which are not found for a slide{IN_TOML}, such as mean and std \
                 of typical tissue"
            ))),
            ("scale_range", Self::Linear { gain, offset }) if gain == [1.0; 3] && offset == [0.0; 3] => {
                percentiles(&kwargs, version)
            }
            (known @ ("scale_linear" | "fixed_zero_mean_unit_variance" | "scale_range"), _) => {
                Err(step.refuse(format!("is {known} next to scale_range, expected one of them alone{IN_TOML}")))
            }
            (other, _) => Err(step.refuse(format!(
                "is {other}, expected scale_linear, fixed_zero_mean_unit_variance, scale_range or ensure_dtype{IN_TOML}"
            ))),
        }
    }
}

/// `(value × gain + offset) × more + add`.
fn after(gain: [f64; 3], offset: [f64; 3], more: [f64; 3], add: [f64; 3]) -> Made {
    let each = [0, 1, 2];
    Made::Linear { gain: each.map(|c| gain[c] * more[c]), offset: each.map(|c| offset[c] * more[c] + add[c]) }
}

/// `(value − mean) / (std + eps)`.
fn fixed(gain: [f64; 3], offset: [f64; 3], kwargs: &Field<'_>, eps: f64) -> Result<Made, DetectorError> {
    let (mean, std) = (kwargs.need("mean")?.of_channels()?, kwargs.need("std")?.of_channels()?);
    let more = std.map(|std| 1.0 / (std + eps));
    Ok(after(gain, offset, more, [0, 1, 2].map(|c| -mean[c] * more[c])))
}

fn of_channels(kwargs: &Field<'_>, key: &str, unsaid: f64) -> Result<[f64; 3], DetectorError> {
    kwargs.at(key).map_or(Ok([unsaid; 3]), |field| field.of_channels())
}

fn percentiles(kwargs: &Field<'_>, version: Version) -> Result<Made, DetectorError> {
    kwargs.knows(&["mode", "axes", "min_percentile", "max_percentile", "eps"])?;
    if let Some(mode) = kwargs.at("mode").filter(|mode| mode.value != "per_sample") {
        return Err(mode.unexpected("per_sample"));
    }
    let number = |key: &str, unsaid| kwargs.at(key).map_or(Ok(unsaid), |field| field.number());
    let channels = match kwargs.at("axes") {
        None if version == Version::V4 => return Err(kwargs.refuse("has no axes".to_owned())),
        None => StretchedChannels::Together,
        Some(axes) => together_over(&axes, version)?,
    };
    Ok(Made::Percentiles {
        low: number("min_percentile", 0.0)?,
        high: number("max_percentile", 100.0)?,
        channels,
        epsilon: number("eps", 1e-6)?,
    })
}

/// Whether percentiles over these axes are those of each channel.
fn together_over(axes: &Field<'_>, version: Version) -> Result<StretchedChannels, DetectorError> {
    let letters: String = match version {
        Version::V4 => axes.text()?.to_owned(),
        Version::V5 => {
            let names = axes.items()?;
            let names = names.iter().map(Field::text).collect::<Result<Vec<_>, _>>()?;
            names.iter().filter_map(|name| name.chars().next()).collect()
        }
    };
    match (letters.contains('y') && letters.contains('x'), letters.contains('c')) {
        (true, true) => Ok(StretchedChannels::Together),
        (true, false) => Ok(StretchedChannels::Each),
        (false, _) => Err(axes.refuse(format!("are {letters}, expected both y and x among them"))),
    }
}
