//! Facts that OpenSlide gives of any slide, taken from its properties as text.

use std::collections::BTreeMap;

use wsi_types::{Level0Box, ObjectivePower, Rgb};

use super::tiff_resolution::{self, Resolution};
use crate::{
    scale::{self, Axes},
    slide::{MppSource, Scale, ScaleProblem},
};

/// Properties by name.
pub(crate) type Properties = BTreeMap<String, String>;

/// Returns the pixel size of level 0.
///
/// OpenSlide 4 computes one from the print resolution of a plain TIFF, and passes 0 and negative numbers on:
/// all are checked here.
pub(crate) fn scale(properties: &Properties) -> Result<Scale, ScaleProblem> {
    let vendor = properties.get("openslide.vendor").map_or("", String::as_str);
    if vendor == "aperio" {
        // OpenSlide leaves out values that are not numbers; the file's own text tells more.
        return match properties.get("aperio.MPP") {
            Some(text) => {
                let value = scale::number("MPP", text)?;
                Axes { tag: "MPP", x: value, y: value, source: MppSource::Vendor }
                    .scale(objective(properties))
            }
            None => Resolution::of_properties(properties).scale(objective(properties)),
        };
    }
    let [x, y] = ["openslide.mpp-x", "openslide.mpp-y"]
        .map(|name| properties.get(name).map(|text| scale::number(name, text)).transpose());
    let x = x?.ok_or(ScaleProblem::Missing)?;
    let y = y?.unwrap_or(x);
    match vendor {
        "generic-tiff" => tiff_resolution::scale_of(x, y, objective(properties)),
        // MIRAX states the bare objective; a camera adapter of 1.6 may sit behind it.
        "mirax" => Axes { tag: "openslide.mpp-x", x, y, source: MppSource::Vendor }.scale(None),
        "dicom" => Axes { tag: "PixelSpacing", x, y, source: MppSource::Dicom }.scale(objective(properties)),
        _ => Axes { tag: "openslide.mpp-x", x, y, source: MppSource::Vendor }.scale(objective(properties)),
    }
}

/// Returns the magnification on the label.
pub(crate) fn objective(properties: &Properties) -> Option<ObjectivePower> {
    scale::objective(properties.get("openslide.objective-power")?)
}

/// Returns the scanned part of level 0.
pub(crate) fn bounds(properties: &Properties) -> Option<Level0Box> {
    let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| {
        let text = properties.get(&format!("openslide.bounds-{name}"))?;
        text.trim().parse::<f64>().ok().filter(|v| v.is_finite())
    });
    let (x, y, width, height) = (x?, y?, width?, height?);
    (width > 0.0 && height > 0.0)
        .then(|| Level0Box::new(euclid::point2(x, y), euclid::point2(x + width, y + height)))
}

/// Returns the background by `RRGGBB`, or white.
pub(crate) fn background(properties: &Properties) -> Rgb {
    let text = properties.get("openslide.background-color");
    let value = text.and_then(|text| u32::from_str_radix(text.trim_start_matches('#'), 16).ok());
    let [_, r, g, b] = value.unwrap_or(0xff_ff_ff).to_be_bytes();
    [r, g, b]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn invented_and_impossible_scales_are_refused() {
        let generic =
            properties(&[("openslide.vendor", "generic-tiff"), ("openslide.mpp-x", "352.77777777777777")]);
        assert!(matches!(scale(&generic), Err(ScaleProblem::PrintResolution { .. })));
        let zero = properties(&[("openslide.vendor", "hamamatsu"), ("openslide.mpp-x", "0")]);
        assert!(matches!(scale(&zero), Err(ScaleProblem::Implausible { .. })));
        let mirax = properties(&[
            ("openslide.vendor", "mirax"),
            ("openslide.mpp-x", "0.23387573964497"),
            ("openslide.objective-power", "20"),
        ]);
        assert_eq!(scale(&mirax).unwrap().mpp.get(), 0.233_875_739_644_97);
    }

    #[test]
    fn bounds_and_background_are_read_as_text() {
        let p = properties(&[
            ("openslide.bounds-x", "10.5"),
            ("openslide.bounds-y", "20"),
            ("openslide.bounds-width", "100"),
            ("openslide.bounds-height", "50"),
            ("openslide.background-color", "0102FF"),
        ]);
        assert_eq!(bounds(&p), Some(Level0Box::new(euclid::point2(10.5, 20.0), euclid::point2(110.5, 70.0))));
        assert_eq!(background(&p), [1, 2, 255]);
        assert_eq!(background(&properties(&[])), [255; 3]);
    }
}
