//! Our own reader of tiled TIFF pyramids: Aperio, OME, generic; classic and
//! BigTIFF, both byte orders.
//!
//! Tiles are read with positioned reads and decoded straight to RGB, on as many
//! threads as call, with no lock and no shared seek. Vendor formats that only
//! look like plain TIFF (Hamamatsu NDPI, Leica SCN, Philips, Ventana, Trestle)
//! are recognised and left to OpenSlide.

#[cfg(test)]
mod by_hand;
mod codec;
pub(crate) mod directory;
mod jpeg;
mod jpeg2000;
pub(crate) mod jpeg_baseline;
mod jpeg_check;
pub(crate) mod jpeg_header;
mod jpeg_reduced;
pub(crate) mod layout;
mod page;
mod refusal;
pub(crate) mod role;
mod scratch;
mod target;
mod unpack;

use std::{collections::BTreeMap, ops::Range};

use wsi_types::{LevelIndex, Pyramid, Rgb, RgbBuffer, TileGrid, TileId};

use self::{
    codec::Decoder,
    directory::{Broken, TiffFile},
    layout::{Format, Layout},
    page::{ChunkIndex, Page, Samples, is_raw, tag},
    scratch::{Scratch, with_scratch},
    target::Target,
};
pub(crate) use self::{
    codec::over,
    directory::looks_like_tiff,
    jpeg::{colours_in_words, one_line},
    jpeg_baseline::rgb_from_ycc,
    refusal::Refusal,
    target::guarded,
    unpack::unpack_bits,
};
use crate::{
    makers,
    mapping::LinearMapping,
    slide::{AssociatedImage, Fetched, OnServer, ReadError, Slide, SlideInfo, TileState, read_and_average},
    source::{Source, tile_fault, watching_the_device},
};

const WHITE: Rgb = [255; 3];
/// Bytes of a classic TIFF's header.
const HEADER_BYTES: u64 = 8;
/// Least number of rows of one slide tile made of strips.
const STRIP_TILE_ROWS: u32 = 256;

/// The caller's settings for this backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TiffOptions {
    /// Largest strip that is decoded at once, px.
    pub(crate) max_picture_pixels: u64,
    /// Mapping of 16-bit and float samples to 8 bits, if the caller states it.
    pub(crate) mapping: Option<LinearMapping>,
}

/// A TIFF file with its levels found and checked.
pub struct TiffSlide {
    file: TiffFile,
    info: SlideInfo,
    levels: Vec<Picture>,
    associated: BTreeMap<String, Page>,
    icc_page: Option<Page>,
}

/// A page ready to be decoded.
#[derive(Debug)]
struct Picture {
    page: Page,
    index: ChunkIndex,
    decoder: Decoder,
    grid: TileGrid,
    /// Strips per slide tile; 1 for tiled pages.
    chunks_per_tile: u64,
}

/// Descriptions of pages are left out: they may name a patient.
impl std::fmt::Debug for TiffSlide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TiffSlide").field("info", &self.info).finish_non_exhaustive()
    }
}

impl TiffSlide {
    /// Reads the header and sorts the pages, or returns the reason why another backend should read the file.
    pub(crate) fn from_source(source: Source, options: &TiffOptions) -> Result<Self, Refusal> {
        let file = TiffFile::new(source)?;
        let layout = Layout::read(&file)?;
        refuse_turned(&layout)?;
        let levels = layout
            .levels
            .iter()
            .map(|page| Picture::new(&file, page, options))
            .collect::<Result<Vec<_>, _>>()?;
        let pyramid =
            Pyramid::new(levels.iter().map(|l| l.grid)).map_err(|e| Refusal::Broken(e.to_string()))?;
        let icc_page = layout.levels.first().filter(|p| p.directory.has(tag::ICC_PROFILE)).cloned();
        let facts = makers::tiff_facts(&file, &layout);
        let info = SlideInfo {
            backend: "tiff",
            format: layout.format.name().to_owned(),
            pyramid,
            scale: facts.scale,
            objective: facts.objective,
            bounds: None,
            background: WHITE,
            mapping: levels.iter().find_map(|level| level.decoder.mapping()),
            compression: layout.levels.iter().map(Page::compression_name).collect(),
            associated: layout
                .associated
                .iter()
                .map(|(name, page)| AssociatedImage {
                    name: name.clone(),
                    width: page.width,
                    height: page.height,
                })
                .collect(),
            icc_profile_bytes: icc_page.as_ref().and_then(|p| file.byte_len(&p.directory, tag::ICC_PROFILE)),
            remarks: layout.remarks,
            properties: facts.properties,
        };
        Ok(Self { file, info, levels, associated: layout.associated, icc_page })
    }

