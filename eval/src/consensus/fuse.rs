//! One object from several.

use wsi_types::{ClassId, Level0Box, Level0Point};

use crate::objects::{Object, Shape};

/// Fuses `members` (annotator, object); gives the object and the share of the
/// weight that chose its class.
///
/// Boxes and points are averaged, each with the annotator's weight times the
/// object's score. Of outlines the medoid's is taken: an average of outlines is
/// one nobody drew. Where kinds are mixed, the poorest decides.
#[must_use]
pub fn fuse(members: &[(usize, Object)], medoid: usize, weights: &[f64]) -> (Object, f64) {
    let mut fused = members[medoid].1.clone();
    let (class, share) = vote(members, weights);
    fused.class = class;
    let any = |kind: fn(&Shape) -> bool| members.iter().any(|(_, object)| kind(&object.shape));
    let weigh = |(annotator, object): &(usize, Object)| {
        weights[*annotator] * f64::from(object.score_or_one()).max(f64::MIN_POSITIVE)
    };
    if any(|shape| matches!(shape, Shape::Point(_))) {
        let centres = members.iter().map(|member| (member.1.shape.centroid(), weigh(member)));
        fused.shape = Shape::Point(mean_point(centres));
    } else if any(|shape| matches!(shape, Shape::Box(_))) {
        let corners = |corner: fn(Level0Box) -> Level0Point| {
            mean_point(members.iter().map(|member| (corner(member.1.shape.bounds()), weigh(member))))
        };
        fused.shape = Shape::Box(Level0Box::new(corners(|b| b.min), corners(|b| b.max)));
    }
    (fused, share)
}

fn mean_point(points: impl Iterator<Item = (Level0Point, f64)>) -> Level0Point {
    let (sum, weight) = points.fold((euclid::vec2(0.0, 0.0), 0.0), |(sum, weight), (point, own)| {
        (sum + point.to_vector() * own, weight + own)
    });
    (sum / weight).to_point()
}

/// The class of the most weight; the first in class order of equals.
fn vote(members: &[(usize, Object)], weights: &[f64]) -> (ClassId, f64) {
    let weight_of = |class: ClassId| -> f64 {
        members.iter().filter(|(_, object)| object.class == class).map(|(one, _)| weights[*one]).sum()
    };
    let mut classes: Vec<ClassId> = members.iter().map(|(_, object)| object.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let winner = classes
        .into_iter()
        .reduce(|best, class| if weight_of(class) > weight_of(best) { class } else { best })
        .unwrap_or(ClassId(0));
    let all: f64 = members.iter().map(|(one, _)| weights[*one]).sum();
    (winner, weight_of(winner) / all)
}
