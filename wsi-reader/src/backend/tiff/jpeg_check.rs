//! A check that a baseline JPEG stream is consistent. It walks the entropy-coded data without making pixels,
//! and finds bit rot that decoders pass over in silence: codes that do not exist, blocks that overflow, data
//! left over or missing at the end.
//!
//! ITU-T T.81: tables in annex B, decoding in annex F.2.

use std::sync::Arc;

use super::jpeg_header::{Component, Header, Huffman, Refused};

/// Describes the damage in words; `None` for a sound stream. `shared` holds the page's tables. Progressive
/// and arithmetic streams are not judged.
pub(crate) fn defect(shared: &Header, stream: &[u8]) -> Option<String> {
    let mut header = shared.clone();
    match header.read(stream) {
        Ok(None) => Some("its JPEG data ends before any picture".into()),
        Ok(Some(start)) => Walk::new(&header).and_then(|walk| walk.scan(&stream[start..])).err(),
        Err(Refused::OtherKind) => None,
        Err(Refused::Damage(words)) => Some(words),
    }
}

/// A Huffman table: for each code length the smallest code, one past the largest, and the place of its first
/// symbol.
struct Codes {
    /// Symbol and length of every code of up to 8 bits, by the next 8 bits.
    short: Vec<(u8, u8)>,
    ranges: [(u32, u32, usize); 17],
    symbols: [u8; 256],
}

impl Codes {
    fn new(table: &Huffman) -> Option<Self> {
        let mut ranges = [(0, 0, 0); 17];
        let mut short = vec![(0, 0); 256];
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, &count) in (1..=16_u32).zip(&table.counts) {
            let first = code;
            for _ in 0..count {
                let symbol = *table.symbols.get(place)?;
                if length <= 8 {
                    let start = (code << (8 - length)) as usize;
                    short.get_mut(start..start + (1 << (8 - length)))?.fill((symbol, length as u8));
                }
                code += 1;
                place += 1;
            }
            if code > 1 << length {
                return None;
            }
            ranges[length as usize] = (first, code, place - usize::from(count));
            code <<= 1;
        }
        Some(Self { short, ranges, symbols: table.symbols })
    }
}

/// The codes of table `number`.
fn codes(tables: &[Option<Arc<Huffman>>; 4], number: usize) -> Result<Codes, String> {
    let table = tables[number].as_deref().ok_or("its JPEG data names a table it does not hold")?;
    Codes::new(table).ok_or_else(|| "a JPEG Huffman table contradicts itself".to_owned())
}

/// A header with its tables built.
struct Walk<'a> {
    header: &'a Header,
    dc: Vec<Codes>,
    ac: Vec<Codes>,
}

impl<'a> Walk<'a> {
    fn new(header: &'a Header) -> Result<Self, String> {
        let components = header.components().iter();
        Ok(Self {
            header,
            dc: components.clone().map(|one| codes(&header.dc, one.dc)).collect::<Result<_, _>>()?,
            ac: components.map(|one| codes(&header.ac, one.ac)).collect::<Result<_, _>>()?,
        })
    }

    /// The quantisation step of a component's brightness.
    fn dc_step(&self, component: &Component) -> i32 {
        self.header.quantisation[component.quantisation].as_deref().map_or(1, |steps| i32::from(steps[0]))
    }

    /// Walks all blocks of the scan and the data after it.
    fn scan(&self, data: &[u8]) -> Result<(), String> {
        let header = self.header;
        let (h, v) = header.most_sampling();
        let single = header.components().len() == 1;
        let mcus = if single {
            header.width.div_ceil(8) * header.height.div_ceil(8)
        } else {
            header.width.div_ceil(8 * h) * header.height.div_ceil(8 * v)
        };
        let mut bits = Bits { data, at: 0, hold: 0, count: 0 };
        let mut previous = [0_i32; 4];
        for mcu in 0..mcus {
            if header.restart_interval > 0 && mcu > 0 && mcu.is_multiple_of(header.restart_interval) {
                bits.restart((mcu / header.restart_interval - 1) as u8 & 7)?;
                previous = [0; 4];
            }
            for (index, (component, previous)) in header.components().iter().zip(&mut previous).enumerate() {
                let blocks = if single { 1 } else { component.horizontal * component.vertical };
                for _ in 0..blocks {
                    self.block(index, self.dc_step(component), previous, &mut bits)?;
                }
            }
        }
        bits.finish()
    }

    fn block(&self, index: usize, step: i32, previous: &mut i32, bits: &mut Bits<'_>) -> Result<(), String> {
        let (dc, ac) = (&self.dc[index], &self.ac[index]);
        let size = bits.symbol(dc)?;
        if size > 11 {
            return Err("its JPEG data is damaged: a brightness step too large".into());
        }
        *previous += bits.signed(size)?;
        // A block of 8 x 8 px of 8 bits has a mean within 1024 eighths of grey.
        if previous.abs().saturating_mul(step) > 1024 + 2 * step.max(8) {
            return Err("its JPEG data is damaged: brightness leaves its range".into());
        }
        let mut place = 1;
        while place < 64 {
            let symbol = bits.symbol(ac)?;
            let (run, size) = (usize::from(symbol >> 4), symbol & 15);
            match (run, size) {
                (15, 0) => place += 16,
                (_, 0) => return Ok(()),
                (_, 11..) => return Err("its JPEG data is damaged: a value too large".into()),
                _ => {
                    place += run + 1;
                    bits.signed(size)?;
                }
            }
            if place > 64 {
                return Err("its JPEG data is damaged: a block of more than 64 values".into());
            }
        }
        Ok(())
    }
}

