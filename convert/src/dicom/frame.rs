//! Place of a slide's pixels in its frame of reference, and of the pixels of pictures made over it.

use dicom_core::VR;
use dicom_dictionary_std::tags;

use crate::{ids, source::SlideFacts};
use dicom_file::{Attributes as _, Items};

/// The frame of level 0 of a slide (PS3.3 C.8.12.2.1.1).
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    uid: String,
    /// Directions of rows and of columns: x, y and z of each.
    orientation: [f64; 6],
    /// The middle of the first px, mm; z is 0.
    origin: [f64; 2],
    /// From row to row and from column to column, mm.
    spacing: [f64; 2],
}

impl Frame {
    /// Of a slide that is not DICOM: an identifier made of its id, level 0 as it lies.
    pub(crate) fn invented(facts: &SlideFacts) -> Self {
        Self {
            uid: ids::uid(&[b"slide", facts.id.as_bytes(), b"frame of reference"]),
            orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            origin: [0.0; 2],
            spacing: [facts.mpp.get() * 1e-3; 2],
        }
    }

    /// As a whole-slide image says; what it leaves out is as in [`Frame::invented`].
    pub(crate) fn from_object(object: &Items, facts: &SlideFacts) -> Self {
        let invented = Self::invented(facts);
        let none = Items::new_empty();
        let shared = object.items_of(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first().unwrap_or(&none);
        let measures = shared.items_of(tags::PIXEL_MEASURES_SEQUENCE).first().unwrap_or(&none);
        let origin = object.items_of(tags::TOTAL_PIXEL_MATRIX_ORIGIN_SEQUENCE).first().unwrap_or(&none);
        let [x, y] = [tags::X_OFFSET_IN_SLIDE_COORDINATE_SYSTEM, tags::Y_OFFSET_IN_SLIDE_COORDINATE_SYSTEM]
            .map(|tag| origin.decimals_of(tag).map_or(0.0, |[offset]: [f64; 1]| offset));
        Self {
            uid: object.text_of(tags::FRAME_OF_REFERENCE_UID).unwrap_or(invented.uid),
            orientation: object.decimals_of(tags::IMAGE_ORIENTATION_SLIDE).unwrap_or(invented.orientation),
            origin: [x, y],
            spacing: measures
                .decimals_of(tags::PIXEL_SPACING)
                .filter(|spacing: &[f64; 2]| spacing.iter().all(|&mm| mm > 0.0))
                .unwrap_or(invented.spacing),
        }
    }

    /// Adds the place of a picture from the corner of level 0 on, each px of which is `step` level-0 px wide and high.
    pub(crate) fn put_grid(&self, object: &mut Items, step: f64) {
        /// As highdicom has it where a slide does not say.
        const THICKNESS_MM: f64 = 0.01;
        let [x, y] = self.middle_of_first(step);
        let mut origin = Items::new_empty();
        origin
            .decimals(tags::X_OFFSET_IN_SLIDE_COORDINATE_SYSTEM, &[x])
            .decimals(tags::Y_OFFSET_IN_SLIDE_COORDINATE_SYSTEM, &[y])
            .decimals(tags::Z_OFFSET_IN_SLIDE_COORDINATE_SYSTEM, &[0.0]);
        let mut measures = Items::new_empty();
        measures
            .decimals(tags::SLICE_THICKNESS, &[THICKNESS_MM])
            .decimals(tags::PIXEL_SPACING, &self.spacing.map(|mm| mm * step));
        let mut shared = Items::new_empty();
        shared.sequence(tags::PIXEL_MEASURES_SEQUENCE, vec![measures]);
        object
            .text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &self.uid)
            .text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, "SLIDE_CORNER")
            .sequence(tags::TOTAL_PIXEL_MATRIX_ORIGIN_SEQUENCE, vec![origin])
            .decimals(tags::IMAGE_ORIENTATION_SLIDE, &self.orientation)
            .sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
    }

    /// The middle of the first px of a coarser grid with the same corner, mm.
    fn middle_of_first(&self, step: f64) -> [f64; 2] {
        let [row_x, row_y, _, column_x, column_y, _] = self.orientation;
        let [down, right] = self.spacing.map(|mm| (step - 1.0) / 2.0 * mm);
        let [x, y] = self.origin;
        [x + right * row_x + down * column_x, y + right * row_y + down * column_y]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarser_grid_begins_at_the_same_corner() {
        let frame = Frame {
            uid: String::new(),
            orientation: [0.0, -1.0, 0.0, -1.0, 0.0, 0.0],
            origin: [20.0, 40.0],
            spacing: [0.5, 0.25],
        };
        assert_eq!(frame.middle_of_first(1.0), [20.0, 40.0]);
        // The corner is half a px above and left of the middle: at (20.25, 40.125).
        assert_eq!(frame.middle_of_first(4.0), [20.25 - 1.0, 40.125 - 0.5]);
    }
}
