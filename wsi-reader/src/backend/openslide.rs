//! OpenSlide: every vendor format and DICOM, through `openslide-rs`.
//!
//! OpenSlide's error state is terminal: after one broken tile every later read through that handle fails. So
//! a failed read opens the slide again and tries once more, and only a tile that fails on a fresh handle is
//! reported.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use openslide_rs::{Address, OpenSlide, Region, Size, errors::OpenSlideError};
use wsi_types::{Level, Pyramid, Rgb, RgbBuffer, TileGrid, TileId};

use crate::{
    backend::tiff::jpeg_baseline::rgb_from_ycc,
    error::OpenError,
    makers::{dicom_colour::frames_say_ycbcr, openslide as facts},
    slide::{AssociatedImage, ReadError, Slide, SlideInfo},
    source::{Source, tile_fault},
};

/// Side of a block read at once where the format does not state its tile size, px.
const DEFAULT_TILE: u32 = 512;
/// Largest side of a tile that is read whole, px. Larger ones are read in blocks: NDPI reports one row of
/// tiles as wide as the slide.
const MAX_TILE: u32 = 2048;
/// Largest distance before a tile at which a read may start so that both grids meet, level px.
const MAX_LEAD: u32 = 64;
/// Pixels of a label, macro or thumbnail.
const MAX_ASSOCIATED_PIXELS: u64 = 1 << 26;
/// Largest difference of a level's downsample between its axes, as a share: some makers cut levels to whole
/// tiles.
const MAX_UNEVEN: f64 = 0.05;

/// A slide OpenSlide reads. Any number of threads may read it at once.
pub struct OpenSlideSlide {
    path: PathBuf,
    info: SlideInfo,
    /// OpenSlide's number of each level.
    levels: Vec<u32>,
    colours: Colours,
    /// Replaced when an error has spent it.
    handle: RwLock<Arc<OpenSlide>>,
}

impl std::fmt::Debug for OpenSlideSlide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenSlideSlide").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Colour model of the three samples of a pixel as OpenSlide returns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Rgb,
    YCbCr,
}

impl Colours {
    fn of(info: &SlideInfo, path: &Path) -> Self {
        let said = info.properties.get("dicom.PhotometricInterpretation");
        let claims_rgb = info.format == "dicom" && said.is_some_and(|said| said == "RGB");
        let is_contradicted = claims_rgb && Source::open(path).is_ok_and(|source| frames_say_ycbcr(&source));
        if is_contradicted { Self::YCbCr } else { Self::Rgb }
    }
}

/// Opens the library, once per process.
fn load_library() -> Result<(), OpenError> {
    openslide_sys::load().map_err(|e| {
        // One line: the list of searched places is for `native::find_all`.
        let text = e.to_string();
        let first = text.lines().next().unwrap_or_default();
        OpenError::LibraryMissing { what: first.trim_end_matches("; looked at:").to_owned() }
    })
}

/// Returns the version of the OpenSlide library in use, as the library itself states it.
///
/// # Errors
///
/// [`OpenError::LibraryMissing`] when it is not found or cannot be opened.
pub fn openslide_version() -> Result<String, OpenError> {
    load_library()?;
    OpenSlide::version().map_err(|e| OpenError::LibraryMissing { what: e.to_string() })
}

