//! The interface of every backend: facts about a slide, and its tiles.

use std::{collections::BTreeMap, fmt, iter::Sum, ops::Add};

use serde::{Deserialize, Serialize};
use wsi_types::{
    Level, Level0Box, LevelIndex, LevelRect, Mpp, MppError, ObjectivePower, Pyramid, Rgb, RgbBuffer, TileId,
};

use crate::{average::average, mapping::LinearMapping};

/// An open slide. Any number of threads may read it at once.
pub trait Slide: Send + Sync {
    /// Facts that are known without reading a pixel.
    fn info(&self) -> &SlideInfo;

    /// Reads one tile of the pyramid's grid into `out`, which takes the size of
    /// `TileGrid::tile_rect`: edge tiles are cut at the level's edge. Pixels the
    /// file does not hold are [`SlideInfo::background`].
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the tile cannot be decoded. Other tiles stay readable.
    fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError>;

    /// Returns the largest `shift` at which [`Slide::read_tile_reduced`] costs less than reading the whole
    /// tile, on one level; 0 for none. Tiles then have sides that are multiples of 2^`shift`.
    fn reduces(&self, _level: LevelIndex) -> u32 {
        0
    }

    /// Reads one tile with each side divided by 2^`shift`, at most 3: every pixel of `out` is the mean of a
    /// square of pixels of the level, cut at the level's edge. Decoders that can do this directly may differ
    /// by one grey level from the mean of the decoded pixels.
    ///
    /// # Errors
    ///
    /// [`ReadError`] as for [`Slide::read_tile`].
    fn read_tile_reduced(&self, tile: TileId, shift: u32, out: &mut RgbBuffer) -> Result<(), ReadError> {
        read_and_average(self, tile, shift, out)
    }

    /// Returns one tile as a whole JPEG stream, not decoded, if the file holds it as one and every decoder
    /// finds in it the colours that [`Slide::read_tile`] gives. At the level's edge it is as large as inner
    /// tiles. `None` for all other tiles.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when its bytes cannot be read, or no picture begins with them.
    fn stored_jpeg(&self, _tile: TileId) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(None)
    }

    /// Reads an associated image such as `thumbnail` or `macro`.
    ///
    /// The label, which identifies patients, is given only to those who ask for
    /// it by its name.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when there is none of that name, or it cannot be decoded.
    fn read_associated(&self, name: &str, out: &mut RgbBuffer) -> Result<(), ReadError>;

    /// Returns the ICC profile, if the file holds one.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the file has one that cannot be read.
    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError>;

    /// Returns the state of one tile in the file, without decoding it.
    ///
    /// Backends that cannot look at stored bytes answer [`TileState::Unknown`].
    fn tile_state(&self, _tile: TileId) -> TileState {
        TileState::Unknown
    }

    /// `true` if the file states that it holds nothing of a tile; `false` if it cannot tell. Cheaper than
    /// [`Slide::tile_state`].
    fn is_absent(&self, tile: TileId) -> bool {
        self.tile_state(tile) == TileState::Absent
    }

    /// Says which tiles will be read, in that order, so that a slide on a server comes in few requests. Other slides
    /// ignore it, and do not look at `tiles`.
    fn will_read(&self, _tiles: &mut dyn Iterator<Item = TileId>) {}

    /// Returns what it costs to fetch tiles in that order; `None` for slides that lie on no server.
    fn cost_of(&self, _tiles: &mut dyn Iterator<Item = TileId>) -> Option<Fetched> {
        None
    }

    /// Returns the object that it is on its server; `None` for slides that lie on no server.
    fn on_server(&self) -> Option<OnServer> {
        None
    }

    /// Describes damage of one tile that decoding does not show, in words: compressed data that continues
    /// after its last pixel, or ends on one that is not its last. Slower than reading; for a check-up. Empty
    /// when all is well or unknown.
    fn verify_tile(&self, _tile: TileId) -> Vec<String> {
        Vec::new()
    }
}

/// State of one tile in the file, known without decoding it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TileState {
    /// This backend cannot tell.
    Unknown,
    /// Nothing is stored: the tile is background.
    Absent,
    /// Stored.
    Stored {
        /// Compressed size in the file.
        bytes: u64,
        /// Damage that shows without decoding, in words.
        defects: Vec<String>,
    },
}

