//! Patches: the windows of a model that gives vectors, each with its place, its tissue and its vector.

use std::mem;

use merger::Patch;
use tiler::Survey;
use wsi_types::Level0Box;

use crate::sightings::OfDetector;

/// Takes the vectors of all detectors, with the places of their windows, in order of window. One detector gives vectors at
/// most ([`ModelSet::new`](crate::ModelSet::new)).
pub(crate) fn take_patches(survey: &Survey, each: &mut [OfDetector]) -> Vec<Patch> {
    let of_each = each.iter_mut().flat_map(|of| {
        let mut vectors = mem::take(&mut of.vectors);
        let windows = of.layout.windows().iter();
        let patches = windows.filter_map(|window| {
            let embedding = vectors.remove(&window.index)?;
            let area = window.on_level0(&window.rect);
            Some(Patch { window: window.index, area, tissue: tissue_share(survey, &area), embedding })
        });
        patches.collect::<Vec<_>>()
    });
    of_each.collect()
}

/// Share of tissue in all of a part of level 0, be it past the slide.
pub(crate) fn tissue_share(survey: &Survey, area: &Level0Box) -> f64 {
    let on_slide = area.intersection(&survey.extent()).unwrap_or_else(Level0Box::zero);
    survey.mask.tissue_fraction(&on_slide) * on_slide.area() / area.area()
}
