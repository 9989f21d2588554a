//! Lossless compressions of TIFF, undone with a check for the end of their data.

use flate2::{Decompress, FlushDecompress, Status};
use weezl::LzwStatus;

/// Decoders that a thread keeps between chunks.
#[derive(Default)]
pub(crate) struct Unpackers {
    inflate: Option<Decompress>,
    unlzw: Option<weezl::decode::Decoder>,
}

/// Result of unpacking a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Bytes written.
    pub(crate) bytes: usize,
    /// Stored bytes that were used; LZW may take a few more than it needs.
    pub(crate) used: usize,
    /// `true` if the data marks its end, as far as its format can.
    pub(crate) has_end: bool,
}

impl Unpacked {
    /// Describes what is odd about the end of a chunk whose pixels are all there. Zeros after it are padding.
    pub(crate) fn defect(self, compression: u16, stored: &[u8]) -> Option<String> {
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
    /// Unpacks all of `stored` into `out`, parts of which may stay as they were. Fails if the data breaks its
    /// format's rules, ends before its end mark or checksum, or holds more than `out` has room for.
    pub(crate) fn unpack(
        &mut self,
        compression: u16,
        stored: &[u8],
        out: &mut [u8],
    ) -> Result<Unpacked, String> {
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

/// Unpacks Deflate in its zlib wrapping (RFC 1950), to the end and its checksum.
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

/// Unpacks TIFF's LZW: most significant bit first, codes widened one early. Files of before 1990 pack the
/// other way round and are known by their first bytes.
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
    // One byte more than `out` has room for shows whether the data ends with it.
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

/// Unpacks PackBits (TIFF 6.0, section 9): runs of copies and runs of one byte.
pub(crate) fn unpack_bits(stored: &[u8], out: &mut [u8]) -> Result<Unpacked, String> {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    #[test]
    fn a_cut_deflate_stream_and_one_that_goes_on_are_told_apart() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&[7; 100]).unwrap();
        let stored = encoder.finish().unwrap();
        let mut out = [0; 100];
        let mut unpackers = Unpackers::default();
        let cut = unpackers.unpack(8, &stored[..stored.len() - 2], &mut out);
        assert_eq!(cut.err().unwrap(), "its Deflate data ends before its checksum, after 100 bytes");
        let longer = unpackers.unpack(8, &stored, &mut out[..60]);
        assert_eq!(longer.err().unwrap(), "its Deflate data goes on after its last pixel");
        assert!(unpackers.unpack(8, &stored, &mut out).is_ok());
    }
}
