//! One tile or strip: bytes of the file in, RGB out.

use std::{cell::RefCell, panic};

use flate2::{Decompress, FlushDecompress, Status};
use weezl::LzwStatus;
use wsi_types::Rgb;

use super::{
    jpeg, jpeg_baseline, jpeg2000,
    page::{Alpha, Colour, Page, Samples},
};
use crate::mapping::LinearMapping;

/// Where decoded pixels go: `height` rows of `width` px, 3 bytes each. What is
/// decoded beyond it (the part of an edge tile outside the level) is dropped.
pub(crate) struct Target<'a> {
    pub(crate) pixels: &'a mut [u8],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Target<'_> {
    /// Copies the top left corner of `width` px wide rows of RGB.
    pub(crate) fn take_corner(&mut self, rgb: &[u8], width: usize) {
        for (to, from) in self.pixels.chunks_exact_mut(self.width * 3).zip(rgb.chunks_exact(width * 3)) {
            let bytes = to.len();
            to.copy_from_slice(&from[..bytes]);
        }
    }
}

/// Buffers a thread keeps between tiles.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The tile's bytes as stored.
    pub(crate) stored: Vec<u8>,
    /// JPEG tables and tile joined into one stream.
    pub(crate) joined: Vec<u8>,
    /// Samples before they are RGB.
    pub(crate) samples: Vec<u8>,
    pub(crate) jpeg: jpeg_baseline::Workspace,
    unpackers: Unpackers,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends this thread's buffers.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => work(&mut scratch),
        // A decoder that calls back into us would find them lent already.
        Err(_) => work(&mut Scratch::default()),
    })
}

/// Runs a foreign decoder on bytes that may be hostile. Ours return errors; a
/// panic in theirs must cost one tile, not the night.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(panic::AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err("the decoder gave up on its bytes".into()))
}

/// How the chunks of a page are decoded, worked out once per page.
#[derive(Debug)]
pub(crate) struct Decoder {
    samples: Samples,
    /// What the page's JPEG tiles share.
    shared: jpeg::Shared,
    background: Rgb,
}

impl Decoder {
    pub(crate) fn new(samples: Samples, jpeg_tables: Option<&[u8]>, background: Rgb) -> Self {
        Self { samples, shared: jpeg::Shared::new(jpeg_tables), background }
    }

    /// How its samples become 8 bits, when they are more.
    pub(crate) fn mapping(&self) -> Option<LinearMapping> {
        self.samples.mapping
    }

    /// What the page's JPEG tiles share.
    pub(crate) fn shared(&self) -> &jpeg::Shared {
        &self.shared
    }

    /// Decodes one chunk whose planes are given as stored.
    ///
    /// `rows` is the chunk's own height, which for the last strip is less than
    /// the page's.
    pub(crate) fn decode(
        &self,
        page: &Page,
        rows: u32,
        scratch: &mut Scratch,
        planes: &[(usize, usize)],
        target: &mut Target<'_>,
    ) -> Result<(), String> {
        let size = (page.chunk_width as usize, rows as usize);
        let raw_rgb = self.samples.colour != Colour::YCbCr;
        match page.compression {
            7 => jpeg::decode(&self.shared, size, raw_rgb, scratch, target),
            33003 | 33005 | 34712 => {
                let ycc = page.compression == 33003 || self.samples.colour == Colour::YCbCr;
                jpeg2000::decode(size, ycc, scratch, target)
            }
            _ => self.decode_raw(page, size, scratch, planes, target),
        }
    }

    /// A JPEG chunk as a stream of its own; `None` for one that other decoders may
    /// take for other colours.
    pub(crate) fn as_jpeg(&self, page: &Page, stored: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let size = (page.chunk_width as usize, page.chunk_height as usize);
        jpeg::as_own_stream(&self.shared, size, self.samples.colour != Colour::YCbCr, stored)
    }

    /// Decodes a JPEG chunk with each side divided by 2^`shift` (1 to 3). False for
    /// a kind of stream that can only be decoded whole.
    pub(crate) fn decode_reduced(
        &self,
        page: &Page,
        shift: u32,
        scratch: &mut Scratch,
        target: &mut Target<'_>,
    ) -> Result<bool, String> {
        let size = (page.chunk_width as usize, page.chunk_height as usize);
        let raw_rgb = self.samples.colour != Colour::YCbCr;
        jpeg::decode_reduced(&self.shared, size, raw_rgb, shift, scratch, target)
    }

