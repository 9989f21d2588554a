//! The formats, by name and ending.

use std::path::{Path, PathBuf};

use crate::source::SlideFacts;

/// A format of another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// QuPath objects, a zip of GeoJSON members.
    QuPath,
    /// The same as one GeoJSON file.
    GeoJson,
    /// The same, compressed by gzip.
    GeoJsonGz,
    /// DICOM Microscopy Bulk Simple Annotations.
    DicomAnn,
    /// TIAToolbox's `SQLiteStore`.
    AnnotationStore,
    /// A SpatialData store, a folder.
    SpatialData,
    /// GeoParquet with native geometry.
    GeoArrow,
    /// COCO instances.
    Coco,
    /// Label Studio tasks, on pictures of parts of the slide.
    LabelStudio,
    /// CVAT for images 1.1, on the same pictures.
    Cvat,
    /// A DICOM structured report.
    DicomSr,
    /// A DICOM segmentation of the regions.
    DicomSeg,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::QuPath,
        Self::GeoJson,
        Self::GeoJsonGz,
        Self::DicomAnn,
        Self::AnnotationStore,
        Self::SpatialData,
        Self::GeoArrow,
        Self::Coco,
        Self::LabelStudio,
        Self::Cvat,
        Self::DicomSr,
        Self::DicomSeg,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QuPath => "qupath",
            Self::GeoJson => "geojson",
            Self::GeoJsonGz => "geojson.gz",
            Self::DicomAnn => "dicom-ann",
            Self::AnnotationStore => "annotation-store",
            Self::SpatialData => "spatialdata",
            Self::GeoArrow => "geoarrow",
            Self::Coco => "coco",
            Self::LabelStudio => "label-studio",
            Self::Cvat => "cvat",
            Self::DicomSr => "dicom-sr",
            Self::DicomSeg => "dicom-seg",
        }
    }

    /// End of the name of its file or folder.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::QuPath => ".geojson.zip",
            Self::GeoJson => ".geojson",
            Self::GeoJsonGz => ".geojson.gz",
            Self::DicomAnn => "-ann.dcm",
            Self::AnnotationStore => ".db",
            Self::SpatialData => ".sd.zarr",
            Self::GeoArrow => ".geoarrow.parquet",
            Self::Coco => ".coco.json",
            Self::LabelStudio => ".label-studio.json",
            Self::Cvat => ".cvat.xml",
            Self::DicomSr => "-sr.dcm",
            Self::DicomSeg => "-seg.dcm",
        }
    }

    /// `true` if it holds the cells themselves, and not only counts of them or regions.
    #[must_use]
    pub fn holds_cells(self) -> bool {
        !matches!(self, Self::DicomSr | Self::DicomSeg)
    }

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Path of an export of a slide.
    #[must_use]
    pub fn path(self, folder: &Path, facts: &SlideFacts) -> PathBuf {
        folder.join(format!("{}{}", facts.id, self.ending()))
    }
}
