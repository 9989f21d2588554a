//! What every backend gives: facts about a slide, and its tiles.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use wsi_types::{
    Level, Level0Box, LevelIndex, LevelRect, Mpp, MppError, ObjectivePower, Pyramid, Rgb, RgbBuffer, TileId,
};

use crate::{average::average, mapping::LinearMapping};

/// An open slide. Any number of threads may read it at once.
pub trait Slide: Send + Sync {
    /// What is known without reading a pixel.
    fn info(&self) -> &SlideInfo;

    /// Reads one tile of the pyramid's grid into `out`, which takes the size of
    /// `TileGrid::tile_rect`: edge tiles are cut at the level's edge. Pixels the
    /// file does not hold are [`SlideInfo::background`].
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the tile cannot be decoded. Other tiles stay readable.
    fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError>;

    /// Up to which `shift` [`Slide::read_tile_reduced`] costs less than reading the
    /// whole tile, on one level; 0 for none. Tiles then have sides that are
    /// multiples of 2^`shift`.
    fn reduces(&self, _level: LevelIndex) -> u32 {
        0
    }

    /// Reads one tile with each side divided by 2^`shift`, at most 3: every pixel of
    /// `out` is the mean of a square of pixels of the level, of what there is of it
    /// at the level's edge. Decoders that can do so go there directly, where a mean
    /// may be off by one grey level from that of the decoded pixels.
    ///
    /// # Errors
    ///
    /// [`ReadError`] as for [`Slide::read_tile`].
    fn read_tile_reduced(&self, tile: TileId, shift: u32, out: &mut RgbBuffer) -> Result<(), ReadError> {
        read_and_average(self, tile, shift, out)
    }

    /// One tile as a whole JPEG stream, not decoded: where the file holds it as one,
    /// and every decoder takes it for the colours that [`Slide::read_tile`] gives. At
    /// the level's edge it is as large as inner tiles. `None` for all other tiles.
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

    /// The ICC profile, if the file holds one.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when it is there and cannot be read.
    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError>;

    /// What the file says of one tile, without decoding it.
    ///
    /// Backends that cannot look at stored bytes answer [`TileState::Unknown`].
    fn tile_state(&self, _tile: TileId) -> TileState {
        TileState::Unknown
    }

    /// Whether the file says that it holds nothing of a tile; false where it cannot
    /// tell. Cheaper than [`Slide::tile_state`].
    fn is_absent(&self, tile: TileId) -> bool {
        self.tile_state(tile) == TileState::Absent
    }

    /// Damage of one tile that decoding does not show, in words: compressed data
    /// that goes on after its last pixel, or ends on one that is not its last.
    /// Slower than reading; for a check-up. Empty when all is well or unknown.
    fn verify_tile(&self, _tile: TileId) -> Vec<String> {
        Vec::new()
    }
}

/// What the file holds for one tile, without decoding it.
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

/// What is known of a slide without reading a pixel.
#[derive(Clone, Serialize)]
pub struct SlideInfo {
    /// Who reads it: `openslide`, `tiff`, `picture`, `memory`.
    pub backend: &'static str,
    /// The maker's format: `aperio`, `generic-tiled-tiff`, `ome-tiff`, `dicom`, …
    pub format: String,
    /// Levels and tiles.
    pub pyramid: Pyramid,
    /// The size of a level-0 pixel, or why it is not known.
    #[serde(serialize_with = "serialize_scale")]
    pub scale: Result<Scale, ScaleProblem>,
    /// The magnification on the label.
    pub objective: Option<ObjectivePower>,
    /// The part of level 0 that was scanned, when the file says so.
    pub bounds: Option<Level0Box>,
    /// What stands where nothing was scanned.
    pub background: Rgb,
    /// How samples of more than 8 bits were made 8, as the caller stated it; `None`
    /// for 8 bits as stored.
    pub mapping: Option<LinearMapping>,
    /// How the tiles of each level are compressed, in the words of the format.
    pub compression: Vec<String>,
    /// Label, macro, thumbnail: names and sizes.
    pub associated: Vec<AssociatedImage>,
    /// Bytes of the ICC profile, if there is one.
    pub icc_profile_bytes: Option<u64>,
    /// What a person should know before counting on the slide, in words: pictures
    /// of the file that are not read, pixels that were turned. Without names.
    pub remarks: Vec<String>,
    /// The file's own properties. They may name a patient: never written to
    /// shared outputs.
    #[serde(skip)]
    pub properties: BTreeMap<String, String>,
}