/// Facts about a slide that are known without reading a pixel.
#[derive(Clone, Serialize)]
pub struct SlideInfo {
    /// The backend that reads it: `openslide`, `tiff`, `picture`, `memory`.
    pub backend: &'static str,
    /// The maker's format: `aperio`, `generic-tiled-tiff`, `ome-tiff`, `dicom`, …
    pub format: String,
    /// Levels and tiles.
    pub pyramid: Pyramid,
    /// The size of a level-0 pixel, or the reason why it is not known.
    #[serde(serialize_with = "serialize_scale")]
    pub scale: Result<Scale, ScaleProblem>,
    /// The magnification on the label.
    pub objective: Option<ObjectivePower>,
    /// The part of level 0 that was scanned, when the file says so.
    pub bounds: Option<Level0Box>,
    /// Colour where nothing was scanned.
    pub background: Rgb,
    /// The caller's mapping of samples with more than 8 bits to 8; `None` for 8 bits as stored.
    pub mapping: Option<LinearMapping>,
    /// Compression of the tiles of each level, in the words of the format.
    pub compression: Vec<String>,
    /// Label, macro, thumbnail: names and sizes.
    pub associated: Vec<AssociatedImage>,
    /// Bytes of the ICC profile, if there is one.
    pub icc_profile_bytes: Option<u64>,
    /// Notes for the user on the slide: pictures of the file that are not read, pixels that were turned.
    /// Without names.
    pub remarks: Vec<String>,
    /// The file's own properties. They may name a patient: never written to
    /// shared outputs.
    #[serde(skip)]
    pub properties: BTreeMap<String, String>,
}

impl SlideInfo {
    /// Returns the level of a tile, and its place there in px of that level.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchTile`] where there is no such level, row or column.
    pub fn tile_rect(&self, tile: TileId) -> Result<(&Level, LevelRect), ReadError> {
        let level = self.pyramid.level(tile.level).ok_or(ReadError::NoSuchTile { tile })?;
        let rect = level.tiles.tile_rect(tile.column, tile.row);
        if rect.is_empty() { Err(ReadError::NoSuchTile { tile }) } else { Ok((level, rect)) }
    }
}

/// Leaves out the values of the properties: they may name a patient, and debug output ends up in logs.
impl fmt::Debug for SlideInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlideInfo")
            .field("backend", &self.backend)
            .field("format", &self.format)
            .field("pyramid", &self.pyramid)
            .field("scale", &self.scale)
            .field("objective", &self.objective)
            .field("bounds", &self.bounds)
            .field("background", &self.background)
            .field("mapping", &self.mapping)
            .field("compression", &self.compression)
            .field("associated", &self.associated)
            .field("icc_profile_bytes", &self.icc_profile_bytes)
            .field("remarks", &self.remarks)
            .field("properties", &format_args!("{} kept back", self.properties.len()))
            .finish()
    }
}

/// The size of a level-0 pixel and its source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scale {
    /// Mean of both axes, which differ by at most 1 %.
    pub mpp: Mpp,
    /// Source of the number.
    pub source: MppSource,
}

/// What it costs to fetch parts of a slide from its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fetched {
    /// Number of requests.
    pub requests: u64,
    /// Bytes that the server sends, without headers.
    pub bytes: u64,
}

impl Add for Fetched {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { requests: self.requests + other.requests, bytes: self.bytes + other.bytes }
    }
}

impl Sum for Fetched {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// An object of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnServer {
    /// All bytes of it.
    pub bytes: u64,
    /// What was fetched of it so far, by all that had it open since it was first asked for, as far as that is remembered:
    /// of a few objects that were opened last.
    pub fetched: Fetched,
}

/// Source of a pixel size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MppSource {
    /// A property of the slide's maker (Aperio `MPP`, Hamamatsu, MIRAX, …).
    Vendor,
    /// OME-XML `PhysicalSizeX`.
    OmeXml,
    /// DICOM `PixelSpacing`.
    Dicom,
    /// TIFF `XResolution` in real units (72 and 96 dpi are not a scale).
    TiffResolution,
    /// Given by the user, because the file gives no usable one.
    User,
    /// Given by the user in place of the file's.
    Override,
    /// Estimated from the size of the nuclei, as the user asked for.
    Nuclei,
    /// Made up with the slide: painted slides only.
    Painted,
}

impl fmt::Display for MppSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vendor => "vendor property",
            Self::OmeXml => "OME-XML PhysicalSizeX",
            Self::Dicom => "DICOM PixelSpacing",
            Self::TiffResolution => "TIFF resolution",
            Self::User => "given by the user",
            Self::Override => "given by the user in place of the file's",
            Self::Nuclei => "estimated from the nuclei",
            Self::Painted => "painted",
        })
    }
}

