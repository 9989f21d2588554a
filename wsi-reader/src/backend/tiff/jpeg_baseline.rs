//! A decoder for the usual slide tiles: sequential Huffman JPEG of 8 bits, in one scan, with at most halved
//! chroma. Others are left to a general decoder.
//!
//! Pixels are those of libjpeg-turbo, bit for bit: its accurate integer DCT
//! (Loeffler, Ligtenberg and Moschytz, ICASSP 1989, in 13-bit fixed point),
//! triangle-filtered chroma, and colours by ITU-T T.871 in 16-bit fixed point.
//! So our tiles equal what OpenSlide shows. Nothing is allocated per tile.

use std::sync::Arc;

use fearless_simd::{Level, Simd, SimdFrom, dispatch, i16x8, i32x4};

use super::{
    jpeg_header::{Header, Huffman, Refused},
    target::Target,
};

/// Number of bits looked up at once.
const LOOK: u32 = 10;

/// Place, row by row, of each coefficient in zigzag order.
pub(super) const NATURAL: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Colour model of the three components, to be turned into red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    YCbCr,
    /// The components are red, green and blue already.
    Rgb,
}

/// Buffers and tables a thread keeps between tiles.
#[derive(Default)]
pub(crate) struct Workspace {
    pub(super) codes: Vec<(Huffman, Codes)>,
    pub(super) planes: [Plane; 3],
    sums: Vec<u16>,
    pub(super) chroma: [Vec<u8>; 2],
    pub(super) weighed: Vec<u32>,
}

/// One component, decoded, padded to whole MCUs.
#[derive(Default)]
pub(super) struct Plane {
    stride: usize,
    /// Real width and height: samples beyond them are padding.
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

impl Plane {
    /// The real samples of a row, or of the last one.
    #[inline(always)]
    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.samples[y.min(self.height - 1) * self.stride..][..self.width]
    }
}

/// Decodes the entropy-coded `data` of a stream with this header.
pub(crate) fn decode(
    header: &Header,
    data: &[u8],
    colours: Colours,
    work: &mut Workspace,
    target: &mut Target<'_>,
) -> Result<(), Refused> {
    let sampling = checked_sampling(header)?;
    let tables = Tables::of(header, &mut work.codes)?;
    let level = Level::new();
    let Workspace { codes, planes, .. } = work;
    dispatch!(level, simd => {
        let whole = Whole { simd, steps: &tables.steps };
        decode_planes(&whole, header, &tables, codes, planes, data)
    })?;
    // Compiled for the vector units that the machine has; `paint` names none of their operations.
    dispatch!(level, _ => paint(header.components().len(), colours, sampling, header, work, target));
    Ok(())
}

/// Returns the most blocks per MCU across and down of a stream; refuses a stream that is not decoded here.
pub(super) fn checked_sampling(header: &Header) -> Result<(usize, usize), Refused> {
    let components = header.components();
    let (h, v) = header.most_sampling();
    let are_halves = components
        .iter()
        .all(|c| (c.horizontal == h || c.horizontal * 2 == h) && (c.vertical == v || c.vertical * 2 == v));
    if !matches!(components.len(), 1 | 3) || h > 2 || v > 2 || !are_halves {
        return Err(Refused::OtherKind);
    }
    // The first component must be the sharp one; a single one fills its MCU alone.
    if components.len() == 3 && (components[0].horizontal, components[0].vertical) != (h, v) {
        return Err(Refused::OtherKind);
    }
    Ok((h, v))
}

/// Conversion of a block's coefficients to samples.
pub(super) trait Transform {
    /// Samples across and down that a block of a component becomes; 1 to 8.
    fn points(&self, component: usize) -> (usize, usize);

    /// Takes one block from the scan and writes its samples; returns `false` for impossible data.
    fn block(&self, component: usize, scan: &mut Scan<'_, '_>, out: &mut [u8], stride: usize) -> bool;
}

/// The tables that each component uses: quantisation, and the places of its codes in the workspace.
pub(super) struct Tables {
    /// In zigzag order, the order in which coefficients are read.
    pub(super) steps: [[i16; 64]; 3],
    dc: [usize; 3],
    ac: [usize; 3],
}

