//! OME-TIFF: the images of a file, and `PhysicalSizeX` of their pixels, in its unit.
//!
//! <https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/>

use std::{collections::BTreeSet, ops::Range};

use wsi_types::ObjectivePower;

use crate::{
    backend::tiff::role::role_in,
    scale::{self, Axes, um_per},
    slide::{MppSource, Scale, ScaleProblem},
};

/// Largest number of planes of one image whose pages are noted.
const MAX_PLANES: usize = 1024;

/// OME-XML facts of one image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Image {
    x: Option<Length>,
    y: Option<Length>,
    pub(crate) objective: Option<ObjectivePower>,
    /// Its role by its name, if that is not part of the slide.
    pub(crate) role: Option<&'static str>,
    /// Its pages, by their place in the chain of directories.
    pub(crate) pages: BTreeSet<usize>,
}

/// A number with its unit, as text: both may be nonsense.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Length {
    value: String,
    unit: String,
}

/// Reads the XML; `None` if it does not parse or has no image.
pub(crate) fn parse(xml: &str) -> Option<Vec<Image>> {
    let options = roxmltree::ParsingOptions { nodes_limit: 200_000, ..Default::default() };
    // An HTML entity that some writers use in XML.
    let xml = xml.trim_start_matches('\u{feff}').replace("&micro;", "\u{b5}");
    let document = roxmltree::Document::parse_with_options(&xml, options).ok()?;
    let root = document.root_element();
    let mut images = Vec::new();
    let mut first_page = 0;
    for node in root.children().filter(|n| n.has_tag_name_local("Image")) {
        let image = image(root, node, first_page)?;
        first_page = image.pages.last().map_or(first_page, |last| last + 1);
        images.push(image);
    }
    (!images.is_empty()).then_some(images)
}

/// Reads one image; `first_page` is the place where its pages begin if it does not state that.
fn image(root: roxmltree::Node<'_, '_>, node: roxmltree::Node<'_, '_>, first_page: usize) -> Option<Image> {
    let pixels = node.children().find(|n| n.has_tag_name_local("Pixels"))?;
    let wanted =
        node.children().find(|n| n.has_tag_name_local("ObjectiveSettings")).and_then(|n| n.attribute("ID"));
    let mut objectives = root.descendants().filter(|n| n.has_tag_name_local("Objective"));
    let objective = (objectives.clone())
        .find(|n| wanted.is_some() && n.attribute("ID") == wanted)
        .or_else(|| objectives.next())
        .and_then(|n| n.attribute("NominalMagnification"))
        .and_then(scale::objective);
    Some(Image {
        x: length(pixels, "PhysicalSizeX", "PhysicalSizeXUnit"),
        y: length(pixels, "PhysicalSizeY", "PhysicalSizeYUnit"),
        objective,
        role: node.attribute("Name").and_then(role_in),
        pages: pages(pixels, first_page),
    })
}

/// Returns a length of the pixels with its unit, µm if none is stated.
fn length(pixels: roxmltree::Node<'_, '_>, value: &str, unit: &str) -> Option<Length> {
    Some(Length {
        value: pixels.attribute(value)?.to_owned(),
        unit: pixels.attribute(unit).unwrap_or("µm").to_owned(),
    })
}

fn number(node: roxmltree::Node<'_, '_>, name: &str) -> Option<usize> {
    node.attribute(name)?.trim().parse().ok()
}

/// Returns the pages that the `TiffData` of an image name. Without a number of planes it is one page; if
/// `TiffData` has no `IFD` either, all pages of the image.
fn pages(pixels: roxmltree::Node<'_, '_>, first_page: usize) -> BTreeSet<usize> {
    // The samples of one channel, such as red, green and blue, share a page.
    let channels = pixels.children().filter(|n| n.has_tag_name_local("Channel")).count().max(1);
    let [depth, times] = ["SizeZ", "SizeT"].map(|name| number(pixels, name).unwrap_or(1));
    let planes = channels.saturating_mul(depth).saturating_mul(times);
    let ranges: Vec<Range<usize>> = pixels
        .children()
        .filter(|n| n.has_tag_name_local("TiffData"))
        .map(|n| {
            let start = number(n, "IFD");
            let count = number(n, "PlaneCount").unwrap_or(if start.is_some() { 1 } else { planes });
            let start = start.unwrap_or(first_page);
            start..start.saturating_add(count.min(MAX_PLANES))
        })
        .collect();
    ranges.into_iter().flatten().take(MAX_PLANES).collect()
}

/// Comparison of names without their namespace, which differs by year.
trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for roxmltree::Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

impl Image {
    /// Returns the pixel size in µm, checked.
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
        match (um_per(&self.unit), self.unit.trim()) {
            (Some(factor), _) => Ok(value * factor),
            // Units of OME that are not lengths.
            (None, "pixel" | "reference frame") => Err(ScaleProblem::Missing),
            (None, unit) => Err(ScaleProblem::UnknownUnit {
                tag: "PhysicalSizeX".into(),
                unit: unit.chars().take(40).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale_of(attributes: &str) -> Result<Scale, ScaleProblem> {
        parse(&format!(
            r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="P:0" {attributes}/></Image></OME>"#
        ))
        .unwrap()[0]
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
        assert_eq!(
            scale_of(r#"PhysicalSizeX="1" PhysicalSizeXUnit="furlong""#).unwrap_err().to_string(),
            r#"PhysicalSizeX is in "furlong", expected a unit of length such as µm, nm or mm"#
        );
        assert_eq!(parse("<OME><Image/></OME>"), None);
        assert_eq!(parse("not xml"), None);
    }

    #[test]
    fn the_objective_of_the_image_is_taken() {
        let images = parse(
            r#"<OME><Instrument><Objective ID="O:1" NominalMagnification="20"/><Objective ID="O:2" NominalMagnification="40.0"/></Instrument>
               <Image><ObjectiveSettings ID="O:2"/><Pixels PhysicalSizeX="0.25"/></Image></OME>"#,
        )
        .unwrap();
        assert_eq!(images[0].objective, Some(ObjectivePower(40.0)));
    }

    #[test]
    fn images_know_their_pages_and_what_they_are() {
        let images = parse(
            r#"<OME><Image Name="a"><Pixels SizeZ="3"><Channel SamplesPerPixel="3"/><TiffData/></Pixels></Image>
               <Image Name="Label image"><Pixels><TiffData IFD="3"/></Pixels></Image>
               <Image Name="b"><Pixels SizeZ="2"><TiffData IFD="5" PlaneCount="1"/><TiffData IFD="4" PlaneCount="1"/></Pixels></Image></OME>"#,
        )
        .unwrap();
        let pages: Vec<Vec<usize>> =
            images.iter().map(|image| image.pages.iter().copied().collect()).collect();
        assert_eq!(pages, [vec![0, 1, 2], vec![3], vec![4, 5]]);
        assert_eq!(images.iter().map(|image| image.role).collect::<Vec<_>>(), [None, Some("label"), None]);
        assert!(
            parse(r#"<OME><Image><Pixels PhysicalSizeX="1" PhysicalSizeXUnit="&micro;m"/></Image></OME>"#)
                .is_some()
        );
    }
}
