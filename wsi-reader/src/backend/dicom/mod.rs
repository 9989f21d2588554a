//! DICOM pictures that are no whole slides: one frame, decoded whole, on its own grid.

mod colour;
mod form;
mod grey;
mod pixels;

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use dicom_dictionary_std::tags;
use dicom_file::{Attributes as _, Items, Object, read_object};
use wsi_types::RgbBuffer;

use self::{
    colour::Palette,
    form::{Colours, Form, broken, decimals, of_frame, unsupported},
    grey::Greys,
    pixels::{Coding, Samples},
};
use super::picture::{Picture, PictureSlide};
use crate::{
    error::OpenError,
    makers::dicom::WHOLE_SLIDE,
    mapping::LinearMapping,
    scale::Axes,
    slide::{MppSource, Scale, ScaleProblem},
    source::Source,
};

/// The name of such files among formats.
pub(crate) const FORMAT: &str = "dicom-picture";

/// Bytes before the pixels; no picture has as many.
const MOST_HEAD: u64 = 64 << 20;
/// Segmentation Storage: labels, no picture.
const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";

/// The caller's settings for this backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DicomOptions {
    pub(crate) max_picture_pixels: u64,
    /// For samples of more than 8 bits.
    pub(crate) mapping: Option<LinearMapping>,
    /// The frame to read, counted from 1.
    pub(crate) frame: Option<u32>,
}

/// Opens a picture; `None` for a file that is a part of a whole slide, or does not say what it is.
pub(crate) fn open(source: &Source, options: DicomOptions) -> Result<Option<PictureSlide>, OpenError> {
    let most = source.len().min(MOST_HEAD);
    let input = InOrder { source, at: 0 }.take(MOST_HEAD);
    let object = read_object(input, most, tags::PIXEL_DATA).map_err(broken)?;
    let items = &object.items;
    let class = items.text_of(tags::SOP_CLASS_UID);
    if class.as_deref().is_none_or(|class| class == WHOLE_SLIDE) {
        return Ok(None);
    }
    if object.pixels.is_none() || items.get(tags::ROWS).is_none() {
        return Err(OpenError::NotASlide { found: "a DICOM file without a picture".into() });
    }
    if class.as_deref() == Some(SEGMENTATION) {
        return Err(OpenError::NotASlide { found: "a DICOM segmentation, which is no picture".into() });
    }
    if items.get(tags::TOTAL_PIXEL_MATRIX_COLUMNS).is_some() {
        return Err(unsupported("tiles of a DICOM picture of another kind than whole slides"));
    }
    picture(source, &object, options).map(Some)
}

fn picture(source: &Source, object: &Object, options: DicomOptions) -> Result<PictureSlide, OpenError> {
    let DicomOptions { max_picture_pixels, mapping, frame } = options;
    let items = &object.items;
    let form = Form::of(items, max_picture_pixels)?;
    let frame = chosen(frame, form.frames)?;
    let coding = Coding::of(object)?;
    let mut remarks = vec![match form.frames {
        1 => "a DICOM picture and no whole slide: read on its own grid".to_owned(),
        frames => {
            format!("frame {frame} of {frames} of a DICOM picture, and no whole slide: read on its own grid")
        }
    }];
    let mut used = None;
    let rgb = match (pixels::frame(source, object, &form, frame)?, form.colours) {
        (Samples::Rgb(rgb), _) => rgb,
        (Samples::Single(samples), Colours::Palette) => Palette::of(items, &form)?.paint(&samples),
        (Samples::Single(samples), _) => {
            let greys = Greys::of(items, &form, frame, mapping)?;
            remarks.extend(greys.remark.clone());
            used = greys.mapping;
            greys.paint(&samples)
        }
    };
    let pixels = RgbBuffer::from_bytes(form.width, form.height, rgb);
    let pixels = pixels.ok_or_else(|| broken("its pixels: fewer than it claims"))?;
    let scale = scale(items, frame);
    if scale == Err(ScaleProblem::Missing) {
        remarks.extend(no_scale(items).map(str::to_owned));
    }
    PictureSlide::of(Picture {
        format: FORMAT,
        compression: coding.word(),
        pixels,
        scale,
        mapping: used,
        remarks,
        properties: identifiers(items),
    })
}

/// One frame is read: the only one, or the one that was asked for.
fn chosen(frame: Option<u32>, frames: u32) -> Result<u32, OpenError> {
    match frame {
        None if frames == 1 => Ok(1),
        None => Err(unsupported(format!(
            "a DICOM picture of {frames} frames, of which one is read at a time: say which, from 1 to {frames}, as the option frame"
        ))),
        Some(frame) if (1..=frames).contains(&frame) => Ok(frame),
        Some(frame) => {
            Err(unsupported(format!("frame {frame} of a DICOM picture whose frames are 1 to {frames}")))
        }
    }
}

/// `PixelSpacing`, mm from row to row and from column to column: of the object, not of the detector.
fn scale(items: &Items, frame: u32) -> Result<Scale, ScaleProblem> {
    const NAME: &str = "PixelSpacing";
    const UM_PER_MM: f64 = 1000.0;
    let place = of_frame(items, frame, tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
    let text = place.text_of(tags::PIXEL_SPACING);
    match (decimals(place, tags::PIXEL_SPACING, NAME).as_deref(), text) {
        (Ok([rows, columns]), _) => {
            let (x, y) = (columns * UM_PER_MM, rows * UM_PER_MM);
            Axes { tag: NAME, x, y, source: MppSource::Dicom }.scale(None)
        }
        (_, Some(text)) => {
            Err(ScaleProblem::NotANumber { tag: NAME.to_owned(), text: text.chars().take(40).collect() })
        }
        (_, None) => Err(ScaleProblem::Missing),
    }
}

/// What looks like a scale and is none.
fn no_scale(items: &Items) -> Option<&'static str> {
    let known = [
        (
            tags::IMAGER_PIXEL_SPACING,
            "its ImagerPixelSpacing is that of the detector, not of what is seen, and is not used",
        ),
        (
            tags::SEQUENCE_OF_ULTRASOUND_REGIONS,
            "the scales of its ultrasound regions are those of echoes, not of a microscope, and are not used",
        ),
    ];
    known.into_iter().find(|(tag, _)| items.get(*tag).is_some()).map(|(_, words)| words)
}

/// Study and series, for those who ask what a result is about.
fn identifiers(items: &Items) -> BTreeMap<String, String> {
    let named = [
        ("dicom.StudyInstanceUID", tags::STUDY_INSTANCE_UID),
        ("dicom.SeriesInstanceUID", tags::SERIES_INSTANCE_UID),
    ];
    let found = named
        .into_iter()
        .filter_map(|(name, tag)| Some((name, items.text_of(tag).filter(|text| is_uid(text))?)));
    found.map(|(name, uid)| (name.to_owned(), uid)).collect()
}

/// Digits and points, at most 64 (PS3.5, 9.1).
fn is_uid(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The bytes of a source from its first on.
struct InOrder<'a> {
    source: &'a Source,
    at: u64,
}

impl Read for InOrder<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let count = left.min(out.len() as u64) as usize;
        self.source.read_at(self.at, &mut out[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}
