//! Does a baseline JPEG stream add up? Walks the entropy-coded data without
//! making pixels, and finds bit rot that decoders pass over in silence: codes
//! that do not exist, blocks that overflow, data left over or missing at the end.
//!
//! ITU-T T.81: tables in annex B, decoding in annex F.2.

/// Damage in words, or `None` for a sound stream. Progressive and arithmetic
/// streams are not judged.
pub(crate) fn defect(tables: Option<&[u8]>, stream: &[u8]) -> Option<String> {
    let mut parser = Parser::default();
    if let Some(tables) = tables
        && let Err(found) = parser.segments(tables, 2)
    {
        return found.into_words();
    }
    match parser.segments(stream, 2) {
        Ok(()) => Some("its JPEG data ends before any picture".into()),
        Err(Stop::AtScan(start)) => parser.scan(&stream[start..]).err(),
        Err(other) => other.into_words(),
    }
}

/// Why the walk over segments ended.
enum Stop {
    /// Entropy-coded data starts here.
    AtScan(usize),
    /// Not a kind of stream this file judges.
    NotJudged,
    Damage(String),
}

impl Stop {
    fn into_words(self) -> Option<String> {
        match self {
            Self::Damage(words) => Some(words),
            Self::AtScan(_) | Self::NotJudged => None,
        }
    }
}

fn damage<T>(words: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Damage(words.into()))
}

#[derive(Default)]
struct Parser {
    dc: [Option<Codes>; 4],
    ac: [Option<Codes>; 4],
    /// First entry of each quantisation table, the one for DC.
    dc_step: [i32; 4],
    width: usize,
    height: usize,
    components: Vec<Component>,
    restart_interval: usize,
}

#[derive(Clone, Copy)]
struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    quantisation: usize,
    dc: usize,
    ac: usize,
}

/// A Huffman table: for each code length the smallest code, one past the
/// largest, and where its symbols start.
struct Codes {
    /// Symbol and length of every code of up to 8 bits, by the next 8 bits.
    short: Vec<(u8, u8)>,
    ranges: [(u32, u32, usize); 17],
    symbols: Vec<u8>,
}

impl Codes {
    fn new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
        let mut ranges = [(0, 0, 0); 17];
        let mut short = vec![(0, 0); 256];
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, &count) in (1..=16_u32).zip(counts) {
            let first = code;
            for _ in 0..count {
                let symbol = *symbols.get(place)?;
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
        Some(Self { short, ranges, symbols: symbols[..place].to_vec() })
    }
}

impl Parser {
    /// Reads marker segments from `at` until a scan starts or the bytes end.
    fn segments(&mut self, bytes: &[u8], mut at: usize) -> Result<(), Stop> {
        loop {
            while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
                at += 1;
            }
            let Some(&[0xff, marker]) = bytes.get(at..at + 2) else {
                return if at >= bytes.len() {
                    Ok(())
                } else {
                    damage("its JPEG data has bytes between segments")
                };
            };
            at += 2;
            if marker == 0xd9 {
                return Ok(());
            }
            let Some(&[high, low]) = bytes.get(at..at + 2) else {
                return damage("its JPEG header is cut short");
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let Some(body) = bytes.get(at + 2..at + length.max(2)) else {
                return damage("its JPEG header is cut short");
            };
            at += length.max(2);
            match marker {
                0xc0 | 0xc1 => self.frame(body)?,
                0xc2..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => return Err(Stop::NotJudged),
                0xc4 => self.huffman(body)?,
                0xdb => self.quantisation(body)?,
                0xdd if body.len() >= 2 => {
                    self.restart_interval = usize::from(u16::from_be_bytes([body[0], body[1]]));
                }
                0xda => {
                    self.scan_header(body)?;
                    return Err(Stop::AtScan(at));
                }
                _ => {}
            }
        }
    }

