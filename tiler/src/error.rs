//! Reasons why a slide has no plan.

use wsi_types::SamplingError;

/// Reasons why a slide has no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The slide is not sharp enough for the model.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// Text that is not an overlap.
    #[error("{0:?} is no overlap, expected percent below 100, pixels or microns (50%, 256px, 12um) or auto")]
    NotAnOverlap(String),
    /// `auto` for a model that does not state how large its objects are.
    #[error("overlap auto needs the size of the model's largest object, give it in µm or px instead")]
    NoObjectSize,
    /// An overlap that leaves too small a step between windows.
    #[error(
        "an overlap of {overlap_px} px leaves too small a step between windows of {window} px, \
         expected a step of at least {least_step} px"
    )]
    OverlapTooLarge {
        /// The requested overlap, in grid px.
        overlap_px: u32,
        /// Side of the window.
        window: u32,
        /// The smallest step allowed.
        least_step: u32,
    },
    /// The model cannot take such a window.
    #[error("windows of {window} px do not fit the model, expected a multiple of {multiple_of}")]
    WindowNotMultiple {
        /// Side of the window.
        window: u32,
        /// The model's stride.
        multiple_of: u32,
    },
    /// A stride so small that the plan has no end.
    #[error("the plan would have {places} windows, expected at most {limit}: make the overlap smaller")]
    TooManyWindows {
        /// Windows on the slide, with or without tissue.
        places: u64,
        /// The largest number allowed.
        limit: u64,
    },
    /// The least tissue share is out of range.
    #[error("the least tissue share is {0}, expected 0 to 1")]
    NotAFraction(f64),
    /// Mask and slide have different level-0 sizes.
    #[error("the mask is of a slide of {}x{} px, this one has {}x{}", mask.0, mask.1, slide.0, slide.1)]
    MaskOfAnotherSlide {
        /// Level-0 size the mask was made for.
        mask: (u32, u32),
        /// Level-0 size of the slide.
        slide: (u32, u32),
    },
}
