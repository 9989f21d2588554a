//! ImageJ: pixels per unit in the TIFF's resolution, the unit in the description.
//!
//! <https://imagej.net/ij/source/ij/io/TiffEncoder.java> writes `ImageJ=1.53k`, then
//! `unit=micron` and others, a line each.

use super::tiff_resolution::Resolution;
use crate::{
    scale::um_per,
    slide::{Scale, ScaleProblem},
};

/// Returns the scale of a plain TIFF, whose unit ImageJ may state.
pub(crate) fn scale(description: &str, resolution: Resolution) -> Result<Scale, ScaleProblem> {
    match fact(description, "unit") {
        Some(unit) if !matches!(unit, "pixel" | "pixels" | "") => match um_per(unit) {
            Some(um) => resolution.in_unit(um).scale(None),
            None => Err(ScaleProblem::UnknownUnit {
                tag: "ImageJ's unit".into(),
                unit: unit.chars().take(40).collect(),
            }),
        },
        _ => resolution.scale(None),
    }
}

/// Returns the number of pictures that ImageJ states for the file: a stack of more than 4 GiB has one
/// directory for all.
pub(crate) fn pictures(description: &str) -> u64 {
    fact(description, "images").and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// Returns the value of one line; `None` if ImageJ did not write the text.
fn fact<'a>(description: &'a str, name: &str) -> Option<&'a str> {
    let lines = description.strip_prefix("ImageJ=")?.lines();
    lines.filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_that_of_the_description() {
        let resolution = Resolution::per_unit(4.0);
        for micron in ["micron", "um", "µm", r"\u00B5m"] {
            let found = scale(&format!("ImageJ=1.53k\nunit={micron}\nloop=false\n"), resolution);
            assert_eq!(found.unwrap().mpp.get(), 0.25, "{micron}");
        }
        let [nm, pixel, furlong] = ["nm", "pixel", "furlong"]
            .map(|unit| scale(&format!("ImageJ=1.53k\nunit={unit}\nloop=false\n"), resolution));
        assert_eq!(nm, Resolution::per_unit(4000.0).in_unit(1.0).scale(None));
        assert_eq!(pixel, Err(ScaleProblem::Missing));
        assert_eq!(
            furlong.unwrap_err().to_string(),
            r#"ImageJ's unit is in "furlong", expected a unit of length such as µm, nm or mm"#
        );
        assert_eq!(scale("unit=micron", resolution), Err(ScaleProblem::Missing));
        assert_eq!((pictures("ImageJ=1.53k\nimages=7\n"), pictures("images=7")), (7, 1));
    }
}
