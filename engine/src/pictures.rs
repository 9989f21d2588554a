//! The two small pictures of a slide that go into the dataset.

use dataset::{Dataset, DatasetError, SlideId, Tissue, stage_pictures};
use tiler::TissueMask;
use whole_file::Staged;
use wsi_reader::reduced;
use wsi_types::RgbBuffer;

/// Length of the longest side of the pictures, px.
pub const SIDE_PX: u32 = 720;

/// Writes both pictures of a slide to the place where its results are [staged](Dataset::staged). `picture`
/// shows the whole slide; `seen` are the px of `mask` that a window with a result saw, `None` for all.
///
/// # Errors
///
/// When a picture cannot be written.
pub fn stage(
    dataset: &Dataset,
    id: &SlideId,
    picture: &RgbBuffer,
    mask: &TissueMask,
    seen: Option<&[bool]>,
) -> Result<[Staged; 2], DatasetError> {
    let size = (mask.width() as usize, mask.height() as usize);
    let tissue = Tissue { size, mask: mask.bits(), seen };
    stage_pictures(dataset, id, &shrink(picture), &tissue, SIDE_PX as usize)
}

/// Averages squares of whole px until the longer side fits.
fn shrink(picture: &RgbBuffer) -> RgbBuffer {
    let factor = picture.width().max(picture.height()).div_ceil(SIDE_PX as usize).max(1);
    let mut small = RgbBuffer::default();
    reduced::average(picture, factor, &mut small);
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_averaged_until_it_fits() {
        let side = SIDE_PX as usize;
        let mut picture = RgbBuffer::filled(2 * side - 1, 4, [0; 3]);
        for y in 0..4 {
            picture.row_mut(y)[..3].fill(200);
        }
        let small = shrink(&picture);
        assert_eq!((small.width(), small.height()), (side, 2));
        assert_eq!((small.pixel(0, 0), small.pixel(1, 0)), ([100; 3], [0; 3]));
        assert_eq!(shrink(&small), small);
    }
}
