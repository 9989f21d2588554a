//! Polygons as WKB, the well-known binary form of geometries: how tables of cells
//! and of regions hold them, written and read.

use wsi_types::{Level0Box, Level0Point};

use crate::geometry::ring_area;

/// What a polygon begins with: little-endian, kind 3.
const START: [u8; 5] = [1, 3, 0, 0, 0];
/// Bytes of a point.
const POINT: usize = 2 * size_of::<f64>();

/// A polygon as little-endian WKB: the outer ring counter-clockwise in the sense
/// of its coordinates (x right, y up), holes the other way, as GeoParquet's
/// `orientation` says. Rings come without their first point repeated.
pub fn put_polygon(rings: &[&[Level0Point]], out: &mut Vec<u8>) {
    out.extend_from_slice(&START);
    out.extend_from_slice(&(rings.len() as u32).to_le_bytes());
    for (index, ring) in rings.iter().enumerate() {
        out.extend_from_slice(&(ring.len() as u32 + 1).to_le_bytes());
        let wants_positive = index == 0;
        if (ring_area(ring) >= 0.0) == wants_positive {
            ring.iter().chain(ring.first()).for_each(|point| put_point(point, out));
        } else {
            ring.iter().rev().chain(ring.last()).for_each(|point| put_point(point, out));
        }
    }
}

fn put_point(point: &Level0Point, out: &mut Vec<u8>) {
    out.extend_from_slice(&point.x.to_le_bytes());
    out.extend_from_slice(&point.y.to_le_bytes());
}

/// Bytes of a box as WKB: what a polygon starts with, and five corners.
const BOX: usize = BOX_START.len() + 10 * size_of::<f64>();
/// A polygon of one ring, of five points.
const BOX_START: [u8; 13] = [1, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0];

/// A box as [`put_polygon`] would write it: most tables hold nothing else.
pub(crate) fn polygon_of_box(bbox: &Level0Box) -> [u8; BOX] {
    let (min, max) = (bbox.min, bbox.max);
    let corners = [min.x, min.y, max.x, min.y, max.x, max.y, min.x, max.y, min.x, min.y];
    let mut bytes = [0; BOX];
    let (start, points) = bytes.split_at_mut(BOX_START.len());
    start.copy_from_slice(&BOX_START);
    for (bytes, value) in points.as_chunks_mut::<8>().0.iter_mut().zip(corners) {
        *bytes = value.to_le_bytes();
    }
    bytes
}

/// Why bytes are no polygon of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WkbError {
    /// Another kind of geometry, or another order of bytes.
    #[error("the geometry is no little-endian WKB polygon")]
    NotPolygon,
    /// The bytes end within it.
    #[error("the geometry ends early")]
    Truncated,
    /// A ring claims more points than there are bytes.
    #[error("a ring says it has {points} points, but only {bytes} bytes follow")]
    TooManyPoints {
        /// As the ring says.
        points: u32,
        /// That follow.
        bytes: usize,
    },
}

/// The rings of a polygon, the outer one first, without their first point
/// repeated at the end.
///
/// # Errors
///
/// When the bytes are no whole polygon.
pub fn rings(bytes: &[u8]) -> Result<Vec<Vec<Level0Point>>, WkbError> {
    let mut rest = bytes.strip_prefix(&START).ok_or(WkbError::NotPolygon)?;
    let count = take_u32(&mut rest)?;
    (0..count).map(|_| take_ring(&mut rest)).collect()
}

fn take_ring(rest: &mut &[u8]) -> Result<Vec<Level0Point>, WkbError> {
    let points = take_u32(rest)?;
    if points as usize > rest.len() / POINT {
        return Err(WkbError::TooManyPoints { points, bytes: rest.len() });
    }
    let (own, after) = rest.split_at(points as usize * POINT);
    *rest = after;
    let mut ring: Vec<Level0Point> = own.as_chunks::<8>().0.chunks_exact(2).map(point).collect();
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    Ok(ring)
}

fn point(coordinates: &[[u8; 8]]) -> Level0Point {
    Level0Point::new(f64::from_le_bytes(coordinates[0]), f64::from_le_bytes(coordinates[1]))
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, WkbError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(WkbError::Truncated)?;
    *rest = after;
    Ok(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::level0;

    #[test]
    fn a_box_is_written_as_the_polygon_that_it_is() {
        let bbox = level0(-1.5, 2.25, 1e6, 1e6 + 0.125);
        let (min, max) = (bbox.min, bbox.max);
        let ring = [min, Level0Point::new(max.x, min.y), max, Level0Point::new(min.x, max.y)];
        let mut polygon = Vec::new();
        put_polygon(&[&ring], &mut polygon);
        assert_eq!(polygon_of_box(&bbox).to_vec(), polygon);
    }

    fn ring(points: &[(f64, f64)]) -> Vec<Level0Point> {
        points.iter().map(|&(x, y)| Level0Point::new(x, y)).collect()
    }

    fn written(rings: &[Vec<Level0Point>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_polygon(&rings.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut bytes);
        bytes
    }

    #[test]
    fn rings_come_back_as_they_were_written() {
        let outer = ring(&[(0.0, 0.0), (8.0, 0.0), (8.0, 8.0)]);
        let hole = ring(&[(5.0, 1.0), (6.0, 2.0), (6.0, 1.0)]);
        assert_eq!(rings(&written(&[outer.clone(), hole.clone()])), Ok(vec![outer, hole]));
    }

    #[test]
    fn what_is_no_polygon_is_refused() {
        let whole = written(&[ring(&[(0.0, 0.0), (8.0, 0.0), (8.0, 8.0)])]);
        for cut in 0..whole.len() {
            assert!(rings(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut many = whole;
        many[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        let bytes = many.len() - 13;
        assert_eq!(rings(&many), Err(WkbError::TooManyPoints { points: u32::MAX, bytes }));
    }
}
