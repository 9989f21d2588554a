//! One directory read as a picture: its size, its tiles or strips, its coding.

use wsi_types::Rgb;

use super::directory::{Broken, Directory, Result, TiffFile};
use crate::mapping::LinearMapping;

/// Longest side of a level, px. Larger claims are a broken or hostile header.
const MAX_SIDE: u32 = 1 << 24;
/// Pixels of one tile or strip that is decoded at once.
pub(crate) const MAX_CHUNK_PIXELS: u64 = 1 << 27;
/// Tiles or strips of one level.
const MAX_CHUNKS: u64 = 1 << 23;

/// TIFF tags this reader knows, by their names in TIFF 6.0 and its supplements.
pub(crate) mod tag {
    pub(crate) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(crate) const IMAGE_WIDTH: u16 = 256;
    pub(crate) const IMAGE_LENGTH: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const IMAGE_DESCRIPTION: u16 = 270;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const ORIENTATION: u16 = 274;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const PAGE_NAME: u16 = 285;
    pub(crate) const SOFTWARE: u16 = 305;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const COLOR_MAP: u16 = 320;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_LENGTH: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const JPEG_TABLES: u16 = 347;
    pub(crate) const XMP: u16 = 700;
    pub(crate) const ICC_PROFILE: u16 = 34675;
    /// First of the private tags every NDPI file carries.
    pub(crate) const NDPI_FORMAT: u16 = 65420;
    /// Distance of an NDPI page from the plane in focus.
    pub(crate) const NDPI_FOCUS: u16 = 65424;
}

/// Facts of a directory about its picture. Nothing is decoded yet, and the places of tiles are not read.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) directory: Directory,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Width of a tile; for a strip, the picture's width.
    pub(crate) chunk_width: u32,
    /// Height of a tile or of a full strip.
    pub(crate) chunk_height: u32,
    /// `true` if the picture is cut into tiles rather than strips.
    pub(crate) tiled: bool,
    pub(crate) compression: u16,
    pub(crate) photometric: u16,
    pub(crate) samples: u16,
    pub(crate) bits: Vec<u64>,
    /// 1 whole numbers, 2 signed, 3 float.
    pub(crate) sample_format: u64,
    /// `true` for one plane per colour instead of interleaved samples.
    pub(crate) planar: bool,
    pub(crate) predictor: u16,
    /// `true` if samples of two bytes have the high one first.
    pub(crate) big_endian: bool,
    pub(crate) subfile: u32,
    /// 1 as stored; 2 to 8 mirrored or turned. 0, which no standard defines, is written by some writers in
    /// place of 1.
    pub(crate) orientation: u16,
    pub(crate) description: String,
}

impl Page {
    /// Reads the directory and checks that its sizes make sense.
    pub(crate) fn read(file: &TiffFile, directory: &Directory) -> Result<Self> {
        let number = |tag: u16| file.first_u32(directory, tag);
        let required = |tag: u16, name: &str| -> Result<u32> {
            match number(tag)? {
                Some(value) if (1..=MAX_SIDE).contains(&value) => Ok(value),
                Some(value) => Err(Broken(format!("{name} is {value}, expected 1 to {MAX_SIDE}"))),
                None => Err(Broken(format!("{name} is missing"))),
            }
        };
        let width = required(tag::IMAGE_WIDTH, "ImageWidth")?;
        let height = required(tag::IMAGE_LENGTH, "ImageLength")?;
        let tiled = directory.has(tag::TILE_WIDTH);
        let (chunk_width, chunk_height) = if tiled {
            (required(tag::TILE_WIDTH, "TileWidth")?, required(tag::TILE_LENGTH, "TileLength")?)
        } else {
            let rows = number(tag::ROWS_PER_STRIP)?.unwrap_or(u32::MAX);
            if rows == 0 {
                return Err(Broken("RowsPerStrip is 0, expected at least 1".into()));
            }
            (width, rows.min(height))
        };
        let samples = small(number(tag::SAMPLES_PER_PIXEL)?, 1);
        Ok(Self {
            width,
            height,
            chunk_width,
            chunk_height,
            tiled,
            compression: small(number(tag::COMPRESSION)?, 1),
            photometric: small(number(tag::PHOTOMETRIC)?, if samples >= 3 { 2 } else { 1 }),
            samples,
            bits: file.unsigned(directory, tag::BITS_PER_SAMPLE)?.unwrap_or_else(|| vec![1]),
            sample_format: file.first(directory, tag::SAMPLE_FORMAT)?.unwrap_or(1),
            planar: number(tag::PLANAR_CONFIGURATION)? == Some(2) && samples > 1,
            predictor: small(number(tag::PREDICTOR)?, 1),
            big_endian: file.is_big_endian(),
            subfile: number(tag::NEW_SUBFILE_TYPE)?.unwrap_or(0),
            orientation: small(number(tag::ORIENTATION)?, 1),
            description: file.text(directory, tag::IMAGE_DESCRIPTION)?.unwrap_or_default(),
            directory: directory.clone(),
        })
    }

