//! A slide painted in memory, for tests: its levels are a function or pictures,
//! its tiles any size, and chosen tiles fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use wsi_types::{LevelIndex, Mpp, Pyramid, PyramidError, Rgb, RgbBuffer, TileGrid, TileId};

use crate::slide::{AssociatedImage, MppSource, ReadError, Scale, ScaleProblem, Slide, SlideInfo, TileState};

/// The colour of a pixel: level, x and y on that level.
type Painter = Box<dyn Fn(LevelIndex, u32, u32) -> Rgb + Send + Sync>;

/// A painted slide. Counts what is decoded, so that a test can prove that
/// nothing is decoded twice.
pub struct MemorySlide {
    info: SlideInfo,
    paint: Painter,
    failing: BTreeSet<TileId>,
    associated: BTreeMap<String, RgbBuffer>,
    icc_profile: Option<Vec<u8>>,
    decoded: AtomicU64,
}

impl std::fmt::Debug for MemorySlide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemorySlide").field("info", &self.info).finish_non_exhaustive()
    }
}

impl MemorySlide {
    /// A slide whose levels have the given sizes (sharpest first) and one tile
    /// size, painted by a function of level, x and y.
    ///
    /// # Errors
    ///
    /// [`PyramidError`] when the sizes do not make a pyramid.
    pub fn painted(
        sizes: &[(u32, u32)],
        tile: (u32, u32),
        mpp: Option<Mpp>,
        paint: impl Fn(LevelIndex, u32, u32) -> Rgb + Send + Sync + 'static,
    ) -> Result<Self, PyramidError> {
        let grids = sizes.iter().map(|&(width, height)| TileGrid {
            width,
            height,
            tile_width: tile.0,
            tile_height: tile.1,
        });
        let info = SlideInfo {
            backend: "memory",
            format: "memory".into(),
            pyramid: Pyramid::new(grids)?,
            scale: mpp.map(|mpp| Scale { mpp, source: MppSource::Painted }).ok_or(ScaleProblem::Missing),
            objective: None,
            bounds: None,
            background: [255; 3],
            compression: vec!["none".into(); sizes.len()],
            associated: Vec::new(),
            mapping: None,
            icc_profile_bytes: None,
            remarks: Vec::new(),
            properties: BTreeMap::new(),
        };
        Ok(Self {
            info,
            paint: Box::new(paint),
            failing: BTreeSet::new(),
            associated: BTreeMap::new(),
            icc_profile: None,
            decoded: AtomicU64::new(0),
        })
    }

    /// A slide whose levels are pictures, sharpest first.
    ///
    /// # Errors
    ///
    /// [`PyramidError`] when the pictures do not make a pyramid.
    pub fn of_pictures(
        pictures: Vec<RgbBuffer>,
        tile: (u32, u32),
        mpp: Option<Mpp>,
    ) -> Result<Self, PyramidError> {
        let sizes: Vec<_> = pictures.iter().map(|p| (p.width() as u32, p.height() as u32)).collect();
        Self::painted(&sizes, tile, mpp, move |level, x, y| {
            pictures[usize::from(level.0)].pixel(x as usize, y as usize)
        })
    }

    /// Makes these tiles fail when read.
    #[must_use]
    pub fn with_failing(mut self, tiles: impl IntoIterator<Item = TileId>) -> Self {
        self.failing.extend(tiles);
        self
    }

    /// Adds an associated image.
    #[must_use]
    pub fn with_associated(mut self, name: &str, picture: RgbBuffer) -> Self {
        self.info.associated.push(AssociatedImage {
            name: name.to_owned(),
            width: picture.width() as u32,
            height: picture.height() as u32,
        });
        self.associated.insert(name.to_owned(), picture);
        self
    }

    /// Adds an ICC profile.
    #[must_use]
    pub fn with_icc_profile(mut self, profile: Vec<u8>) -> Self {
        self.info.icc_profile_bytes = Some(profile.len() as u64);
        self.icc_profile = Some(profile);
        self
    }

    /// Changes what the slide states about itself.
    #[must_use]
    pub fn with_info(mut self, change: impl FnOnce(&mut SlideInfo)) -> Self {
        change(&mut self.info);
        self
    }

    /// Tiles decoded so far, failures included.
    #[must_use]
    pub fn tiles_decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }
}

impl Slide for MemorySlide {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError> {
        let (_, rect) = self.info.tile_rect(tile)?;
        self.decoded.fetch_add(1, Ordering::Relaxed);
        if self.failing.contains(&tile) {
            return Err(ReadError::Tile { tile, reason: "painted to fail".into() });
        }
        out.reset(rect.width() as usize, rect.height() as usize);
        let (left, top) = (rect.min_x() as u32, rect.min_y() as u32);
        for y in 0..out.height() {
            for (x, pixel) in out.row_mut(y).as_chunks_mut::<3>().0.iter_mut().enumerate() {
                *pixel = (self.paint)(tile.level, left + x as u32, top + y as u32);
            }
        }
        Ok(())
    }

    fn read_associated(&self, name: &str, out: &mut RgbBuffer) -> Result<(), ReadError> {
        let picture =
            self.associated.get(name).ok_or_else(|| ReadError::NoSuchImage { name: name.to_owned() })?;
        out.clone_from(picture);
        Ok(())
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.icc_profile.clone())
    }

    fn tile_state(&self, tile: TileId) -> TileState {
        match self.info.pyramid.level(tile.level).map(|l| l.tiles.tile_rect(tile.column, tile.row)) {
            Some(rect) if !rect.is_empty() => {
                TileState::Stored { bytes: (rect.width() * rect.height() * 3) as u64, defects: Vec::new() }
            }
            _ => TileState::Unknown,
        }
    }
}
