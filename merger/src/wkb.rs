//! WKB, the well-known binary form of geometries: polygons of tables of cells and of regions, written and
//! read, and geometries in tables of other programs.

use wsi_types::{Level0Box, Level0Point};

use crate::geometry::ring_area;

/// First bytes of a polygon: little-endian, kind 3.
const START: [u8; 5] = [1, 3, 0, 0, 0];
/// First bytes of a multi-polygon: little-endian, kind 6.
const START_OF_MANY: [u8; 5] = [1, 6, 0, 0, 0];
/// Bytes of a coordinate.
const COORDINATE: usize = size_of::<f64>();

/// Writes a polygon as little-endian WKB: the outer ring counter-clockwise in the sense of its coordinates (x
/// right, y up), holes the other way, as GeoParquet's `orientation` says. Rings come without their first
/// point repeated.
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

/// An area as [`put_polygon`] writes it, or as a multi-polygon where it has not just one part. The outer ring of each
/// part comes first.
pub fn put_area(parts: &[Rings], out: &mut Vec<u8>) {
    if parts.len() != 1 {
        out.extend_from_slice(&START_OF_MANY);
        out.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    }
    for rings in parts {
        put_polygon(&rings.iter().map(Vec::as_slice).collect::<Vec<_>>(), out);
    }
}

fn put_point(point: &Level0Point, out: &mut Vec<u8>) {
    out.extend_from_slice(&point.x.to_le_bytes());
    out.extend_from_slice(&point.y.to_le_bytes());
}

/// Bytes of a box as WKB: the start of a polygon, and five corners.
const BOX: usize = BOX_START.len() + 10 * size_of::<f64>();
/// A polygon of one ring, of five points.
const BOX_START: [u8; 13] = [1, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0];

/// A box as [`put_polygon`] would write it: most tables hold only boxes.
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

/// Reason why bytes are not a geometry that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WkbError {
    /// Another kind of geometry than a table of ours holds.
    #[error("the geometry is no polygon")]
    NotPolygon,
    /// The first byte is neither 0 nor 1.
    #[error("the byte order of the geometry is {0}, expected 0 or 1")]
    ByteOrder(u8),
    /// A kind of geometry that is never an object.
    #[error("the type of the geometry is {0}, expected 1 (point), 3 (polygon) or 6 (multi-polygon)")]
    Kind(u32),
    /// A multi-polygon of something else.
    #[error("a multi-polygon holds a geometry of type {0}, expected 3 (polygon)")]
    Part(u32),
    /// The bytes end within it.
    #[error("the geometry ends early")]
    Truncated,
    /// There are fewer bytes than parts.
    #[error("the geometry claims {parts} parts, but only {bytes} bytes follow")]
    TooManyParts {
        /// Number that it claims.
        parts: u32,
        /// Number that follow.
        bytes: usize,
    },
    /// A ring claims more points than there are bytes.
    #[error("a ring says it has {points} points, but only {bytes} bytes follow")]
    TooManyPoints {
        /// Number that the ring claims.
        points: u32,
        /// Number that follow.
        bytes: usize,
    },
    /// A coordinate is NaN or infinite.
    #[error("a coordinate of the geometry is not finite")]
    NotFinite,
}

/// The rings of a polygon, the outer one first, without their first point repeated at the end.
pub type Rings = Vec<Vec<Level0Point>>;

/// A geometry, in level-0 px. Rings come back as they are, also those without area.
#[derive(Debug, Clone, PartialEq)]
pub enum Geometry {
    /// `None` for an empty one, which is written as NaN.
    Point(Option<Level0Point>),
    /// One area.
    Polygon(Rings),
    /// Several areas.
    MultiPolygon(Vec<Rings>),
    /// A line, or several.
    Line,
    /// Several geometries.
    Collection,
}

/// The rings of a polygon.
///
/// # Errors
///
/// When the bytes are not a whole polygon.
pub fn rings(bytes: &[u8]) -> Result<Rings, WkbError> {
    match geometry(bytes)? {
        Geometry::Polygon(rings) => Ok(rings),
        _ => Err(WkbError::NotPolygon),
    }
}

