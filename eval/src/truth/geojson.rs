//! GeoJSON as QuPath writes it, and near relatives.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use wsi_types::Level0Point;

use super::{
    files::{Source, malformed},
    outline::{area, joined},
    reading::Reading,
    remarks::{Remark, Remarks},
    settings::{Parts, QuPathObjects, ReadSettings},
    text::without_nan,
};
use crate::{
    error::Result,
    objects::{Detail, Object, ObjectSet, Role, SetBuilder, Shape, UNNAMED_CLASS},
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

/// Reads a `FeatureCollection`, one `Feature`, or a bare list of features. Lines, geometry collections and
/// geometries without area or place are left out and counted.
pub(super) fn read(text: &str, source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let text = without_nan(text);
    let mut set = SetBuilder::new();
    let image = set.image_named(&source.image);
    let (mut remarks, mut names) = (Remarks::default(), BTreeMap::new());
    for (place, raw) in features(&text, source.path)?.into_iter().enumerate() {
        let at = format!("feature {place}");
        let feature: Feature = serde_json::from_str(raw.get())
            .map_err(|error| malformed(FORMAT, &at, error.to_string(), source.path))?;
        let properties = feature.properties.unwrap_or_default();
        let kind = kind_of(&properties);
        let detected = matches!(kind, Some("detection" | "cell"));
        let is_wanted = match settings.qupath {
            QuPathObjects::All => true,
            QuPathObjects::Detections => detected,
            QuPathObjects::Annotations => !detected,
        };
        if matches!(kind, Some("root" | "tile" | "tmaCore")) || !is_wanted {
            continue;
        }
        let nucleus = if settings.nuclei { feature.nucleus } else { None };
        let Some(geometry) = nucleus.or(feature.geometry) else { continue };
        let class = class_of(&properties).unwrap_or_else(|| UNNAMED_CLASS.to_owned());
        let role = role_of(&class, &properties, settings);
        // An object that excuses predictions is an area, however many parts it has.
        let takes_parts = role == Role::Object
            && match settings.parts {
                Parts::Whole => false,
                Parts::Objects => true,
                Parts::ByClass => is_annotation(kind) && names_cells(&class),
            };
        let mut met = Vec::new();
        let shapes = shapes(&geometry, takes_parts, &mut met)
            .map_err(|problem| malformed(FORMAT, &at, problem, source.path))?;
        met.retain(|(what, _)| *what != Remark::PartsKept || role == Role::Object);
        met.into_iter().for_each(|(what, count)| remarks.add(what, count, || source.at(&at)));
        if shapes.is_empty() {
            continue;
        }
        let class = set.class_named(&class)?;
        let score = score_of(&properties);
        let name = name_of(&properties).filter(|_| settings.qupath == QuPathObjects::Annotations);
        for shape in shapes {
            let shape = shape.reduced(if role == Role::Object { settings.detail } else { Detail::Full });
            names.extend(name.map(|name| (set.objects(), name.to_owned())));
            set.push(Object { id: place as u64, image, class, score, shape, role });
        }
    }
    let mut set = set.finish();
    drop_ignore_class(&mut set);
    Ok(Reading { set, remarks, names, ..Reading::default() })
}

/// QuPath's type of the object: `annotation`, `detection`, `cell`, `tile`, ….
fn kind_of(properties: &Map<String, Value>) -> Option<&str> {
    properties.get("objectType").or_else(|| properties.get("object_type")).and_then(Value::as_str)
}

/// Returns the name that a person gave the object.
fn name_of(properties: &Map<String, Value>) -> Option<&str> {
    properties.get("name").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// `true` if an object may be several: QuPath's detections and cells are one each, annotations can be merged.
fn is_annotation(kind: Option<&str>) -> bool {
    !matches!(kind, Some("detection" | "cell"))
}

/// `true` if a class is one of cells and not of areas, by the words in its name.
fn names_cells(class: &str) -> bool {
    const WORDS: [&str; 11] = [
        "nucle",
        "cell",
        "cyte",
        "lympho",
        "mitos",
        "mitot",
        "neutrophil",
        "eosinophil",
        "macrophage",
        "fibroblast",
        "apopto",
    ];
    let class = class.to_lowercase();
    WORDS.iter().any(|word| class.contains(word))
}

fn features<'a>(text: &'a str, path: &std::path::Path) -> Result<Vec<&'a RawValue>> {
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

/// Class from `classification`, as an object with `name` or `names`, or as a string.
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
    let marked = properties.get("iscrowd");
    let is_crowd = marked.is_some_and(|v| v == &Value::Bool(true) || v.as_f64().is_some_and(|v| v != 0.0));
    if is_crowd && !settings.crowds_are_objects { Role::Crowd } else { Role::Object }
}

