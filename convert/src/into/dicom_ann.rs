//! DICOM Microscopy Bulk Simple Annotations: points, polygons, rectangles and ellipses on the pixel matrix.

use std::{f64::consts::TAU, path::Path};

use dicom_dictionary_std::{tags, uids};
use eval::{
    objects::{Object, ObjectSet, Role, Shape},
    polygon::Polygon,
    truth::UNNAMED_CLASS,
};
use wsi_types::{Level0Point, wording::counted};

use super::names::image_name;
use crate::{
    dicom::{AREA, Attributes as _, EVERYTHING, Items, SCORE, read_file},
    error::{Result, malformed},
};

const WHAT: &str = "the DICOM annotations";

pub(super) fn read(path: &Path) -> Result<ObjectSet> {
    let broken = |problem: String| malformed(WHAT, problem, path);
    let object = read_file(path, WHAT, EVERYTHING)?;
    let class = object.text_of(tags::SOP_CLASS_UID).unwrap_or_default();
    if class != uids::MICROSCOPY_BULK_SIMPLE_ANNOTATIONS_STORAGE {
        return Err(broken(format!(
            "it is another kind of DICOM object ({class}), expected Microscopy Bulk Simple Annotations"
        )));
    }
    check_frame(&object).map_err(broken)?;
    // An empty one says that nothing was found, a missing one that this is no whole file.
    if object.get(tags::ANNOTATION_GROUP_SEQUENCE).is_none() {
        return Err(broken("it has no groups of annotations".to_owned()));
    }
    let groups = object.items_of(tags::ANNOTATION_GROUP_SEQUENCE);
    let mut set = ObjectSet::default();
    let image = set.image_named(&image_name(path));
    for (group, number) in groups.iter().zip(1..) {
        let cells = group_cells(group).map_err(|problem| broken(format!("group {number}: {problem}")))?;
        let class = set.class_named(&class_of(group))?;
        for (shape, score) in cells {
            let id = set.objects.len() as u64;
            set.objects.push(Object { id, image, class, score, shape, role: Role::Object });
        }
    }
    Ok(set)
}

fn check_frame(object: &Items) -> std::result::Result<(), String> {
    let kind = object.text_of(tags::ANNOTATION_COORDINATE_TYPE).unwrap_or_default();
    if kind != "2D" {
        return Err(format!(
            "its coordinates are {kind:?} (mm in the frame of the slide), expected 2D (px of the slide)"
        ));
    }
    // Type 1C: VOLUME where absent, as single-frame images have no other.
    match object.text_of(tags::PIXEL_ORIGIN_INTERPRETATION).as_deref() {
        None | Some("VOLUME") => Ok(()),
        Some(other) => Err(format!("its coordinates count from each {other}, expected from the VOLUME")),
    }
}

/// The label of a group, less the number that a class in several groups has; else what its objects are.
fn class_of(group: &Items) -> String {
    let kinds = group.items_of(tags::ANNOTATION_PROPERTY_TYPE_CODE_SEQUENCE);
    let label = group
        .text_of(tags::ANNOTATION_GROUP_LABEL)
        .or_else(|| kinds.first()?.text_of(tags::CODE_MEANING))
        .unwrap_or_else(|| UNNAMED_CLASS.to_owned());
    let numbered = label.strip_suffix(')').and_then(|label| label.rsplit_once(" ("));
    match numbered {
        Some((class, number)) if number.parse::<u32>().is_ok() => class.to_owned(),
        _ => label,
    }
}

fn group_cells(group: &Items) -> std::result::Result<Vec<(Shape, Option<f32>)>, String> {
    let points = points(group)?;
    let kind = group.text_of(tags::GRAPHIC_TYPE).unwrap_or_default();
    let shapes = match kind.as_str() {
        "POINT" => points.into_iter().map(Shape::Point).collect(),
        "POLYGON" => polygons(&points, group)?,
        "RECTANGLE" => fours(&points, |corners| corners.to_vec())?,
        "ELLIPSE" => fours(&points, ellipse)?,
        other => {
            return Err(format!("its objects are {other:?}, expected POINT, POLYGON, RECTANGLE or ELLIPSE"));
        }
    };
    let stated = group.u32_of(tags::NUMBER_OF_ANNOTATIONS).map(|count| count as usize);
    if stated.is_some_and(|stated| stated != shapes.len()) {
        return Err(format!(
            "it holds {}, but says {}",
            counted(shapes.len(), "object"),
            stated.unwrap_or_default()
        ));
    }
    let scores = scores(group, shapes.len());
    Ok(shapes.into_iter().zip(scores).collect())
}

