//! Maps with a place for each px of the window.

use super::{Dim, ImageInput, evidence::HeadName};
use crate::DetectorError;

/// Refuses maps `[.., rows, columns]` that do not cover the window: an object in the margin would be nowhere, one at their
/// border cut and counted as whole.
///
/// # Errors
///
/// [`DetectorError::Manifest`] where both sizes are known and differ.
pub(super) fn refuse_smaller(
    head: HeadName,
    (name, dims): &(String, Vec<Dim>),
    input: &ImageInput,
) -> Result<(), DetectorError> {
    let sides = dims.iter().rev().zip([&input.width, &input.height]);
    let differs = sides
        .into_iter()
        .any(|(map, window)| map.fixed().zip(window.fixed()).is_some_and(|(map, window)| map != window));
    if !differs {
        return Ok(());
    }
    let reason = format!(
        "is {head}, but {name} is {} for windows of {} × {} px, expected a place for each px: export it with padded \
         convolutions, or with its picture mirrored around the borders inside the graph",
        Dim::list(dims),
        input.width,
        input.height
    );
    Err(DetectorError::manifest("head", reason))
}