impl Tables {
    pub(super) fn of(header: &Header, codes: &mut Vec<(Huffman, Codes)>) -> Result<Self, Refused> {
        let missing = || Refused::Damage("its JPEG data names a table it does not hold".into());
        // Tables repeat from tile to tile; a slide has few.
        if codes.len() > 32 {
            codes.clear();
        }
        let mut place = |table: &Option<Arc<Huffman>>| -> Result<usize, Refused> {
            let table = table.as_deref().ok_or_else(missing)?;
            if let Some(found) = codes.iter().position(|(known, _)| known == table) {
                return Ok(found);
            }
            let built = Codes::new(table)
                .ok_or_else(|| Refused::Damage("a JPEG Huffman table contradicts itself".into()))?;
            codes.push((table.clone(), built));
            Ok(codes.len() - 1)
        };
        let mut tables = Self { steps: [[0; 64]; 3], dc: [0; 3], ac: [0; 3] };
        for (index, component) in header.components().iter().enumerate() {
            let zigzag = header.quantisation[component.quantisation].as_deref().ok_or_else(missing)?;
            tables.steps[index] = zigzag.map(|step| step as i16);
            tables.dc[index] = place(&header.dc[component.dc])?;
            tables.ac[index] = place(&header.ac[component.ac])?;
        }
        Ok(tables)
    }
}

/// A Huffman table made for speed.
pub(super) struct Codes {
    /// Entries by the next [`LOOK`] bits.
    looked: Box<[Entry; 1 << LOOK]>,
    /// For each length: one past the last code, aligned to 16 bits, and the number to add to a code to get
    /// its symbol.
    ends: [(u32, i32); 18],
    symbols: [u8; 256],
}

/// The code and value with which some bits begin.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// The value; where `bits` is 0, the symbol and the length of its code, or 0
    /// for a code longer than [`LOOK`].
    value: i16,
    /// Places by which the block advances: the run and the value's own. [`END`] for the end of the block.
    places: u8,
    /// Bits of code and value together; 0 if they are more than [`LOOK`].
    bits: u8,
}

/// Number of places that leads out of any block, further than a run can.
const END: u8 = 128;

impl Entry {
    /// Makes the entry of `next`, the next [`LOOK`] bits, which begin with the code of this length.
    fn new(next: u32, symbol: u8, length: u32) -> Self {
        let size = u32::from(symbol & 15);
        if length + size > LOOK {
            return Self { value: (u16::from(symbol) << 8 | length as u16) as i16, places: 0, bits: 0 };
        }
        let raw = (next >> (LOOK - length - size)) & ((1 << size) - 1);
        Self { value: value_of(raw, size), places: places(symbol), bits: (length + size) as u8 }
    }
}

/// Returns the number of places by which a symbol advances in a block (T.81, F.2.2.2). A run of 16 zeros
/// counts as a zero after 15; any other symbol without a value ends the block.
#[inline(always)]
fn places(symbol: u8) -> u8 {
    let run = symbol >> 4;
    if symbol & 15 == 0 && run != 15 { END | run } else { run.wrapping_add(1) }
}

impl Codes {
    fn new(table: &Huffman) -> Option<Self> {
        let mut looked = Box::new([Entry::default(); 1 << LOOK]);
        let mut ends = [(0, 0); 18];
        let (mut code, mut place) = (0_u32, 0_u32);
        for (length, &count) in (1..=16_u32).zip(&table.counts) {
            let symbol_of_code = place as i32 - code as i32;
            for _ in 0..count {
                let symbol = *table.symbols.get(place as usize)?;
                if length <= LOOK {
                    let first = code << (LOOK - length);
                    for next in first..first + (1 << (LOOK - length)) {
                        *looked.get_mut(next as usize)? = Entry::new(next, symbol, length);
                    }
                }
                code += 1;
                place += 1;
            }
            if code > 1 << length {
                return None;
            }
            ends[length as usize] = (code << (16 - length), symbol_of_code);
            code <<= 1;
        }
        ends[17] = (u32::MAX, 0);
        Some(Self { looked, ends, symbols: table.symbols })
    }

    /// Returns symbol and length of a code longer than [`LOOK`] bits.
    #[cold]
    #[inline(never)]
    fn long_symbol(&self, hold: u64) -> Option<(u8, u32)> {
        let next = (hold >> 48) as u32;
        let length = (LOOK + 1..=16).find(|&length| next < self.ends[length as usize].0)?;
        let code = (next >> (16 - length)) as i32;
        let place = usize::try_from(code + self.ends[length as usize].1).ok()?;
        self.symbols.get(place).map(|&symbol| (symbol, length))
    }
}

/// Returns the value of `size` bits (T.81, F.2.2.1).
#[inline(always)]
fn value_of(raw: u32, size: u32) -> i16 {
    if size == 0 {
        return 0;
    }
    let below = (raw >> (size.wrapping_sub(1) & 31)) ^ 1;
    raw.wrapping_sub((below << (size & 31)).wrapping_sub(below)) as i16
}

/// Entropy-coded bits, left-aligned; zeros follow the end of the data.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    hold: u64,
    count: u32,
    /// Zero bits added after the end.
    invented: u32,
}