/// A probability from the properties or QuPath's measurements.
fn score_of(properties: &Map<String, Value>) -> Option<f32> {
    const NAMES: [&str; 5] =
        ["score", "probability", "confidence", "Detection probability", "detection_probability"];
    let found = NAMES
        .iter()
        .find_map(|name| properties.get(*name).or_else(|| measurement(properties, name))?.as_f64());
    found.map(|score| score as f32).filter(|score| !score.is_nan())
}

/// A measurement by its name: QuPath writes them as fields, older versions as a list of names and values.
fn measurement<'a>(properties: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    match properties.get("measurements")? {
        Value::Object(fields) => fields.get(name),
        Value::Array(list) => {
            list.iter().find(|item| item.get("name").and_then(Value::as_str) == Some(name))?.get("value")
        }
        _ => None,
    }
}

/// Removes classes that only ignore areas have: the label of an ignore area is no class of objects.
fn drop_ignore_class(set: &mut ObjectSet) {
    let mut kept = vec![false; set.classes.len()];
    for object in set.objects.iter().filter(|object| object.role != Role::IgnoreArea) {
        kept[usize::from(object.class.0)] = true;
    }
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

/// The objects of one geometry; `met` gets the remarks on it, with their counts.
fn shapes(
    geometry: &Geometry,
    takes_parts: bool,
    met: &mut Vec<(Remark, u64)>,
) -> Result<Vec<Shape>, String> {
    let coordinates = &geometry.coordinates;
    match geometry.kind.as_str() {
        "Point" if is_empty(coordinates) => met.push((Remark::Placeless, 1)),
        "Point" => return Ok(vec![Shape::Point(point(coordinates)?)]),
        "MultiPoint" => return list(coordinates)?.iter().map(|p| point(p).map(Shape::Point)).collect(),
        "Polygon" => {
            let part = polygon(coordinates, met)?;
            return Ok(part.into_iter().map(|part| joined(vec![part])).collect());
        }
        "MultiPolygon" => return multi_polygon(coordinates, takes_parts, met),
        "LineString" | "MultiLineString" => met.push((Remark::Line, 1)),
        "GeometryCollection" => met.push((Remark::Collection, 1)),
        other => {
            return Err(format!(
                "geometry is a {other}, expected a Point, MultiPoint, Polygon or MultiPolygon"
            ));
        }
    }
    Ok(Vec::new())
}

/// Reads a polygon; `None`, with a remark in `met`, when it has no area.
fn polygon(coordinates: &Value, met: &mut Vec<(Remark, u64)>) -> Result<Option<Polygon>, String> {
    if is_empty(coordinates) {
        met.push((Remark::Placeless, 1));
        return Ok(None);
    }
    let mut slivers = 0;
    let found = area(rings(coordinates)?, &mut slivers);
    if slivers > 0 {
        met.push((Remark::Sliver, slivers));
    }
    Ok(found.map_err(|why| met.push((why, 1))).ok())
}

fn multi_polygon(
    coordinates: &Value,
    takes_parts: bool,
    met: &mut Vec<(Remark, u64)>,
) -> Result<Vec<Shape>, String> {
    if is_empty(coordinates) {
        met.push((Remark::Placeless, 1));
        return Ok(Vec::new());
    }
    let parts = list(coordinates)?.iter().map(|part| polygon(part, met)).collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<Polygon> = parts.into_iter().flatten().collect();
    match parts.len() {
        0 | 1 => {}
        _ if takes_parts => {
            met.push((Remark::PartsTaken, 1));
            return Ok(parts.into_iter().map(|part| joined(vec![part])).collect());
        }
        _ => met.push((Remark::PartsKept, 1)),
    }
    Ok(if parts.is_empty() { Vec::new() } else { vec![joined(parts)] })
}

/// `true` if they are missing, `null` or an empty list.
fn is_empty(coordinates: &Value) -> bool {
    coordinates.is_null() || coordinates.as_array().is_some_and(Vec::is_empty)
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| "coordinates are not a list".to_owned())
}

fn point(value: &Value) -> Result<Level0Point, String> {
    let pair = list(value)?;
    match [0, 1].map(|axis| pair.get(axis).and_then(Value::as_f64).filter(|v| v.is_finite())) {
        [Some(x), Some(y)] => Ok(euclid::point2(x, y)),
        _ => Err(format!("position is {value}, expected two numbers")),
    }
}

fn rings(value: &Value) -> Result<Vec<Ring>, String> {
    list(value)?.iter().map(ring).collect()
}

