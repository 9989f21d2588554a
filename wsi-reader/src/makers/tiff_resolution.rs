//! `XResolution` and its unit: a scale if a microscope wrote it, a default for printing if an image program
//! did.

use std::collections::BTreeMap;

use wsi_types::{Mpp, ObjectivePower};

use crate::{
    backend::tiff::directory::{Directory, TiffFile},
    scale::{Axes, UM_PER_INCH},
    slide::{MppSource, Scale, ScaleProblem},
};

/// Dots per inch that image programs and printers write.
const PRINT_DPI: [f64; 10] = [72.0, 90.0, 96.0, 100.0, 120.0, 150.0, 200.0, 300.0, 600.0, 1200.0];

/// Pixels per unit along both axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Resolution {
    /// µm of the unit; `None` when the file gives no length.
    unit_um: Option<f64>,
    x: Option<f64>,
    y: Option<f64>,
}

impl Resolution {
    pub(crate) fn read(file: &TiffFile, directory: &Directory) -> Self {
        // 0 means "unknown".
        let [x, y] =
            [282, 283].map(|tag| file.real(directory, tag).ok().flatten().filter(|&value| value != 0.0));
        // TIFF 6.0: 1 no absolute unit, 2 inch (the default), 3 centimetre.
        let unit_um = match file.first(directory, 296).ok().flatten() {
            None | Some(2) => Some(UM_PER_INCH),
            Some(3) => Some(10_000.0),
            Some(_) => None,
        };
        Self { unit_um, x, y }
    }

    /// Returns the same numbers in a unit of `um` µm.
    pub(crate) fn in_unit(self, um: f64) -> Self {
        Self { unit_um: Some(um), ..self }
    }

    /// Makes a resolution of pixels per unit, the same along both axes, in a unit that is not stated.
    #[cfg(test)]
    pub(crate) fn per_unit(pixels: f64) -> Self {
        Self { unit_um: None, x: Some(pixels), y: Some(pixels) }
    }

    /// Reads the tags of a file that OpenSlide passes on as text.
    pub(crate) fn of_properties(properties: &BTreeMap<String, String>) -> Self {
        let [x, y] = ["tiff.XResolution", "tiff.YResolution"]
            .map(|name| properties.get(name)?.parse().ok().filter(|&value: &f64| value != 0.0));
        let unit_um = match properties.get("tiff.ResolutionUnit").map(String::as_str) {
            Some("inch") => Some(UM_PER_INCH),
            Some("centimeter") => Some(10_000.0),
            _ => None,
        };
        Self { unit_um, x, y }
    }

    /// Returns the scale, unless it is missing or a print setting.
    pub(crate) fn scale(self, objective: Option<ObjectivePower>) -> Result<Scale, ScaleProblem> {
        let (Some(unit), Some(x)) = (self.unit_um, self.x) else { return Err(ScaleProblem::Missing) };
        let y = self.y.unwrap_or(x);
        scale_of(unit / x, unit / y, objective)
    }
}

/// Returns the scale of pixels that the TIFF states to be `x` by `y` µm.
pub(crate) fn scale_of(x: f64, y: f64, objective: Option<ObjectivePower>) -> Result<Scale, ScaleProblem> {
    let dpi = UM_PER_INCH / x;
    let is_print = PRINT_DPI.iter().any(|print| (dpi / print - 1.0).abs() < 0.005);
    if is_print && x > *Mpp::PLAUSIBLE.end() {
        return Err(ScaleProblem::PrintResolution { dpi: (dpi * 100.0).round() / 100.0 });
    }
    Axes { tag: "the TIFF resolution", x, y, source: MppSource::TiffResolution }.scale(objective)
}

/// Returns the tags that OpenSlide also gives as properties, under its names.
pub(crate) fn properties(file: &TiffFile, directory: &Directory) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (tag, name) in [
        (271, "Make"),
        (272, "Model"),
        (305, "Software"),
        (306, "DateTime"),
        (315, "Artist"),
        (316, "HostComputer"),
        (33432, "Copyright"),
    ] {
        if let Ok(Some(text)) = file.text(directory, tag) {
            found.insert(format!("tiff.{name}"), text);
        }
    }
    for (tag, name) in [(282, "XResolution"), (283, "YResolution")] {
        if let Ok(Some(value)) = file.real(directory, tag) {
            found.insert(format!("tiff.{name}"), value.to_string());
        }
    }
    if let Ok(Some(unit)) = file.first(directory, 296) {
        let name = match unit {
            1 => "none",
            2 => "inch",
            3 => "centimeter",
            _ => "unknown",
        };
        found.insert("tiff.ResolutionUnit".into(), name.into());
    }
    if let Ok(Some(orientation)) = file.first(directory, 274) {
        found.insert("tiff.Orientation".into(), orientation.to_string());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn print_settings_are_no_scale() {
        for dpi in [72.0, 71.98, 96.0, 300.0] {
            let um = UM_PER_INCH / dpi;
            assert!(matches!(scale_of(um, um, None), Err(ScaleProblem::PrintResolution { .. })), "{dpi}");
        }
        assert!(matches!(scale_of(1000.0, 1000.0, None), Err(ScaleProblem::Implausible { .. })));
        let scale = scale_of(0.499, 0.499, None).unwrap();
        assert_eq!((scale.mpp.get(), scale.source), (0.499, MppSource::TiffResolution));
    }
}
