//! A TIFF writer for tests: classic and BigTIFF, both byte orders, any layout, and wrong on purpose where a
//! test needs it.

use std::io::Write;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use wsi_types::RgbBuffer;

/// Layout and coding of a page.
#[derive(Clone)]
pub struct PageSpec {
    pub compression: u16,
    pub photometric: u16,
    /// Samples per pixel, taken from red, green, blue and then `alpha`.
    pub samples: usize,
    pub alpha: Option<(u16, u8)>,
    pub predictor: u16,
    pub planar: bool,
    /// Tile size, or rows per strip.
    pub tile: Option<(u32, u32)>,
    pub rows_per_strip: u32,
    pub sampling: SamplingFactor,
    pub shared_tables: bool,
    /// `true` if JPEG tiles are whole JFIF files.
    pub jfif: bool,
    /// `true` if JPEG tiles are progressive.
    pub progressive: bool,
    pub bits: u16,
    pub sample_format: u16,
    pub description: String,
    pub subfile: u32,
    pub orientation: Option<u16>,
    /// XResolution per centimetre.
    pub per_cm: Option<u32>,
    /// Chunks left out: byte count 0.
    pub absent: Vec<usize>,
    /// Bytes added after the data of each chunk.
    pub behind: Vec<u8>,
    /// `true` if the last strip is as high as the others.
    pub full_strips: bool,
    pub picture: RgbBuffer,
    pub subs: Vec<PageSpec>,
}

impl PageSpec {
    pub fn new(picture: RgbBuffer) -> Self {
        Self {
            compression: 1,
            photometric: 2,
            samples: 3,
            alpha: None,
            predictor: 1,
            planar: false,
            tile: Some((64, 48)),
            rows_per_strip: 16,
            sampling: SamplingFactor::F_1_1,
            shared_tables: false,
            jfif: true,
            progressive: false,
            bits: 8,
            sample_format: 1,
            description: String::new(),
            subfile: 0,
            orientation: None,
            per_cm: None,
            absent: Vec::new(),
            behind: Vec::new(),
            full_strips: false,
            picture,
            subs: Vec::new(),
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn chunk_size(&self) -> (usize, usize) {
        match self.tile {
            Some((w, h)) => (w as usize, h as usize),
            None => (self.picture.width(), self.rows_per_strip as usize),
        }
    }

    /// Returns one sample of one pixel; edges are repeated outside, as writers do.
    fn sample(&self, x: usize, y: usize, index: usize) -> u8 {
        let [r, g, b] = self.picture.pixel(x.min(self.picture.width() - 1), y.min(self.picture.height() - 1));
        match (self.photometric, index) {
            (0, 0) => 255 - r,
            (_, 0) => r,
            (_, 1) if self.samples > 2 => g,
            (_, 2) => b,
            _ => self.alpha.map_or(255, |(_, value)| value),
        }
    }

    /// Chunks in file order, coded.
    fn chunks(&self, big_endian: bool) -> Vec<Vec<u8>> {
        let (cw, ch) = self.chunk_size();
        let (w, h) = (self.picture.width(), self.picture.height());
        let planes = if self.planar { self.samples } else { 1 };
        let mut out = Vec::new();
        for plane in 0..planes {
            for top in (0..h).step_by(ch) {
                let rows = if self.tile.is_some() || self.full_strips { ch } else { ch.min(h - top) };
                for left in (0..w).step_by(cw) {
                    let indices: Vec<usize> =
                        if self.planar { vec![plane] } else { (0..self.samples).collect() };
                    let mut raw = Vec::new();
                    for y in top..top + rows {
                        for x in left..left + cw {
                            raw.extend(indices.iter().map(|&i| self.sample(x, y, i)));
                        }
                    }
                    let coded = if self.absent.contains(&out.len()) {
                        Vec::new()
                    } else {
                        [self.code(&raw, cw, rows, indices.len(), big_endian), self.behind.clone()].concat()
                    };
                    out.push(coded);
                }
            }
        }
        out
    }

    fn code(&self, raw: &[u8], width: usize, rows: usize, samples: usize, big_endian: bool) -> Vec<u8> {
        let mut raw: Vec<u8> = match self.bits {
            16 => raw
                .iter()
                .flat_map(|&v| {
                    let wide = u16::from(v) * 257;
                    if big_endian { wide.to_be_bytes() } else { wide.to_le_bytes() }
                })
                .collect(),
            32 => raw
                .iter()
                .flat_map(|&v| {
                    let float = f32::from(v) / 4.0 - 10.0;
                    if big_endian { float.to_be_bytes() } else { float.to_le_bytes() }
                })
                .collect(),
            _ => raw.to_vec(),
        };
        if self.predictor == 2 && self.bits == 8 {
            for row in raw.chunks_exact_mut(width * samples) {
                for i in (samples..row.len()).rev() {
                    row[i] = row[i].wrapping_sub(row[i - samples]);
                }
            }
        }
        match self.compression {
            1 => raw,
            5 => weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(&raw).unwrap(),
            7 => {
                let stream = self.jpeg(&raw, width, rows, samples);
                if self.shared_tables { split_tables(&stream).1 } else { stream }
            }
            8 => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&raw).unwrap();
                encoder.finish().unwrap()
            }
            32773 => raw.chunks(128).flat_map(|run| [&[run.len() as u8 - 1], run].concat()).collect(),
            50000 => zstd::bulk::compress(&raw, 3).unwrap(),
            _ => raw,
        }
    }