    fn frame(&mut self, body: &[u8]) -> Result<(), Stop> {
        let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = body else {
            return damage("its JPEG frame header is cut short");
        };
        if precision != 8 {
            return Err(Stop::NotJudged);
        }
        self.height = usize::from(u16::from_be_bytes([h1, h0]));
        self.width = usize::from(u16::from_be_bytes([w1, w0]));
        let components = rest.as_chunks::<3>().0;
        if components.len() < usize::from(count) || self.width == 0 || self.height == 0 {
            return damage("its JPEG frame header is cut short");
        }
        self.components = components[..usize::from(count)]
            .iter()
            .map(|&[id, sampling, table]| Component {
                id,
                horizontal: usize::from(sampling >> 4),
                vertical: usize::from(sampling & 15),
                quantisation: usize::from(table & 3),
                dc: 0,
                ac: 0,
            })
            .collect();
        if self.components.iter().any(|c| !(1..=4).contains(&c.horizontal) || !(1..=4).contains(&c.vertical))
        {
            return damage("its JPEG frame header has impossible sampling");
        }
        Ok(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Result<(), Stop> {
        while let Some((&class, rest)) = body.split_first() {
            let Some((counts, rest)) = rest.split_at_checked(16) else {
                return damage("a JPEG Huffman table is cut short");
            };
            let symbols: usize = counts.iter().map(|&c| usize::from(c)).sum();
            let Some(codes) = rest.get(..symbols).and_then(|symbols| Codes::new(counts, symbols)) else {
                return damage("a JPEG Huffman table contradicts itself");
            };
            let slot = usize::from(class & 3);
            if class >> 4 == 0 {
                self.dc[slot] = Some(codes)
            } else {
                self.ac[slot] = Some(codes)
            }
            body = &rest[symbols..];
        }
        Ok(())
    }

    fn quantisation(&mut self, mut body: &[u8]) -> Result<(), Stop> {
        while let Some((&class, rest)) = body.split_first() {
            let bytes = if class >> 4 == 0 { 64 } else { 128 };
            let Some((table, after)) = rest.split_at_checked(bytes) else {
                return damage("a JPEG quantisation table is cut short");
            };
            self.dc_step[usize::from(class & 3)] = if bytes == 64 {
                i32::from(table[0])
            } else {
                i32::from(u16::from_be_bytes([table[0], table[1]]))
            };
            body = after;
        }
        Ok(())
    }

    fn scan_header(&mut self, body: &[u8]) -> Result<(), Stop> {
        let Some((&count, rest)) = body.split_first() else {
            return damage("a JPEG scan header is cut short");
        };
        if usize::from(count) != self.components.len() {
            // One scan per component: rare in tiles.
            return Err(Stop::NotJudged);
        }
        for (component, &[id, tables]) in self.components.iter_mut().zip(rest.as_chunks::<2>().0) {
            if component.id != id {
                return Err(Stop::NotJudged);
            }
            component.dc = usize::from((tables >> 4) & 3);
            component.ac = usize::from(tables & 3);
        }
        Ok(())
    }

    /// Walks all blocks of the scan and what follows it.
    fn scan(&self, data: &[u8]) -> Result<(), String> {
        let most = |side: fn(&Component) -> usize| self.components.iter().map(side).max().unwrap_or(1);
        let (h, v) = (most(|c| c.horizontal), most(|c| c.vertical));
        let single = self.components.len() == 1;
        let mcus = if single {
            self.width.div_ceil(8) * self.height.div_ceil(8)
        } else {
            self.width.div_ceil(8 * h) * self.height.div_ceil(8 * v)
        };
        let mut bits = Bits { data, at: 0, hold: 0, count: 0 };
        let mut previous = [0_i32; 4];
        for mcu in 0..mcus {
            if self.restart_interval > 0 && mcu > 0 && mcu.is_multiple_of(self.restart_interval) {
                bits.restart((mcu / self.restart_interval - 1) as u8 & 7)?;
                previous = [0; 4];
            }
            for (component, previous) in self.components.iter().zip(&mut previous) {
                let blocks = if single { 1 } else { component.horizontal * component.vertical };
                for _ in 0..blocks {
                    self.block(component, previous, &mut bits)?;
                }
            }
        }
        bits.finish()
    }

    fn block(&self, component: &Component, previous: &mut i32, bits: &mut Bits<'_>) -> Result<(), String> {
        let missing = || "its JPEG data names a table it does not hold".to_owned();
        let dc = self.dc[component.dc].as_ref().ok_or_else(missing)?;
        let ac = self.ac[component.ac].as_ref().ok_or_else(missing)?;
        let size = bits.symbol(dc)?;
        if size > 11 {
            return Err("its JPEG data is damaged: a brightness step too large".into());
        }
        *previous += bits.signed(size)?;
        // A block of 8 x 8 px of 8 bits has a mean within 1024 eighths of grey.
        let step = self.dc_step[component.quantisation];
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
    #![allow(clippy::unwrap_used)]
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::*;

    fn stream(sampling: SamplingFactor, restart: u16) -> Vec<u8> {
        let pixels: Vec<u8> = (0..70_u32 * 50)
            .flat_map(|i| {
                let (x, y) = (i % 70, i / 70);
                [(x * 37 ^ y * 11) as u8, (x * y) as u8, (255 - x) as u8]
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
                assert_eq!(defect(None, &stream(sampling, restart)), None, "{sampling:?} {restart}");
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
            found += usize::from(defect(None, &rotten).is_some());
        }
        // A flip inside a value changes pixels and nothing else; a flip inside a code
        // shows sooner or later.
        assert!(found * 3 > tried, "{found} of {tried}");
        for cut in 0..sound.len() {
            assert!(defect(None, &sound[..cut]).is_some(), "cut at {cut}");
        }
    }
}
