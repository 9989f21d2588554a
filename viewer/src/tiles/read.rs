//! Reads a tile file back.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::{Mutex, PoisonError},
};

use flate2::read::DeflateDecoder;
use wsi_types::ClassId;

use super::{DENSITY_BIN, DENSITY_SIDE, Header, MAGIC, TILE_SIDE, TileEntry, VERSION, columns::Taker};
use crate::ViewError;

/// An open tile file. Any number of threads may read it at once.
#[derive(Debug)]
pub struct TileFile {
    file: Mutex<File>,
    header: Header,
}

/// A cell of a density tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinnedCell {
    /// The corner of its bin, level-0 px.
    pub bin: [u32; 2],
    /// Its class.
    pub class: ClassId,
    /// See [`score_step`](super::score_step).
    pub step: u8,
}

/// A cell of a points tile and its outline.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnCell {
    /// Its row in the cell table.
    pub row: u64,
    /// Its centroid in 1/16 level-0 px, rounded down.
    pub place: [u64; 2],
    /// Its class.
    pub class: ClassId,
    /// See [`score_step`](super::score_step).
    pub step: u8,
    /// Its ring in 1/4 level-0 px.
    pub ring: Vec<[i64; 2]>,
}

impl TileFile {
    /// Opens a tile file.
    ///
    /// # Errors
    ///
    /// [`ViewError::TileFile`] when it is missing, cut short, or of another version.
    pub fn open(path: &Path) -> Result<Self, ViewError> {
        let mut file = File::open(path).map_err(|error| broken(&error.to_string()))?;
        let header = read_header(&mut file)?;
        Ok(Self { file: Mutex::new(file), header })
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the bytes of a tile as stored: a raw DEFLATE stream.
    ///
    /// # Errors
    ///
    /// [`ViewError::TileFile`] when they cannot be read.
    pub fn stored(&self, tile: &TileEntry) -> Result<Vec<u8>, ViewError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(tile.offset)).map_err(|error| broken(&error.to_string()))?;
        let mut bytes = Vec::new();
        let read = (&mut *file).take(tile.bytes.into()).read_to_end(&mut bytes);
        match read {
            Ok(read) if read == tile.bytes as usize => Ok(bytes),
            Ok(read) => Err(broken(&format!("a tile has {read} bytes, expected {}", tile.bytes))),
            Err(error) => Err(broken(&error.to_string())),
        }
    }

    /// Returns the cells of a density tile.
    ///
    /// # Errors
    ///
    /// [`ViewError::TileFile`] when it cannot be read or is damaged.
    pub fn density(&self, tile: &TileEntry) -> Result<Vec<BinnedCell>, ViewError> {
        density_cells(tile, &self.unpacked(tile)?).ok_or_else(|| broken("a tile of densities is damaged"))
    }

    /// Returns the cells of a points tile, with their outlines.
    ///
    /// # Errors
    ///
    /// [`ViewError::TileFile`] when one of the two cannot be read or is damaged.
    pub fn cells(&self, points: &TileEntry, outlines: &TileEntry) -> Result<Vec<DrawnCell>, ViewError> {
        let (columns, rings) = (self.unpacked(points)?, self.unpacked(outlines)?);
        drawn_cells(points, &columns, &rings).ok_or_else(|| broken("a tile of cells is damaged"))
    }

    fn unpacked(&self, tile: &TileEntry) -> Result<Vec<u8>, ViewError> {
        let mut bytes = Vec::new();
        let stored = self.stored(tile)?;
        DeflateDecoder::new(stored.as_slice())
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&error.to_string()))?;
        Ok(bytes)
    }
}

fn broken(reason: &str) -> ViewError {
    ViewError::TileFile { reason: reason.to_owned() }
}

fn read_header(file: &mut File) -> Result<Header, ViewError> {
    let end = end_of_header(file).map_err(|error| broken(&error.to_string()))?;
    let header = end.ok_or_else(|| broken("it is cut short or no tile file"))?;
    let header: Header = serde_json::from_slice(&header).map_err(|error| broken(&error.to_string()))?;
    if header.version != VERSION {
        return Err(broken(&format!("it is of version {}, expected {VERSION}", header.version)));
    }
    if header.points.len() != header.outlines.len() {
        return Err(broken("its points and outlines do not belong together"));
    }
    Ok(header)
}

