//! Physical units: microns per pixel, objective power, areas.

use crate::wording::number;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Microns per pixel: the physical size of one pixel edge.
///
/// Always finite and within [`Mpp::PLAUSIBLE`]: a value outside it is a wrong
/// tag, not a microscope.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Mpp(f64);

impl Mpp {
    /// The plausible range in µm/px, ends included: sharper than the finest
    /// scanner in use up to a low-power overview.
    pub const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.05..=5.0;

    /// Checks `value` (µm/px).
    ///
    /// # Errors
    ///
    /// [`MppError`] when it is not a number, not positive, or not plausible.
    pub fn new(value: f64) -> Result<Self, MppError> {
        if value.is_nan() || value.is_infinite() {
            Err(MppError::NotANumber)
        } else if value <= 0.0 {
            Err(MppError::NotPositive(value))
        } else if !Self::PLAUSIBLE.contains(&value) {
            Err(MppError::Implausible(value))
        } else {
            Ok(Self(value))
        }
    }

    /// The value in µm/px.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// This pixel size seen `downsample` times coarser. Not checked for
    /// plausibility: a thumbnail level may be coarser than any objective.
    #[must_use]
    pub fn times(self, downsample: f64) -> f64 {
        self.0 * downsample
    }
}

impl fmt::Display for Mpp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µm/px", number(self.0))
    }
}

impl TryFrom<f64> for Mpp {
    type Error = MppError;
    fn try_from(value: f64) -> Result<Self, MppError> {
        Self::new(value)
    }
}

impl From<Mpp> for f64 {
    fn from(mpp: Mpp) -> f64 {
        mpp.0
    }
}

/// Reason why a number cannot be a pixel size.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum MppError {
    /// NaN or infinite.
    #[error("mpp is not a finite number, expected µm per pixel such as 0.25")]
    NotANumber,
    /// Zero or negative.
    #[error("mpp is {0}, expected a positive number of µm per pixel such as 0.25")]
    NotPositive(f64),
    /// Positive, but no microscope makes such pixels.
    #[error("mpp is {0} µm/px, expected between 0.05 and 5")]
    Implausible(f64),
}

/// The magnification on the label (20 for "20x"). For people, and for choosing
/// a model; never for arithmetic, which uses [`Mpp`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectivePower(pub f64);

impl fmt::Display for ObjectivePower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", self.0)
    }
}

/// An area in µm².
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AreaUm2(pub f64);

impl AreaUm2 {
    /// The same area in mm².
    #[must_use]
    pub fn mm2(self) -> f64 {
        self.0 * 1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpp_refuses_what_no_microscope_makes() {
        assert!(matches!(Mpp::new(f64::NAN), Err(MppError::NotANumber)));
        assert!(matches!(Mpp::new(0.0), Err(MppError::NotPositive(_))));
        assert!(matches!(Mpp::new(-0.25), Err(MppError::NotPositive(_))));
        assert!(matches!(Mpp::new(352.8), Err(MppError::Implausible(_))));
        assert_eq!(Mpp::new(0.2527).map(Mpp::get), Ok(0.2527));
    }
}