    /// Adds facts known from the slide's surroundings.
    #[must_use]
    pub(crate) fn with_remarks(mut self, remarks: impl IntoIterator<Item = String>) -> Self {
        self.info.remarks.extend(remarks);
        self
    }

    fn picture(&self, tile: TileId) -> Result<(&Picture, wsi_types::LevelRect), ReadError> {
        let (_, rect) = self.info.tile_rect(tile)?;
        let picture = self.levels.get(usize::from(tile.level.0)).ok_or(ReadError::NoSuchTile { tile })?;
        Ok((picture, rect))
    }

    /// The places of tiles in the file, as far as it holds them.
    fn ranges(&self, tiles: impl Iterator<Item = TileId>) -> impl Iterator<Item = Range<u64>> {
        let found = tiles.filter_map(|tile| Some((tile, self.picture(tile).ok()?.0)));
        found.flat_map(|(tile, picture)| picture.ranges(tile))
    }
}

impl Slide for TiffSlide {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError> {
        let (picture, rect) = self.picture(tile)?;
        out.reset(rect.width() as usize, rect.height() as usize);
        read(tile, || picture.read_tile(&self.file, tile, out))
    }

    fn reduces(&self, level: LevelIndex) -> u32 {
        self.levels.get(usize::from(level.0)).map_or(0, Picture::reduces)
    }

    fn read_tile_reduced(&self, tile: TileId, shift: u32, out: &mut RgbBuffer) -> Result<(), ReadError> {
        let (picture, rect) = self.picture(tile)?;
        let whole = 1_i64 << shift;
        if (1..=picture.reduces()).contains(&shift) && rect.width() % whole == 0 && rect.height() % whole == 0
        {
            out.reset((rect.width() >> shift) as usize, (rect.height() >> shift) as usize);
            if read(tile, || picture.read_tile_reduced(&self.file, tile, shift, out))? {
                return Ok(());
            }
        }
        read_and_average(self, tile, shift, out)
    }

    fn stored_jpeg(&self, tile: TileId) -> Result<Option<Vec<u8>>, ReadError> {
        let (picture, _) = self.picture(tile)?;
        read(tile, || picture.stored_jpeg(&self.file, tile))
    }

    fn read_associated(&self, name: &str, out: &mut RgbBuffer) -> Result<(), ReadError> {
        let page =
            self.associated.get(name).ok_or_else(|| ReadError::NoSuchImage { name: name.to_owned() })?;
        let failed = |reason: String| ReadError::Attachment { what: format!("{name} image"), reason };
        let options = TiffOptions { max_picture_pixels: MAX_ASSOCIATED_PIXELS, mapping: None };
        let picture = Picture::new(&self.file, page, &options).map_err(|r| failed(r.reason()))?;
        picture.read_whole(&self.file, out).map_err(failed)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(page) = &self.icc_page else { return Ok(None) };
        self.file
            .bytes(&page.directory, tag::ICC_PROFILE)
            .map_err(|Broken(reason)| ReadError::Attachment { what: "ICC profile".into(), reason })
    }

    fn tile_state(&self, tile: TileId) -> TileState {
        let Ok((picture, _)) = self.picture(tile) else { return TileState::Unknown };
        picture.tile_state(&self.file, tile)
    }

