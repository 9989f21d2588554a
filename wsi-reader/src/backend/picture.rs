//! Plain PNG and JPEG pictures as slides of one level, decoded whole.

use std::{collections::BTreeMap, io::Cursor};

use wsi_types::{LevelIndex, Pyramid, RgbBuffer, TileGrid, TileId};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{
    exif,
    tiff::{colours_in_words, guarded, jpeg_defect, one_line, over},
};
use crate::{
    error::OpenError,
    mapping::LinearMapping,
    region::copy_rect,
    slide::{ReadError, Scale, ScaleProblem, Slide, SlideInfo},
    source::Source,
};

/// Side of the tiles into which the picture is cut, px.
const TILE: u32 = 512;

/// Picture format, known by a file's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PictureKind {
    Png,
    Jpeg,
}

impl PictureKind {
    /// Reads the format from the first bytes of the file.
    pub(crate) fn from_head(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if head.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
        }
    }
}

/// A picture, decoded, and upright.
pub(crate) struct PictureSlide {
    info: SlideInfo,
    pixels: RgbBuffer,
    /// A JPEG as stored, for a check-up.
    jpeg: Option<Source>,
}

/// A decoded picture, and what its file says of it.
pub(crate) struct Picture {
    pub(crate) format: &'static str,
    pub(crate) compression: &'static str,
    pub(crate) pixels: RgbBuffer,
    pub(crate) scale: Result<Scale, ScaleProblem>,
    pub(crate) mapping: Option<LinearMapping>,
    pub(crate) remarks: Vec<String>,
    pub(crate) properties: BTreeMap<String, String>,
}

/// Output of a decoder.
struct Decoded {
    pixels: RgbBuffer,
    /// The bytes of an EXIF segment.
    exif: Option<Vec<u8>>,
}

impl PictureSlide {
    /// Decodes a picture of at most `max_pixels`.
    pub(crate) fn open(source: Source, kind: PictureKind, max_pixels: u64) -> Result<Self, OpenError> {
        // Neither format stores more than the raw pixels and some headers.
        let most = max_pixels.saturating_mul(8).saturating_add(1 << 20);
        if source.len() > most {
            return Err(OpenError::TooLarge {
                what: format!("a {} picture of {} bytes, at most {most} are read", kind.name(), source.len()),
            });
        }
        let bytes = source.bytes_at(0, source.len()).map_err(|source| OpenError::Io { source })?;
        let Decoded { pixels, exif } = match kind {
            PictureKind::Png => decode_png(&bytes, max_pixels)?,
            PictureKind::Jpeg => decode_jpeg(&bytes, max_pixels)?,
        };
        let orientation = exif.and_then(exif::orientation).unwrap_or(exif::UPRIGHT);
        let pixels = exif::upright(pixels, orientation);
        let turned =
            format!("turned upright, as its EXIF orientation {orientation} says and viewers show it");
        let picture = Picture {
            format: kind.name(),
            compression: kind.name(),
            pixels,
            scale: Err(ScaleProblem::Missing),
            mapping: None,
            remarks: (orientation != exif::UPRIGHT).then_some(turned).into_iter().collect(),
            properties: BTreeMap::new(),
        };
        Ok(Self { jpeg: (kind == PictureKind::Jpeg).then_some(source), ..Self::of(picture)? })
    }

    /// A slide of one level.
    pub(crate) fn of(picture: Picture) -> Result<Self, OpenError> {
        let Picture { format, compression, pixels, scale, mapping, remarks, properties } = picture;
        let grid = TileGrid {
            width: pixels.width() as u32,
            height: pixels.height() as u32,
            tile_width: TILE,
            tile_height: TILE,
        };
        let pyramid = Pyramid::new([grid]).map_err(|e| OpenError::Broken { what: e.to_string() })?;
        let info = SlideInfo {
            backend: "picture",
            format: format.to_owned(),
            pyramid,
            scale,
            objective: None,
            bounds: None,
            background: [255; 3],
            compression: vec![compression.to_owned()],
            associated: Vec::new(),
            mapping,
            icc_profile_bytes: None,
            remarks,
            properties,
        };
        Ok(Self { info, pixels, jpeg: None })
    }
}

fn check_size(width: u64, height: u64, max_pixels: u64) -> Result<(), OpenError> {
    if width.saturating_mul(height) > max_pixels {
        return Err(OpenError::TooLarge {
            what: format!("a picture of {width} x {height} px, at most {max_pixels} px are decoded at once"),
        });
    }
    Ok(())
}

