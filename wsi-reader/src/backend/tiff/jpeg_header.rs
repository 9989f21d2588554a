//! The part of a JPEG stream before its entropy-coded data (ITU-T T.81, annex B): tables, frame and scan, for
//! sequential Huffman streams of 8 bits.

use std::sync::Arc;

/// Reasons why a stream is not decoded here, found in its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Progressive, arithmetic, 12 bits, or one scan per component: another decoder may read it.
    OtherKind,
    /// Damage, in words.
    Damage(String),
}

fn damage<T>(words: &str) -> Result<T, Refused> {
    Err(Refused::Damage(words.to_owned()))
}

/// A Huffman table as stored: codes per length, and their symbols in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Huffman {
    pub(crate) counts: [u8; 16],
    pub(crate) symbols: [u8; 256],
}

/// One component of the frame, and the tables its scan names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Component {
    id: u8,
    /// Blocks per MCU across and down, 1 to 4.
    pub(crate) horizontal: usize,
    pub(crate) vertical: usize,
    /// Table numbers, 0 to 3.
    pub(crate) quantisation: usize,
    pub(crate) dc: usize,
    pub(crate) ac: usize,
}

/// Everything up to the first scan.
///
/// It is cloned for each tile from the shared tables of the page; tables are reference-counted, not copied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Header {
    pub(crate) dc: [Option<Arc<Huffman>>; 4],
    pub(crate) ac: [Option<Arc<Huffman>>; 4],
    /// In zigzag order.
    pub(crate) quantisation: [Option<Arc<[u16; 64]>>; 4],
    pub(crate) width: usize,
    pub(crate) height: usize,
    components: [Component; 4],
    count: usize,
    /// MCUs between restart markers; 0 for none.
    pub(crate) restart_interval: usize,
    /// The transform byte of an Adobe marker, if there is one.
    pub(crate) adobe: Option<u8>,
    pub(crate) jfif: bool,
}

impl Header {
    /// Reads a page's `JPEGTables`. Returns an empty header if they are broken, so that each tile reports
    /// what it misses.
    pub(crate) fn from_tables(tables: Option<&[u8]>) -> Self {
        let mut header = Self::default();
        match tables.map(|tables| header.read(tables)) {
            None | Some(Ok(_)) => header,
            Some(Err(_)) => Self::default(),
        }
    }

    pub(crate) fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// `true` if the names of the components say that they are red, green and blue.
    pub(crate) fn is_named_rgb(&self) -> bool {
        self.components().iter().map(|c| c.id).eq(*b"RGB")
    }

    /// Returns the most blocks per MCU of any component, across and down.
    pub(crate) fn most_sampling(&self) -> (usize, usize) {
        let components = self.components().iter();
        let across = components.clone().map(|c| c.horizontal).max();
        let down = components.map(|c| c.vertical).max();
        (across.unwrap_or(1), down.unwrap_or(1))
    }

