//! `OUT/overviews`: each slide small, and what of it was analysed, for the
//! report and for whoever wants to look.

use std::io::BufWriter;

use anyhow::Context as _;
use tiler::TissueMask;
use whole_file::Staged;
use wsi_reader::reduced;
use wsi_types::RgbBuffer;

use crate::dataset::{Dataset, SlideId};

/// Longest side of the pictures.
pub const SIDE_PX: u32 = 720;
const JPEG_QUALITY: u8 = 82;

/// Palette of the coverage picture: nothing, analysed, missing.
const PALETTE: [u8; 9] = [255, 255, 255, 30, 120, 220, 214, 39, 40];
const OPACITY: [u8; 3] = [0, 60, 190];

/// What a px of the coverage picture is, as a place in the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Share {
    Nothing = 0,
    Analysed = 1,
    Missing = 2,
}

/// Writes both pictures of a slide, where its results are
/// [staged](Dataset::staged). `picture` shows the whole slide; `seen` are the px of
/// `mask` that a window with a result saw, `None` for all.
///
/// # Errors
///
/// An output failure when one cannot be written.
pub fn stage(
    dataset: &Dataset,
    id: &SlideId,
    picture: &RgbBuffer,
    mask: &TissueMask,
    seen: Option<&[bool]>,
) -> anyhow::Result<[Staged; 2]> {
    Ok([
        dataset.stage(id, &dataset.overview(id), &jpeg(&shrink(picture))?)?,
        dataset.stage(id, &dataset.coverage(id), &coverage_png(mask, seen)?)?,
    ])
}

/// How many px become one.
fn reduction(width: usize, height: usize) -> usize {
    width.max(height).div_ceil(SIDE_PX as usize).max(1)
}

/// Averages squares of whole px until the longer side fits.
fn shrink(picture: &RgbBuffer) -> RgbBuffer {
    let mut small = RgbBuffer::default();
    reduced::average(picture, reduction(picture.width(), picture.height()), &mut small);
    small
}

fn jpeg(picture: &RgbBuffer) -> anyhow::Result<Vec<u8>> {
    let side = |px: usize| u16::try_from(px).context("an overview is too large for JPEG");
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, JPEG_QUALITY).encode(
        picture.bytes(),
        side(picture.width())?,
        side(picture.height())?,
        jpeg_encoder::ColorType::Rgb,
    )?;
    Ok(bytes)
}

/// The mask, reduced: a px with anything missing is missing, so that small
/// gaps are seen.
fn coverage_png(mask: &TissueMask, seen: Option<&[bool]>) -> anyhow::Result<Vec<u8>> {
    let (wide, high) = (mask.width() as usize, mask.height() as usize);
    let factor = reduction(wide, high);
    let (width, height) = (wide.div_ceil(factor), high.div_ceil(factor));
    let mut shares = vec![Share::Nothing; width * height];
    for (index, _) in mask.bits().iter().enumerate().filter(|&(_, &tissue)| tissue) {
        let share = if seen.is_none_or(|seen| seen[index]) { Share::Analysed } else { Share::Missing };
        let place = &mut shares[index / wide / factor * width + index % wide / factor];
        *place = (*place).max(share);
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(BufWriter::new(&mut bytes), width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(&PALETTE[..]);
    encoder.set_trns(&OPACITY[..]);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&shares.iter().map(|&share| share as u8).collect::<Vec<_>>())?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use wsi_reader::MemorySlide;

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

    #[test]
    fn what_is_missing_shows_however_small() {
        let paint = |_, _, _| [255; 3];
        let slide = MemorySlide::painted(&[(4000, 2000)], (512, 512), None, paint).unwrap();
        let (wide, high) = (1600, 800);
        let mut tissue = vec![false; wide * high];
        tissue[..3].fill(true);
        let mask =
            TissueMask::from_bits(wsi_reader::Slide::info(&slide), wide as u32, high as u32, tissue).unwrap();
        let mut seen = vec![true; wide * high];
        seen[2] = false;
        let decode = |bytes: Vec<u8>| {
            let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            ((info.width, info.height), pixels)
        };
        let ((width, height), pixels) = decode(coverage_png(&mask, Some(&seen)).unwrap());
        assert_eq!((width, height), (534, 267));
        assert_eq!(pixels[..2], [Share::Missing as u8, Share::Nothing as u8]);
        let (_, whole) = decode(coverage_png(&mask, None).unwrap());
        assert_eq!(whole[..2], [Share::Analysed as u8, Share::Nothing as u8]);
    }
}
