//! Well-known binary (OGC 06-103r4), as GeoParquet holds it: points, polygons
//! and multi-polygons in two dimensions, either byte order. Rings come back as they
//! are: what encloses nothing is no reason to lose a cell here.

use eval::{
    objects::Shape,
    polygon::{Polygon, Ring},
};
use wsi_types::Level0Point;

/// Reads one geometry. The error says what is wrong.
pub(crate) fn shape(bytes: &[u8]) -> Result<Shape, String> {
    let mut reader = Reader { bytes, little: true };
    match reader.kind()? {
        1 => Ok(Shape::Point(reader.point()?)),
        3 => Ok(Shape::Polygon(Box::new(Polygon { rings: reader.rings()? }))),
        6 => {
            let mut rings = Vec::new();
            for _ in 0..reader.count()? {
                match reader.kind()? {
                    3 => rings.extend(reader.rings()?),
                    other => return Err(format!("WKB multi-polygon holds geometry type {other}")),
                }
            }
            Ok(Shape::Polygon(Box::new(Polygon { rings })))
        }
        other => Err(format!("WKB geometry type is {other}, expected 1, 3 or 6")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or("WKB ends too soon")?;
        self.bytes = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, String> {
        let bytes = self.take()?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn f64(&mut self) -> Result<f64, String> {
        let bytes = self.take()?;
        let value = if self.little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) };
        value.is_finite().then_some(value).ok_or_else(|| "WKB coordinate is not finite".to_owned())
    }

    /// Byte order, then type.
    fn kind(&mut self) -> Result<u32, String> {
        let [order] = self.take()?;
        self.little = order == 1;
        if order > 1 {
            return Err(format!("WKB byte order is {order}, expected 0 or 1"));
        }
        self.u32()
    }

    /// A number of things, each of at least four bytes: so a lie cannot make us
    /// allocate more than the file holds.
    fn count(&mut self) -> Result<u32, String> {
        let count = self.u32()?;
        if count as usize > self.bytes.len() / 4 {
            return Err(format!("WKB claims {count} parts in {} bytes", self.bytes.len()));
        }
        Ok(count)
    }

    fn point(&mut self) -> Result<Level0Point, String> {
        Ok(euclid::point2(self.f64()?, self.f64()?))
    }

    fn rings(&mut self) -> Result<Vec<Ring>, String> {
        (0..self.count()?).map(|_| self.ring()).collect()
    }

    fn ring(&mut self) -> Result<Ring, String> {
        let mut ring: Ring = (0..self.count()?).map(|_| self.point()).collect::<Result<_, _>>()?;
        if ring.len() > 1 && ring.first() == ring.last() {
            ring.pop();
        }
        Ok(ring)
    }
}
