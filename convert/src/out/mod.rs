//! Formats out: each reads the cells of one slide once, part by part.

mod annotation_store;
mod coco;
mod cvat;
mod dicom_ann;
mod dicom_seg;
mod dicom_sr;
mod files;
mod format;
mod geo_table;
mod geoarrow;
mod label_studio;
mod qupath;
mod request;
mod rtree;
mod spatialdata;
mod stream;
mod text;
mod zarr;

use std::path::Path;

pub use format::Format;
use qupath::Packing;
pub use request::{Settings, Source};

use crate::{
    error::{Result, unwritable},
    tally::Tally,
};

/// Writes one format into `folder`, which must exist. Files appear whole or not at all.
///
/// # Errors
///
/// When a table cannot be read, an output cannot be written, or the format cannot hold what was asked.
pub fn export(format: Format, source: &Source<'_>, settings: &Settings, folder: &Path) -> Result<Tally> {
    let path = format.path(folder, source.facts);
    let mut tally = match format {
        Format::QuPath => qupath::write(source, settings, &path, Packing::Member),
        Format::GeoJson => qupath::write(source, settings, &path, Packing::Plain),
        Format::GeoJsonGz => qupath::write(source, settings, &path, Packing::Gzip),
        Format::DicomAnn => dicom_ann::write(source, settings, &path),
        Format::AnnotationStore => annotation_store::write(source, settings, &path),
        Format::SpatialData => spatialdata::write(source, settings, &path),
        Format::GeoArrow => geoarrow::write(source, settings, &path),
        Format::Coco => coco::write(source, settings, &path),
        Format::LabelStudio => label_studio::write(source, settings, &path),
        Format::Cvat => cvat::write(source, settings, &path),
        Format::DicomSr => dicom_sr::write(source, settings, &path),
        Format::DicomSeg => dicom_seg::write(source, settings, &path),
    }?;
    if format == Format::QuPath {
        qupath::write_script(folder)?;
        tally.notes.push(format!("drag it onto the slide in QuPath, or run {} there", qupath::SCRIPT_NAME));
    }
    if matches!(format, Format::LabelStudio | Format::Cvat) {
        tally.notes.push(
            "its pictures are parts of level 0, called <slide>_<left>_<top>_<width>_<height>.png: docs/exports.md says \
             how to cut them"
                .to_owned(),
        );
    }
    tally.bytes = files::bytes_at(&path).map_err(unwritable("the export", &path))?;
    tally.files.push(path);
    Ok(tally)
}