    fn jpeg(&self, raw: &[u8], width: usize, rows: usize, samples: usize) -> Vec<u8> {
        let colour = match (samples, self.photometric) {
            (1, _) => ColorType::Luma,
            // The components as they are, without a marker for their colours, as Aperio writes them.
            (_, 2) if !self.jfif => ColorType::Ycbcr,
            _ => ColorType::Rgb,
        };
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, 90);
        encoder.set_sampling_factor(self.sampling);
        encoder.set_progressive(self.progressive);
        encoder.encode(raw, width as u16, rows as u16, colour).unwrap();
        if !self.jfif {
            assert_eq!(&out[2..4], b"\xff\xe0");
            let length = usize::from(u16::from_be_bytes([out[4], out[5]]));
            out.drain(2..4 + length);
        }
        out
    }
}

/// Takes quantisation and Huffman tables out of a stream.
fn split_tables(stream: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut tables, mut rest) = (vec![0xff, 0xd8], vec![0xff, 0xd8]);
    let mut at = 2;
    while stream[at + 1] != 0xda {
        let length = usize::from(u16::from_be_bytes([stream[at + 2], stream[at + 3]])) + 2;
        let segment = &stream[at..at + length];
        if matches!(segment[1], 0xdb | 0xc4) {
            tables.extend(segment);
        } else {
            rest.extend(segment);
        }
        at += length;
    }
    rest.extend(&stream[at..]);
    tables.extend([0xff, 0xd9]);
    (tables, rest)
}

/// Byte order and offset size of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flavour {
    pub big_endian: bool,
    pub big_tiff: bool,
}

impl Flavour {
    pub const ALL: [Self; 4] = [
        Self { big_endian: false, big_tiff: false },
        Self { big_endian: true, big_tiff: false },
        Self { big_endian: false, big_tiff: true },
        Self { big_endian: true, big_tiff: true },
    ];
    pub const PLAIN: Self = Self::ALL[0];

    fn u16(self, v: u16) -> Vec<u8> {
        if self.big_endian { v.to_be_bytes().to_vec() } else { v.to_le_bytes().to_vec() }
    }

    fn u32(self, v: u32) -> Vec<u8> {
        if self.big_endian { v.to_be_bytes().to_vec() } else { v.to_le_bytes().to_vec() }
    }

    fn u64(self, v: u64) -> Vec<u8> {
        if self.big_endian { v.to_be_bytes().to_vec() } else { v.to_le_bytes().to_vec() }
    }

    fn offset(self, v: u64) -> Vec<u8> {
        if self.big_tiff { self.u64(v) } else { self.u32(v as u32) }
    }

    fn offset_bytes(self) -> usize {
        if self.big_tiff { 8 } else { 4 }
    }
}

/// A tag's value: its type, count and bytes.
type Value = (u16, u64, Vec<u8>);

struct Writer {
    flavour: Flavour,
    bytes: Vec<u8>,
}

/// Writes a file of these pages.
pub fn write(flavour: Flavour, pages: &[PageSpec]) -> Vec<u8> {
    let mut bytes = if flavour.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    if flavour.big_tiff {
        bytes.extend([flavour.u16(43), flavour.u16(8), flavour.u16(0), flavour.u64(0)].concat());
    } else {
        bytes.extend([flavour.u16(42), flavour.u32(0)].concat());
    }
    let mut writer = Writer { flavour, bytes };
    let mut link = writer.bytes.len() - flavour.offset_bytes();
    for page in pages {
        let (offset, next) = writer.page(page);
        writer.patch(link, offset);
        link = next;
    }
    writer.bytes
}

