//! JPEG tiles (TIFF technical note 2): tables shared by all tiles of a page, one
//! abbreviated stream per tile.

use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{
    jpeg_baseline::{self, Colours},
    jpeg_header::{Header, Refused},
    jpeg_reduced,
    scratch::Scratch,
    target::{Target, guarded},
};

/// Scans of a progressive stream; more is an attack on time.
const MAX_SCANS: usize = 64;

/// Returns `JPEGTables` without its end marker; `None` if it holds no stream.
fn tables_to_prepend(tables: &[u8]) -> Option<Vec<u8>> {
    let body = tables.strip_prefix(b"\xff\xd8")?;
    let body = body.strip_suffix(b"\xff\xd9").unwrap_or(body);
    (!body.is_empty()).then(|| [b"\xff\xd8", body].concat())
}

/// Decodes `scratch.stored`, a stream of `size` px, into `target`.
///
/// `raw_rgb`: the page states that its three components are red, green and blue; see [`colours_of`].
pub(crate) fn decode(
    shared: &Shared,
    size: (usize, usize),
    raw_rgb: bool,
    scratch: &mut Scratch,
    target: &mut Target<'_>,
) -> Result<(), String> {
    let Scratch { stored, joined, samples, jpeg, .. } = scratch;
    let mut header = shared.header.clone();
    let outcome = read_header(&mut header, stored).and_then(|start| {
        check_size((header.width, header.height), size, target.height).map_err(Refused::Damage)?;
        let colours = colours_of(&header, raw_rgb);
        jpeg_baseline::decode(&header, &stored[start..], colours, jpeg, target)
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(Refused::Damage(words)) => Err(words),
        Err(Refused::OtherKind) => {
            let raw_rgb = raw_rgb && !header.jfif;
            let stream = shared.join(stored, joined);
            guarded(|| decode_stream(stream, size, raw_rgb, samples, target))
        }
    }
}

/// Decodes `scratch.stored`, a stream of `size` px, with each side divided by 2^`shift` (1 to 3). Returns
/// `false` for a kind of stream that can only be decoded whole.
pub(crate) fn decode_reduced(
    shared: &Shared,
    size: (usize, usize),
    raw_rgb: bool,
    shift: u32,
    scratch: &mut Scratch,
    target: &mut Target<'_>,
) -> Result<bool, String> {
    let Scratch { stored, jpeg, .. } = scratch;
    let mut header = shared.header.clone();
    let outcome = read_header(&mut header, stored).and_then(|start| {
        check_size((header.width, header.height), size, target.height << shift).map_err(Refused::Damage)?;
        let colours = colours_of(&header, raw_rgb);
        jpeg_reduced::decode_reduced(&header, &stored[start..], colours, shift, jpeg, target)
    });
    match outcome {
        Ok(()) => Ok(true),
        Err(Refused::Damage(words)) => Err(words),
        Err(Refused::OtherKind) => Ok(false),
    }
}

/// An Adobe marker that says that components are red, green and blue.
const RGB_MARKER: [u8; 16] = *b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00";

/// Returns a chunk of `size` px, given as stored, as a whole stream in which any decoder finds the same
/// colours as [`decode`]: with the tables before it, and an Adobe marker where only the page states that it
/// is RGB. `None` for a stream whose colours no marker can state, or of a kind that is not checked here.
pub(crate) fn as_own_stream(
    shared: &Shared,
    size: (usize, usize),
    raw_rgb: bool,
    stored: &[u8],
) -> Result<Option<Vec<u8>>, String> {
    let mut header = shared.header.clone();
    match read_header(&mut header, stored) {
        Ok(_) => check_size((header.width, header.height), size, size.1)?,
        Err(Refused::OtherKind) => return Ok(None),
        Err(Refused::Damage(words)) => return Err(words),
    }
    let marker: &[u8] = match (header.components().len(), colours_of(&header, raw_rgb)) {
        (1, _) => &[],
        (3, colours) if colours == colours_unasked(&header) => &[],
        (3, Colours::Rgb) if !header.jfif && header.adobe.is_none() => &RGB_MARKER,
        _ => return Ok(None),
    };
    let mut joined = Vec::new();
    let stream = shared.join(stored, &mut joined);
    let (start, rest) = stream.split_at_checked(2).unwrap_or((stream, &[]));
    Ok(Some([start, marker, rest].concat()))
}

/// Returns the colours that common decoders assume for the three components of a stream. As in libjpeg, a
/// JFIF marker counts before an Adobe one.
fn colours_unasked(header: &Header) -> Colours {
    match (header.jfif, header.adobe) {
        (false, Some(0)) => Colours::Rgb,
        (false, None) if header.is_named_rgb() => Colours::Rgb,
        _ => Colours::YCbCr,
    }
}

/// Adds what a tile's own stream states; returns the place where its data starts.
fn read_header(header: &mut Header, stream: &[u8]) -> Result<usize, Refused> {
    let start = header.read(stream)?;
    start.ok_or_else(|| Refused::Damage("its JPEG data ends before any picture".into()))
}

/// Returns the colours of a stream's components. Aperio writes red, green and blue without a marker for it,
/// and every decoder takes them for YCbCr; there the page is right. QuPath and Bio-Formats write the same in
/// the page for whole JFIF files, whose colours are YCbCr by definition (T.871), and an Adobe marker states
/// the colours: in these cases the stream is right.
fn colours_of(header: &Header, raw_rgb: bool) -> Colours {
    match (header.adobe, header.jfif) {
        (Some(0), _) => Colours::Rgb,
        (Some(_), _) | (None, true) => Colours::YCbCr,
        (None, false) if raw_rgb || header.is_named_rgb() => Colours::Rgb,
        (None, false) => Colours::YCbCr,
    }
}

/// Tables that the tiles of a page share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    header: Header,
    /// The same tables as bytes without their end marker, to put before a tile.
    bytes: Option<Vec<u8>>,
}