/// Reads one geometry (OGC 06-103r4), in either byte order. Further axes (PostGIS' and ISO's Z and M) are
/// skipped.
///
/// # Errors
///
/// When it ends early, has coordinates that are not finite, or is of a kind that is never an object.
pub fn geometry(bytes: &[u8]) -> Result<Geometry, WkbError> {
    let mut reader = Reader { bytes, is_little: true, axes: 2 };
    match reader.kind()? {
        1 => reader.point().map(Geometry::Point),
        2 | 5 => Ok(Geometry::Line),
        3 => reader.rings().map(Geometry::Polygon),
        6 => reader.parts().map(Geometry::MultiPolygon),
        7 => Ok(Geometry::Collection),
        other => Err(WkbError::Kind(other)),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    is_little: bool,
    /// Numbers per position; x and y come first.
    axes: usize,
}

impl Reader<'_> {
    /// Reads byte order and type; ISO's thousands and PostGIS' upper bits of the type tell of further axes.
    fn kind(&mut self) -> Result<u32, WkbError> {
        const Z: u32 = 1 << 31;
        const M: u32 = 1 << 30;
        const SRID: u32 = 1 << 29;
        let [order] = self.take()?;
        if order > 1 {
            return Err(WkbError::ByteOrder(order));
        }
        self.is_little = order == 1;
        let kind = self.u32()?;
        if kind & SRID != 0 {
            self.u32()?;
        }
        let (iso, flags) = (kind & !(Z | M | SRID), (kind & Z != 0, kind & M != 0));
        self.axes = match (iso / 1000, flags) {
            (3, _) | (_, (true, true)) => 4,
            (1 | 2, _) | (_, (true, false) | (false, true)) => 3,
            _ => 2,
        };
        Ok(iso % 1000)
    }

    fn point(&mut self) -> Result<Option<Level0Point>, WkbError> {
        let position = self.take_many(self.axes * COORDINATE)?;
        match self.position(position) {
            point if point.is_finite() => Ok(Some(point)),
            point if point.x.is_nan() && point.y.is_nan() => Ok(None),
            _ => Err(WkbError::NotFinite),
        }
    }

    fn parts(&mut self) -> Result<Vec<Rings>, WkbError> {
        (0..self.count()?).map(|_| self.part()).collect()
    }

    fn part(&mut self) -> Result<Rings, WkbError> {
        match self.kind()? {
            3 => self.rings(),
            other => Err(WkbError::Part(other)),
        }
    }

    fn rings(&mut self) -> Result<Rings, WkbError> {
        (0..self.count()?).map(|_| self.ring()).collect()
    }

    fn ring(&mut self) -> Result<Vec<Level0Point>, WkbError> {
        let points = self.u32()?;
        let step = self.axes * COORDINATE;
        if points as usize > self.bytes.len() / step {
            return Err(WkbError::TooManyPoints { points, bytes: self.bytes.len() });
        }
        let own = self.take_many(points as usize * step)?;
        let mut ring: Vec<Level0Point> = own.chunks_exact(step).map(|bytes| self.position(bytes)).collect();
        if !ring.iter().all(|point| point.is_finite()) {
            return Err(WkbError::NotFinite);
        }
        if ring.len() > 1 && ring.first() == ring.last() {
            ring.pop();
        }
        Ok(ring)
    }

    /// Reads a number of parts, each of at least four bytes: so a false number cannot make us allocate more
    /// than there is.
    fn count(&mut self) -> Result<u32, WkbError> {
        let parts = self.u32()?;
        if parts as usize > self.bytes.len() / 4 {
            return Err(WkbError::TooManyParts { parts, bytes: self.bytes.len() });
        }
        Ok(parts)
    }

    /// The first two coordinates of a position.
    fn position(&self, bytes: &[u8]) -> Level0Point {
        let coordinates = bytes.as_chunks::<COORDINATE>().0;
        Level0Point::new(self.f64(coordinates[0]), self.f64(coordinates[1]))
    }

    fn f64(&self, bytes: [u8; COORDINATE]) -> f64 {
        if self.is_little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) }
    }

    fn u32(&mut self) -> Result<u32, WkbError> {
        let bytes = self.take()?;
        Ok(if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], WkbError> {
        let (own, rest) = self.bytes.split_first_chunk().ok_or(WkbError::Truncated)?;
        self.bytes = rest;
        Ok(*own)
    }
}