    /// Unpacks samples, undoes the predictor, turns them into RGB.
    fn decode_raw(
        &self,
        page: &Page,
        (width, rows): (usize, usize),
        scratch: &mut Scratch,
        planes: &[(usize, usize)],
        target: &mut Target<'_>,
    ) -> Result<(), String> {
        let per_plane = if page.planar { 1 } else { usize::from(page.samples) };
        let sample_bytes = page.sample_bytes() as usize;
        let row_bytes = width * per_plane * sample_bytes;
        // Some writers fill the last strip up.
        let plane_bytes = row_bytes * page.chunk_height as usize;
        let Scratch { stored, samples, unpackers, .. } = scratch;
        samples.resize(plane_bytes * planes.len(), 0);
        for (plane, &(start, len)) in samples.chunks_exact_mut(plane_bytes).zip(planes) {
            let Unpacked { bytes, .. } =
                unpackers.unpack(page.compression, &stored[start..start + len], plane)?;
            if bytes < row_bytes * rows {
                return Err(format!("it unpacks to {bytes} bytes, expected {}", row_bytes * rows));
            }
            if page.predictor == 2 {
                for row in plane.chunks_exact_mut(row_bytes).take(rows) {
                    undo_difference(row, per_plane, sample_bytes, page.big_endian);
                }
            }
        }
        let mut rows_in = SampleRows {
            bytes: samples,
            width,
            plane_bytes,
            planes: planes.len(),
            samples: usize::from(page.samples),
            sample_bytes,
            mapping: self.samples.mapping.map(|m| (m, page.big_endian)),
        };
        self.to_rgb(&mut rows_in, target);
        Ok(())
    }

    /// What the ends of a chunk's unpacked planes show of damage, in words.
    pub(crate) fn end_defects(
        &self,
        page: &Page,
        scratch: &mut Scratch,
        planes: &[(usize, usize)],
    ) -> Vec<String> {
        let per_plane = if page.planar { 1 } else { usize::from(page.samples) };
        let plane_bytes = page.chunk_width as usize * page.chunk_height as usize * per_plane;
        let Scratch { stored, samples, unpackers, .. } = scratch;
        samples.resize(plane_bytes * page.sample_bytes() as usize, 0);
        let mut defects = Vec::new();
        for &(start, len) in planes {
            let stored = &stored[start..start + len];
            // What cannot be unpacked is told by whoever reads it.
            let Ok(unpacked) = unpackers.unpack(page.compression, stored, samples) else { continue };
            defects.extend(unpacked.defect(page.compression, stored));
        }
        defects
    }

    fn to_rgb(&self, rows: &mut SampleRows<'_>, target: &mut Target<'_>) {
        let (width, height) = (target.width, target.height);
        if self.samples.colour == Colour::Rgb && self.samples.alpha.is_none() && rows.is_plain_rgb() {
            target.take_corner(rows.bytes, rows.width);
            return;
        }
        for y in 0..height {
            let row = &mut target.pixels[y * width * 3..][..width * 3];
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                *pixel = self.pixel(rows, x, y);
            }
        }
    }

    fn pixel(&self, rows: &SampleRows<'_>, x: usize, y: usize) -> Rgb {
        let (colour, colours) = match &self.samples.colour {
            Colour::Gray { inverted } => {
                let value = rows.sample(x, y, 0);
                ([if *inverted { 255 - value } else { value }; 3], 1)
            }
            Colour::Palette(palette) => (palette[usize::from(rows.sample(x, y, 0))], 1),
            Colour::Rgb | Colour::YCbCr => {
                ([rows.sample(x, y, 0), rows.sample(x, y, 1), rows.sample(x, y, 2)], 3)
            }
        };
        match self.samples.alpha {
            None | Some(Alpha::Ignored) => colour,
            Some(Alpha::Straight) => over(colour, rows.sample(x, y, colours), self.background, false),
            Some(Alpha::Premultiplied) => over(colour, rows.sample(x, y, colours), self.background, true),
        }
    }
}