impl Bits<'_> {
    /// Ensures at least 56 bits. It always reads: the number of bits left is as good as random, and the
    /// processor would mispredict a branch on it.
    #[inline(always)]
    fn refill(&mut self) {
        if let Some(chunk) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let next = u64::from_be_bytes(*chunk);
            let inverted = !next;
            // A zero byte of the complement is an 0xff, which needs care.
            if inverted.wrapping_sub(0x0101_0101_0101_0101) & !inverted & 0x8080_8080_8080_8080 == 0 {
                self.hold |= next >> (self.count & 63);
                self.at = self.at.wrapping_add(((63 - (self.count & 63)) >> 3) as usize);
                self.count |= 56;
                return;
            }
        }
        // By value, so that the fields stay in registers everywhere else.
        *self = self.refilled_slowly();
    }

    #[cold]
    #[inline(never)]
    fn refilled_slowly(mut self) -> Self {
        while self.count < 56 {
            let byte = match self.data.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                Some([0xff, ..] | []) | None => {
                    self.invented = self.invented.saturating_add(8);
                    0
                }
                Some(&[byte, ..]) => {
                    self.at += 1;
                    byte
                }
            };
            self.hold |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.hold <<= count & 63;
        self.count = self.count.wrapping_sub(count);
    }

    #[inline(always)]
    fn take(&mut self, count: u32) -> u32 {
        let value = (self.hold >> 1 >> (63 - (count & 31))) as u32;
        self.skip(count);
        value
    }

    /// Returns the next value and the places by which it advances, from at most [`LOOK`] bits; `None` if
    /// these do not hold it.
    #[inline(always)]
    fn looked_up(&mut self, codes: &Codes) -> Option<(i16, u8)> {
        let entry = codes.looked[(self.hold >> (64 - LOOK)) as usize];
        self.skip(u32::from(entry.bits));
        (entry.bits != 0).then_some((entry.value, entry.places))
    }

    /// Returns the same from at most 31 bits; `None` for a code that is in no table.
    #[inline(always)]
    fn spelled_out(&mut self, codes: &Codes) -> Option<(i16, u8)> {
        let entry = codes.looked[(self.hold >> (64 - LOOK)) as usize];
        let [symbol, length] = entry.value.to_be_bytes();
        let (symbol, length) = match length {
            0 => codes.long_symbol(self.hold)?,
            length => (symbol, u32::from(length)),
        };
        self.skip(length);
        let size = u32::from(symbol & 15);
        Some((value_of(self.take(size), size), places(symbol)))
    }

    /// `true` if more bits were used than the data holds.
    fn is_spent(&self) -> bool {
        self.invented > self.count
    }

    /// `true` if bytes of data are left before the next marker: after the last block a sign that codes were
    /// read where none begin. Zeros and ones are fill before a marker; without a marker they are data that
    /// was never written.
    fn goes_on(&self) -> bool {
        let held = self.count.saturating_sub(self.invented);
        // The rest of the byte that the last code ends in is padding.
        let whole = (self.hold << (held % 8)).to_be_bytes();
        let whole = &whole[..held as usize / 8];
        let behind = self.data.get(self.at..).unwrap_or_default();
        match behind.windows(2).position(|pair| pair[0] == 0xff && !is_fill(pair[1])) {
            Some(marker) => !whole.iter().chain(&behind[..marker]).all(|&byte| is_fill(byte)),
            None => whole.len() + behind.len() > 0,
        }
    }

    /// Steps over the restart marker that must be here.
    fn restart(&mut self) -> bool {
        (self.hold, self.count, self.invented) = (0, 0, 0);
        while self.data.get(self.at..self.at + 2).is_some_and(|pair| pair == [0xff, 0xff]) {
            self.at += 1;
        }
        match self.data.get(self.at..self.at + 2) {
            Some(&[0xff, 0xd0..=0xd7]) => {
                self.at += 2;
                true
            }
            _ => false,
        }
    }
}

/// `true` for a byte that encoders write between the data and a marker.
fn is_fill(byte: u8) -> bool {
    byte == 0 || byte == 0xff
}

/// Sizes of one component that are the same in every MCU.
struct Lane<'a> {
    /// Blocks.
    across: usize,
    down: usize,
    /// Samples of a block.
    px: usize,
    py: usize,
    dc: &'a Codes,
    ac: &'a Codes,
}

