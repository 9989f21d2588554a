//! One object from several.

use wsi_types::{ClassId, Level0Box, Level0Point};

use crate::objects::{Object, Shape};

/// Fuses `members` (annotator, object); returns the object and the share of the weight that chose its class.
///
/// Boxes and points are averaged, each with the annotator's weight times the object's score. Outlines are not
/// averaged, since nobody drew the average: the medoid's is taken. Where kinds are mixed, the one with the
/// least detail decides.
#[must_use]
pub fn fuse(members: &[(usize, Object)], medoid: usize, weights: &[f64]) -> (Object, f64) {
    let mut fused = members[medoid].1.clone();
    let (class, share) = vote(members, weights);
    fused.class = class;
    let weighed = members.iter().map(|(annotator, object)| {
        let weight = weights[*annotator] * f64::from(object.score_or_one()).max(f64::MIN_POSITIVE);
        (&object.shape, weight)
    });
    if weighed.clone().any(|(shape, _)| matches!(shape, Shape::Point(_))) {
        fused.shape = Shape::Point(mean_point(weighed.map(|(shape, weight)| (shape.centroid(), weight))));
    } else if weighed.clone().any(|(shape, _)| matches!(shape, Shape::Box(_))) {
        let low = mean_point(weighed.clone().map(|(shape, weight)| (shape.bounds().min, weight)));
        let high = mean_point(weighed.map(|(shape, weight)| (shape.bounds().max, weight)));
        fused.shape = Shape::Box(Level0Box::new(low, high));
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
    let mut classes: Vec<ClassId> = members.iter().map(|(_, object)| object.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let winner = classes
        .into_iter()
        .map(|class| (class, weight_of(class, members, weights)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    let (winner, weight) = winner.unwrap_or((ClassId(0), 0.0));
    let all: f64 = members.iter().map(|(one, _)| weights[*one]).sum();
    (winner, weight / all)
}

/// The weights of those who chose a class, added.
fn weight_of(class: ClassId, members: &[(usize, Object)], weights: &[f64]) -> f64 {
    members.iter().filter(|(_, object)| object.class == class).map(|(one, _)| weights[*one]).sum()
}
