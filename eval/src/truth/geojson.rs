//! GeoJSON as QuPath writes it, and near relatives.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use wsi_types::Level0Point;

use super::{ReadSettings, UNNAMED_CLASS, image_name, malformed};
use crate::{
    error::Result,
    objects::{Detail, Object, ObjectSet, Role, Shape},
    polygon::{Polygon, Ring},
};

const FORMAT: &str = "GeoJSON";

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Feature {
    geometry: Option<Geometry>,
    #[serde(rename = "nucleusGeometry")]
    nucleus: Option<Geometry>,
    properties: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    coordinates: Value,
}

/// Reads a `FeatureCollection`, one `Feature`, or a bare list of features.
pub(super) fn read(text: &str, path: &Path, settings: &ReadSettings) -> Result<ObjectSet> {
    let mut set = ObjectSet::default();
    let image = set.image_named(&image_name(path));
    for (place, raw) in features(text, path)?.into_iter().enumerate() {
        let bad = |problem: String| malformed(FORMAT, format!("feature {place}"), problem, path);
        let feature: Feature = serde_json::from_str(raw.get()).map_err(|error| bad(error.to_string()))?;
        let properties = feature.properties.unwrap_or_default();
        let kind = properties.get("objectType").or_else(|| properties.get("object_type"));
        if matches!(kind.and_then(Value::as_str), Some("root" | "tile" | "tmaCore")) {
            continue;
        }
        let nucleus = if settings.nuclei { feature.nucleus } else { None };
        let Some(geometry) = nucleus.or(feature.geometry) else { continue };
        let class = class_of(&properties).unwrap_or_else(|| UNNAMED_CLASS.to_owned());
        let role = role_of(&class, &properties, settings);
        let class = set.class_named(&class)?;
        let score = score_of(&properties);
        for shape in shapes(&geometry).map_err(bad)? {
            let shape = shape.reduced(if role == Role::Object { settings.detail } else { Detail::Full });
            set.objects.push(Object { id: place as u64, image, class, score, shape, role });
        }
    }
    drop_ignore_class(&mut set);
    Ok(set)
}

fn features<'a>(text: &'a str, path: &Path) -> Result<Vec<&'a RawValue>> {
    let bad = |error: serde_json::Error| {
        malformed(FORMAT, format!("line {}", error.line()), error.to_string(), path)
    };
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(bad);
    }
    let whole: &RawValue = serde_json::from_str(text).map_err(bad)?;
    match serde_json::from_str::<Collection<'a>>(text) {
        Ok(collection) => Ok(collection.features),
        Err(_) => Ok(vec![whole]),
    }
}

/// `classification` as an object with `name` or `names`, or as a string.
fn class_of(properties: &Map<String, Value>) -> Option<String> {
    let class = properties.get("classification").or_else(|| properties.get("class"))?;
    match class {
        Value::String(name) => Some(name.clone()),
        Value::Object(fields) => match (fields.get("name"), fields.get("names")) {
            (Some(Value::String(name)), _) => Some(name.clone()),
            (_, Some(Value::Array(names))) => {
                let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
                (!names.is_empty()).then(|| names.join(": "))
            }
            _ => None,
        },
        _ => None,
    }
}

fn role_of(class: &str, properties: &Map<String, Value>, settings: &ReadSettings) -> Role {
    if settings.ignore_classes.iter().any(|ignored| ignored == class) {
        return Role::IgnoreArea;
    }
    let crowd = properties.get("iscrowd").is_some_and(|v| v == &Value::Bool(true) || v.as_i64() == Some(1));
    if crowd { Role::Crowd } else { Role::Object }
}

/// A probability among the properties or QuPath's measurements.
fn score_of(properties: &Map<String, Value>) -> Option<f32> {
    const NAMES: [&str; 5] =
        ["score", "probability", "confidence", "Detection probability", "detection_probability"];
    let measured = |name: &str| match properties.get("measurements") {
        Some(Value::Object(fields)) => fields.get(name),
        Some(Value::Array(list)) => {
            list.iter().find(|item| item.get("name").and_then(Value::as_str) == Some(name))?.get("value")
        }
        _ => None,
    };
    let found = NAMES.iter().find_map(|name| properties.get(*name).or_else(|| measured(name))?.as_f64());
    found.map(|score| score as f32).filter(|score| !score.is_nan())
}

