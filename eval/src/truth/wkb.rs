//! Well-known binary, as GeoParquet holds it, into objects.

use merger::wkb::{Geometry, Rings, geometry};

use super::{
    outline::{area, joined},
    remarks::Remark,
};
use crate::{objects::Shape, polygon::Polygon};

/// Reads one geometry; `Err(Ok(why))` is no object, `Err(Err(problem))` is not
/// read. Parts and holes without area are counted in `slivers`.
pub(super) fn shape(bytes: &[u8], slivers: &mut u64) -> Result<Shape, Result<Remark, String>> {
    match geometry(bytes).map_err(|error| Err(error.to_string()))? {
        Geometry::Point(Some(point)) => Ok(Shape::Point(point)),
        Geometry::Point(None) => Err(Ok(Remark::Placeless)),
        Geometry::Polygon(rings) => area(rings, slivers).map(|area| joined(vec![area])).map_err(Ok),
        Geometry::MultiPolygon(parts) => multi_polygon(parts, slivers).map_err(Ok),
        Geometry::Line => Err(Ok(Remark::Line)),
        Geometry::Collection => Err(Ok(Remark::Collection)),
    }
}

/// Joins the parts that have area; without one, returns why the last has none.
fn multi_polygon(parts: Vec<Rings>, slivers: &mut u64) -> Result<Shape, Remark> {
    let mut areas: Vec<Polygon> = Vec::new();
    let mut why = Remark::Placeless;
    for rings in parts {
        match area(rings, slivers) {
            Ok(area) => areas.push(area),
            Err(reason) => why = reason,
        }
    }
    if areas.is_empty() { Err(why) } else { Ok(joined(areas)) }
}

#[cfg(test)]
mod tests {
    use merger::wkb::put_polygon;
    use wsi_types::Level0Point;

    use super::*;

    fn polygon(corners: &[(f64, f64)]) -> Vec<u8> {
        let ring: Vec<Level0Point> = corners.iter().map(|&(x, y)| Level0Point::new(x, y)).collect();
        let mut bytes = Vec::new();
        put_polygon(&[&ring], &mut bytes);
        bytes
    }

    fn multi(parts: &[Vec<u8>]) -> Vec<u8> {
        let head = [&[1, 6, 0, 0, 0][..], &(parts.len() as u32).to_le_bytes()].concat();
        [head, parts.concat()].concat()
    }

    fn read(bytes: &[u8]) -> Result<Shape, Result<Remark, String>> {
        shape(bytes, &mut 0)
    }

    #[test]
    fn parts_without_area_are_left_out_as_long_as_one_has_some() {
        let square = polygon(&[(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)]);
        let line = polygon(&[(0.0, 0.0), (2.0, 0.0), (4.0, 0.0)]);
        assert_eq!(read(&square).unwrap().area(), 4.0);
        assert_eq!(read(&multi(&[square, line.clone()])).unwrap().area(), 4.0);
        assert_eq!(read(&multi(&[line])), Err(Ok(Remark::Sliver)));
        assert_eq!(read(&multi(&[])), Err(Ok(Remark::Placeless)));
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_broken() {
        let empty = |kind: u8| vec![1, kind, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&empty(3)), Err(Ok(Remark::Placeless)));
        assert_eq!(read(&empty(2)), Err(Ok(Remark::Line)));
        assert_eq!(read(&empty(7)), Err(Ok(Remark::Collection)));
        let nowhere = [&[1, 1, 0, 0, 0][..], &f64::NAN.to_le_bytes(), &f64::NAN.to_le_bytes()].concat();
        assert_eq!(read(&nowhere), Err(Ok(Remark::Placeless)));
        assert!(read(&[1, 9, 0, 0, 0]).unwrap_err().unwrap_err().contains("type of the geometry is 9"));
    }
}