    fn is_absent(&self, tile: TileId) -> bool {
        self.picture(tile).is_ok_and(|(picture, _)| picture.is_absent(tile))
    }

    fn verify_tile(&self, tile: TileId) -> Vec<String> {
        let Ok((picture, _)) = self.picture(tile) else { return Vec::new() };
        picture.verify_tile(&self.file, tile)
    }

    fn will_read(&self, tiles: &mut dyn Iterator<Item = TileId>) {
        self.file.source.will_read(self.ranges(tiles));
    }

    fn cost_of(&self, tiles: &mut dyn Iterator<Item = TileId>) -> Option<Fetched> {
        self.file.source.cost(self.ranges(tiles))
    }

    fn on_server(&self) -> Option<OnServer> {
        self.file.source.on_server()
    }
}

/// Reads a tile; reports a fault of the device apart from one of the file.
fn read<T>(tile: TileId, read: impl FnOnce() -> Result<T, String>) -> Result<T, ReadError> {
    match watching_the_device(read) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(fault)) => Err(tile_fault(tile, &fault)),
        (Err(reason), None) => Err(ReadError::Tile { tile, reason }),
    }
}

/// Refuses turned pictures. Viewers turn them and would show our coordinates elsewhere; most slide readers,
/// OpenSlide among them, ignore the tag. No scanner writes them.
fn refuse_turned(layout: &Layout) -> Result<(), Refusal> {
    match layout.levels.iter().find_map(Page::turned) {
        None => Ok(()),
        Some(how) => Err(Refusal::Unsupported {
            feature: format!("{how}; only upright pixels are read, so write it anew, upright"),
            for_all: true,
        }),
    }
}

/// Pixels of a label, macro or thumbnail.
const MAX_ASSOCIATED_PIXELS: u64 = 1 << 26;

impl Picture {
    fn new(file: &TiffFile, page: &Page, options: &TiffOptions) -> Result<Self, Refusal> {
        if !is_raw(page.compression) && !matches!(page.compression, 7 | 33003 | 33005 | 34712) {
            let feature = format!("tiles in {}", page.compression_name());
            return Err(Refusal::Unsupported { feature, for_all: false });
        }
        if page.compression == 7 && !matches!(page.samples, 1 | 3) {
            let feature = format!("JPEG of {} components", page.samples);
            return Err(Refusal::Unsupported { feature, for_all: false });
        }
        if page.planar && !is_raw(page.compression) {
            let feature = format!("separate colour planes in {}", page.compression_name());
            return Err(Refusal::Unsupported { feature, for_all: false });
        }
        if !matches!(page.predictor, 1 | 2) {
            let feature = format!("predictor {}", page.predictor);
            return Err(Refusal::Unsupported { feature, for_all: false });
        }
        let chunk_pixels = u64::from(page.chunk_width) * u64::from(page.chunk_height);
        if !page.tiled && chunk_pixels > options.max_picture_pixels {
            return Err(Refusal::TooLarge {
                what: format!(
                    "a strip of {} x {} px must be decoded at once, at most {} px are",
                    page.chunk_width, page.chunk_height, options.max_picture_pixels
                ),
            });
        }
        let samples = Samples::of(file, page, options.mapping)?;
        let index = ChunkIndex::read(file, page)?;
        let tables =
            if page.compression == 7 { file.bytes(&page.directory, tag::JPEG_TABLES)? } else { None };
        let decoder = Decoder::new(samples, tables.as_deref(), WHITE);
        let strips = if page.tiled { 1 } else { STRIP_TILE_ROWS.div_ceil(page.chunk_height) };
        let grid = TileGrid {
            width: page.width,
            height: page.height,
            tile_width: page.chunk_width,
            tile_height: page.chunk_height.saturating_mul(strips),
        };
        Ok(Self { page: page.clone(), index, decoder, grid, chunks_per_tile: u64::from(strips) })
    }

