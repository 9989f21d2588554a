//! OME-TIFF: `PhysicalSizeX` of the first image's pixels, in its unit.
//!
//! <https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/>

use wsi_types::ObjectivePower;

use crate::{
    scale::{self, Axes},
    slide::{MppSource, Scale, ScaleProblem},
};

/// What OME-XML says of its first image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Image {
    x: Option<Length>,
    y: Option<Length>,
    pub(crate) objective: Option<ObjectivePower>,
}

/// A number with its unit, as text: both may be nonsense.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Length {
    value: String,
    unit: String,
}

/// Reads the XML; `None` when it does not parse or has no image.
pub(crate) fn parse(xml: &str) -> Option<Image> {
    let options = roxmltree::ParsingOptions { nodes_limit: 200_000, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(xml.trim_start_matches('\u{feff}'), options).ok()?;
    let root = document.root_element();
    let image = root.children().find(|n| n.has_tag_name_local("Image"))?;
    let pixels = image.children().find(|n| n.has_tag_name_local("Pixels"))?;
    let length = |name: &str| {
        let unit = format!("{name}Unit");
        Some(Length {
            value: pixels.attribute(name)?.to_owned(),
            unit: pixels.attribute(unit.as_str()).unwrap_or("µm").to_owned(),
        })
    };
    let wanted =
        image.children().find(|n| n.has_tag_name_local("ObjectiveSettings")).and_then(|n| n.attribute("ID"));
    let objectives = || root.descendants().filter(|n| n.has_tag_name_local("Objective"));
    let objective = objectives()
        .find(|n| wanted.is_some() && n.attribute("ID") == wanted)
        .or_else(|| objectives().next())
        .and_then(|n| n.attribute("NominalMagnification"))
        .and_then(scale::objective);
    Some(Image { x: length("PhysicalSizeX"), y: length("PhysicalSizeY"), objective })
}

/// Names are compared without their namespace, which differs by year.
trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for roxmltree::Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

impl Image {
    /// The pixel size in µm, checked.
    pub(crate) fn scale(&self) -> Result<Scale, ScaleProblem> {
        let x = self.x.as_ref().ok_or(ScaleProblem::Missing)?.um()?;
        let y = match &self.y {
            Some(length) => length.um()?,
            None => x,
        };
        Axes { tag: "PhysicalSizeX", x, y, source: MppSource::OmeXml }.scale(self.objective)
    }
}

impl Length {
    fn um(&self) -> Result<f64, ScaleProblem> {
        let value = scale::number("PhysicalSizeX", &self.value)?;
        match um_per(&self.unit) {
            Some(factor) => Ok(value * factor),
            // `pixel` and `reference frame` are units of OME, but no lengths.
            None => Err(ScaleProblem::Missing),
        }
    }
}

/// µm of one `UnitsLength` of the OME model.
fn um_per(unit: &str) -> Option<f64> {
    Some(match unit {
        // Micro sign and Greek mu look the same and are both written.
        "\u{b5}m" | "\u{3bc}m" | "um" | "micron" | "microns" => 1.0,
        "pm" => 1e-6,
        "nm" => 1e-3,
        "mm" => 1e3,
        "cm" => 1e4,
        "dm" => 1e5,
        "m" => 1e6,
        "\u{c5}" => 1e-4,
        "thou" | "mil" => 25.4,
        "in" | "inch" => 25_400.0,
        "pt" => 25_400.0 / 72.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scale_of(attributes: &str) -> Result<Scale, ScaleProblem> {
        parse(&format!(
            r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="P:0" {attributes}/></Image></OME>"#
        ))
        .unwrap()
        .scale()
    }

    #[test]
    fn units_are_honoured() {
        for attributes in [
            r#"PhysicalSizeX="0.25" PhysicalSizeY="0.25""#,
            r#"PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="250" PhysicalSizeYUnit="nm""#,
            r#"PhysicalSizeX="0.00025" PhysicalSizeXUnit="mm" PhysicalSizeY="0.25""#,
        ] {
            let scale = scale_of(attributes).unwrap();
            assert!((scale.mpp.get() - 0.25).abs() < 1e-12, "{attributes}");
            assert_eq!(scale.source, MppSource::OmeXml);
        }
    }

    #[test]
    fn what_is_no_length_is_no_scale() {
        assert_eq!(scale_of(""), Err(ScaleProblem::Missing));
        assert_eq!(scale_of(r#"PhysicalSizeX="1" PhysicalSizeXUnit="pixel""#), Err(ScaleProblem::Missing));
        assert!(matches!(scale_of(r#"PhysicalSizeX="wide""#), Err(ScaleProblem::NotANumber { .. })));
        assert_eq!(parse("<OME><Image/></OME>"), None);
        assert_eq!(parse("not xml"), None);
    }

    #[test]
    fn the_objective_of_the_image_is_taken() {
        let image = parse(
            r#"<OME><Instrument><Objective ID="O:1" NominalMagnification="20"/><Objective ID="O:2" NominalMagnification="40.0"/></Instrument>
               <Image><ObjectiveSettings ID="O:2"/><Pixels PhysicalSizeX="0.25"/></Image></OME>"#,
        )
        .unwrap();
        assert_eq!(image.objective, Some(ObjectivePower(40.0)));
    }
}
