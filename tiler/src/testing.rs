//! A painted slide for tests: every px is a function of its level and place.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use wsi_reader::{MppSource, ReadError, Scale, Slide, SlideInfo, TileState};
use wsi_types::{Mpp, Pyramid, Rgb, RgbBuffer, TileGrid, TileId};

/// Returns a scale that must be plausible.
pub(crate) fn mpp(value: f64) -> Mpp {
    Mpp::new(value).unwrap()
}

/// Returns the facts of a slide with this pyramid.
pub(crate) fn info_of(pyramid: &Pyramid) -> SlideInfo {
    SlideInfo {
        backend: "memory",
        format: "painted".to_owned(),
        pyramid: pyramid.clone(),
        scale: Ok(Scale { mpp: mpp(0.25), source: MppSource::Painted }),
        objective: None,
        bounds: None,
        background: [255; 3],
        compression: vec!["none".to_owned(); pyramid.levels().len()],
        associated: Vec::new(),
        mapping: None,
        icc_profile_bytes: None,
        remarks: Vec::new(),
        properties: BTreeMap::new(),
    }
}

/// A slide painted on demand. Counts the tiles it decodes, and can be made to fail.
pub(crate) struct Painted {
    pub(crate) info: SlideInfo,
    pub(crate) paint: fn(u16, u32, u32) -> Rgb,
    pub(crate) failing: BTreeSet<TileId>,
    pub(crate) panicking: BTreeSet<TileId>,
    pub(crate) absent: BTreeSet<TileId>,
    pub(crate) decoded: Mutex<BTreeMap<TileId, u32>>,
}

impl Painted {
    /// Makes levels of the given sizes, with tiles of 64 × 48 px, painted with noise.
    pub(crate) fn new(sizes: &[(u32, u32)]) -> Self {
        let grids =
            sizes.iter().map(|&(width, height)| TileGrid { width, height, tile_width: 64, tile_height: 48 });
        Self {
            info: info_of(&Pyramid::new(grids).unwrap()),
            paint: noise,
            failing: BTreeSet::new(),
            panicking: BTreeSet::new(),
            absent: BTreeSet::new(),
            decoded: Mutex::default(),
        }
    }

    /// Returns the number of times that each tile was decoded.
    pub(crate) fn decodes(&self) -> BTreeMap<TileId, u32> {
        self.decoded.lock().unwrap().clone()
    }
}

/// Returns a colour that differs at every place, with edges of all strengths.
pub(crate) fn noise(level: u16, x: u32, y: u32) -> Rgb {
    let mix = x.wrapping_mul(0x9e37_79b1)
        ^ y.wrapping_mul(0x85eb_ca6b)
        ^ u32::from(level).wrapping_mul(0xc2b2_ae35);
    let mix = (mix ^ (mix >> 15)).wrapping_mul(0x2c1b_3c6d);
    let [r, g, b, _] = (mix ^ (mix >> 13)).to_be_bytes();
    [r, g, b]
}

impl Slide for Painted {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read_tile(&self, tile: TileId, out: &mut RgbBuffer) -> Result<(), ReadError> {
        *self.decoded.lock().unwrap().entry(tile).or_insert(0) += 1;
        assert!(!self.panicking.contains(&tile), "painted panic");
        if self.failing.contains(&tile) {
            return Err(ReadError::Tile { tile, reason: "painted to fail".to_owned() });
        }
        let level = self.info.pyramid.level(tile.level).ok_or(ReadError::NoSuchTile { tile })?;
        let rect = level.tiles.tile_rect(tile.column, tile.row);
        out.reset(rect.width() as usize, rect.height() as usize);
        for y in 0..rect.height() {
            let row = out.row_mut(y as usize).as_chunks_mut::<3>().0;
            for (pixel, x) in row.iter_mut().zip(rect.min_x()..) {
                let painted = (self.paint)(tile.level.0, x as u32, (rect.min_y() + y) as u32);
                *pixel = if self.absent.contains(&tile) { self.info.background } else { painted };
            }
        }
        Ok(())
    }

    fn tile_state(&self, tile: TileId) -> TileState {
        if self.absent.contains(&tile) { TileState::Absent } else { TileState::Unknown }
    }

    fn read_associated(&self, name: &str, _: &mut RgbBuffer) -> Result<(), ReadError> {
        Err(ReadError::NoSuchImage { name: name.to_owned() })
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(None)
    }
}
