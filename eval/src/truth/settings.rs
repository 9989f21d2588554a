//! Settings for reading annotation files.

use wsi_types::Mpp;

use crate::objects::Detail;

/// Settings for reading annotation files.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadSettings {
    /// Detail of shapes to keep; [`Criterion::detail`](crate::matching::Criterion::detail) returns the detail
    /// that a criterion needs.
    pub detail: Detail,
    /// Pixel size of images whose file does not give it.
    pub mpp: Option<Mpp>,
    /// Classes that mean "nobody annotated here". QuPath's `Ignore*` is always one.
    pub ignore_classes: Vec<String>,
    /// Takes the nucleus of a QuPath cell that has both outlines.
    pub nuclei: bool,
    /// Meaning of separate parts of one shape.
    pub parts: Parts,
    /// Takes objects marked `iscrowd` for single objects: CVAT marks all objects drawn with its brush so.
    pub crowds_are_objects: bool,
    /// Takes only those of QuPath's objects that a program detected, and no annotations.
    pub qupath: QuPathObjects,
}

impl Default for ReadSettings {
    fn default() -> Self {
        Self {
            detail: Detail::Full,
            mpp: None,
            ignore_classes: vec!["Ignore*".to_owned(), "Ignore".to_owned(), "ignore".to_owned()],
            nuclei: false,
            parts: Parts::default(),
            crowds_are_objects: false,
            qupath: QuPathObjects::default(),
        }
    }
}

/// Choice of QuPath's objects; files of other tools do not tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuPathObjects {
    /// All but tiles, cores of arrays and the root.
    #[default]
    All,
    /// Objects that a program detected.
    Detections,
    /// Objects that a person drew; names are kept in [`Reading::names`](super::Reading::names).
    Annotations,
}

/// Meaning of the separate parts of a GeoJSON multi-polygon, or of a mask with one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parts {
    /// Each an object, if an annotation's class is one of cells: QuPath merges all annotations of a class
    /// into one. Else parts of one object.
    #[default]
    ByClass,
    /// Parts of one object.
    Whole,
    /// Each an object.
    Objects,
}