impl Shared {
    /// Reads the page's `JPEGTables` (tag 347), if it has them.
    pub(crate) fn new(tables: Option<&[u8]>) -> Self {
        Self { header: Header::from_tables(tables), bytes: tables.and_then(tables_to_prepend) }
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Joins tables and tile into a whole stream, for decoders that know nothing of shared tables.
    fn join<'a>(&self, stored: &'a [u8], joined: &'a mut Vec<u8>) -> &'a [u8] {
        match &self.bytes {
            Some(tables) => {
                joined.clear();
                joined.extend_from_slice(tables);
                joined.extend_from_slice(stored.get(2..).unwrap_or_default());
                joined
            }
            None => stored,
        }
    }
}

fn check_size(found: (usize, usize), expected: (usize, usize), height: usize) -> Result<(), String> {
    // Strips may be stored taller than the rest of the picture.
    if found.0 == expected.0 && found.1 >= height && found.1 <= expected.1 {
        return Ok(());
    }
    Err(format!("it holds {} x {} px, expected {} x {}", found.0, found.1, expected.0, expected.1))
}

/// Decodes kinds of JPEG that are rare in tiles: progressive, or with unusual sampling.
fn decode_stream(
    stream: &[u8],
    (width, height): (usize, usize),
    raw_rgb: bool,
    samples: &mut Vec<u8>,
    target: &mut Target<'_>,
) -> Result<(), String> {
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
    check_size(found, (width, height), target.height)?;
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
        other => {
            return Err(format!(
                "its JPEG data holds {}, expected gray, RGB or YCbCr",
                colours_in_words(other)
            ));
        }
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

fn broken(error: zune_jpeg::errors::DecodeErrors) -> String {
    format!("its JPEG data is broken: {}", one_line(&error))
}

/// The colours of a JPEG stream, for people.
pub(crate) fn colours_in_words(colours: Option<ColorSpace>) -> String {
    match colours {
        Some(ColorSpace::CMYK | ColorSpace::YCCK) => "CMYK colours (four inks, for print)".into(),
        Some(other) => format!("{other:?} colours"),
        None => "unknown colours".into(),
    }
}

/// A foreign decoder's message on one line.
pub(crate) fn one_line(error: &impl std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes each gray value three times.
pub(crate) fn spread_gray(gray: &[u8], width: usize, target: &mut Target<'_>) {
    for (to, from) in target.pixels.chunks_exact_mut(target.width * 3).zip(gray.chunks_exact(width)) {
        for (pixel, &value) in to.as_chunks_mut::<3>().0.iter_mut().zip(from) {
            *pixel = [value; 3];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::by_hand::{AC_END, DC_5_BITS, DC_SAME, Jpeg},
        *,
    };

    /// The first pixel of a stream of 8 x 8 px.
    fn first_pixel(stream: &Jpeg) -> Result<[u8; 3], String> {
        let mut pixels = [0; 8 * 8 * 3];
        let mut scratch = Scratch { stored: stream.bytes(), ..Scratch::default() };
        let mut target = Target { pixels: &mut pixels, width: 8, height: 8 };
        decode(&Shared::new(None), (8, 8), false, &mut scratch, &mut target)?;
        Ok([pixels[0], pixels[1], pixels[2]])
    }

    #[test]
    fn components_that_are_named_red_green_and_blue_are_that() {
        let [more, less] = ["10100", "01011"];
        let bits = [DC_SAME, AC_END, DC_5_BITS, more, AC_END, DC_5_BITS, less, AC_END];
        // A step of 8 is one value of brightness.
        let stream = |names| Jpeg { names, step: 8, ..Jpeg::gray(&bits) };
        assert_eq!(first_pixel(&stream(b"RGB")), Ok([128, 148, 108]));
        assert_eq!(first_pixel(&stream(&[1, 2, 3])), Ok(jpeg_baseline::rgb_from_ycc(128, 148, 108)));
    }
}