    /// Returns the file's chunks that make up one slide tile, from the top.
    fn chunks(&self, tile: TileId) -> std::ops::Range<u64> {
        if self.page.tiled {
            let chunk = u64::from(tile.row) * self.page.chunk_columns() + u64::from(tile.column);
            return chunk..chunk + 1;
        }
        let first = u64::from(tile.row) * self.chunks_per_tile;
        first..(first + self.chunks_per_tile).min(self.page.chunk_rows())
    }

    fn read_tile(&self, file: &TiffFile, tile: TileId, out: &mut RgbBuffer) -> Result<(), String> {
        let (width, height) = (out.width(), out.height());
        let row_bytes = width * 3;
        let mut below = out.bytes_mut();
        let mut rows_left = height;
        for chunk in self.chunks(tile) {
            let rows = (self.page.rows_of_chunk(chunk) as usize).min(rows_left);
            let (pixels, rest) = below.split_at_mut(rows * row_bytes);
            below = rest;
            rows_left -= rows;
            let mut target = Target { pixels, width, height: rows };
            with_scratch(|scratch| self.read_chunk(file, chunk, scratch, &mut target))?;
        }
        Ok(())
    }

    /// Returns how many times a side can be halved while decoding: JPEG tiles down to whole pixels.
    fn reduces(&self) -> u32 {
        if self.page.compression != 7 || !self.page.tiled {
            return 0;
        }
        self.page.chunk_width.trailing_zeros().min(self.page.chunk_height.trailing_zeros()).min(3)
    }

    /// Decodes a tile to a smaller size; returns `false` if it can only be decoded whole.
    fn read_tile_reduced(
        &self,
        file: &TiffFile,
        tile: TileId,
        shift: u32,
        out: &mut RgbBuffer,
    ) -> Result<bool, String> {
        let (width, height) = (out.width(), out.height());
        let mut target = Target { pixels: out.bytes_mut(), width, height };
        with_scratch(|scratch| match self.load_chunk(file, self.chunks(tile).start, scratch)? {
            None => {
                target.pixels.as_chunks_mut::<3>().0.fill(WHITE);
                Ok(true)
            }
            Some(_) => self.decoder.decode_reduced(&self.page, shift, scratch, &mut target),
        })
    }

    /// See [`Slide::stored_jpeg`].
    fn stored_jpeg(&self, file: &TiffFile, tile: TileId) -> Result<Option<Vec<u8>>, String> {
        if self.page.compression != 7 || !self.page.tiled {
            return Ok(None);
        }
        with_scratch(|scratch| match self.load_chunk(file, self.chunks(tile).start, scratch)? {
            None => Ok(None),
            Some(_) => self.decoder.as_jpeg(&self.page, &scratch.stored),
        })
    }

    /// Reads every tile, for small pictures.
    fn read_whole(&self, file: &TiffFile, out: &mut RgbBuffer) -> Result<(), String> {
        let pixels = u64::from(self.page.width) * u64::from(self.page.height);
        if pixels > MAX_ASSOCIATED_PIXELS {
            return Err(format!("it claims {pixels} px, at most {MAX_ASSOCIATED_PIXELS} are read"));
        }
        out.fill(self.page.width as usize, self.page.height as usize, WHITE);
        let mut part = RgbBuffer::default();
        for row in 0..self.grid.rows() {
            for column in 0..self.grid.columns() {
                let rect = self.grid.tile_rect(column, row);
                part.reset(rect.width() as usize, rect.height() as usize);
                self.read_tile(file, TileId { level: LevelIndex(0), row, column }, &mut part)?;
                for y in 0..part.height() {
                    let to = &mut out.row_mut(rect.min_y() as usize + y)[rect.min_x() as usize * 3..];
                    to[..part.width() * 3].copy_from_slice(part.row(y));
                }
            }
        }
        Ok(())
    }