/// Entropy-coded bits, stuffed zero bytes taken out, up to the next marker.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    hold: u64,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.data.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                Some([0xff, ..] | []) | None => return,
                Some(&[byte, ..]) => {
                    self.at += 1;
                    byte
                }
            };
            self.hold |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn take(&mut self, count: u32) -> Result<u32, String> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err("its JPEG data ends before its last block".into());
            }
        }
        if count == 0 {
            return Ok(0);
        }
        let value = (self.hold >> (64 - count)) as u32;
        self.hold <<= count;
        self.count -= count;
        Ok(value)
    }

    fn symbol(&mut self, codes: &Codes) -> Result<u8, String> {
        if self.count < 16 {
            self.fill();
        }
        let (symbol, length) = codes.short[(self.hold >> 56) as usize];
        if length > 0 {
            self.take(u32::from(length))?;
            return Ok(symbol);
        }
        for length in 9..=16_u32 {
            let code = (self.hold >> (64 - length)) as u32;
            let (first, end, place) = codes.ranges[length as usize];
            if (first..end).contains(&code) {
                self.take(length)?;
                return Ok(codes.symbols[place + (code - first) as usize]);
            }
        }
        Err("its JPEG data is damaged: a code that is in no table".into())
    }

    /// The value of `size` bits (T.81, F.2.2.1).
    fn signed(&mut self, size: u8) -> Result<i32, String> {
        let size = u32::from(size);
        let value = self.take(size)? as i32;
        let negative = size > 0 && value < 1 << (size - 1);
        Ok(if negative { value - (1 << size) + 1 } else { value })
    }

    /// Drops the padding bits before a marker; an error when whole bytes remain.
    fn at_marker(&mut self) -> Result<u8, String> {
        self.fill();
        if self.count >= 8 {
            return Err("its JPEG data goes on after its last block".into());
        }
        (self.hold, self.count) = (0, 0);
        while self.data.get(self.at) == Some(&0xff) && self.data.get(self.at + 1) == Some(&0xff) {
            self.at += 1;
        }
        match self.data.get(self.at..self.at + 2) {
            Some(&[0xff, marker]) => {
                self.at += 2;
                Ok(marker)
            }
            _ => Err("its JPEG data has no end marker".into()),
        }
    }

    fn restart(&mut self, expected: u8) -> Result<(), String> {
        match self.at_marker()? {
            marker if marker == 0xd0 + expected => Ok(()),
            marker => Err(format!("its JPEG data has marker {marker:02x}, expected restart {expected}")),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        match self.at_marker()? {
            0xd9 => Ok(()),
            marker => Err(format!("its JPEG data has marker {marker:02x} after its last block")),
        }
    }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::{
        super::by_hand::{AC_END, DC_11_BITS, DC_SAME, Jpeg},
        *,
    };

    fn stream(sampling: SamplingFactor, restart: u16) -> Vec<u8> {
        let pixels: Vec<u8> = (0..70_u32 * 50)
            .flat_map(|i| {
                let (x, y) = (i % 70, i / 70);
                [((x * 37) ^ (y * 11)) as u8, (x * y) as u8, (255 - x) as u8]
            })
            .collect();
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, 85);
        encoder.set_sampling_factor(sampling);
        if restart > 0 {
            encoder.set_restart_interval(restart);
        }
        encoder.encode(&pixels, 70, 50, ColorType::Rgb).unwrap();
        out
    }

    #[test]
    fn sound_streams_have_no_defect() {
        for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2] {
            for restart in [0, 3] {
                assert_eq!(
                    defect(&Header::default(), &stream(sampling, restart)),
                    None,
                    "{sampling:?} {restart}"
                );
            }
        }
    }

    #[test]
    fn most_flipped_bits_are_found_and_none_panics() {
        let sound = stream(SamplingFactor::F_2_2, 0);
        let start = sound.windows(2).position(|w| w == [0xff, 0xda]).unwrap() + 14;
        let (mut found, mut tried) = (0, 0);
        for at in (start..sound.len() - 2).step_by(7) {
            let mut rotten = sound.clone();
            rotten[at] ^= 0x10;
            tried += 1;
            found += usize::from(defect(&Header::default(), &rotten).is_some());
        }
        // A flip inside a value changes pixels and nothing else; a flip inside a code
        // shows sooner or later.
        assert!(found * 3 > tried, "{found} of {tried}");
        for cut in 0..sound.len() {
            assert!(defect(&Header::default(), &sound[..cut]).is_some(), "cut at {cut}");
        }
    }

    #[test]
    fn brightness_may_leave_its_range_by_two_steps_of_eight() {
        for (value, is_sound) in [("10000010000", true), ("10000010001", false)] {
            let stream = Jpeg::gray(&[DC_11_BITS, value, AC_END]).bytes();
            assert_eq!(defect(&Header::default(), &stream).is_none(), is_sound, "{value}");
        }
    }

    #[test]
    fn ones_before_a_marker_are_fill() {
        for (fill, is_sound) in [(&b""[..], true), (b"\xff", true), (b"\xff\xff\xff", true), (b"\x5a", false)]
        {
            let stream = Jpeg { fill, ..Jpeg::gray(&[DC_SAME, AC_END]) };
            assert_eq!(defect(&Header::default(), &stream.bytes()).is_none(), is_sound, "{fill:02x?}");
        }
    }
}