    /// Reads the segments of a stream after its start marker. Returns the place where entropy-coded data
    /// starts, or `None` if the stream ends before that, as tables on their own do.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refused> {
        if !bytes.starts_with(b"\xff\xd8") {
            return Err(Refused::Damage(format!(
                "it starts with {:02x?}, expected JPEG data",
                &bytes[..bytes.len().min(4)]
            )));
        }
        let mut at = 2;
        loop {
            while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
                at += 1;
            }
            let Some(&[0xff, marker]) = bytes.get(at..at + 2) else {
                return if at >= bytes.len() { Ok(None) } else { damage("bytes between its JPEG segments") };
            };
            at += 2;
            if marker == 0xd9 {
                return Ok(None);
            }
            let Some(&[high, low]) = bytes.get(at..at + 2) else {
                return damage("its JPEG header is cut short");
            };
            let length = usize::from(u16::from_be_bytes([high, low])).max(2);
            let Some(body) = bytes.get(at + 2..at + length) else {
                return damage("its JPEG header is cut short");
            };
            at += length;
            match marker {
                0xc0 | 0xc1 => self.frame(body)?,
                0xc2..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => return Err(Refused::OtherKind),
                0xc4 => self.huffman(body)?,
                0xdb => self.quantisation(body)?,
                0xdd if body.len() >= 2 => {
                    self.restart_interval = usize::from(u16::from_be_bytes([body[0], body[1]]));
                }
                0xe0 if body.starts_with(b"JFIF\0") => self.jfif = true,
                0xee if body.starts_with(b"Adobe") => self.adobe = body.get(11).copied(),
                0xda => {
                    self.scan(body)?;
                    return Ok(Some(at));
                }
                _ => {}
            }
        }
    }

    fn frame(&mut self, body: &[u8]) -> Result<(), Refused> {
        let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = body else {
            return damage("its JPEG frame header is cut short");
        };
        if precision != 8 || count > 4 {
            return Err(Refused::OtherKind);
        }
        self.height = usize::from(u16::from_be_bytes([h1, h0]));
        self.width = usize::from(u16::from_be_bytes([w1, w0]));
        self.count = usize::from(count);
        let stored = rest.as_chunks::<3>().0;
        if stored.len() < self.count || self.count == 0 || self.width == 0 || self.height == 0 {
            return damage("its JPEG frame header is cut short");
        }
        for (component, &[id, sampling, table]) in self.components.iter_mut().zip(&stored[..self.count]) {
            let (horizontal, vertical) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) {
                return damage("its JPEG frame header has impossible sampling");
            }
            let quantisation = usize::from(table & 3);
            *component = Component { id, horizontal, vertical, quantisation, dc: 0, ac: 0 };
        }
        Ok(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Result<(), Refused> {
        while let Some((&class, rest)) = body.split_first() {
            let Some((counts, rest)) = rest.split_first_chunk::<16>() else {
                return damage("a JPEG Huffman table is cut short");
            };
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            if total > 256 || total > rest.len() {
                return damage("a JPEG Huffman table is cut short");
            }
            let mut symbols = [0; 256];
            symbols[..total].copy_from_slice(&rest[..total]);
            let slot = usize::from(class & 3);
            let tables = if class >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            tables[slot] = Some(Arc::new(Huffman { counts: *counts, symbols }));
            body = &rest[total..];
        }
        Ok(())
    }

    fn quantisation(&mut self, mut body: &[u8]) -> Result<(), Refused> {
        while let Some((&class, rest)) = body.split_first() {
            let wide = class >> 4 != 0;
            let Some((table, after)) = rest.split_at_checked(if wide { 128 } else { 64 }) else {
                return damage("a JPEG quantisation table is cut short");
            };
            let steps = std::array::from_fn(|i| match wide {
                true => u16::from_be_bytes([table[2 * i], table[2 * i + 1]]),
                false => u16::from(table[i]),
            });
            self.quantisation[usize::from(class & 3)] = Some(Arc::new(steps));
            body = after;
        }
        Ok(())
    }

    fn scan(&mut self, body: &[u8]) -> Result<(), Refused> {
        let Some((&count, rest)) = body.split_first() else {
            return damage("its JPEG scan header is cut short");
        };
        let named = rest.as_chunks::<2>().0;
        if usize::from(count) != self.count || named.len() < self.count || self.count == 0 {
            return Err(Refused::OtherKind);
        }
        for (component, &[id, tables]) in self.components[..self.count].iter_mut().zip(named) {
            if component.id != id {
                return Err(Refused::OtherKind);
            }
            component.dc = usize::from((tables >> 4) & 3);
            component.ac = usize::from(tables & 3);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::by_hand::{Jpeg, segment},
        *,
    };

    #[test]
    fn tables_of_sixteen_bits_have_the_high_byte_first() {
        let stream = Jpeg { step: 0x0102, ..Jpeg::gray(&[]) };
        let mut header = Header::default();
        header.read(&stream.bytes()).unwrap().unwrap();
        assert_eq!(header.quantisation[0].as_deref(), Some(&[0x0102; 64]));
    }

    #[test]
    fn tables_may_lack_an_end_marker_and_hold_nothing_else() {
        let tables = [b"\xff\xd8".to_vec(), segment(0xdb, &[&[0], &[1; 64]])].concat();
        assert_eq!(Header::default().read(&tables), Ok(None));
        let junk = [&tables[..], b"\x5a\x5a"].concat();
        let refused = Header::default().read(&junk);
        assert_eq!(refused, damage("bytes between its JPEG segments"));
    }

    #[test]
    fn frames_of_more_components_and_scans_of_fewer_are_of_another_kind() {
        let five = Jpeg { names: b"12345", ..Jpeg::gray(&[]) };
        assert_eq!(Header::default().read(&five.bytes()), Err(Refused::OtherKind));
        let mut header = Header::default();
        header.read(&Jpeg { names: b"123", ..Jpeg::gray(&[]) }.bytes()).unwrap().unwrap();
        // One of three, and three of which two are named.
        for scan in [&[1, b'1', 0, 0, 63, 0][..], &[3, b'1', 0, b'2', 0]] {
            assert_eq!(header.scan(scan), Err(Refused::OtherKind), "{scan:?}");
        }
    }
}