/// Ignore areas belong to no class, so their label is no class of objects.
fn drop_ignore_class(set: &mut ObjectSet) {
    let used = |place: usize, set: &ObjectSet| {
        set.objects.iter().any(|o| usize::from(o.class.0) == place && o.role != Role::IgnoreArea)
    };
    let kept: Vec<bool> = (0..set.classes.len()).map(|place| used(place, set)).collect();
    let mut places = Vec::with_capacity(kept.len());
    let mut next = 0;
    for &keep in &kept {
        places.push(next);
        next += u16::from(keep);
    }
    if next == 0 {
        return;
    }
    for object in &mut set.objects {
        let place = usize::from(object.class.0);
        object.class.0 = if kept[place] { places[place] } else { 0 };
    }
    let mut keep = kept.into_iter();
    set.classes.retain(|_| keep.next().unwrap_or(true));
}

fn shapes(geometry: &Geometry) -> Result<Vec<Shape>, String> {
    let coordinates = &geometry.coordinates;
    match geometry.kind.as_str() {
        "Point" => Ok(vec![Shape::Point(point(coordinates)?)]),
        "MultiPoint" => list(coordinates)?.iter().map(|p| point(p).map(Shape::Point)).collect(),
        "Polygon" => Ok(vec![outline(rings(coordinates)?)]),
        "MultiPolygon" => {
            let parts = list(coordinates)?.iter().map(rings).collect::<Result<Vec<_>, String>>()?;
            Ok(vec![outline(parts.into_iter().flatten().collect())])
        }
        other => Err(format!("geometry is a {other}, expected a Point, MultiPoint, Polygon or MultiPolygon")),
    }
}

fn outline(rings: Vec<Ring>) -> Shape {
    Shape::Polygon(Box::new(Polygon { rings }))
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| "coordinates are not a list".to_owned())
}

fn point(value: &Value) -> Result<Level0Point, String> {
    let pair = list(value)?;
    let axis = |i: usize| pair.get(i).and_then(Value::as_f64).filter(|v| v.is_finite());
    match (axis(0), axis(1)) {
        (Some(x), Some(y)) => Ok(euclid::point2(x, y)),
        _ => Err(format!("position is {value}, expected two numbers")),
    }
}

fn rings(value: &Value) -> Result<Vec<Ring>, String> {
    list(value)?.iter().map(ring).collect()
}

/// Drops the repeated last point.
fn ring(value: &Value) -> Result<Ring, String> {
    let mut ring: Ring = list(value)?.iter().map(point).collect::<Result<_, _>>()?;
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    if ring.len() < 3 {
        return Err(format!("ring has {} points, expected at least 3", ring.len()));
    }
    Ok(ring)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parsed(text: &str) -> Result<ObjectSet> {
        read(text, Path::new("slide-7.geojson"), &ReadSettings::default())
    }

    #[test]
    fn qupath_objects_are_read_with_class_and_score() {
        let set = parsed(
            r#"{"type":"FeatureCollection","features":[
            {"type":"Feature","id":"x","geometry":{"type":"Polygon",
              "coordinates":[[[0,0],[10,0],[10,10],[0,10],[0,0]],[[2,2],[4,2],[4,4],[2,4],[2,2]]]},
             "properties":{"objectType":"detection","classification":{"name":"Tumour","color":[200,0,0]},
              "measurements":{"Detection probability":0.93}}},
            {"type":"Feature","geometry":{"type":"MultiPoint","coordinates":[[1,2],[3,4]]},
             "properties":{"classification":"Stroma","measurements":[{"name":"score","value":0.5}]}},
            {"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9]]]},
             "properties":{"classification":{"name":"Ignore*","color":[1,1,1]}}},
            {"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9]]]},
             "properties":{"objectType":"tile"}}]}"#,
        )
        .unwrap();
        assert_eq!(set.images[0].name, "slide-7");
        let classes: Vec<&str> = set.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!(classes, ["Tumour", "Stroma"]);
        let roles: Vec<Role> = set.objects.iter().map(|object| object.role).collect();
        assert_eq!(roles, [Role::Object, Role::Object, Role::Object, Role::IgnoreArea]);
        assert_eq!(set.objects[0].shape.area(), 96.0);
        assert_eq!((set.objects[0].score, set.objects[2].score), (Some(0.93), Some(0.5)));
    }

    #[test]
    fn errors_name_the_feature_and_what_is_wrong() {
        let line = parsed(
            r#"[{"geometry":{"type":"Point","coordinates":[1,2]}},
                              {"geometry":{"type":"LineString","coordinates":[[1,2],[3,4]]}}]"#,
        );
        let message = line.unwrap_err().to_string();
        assert!(message.starts_with("bad GeoJSON, feature 1: geometry is a LineString"), "{message}");
        let short = parsed(r#"[{"geometry":{"type":"Polygon","coordinates":[[[1,2],[3,4],[1,2]]]}}]"#);
        assert!(short.unwrap_err().to_string().contains("ring has 2 points"));
        let comma = parsed("[{\"geometry\":null},\n]");
        assert!(comma.unwrap_err().to_string().contains("line 2"));
    }
}