impl OpenSlideSlide {
    /// Opens a slide file.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        load_library()?;
        let handle = OpenSlide::new(path).map_err(|e| open_error(&e, path))?;
        let levels = levels_of_one_area(&handle);
        let mut info = read_info(&handle, &levels, path)?;
        let colours = Colours::of(&info, path);
        if colours == Colours::YCbCr {
            tracing::warn!("the file says RGB of JPEG frames that are YCbCr; they are read as what they are");
            info.compression.fill("JPEG, YCbCr though the file says RGB".into());
        }
        Ok(Self { path: path.to_owned(), info, levels, colours, handle: RwLock::new(Arc::new(handle)) })
    }

    /// Adds facts about the slide that OpenSlide does not know.
    #[must_use]
    pub(crate) fn with_remarks(mut self, remarks: Vec<String>) -> Self {
        self.info.remarks.extend(remarks);
        self
    }

    fn current(&self) -> Arc<OpenSlide> {
        Arc::clone(&self.handle.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `fresh` in the place of `spent`, unless another thread already did.
    fn replace(&self, spent: &Arc<OpenSlide>, fresh: Arc<OpenSlide>) {
        let mut handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&handle, spent) {
            *handle = fresh;
        }
    }

    fn reopen(&self) -> Result<Arc<OpenSlide>, String> {
        OpenSlide::new(&self.path)
            .map(Arc::new)
            .map_err(|e| format!("cannot reopen the slide: {}", words(&e, &self.path)))
    }

    /// Reads with the shared handle; if that fails, tries again with a fresh one, because another thread's
    /// bad tile may have spent the first.
    fn read<T>(&self, read: impl Fn(&OpenSlide) -> Result<T, OpenSlideError>) -> Result<T, String> {
        let shared = self.current();
        if let Ok(value) = read(&shared) {
            return Ok(value);
        }
        tracing::debug!("a read failed: the slide is opened anew");
        let fresh = self.reopen()?;
        match read(&fresh) {
            Ok(value) => {
                self.replace(&shared, fresh);
                Ok(value)
            }
            Err(error) => {
                self.replace(&shared, self.reopen()?);
                Err(words(&error, &self.path))
            }
        }
    }
}

/// OpenSlide's words without the path it puts into some of them: paths can name
/// patients, and the caller adds the path where it belongs.
fn words(error: &OpenSlideError, path: &Path) -> String {
    match error {
        OpenSlideError::LibraryError(text) => {
            let shown = path.to_string_lossy();
            let text = text.replace(&format!("Reading {shown}: "), "").replace(&*shown, "the file");
            // Files beside the slide, of which it is made.
            text.split_whitespace().filter(|word| !word.contains(['/', '\\'])).collect::<Vec<_>>().join(" ")
        }
        OpenSlideError::UnsupportedFile(_) => "OpenSlide does not know the format".into(),
        OpenSlideError::MissingFile(_) => "the file is gone".into(),
        other => other.to_string(),
    }
}

/// The system's messages for faults that are not the file's, each with its error number: OpenSlide passes on
/// only the words.
const SYSTEM_FAULTS: [(&str, i32); 4] = [
    ("Input/output error", 5),
    ("Cannot allocate memory", 12),
    ("Too many open files", 24),
    ("Connection timed out", 110),
];

fn system_fault(words: &str) -> Option<io::Error> {
    let (_, code) = SYSTEM_FAULTS.iter().find(|(said, _)| words.contains(said))?;
    Some(io::Error::from_raw_os_error(*code))
}

fn read_error(tile: TileId, reason: String) -> ReadError {
    match system_fault(&reason) {
        Some(fault) => tile_fault(tile, &fault),
        None => ReadError::Tile { tile, reason },
    }
}

fn open_error(error: &OpenSlideError, path: &Path) -> OpenError {
    let words = words(error, path);
    if let Some(source) = system_fault(&words) {
        return OpenError::Io { source };
    }
    match error {
        OpenSlideError::UnsupportedFile(_) => OpenError::NotASlide { found: words },
        // OpenSlide's messages for sound DICOM and TIFF files that it cannot show.
        OpenSlideError::LibraryError(text)
            if ["Unsupported", "BitsAllocated", "image flavor"].iter().any(|mark| text.contains(mark)) =>
        {
            OpenError::Unsupported { feature: words }
        }
        _ => OpenError::Broken { what: words },
    }
}

/// Returns the numbers of OpenSlide's levels that show the area of level 0. In a TIFF, OpenSlide takes every
/// tiled page for a level, but a tiled label or macro is not one.
fn levels_of_one_area(handle: &OpenSlide) -> Vec<u32> {
    let sizes = handle.all_level_dimensions();
    let Some(base) = sizes.first() else { return Vec::new() };
    (0_u32..).zip(sizes).filter(|(_, size)| shows_all_of(base, size)).map(|(number, _)| number).collect()
}