    /// Pixels of the picture.
    pub(crate) fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Tiles per row; 1 for strips.
    pub(crate) fn chunk_columns(&self) -> u64 {
        u64::from(self.width.div_ceil(self.chunk_width))
    }

    /// Rows of tiles, or strips.
    pub(crate) fn chunk_rows(&self) -> u64 {
        u64::from(self.height.div_ceil(self.chunk_height))
    }

    /// Tiles or strips of one plane.
    pub(crate) fn chunks_per_plane(&self) -> u64 {
        self.chunk_columns() * self.chunk_rows()
    }

    /// Returns the height in px of one tile or strip: the last strip may be shorter, tiles never are.
    pub(crate) fn rows_of_chunk(&self, chunk: u64) -> u32 {
        if self.tiled {
            return self.chunk_height;
        }
        let top = chunk.saturating_mul(u64::from(self.chunk_height));
        u64::from(self.height).saturating_sub(top).min(u64::from(self.chunk_height)) as u32
    }

    /// Describes the turn that the picture needs before it is shown, in words; `None` if it is stored
    /// upright.
    pub(crate) fn turned(&self) -> Option<String> {
        let how = match self.orientation {
            0 | 1 => return None,
            2 => "mirrored left to right",
            3 => "turned by 180°",
            4 => "mirrored top to bottom",
            5 => "mirrored and turned by 90°",
            6 => "turned by 90°",
            7 => "mirrored and turned by 270°",
            8 => "turned by 270°",
            other => return Some(format!("orientation {other}, expected 1 to 8")),
        };
        Some(format!("orientation {}: pixels stored {how}", self.orientation))
    }

    /// Returns a name for people.
    pub(crate) fn compression_name(&self) -> String {
        match self.compression {
            1 => "none".into(),
            2..=4 => "CCITT fax".into(),
            5 => "LZW".into(),
            6 => "old-style JPEG".into(),
            7 => "JPEG".into(),
            8 | 32946 => "Deflate".into(),
            32773 => "PackBits".into(),
            33003 => "JPEG 2000 (33003, YCbCr)".into(),
            33005 => "JPEG 2000 (33005, RGB)".into(),
            34712 => "JPEG 2000 (34712)".into(),
            34887 => "LERC".into(),
            34925 => "LZMA".into(),
            50000 => "ZSTD".into(),
            50001 => "WebP".into(),
            50002 => "JPEG XL".into(),
            other => format!("compression {other}"),
        }
    }
}

/// Place of each tile or strip in the file.
#[derive(Debug)]
pub(crate) struct ChunkIndex {
    offsets: Vec<u64>,
    counts: Vec<u64>,
}

