//! Choice of the cells that an export takes.

use std::collections::BTreeSet;

use eval::polygon::Polygon;
use wsi_types::{ClassId, Level0Box, Level0Point};

use crate::ids;

/// Choice of cells: all by default.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only these classes.
    pub classes: Option<BTreeSet<ClassId>>,
    /// Only cells of at least this score.
    pub min_score: Option<f32>,
    /// Only cells whose centroid lies here.
    pub within: Option<Area>,
}

impl Choice {
    /// `true` if a cell is taken.
    #[must_use]
    pub fn takes(&self, class: ClassId, score: f32, centroid: Level0Point) -> bool {
        self.classes.as_ref().is_none_or(|classes| classes.contains(&class))
            && self.min_score.is_none_or(|least| score >= least)
            && self.within.as_ref().is_none_or(|area| area.contains(centroid))
    }

    /// `true` if it takes all cells.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.classes.is_none() && self.min_score.is_none() && self.within.is_none()
    }

    /// Text that tells this choice from others.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let area = self.within.as_ref().map(|area| &area.digest);
        format!("{:?} {:?} {area:?}", self.classes, self.min_score)
    }
}

/// Polygons on level 0, sorted for quick answers: their sides lie in level bands.
#[derive(Debug, Clone)]
pub struct Area {
    bounds: Level0Box,
    /// Per band, the sides that touch it, of each polygon on its own.
    bands: Vec<Vec<Side>>,
    /// A hash over all corners.
    digest: String,
}

#[derive(Debug, Clone, Copy)]
struct Side {
    polygon: u32,
    from: Level0Point,
    to: Level0Point,
}

const BANDS: usize = 1024;

impl Area {
    /// The union of `polygons`, each by the even-odd rule. `None` where they enclose nothing.
    #[must_use]
    pub fn new(polygons: &[Polygon]) -> Option<Self> {
        let boxes = polygons.iter().map(Polygon::bounds);
        let bounds = boxes.reduce(|all, next| all.union(&next)).filter(|all| !all.is_empty())?;
        let corners = polygons.iter().flat_map(|polygon| polygon.rings.iter().flatten());
        let bytes: Vec<u8> =
            corners.flat_map(|corner| [corner.x.to_le_bytes(), corner.y.to_le_bytes()].concat()).collect();
        let digest = ids::uuid(&[&bytes]);
        let mut area = Self { bounds, bands: vec![Vec::new(); BANDS], digest };
        for (place, polygon) in (0_u32..).zip(polygons) {
            for ring in &polygon.rings {
                for (&from, &to) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                    let (first, last) = (area.band(from.y.min(to.y)), area.band(from.y.max(to.y)));
                    area.bands[first..=last].iter_mut().for_each(|band| {
                        band.push(Side { polygon: place, from, to });
                    });
                }
            }
        }
        Some(area)
    }

    /// `true` if `point` lies in one of the polygons.
    #[must_use]
    pub fn contains(&self, point: Level0Point) -> bool {
        if !self.bounds.contains_inclusive(point) {
            return false;
        }
        let mut inside = false;
        let mut polygon = u32::MAX;
        for side in &self.bands[self.band(point.y)] {
            if side.polygon != polygon {
                if inside {
                    return true;
                }
                polygon = side.polygon;
            }
            let (a, b) = (side.from, side.to);
            let crosses = (a.y > point.y) != (b.y > point.y)
                && point.x < a.x + (point.y - a.y) / (b.y - a.y) * (b.x - a.x);
            inside ^= crosses;
        }
        inside
    }

    /// The box around all of it, in level-0 px.
    #[must_use]
    pub fn bounds(&self) -> Level0Box {
        self.bounds
    }

    fn band(&self, y: f64) -> usize {
        let share = (y - self.bounds.min.y) / self.bounds.height();
        ((share * BANDS as f64) as usize).min(BANDS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn polygon() -> impl Strategy<Value = Polygon> {
        proptest::collection::vec((0.0..100.0_f64, 0.0..100.0_f64), 3..12).prop_map(|corners| {
            Polygon::from_ring(corners.into_iter().map(|(x, y)| Level0Point::new(x, y)).collect())
        })
    }

    proptest! {
        #[test]
        fn bands_give_the_answers_of_the_polygons(
            polygons in proptest::collection::vec(polygon(), 1..4),
            points in proptest::collection::vec((-5.0..105.0_f64, -5.0..105.0_f64), 50),
        ) {
            let area = Area::new(&polygons).unwrap();
            for (x, y) in points {
                let point = Level0Point::new(x, y);
                let expected = polygons.iter().any(|polygon| polygon.contains(point));
                prop_assert_eq!(area.contains(point), expected);
                prop_assert!(!expected || area.bounds().contains_inclusive(point));
            }
        }
    }

    #[test]
    fn what_encloses_nothing_is_no_area() {
        assert!(Area::new(&[]).is_none());
    }
}