/// `true` if a level of `size` shows the whole of `base`, up to rounding.
fn shows_all_of(base: &Size, size: &Size) -> bool {
    let [across, down, longer] =
        [(base.w, size.w), (base.h, size.h), (base.w.max(base.h), size.w.max(size.h))]
            .map(|(whole, part)| f64::from(whole) / f64::from(part));
    let off = [(base.w, size.w), (base.h, size.h)]
        .map(|(whole, part)| (f64::from(whole) / longer - f64::from(part)).abs());
    off.into_iter().all(|px| px <= 2.0) || (across / down - 1.0).abs() <= MAX_UNEVEN
}

fn read_info(handle: &OpenSlide, levels: &[u32], path: &Path) -> Result<SlideInfo, OpenError> {
    let names = handle.property_names().map_err(|e| open_error(&e, path))?;
    let properties: facts::Properties = names
        .into_iter()
        .filter_map(|name| handle.property_value(&name).ok().map(|value| (name, value)))
        .collect();
    let sizes = handle.all_level_dimensions();
    let grids = levels.iter().filter_map(|&level| {
        let size = sizes.get(level as usize)?;
        let [tile_width, tile_height] = ["width", "height"].map(|axis| tile_side(&properties, level, axis));
        Some(TileGrid { width: size.w, height: size.h, tile_width, tile_height })
    });
    let pyramid = Pyramid::new(grids).map_err(|e| OpenError::Broken { what: e.to_string() })?;
    let associated = handle.associated_image_names().unwrap_or_default();
    let associated = associated
        .into_iter()
        .filter_map(|name| {
            let size = handle.associated_image_dimensions(&name).ok()?;
            Some(AssociatedImage { name, width: size.w, height: size.h })
        })
        .collect();
    let remarks = match sizes.len() - levels.len() {
        0 => Vec::new(),
        count => {
            vec![format!("{count} of OpenSlide's levels are not read: they show another area than level 0")]
        }
    };
    Ok(SlideInfo {
        backend: "openslide",
        format: properties.get("openslide.vendor").cloned().unwrap_or_else(|| "unknown".into()),
        scale: facts::scale(&properties),
        objective: facts::objective(&properties),
        bounds: facts::bounds(&properties),
        background: facts::background(&properties),
        compression: vec!["as OpenSlide decodes it".into(); pyramid.levels().len()],
        associated,
        mapping: None,
        icc_profile_bytes: properties.get("openslide.icc-size").and_then(|text| text.parse().ok()),
        remarks,
        properties,
        pyramid,
    })
}

/// Returns the place where a read of `start..` on one axis of a level may begin: a level-0 address and the
/// number of level px that come before `start`.
///
/// OpenSlide takes level-0 addresses and divides by the downsample; between whole level px it blends
/// neighbours. So the read starts at the nearest px before `start` that a whole level-0 address hits best.
fn aligned(start: u32, downsample: f64) -> (u32, u32) {
    let mut best = start;
    for px in (start.saturating_sub(MAX_LEAD)..=start).rev() {
        if miss(best, downsample) < 1e-4 {
            break;
        }
        if miss(px, downsample) < miss(best, downsample) {
            best = px;
        }
    }
    ((f64::from(best) * downsample).round() as u32, start - best)
}

/// The distance in level px from a level px to the nearest whole px of level 0.
fn miss(px: u32, downsample: f64) -> f64 {
    let exact = f64::from(px) * downsample;
    ((exact.round() - exact) / downsample).abs()
}

/// The width or height of a level's tiles, px.
fn tile_side(properties: &facts::Properties, level: u32, axis: &str) -> u32 {
    properties
        .get(&format!("openslide.level[{level}].tile-{axis}"))
        .and_then(|text| text.parse::<u32>().ok())
        .filter(|side| (16..=MAX_TILE).contains(side))
        .unwrap_or(DEFAULT_TILE)
}

/// A block to read: level-0 address, size, and the px to cut off before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    region: Region,
    lead: (u32, u32),
}

fn block(level: &Level, number: u32, rect: wsi_types::LevelRect) -> Block {
    let downsample = level.mean_openslide_downsample();
    let (x, lead_x) = aligned(rect.min_x() as u32, downsample);
    let (y, lead_y) = aligned(rect.min_y() as u32, downsample);
    Block {
        region: Region {
            address: Address { x, y },
            level: number,
            size: Size { w: rect.width() as u32 + lead_x, h: rect.height() as u32 + lead_y },
        },
        lead: (lead_x, lead_y),
    }
}

