//! JPEG and JPEG 2000 streams written by hand for tests: what no encoder writes, and every value known.

/// A sequential Huffman stream of one block of 8 x 8 px for each component.
pub(super) struct Jpeg {
    /// The names of the components; there are as many as names.
    pub(super) names: &'static [u8],
    /// All steps of quantisation.
    pub(super) step: u16,
    /// The entropy-coded bits as `0` and `1`, all blocks one after the other; the last byte is filled with ones.
    pub(super) bits: String,
    /// Bytes before the end marker.
    pub(super) fill: &'static [u8],
}

/// Codes of brightness steps: no change, and values of 5 and of 11 bits.
pub(super) const DC_SAME: &str = "0";
pub(super) const DC_5_BITS: &str = "10";
pub(super) const DC_11_BITS: &str = "110";
/// Codes of the other values: the end of a block, and values of 10 and of 11 bits.
pub(super) const AC_END: &str = "0";
pub(super) const AC_10_BITS: &str = "10";
pub(super) const AC_11_BITS: &str = "110";

/// Both tables have one code each of 1, 2 and 3 bits.
const COUNTS: [u8; 16] = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Jpeg {
    pub(super) fn gray(bits: &[&str]) -> Self {
        Self { names: &[1], step: 1, bits: bits.concat(), fill: b"" }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let count = self.names.len() as u8;
        let frame: Vec<u8> = self.names.iter().flat_map(|&name| [name, 0x11, 0]).collect();
        let scan: Vec<u8> = self.names.iter().flat_map(|&name| [name, 0]).collect();
        [
            b"\xff\xd8".to_vec(),
            segment(0xdb, &[&[0x10], &self.step.to_be_bytes().repeat(64)]),
            segment(0xc0, &[&[8, 0, 8, 0, 8, count], &frame]),
            segment(0xc4, &[&[0x00], &COUNTS, &[0, 5, 11]]),
            segment(0xc4, &[&[0x10], &COUNTS, &[0, 10, 11]]),
            segment(0xda, &[&[count], &scan, &[0, 63, 0]]),
            packed(&self.bits),
            self.fill.to_vec(),
            b"\xff\xd9".to_vec(),
        ]
        .concat()
    }
}

pub(super) fn segment(marker: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[0xff, marker], &(body.len() as u16 + 2).to_be_bytes()[..], &body].concat()
}

/// Bits as bytes, filled with ones; a zero byte follows each 0xff.
fn packed(bits: &str) -> Vec<u8> {
    let bits: Vec<u8> = bits.bytes().map(|bit| bit - b'0').collect();
    let bytes = bits.chunks(8).map(|eight| (0..8).fold(0, |byte, i| byte << 1 | eight.get(i).unwrap_or(&1)));
    bytes.flat_map(|byte: u8| if byte == 0xff { vec![byte, 0] } else { vec![byte] }).collect()
}

/// A JPEG 2000 stream (ISO/IEC 15444-1, annex A) of one tile without any data: each component is mid grey.
pub(super) fn empty_jpeg2000(width: u32, height: u32, components: u16) -> Vec<u8> {
    let sizes = [width, height, 0, 0, width, height, 0, 0].map(u32::to_be_bytes).concat();
    // One packet of one zero bit for each component.
    let packets = vec![0; components.into()];
    let tile = [&0_u32.to_be_bytes()[2..], &(14 + u32::from(components)).to_be_bytes(), &[0, 1]].concat();
    [
        b"\xff\x4f".to_vec(),
        segment(0x51, &[&[0, 0], &sizes, &components.to_be_bytes(), &[7, 1, 1].repeat(components.into())]),
        // One layer, no levels, blocks of 64 x 64, the reversible transform, no colour transform.
        segment(0x52, &[&[0, 0, 0, 1, 0, 0, 4, 4, 0, 1]]),
        segment(0x5c, &[&[0x40, 8 << 3]]),
        segment(0x90, &[&tile]),
        b"\xff\x93".to_vec(),
        packets,
        b"\xff\xd9".to_vec(),
    ]
    .concat()
}