/// Returns the header's bytes; `None` if the end of the file is not that of a tile file.
fn end_of_header(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    const TAIL: u64 = 8;
    let length = file.seek(SeekFrom::End(0))?;
    if length < TAIL + MAGIC.len() as u64 {
        return Ok(None);
    }
    let mut tail = [0; TAIL as usize];
    file.seek(SeekFrom::Start(length - TAIL))?;
    file.read_exact(&mut tail)?;
    let [a, b, c, d, ref magic @ ..] = tail;
    let bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    if magic != MAGIC || bytes > length - TAIL - MAGIC.len() as u64 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(length - TAIL - bytes))?;
    let mut header = Vec::new();
    file.take(bytes).read_to_end(&mut header)?;
    Ok(Some(header))
}

fn density_cells(tile: &TileEntry, bytes: &[u8]) -> Option<Vec<BinnedCell>> {
    const BINS: u64 = (DENSITY_SIDE / DENSITY_BIN) as u64;
    let count = tile.cells as usize;
    let mut taker = Taker(bytes);
    let mut bin = 0;
    let mut bins = Vec::new();
    for _ in 0..count {
        bin = taker.varint()?.checked_add(bin)?;
        bins.push([bin_corner(tile.column, bin % BINS)?, bin_corner(tile.row, bin / BINS)?]);
    }
    let (classes, steps) = (taker.bytes(count)?, taker.bytes(count)?);
    let cells = bins.into_iter().zip(classes).zip(steps);
    Some(cells.map(|((bin, &class), &step)| BinnedCell { bin, class: ClassId(class.into()), step }).collect())
}

/// Returns the level-0 px of a bin of a tile along one axis; `None` for places that no slide reaches.
fn bin_corner(tile: u32, bin: u64) -> Option<u32> {
    let within = u32::try_from(bin).ok()?.checked_mul(DENSITY_BIN)?;
    tile.checked_mul(DENSITY_SIDE)?.checked_add(within)
}

fn drawn_cells(tile: &TileEntry, points: &[u8], outlines: &[u8]) -> Option<Vec<DrawnCell>> {
    let count = tile.cells as usize;
    let mut taker = Taker(points);
    let (x, y) = (taker.u16s(count)?, taker.u16s(count)?);
    let (classes, steps) = (taker.bytes(count)?, taker.bytes(count)?);
    let mut taker = Taker(outlines);
    let mut row = 0;
    let mut rows = Vec::new();
    for _ in 0..count {
        row = taker.varint()?.checked_add(row)?;
        rows.push(row);
    }
    let vertices = (0..count).map(|_| taker.varint()).collect::<Option<Vec<u64>>>()?;
    let [left, top] = [tile.column, tile.row].map(|place| u64::from(place) * u64::from(TILE_SIDE) * 16);
    let places: Vec<[u64; 2]> =
        x.iter().zip(&y).map(|(&x, &y)| [left + u64::from(x), top + u64::from(y)]).collect();
    let axes = [0, 1].map(|axis| {
        let starts = places.iter().map(|place| place[axis] as i64 / 4);
        vertices.iter().zip(starts).map(|(&n, start)| along(&mut taker, n, start)).collect::<Option<Vec<_>>>()
    });
    let [xs, ys] = axes;
    let rings = xs?.into_iter().zip(ys?);
    let cells = rings.enumerate().map(|(index, (xs, ys))| DrawnCell {
        row: rows[index],
        place: places[index],
        class: ClassId(classes[index].into()),
        step: steps[index],
        ring: xs.into_iter().zip(ys).map(|(x, y)| [x, y]).collect(),
    });
    Some(cells.collect())
}

/// Returns one coordinate of a ring.
fn along(taker: &mut Taker<'_>, vertices: u64, start: i64) -> Option<Vec<i64>> {
    let mut at = start;
    let places = (0..vertices).map(|_| {
        at = at.wrapping_add(taker.signed()?);
        Some(at)
    });
    places.collect()
}
