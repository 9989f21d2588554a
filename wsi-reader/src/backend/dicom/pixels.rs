//! The samples of one frame, out of the bytes of a file.

use std::{io, ops::Range};

use dicom_dictionary_std::tags;
use dicom_file::{Items, Object, PixelsAt};
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::{
    colour::{from_ycc, interleaved, of_halved},
    form::{Colours, Form, broken, unsupported},
};
use crate::{
    backend::tiff::{decode_jpeg, decode_jpeg2000, guarded, unpack_bits},
    error::OpenError,
    source::Source,
};

/// Fragments of compressed pixels; more is an attack.
const MOST_FRAGMENTS: usize = 1 << 20;

/// Samples of one frame.
pub(super) enum Samples {
    /// One for each px, of which only the bits that count are set.
    Single(Vec<u16>),
    Rgb(Vec<u8>),
}

/// Coding of the pixels of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Rle,
    Jpeg,
    Jpeg2000,
}

impl Coding {
    /// That of a transfer syntax.
    pub(super) fn of(object: &Object) -> Result<Self, OpenError> {
        Ok(match object.syntax.as_str() {
            "1.2.840.10008.1.2" | "1.2.840.10008.1.2.1" => Self::Plain,
            "1.2.840.10008.1.2.5" => Self::Rle,
            "1.2.840.10008.1.2.4.50" | "1.2.840.10008.1.2.4.51" => Self::Jpeg,
            "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => Self::Jpeg2000,
            _ => {
                return Err(unsupported(format!(
                    "DICOM pictures in the transfer syntax {}; uncompressed little endian, RLE, JPEG of 8 bits and JPEG 2000 are \
                     read: have it sent as Explicit VR Little Endian (1.2.840.10008.1.2.1)",
                    object.syntax_in_words()
                )));
            }
        })
    }

    /// In one word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Rle => "rle",
            Self::Jpeg => "jpeg",
            Self::Jpeg2000 => "jpeg2000",
        }
    }
}

/// Reads a frame, counted from 1.
pub(super) fn frame(source: &Source, object: &Object, form: &Form, frame: u32) -> Result<Samples, OpenError> {
    let coding = Coding::of(object)?;
    let at = object.pixels.ok_or_else(|| broken("it has no PixelData"))?;
    if coding == Coding::Plain {
        return plain(form, stored(source, plain_frame(source, at, form, frame)?)?);
    }
    if at.bytes.is_some() {
        return Err(broken("its pixels are not in fragments, as its transfer syntax has them"));
    }
    let mut bytes = Vec::new();
    for range in fragments(source, at)?.of_frame(source, &object.items, form, frame)? {
        bytes.extend(stored(source, range)?);
    }
    match coding {
        Coding::Rle => plain(&Form { is_planar: form.samples() == 3, ..*form }, run_lengths(&bytes, form)?),
        Coding::Jpeg => jpeg(bytes, form),
        _ => jpeg2000(bytes, form),
    }
}

fn stored(source: &Source, range: Range<u64>) -> Result<Vec<u8>, OpenError> {
    source.bytes_at(range.start, range.end - range.start).map_err(ends_early)
}

fn ends_early(source: io::Error) -> OpenError {
    if source.kind() == io::ErrorKind::UnexpectedEof {
        return broken("it ends early, within its pixels");
    }
    OpenError::Io { source }
}

/// The place of a frame that is not compressed. The size that the object states must be that of all its frames.
fn plain_frame(source: &Source, at: PixelsAt, form: &Form, frame: u32) -> Result<Range<u64>, OpenError> {
    let stated = at.bytes.ok_or_else(|| broken("its pixels are in fragments, and not compressed"))?;
    let of_one = form.frame_bytes() as u64;
    let expected = of_one * u64::from(form.frames);
    // Values have an even length.
    if u64::from(stated) != expected + expected % 2 {
        return Err(broken(format!(
            "its PixelData has {stated} bytes, expected {expected} of {} x {} px, {} and {} bits",
            form.width,
            form.height,
            wsi_types::wording::counted(form.frames as usize, "frame"),
            form.samples() * form.bytes * 8,
        )));
    }
    let begin = at.offset + of_one * u64::from(frame - 1);
    if !source.holds(begin, of_one) {
        return Err(broken("it ends early, within its pixels"));
    }
    Ok(begin..begin + of_one)
}