/// Walks all blocks of a scan; each becomes samples of its component's plane.
#[inline(always)]
pub(super) fn decode_planes<T: Transform>(
    transform: &T,
    header: &Header,
    tables: &Tables,
    codes: &[(Huffman, Codes)],
    planes: &mut [Plane; 3],
    data: &[u8],
) -> Result<(), Refused> {
    let components = header.components();
    let single = components.len() == 1;
    let (h, v) = if single { (1, 1) } else { header.most_sampling() };
    let (across, down) = (header.width.div_ceil(8 * h), header.height.div_ceil(8 * v));
    let lanes: [Lane<'_>; 3] = std::array::from_fn(|index| {
        let component = components.get(index).unwrap_or(&components[0]);
        let (across, down) = if single { (1, 1) } else { (component.horizontal, component.vertical) };
        let (px, py) = transform.points(index);
        let (dc, ac) = (&codes[tables.dc[index]].1, &codes[tables.ac[index]].1);
        Lane { across, down, px, py, dc, ac }
    });
    for (plane, lane) in planes.iter_mut().zip(&lanes).take(components.len()) {
        plane.stride = across * lane.across * lane.px;
        plane.width = (header.width * lane.across * lane.px).div_ceil(h * 8);
        plane.height = (header.height * lane.down * lane.py).div_ceil(v * 8);
        plane.samples.resize(plane.stride * down * lane.down * lane.py, 0);
    }
    let mut bits = Bits { data, at: 0, hold: 0, count: 0, invented: 0 };
    let mut previous = [0_i16; 3];
    let mut until_restart = header.restart_interval;
    for row in 0..down {
        for column in 0..across {
            if header.restart_interval > 0 {
                if until_restart == 0 {
                    if !bits.restart() {
                        return damage("a restart marker is missing in its JPEG data");
                    }
                    previous = [0; 3];
                    until_restart = header.restart_interval;
                }
                until_restart -= 1;
            }
            for (index, lane) in lanes.iter().enumerate().take(components.len()) {
                let plane = &mut planes[index];
                for y in 0..lane.down {
                    // All within the plane, whose size fits a `usize`.
                    let line = row.wrapping_mul(lane.down).wrapping_add(y).wrapping_mul(lane.py);
                    let left = column.wrapping_mul(lane.across).wrapping_mul(lane.px);
                    let mut at = line.wrapping_mul(plane.stride).wrapping_add(left);
                    for _ in 0..lane.across {
                        let (dc, ac) = (lane.dc, lane.ac);
                        let mut scan = Scan { bits: &mut bits, dc, ac, previous: &mut previous[index] };
                        if !transform.block(index, &mut scan, &mut plane.samples[at..], plane.stride) {
                            return damage(
                                "its JPEG data is damaged: a code that is in no table, or too many values",
                            );
                        }
                        at = at.wrapping_add(lane.px);
                    }
                }
            }
        }
        if bits.is_spent() {
            return damage("its JPEG data ends before its last block");
        }
    }
    if bits.goes_on() {
        return damage("its JPEG data goes on after its last block");
    }
    Ok(())
}

fn damage(words: &str) -> Result<(), Refused> {
    Err(Refused::Damage(words.to_owned()))
}

/// Reader of a component's next block in the entropy-coded data.
pub(super) struct Scan<'a, 'data> {
    bits: &'a mut Bits<'data>,
    dc: &'a Codes,
    ac: &'a Codes,
    /// The component's last DC value.
    previous: &'a mut i16,
}

impl Scan<'_, '_> {
    /// Passes the block's values to `put` with their places in zigzag order, the first always. Returns `true`
    /// if there was another, `None` for impossible data.
    #[inline(always)]
    pub(super) fn walk(&mut self, mut put: impl FnMut(usize, i16)) -> Option<bool> {
        let Self { bits, dc, ac, previous } = self;
        bits.refill();
        let (difference, places) = bits.looked_up(dc).or_else(|| bits.spelled_out(dc))?;
        // At most 11 bits, and no run before them (T.81, F.1.2.1).
        if (places > 1 && places != END) || difference.unsigned_abs() > 2047 {
            return None;
        }
        **previous = previous.wrapping_add(difference);
        put(0, **previous);
        let mut place = 1_usize;
        loop {
            bits.refill();
            // As many as the loaded bits are always enough for.
            for _ in 0..56 / LOOK {
                let looked_up = bits.looked_up(ac);
                let (value, places) = match looked_up {
                    Some(found) => found,
                    None => {
                        bits.refill();
                        let (value, places) = bits.spelled_out(ac)?;
                        // At most 10 bits (T.81, F.1.2.2); what is looked up has fewer.
                        if value.unsigned_abs() > 1023 {
                            return None;
                        }
                        (value, places)
                    }
                };
                place = place.wrapping_add(usize::from(places));
                if place > 63 {
                    if place == 64 {
                        put(63, value);
                    }
                    // Past the block: after its last value, at its end mark, or by a run that is too long.
                    let ended = place > usize::from(END);
                    return (ended || place == 64).then_some(place != usize::from(END) + 1);
                }
                put(place.wrapping_sub(1) & 63, value);
                if looked_up.is_none() {
                    break;
                }
            }
        }
    }
}

/// Blocks of 8 × 8 samples, as libjpeg-turbo makes them.
pub(super) struct Whole<'a, S> {
    pub(super) simd: S,
    pub(super) steps: &'a [[i16; 64]; 3],
}

