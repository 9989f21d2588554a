//! The colours of classes.

use wsi_types::{ClassId, Rgb};

/// Clear on pink and violet, told apart by the colour-blind (after Okabe and
/// Ito 2008, lightened); classes beyond the last start again.
const CLASS_COLOURS: [Rgb; 8] = [
    [0, 216, 104],
    [0, 112, 224],
    [255, 200, 0],
    [216, 64, 0],
    [64, 208, 255],
    [24, 24, 24],
    [248, 248, 88],
    [152, 0, 112],
];

/// The colour cells of a class are drawn in.
#[must_use]
pub fn class_colour(class: ClassId) -> Rgb {
    CLASS_COLOURS[usize::from(class.0) % CLASS_COLOURS.len()]
}