/// Pieces of compressed pixels (PS3.5, A.4).
struct Fragments {
    /// Places of frames from the first fragment on, 4 bytes each; often empty.
    table: Range<u64>,
    pieces: Vec<Range<u64>>,
}

fn fragments(source: &Source, at: PixelsAt) -> Result<Fragments, OpenError> {
    const HEADER: u64 = 8;
    let (mut place, mut pieces) = (at.offset, Vec::new());
    loop {
        let header = source.bytes_at(place, HEADER).map_err(ends_early)?;
        let (tag, length) = header.split_at(4);
        let length = length.try_into().map(u32::from_le_bytes).unwrap_or_default();
        let begin = place + HEADER;
        match tag {
            [0xfe, 0xff, 0x00, 0xe0] if length != u32::MAX => {}
            [0xfe, 0xff, 0xdd, 0xe0] => break,
            _ => return Err(broken("something else than a fragment stands among its compressed pixels")),
        }
        if !source.holds(begin, u64::from(length)) {
            return Err(broken(format!(
                "a fragment of its pixels is to have {length} bytes, more than are left of the file"
            )));
        }
        place = begin + u64::from(length);
        pieces.push(begin..place);
        if pieces.len() > MOST_FRAGMENTS {
            return Err(OpenError::TooLarge {
                what: format!("more than {MOST_FRAGMENTS} fragments of pixels"),
            });
        }
    }
    if pieces.len() < 2 {
        return Err(broken("its compressed pixels have no fragment"));
    }
    let table = pieces.remove(0);
    Ok(Fragments { table, pieces })
}

impl Fragments {
    /// Those of a frame.
    fn of_frame(
        self,
        source: &Source,
        items: &Items,
        form: &Form,
        frame: u32,
    ) -> Result<Vec<Range<u64>>, OpenError> {
        let (frames, nth) = (form.frames as usize, frame as usize - 1);
        if frames == 1 {
            return Ok(self.pieces);
        }
        if self.pieces.len() == frames {
            return Ok(self.pieces.into_iter().skip(nth).take(1).collect());
        }
        let begins = self.begins(source, items)?;
        if begins.len() != frames || !begins.is_sorted() {
            return Err(broken(format!(
                "its {frames} frames are in {} fragments, without a table that says which belong together",
                self.pieces.len()
            )));
        }
        // Places count from the header of the first fragment.
        let origin = self.pieces[0].start;
        let range = begins[nth]..begins.get(nth + 1).copied().unwrap_or(u64::MAX);
        let pieces = self.pieces.into_iter().filter(|piece| range.contains(&(piece.start - origin)));
        Ok(pieces.collect())
    }

    fn begins(&self, source: &Source, items: &Items) -> Result<Vec<u64>, OpenError> {
        if let Some(element) = items.get(tags::EXTENDED_OFFSET_TABLE) {
            let bytes = element.to_bytes().unwrap_or_default();
            return Ok(bytes.as_chunks::<8>().0.iter().map(|place| u64::from_le_bytes(*place)).collect());
        }
        let bytes = stored(source, self.table.clone())?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|place| u64::from(u32::from_le_bytes(*place))).collect())
    }
}

/// Samples as they are stored without compression.
fn plain(form: &Form, stored: Vec<u8>) -> Result<Samples, OpenError> {
    let rgb = match form.colours {
        Colours::Grey { .. } | Colours::Palette => return Ok(single(form, &stored)),
        Colours::Ycc { is_halved: true } => of_halved(&stored),
        Colours::OfJpeg2000 => return Err(broken("its colours are those of JPEG 2000, its pixels are not")),
        Colours::Rgb | Colours::Ycc { .. } => {
            let mut samples = if form.is_planar { interleaved(&stored, form.px()) } else { stored };
            if form.colours != Colours::Rgb {
                from_ycc(&mut samples);
            }
            samples
        }
    };
    Ok(Samples::Rgb(rgb))
}

/// Unused bits once held overlays.
fn single(form: &Form, stored: &[u8]) -> Samples {
    let mask = ((1_u32 << form.bits) - 1) as u16;
    Samples::Single(match form.bytes {
        1 => stored.iter().map(|&sample| u16::from(sample) & mask).collect(),
        _ => stored.as_chunks::<2>().0.iter().map(|sample| u16::from_le_bytes(*sample) & mask).collect(),
    })
}