impl ChunkIndex {
    /// Reads the index of a page.
    pub(crate) fn read(file: &TiffFile, page: &Page) -> Result<Self> {
        let pixels = u64::from(page.chunk_width) * u64::from(page.chunk_height);
        if pixels > MAX_CHUNK_PIXELS {
            return Err(Broken(format!(
                "tiles of {} x {} px, at most {MAX_CHUNK_PIXELS} px are decoded at once",
                page.chunk_width, page.chunk_height
            )));
        }
        let planes = if page.planar { u64::from(page.samples) } else { 1 };
        let expected = page.chunks_per_plane().saturating_mul(planes);
        if expected > MAX_CHUNKS {
            return Err(Broken(format!("{expected} tiles, at most {MAX_CHUNKS} are read")));
        }
        // Some writers put the places of tiles into the tags for strips.
        let [places, counts] =
            [(tag::TILE_OFFSETS, tag::STRIP_OFFSETS), (tag::TILE_BYTE_COUNTS, tag::STRIP_BYTE_COUNTS)]
                .map(|(tiles, strips)| if page.tiled && page.directory.has(tiles) { tiles } else { strips });
        let offsets = (file.unsigned(&page.directory, places)?)
            .ok_or_else(|| Broken("the places of its tiles are missing".into()))?;
        let counts = match file.unsigned(&page.directory, counts)? {
            Some(counts) => counts,
            // TIFF 6.0 demands counts; without compression they can be computed.
            None if page.compression == 1 => (0..expected).map(|c| page.raw_bytes(c)).collect(),
            None => return Err(Broken("the byte counts of its tiles are missing".into())),
        };
        for (name, found) in [("places", offsets.len()), ("byte counts", counts.len())] {
            if (found as u64) < expected {
                return Err(Broken(format!("{found} tile {name}, expected {expected}")));
            }
        }
        Ok(Self { offsets, counts })
    }

    /// Returns offset and byte count of a chunk; `None` if the file leaves it out.
    pub(crate) fn place(&self, chunk: u64) -> Option<(u64, u64)> {
        let index = usize::try_from(chunk).ok()?;
        let (offset, count) = (*self.offsets.get(index)?, *self.counts.get(index)?);
        (count != 0).then_some((offset, count))
    }
}

impl Page {
    /// Bytes per sample: 1, 2 or 4.
    pub(crate) fn sample_bytes(&self) -> u64 {
        self.bits.first().map_or(1, |bits| bits.div_ceil(8))
    }

    /// Returns the bytes of one chunk of one plane before compression.
    pub(crate) fn raw_bytes(&self, chunk: u64) -> u64 {
        let samples = if self.planar { 1 } else { u64::from(self.samples) };
        let in_plane = chunk % self.chunks_per_plane().max(1);
        u64::from(self.chunk_width)
            .saturating_mul(u64::from(self.rows_of_chunk(in_plane)))
            .saturating_mul(samples)
            .saturating_mul(self.sample_bytes())
    }
}

/// Colour model of the stored samples, to be turned into RGB.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Colour {
    /// One sample; `inverted` when 0 is white.
    Gray { inverted: bool },
    /// Three samples.
    Rgb,
    /// Three samples, which occur only in the JPEG codecs.
    YCbCr,
    /// One sample, an index.
    Palette(Vec<Rgb>),
}

/// Meaning of the sample after the colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alpha {
    /// Colours are already multiplied by it.
    Premultiplied,
    /// Colours are not multiplied.
    Straight,
    /// Some other measure, which is left out.
    Ignored,
}

/// Meaning of a page's samples, checked to be something we can show.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Samples {
    pub(crate) colour: Colour,
    pub(crate) alpha: Option<Alpha>,
    /// The mapping for 16-bit and float samples, if the caller stated one.
    pub(crate) mapping: Option<LinearMapping>,
}

/// A feature of the samples that cannot be shown as 8-bit RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsupported {
    pub(crate) feature: String,
    /// `true` if no other backend would show it truthfully either (OpenSlide cuts 16 bits to 8 in silence).
    pub(crate) for_all: bool,
}

const NEEDS_MAPPING: &str =
    "8-bit is read, or these with --map-range LOW:HIGH, the values that are to be black and white";

fn depth(bits: u64, float: bool) -> String {
    format!("{bits}-bit {}samples", if float { "float " } else { "" })
}

