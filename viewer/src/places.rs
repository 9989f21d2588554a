//! Places to visit in turn: the objects of a GeoJSON file, such as the mistakes that `eval` and the disputes
//! that `consensus` write.

use serde::Serialize;
use serde_json::Value;

/// A place on a slide.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// Middle of the object's box, level-0 px.
    pub x: f64,
    /// Middle of the object's box, level-0 px.
    pub y: f64,
    /// Longer side of that box, level-0 px; 0 for a point.
    pub side: f64,
    /// Its name in the file.
    pub name: String,
}

/// Returns the objects of a GeoJSON text, in their order.
///
/// # Errors
///
/// A message in words, when it is not GeoJSON or an object has no coordinates.
pub fn places(text: &str) -> Result<Vec<Place>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let features = match &value {
        Value::Array(features) => features.as_slice(),
        Value::Object(fields) => match fields.get("features") {
            Some(Value::Array(features)) => features,
            _ => std::slice::from_ref(&value),
        },
        _ => return Err("it is no GeoJSON: expected a FeatureCollection".into()),
    };
    features.iter().enumerate().map(|(index, feature)| place(index, feature)).collect()
}

fn place(index: usize, feature: &Value) -> Result<Place, String> {
    let mut bounds = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    stretch(&feature["geometry"]["coordinates"], &mut bounds);
    let [x0, y0, x1, y1] = bounds;
    if x0 > x1 || y0 > y1 {
        return Err(format!("feature {index} has no coordinates"));
    }
    let (x, y) = (f64::midpoint(x0, x1), f64::midpoint(y0, y1));
    Ok(Place { x, y, side: (x1 - x0).max(y1 - y0), name: name(&feature["properties"]) })
}

/// Widens bounds to all positions, at any depth.
fn stretch(coordinates: &Value, bounds: &mut [f64; 4]) {
    let Value::Array(parts) = coordinates else { return };
    if let [x, y, ..] = parts.as_slice()
        && let (Some(x), Some(y)) = (x.as_f64(), y.as_f64())
    {
        *bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
        return;
    }
    parts.iter().for_each(|part| stretch(part, bounds));
}

fn name(properties: &Value) -> String {
    let class = &properties["classification"];
    let names = [&properties["name"], &class["name"], class];
    names.into_iter().find_map(Value::as_str).unwrap_or("unnamed").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_any_depth_are_places() {
        let text = r#"{"type":"FeatureCollection","features":[
            {"properties":{"classification":{"name":"missed"}},"geometry":{"type":"Polygon","coordinates":[[[0,10],[8,10],[8,14],[0,10]]]}},
            {"properties":{"name":"disputed"},"geometry":{"type":"Point","coordinates":[3.5,4]}}]}"#;
        let [missed, disputed] = &places(text).unwrap()[..] else { panic!("two places") };
        assert_eq!((missed.x, missed.y, missed.side, missed.name.as_str()), (4.0, 12.0, 8.0, "missed"));
        assert_eq!((disputed.x, disputed.side, disputed.name.as_str()), (3.5, 0.0, "disputed"));
        assert!(places(r#"[{"geometry":{"coordinates":[]}}]"#).unwrap_err().contains("feature 0"));
        assert!(places("7").is_err() && places("{").is_err());
        assert_eq!(places(r#"{"features":[]}"#).unwrap(), []);
    }
}