/// Undoes run lengths (PS3.5, G): a segment for each byte of each kind of sample, the high byte first. Gives the samples
/// of each kind one after the other.
fn run_lengths(bytes: &[u8], form: &Form) -> Result<Vec<u8>, OpenError> {
    const HEADER: usize = 64;
    if form.colours == (Colours::Ycc { is_halved: true }) {
        return Err(unsupported("DICOM pixels of YBR_FULL_422 in RLE"));
    }
    let header = bytes.get(..HEADER).ok_or_else(|| broken("its RLE data ends within its header"))?;
    let words: Vec<usize> =
        header.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word) as usize).collect();
    let (count, begins) = (words[0], &words[1..]);
    let expected = form.samples() * form.bytes;
    if count != expected {
        return Err(broken(format!("its RLE data has {count} segments, expected {expected}")));
    }
    let px = form.px();
    let mut planes = vec![0; px * form.samples() * form.bytes];
    let mut plane = vec![0; px];
    for (nth, &begin) in begins[..count].iter().enumerate() {
        let end = if nth + 1 < count { begins[nth + 1] } else { bytes.len() };
        let segment = bytes.get(begin..end).filter(|_| begin >= HEADER);
        let segment = segment.ok_or_else(|| broken("a segment of its RLE data lies outside of it"))?;
        let unpacked =
            unpack_bits(segment, &mut plane).map_err(|what| broken(what.replace("PackBits", "RLE")))?;
        if unpacked.bytes < px {
            let held = unpacked.bytes;
            return Err(broken(format!("a segment of its RLE data holds {held} px, expected {px}")));
        }
        let (sample, byte) = (nth / form.bytes, form.bytes - 1 - nth % form.bytes);
        let out = planes[sample * px * form.bytes..].chunks_exact_mut(form.bytes);
        out.zip(&plane).for_each(|(out, &value)| out[byte] = value);
    }
    Ok(planes)
}

fn jpeg(bytes: Vec<u8>, form: &Form) -> Result<Samples, OpenError> {
    if form.bits != 8 || form.is_signed || form.colours == Colours::Palette {
        return Err(unsupported(format!(
            "a DICOM picture of {} bits in JPEG; 8 bits without a sign are read",
            form.bits
        )));
    }
    let raw_rgb = form.colours == Colours::Rgb;
    let mut rgb = vec![0; form.px() * 3];
    decode_jpeg(bytes, (form.width, form.height), raw_rgb, &mut rgb).map_err(broken)?;
    if form.samples() == 3 {
        return Ok(Samples::Rgb(rgb));
    }
    let pixels = rgb.as_chunks::<3>().0;
    if pixels.iter().any(|[r, g, b]| r != g || g != b) {
        return Err(broken("its JPEG data has colours, it says that it has none"));
    }
    Ok(Samples::Single(pixels.iter().map(|px| u16::from(px[0])).collect()))
}

fn jpeg2000(bytes: Vec<u8>, form: &Form) -> Result<Samples, OpenError> {
    if form.samples() == 3 {
        let mut rgb = vec![0; form.px() * 3];
        let is_ycc = matches!(form.colours, Colours::Ycc { .. });
        decode_jpeg2000(bytes, (form.width, form.height), is_ycc, &mut rgb).map_err(broken)?;
        return Ok(Samples::Rgb(rgb));
    }
    if form.is_signed {
        return Err(unsupported("a DICOM picture of signed samples in JPEG 2000"));
    }
    guarded(|| single_of_jpeg2000(&bytes, form)).map(Samples::Single).map_err(broken)
}

fn single_of_jpeg2000(bytes: &[u8], form: &Form) -> Result<Vec<u16>, String> {
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let image = Image::new(bytes, &settings).map_err(|e| format!("its JPEG 2000 header is broken: {e}"))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    if (width, height) != (form.width, form.height) {
        return Err(format!(
            "its JPEG 2000 data holds {width} x {height} px, expected {} x {}",
            form.width, form.height
        ));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|e| format!("its JPEG 2000 data is broken: {e}"))?;
    let [component] = decoded.components() else {
        return Err(format!("its JPEG 2000 data has {} components, expected 1", decoded.components().len()));
    };
    let bits = u32::from(component.bit_depth());
    if bits > form.bits || component.samples().len() != form.px() {
        return Err(format!("its JPEG 2000 data has samples of {bits} bits, it says {}", form.bits));
    }
    let most = ((1_u32 << form.bits) - 1) as f32;
    Ok(component.samples().iter().map(|sample| sample.round().clamp(0.0, most) as u16).collect())
}