/// A colour with alpha laid over the background, rounded to nearest.
pub(crate) fn over(colour: Rgb, alpha: u8, background: Rgb, premultiplied: bool) -> Rgb {
    let alpha = u32::from(alpha);
    std::array::from_fn(|i| {
        let own = u32::from(colour[i]) * if premultiplied { 255 } else { alpha };
        let behind = u32::from(background[i]) * (255 - alpha);
        ((own + behind + 127) / 255).min(255) as u8
    })
}

/// Unpacked samples of one chunk: chunky in one plane, or one plane per sample.
struct SampleRows<'a> {
    bytes: &'a [u8],
    width: usize,
    plane_bytes: usize,
    planes: usize,
    samples: usize,
    /// 1; 2 for whole numbers and 4 for floats, which are mapped.
    sample_bytes: usize,
    /// The mapping, and whether the high byte comes first.
    mapping: Option<(LinearMapping, bool)>,
}

impl SampleRows<'_> {
    fn is_plain_rgb(&self) -> bool {
        self.planes == 1 && self.samples == 3 && self.mapping.is_none()
    }

    fn sample(&self, x: usize, y: usize, index: usize) -> u8 {
        let place =
            if self.planes > 1 { y * self.width + x } else { (y * self.width + x) * self.samples + index };
        let plane = if self.planes > 1 { index * self.plane_bytes } else { 0 };
        match self.mapping {
            None => self.bytes[plane + place],
            Some((mapping, big_endian)) => {
                let stored = &self.bytes[plane + place * self.sample_bytes..][..self.sample_bytes];
                mapping.apply(number(stored, big_endian))
            }
        }
    }
}

/// A 16-bit whole number or a 32-bit float.
fn number(stored: &[u8], big_endian: bool) -> f64 {
    match *stored {
        [a, b] if big_endian => u16::from_be_bytes([a, b]).into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c, d] if big_endian => f32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).into(),
        _ => 0.0,
    }
}

/// Decoders that a thread keeps between chunks.
#[derive(Default)]
struct Unpackers {
    inflate: Option<Decompress>,
    unlzw: Option<weezl::decode::Decoder>,
}

/// How a chunk came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unpacked {
    /// Written.
    bytes: usize,
    /// Stored bytes that were used; LZW may take a few more than it needs.
    used: usize,
    /// Whether the data says where it ends, as far as its format can.
    has_end: bool,
}

impl Unpacked {
    /// What is odd about the end of a chunk whose pixels are all there. Zeros behind it are padding.
    fn defect(self, compression: u16, stored: &[u8]) -> Option<String> {
        if compression == 1 {
            return None;
        }
        if !self.has_end {
            return Some("its LZW data has no end code".into());
        }
        let behind = stored.get(self.used..).unwrap_or_default();
        let is_padding = behind.iter().all(|&byte| byte == 0);
        (!is_padding).then(|| format!("{} bytes follow the end of its data", behind.len()))
    }
}

impl Unpackers {
    /// Unpacks all of `stored` into `out`, which may stay in part as it was. An error where the data breaks its format's
    /// rules, ends before its end mark or checksum, or holds more than `out` has room for.
    fn unpack(&mut self, compression: u16, stored: &[u8], out: &mut [u8]) -> Result<Unpacked, String> {
        match compression {
            1 => {
                let bytes = stored.len().min(out.len());
                out[..bytes].copy_from_slice(&stored[..bytes]);
                Ok(Unpacked { bytes, used: bytes, has_end: true })
            }
            5 => unpack_lzw(&mut self.unlzw, stored, out),
            8 | 32946 => {
                unpack_deflate(self.inflate.get_or_insert_with(|| Decompress::new(true)), stored, out)
            }
            32773 => unpack_bits(stored, out),
            50000 => zstd::bulk::decompress_to_buffer(stored, out)
                .map(|bytes| Unpacked { bytes, used: stored.len(), has_end: true })
                .map_err(|e| format!("its ZSTD data is broken: {e}")),
            other => Err(format!("compression {other} is not read")),
        }
    }
}

fn goes_on(format: &str) -> String {
    format!("its {format} data goes on after its last pixel")
}