/// The downsample by which OpenSlide itself divides.
trait OpenSlideDownsample {
    fn mean_openslide_downsample(&self) -> f64;
}

impl OpenSlideDownsample for Level {
    /// Mean of both axes, as OpenSlide computes it from sizes.
    fn mean_openslide_downsample(&self) -> f64 {
        f64::midpoint(self.downsample.0, self.downsample.1)
    }
}

/// Writes premultiplied ARGB, one native-endian `u32` each, over the background.
fn write_rgb(
    argb: &[u8],
    stride: usize,
    lead: (usize, usize),
    colours: Colours,
    background: Rgb,
    out: &mut RgbBuffer,
) {
    let width = out.width();
    for y in 0..out.height() {
        let row = &argb[((y + lead.1) * stride + lead.0) * 4..][..width * 4];
        for (pixel, raw) in out.row_mut(y).as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<4>().0) {
            let [a, r, g, b] = u32::from_ne_bytes(*raw).to_be_bytes();
            *pixel = match (a, colours) {
                (255, Colours::Rgb) => [r, g, b],
                (255, Colours::YCbCr) => rgb_from_ycc(r, g, b),
                _ => super::tiff::over([r, g, b], a, background, true),
            };
        }
    }
}

impl Slide for OpenSlideSlide {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError> {
        let (level, rect) = self.info.tile_rect(tile)?;
        let number = self.levels.get(usize::from(tile.level.0)).ok_or(ReadError::NoSuchTile { tile })?;
        let block = block(level, *number, rect);
        let argb = self
            .read(|handle| handle.read_region(&block.region))
            .map_err(|reason| read_error(tile, reason))?;
        out.reset(rect.width() as usize, rect.height() as usize);
        let lead = (block.lead.0 as usize, block.lead.1 as usize);
        write_rgb(&argb, block.region.size.w as usize, lead, self.colours, self.info.background, out);
        Ok(())
    }

    fn read_associated(&self, name: &str, out: &mut RgbBuffer) -> Result<(), ReadError> {
        let image = self
            .info
            .associated
            .iter()
            .find(|image| image.name == name)
            .ok_or_else(|| ReadError::NoSuchImage { name: name.to_owned() })?;
        let what = format!("{name} image");
        let pixels = u64::from(image.width) * u64::from(image.height);
        if pixels > MAX_ASSOCIATED_PIXELS {
            let reason = format!("it claims {pixels} px, at most {MAX_ASSOCIATED_PIXELS} are read");
            return Err(ReadError::Attachment { what, reason });
        }
        let (size, argb) = self
            .read(|handle| handle.read_associated_buffer(name))
            .map_err(|reason| ReadError::Attachment { what, reason })?;
        out.reset(size.w as usize, size.h as usize);
        write_rgb(&argb, size.w as usize, (0, 0), Colours::Rgb, [255; 3], out);
        Ok(())
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError> {
        if !openslide_sys::has_v4() {
            return Ok(None);
        }
        self.read(OpenSlide::icc_profile)
            .map_err(|reason| ReadError::Attachment { what: "ICC profile".into(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_start_where_both_grids_meet() {
        assert_eq!(aligned(480, 4.0), (1920, 0));
        // 1483 of 2967 rows: a downsample of 2.000_67 meets the grid at the origin.
        let (address, lead) = aligned(30, 2967.0 / 1483.0);
        assert_eq!((address, lead), (0, 30));
        let downsample = 512.0 / 373.0;
        let (address, lead) = aligned(240, downsample);
        let met = f64::from(240 - lead) * downsample;
        assert!((met - f64::from(address)).abs() < 0.02, "{met} {address}");
    }

    #[test]
    fn transparency_shows_the_background() {
        let argb: Vec<u8> = [0xff01_0203_u32, 0, 0x8040_4040].iter().flat_map(|p| p.to_ne_bytes()).collect();
        let mut out = RgbBuffer::default();
        out.reset(3, 1);
        write_rgb(&argb, 3, (0, 0), Colours::Rgb, [10, 20, 30], &mut out);
        assert_eq!(out.bytes(), [1, 2, 3, 10, 20, 30, 69, 74, 79]);
    }
}
