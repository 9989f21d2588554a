//! Well-known binary (OGC 06-103r4) of shapes on a grid, little-endian.

use crate::ring::{Grid, GridRing};

const LITTLE_ENDIAN: u8 = 1;
const POLYGON: u32 = 3;
const MULTI_POLYGON: u32 = 6;

/// An outer ring and its holes.
pub(crate) fn push_polygon<'a>(
    out: &mut Vec<u8>,
    rings: impl ExactSizeIterator<Item = &'a GridRing>,
    grid: Grid,
) {
    push_head(out, POLYGON, rings.len());
    for ring in rings {
        out.extend((ring.len() as u32 + 1).to_le_bytes());
        for place in ring.iter().chain(ring.first()) {
            out.extend(grid.px(place.x).to_le_bytes());
            out.extend(grid.px(place.y).to_le_bytes());
        }
    }
}

/// A polygon, or a multi-polygon where there are several parts.
pub(crate) fn push_area(out: &mut Vec<u8>, parts: &[Vec<GridRing>], grid: Grid) {
    if let [one] = parts {
        return push_polygon(out, one.iter(), grid);
    }
    push_head(out, MULTI_POLYGON, parts.len());
    parts.iter().for_each(|part| push_polygon(out, part.iter(), grid));
}

fn push_head(out: &mut Vec<u8>, kind: u32, parts: usize) {
    out.push(LITTLE_ENDIAN);
    out.extend(kind.to_le_bytes());
    out.extend((parts as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use merger::wkb::{Geometry, geometry};

    use super::*;
    use crate::ring::Place;

    #[test]
    fn areas_are_read_back_as_they_were() {
        let ring = |corners: [(i64, i64); 3]| corners.map(|(x, y)| Place { x, y }).to_vec();
        let parts = [
            vec![ring([(0, 0), (6400, 0), (0, 6400)]), ring([(64, 64), (64, 640), (640, 64)])],
            vec![ring([(-64, -64), (-640, -64), (-64, -640)])],
        ];
        let mut bytes = Vec::new();
        push_area(&mut bytes, &parts, Grid::DYADIC);
        let Ok(Geometry::MultiPolygon(areas)) = geometry(&bytes) else { panic!("no areas") };
        assert_eq!(areas.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(areas[0][1][1], wsi_types::Level0Point::new(1.0, 10.0));
        bytes.clear();
        push_area(&mut bytes, &parts[1..], Grid::DYADIC);
        let Ok(Geometry::Polygon(rings)) = geometry(&bytes) else { panic!("no area") };
        assert_eq!(eval::polygon::Polygon { rings }.area(), 40.5);
    }
}