/// Deflate in its zlib wrapping (RFC 1950), to the end and its checksum.
fn unpack_deflate(inflate: &mut Decompress, stored: &[u8], out: &mut [u8]) -> Result<Unpacked, String> {
    inflate.reset(true);
    let status = inflate
        .decompress(stored, out, FlushDecompress::Finish)
        .map_err(|e| format!("its Deflate data is broken: {e}"))?;
    let (bytes, used) = (inflate.total_out() as usize, inflate.total_in() as usize);
    match status {
        Status::StreamEnd => Ok(Unpacked { bytes, used, has_end: true }),
        _ if bytes == out.len() && used < stored.len() => Err(goes_on("Deflate")),
        _ => Err(format!("its Deflate data ends before its checksum, after {bytes} bytes")),
    }
}

/// TIFF's LZW: most significant bit first, codes widened one early. Files of
/// before 1990 pack the other way round and are told by their first bytes.
fn unpack_lzw(
    decoder: &mut Option<weezl::decode::Decoder>,
    stored: &[u8],
    out: &mut [u8],
) -> Result<Unpacked, String> {
    let old_style = stored.first() == Some(&0) && stored.get(1).is_some_and(|b| b & 1 == 1);
    let mut old;
    let decoder = if old_style {
        old = weezl::decode::Decoder::new(weezl::BitOrder::Lsb, 8);
        &mut old
    } else {
        let decoder = decoder
            .get_or_insert_with(|| weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8));
        decoder.reset();
        decoder
    };
    let (mut used, mut bytes) = (0, 0);
    // One byte more than there is room for shows whether the data ends with it.
    let mut beyond = [0];
    loop {
        let is_full = bytes == out.len();
        let room = if is_full { &mut beyond[..] } else { &mut out[bytes..] };
        let step = decoder.decode_bytes(&stored[used..], room);
        used += step.consumed_in;
        if is_full && step.consumed_out > 0 {
            return Err(goes_on("LZW"));
        }
        bytes += step.consumed_out;
        match step.status {
            Err(e) => return Err(format!("its LZW data is broken: {e}")),
            Ok(LzwStatus::Done) => return Ok(Unpacked { bytes, used, has_end: true }),
            Ok(_) if step.consumed_in == 0 && step.consumed_out == 0 => {
                return Ok(Unpacked { bytes, used, has_end: false });
            }
            Ok(_) => {}
        }
    }
}

/// PackBits (TIFF 6.0, section 9): runs of copies and runs of one byte.
fn unpack_bits(stored: &[u8], out: &mut [u8]) -> Result<Unpacked, String> {
    let (mut rest, mut bytes) = (stored, 0);
    while bytes < out.len()
        && let Some((&control, data)) = rest.split_first()
    {
        let room = &mut out[bytes..];
        let run = match control as i8 {
            -128 => {
                rest = data;
                continue;
            }
            literal @ 0.. => {
                let run = literal as usize + 1;
                let from = data.get(..run).ok_or("its PackBits data ends within a run")?;
                room.get_mut(..run).ok_or_else(|| goes_on("PackBits"))?.copy_from_slice(from);
                rest = &data[run..];
                run
            }
            repeated => {
                let run = 1 + usize::from(repeated.unsigned_abs());
                let (&byte, data) = data.split_first().ok_or("its PackBits data ends within a run")?;
                room.get_mut(..run).ok_or_else(|| goes_on("PackBits"))?.fill(byte);
                rest = data;
                run
            }
        };
        bytes += run;
    }
    Ok(Unpacked { bytes, used: stored.len() - rest.len(), has_end: true })
}

/// Predictor 2: each sample was stored as its difference from the one a pixel
/// to the left.
fn undo_difference(row: &mut [u8], samples: usize, sample_bytes: usize, big_endian: bool) {
    if sample_bytes == 1 {
        for i in samples..row.len() {
            row[i] = row[i].wrapping_add(row[i - samples]);
        }
        return;
    }
    for i in (2 * samples..row.len().saturating_sub(1)).step_by(2) {
        let left = i - 2 * samples;
        let [this, before] = [i, left].map(|at| {
            let pair = [row[at], row[at + 1]];
            if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        });
        let sum = this.wrapping_add(before);
        let pair = if big_endian { sum.to_be_bytes() } else { sum.to_le_bytes() };
        row[i..i + 2].copy_from_slice(&pair);
    }
}