impl Writer {
    fn patch(&mut self, at: usize, offset: u64) {
        let raw = self.flavour.offset(offset);
        self.bytes[at..at + raw.len()].copy_from_slice(&raw);
    }

    fn put(&mut self, data: &[u8]) -> u64 {
        if self.bytes.len() % 2 == 1 {
            self.bytes.push(0);
        }
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(data);
        at
    }

    /// Writes a page; returns its place and that of the link to the next one.
    fn page(&mut self, page: &PageSpec) -> (u64, usize) {
        let subs: Vec<u64> = page.subs.iter().map(|sub| self.page(sub).0).collect();
        let f = self.flavour;
        let (mut offsets, mut counts) = (Vec::new(), Vec::new());
        for chunk in page.chunks(f.big_endian) {
            counts.push(chunk.len() as u64);
            offsets.push(if chunk.is_empty() { 0 } else { self.put(&chunk) });
        }
        let short = |v: u16| -> Value { (3, 1, f.u16(v)) };
        let long = |v: u32| -> Value { (4, 1, f.u32(v)) };
        let (many, kind) = (
            |vs: &[u64]| vs.iter().flat_map(|&v| f.offset(v)).collect::<Vec<u8>>(),
            if f.big_tiff { 16 } else { 4 },
        );
        let shorts = |v: u16| -> Value {
            (3, page.samples as u64, (0..page.samples).flat_map(|_| f.u16(v)).collect())
        };
        let mut tags: Vec<(u16, Value)> = vec![
            (254, long(page.subfile)),
            (256, long(page.picture.width() as u32)),
            (257, long(page.picture.height() as u32)),
            (258, shorts(page.bits)),
            (259, short(page.compression)),
            (262, short(page.photometric)),
            (277, short(page.samples as u16)),
            (284, short(if page.planar { 2 } else { 1 })),
            (317, short(page.predictor)),
            (339, shorts(page.sample_format)),
        ];
        if !page.description.is_empty() {
            let text = [page.description.as_bytes(), b"\0"].concat();
            tags.push((270, (2, text.len() as u64, text)));
        }
        let places: Value = (kind, offsets.len() as u64, many(&offsets));
        let sizes: Value = (kind, counts.len() as u64, many(&counts));
        match page.tile {
            Some((w, h)) => tags.extend([(322, long(w)), (323, long(h)), (324, places), (325, sizes)]),
            None => tags.extend([(273, places), (278, long(page.rows_per_strip)), (279, sizes)]),
        }
        tags.extend(page.orientation.map(|value| (274, short(value))));
        if let Some(per_cm) = page.per_cm {
            let value: Value = (5, 1, [f.u32(per_cm), f.u32(1)].concat());
            tags.extend([(282, value.clone()), (283, value), (296, short(3))]);
        }
        if page.photometric == 3 {
            let map = (0..768_u32).flat_map(|i| f.u16(((i % 256) * 257) as u16)).collect();
            tags.push((320, (3, 768, map)));
        }
        if !subs.is_empty() {
            tags.push((330, (kind, subs.len() as u64, many(&subs))));
        }
        if let Some((extra, _)) = page.alpha {
            tags.push((338, short(extra)));
        }
        if page.shared_tables {
            let (w, h) = page.chunk_size();
            let samples = if page.planar { 1 } else { page.samples };
            let tables = split_tables(&page.jpeg(&vec![0; w * h * samples], w, h, samples)).0;
            tags.push((347, (7, tables.len() as u64, tables)));
        }
        tags.sort_by_key(|(tag, _)| *tag);
        self.directory(&tags)
    }

    fn directory(&mut self, tags: &[(u16, Value)]) -> (u64, usize) {
        let f = self.flavour;
        let mut table = if f.big_tiff { f.u64(tags.len() as u64) } else { f.u16(tags.len() as u16) };
        for (tag, (kind, count, data)) in tags {
            let value = if data.len() <= f.offset_bytes() {
                let mut inline = data.clone();
                inline.resize(f.offset_bytes(), 0);
                inline
            } else {
                let at = self.put(data);
                f.offset(at)
            };
            table.extend([f.u16(*tag), f.u16(*kind), f.offset(*count), value].concat());
        }
        table.extend(f.offset(0));
        let at = self.put(&table);
        (at, self.bytes.len() - f.offset_bytes())
    }
}