impl<S: Simd> Transform for Whole<'_, S> {
    #[inline(always)]
    fn points(&self, _: usize) -> (usize, usize) {
        (8, 8)
    }

    #[inline(always)]
    fn block(&self, component: usize, scan: &mut Scan<'_, '_>, out: &mut [u8], stride: usize) -> bool {
        let steps = &self.steps[component];
        let mut block = [0_i16; 64];
        let walked = scan.walk(|place, value| {
            let natural = usize::from(NATURAL[place]) & 63;
            block[natural] = value.wrapping_mul(steps[place]);
        });
        match walked {
            None => return false,
            Some(true) => inverse_dct(self.simd, &block, out, stride),
            Some(false) => {
                let flat = clamp(descale(i32::from(block[0]) << PASS_BITS, PASS_BITS + 3).wrapping_add(128));
                (0..8).for_each(|y: usize| write_row([flat; 8], out, y.wrapping_mul(stride)));
            }
        }
        true
    }
}

const CONST_BITS: u32 = 13;
const PASS_BITS: u32 = 2;

#[inline(always)]
fn descale(value: i32, bits: u32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

#[inline(always)]
fn clamp(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}

/// `x * a + y * b` of eight columns, in 32 bits.
#[derive(Clone, Copy)]
struct Wide<S: Simd>(i32x4<S>, i32x4<S>);

impl<S: Simd> Wide<S> {
    #[inline(always)]
    fn new(simd: S, x: i16x8<S>, y: i16x8<S>, (a, b): (i16, i16)) -> Self {
        let factors = i16x8::simd_from(simd, [a, b, a, b, a, b, a, b]);
        let (low, high) = (simd.zip_low_i16x8(x, y), simd.zip_high_i16x8(x, y));
        Self(simd.pairwise_dot_product_i16x8(low, factors), simd.pairwise_dot_product_i16x8(high, factors))
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1)
    }

    /// Rounds `bits` away and returns to 16 bits.
    #[inline(always)]
    fn descaled(self, simd: S, bits: u32) -> i16x8<S> {
        let half = i32x4::simd_from(simd, [1 << (bits - 1); 4]);
        simd.saturating_narrow_i32x4((self.0 + half) >> bits, (self.1 + half) >> bits)
    }
}

/// One pass of the Loeffler-Ligtenberg-Moschytz DCT over eight columns at once,
/// its rotations as sums of two products.
#[inline(always)]
fn pass<S: Simd>(simd: S, v: [i16x8<S>; 8], bits: u32) -> [i16x8<S>; 8] {
    let (even3, even2) =
        (Wide::new(simd, v[2], v[6], (10_703, 4433)), Wide::new(simd, v[2], v[6], (4433, -10_704)));
    let (even0, even1) =
        (Wide::new(simd, v[0], v[4], (8192, 8192)), Wide::new(simd, v[0], v[4], (8192, -8192)));
    let (a0, a3) = (even0.plus(even3), even0.minus(even3));
    let (a1, a2) = (even1.plus(even2), even1.minus(even2));

    let (z3, z4) = (v[7] + v[3], v[5] + v[1]);
    let (w3, w4) = (Wide::new(simd, z3, z4, (-6436, 9633)), Wide::new(simd, z3, z4, (9633, 6437)));
    let b0 = Wide::new(simd, v[7], v[1], (-4927, -7373)).plus(w3);
    let b3 = Wide::new(simd, v[7], v[1], (-7373, 4926)).plus(w4);
    let b1 = Wide::new(simd, v[5], v[3], (-4176, -20_995)).plus(w4);
    let b2 = Wide::new(simd, v[5], v[3], (-20_995, 4177)).plus(w3);

    [
        a0.plus(b3).descaled(simd, bits),
        a1.plus(b2).descaled(simd, bits),
        a2.plus(b1).descaled(simd, bits),
        a3.plus(b0).descaled(simd, bits),
        a3.minus(b0).descaled(simd, bits),
        a2.minus(b1).descaled(simd, bits),
        a1.minus(b2).descaled(simd, bits),
        a0.minus(b3).descaled(simd, bits),
    ]
}

/// Rows become columns: three rounds of zipping each row with the one four below.
#[inline(always)]
fn transposed<S: Simd>(simd: S, v: [i16x8<S>; 8]) -> [i16x8<S>; 8] {
    let round = |v: [i16x8<S>; 8]| {
        [
            simd.zip_low_i16x8(v[0], v[4]),
            simd.zip_high_i16x8(v[0], v[4]),
            simd.zip_low_i16x8(v[1], v[5]),
            simd.zip_high_i16x8(v[1], v[5]),
            simd.zip_low_i16x8(v[2], v[6]),
            simd.zip_high_i16x8(v[2], v[6]),
            simd.zip_low_i16x8(v[3], v[7]),
            simd.zip_high_i16x8(v[3], v[7]),
        ]
    };
    round(round(round(v)))
}