fn decode_png(bytes: &[u8], max_pixels: u64) -> Result<Decoded, OpenError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    decoder.ignore_checksums(false);
    let mut reader = decoder.read_info().map_err(broken_png)?;
    let (width, height) = (reader.info().width, reader.info().height);
    check_size(u64::from(width), u64::from(height), max_pixels)?;
    let (colour, depth) = reader.output_color_type();
    if depth != png::BitDepth::Eight {
        return Err(OpenError::Unsupported { feature: "a PNG of 16-bit samples; 8-bit is read".into() });
    }
    let size =
        reader.output_buffer_size().ok_or_else(|| OpenError::Broken { what: "its PNG size".into() })?;
    let mut samples = vec![0; size];
    reader.next_frame(&mut samples).map_err(broken_png)?;
    // Read to the end: the checksum of the last pixels comes after them.
    reader.finish().map_err(broken_png)?;
    let exif = reader.info().exif_metadata.as_deref().map(<[u8]>::to_vec);
    let white = [255; 3];
    let rgb: Vec<u8> = match colour {
        png::ColorType::Rgb => samples,
        png::ColorType::Rgba => samples
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|&[r, g, b, a]| over([r, g, b], a, white, false))
            .collect(),
        png::ColorType::GrayscaleAlpha => {
            samples.as_chunks::<2>().0.iter().flat_map(|&[v, a]| over([v; 3], a, white, false)).collect()
        }
        png::ColorType::Grayscale => samples.iter().flat_map(|&v| [v; 3]).collect(),
        png::ColorType::Indexed => {
            return Err(OpenError::Unsupported { feature: "an unexpanded palette".into() });
        }
    };
    RgbBuffer::from_bytes(width as usize, height as usize, rgb)
        .map(|pixels| Decoded { pixels, exif })
        .ok_or_else(|| OpenError::Broken { what: "its PNG data: fewer pixels than it claims".into() })
}

fn broken_png(error: png::DecodingError) -> OpenError {
    OpenError::Broken { what: format!("its PNG data: {error}") }
}

fn broken_jpeg(what: String) -> OpenError {
    OpenError::Broken { what }
}

fn jpeg_words(error: zune_jpeg::errors::DecodeErrors) -> String {
    format!("its JPEG data: {}", one_line(&error))
}

fn decode_jpeg(bytes: &[u8], max_pixels: u64) -> Result<Decoded, OpenError> {
    let side = usize::from(u16::MAX);
    let options = DecoderOptions::new_fast()
        .set_strict_mode(true)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_max_scans(64)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let (width, height) = guarded(|| {
        decoder.decode_headers().map_err(jpeg_words)?;
        Ok(decoder.dimensions().unwrap_or_default())
    })
    .map_err(broken_jpeg)?;
    check_size(width as u64, height as u64, max_pixels)?;
    let mut rgb = vec![0; width * height * 3];
    match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => {
            decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
            let mut gray = vec![0; width * height];
            guarded(|| decoder.decode_into(&mut gray).map_err(jpeg_words)).map_err(broken_jpeg)?;
            rgb.as_chunks_mut::<3>().0.iter_mut().zip(&gray).for_each(|(pixel, &v)| *pixel = [v; 3]);
        }
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => {
            guarded(|| decoder.decode_into(&mut rgb).map_err(jpeg_words)).map_err(broken_jpeg)?;
        }
        other => {
            return Err(OpenError::Unsupported {
                feature: format!("a JPEG picture of {}; gray and RGB are read", colours_in_words(other)),
            });
        }
    }
    let exif = decoder.exif().cloned();
    RgbBuffer::from_bytes(width, height, rgb)
        .map(|pixels| Decoded { pixels, exif })
        .ok_or_else(|| broken_jpeg("its JPEG size".into()))
}

impl Slide for PictureSlide {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError> {
        let (_, rect) = self.info.tile_rect(tile)?;
        out.reset(rect.width() as usize, rect.height() as usize);
        copy_rect(&self.pixels, (rect.min_x() as usize, rect.min_y() as usize), out, (0, 0));
        Ok(())
    }

    fn read_associated(&self, name: &str, _: &mut RgbBuffer) -> Result<(), ReadError> {
        Err(ReadError::NoSuchImage { name: name.to_owned() })
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(None)
    }

    /// Damage of the whole picture, reported once.
    fn verify_tile(&self, tile: TileId) -> Vec<String> {
        let first = TileId { level: LevelIndex(0), row: 0, column: 0 };
        let Some(source) = self.jpeg.as_ref().filter(|_| tile == first) else { return Vec::new() };
        let defect = source.bytes_at(0, source.len()).ok().and_then(|bytes| jpeg_defect(&bytes));
        defect.into_iter().collect()
    }
}
