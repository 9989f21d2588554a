//! Well-known binary (OGC 06-103r4), as GeoParquet holds it: points, polygons
//! and multi-polygons, either byte order. Further axes (PostGIS' and ISO's Z and
//! M) are passed over.

use wsi_types::Level0Point;

use super::{
    outline::{area, joined},
    remarks::Remark,
};
use crate::{
    objects::Shape,
    polygon::{Polygon, Ring},
};

/// Reads one geometry; `Err(Ok(why))` is no object, `Err(Err(problem))` is not
/// read. Parts and holes without area are counted in `slivers`.
pub(super) fn shape(bytes: &[u8], slivers: &mut u64) -> Result<Shape, Result<Remark, String>> {
    let mut reader = Reader { bytes, little: true, axes: 2 };
    match reader.kind().map_err(Err)? {
        1 => reader.point().map_err(Err)?.map(Shape::Point).ok_or(Ok(Remark::Placeless)),
        3 => {
            let rings = reader.rings().map_err(Err)?;
            area(rings, slivers).map(|area| joined(vec![area])).map_err(Ok)
        }
        6 => multi_polygon(&mut reader, slivers),
        2 | 5 => Err(Ok(Remark::Line)),
        7 => Err(Ok(Remark::Collection)),
        other => Err(Err(format!("WKB geometry type is {other}, expected 1, 3 or 6"))),
    }
}

fn multi_polygon(reader: &mut Reader<'_>, slivers: &mut u64) -> Result<Shape, Result<Remark, String>> {
    let mut parts: Vec<Polygon> = Vec::new();
    let mut why = Remark::Placeless;
    for _ in 0..reader.count().map_err(Err)? {
        match reader.kind().map_err(Err)? {
            3 => match area(reader.rings().map_err(Err)?, slivers) {
                Ok(part) => parts.push(part),
                Err(reason) => why = reason,
            },
            other => return Err(Err(format!("WKB multi-polygon holds geometry type {other}"))),
        }
    }
    if parts.is_empty() { Err(Ok(why)) } else { Ok(joined(parts)) }
}

struct Reader<'a> {
    bytes: &'a [u8],
    little: bool,
    /// Numbers per position; x and y come first.
    axes: u32,
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

    /// Byte order, then type, of which ISO's thousands and PostGIS' upper bits say
    /// that there are further axes.
    fn kind(&mut self) -> Result<u32, String> {
        const Z: u32 = 1 << 31;
        const M: u32 = 1 << 30;
        const SRID: u32 = 1 << 29;
        let [order] = self.take()?;
        self.little = order == 1;
        if order > 1 {
            return Err(format!("WKB byte order is {order}, expected 0 or 1"));
        }
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

    /// A number of things, each of at least four bytes: so a lie cannot make us
    /// allocate more than the file holds.
    fn count(&mut self) -> Result<u32, String> {
        let count = self.u32()?;
        if count as usize > self.bytes.len() / 4 {
            return Err(format!("WKB claims {count} parts in {} bytes", self.bytes.len()));
        }
        Ok(count)
    }

    /// `None` for an empty point, which is written as NaN.
    fn point(&mut self) -> Result<Option<Level0Point>, String> {
        let mut position = [0.0; 2];
        for axis in 0..self.axes as usize {
            let bytes = self.take()?;
            let value = if self.little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) };
            if let Some(place) = position.get_mut(axis) {
                *place = value;
            }
        }
        match position {
            [x, y] if x.is_finite() && y.is_finite() => Ok(Some(euclid::point2(x, y))),
            [x, y] if x.is_nan() && y.is_nan() => Ok(None),
            _ => Err("WKB coordinate is not finite".to_owned()),
        }
    }

    fn rings(&mut self) -> Result<Vec<Ring>, String> {
        (0..self.count()?).map(|_| self.ring()).collect()
    }

    fn ring(&mut self) -> Result<Ring, String> {
        (0..self.count()?).map(|_| self.point()?.ok_or_else(|| "WKB coordinate is NaN".to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(little: bool) -> Vec<u8> {
        let u32 = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let f64 = |v: f64| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut bytes = vec![u8::from(little)];
        [3, 1, 5].map(u32).iter().for_each(|part| bytes.extend(part));
        for (x, y) in [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0), (0.0, 0.0)] {
            bytes.extend(f64(x));
            bytes.extend(f64(y));
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Shape, Result<Remark, String>> {
        shape(bytes, &mut 0)
    }

    #[test]
    fn both_byte_orders_and_multi_polygons_are_read() {
        assert_eq!(read(&square(true)).unwrap().area(), 4.0);
        assert_eq!(read(&square(true)), read(&square(false)));
        let mut multi = vec![1, 6, 0, 0, 0, 1, 0, 0, 0];
        multi.extend(square(false));
        assert_eq!(read(&multi).unwrap().area(), 4.0);
    }

    #[test]
    fn further_axes_are_passed_over() {
        let point = |kind: u32, more: usize| {
            let mut bytes = vec![1];
            bytes.extend(kind.to_le_bytes());
            (0..2 + more).for_each(|axis| bytes.extend((axis as f64 + 3.0).to_le_bytes()));
            bytes
        };
        for (kind, more) in [(1, 0), (1001, 1), (2001, 1), (3001, 2), (1 | 1 << 31, 1), (1 | 3 << 30, 2)] {
            assert_eq!(read(&point(kind, more)).unwrap(), Shape::Point(euclid::point2(3.0, 4.0)), "{kind}");
        }
        let mut with_srid = vec![1];
        with_srid.extend((1_u32 | 1 << 29).to_le_bytes());
        with_srid.extend(4326_u32.to_le_bytes());
        with_srid.extend(3.0_f64.to_le_bytes());
        with_srid.extend(4.0_f64.to_le_bytes());
        assert_eq!(read(&with_srid).unwrap(), Shape::Point(euclid::point2(3.0, 4.0)));
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_broken() {
        let empty = |kind: u8| vec![1, kind, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&empty(3)), Err(Ok(Remark::Placeless)));
        assert_eq!(read(&empty(6)), Err(Ok(Remark::Placeless)));
        assert_eq!(read(&empty(2)), Err(Ok(Remark::Line)));
        assert_eq!(read(&empty(7)), Err(Ok(Remark::Collection)));
        let mut nowhere = vec![1, 1, 0, 0, 0];
        nowhere.extend(f64::NAN.to_le_bytes());
        nowhere.extend(f64::NAN.to_le_bytes());
        assert_eq!(read(&nowhere), Err(Ok(Remark::Placeless)));
    }

    #[test]
    fn lies_and_ends_are_errors() {
        let whole = square(true);
        for end in 0..whole.len() {
            assert!(matches!(read(&whole[..end]), Err(Err(_))));
        }
        let mut liar = whole;
        liar[5..9].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&liar).unwrap_err().unwrap_err().contains("claims"));
        assert!(read(&[1, 9, 0, 0, 0]).unwrap_err().unwrap_err().contains("type is 9"));
    }
}