impl SlideInfo {
    /// The level a tile lies on, and its place there in px of that level.
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

/// Leaves out what the properties hold: they may name a patient, and debug output
/// ends up in logs.
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

/// The size of a level-0 pixel and where the file says it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scale {
    /// Mean of both axes, which differ by at most 1 %.
    pub mpp: Mpp,
    /// Where it was found.
    pub source: MppSource,
}

/// Where a pixel size comes from.
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
    /// Given by the user, as the file gives none that can be used.
    User,
    /// Given by the user in place of what the file says.
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

/// Why the file's own pixel size is not used. The run then asks for `--mpp`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScaleProblem {
    /// Nothing in the file says it.
    #[error("the file does not say its microns per pixel")]
    Missing,
    /// The tag holds something that is not a number.
    #[error("{tag} holds {text:?}, expected microns per pixel such as 0.25")]
    NotANumber {
        /// The property read.
        tag: String,
        /// What it holds, cut to a sane length.
        text: String,
    },
    /// A number in a unit that is not known.
    #[error("{tag} is in {unit:?}, expected a unit of length such as µm, nm or mm")]
    UnknownUnit {
        /// The property read.
        tag: String,
        /// As written, cut to a sane length.
        unit: String,
    },
    /// The text that should say it cannot be read.
    #[error("the {what} of the file cannot be read, so its microns per pixel are not known")]
    Unreadable {
        /// Such as `OME-XML`.
        what: String,
    },
    /// A number, but no pixel size.
    #[error("{tag}: {source}")]
    Implausible {
        /// The property read.
        tag: String,
        /// What is wrong with it.
        source: MppError,
    },
    /// 72 or 96 dpi and the like: a printer's habit, not a microscope.
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
        /// As found.
        mpp: Mpp,
        /// As found.
        objective: ObjectivePower,
        /// What such an objective usually gives, µm/px.
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
    /// In px.
    pub width: u32,
    /// In px.
    pub height: u32,
}

/// Why pixels could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The tile's bytes are missing, broken or not what the header says.
    #[error("cannot read tile column {} row {} of level {}: {reason}", tile.column, tile.row, tile.level.0)]
    Tile {
        /// Which.
        tile: TileId,
        /// What was found and what was expected.
        reason: String,
    },
    /// The system does not give the tile's bytes: a disk or file server fails, or a limit is reached. The file may be
    /// sound: another time it may be read.
    #[error("cannot read tile column {} row {} of level {}: {reason}", tile.column, tile.row, tile.level.0)]
    Device {
        /// Which.
        tile: TileId,
        /// What the system says.
        reason: String,
    },
    /// No such tile in the pyramid.
    #[error("no tile column {} row {} on level {}", tile.column, tile.row, tile.level.0)]
    NoSuchTile {
        /// As asked.
        tile: TileId,
    },
    /// No associated image of that name.
    #[error("the slide has no {name:?} image")]
    NoSuchImage {
        /// As asked.
        name: String,
    },
    /// An associated image or profile is there and cannot be decoded.
    #[error("cannot read {what}: {reason}")]
    Attachment {
        /// Such as `thumbnail image` or `ICC profile`.
        what: String,
        /// What was found and what was expected.
        reason: String,
    },
}

impl ReadError {
    /// What was found and expected, without the place of the tile.
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

/// [`Slide::read_tile_reduced`] for tiles that are decoded whole.
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