impl<'a> Reader<'a> {
    fn take_many(&mut self, count: usize) -> Result<&'a [u8], WkbError> {
        let (own, rest) = self.bytes.split_at_checked(count).ok_or(WkbError::Truncated)?;
        self.bytes = rest;
        Ok(own)
    }
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
        many[5..9].copy_from_slice(&u32::MAX.to_le_bytes());
        let bytes = many.len() - 9;
        assert_eq!(rings(&many), Err(WkbError::TooManyParts { parts: u32::MAX, bytes }));
        let mut nowhere = written(&[ring(&[(0.0, 0.0), (f64::NAN, 0.0), (8.0, 8.0)])]);
        assert_eq!(rings(&nowhere), Err(WkbError::NotFinite));
        nowhere[0] = 2;
        assert_eq!(rings(&nowhere), Err(WkbError::ByteOrder(2)));
        assert_eq!(rings(&put_point_of(1, &[3.0, 4.0])), Err(WkbError::NotPolygon));
        assert_eq!(geometry(&[1, 9, 0, 0, 0]), Err(WkbError::Kind(9)));
    }

    /// A little-endian point of this type.
    fn put_point_of(kind: u32, coordinates: &[f64]) -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend(kind.to_le_bytes());
        coordinates.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes
    }

    #[test]
    fn both_byte_orders_and_multi_polygons_are_read() {
        let square = ring(&[(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)]);
        let little = written(std::slice::from_ref(&square));
        let mut big = vec![0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 5];
        for point in square.iter().chain(square.first()) {
            big.extend(point.x.to_be_bytes());
            big.extend(point.y.to_be_bytes());
        }
        assert_eq!(rings(&big), rings(&little));
        let multi = [&[1, 6, 0, 0, 0, 2, 0, 0, 0][..], &big, &little].concat();
        assert_eq!(geometry(&multi), Ok(Geometry::MultiPolygon(vec![vec![square.clone()], vec![square]])));
        let mixed = [&[1, 6, 0, 0, 0, 1, 0, 0, 0][..], &put_point_of(1, &[3.0, 4.0])].concat();
        assert_eq!(geometry(&mixed), Err(WkbError::Part(1)));
    }

    #[test]
    fn areas_come_back_as_they_were_written() {
        let outer = ring(&[(0.0, 0.0), (100.0, 0.0), (0.0, 100.0)]);
        let hole = ring(&[(1.0, 1.0), (1.0, 10.0), (10.0, 1.0)]);
        let other = ring(&[(-10.0, -1.0), (-1.0, -1.0), (-1.0, -10.0)]);
        let parts = [vec![outer, hole], vec![other.iter().rev().copied().collect()]];
        let mut bytes = Vec::new();
        put_area(&parts, &mut bytes);
        assert_eq!(geometry(&bytes), Ok(Geometry::MultiPolygon(parts.to_vec())));
        bytes.clear();
        put_area(&parts[..1], &mut bytes);
        assert_eq!(geometry(&bytes), Ok(Geometry::Polygon(parts[0].clone())));
        bytes.clear();
        put_area(&[], &mut bytes);
        assert_eq!(geometry(&bytes), Ok(Geometry::MultiPolygon(Vec::new())));
    }

    #[test]
    fn further_axes_are_passed_over_and_an_empty_point_is_none() {
        let here = Ok(Geometry::Point(Some(Level0Point::new(3.0, 4.0))));
        for (kind, axes) in [(1, 2), (1001, 3), (2001, 3), (3001, 4), (1 | 1 << 31, 3), (1 | 3 << 30, 4)] {
            assert_eq!(geometry(&put_point_of(kind, &[3.0, 4.0, 5.0, 6.0][..axes])), here, "{kind}");
        }
        let with_srid = [
            &put_point_of(1 | 1 << 29, &[])[..],
            &4326_u32.to_le_bytes(),
            &put_point_of(1, &[3.0, 4.0])[5..],
        ];
        assert_eq!(geometry(&with_srid.concat()), here);
        assert_eq!(geometry(&put_point_of(1, &[f64::NAN, f64::NAN])), Ok(Geometry::Point(None)));
        assert_eq!(geometry(&put_point_of(1, &[f64::NAN, 1.0])), Err(WkbError::NotFinite));
        assert_eq!(geometry(&put_point_of(2, &[])), Ok(Geometry::Line));
        assert_eq!(geometry(&put_point_of(7, &[])), Ok(Geometry::Collection));
    }
}
