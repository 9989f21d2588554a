//! JPEG tiles (TIFF technical note 2): tables shared by all tiles of a page, one
//! abbreviated stream per tile.

use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::codec::{Scratch, Target, guarded};

/// Scans of a progressive stream; more is an attack on time.
const MAX_SCANS: usize = 64;

/// `JPEGTables` without its end marker; `None` when it holds no stream.
pub(crate) fn tables_to_prepend(tables: &[u8]) -> Option<Vec<u8>> {
    let body = tables.strip_prefix(b"\xff\xd8")?;
    let body = body.strip_suffix(b"\xff\xd9").unwrap_or(body);
    (!body.is_empty()).then(|| [b"\xff\xd8", body].concat())
}

/// Decodes `scratch.stored`, a stream of `size` px, into `target`.
///
/// `raw_rgb`: the page says that its three components are red, green and blue.
/// Aperio writes such streams without any marker that would say so, and every
/// decoder takes them for YCbCr; there the page is right. But QuPath and
/// Bio-Formats say the same of whole JFIF files, whose colours are YCbCr by
/// definition (T.871): there the stream is.
pub(crate) fn decode(
    tables: Option<&[u8]>,
    size: (usize, usize),
    raw_rgb: bool,
    scratch: &mut Scratch,
    target: &mut Target<'_>,
) -> Result<(), String> {
    let Scratch { stored, joined, samples, .. } = scratch;
    let Some(body) = stored.strip_prefix(b"\xff\xd8") else {
        return Err(format!("it starts with {:02x?}, expected JPEG data", &stored[..stored.len().min(4)]));
    };
    let stream = match tables {
        Some(tables) => {
            joined.clear();
            joined.extend_from_slice(tables);
            joined.extend_from_slice(body);
            joined.as_slice()
        }
        None => stored.as_slice(),
    };
    let raw_rgb = raw_rgb && !is_jfif(stored) && !tables.is_some_and(is_jfif);
    guarded(|| decode_stream(stream, size, raw_rgb, samples, target))
}

/// Whether a stream starts with the segment that makes it a JFIF file.
fn is_jfif(stream: &[u8]) -> bool {
    stream.get(2..4) == Some(b"\xff\xe0") && stream.get(6..11) == Some(b"JFIF\0")
}

fn decode_stream(
    stream: &[u8],
    (width, height): (usize, usize),
    raw_rgb: bool,
    samples: &mut Vec<u8>,
    target: &mut Target<'_>,
) -> Result<(), String> {
    let broken =
        |error: zune_jpeg::errors::DecodeErrors| format!("its JPEG data is broken: {}", one_line(&error));
    // Strict: a stream that ends early is damage to report, not grey to count.
    let options = DecoderOptions::new_fast()
        .set_strict_mode(true)
        .set_max_width(width)
        .set_max_height(height)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(stream), options);
    decoder.decode_headers().map_err(broken)?;
    let found = decoder.dimensions().unwrap_or_default();
    if found.0 != width || found.1 < target.height {
        return Err(format!("it holds {} x {} px, expected {width} x {height}", found.0, found.1));
    }
    let gray = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => {
            decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
            true
        }
        Some(ColorSpace::YCbCr) if raw_rgb => {
            // Components as they are: no conversion.
            decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::YCbCr));
            false
        }
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => false,
        other => return Err(format!("its JPEG colours are {other:?}, expected gray, RGB or YCbCr")),
    };
    if gray {
        samples.resize(found.0 * found.1, 0);
        decoder.decode_into(samples).map_err(broken)?;
        spread_gray(samples, found.0, target);
    } else if target.width == found.0 && target.height == found.1 {
        decoder.decode_into(target.pixels).map_err(broken)?;
    } else {
        samples.resize(found.0 * found.1 * 3, 0);
        decoder.decode_into(samples).map_err(broken)?;
        target.take_corner(samples, found.0);
    }
    Ok(())
}

/// A foreign decoder's message on one line.
pub(crate) fn one_line(error: &impl std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each gray value thrice.
pub(crate) fn spread_gray(gray: &[u8], width: usize, target: &mut Target<'_>) {
    for (to, from) in target.pixels.chunks_exact_mut(target.width * 3).zip(gray.chunks_exact(width)) {
        for (pixel, &value) in to.as_chunks_mut::<3>().0.iter_mut().zip(from) {
            *pixel = [value; 3];
        }
    }
}
