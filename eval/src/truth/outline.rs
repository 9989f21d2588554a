//! Shapes from rings of points, without rings that have no area.

use super::remarks::Remark;
use crate::{
    objects::Shape,
    polygon::{Polygon, Ring},
};

/// An area from its rings, the outer one first. Holes without area are left out
/// and counted in `slivers`.
///
/// # Errors
///
/// The reason why it is no area: there is no ring, or the outer one has none.
pub(super) fn area(mut rings: Vec<Ring>, slivers: &mut u64) -> Result<Polygon, Remark> {
    rings.iter_mut().for_each(open);
    match rings.first() {
        None => return Err(Remark::Placeless),
        Some(outer) if outer.is_empty() => return Err(Remark::Placeless),
        Some(outer) if is_sliver(outer) => return Err(Remark::Sliver),
        Some(_) => {}
    }
    let before = rings.len();
    rings.retain(|ring| !is_sliver(ring));
    *slivers += (before - rings.len()) as u64;
    Ok(Polygon { rings })
}

/// Drops the repeated last point.
fn open(ring: &mut Ring) {
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
}

/// `true` if all points lie on one line, as those of fewer than three do.
pub(super) fn is_sliver(ring: &Ring) -> bool {
    let Some((first, rest)) = ring.split_first() else { return true };
    let Some(along) = rest.iter().map(|point| *point - *first).find(|v| v.square_length() > 0.0) else {
        return true;
    };
    rest.iter().all(|point| along.cross(*point - *first) == 0.0)
}

/// Separate parts as one shape.
pub(super) fn joined(parts: Vec<Polygon>) -> Shape {
    Shape::Polygon(Box::new(Polygon { rings: parts.into_iter().flat_map(|part| part.rings).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(points: &[(f64, f64)]) -> Ring {
        points.iter().map(|&(x, y)| euclid::point2(x, y)).collect()
    }

    #[test]
    fn what_lies_on_one_line_has_no_area() {
        for points in [
            &[][..],
            &[(1.0, 1.0)],
            &[(1.0, 1.0), (2.0, 2.0)],
            &[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)],
            &[(0.0, 0.0), (1.0, 2.0), (3.0, 6.0), (2.0, 4.0)],
        ] {
            assert!(is_sliver(&ring(points)), "{points:?}");
        }
        // A figure of eight has area though its shoelace sum is zero.
        assert!(!is_sliver(&ring(&[(0.0, 0.0), (2.0, 2.0), (2.0, 0.0), (0.0, 2.0)])));
    }

    #[test]
    fn an_area_is_that_of_its_outer_ring() {
        let square = ring(&[(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0), (0.0, 0.0)]);
        let line = ring(&[(1.0, 1.0), (2.0, 2.0), (1.0, 1.0)]);
        let mut slivers = 0;
        let polygon = area(vec![square.clone(), line.clone()], &mut slivers).unwrap();
        assert_eq!((polygon.rings.len(), polygon.rings[0].len(), slivers), (1, 4, 1));
        assert_eq!(area(vec![line, square], &mut slivers), Err(Remark::Sliver));
        assert_eq!(area(Vec::new(), &mut slivers), Err(Remark::Placeless));
        assert_eq!(area(vec![Ring::new()], &mut slivers), Err(Remark::Placeless));
    }
}