    /// Reads the bytes of one chunk, all planes, and decodes them.
    fn read_chunk(
        &self,
        file: &TiffFile,
        chunk: u64,
        scratch: &mut Scratch,
        target: &mut Target<'_>,
    ) -> Result<(), String> {
        let Some(places) = self.load_chunk(file, chunk, scratch)? else {
            target.pixels.as_chunks_mut::<3>().0.fill(WHITE);
            return Ok(());
        };
        let planes = if self.page.planar { usize::from(self.page.samples) } else { 1 };
        let rows = self.page.rows_of_chunk(chunk);
        self.decoder.decode(&self.page, rows, scratch, &places[..planes], target)
    }

    /// Reads the bytes of one chunk, all planes, into `scratch.stored`. Returns their places in it, or `None`
    /// if the file leaves the chunk out.
    fn load_chunk(
        &self,
        file: &TiffFile,
        chunk: u64,
        scratch: &mut Scratch,
    ) -> Result<Option<[(usize, usize); 8]>, String> {
        let planes = if self.page.planar { u64::from(self.page.samples) } else { 1 };
        // A compressed tile is no larger than its pixels, apart from headers.
        let most = self.page.raw_bytes(chunk).saturating_mul(2).saturating_add(1 << 20);
        scratch.stored.clear();
        let mut places = [(0, 0); 8];
        for plane in 0..planes {
            let Some((offset, count)) = self.index.place(plane * self.page.chunks_per_plane() + chunk) else {
                if plane == 0 {
                    return Ok(None);
                }
                return Err(format!("its colour plane {plane} is missing, and the first is not"));
            };
            if offset < HEADER_BYTES {
                return Err(format!("it should stand at byte {offset}, within the header of the file"));
            }
            if count > most {
                return Err(format!("it claims {count} bytes, at most {most} for its size"));
            }
            let start = scratch.stored.len();
            scratch.stored.resize(start + count as usize, 0);
            file.source.read_at(offset, &mut scratch.stored[start..]).map_err(|e| {
                format!(
                    "its {count} bytes at {offset} cannot be read from a file of {}: {e}",
                    file.source.len()
                )
            })?;
            places[plane as usize % places.len()] = (start, count as usize);
        }
        Ok(Some(places))
    }

    /// The places of a tile's chunks, of all planes, as far as the file holds them.
    fn ranges(&self, tile: TileId) -> impl Iterator<Item = Range<u64>> {
        let planes = if self.page.planar { u64::from(self.page.samples) } else { 1 };
        let chunks = self.chunks(tile).flat_map(move |chunk| (0..planes).map(move |plane| (plane, chunk)));
        chunks.filter_map(|(plane, chunk)| {
            let (offset, count) = self.index.place(plane * self.page.chunks_per_plane() + chunk)?;
            Some(offset..offset.checked_add(count)?)
        })
    }

    /// `true` if the file leaves out all chunks of a tile.
    fn is_absent(&self, tile: TileId) -> bool {
        self.chunks(tile).all(|chunk| self.index.place(chunk).is_none())
    }

    fn verify_tile(&self, file: &TiffFile, tile: TileId) -> Vec<String> {
        if is_raw(self.page.compression) {
            return self.chunks(tile).flat_map(|chunk| self.end_defects(file, chunk)).collect();
        }
        if self.page.compression != 7 {
            return Vec::new();
        }
        self.chunks(tile)
            .filter_map(|chunk| self.index.place(chunk))
            .filter_map(|(offset, count)| file.source.bytes_at(offset, count).ok())
            .filter_map(|stream| jpeg_check::defect(self.decoder.shared().header(), &stream))
            .collect()
    }

    fn end_defects(&self, file: &TiffFile, chunk: u64) -> Vec<String> {
        let planes = if self.page.planar { usize::from(self.page.samples) } else { 1 };
        with_scratch(|scratch| match self.load_chunk(file, chunk, scratch) {
            Ok(Some(places)) => self.decoder.end_defects(&self.page, scratch, &places[..planes]),
            // Reported by the function that reads it.
            Ok(None) | Err(_) => Vec::new(),
        })
    }

