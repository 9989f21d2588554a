//! The head of a model that gives one vector for each window.

use wsi_types::Embedding;

use super::{
    Dim, Head, HeadSource, ImageInput,
    evidence::{Pixels, Told},
    file::ManifestFile,
};
use crate::DetectorError;

/// The head of vectors, where the TOML states it; `None` for outputs that are none.
///
/// # Errors
///
/// [`DetectorError::Manifest`] where nothing says how long a vector or how large a patch is.
pub(super) fn told(
    outputs: &[(String, Vec<Dim>)],
    input: &ImageInput,
) -> Result<Option<Told>, DetectorError> {
    let [output @ (name, dims)] = outputs else { return Ok(None) };
    let [_, length] = &dims[..] else { return Ok(None) };
    if input.height.fixed().is_none() || input.height != input.width {
        return Err(refused(format!(
            "is embedding, but the input takes {} × {} px: nothing says how large a patch is; export it with one size of \
             square pictures",
            input.width, input.height
        )));
    }
    let dimensions = length.fixed().and_then(|length| usize::try_from(length).ok());
    match dimensions.filter(|length| (1..=Embedding::MOST).contains(length)) {
        Some(dimensions) => Ok(Some(Told {
            head: Head::Embedding { dimensions },
            source: HeadSource::Stated,
            outputs: vec![output.clone()],
            pixels: Pixels::Unsaid,
        })),
        None => Err(refused(format!(
            "is embedding, but {name} is {}, expected [batch, numbers of a vector], 1 to {}: export it with that \
             number fixed",
            Dim::list(dims),
            Embedding::MOST
        ))),
    }
}

fn refused(reason: String) -> DetectorError {
    DetectorError::manifest("head", reason)
}

/// Refuses what a TOML says of classes and scores: a vector has none.
///
/// # Errors
///
/// [`DetectorError::Manifest`] that names the first such key.
pub(super) fn refuse_classes(file: &ManifestFile) -> Result<(), DetectorError> {
    let without_use = [
        ("classes", file.classes.is_some()),
        ("conf", file.conf.is_some()),
        ("nms_iou", file.nms_iou.is_some()),
        ("cross_class_iou", file.cross_class_iou.is_some()),
        ("max_object_um", file.max_object_um.is_some()),
        ("piece_overlap_px", file.piece_overlap_px.is_some()),
    ];
    match without_use.into_iter().find(|(_, is_stated)| *is_stated) {
        Some((key, _)) => {
            let reason = "the head is embedding, which has neither objects nor classes; leave it out";
            Err(DetectorError::manifest(key, reason))
        }
        None => Ok(()),
    }
}
