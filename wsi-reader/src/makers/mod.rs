//! The places where each maker writes the size of a pixel.

pub(crate) mod aperio;
pub(crate) mod dicom;
pub(crate) mod dicom_colour;
pub(crate) mod imagej;
pub(crate) mod ome;
pub(crate) mod openslide;
pub(crate) mod tiff_resolution;

use std::collections::BTreeMap;

use wsi_types::ObjectivePower;

use self::tiff_resolution::Resolution;
use crate::{
    backend::tiff::{
        directory::TiffFile,
        layout::{Format, Layout},
    },
    slide::{Scale, ScaleProblem},
};

/// Facts that a file states about itself, apart from its pixels.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) scale: Result<Scale, ScaleProblem>,
    pub(crate) objective: Option<ObjectivePower>,
    pub(crate) properties: BTreeMap<String, String>,
}

/// Reads the facts of a TIFF whose pages are sorted. A tag that cannot be read counts as absent here: pixels
/// do not depend on it.
pub(crate) fn tiff_facts(file: &TiffFile, layout: &Layout) -> Facts {
    let page = &layout.levels[0];
    let mut properties = tiff_resolution::properties(file, &page.directory);
    let resolution = Resolution::read(file, &page.directory);
    let (scale, objective) = match layout.format {
        Format::Aperio => {
            let own = aperio::parse(&page.description);
            let facts = if own.is_empty() { aperio::parse(&layout.description) } else { own };
            properties.extend(facts.properties());
            (stated_or(facts.scale(), resolution, facts.objective()), facts.objective())
        }
        Format::Ome => match &layout.ome {
            Some(image) => (stated_or(image.scale(), resolution, image.objective), image.objective),
            None => {
                let unreadable = ScaleProblem::Unreadable { what: "OME-XML".into() };
                (resolution.scale(None).map_err(|_| unreadable), None)
            }
        },
        Format::PerkinElmer => (resolution.scale(None), None),
        Format::Generic => (imagej::scale(&layout.description, resolution), None),
    };
    if !layout.description.is_empty() {
        properties.insert("tiff.ImageDescription".into(), layout.description.clone());
    }
    Facts { scale, objective, properties }
}

/// Returns the scale that the maker's text states, or that of the TIFF's resolution if it states none.
fn stated_or(
    stated: Result<Scale, ScaleProblem>,
    resolution: Resolution,
    objective: Option<ObjectivePower>,
) -> Result<Scale, ScaleProblem> {
    match stated {
        Err(ScaleProblem::Missing) => resolution.scale(objective),
        stated => stated,
    }
}
