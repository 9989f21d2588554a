//! Where each maker hides the size of a pixel.

pub(crate) mod aperio;
pub(crate) mod dicom;
pub(crate) mod dicom_colour;
pub(crate) mod ome;
pub(crate) mod openslide;
pub(crate) mod tiff_resolution;

use std::collections::BTreeMap;

use wsi_types::ObjectivePower;

use crate::{
    backend::tiff::{Format, Layout, directory::TiffFile},
    slide::{Scale, ScaleProblem},
};

/// What a file says about itself beside its pixels.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) scale: Result<Scale, ScaleProblem>,
    pub(crate) objective: Option<ObjectivePower>,
    pub(crate) properties: BTreeMap<String, String>,
}

/// Reads the facts of a TIFF whose pages are sorted out. A tag that cannot be
/// read is as good as absent here: pixels do not depend on it.
pub(crate) fn tiff_facts(file: &TiffFile, layout: &Layout) -> Facts {
    let page = &layout.levels[0];
    let mut properties = tiff_resolution::properties(file, &page.directory);
    let resolution = tiff_resolution::Resolution::read(file, &page.directory);
    let (scale, objective) = match layout.format {
        Format::Aperio => {
            let facts = aperio::parse(&page.description);
            properties.extend(facts.properties());
            (facts.scale(), facts.objective())
        }
        Format::Ome => match ome::parse(&page.description) {
            Some(image) => {
                let scale = image.scale();
                let scale = if scale == Err(ScaleProblem::Missing) {
                    resolution.scale(image.objective)
                } else {
                    scale
                };
                (scale, image.objective)
            }
            None => (resolution.scale(None), None),
        },
        Format::PerkinElmer | Format::Generic => (resolution.scale(None), None),
    };
    if !page.description.is_empty() {
        properties.insert("tiff.ImageDescription".into(), page.description.clone());
    }
    Facts { scale, objective, properties }
}
