//! The field in which cells are counted: its shape and its area.

use serde::{Deserialize, Serialize};

use crate::error::{MeasureError, Result};

/// Outline of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldShape {
    /// As seen through a microscope.
    #[default]
    Circle,
    /// Upright, as on a screen.
    Square,
}

/// A field of a stated area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    shape: FieldShape,
    area_mm2: f64,
}

impl Field {
    /// # Errors
    ///
    /// [`MeasureError::Value`] for an area that is not positive.
    pub fn new(shape: FieldShape, area_mm2: f64) -> Result<Self> {
        if area_mm2 > 0.0 && area_mm2.is_finite() {
            return Ok(Self { shape, area_mm2 });
        }
        Err(MeasureError::value("the field's area in mm²", area_mm2, "a positive number"))
    }

    /// A field as large as `count` high-power fields of a microscope.
    ///
    /// A high-power field is the circle that an eyepiece of `field_number_mm` shows through an objective of
    /// magnification `objective`: its diameter is `field_number_mm / objective`. "10 HPF" alone gives no
    /// area: with a field number of 18 they are 1.59 mm², with 22 they are 2.38.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Value`] for numbers that are not positive.
    pub fn from_high_power(
        shape: FieldShape,
        count: f64,
        field_number_mm: f64,
        objective: f64,
    ) -> Result<Self> {
        let named = [("hpf", count), ("field-number-mm", field_number_mm), ("objective", objective)];
        for (name, value) in named {
            if !(value > 0.0 && value.is_finite()) {
                return Err(MeasureError::value(name, value, "a positive number"));
            }
        }
        let radius_mm = field_number_mm / objective / 2.0;
        Self::new(shape, count * std::f64::consts::PI * radius_mm * radius_mm)
    }

    /// Its outline.
    #[must_use]
    pub fn shape(self) -> FieldShape {
        self.shape
    }

    /// Its area in mm².
    #[must_use]
    pub fn area_mm2(self) -> f64 {
        self.area_mm2
    }

    /// Its reach from its centre in µm: the radius of a circle, half the side of a
    /// square.
    #[must_use]
    pub fn reach_um(self) -> f64 {
        let area_um2 = self.area_mm2 * 1e6;
        match self.shape {
            FieldShape::Circle => (area_um2 / std::f64::consts::PI).sqrt(),
            FieldShape::Square => area_um2.sqrt() / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_high_power_fields_are_as_large_as_their_microscope_makes_them() {
        let areas = [18.0, 20.0, 22.0, 26.5].map(|number| {
            let field = Field::from_high_power(FieldShape::Circle, 10.0, number, 40.0).unwrap();
            (field.area_mm2() * 1000.0).round() / 1000.0
        });
        assert_eq!(areas, [1.590, 1.963, 2.376, 3.447]);
        assert!(Field::from_high_power(FieldShape::Circle, 10.0, 0.0, 40.0).is_err());
        assert!(Field::new(FieldShape::Square, f64::NAN).is_err());
    }

    #[test]
    fn the_reach_goes_from_the_centre_to_the_border() {
        assert_eq!(Field::new(FieldShape::Square, 1.0).unwrap().reach_um(), 500.0);
        let circle = Field::new(FieldShape::Circle, std::f64::consts::PI).unwrap();
        assert_eq!(circle.reach_um(), 1000.0);
    }
}
