//! One tile or strip: bytes of the file in, RGB out.

use wsi_types::Rgb;

use super::{
    jpeg, jpeg2000,
    page::{Alpha, Colour, Page, Samples},
    scratch::Scratch,
    target::Target,
    unpack::Unpacked,
};
use crate::mapping::LinearMapping;

/// Settings for decoding the chunks of a page, computed once per page.
#[derive(Debug)]
pub(crate) struct Decoder {
    samples: Samples,
    /// Tables that the page's JPEG tiles share.
    shared: jpeg::Shared,
    background: Rgb,
}

impl Decoder {
    pub(crate) fn new(samples: Samples, jpeg_tables: Option<&[u8]>, background: Rgb) -> Self {
        Self { samples, shared: jpeg::Shared::new(jpeg_tables), background }
    }

    /// Mapping of its samples to 8 bits, if they have more.
    pub(crate) fn mapping(&self) -> Option<LinearMapping> {
        self.samples.mapping
    }

    /// Tables that the page's JPEG tiles share.
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

    /// Returns a JPEG chunk as a stream of its own; `None` for one whose colours other decoders may read
    /// differently.
    pub(crate) fn as_jpeg(&self, page: &Page, stored: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let size = (page.chunk_width as usize, page.chunk_height as usize);
        jpeg::as_own_stream(&self.shared, size, self.samples.colour != Colour::YCbCr, stored)
    }

    /// Decodes a JPEG chunk with each side divided by 2^`shift` (1 to 3). Returns `false` for a kind of
    /// stream that can only be decoded whole.
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
        // Some writers store the last strip at full height.
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

    /// Describes the damage that shows at the ends of a chunk's unpacked planes, in words.
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
            // A chunk that cannot be unpacked is reported by the function that reads it.
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

/// Lays a colour with alpha over the background, rounded to nearest.
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
    /// 1 for bytes; 2 for whole numbers and 4 for floats, which are mapped.
    sample_bytes: usize,
    /// The mapping, and `true` if the high byte comes first.
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

/// Undoes predictor 2: each sample was stored as its difference from the one a pixel to the left.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_sixteen_bits_are_added_up_in_their_byte_order() {
        // Two px of two samples, then one more: 300, 65535; + 500, + 2; − 1, − 1.
        let stored = [300_u16, 65_535, 500, 2, 65_535, 65_535];
        let expected = [300_u16, 65_535, 800, 1, 799, 0];
        let [mut big, big_sums] = [stored, expected].map(|row| row.map(u16::to_be_bytes).concat());
        undo_difference(&mut big, 2, 2, true);
        assert_eq!(big, big_sums);
        let [mut little, little_sums] = [stored, expected].map(|row| row.map(u16::to_le_bytes).concat());
        undo_difference(&mut little, 2, 2, false);
        assert_eq!(little, little_sums);
    }
}