    fn tile_state(&self, file: &TiffFile, tile: TileId) -> TileState {
        let mut bytes = 0_u64;
        let mut defects = Vec::new();
        for chunk in self.chunks(tile) {
            let Some((offset, count)) = self.index.place(chunk) else { continue };
            bytes = bytes.saturating_add(count);
            if !file.source.holds(offset, count) {
                defects.push(format!("its {count} bytes at {offset} reach past the end of the file"));
            } else if let 7 | 33003 | 33005 | 34712 = self.page.compression {
                defects.extend(end_marker_defect(file, offset, count));
            }
        }
        if bytes == 0 { TileState::Absent } else { TileState::Stored { bytes, defects } }
    }
}

/// Passes every byte of the places and sizes of tiles of a TIFF's pages to `take`; passes nothing if the file
/// is not a sound TIFF.
pub(crate) fn index_bytes(source: Source, mut take: impl FnMut(&[u8])) {
    let Ok(file) = TiffFile::new(source) else { return };
    for directory in file.directories().unwrap_or_default() {
        for tag in [tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS, tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS] {
            if let Ok(Some(bytes)) = file.bytes(&directory, tag) {
                take(&bytes);
            }
        }
    }
}

/// `true` if a TIFF found in a folder is a slide rather than a picture: tiled, known by its maker, or so
/// broken that its kind cannot be told: then it is opened, and named among the slides that failed.
pub(crate) fn looks_like_tiled_slide(source: Source) -> bool {
    let Ok(file) = TiffFile::new(source) else { return true };
    match Layout::read(&file) {
        Ok(layout) => layout.format != Format::Generic || layout.levels.iter().any(|page| page.tiled),
        Err(_) => true,
    }
}

/// Decodes a JPEG stream of `size` px into `pixels`, RGB. `raw_rgb`: its file states that its components are that.
pub(crate) fn decode_jpeg(
    stored: Vec<u8>,
    size: (usize, usize),
    raw_rgb: bool,
    pixels: &mut [u8],
) -> Result<(), String> {
    let mut scratch = Scratch { stored, ..Scratch::default() };
    jpeg::decode(&jpeg::Shared::new(None), size, raw_rgb, &mut scratch, &mut Target::whole(pixels, size))
}

/// Decodes a JPEG 2000 stream of `size` px into `pixels`, RGB. `ycc`: its components are YCbCr.
pub(crate) fn decode_jpeg2000(
    stored: Vec<u8>,
    size: (usize, usize),
    ycc: bool,
    pixels: &mut [u8],
) -> Result<(), String> {
    let mut scratch = Scratch { stored, ..Scratch::default() };
    jpeg2000::decode(size, ycc, &mut scratch, &mut Target::whole(pixels, size))
}

/// Describes damage of a whole JPEG stream that decoding does not show, in words.
pub(crate) fn jpeg_defect(stream: &[u8]) -> Option<String> {
    jpeg_check::defect(&jpeg_header::Header::default(), stream)
}

/// Describes a missing end marker. A JPEG stream without it was cut or overwritten, and so was a codestream
/// of JPEG 2000, whose end marker is the same. Zero padding after the marker is common and harmless.
fn end_marker_defect(file: &TiffFile, offset: u64, count: u64) -> Option<String> {
    let start = file.source.bytes_at(offset, count.min(2)).ok()?;
    let format = match start.as_slice() {
        [0xff, 0xd8] => "JPEG",
        [0xff, 0x4f] => "JPEG 2000",
        // Other data, such as boxes of JP2, is checked by its decoder.
        _ => return None,
    };
    let tail_bytes = count.min(64);
    let tail = file.source.bytes_at(offset + count - tail_bytes, tail_bytes).ok()?;
    let end = tail.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    (!tail[..end].ends_with(b"\xff\xd9")).then(|| format!("its {format} data has no end marker"))
}