impl Samples {
    /// Checks bit depth, format and colour model.
    pub(crate) fn of(
        file: &TiffFile,
        page: &Page,
        mapping: Option<LinearMapping>,
    ) -> std::result::Result<Self, Unsupported> {
        let refuse = |feature: String| Err(Unsupported { feature, for_all: true });
        let bits = page.bits.first().copied().unwrap_or(1);
        let float = match page.sample_format {
            1 | 4 => false,
            2 => return refuse("signed samples; 8-bit unsigned is read".into()),
            3 => true,
            other => return refuse(format!("samples of format {other}; 8-bit unsigned is read")),
        };
        if page.bits.iter().any(|&b| b != bits) {
            return refuse(format!("samples of different depths {:?}; 8-bit is read", page.bits));
        }
        let mappable = is_raw(page.compression) && page.photometric != 3;
        let mapping = match (bits, float, mapping) {
            (8, false, _) => None,
            (16, false, Some(mapping)) if mappable => Some(mapping),
            (32, true, Some(mapping)) if mappable && page.predictor == 1 => Some(mapping),
            (16, false, None) | (32, true, None) if mappable => {
                return refuse(format!("{}; {NEEDS_MAPPING}", depth(bits, float)));
            }
            _ => return refuse(format!("{}; 8-bit is read", depth(bits, float))),
        };
        let (colour, colours) = Self::colour(file, page)?;
        let alpha = match page.samples.checked_sub(colours) {
            None => {
                return refuse(format!("{} samples per pixel, expected at least {colours}", page.samples));
            }
            Some(0) => None,
            Some(1) => Some(Self::alpha(file, page)),
            Some(_) => {
                return refuse(format!("{} samples per pixel; gray, RGB and RGBA are read", page.samples));
            }
        };
        if mapping.is_some() && matches!(alpha, Some(Alpha::Straight | Alpha::Premultiplied)) {
            return refuse(format!("{} with transparency; 8-bit is read", depth(bits, float)));
        }
        Ok(Self { colour, alpha, mapping })
    }

    /// Returns the colour model and its number of samples.
    fn colour(file: &TiffFile, page: &Page) -> std::result::Result<(Colour, u16), Unsupported> {
        let refuse = |feature: String| Err(Unsupported { feature, for_all: false });
        match page.photometric {
            0 => Ok((Colour::Gray { inverted: true }, 1)),
            1 if page.samples >= 3 && !is_raw(page.compression) => Ok((Colour::Rgb, 3)),
            1 => Ok((Colour::Gray { inverted: false }, 1)),
            2 => Ok((Colour::Rgb, 3)),
            3 => match palette(file, page) {
                Some(palette) => Ok((Colour::Palette(palette), 1)),
                None => refuse("a palette picture without a palette of 256 colours".into()),
            },
            5 => refuse("CMYK colours; gray and RGB are read".into()),
            6 if is_raw(page.compression) => {
                refuse("YCbCr colours without JPEG; gray and RGB are read".into())
            }
            6 => Ok((Colour::YCbCr, 3)),
            8..=10 => refuse("CIE L*a*b* colours; gray and RGB are read".into()),
            other => refuse(format!("photometric interpretation {other}; gray and RGB are read")),
        }
    }

    fn alpha(file: &TiffFile, page: &Page) -> Alpha {
        match file.first(&page.directory, tag::EXTRA_SAMPLES) {
            Ok(Some(2)) => Alpha::Straight,
            // libtiff takes an unspecified fourth sample as premultiplied alpha.
            Ok(Some(1)) => Alpha::Premultiplied,
            Ok(Some(0)) if page.samples >= 4 => Alpha::Premultiplied,
            _ => Alpha::Ignored,
        }
    }
}

/// `true` for compressions that give back the samples as they were stored.
pub(crate) fn is_raw(compression: u16) -> bool {
    matches!(compression, 1 | 5 | 8 | 32773 | 32946 | 50000)
}

/// Reads 256 colours from 3 × 256 SHORTs, all reds first.
fn palette(file: &TiffFile, page: &Page) -> Option<Vec<Rgb>> {
    let map = file.unsigned(&page.directory, tag::COLOR_MAP).ok()??;
    let entries = map.len() / 3;
    if entries < 256 {
        return None;
    }
    let places = (0..256).map(|i| [i, entries + i, 2 * entries + i]);
    Some(places.map(|place| place.map(|at| (map[at] >> 8) as u8)).collect())
}

fn small(value: Option<u32>, default: u16) -> u16 {
    value.map_or(default, |v| u16::try_from(v).unwrap_or(u16::MAX))
}