#[inline(always)]
fn inverse_dct<S: Simd>(simd: S, block: &[i16; 64], out: &mut [u8], stride: usize) {
    let rows = block.as_chunks::<8>().0;
    let v = [0, 1, 2, 3, 4, 5, 6, 7].map(|i| i16x8::simd_from(simd, rows[i]));
    let v = transposed(simd, pass(simd, v, CONST_BITS - PASS_BITS));
    let v = transposed(simd, pass(simd, v, CONST_BITS + PASS_BITS + 3));
    let mut at = 0_usize;
    for pair in v.as_chunks::<2>().0 {
        // Signed bytes, moved up by 128: the clamp to 0..=255.
        let bytes: [i8; 16] = simd.saturating_narrow_i16x8(pair[0], pair[1]).into();
        for half in bytes.as_chunks::<8>().0 {
            write_row(half.map(|value| (value as u8) ^ 0x80), out, at);
            at = at.wrapping_add(stride);
        }
    }
}

/// Writes a row of a block at this place of its plane.
#[inline(always)]
fn write_row(row: [u8; 8], out: &mut [u8], at: usize) {
    if let Some(place) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = row;
    }
}

/// Planes to RGB, for the part the target wants.
#[inline(always)]
fn paint(
    components: usize,
    colours: Colours,
    (h, v): (usize, usize),
    header: &Header,
    work: &mut Workspace,
    target: &mut Target<'_>,
) {
    let Workspace { planes, sums, chroma, .. } = work;
    let width = target.width.min(header.width);
    let row_bytes = target.width * 3;
    for (y, out) in target.pixels.chunks_exact_mut(row_bytes).take(header.height).enumerate() {
        let out = &mut out[..width * 3];
        let first = &planes[0].samples[y * planes[0].stride..][..width];
        if components == 1 {
            paint_gray(first, out);
            continue;
        }
        for (row, (plane, component)) in
            chroma.iter_mut().zip(planes[1..].iter().zip(&header.components()[1..]))
        {
            let halved = (component.horizontal < h, component.vertical < v);
            upsample(plane, y, halved, sums, row);
        }
        let (second, third) = (&chroma[0][..width], &chroma[1][..width]);
        colours.paint(first, second, third, out);
    }
}

#[inline(always)]
pub(super) fn paint_gray(row: &[u8], out: &mut [u8]) {
    for (pixel, &value) in out.as_chunks_mut::<3>().0.iter_mut().zip(row) {
        *pixel = [value; 3];
    }
}

impl Colours {
    /// One row of three components to RGB.
    #[inline(always)]
    pub(super) fn paint(self, first: &[u8], second: &[u8], third: &[u8], out: &mut [u8]) {
        match self {
            Self::Rgb => interleave(first, second, third, out),
            Self::YCbCr => convert(first, second, third, out),
        }
    }
}

/// Row `y` of the picture from a plane that may be halved either way, by
/// libjpeg's triangle filter.
#[inline(always)]
fn upsample(plane: &Plane, y: usize, (across, down): (bool, bool), sums: &mut Vec<u16>, out: &mut Vec<u8>) {
    out.resize(plane.width * 2 + 2, 0);
    // libjpeg filters rows only where there are at least 3 samples across.
    let smooth = plane.width > 2;
    let near = y / if down { 2 } else { 1 };
    let far = if y % 2 == 1 { near + 1 } else { near.saturating_sub(1) };
    let (near, far) = (plane.row(near), plane.row(far));
    match (across, down) {
        (false, false) => out[..plane.width].copy_from_slice(near),
        (false, true) => {
            let bias = if y % 2 == 1 { 2 } else { 1 };
            for ((out, &near), &far) in out.iter_mut().zip(near).zip(far) {
                *out = ((u16::from(near) * 3).wrapping_add(u16::from(far)).wrapping_add(bias) >> 2) as u8;
            }
        }
        (true, _) if !smooth => {
            for (pair, &value) in out.as_chunks_mut::<2>().0.iter_mut().zip(near) {
                *pair = [value; 2];
            }
        }
        (true, false) => {
            sums.clear();
            sums.extend(near.iter().map(|&near| u16::from(near)));
            spread(sums, out, |this, next| this.wrapping_mul(3).wrapping_add(next), (1, 2), 2);
        }
        (true, true) => {
            sums.clear();
            sums.extend(
                near.iter().zip(far).map(|(&near, &far)| (u16::from(near) * 3).wrapping_add(u16::from(far))),
            );
            spread(sums, out, |this, next| this.wrapping_mul(3).wrapping_add(next), (8, 7), 4);
        }
    }
}

