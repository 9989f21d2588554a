//! LZW and PackBits from their definitions (TIFF 6.0, sections 13 and 9), slowly: the reference for the
//! reader.

/// Result of a reference decoder.
pub enum Reference {
    /// The data breaks the rules of its format.
    Broken,
    /// All of the data, up to its end mark or, without one, its last byte.
    Whole(Vec<u8>),
    /// All of the data, without the end mark that must be there.
    Endless(Vec<u8>),
}

const CLEAR: usize = 256;
const END: usize = 257;

/// Reads codes of 9 to 12 bits, most significant bit first; the width grows one code early.
pub fn lzw(data: &[u8]) -> Reference {
    let (mut out, mut table): (Vec<u8>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let (mut at, mut width, mut before) = (0, 9, None::<Vec<u8>>);
    let mut is_begun = false;
    while at + width <= data.len() * 8 {
        let bits = (at..at + width).map(|at| usize::from(data[at / 8] >> (7 - at % 8) & 1));
        let code = bits.fold(0, |code, bit| code << 1 | bit);
        at += width;
        if !is_begun && code != CLEAR {
            return Reference::Broken;
        }
        is_begun = true;
        match code {
            CLEAR => {
                (table, width, before) = (Vec::new(), 9, None);
                continue;
            }
            END => return Reference::Whole(out),
            _ => {}
        }
        let known = match code {
            0..CLEAR => Some(vec![code as u8]),
            _ => table.get(code - END - 1).cloned(),
        };
        let text = match (known, &before) {
            (Some(text), _) => text,
            // The code that is being made: the code before it, and that one's first byte again.
            (None, Some(before)) if code == table.len() + END + 1 => [&before[..], &before[..1]].concat(),
            (None, _) => return Reference::Broken,
        };
        if let Some(before) = before.filter(|_| table.len() + END + 1 < 4096) {
            table.push([before, vec![text[0]]].concat());
        }
        // One early: the next code may already be as wide as the one after it.
        width = (usize::BITS - (table.len() + END + 2).leading_zeros()).clamp(9, 12) as usize;
        out.extend_from_slice(&text);
        before = Some(text);
    }
    Reference::Endless(out)
}

/// Reads runs that begin with a byte n: 0 to 127 copies the next n + 1 bytes, 129 to 255 repeats the next
/// byte 257 - n times, and 128 does nothing.
pub fn pack_bits(data: &[u8]) -> Reference {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let control = usize::from(data[at]);
        at += 1;
        match control {
            128 => {}
            0..128 => {
                let Some(run) = data.get(at..at + control + 1) else { return Reference::Broken };
                out.extend_from_slice(run);
                at += control + 1;
            }
            _ => {
                let Some(&byte) = data.get(at) else { return Reference::Broken };
                out.extend(std::iter::repeat_n(byte, 257 - control));
                at += 1;
            }
        }
    }
    Reference::Whole(out)
}