fn ring(value: &Value) -> Result<Ring, String> {
    list(value)?.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading_as(text: &str, parts: Parts) -> Result<Reading> {
        let source = Source::new(std::path::Path::new("slide-7.geojson"));
        read(text, &source, &ReadSettings { parts, ..ReadSettings::default() })
    }

    fn reading(text: &str) -> Result<Reading> {
        reading_as(text, Parts::ByClass)
    }

    fn parsed(text: &str) -> Result<ObjectSet> {
        reading(text).map(|reading| reading.set)
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
        let odd = parsed(
            r#"[{"geometry":{"type":"Point","coordinates":[1,2]}},
                              {"geometry":{"type":"Circle","coordinates":[1,2]}}]"#,
        );
        let message = odd.unwrap_err().to_string();
        assert!(message.starts_with("bad GeoJSON, feature 1: geometry is a Circle"), "{message}");
        let short = parsed(r#"[{"geometry":{"type":"Polygon","coordinates":[[[1],[3,4],[1,2]]]}}]"#);
        assert!(short.unwrap_err().to_string().contains("position is [1], expected two numbers"));
        let comma = parsed("[{\"geometry\":null},\n]");
        assert!(comma.unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn what_is_no_object_is_left_out_and_counted() {
        let found = reading(
            r#"[{"geometry":{"type":"LineString","coordinates":[[1,2],[3,4]]}},
                {"geometry":{"type":"MultiLineString","coordinates":[[[1,2],[3,4]]]}},
                {"geometry":{"type":"GeometryCollection","geometries":[]}},
                {"geometry":{"type":"Polygon","coordinates":[[[1,2],[3,4],[1,2]]]}},
                {"geometry":{"type":"Polygon","coordinates":[]}},
                {"geometry":{"type":"Polygon"}},
                {"geometry":{"type":"MultiPolygon","coordinates":[[[[0,0],[9,0],[9,9]],[[1,1],[2,2]]],[[[1,2],[3,4]]]]}}]"#,
        )
        .unwrap();
        assert_eq!(found.set.objects.len(), 1);
        assert_eq!(found.set.objects[0].shape.area(), 40.5);
        let kinds = [Remark::Line, Remark::Collection, Remark::Sliver, Remark::Placeless];
        assert_eq!(kinds.map(|kind| found.remarks.count(kind)), [2, 1, 3, 2]);
        let said = found.remarks.left_out().unwrap();
        assert!(said.ends_with("the first: feature 0: slide-7.geojson"), "{said}");
    }

    #[test]
    fn numbers_that_are_not_known_are_no_scores() {
        let text = r#"[{"geometry":{"type":"Point","coordinates":[1,2]},"properties":{
            "measurements":{"Area":NaN,"Detection probability":NaN}}}]"#;
        assert_eq!(parsed(text).unwrap().objects[0].score, None);
    }

    #[test]
    fn parts_of_a_class_of_cells_are_objects_and_it_is_said() {
        let text = |class: &str, kind: &str| {
            format!(
                r#"[{{"geometry":{{"type":"MultiPolygon","coordinates":[
                    [[[0,0],[9,0],[9,9],[0,9]],[[1,1],[2,1],[2,2]]], [[[20,0],[29,0],[29,9]]]]}},
                    "properties":{{"objectType":"{kind}","classification":"{class}"}}}}]"#
            )
        };
        let count = |class: &str, kind: &str, parts| {
            let found = reading_as(&text(class, kind), parts).unwrap();
            let remarks = [Remark::PartsTaken, Remark::PartsKept].map(|what| found.remarks.count(what));
            (found.set.objects.len(), remarks)
        };
        assert_eq!(count("Tumour nuclei", "annotation", Parts::ByClass), (2, [1, 0]));
        assert_eq!(count("Lymphocyte", "", Parts::ByClass), (2, [1, 0]));
        assert_eq!(count("Lymphocyte", "detection", Parts::ByClass), (1, [0, 1]));
        assert_eq!(count("Stroma", "annotation", Parts::ByClass), (1, [0, 1]));
        assert_eq!(count("Stroma", "annotation", Parts::Objects), (2, [1, 0]));
        assert_eq!(count("Lymphocyte", "annotation", Parts::Whole), (1, [0, 1]));
        assert_eq!(count("Ignore*", "annotation", Parts::Objects), (1, [0, 0]));
        let areas: Vec<f64> =
            parsed(&text("nucleus", "")).unwrap().objects.iter().map(|o| o.shape.area()).collect();
        assert_eq!(areas, [80.5, 40.5]);
    }
}