/// Doubles the number of samples: each new one is moved a quarter of the way to the neighbour on its side;
/// the ends use themselves as neighbours.
#[inline(always)]
fn spread(
    sums: &[u16],
    out: &mut [u8],
    lean: impl Fn(u16, u16) -> u16,
    (left, right): (u16, u16),
    shift: u32,
) {
    let count = sums.len();
    let pairs = &mut out.as_chunks_mut::<2>().0[..count];
    let inner = sums.windows(3).zip(&mut pairs[1..count - 1]);
    for (three, pair) in inner {
        let even = lean(three[1], three[0]).wrapping_add(left) >> shift;
        let odd = lean(three[1], three[2]).wrapping_add(right) >> shift;
        *pair = [even as u8, odd as u8];
    }
    let (first, last) = (sums[0], sums[count - 1]);
    let alone = |value: u16, bias: u16| (lean(value, value).wrapping_add(bias) >> shift) as u8;
    pairs[0] = [alone(first, left), (lean(first, sums[1]).wrapping_add(right) >> shift) as u8];
    pairs[count - 1] = [(lean(last, sums[count - 2]).wrapping_add(left) >> shift) as u8, alone(last, right)];
}

#[inline(always)]
fn interleave(r: &[u8], g: &[u8], b: &[u8], out: &mut [u8]) {
    for (((pixel, &r), &g), &b) in out.as_chunks_mut::<3>().0.iter_mut().zip(r).zip(g).zip(b) {
        *pixel = [r, g, b];
    }
}

/// YCbCr to RGB, 16 pixels at a time.
#[inline(always)]
fn convert(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    let (y16, y_rest) = y.as_chunks::<16>();
    let (cb16, cb_rest) = cb.as_chunks::<16>();
    let (cr16, cr_rest) = cr.as_chunks::<16>();
    let (out16, out_rest) = out.as_chunks_mut::<48>();
    for (((out, y), cb), cr) in out16.iter_mut().zip(y16).zip(cb16).zip(cr16) {
        convert_16(y, cb, cr, out);
    }
    for (((pixel, &y), &cb), &cr) in
        out_rest.as_chunks_mut::<3>().0.iter_mut().zip(y_rest).zip(cb_rest).zip(cr_rest)
    {
        *pixel = rgb_from_ycc(y, cb, cr);
    }
}

#[inline(always)]
fn convert_16(y: &[u8; 16], cb: &[u8; 16], cr: &[u8; 16], out: &mut [u8; 48]) {
    let mut packed = [0_u32; 16];
    for i in 0..16 {
        let [r, g, b] = rgb_from_ycc(y[i], cb[i], cr[i]).map(u32::from);
        packed[i] = r | (g << 8) | (b << 16);
    }
    // Four pixels of 24 bits are three words.
    for (words, four) in out.as_chunks_mut::<12>().0.iter_mut().zip(packed.as_chunks::<4>().0) {
        let [p0, p1, p2, p3] = *four;
        words[..4].copy_from_slice(&(p0 | (p1 << 24)).to_le_bytes());
        words[4..8].copy_from_slice(&((p1 >> 8) | (p2 << 16)).to_le_bytes());
        words[8..].copy_from_slice(&((p2 >> 16) | (p3 << 8)).to_le_bytes());
    }
}