fn points(group: &Items) -> std::result::Result<Vec<Level0Point>, String> {
    let singles = group.f32s_of(tags::POINT_COORDINATES_DATA);
    match (singles, group.f64s_of(tags::DOUBLE_POINT_COORDINATES_DATA)) {
        (Some(values), _) => pairs(values),
        (None, Some(values)) => pairs(values),
        (None, None) => Err("it has no coordinates".to_owned()),
    }
}

fn pairs<T: Copy + Into<f64>>(values: &[T]) -> std::result::Result<Vec<Level0Point>, String> {
    let (pairs, rest) = values.as_chunks::<2>();
    let points: Vec<Level0Point> = pairs.iter().map(|&[x, y]| Level0Point::new(x.into(), y.into())).collect();
    if rest.is_empty() && points.iter().all(|point| point.is_finite()) {
        Ok(points)
    } else {
        Err("its coordinates are no pairs of numbers".to_owned())
    }
}

/// Between the first values of one polygon and the next.
fn polygons(points: &[Level0Point], group: &Items) -> std::result::Result<Vec<Shape>, String> {
    let firsts = group.u32s_of(tags::LONG_PRIMITIVE_POINT_INDEX_LIST);
    let firsts = firsts.ok_or("polygons without the list of their first values")?;
    let starts = firsts.iter().map(|&first| point_of_value(first)).collect::<Option<Vec<usize>>>();
    let starts = starts.ok_or("the list of first values has one that begins no point")?;
    let ends = starts.iter().copied().skip(1).chain([points.len()]);
    starts.iter().zip(ends).map(|(&start, end)| polygon(points, start, end)).collect()
}

/// The place of a point, from 0, by that of its first value, from 1; a point is two values.
fn point_of_value(first: u32) -> Option<usize> {
    first.checked_sub(1).filter(|first| first.is_multiple_of(2)).map(|first| first as usize / 2)
}

fn polygon(points: &[Level0Point], start: usize, end: usize) -> std::result::Result<Shape, String> {
    match points.get(start..end) {
        Some(ring) if ring.len() > 2 => Ok(outline(ring.to_vec())),
        _ => Err(format!("a polygon goes from point {start} to {end}")),
    }
}

fn outline(ring: Vec<Level0Point>) -> Shape {
    Shape::Polygon(Box::new(Polygon::from_ring(ring)))
}

fn fours(
    points: &[Level0Point],
    ring: impl Fn(&[Level0Point; 4]) -> Vec<Level0Point>,
) -> std::result::Result<Vec<Shape>, String> {
    let (fours, rest) = points.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("{}, expected four for each outline", counted(points.len(), "point")));
    }
    Ok(fours.iter().map(|four| outline(ring(four))).collect())
}

/// 32 points on the ellipse whose major axis ends at the first two points, its minor axis at the others.
fn ellipse([a, b, c, d]: &[Level0Point; 4]) -> Vec<Level0Point> {
    const CORNERS: u32 = 32;
    let middle = a.lerp(*b, 0.5);
    let (major, minor) = ((*b - *a) / 2.0, (*d - *c) / 2.0);
    let turns = (0..CORNERS).map(|step| f64::from(step) / f64::from(CORNERS) * TAU);
    turns.map(f64::sin_cos).map(|(sin, cos)| middle + major * cos + minor * sin).collect()
}

/// Of each object, where the group has them: a measurement under a name that says score or probability.
fn scores(group: &Items, count: usize) -> Vec<Option<f32>> {
    let none = vec![None; count];
    let measurements = group.items_of(tags::MEASUREMENTS_SEQUENCE);
    let Some(measurement) = measurements.iter().find(|measurement| is_score(measurement)) else {
        return none;
    };
    let values = measurement.items_of(tags::MEASUREMENT_VALUES_SEQUENCE).first();
    let values = values.and_then(|values| values.f32s_of(tags::FLOATING_POINT_VALUES)).unwrap_or_default();
    let list = measurement.u32s_of(tags::ANNOTATION_INDEX_LIST);
    match list {
        None if values.len() == count => values.iter().map(|&value| known(value)).collect(),
        None => none,
        Some(list) => {
            let mut scores = none;
            for (&index, &value) in list.iter().zip(values) {
                if let Some(score) = scores.get_mut((index as usize).wrapping_sub(1)) {
                    *score = known(value);
                }
            }
            scores
        }
    }
}

fn is_score(measurement: &Items) -> bool {
    let Some(concept) = measurement.items_of(tags::CONCEPT_NAME_CODE_SEQUENCE).first() else { return false };
    let [code, meaning] = [tags::CODE_VALUE, tags::CODE_MEANING]
        .map(|tag| concept.text_of(tag).unwrap_or_default().to_lowercase());
    code == SCORE.0 || (code != AREA.0 && (meaning.contains("score") || meaning.contains("probability")))
}

fn known(score: f32) -> Option<f32> {
    Some(score).filter(|score| !score.is_nan())
}
