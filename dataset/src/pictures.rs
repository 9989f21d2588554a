//! `OUT/overviews`: each slide small, and the part of it that was analysed, for the report and for users.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter},
    path::Path,
};

use whole_file::Staged;
use wsi_types::RgbBuffer;

use crate::{error::DatasetError, id::SlideId, paths::Dataset};

const JPEG_QUALITY: u8 = 82;

/// Palette of the coverage picture: nothing, analysed, missing.
const PALETTE: [u8; 9] = [255, 255, 255, 30, 120, 220, 214, 39, 40];
const OPACITY: [u8; 3] = [0, 60, 190];

/// State of a px of the coverage picture, as a place in the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Share {
    Nothing = 0,
    Analysed = 1,
    Missing = 2,
}

/// Tissue of a slide, and the part of it that was analysed: yes/no pictures over the whole slide, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Tissue<'a> {
    /// Width and height, px.
    pub size: (usize, usize),
    /// `true` for each px that is tissue.
    pub mask: &'a [bool],
    /// `true` for each px that a window with a result saw; `None` when all of it was seen.
    pub seen: Option<&'a [bool]>,
}

impl Tissue<'_> {
    /// The mask, reduced to at most `side_px` a side: a px with anything missing is
    /// missing, so that small gaps are seen.
    fn shares(&self, side_px: usize) -> (usize, usize, Vec<Share>) {
        let (wide, high) = self.size;
        let factor = wide.max(high).div_ceil(side_px).max(1);
        let (width, height) = (wide.div_ceil(factor), high.div_ceil(factor));
        let mut shares = vec![Share::Nothing; width * height];
        for (index, _) in self.mask.iter().enumerate().filter(|&(_, &tissue)| tissue) {
            let share =
                if self.seen.is_none_or(|seen| seen[index]) { Share::Analysed } else { Share::Missing };
            let place = &mut shares[index / wide / factor * width + index % wide / factor];
            *place = (*place).max(share);
        }
        (width, height, shares)
    }
}

/// The coverage picture of a slide: tissue that a window with a result saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTissue {
    size: (usize, usize),
    seen: Vec<bool>,
}

impl SeenTissue {
    /// Reads the coverage picture of a slide back.
    ///
    /// # Errors
    ///
    /// [`DatasetError::PictureFile`] when it cannot be read, or is not as [`stage_pictures`] writes it.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        Self::decode(path).map_err(|error| DatasetError::PictureFile {
            what: "the coverage picture",
            reason: error.to_string(),
        })
    }

    fn decode(path: &Path) -> Result<Self, png::DecodingError> {
        let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
        let mut pixels = vec![0; reader.output_buffer_size().unwrap_or_default()];
        let frame = reader.next_frame(&mut pixels)?;
        let size = (frame.width as usize, frame.height as usize);
        let is_ours = frame.color_type == png::ColorType::Indexed && frame.bit_depth == png::BitDepth::Eight;
        if !is_ours || pixels.len() != size.0 * size.1 {
            return Err(io::Error::other("its pixels are not places in a palette, one byte each").into());
        }
        Ok(Self { size, seen: pixels.iter().map(|&share| share == Share::Analysed as u8).collect() })
    }

    /// Width and height, px; it spans the whole slide.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// `true` for each px that was seen, row by row.
    #[must_use]
    pub fn seen(&self) -> &[bool] {
        &self.seen
    }
}

/// Writes both pictures of a slide to the folder in which its results are [staged](Dataset::staged):
/// `overview`, which shows the whole slide small, and the coverage of its tissue at no more than `side_px` px
/// a side.
///
/// # Errors
///
/// When one cannot be encoded or written.
pub fn stage_pictures(
    dataset: &Dataset,
    id: &SlideId,
    overview: &RgbBuffer,
    tissue: &Tissue<'_>,
    side_px: usize,
) -> Result<[Staged; 2], DatasetError> {
    let coverage = coverage_png(tissue, side_px)
        .map_err(|error| DatasetError::Picture { what: "the coverage", reason: error.to_string() })?;
    Ok([
        dataset.stage(id, &dataset.overview(id), &jpeg_bytes("the overview", overview)?)?,
        dataset.stage(id, &dataset.coverage(id), &coverage)?,
    ])
}

/// A picture as the bytes of a JPEG file; `what` names it in errors.
///
/// # Errors
///
/// [`DatasetError::Picture`] when it has no pixels or a side of more than 65,535.
pub fn jpeg_bytes(what: &'static str, picture: &RgbBuffer) -> Result<Vec<u8>, DatasetError> {
    let (Ok(width), Ok(height)) = (u16::try_from(picture.width()), u16::try_from(picture.height())) else {
        return Err(DatasetError::Picture { what, reason: "it is too large for JPEG".into() });
    };
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, JPEG_QUALITY)
        .encode(picture.bytes(), width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|error| DatasetError::Picture { what, reason: error.to_string() })?;
    Ok(bytes)
}

fn coverage_png(tissue: &Tissue<'_>, side_px: usize) -> Result<Vec<u8>, png::EncodingError> {
    let (width, height, shares) = tissue.shares(side_px);
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
    use super::*;

    fn decoded(bytes: &[u8]) -> ((u32, u32), Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        ((info.width, info.height), pixels)
    }

    #[test]
    fn what_is_missing_shows_however_small() {
        let size = (1600, 800);
        let mut mask = vec![false; size.0 * size.1];
        mask[..3].fill(true);
        let mut seen = vec![true; mask.len()];
        seen[2] = false;
        let partly = Tissue { size, mask: &mask, seen: Some(&seen) };
        let ((width, height), pixels) = decoded(&coverage_png(&partly, 720).unwrap());
        assert_eq!((width, height), (534, 267));
        assert_eq!(pixels[..2], [Share::Missing as u8, Share::Nothing as u8]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coverage.png");
        std::fs::write(&path, coverage_png(&partly, 720).unwrap()).unwrap();
        let read = SeenTissue::read(&path).unwrap();
        assert_eq!(read.size(), (534, 267));
        assert!(!read.seen().contains(&true), "its first px has something missing, the others no tissue");
        let wholly = Tissue { seen: None, ..partly };
        std::fs::write(&path, coverage_png(&wholly, 720).unwrap()).unwrap();
        assert_eq!(SeenTissue::read(&path).unwrap().seen().iter().filter(|&&seen| seen).count(), 1);
        let (_, whole) = decoded(&coverage_png(&wholly, 720).unwrap());
        assert_eq!(whole[..2], [Share::Analysed as u8, Share::Nothing as u8]);
    }

    #[test]
    fn a_picture_that_is_no_coverage_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coverage.png");
        let refusal = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            SeenTissue::read(&path).unwrap_err().to_string()
        };
        assert!(refusal(b"no picture").starts_with("cannot read the coverage picture: "));
        let mut grey = Vec::new();
        let mut writer = png::Encoder::new(&mut grey, 2, 1).write_header().unwrap();
        writer.write_image_data(&[1, 2]).unwrap();
        writer.finish().unwrap();
        assert!(refusal(&grey).contains("not places in a palette"));
    }

    #[test]
    fn a_picture_that_jpeg_cannot_hold_is_refused() {
        let message =
            jpeg_bytes("the overview", &RgbBuffer::filled(65_536, 1, [0; 3])).unwrap_err().to_string();
        assert_eq!(message, "cannot encode the overview: it is too large for JPEG");
    }
}