/// Full-range YCbCr (T.871) in 16-bit fixed point, as libjpeg rounds it.
#[inline(always)]
pub(crate) fn rgb_from_ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb).wrapping_sub(128), i32::from(cr).wrapping_sub(128));
    let red = 91_881_i32.wrapping_mul(cr).wrapping_add(HALF) >> 16;
    let green =
        (-22_554_i32).wrapping_mul(cb).wrapping_sub(46_802_i32.wrapping_mul(cr)).wrapping_add(HALF) >> 16;
    let blue = 116_130_i32.wrapping_mul(cb).wrapping_add(HALF) >> 16;
    [clamp(y.wrapping_add(red)), clamp(y.wrapping_add(green)), clamp(y.wrapping_add(blue))]
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    use zune_core::bytestream::ZCursor;

    use super::{
        super::by_hand::{AC_10_BITS, AC_11_BITS, AC_END, DC_SAME, Jpeg},
        *,
    };

    fn stream(width: u16, height: u16, quality: u8, sampling: SamplingFactor, restart: u16) -> Vec<u8> {
        let pixels: Vec<u8> = (0..u32::from(width) * u32::from(height))
            .flat_map(|i| {
                let (x, y) = (i % u32::from(width), i / u32::from(width));
                [97, 61, 173].map(|period| (120 + x * 900 / period % 70 + y * 700 / period % 60) as u8)
            })
            .collect();
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, quality);
        encoder.set_sampling_factor(sampling);
        if restart > 0 {
            encoder.set_restart_interval(restart);
        }
        encoder.encode(&pixels, width, height, ColorType::Rgb).unwrap();
        out
    }

    fn decoded(stream: &[u8], width: usize, height: usize) -> Result<Vec<u8>, Refused> {
        let mut header = Header::default();
        let start = header.read(stream)?.ok_or(Refused::OtherKind)?;
        let mut pixels = vec![9; width * height * 3];
        let mut target = Target { pixels: &mut pixels, width, height };
        let mut work = Workspace::default();
        decode(&header, &stream[start..], Colours::YCbCr, &mut work, &mut target)?;
        Ok(pixels)
    }

    /// Exact agreement with libjpeg-turbo is tested against OpenSlide on the
    /// shared slides; this holds where those are absent.
    #[test]
    fn pixels_are_those_of_another_decoder_but_for_rounding() {
        use SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2};
        for (width, height) in [(1, 1), (2, 3), (7, 5), (16, 16), (33, 31), (70, 50)] {
            for sampling in [F_1_1, F_2_1, F_1_2, F_2_2] {
                for restart in [0, 2] {
                    let stream = stream(width, height, 80, sampling, restart);
                    let ours = decoded(&stream, width.into(), height.into()).unwrap();
                    let theirs = zune_jpeg::JpegDecoder::new(ZCursor::new(&stream)).decode().unwrap();
                    let most = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                    assert!(most <= 8, "{width} x {height} {sampling:?} {restart}: {most}");
                }
            }
        }
    }

    #[test]
    fn a_corner_of_a_stream_is_the_corner_of_the_whole() {
        let stream = stream(70, 50, 75, SamplingFactor::F_2_2, 0);
        let (whole, corner) = (decoded(&stream, 70, 50).unwrap(), decoded(&stream, 41, 23).unwrap());
        for y in 0..23 {
            assert_eq!(corner[y * 41 * 3..][..41 * 3], whole[y * 70 * 3..][..41 * 3], "row {y}");
        }
    }

    #[test]
    fn data_behind_the_last_block_is_damage_and_fill_is_not() {
        for restart in [0, 4] {
            let sound = stream(64, 48, 85, SamplingFactor::F_2_2, restart);
            let (data, end) = sound.split_at(sound.len() - 2);
            let with = |between: &[u8], end: &[u8]| decoded(&[data, between, end].concat(), 64, 48);
            assert_eq!(end, b"\xff\xd9");
            let whole = with(b"", end).unwrap();
            for fill in [&b"\0"[..], &[0; 40], &[0xff; 3]] {
                assert_eq!(with(fill, end).unwrap(), whole, "{fill:?}");
            }
            // All blocks are there, and nothing else.
            assert_eq!(with(b"", b"").unwrap(), whole);
            for behind in [&b"\x5a\x5a"[..], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]] {
                assert!(with(behind, end).is_err(), "{behind:?}");
            }
            assert!(with(&[0; 9], b"").is_err(), "zeros without an end");
        }
    }

    #[test]
    fn cut_streams_are_damaged_and_flips_never_panic() {
        let sound = stream(64, 48, 85, SamplingFactor::F_2_2, 4);
        for end in 0..sound.len() - 40 {
            assert!(decoded(&sound[..end], 64, 48).is_err(), "cut at {end}");
        }
        for at in 0..sound.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut rotten = sound.clone();
                rotten[at] ^= flip;
                _ = decoded(&rotten, 64, 48);
            }
        }
    }

    #[test]
    fn a_value_has_at_most_ten_bits() {
        for value in ["1111111111", "0000000000"] {
            let pixels = decoded(&Jpeg::gray(&[DC_SAME, AC_10_BITS, value, AC_END]).bytes(), 8, 8).unwrap();
            // ±1023 of the first wave across: one side is black, the other white.
            let [left, right] = [pixels[0], pixels[7 * 3]];
            assert_eq!((left.min(right), left.max(right)), (0, 255));
            assert_eq!(left == 255, value.starts_with('1'));
        }
        let eleven = Jpeg::gray(&[DC_SAME, AC_11_BITS, "10000000000", AC_END]).bytes();
        assert!(matches!(decoded(&eleven, 8, 8), Err(Refused::Damage(_))));
    }

    #[test]
    fn one_or_three_components_are_decoded() {
        let block = [DC_SAME, AC_END].concat();
        for (names, is_decoded) in [(&b"1"[..], true), (b"12", false), (b"123", true), (b"1234", false)] {
            let stream = Jpeg { names, ..Jpeg::gray(&[&block.repeat(names.len())]) };
            let expected = if is_decoded { Ok(vec![128; 8 * 8 * 3]) } else { Err(Refused::OtherKind) };
            assert_eq!(decoded(&stream.bytes(), 8, 8), expected, "{names:?}");
        }
    }
}