/// Reasons why the file's own pixel size is not used. The run then asks for `--mpp`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScaleProblem {
    /// Nothing in the file states it.
    #[error("the file does not say its microns per pixel")]
    Missing,
    /// The tag holds something that is not a number.
    #[error("{tag} holds {text:?}, expected microns per pixel such as 0.25")]
    NotANumber {
        /// The property read.
        tag: String,
        /// Its text, cut to a sensible length.
        text: String,
    },
    /// A number in a unit that is not known.
    #[error("{tag} is in {unit:?}, expected a unit of length such as µm, nm or mm")]
    UnknownUnit {
        /// The property read.
        tag: String,
        /// The unit as written, cut to a sensible length.
        unit: String,
    },
    /// The text that should state it cannot be read.
    #[error("the {what} of the file cannot be read, so its microns per pixel are not known")]
    Unreadable {
        /// Name of the text, such as `OME-XML`.
        what: String,
    },
    /// A number, but no pixel size.
    #[error("{tag}: {source}")]
    Implausible {
        /// The property read.
        tag: String,
        /// The fault of the number.
        source: MppError,
    },
    /// A print resolution such as 72 or 96 dpi: the default of a printer, not of a microscope.
    #[error("the TIFF resolution of {dpi} dpi is a print setting, not a scale")]
    PrintResolution {
        /// Dots per inch as found.
        dpi: f64,
    },
    /// The axes differ by more than 1 %.
    #[error("pixels are {x} µm wide and {y} µm high, expected a difference of at most 1 %")]
    Anisotropic {
        /// µm/px along x.
        x: f64,
        /// µm/px along y.
        y: f64,
    },
    /// The mpp and the objective cannot both be right.
    #[error("the file says {mpp} and {objective}, which do not fit: {objective} is about {expected} µm/px")]
    ContradictsObjective {
        /// The mpp as found.
        mpp: Mpp,
        /// The objective as found.
        objective: ObjectivePower,
        /// The mpp that such an objective usually has, µm/px.
        expected: f64,
    },
}

fn serialize_scale<S: serde::Serializer>(
    scale: &Result<Scale, ScaleProblem>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Either<'a> {
        Known(&'a Scale),
        Problem(String),
    }
    match scale {
        Ok(scale) => Either::Known(scale),
        Err(problem) => Either::Problem(problem.to_string()),
    }
    .serialize(serializer)
}

/// A picture stored beside the slide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssociatedImage {
    /// `label`, `macro`, `thumbnail`, …
    pub name: String,
    /// Width in px.
    pub width: u32,
    /// Height in px.
    pub height: u32,
}

/// Reasons why pixels could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The tile's bytes are missing, broken or not what the header says.
    #[error("cannot read tile column {} row {} of level {}: {reason}", tile.column, tile.row, tile.level.0)]
    Tile {
        /// The tile.
        tile: TileId,
        /// The fault: what was found and what was expected.
        reason: String,
    },
    /// The system does not deliver the tile's bytes: a disk or file server fails, or a limit is reached. The
    /// file may be sound: a later try may read it.
    #[error("cannot read tile column {} row {} of level {}: {reason}", tile.column, tile.row, tile.level.0)]
    Device {
        /// The tile.
        tile: TileId,
        /// The system's message.
        reason: String,
        /// `true` if a server or the network failed, not a disk or a limit.
        out_of_reach: bool,
    },
    /// The pyramid has no tile at this place.
    #[error("no tile column {} row {} on level {}", tile.column, tile.row, tile.level.0)]
    NoSuchTile {
        /// The requested tile.
        tile: TileId,
    },
    /// The slide has no associated image of that name.
    #[error("the slide has no {name:?} image")]
    NoSuchImage {
        /// The requested name.
        name: String,
    },
    /// An associated image or profile exists and cannot be decoded.
    #[error("cannot read {what}: {reason}")]
    Attachment {
        /// Its name, such as `thumbnail image` or `ICC profile`.
        what: String,
        /// The fault: what was found and what was expected.
        reason: String,
    },
}

impl ReadError {
    /// Returns what was found and expected, without the place of the tile.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Tile { reason, .. } | Self::Device { reason, .. } | Self::Attachment { reason, .. } => {
                reason.clone()
            }
            Self::NoSuchTile { .. } | Self::NoSuchImage { .. } => self.to_string(),
        }
    }
}

/// Reads a tile whole and averages it: [`Slide::read_tile_reduced`] for decoders that cannot reduce.
pub(crate) fn read_and_average<S: Slide + ?Sized>(
    slide: &S,
    tile: TileId,
    shift: u32,
    out: &mut RgbBuffer,
) -> Result<(), ReadError> {
    let mut whole = RgbBuffer::default();
    slide.read_tile(tile, &mut whole)?;
    average(&whole, 1 << shift.min(3), out);
    Ok(())
}
