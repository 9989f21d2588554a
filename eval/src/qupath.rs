//! Objects as GeoJSON that QuPath opens.
//!
//! QuPath wants `objectType` inside `properties`, a classification with both
//! name and colour, flat numeric measurements, text metadata, closed rings, and
//! ids that are UUIDs.

use std::io::{self, Write};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wsi_types::{ClassId, wording::hex};

use crate::{
    names::stem,
    objects::{Object, Shape},
    polygon::{Polygon, Ring},
};

/// Writes a `FeatureCollection`, one feature a line.
pub(crate) fn write_collection(
    features: impl Iterator<Item = Value>,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
    for (place, feature) in features.enumerate() {
        out.write_all(if place == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &feature)?;
    }
    out.write_all(b"\n]}\n")
}

/// A UUID (version 8, RFC 9562) computed from the object: the same every time.
pub(crate) fn uuid(image: &str, class: &str, object: &Object) -> String {
    let mut hash = Sha256::new();
    // The stem, so that the folder of the file does not matter.
    let image = stem(image);
    hash.update((image.len() as u64).to_le_bytes());
    hash.update(image);
    hash.update((class.len() as u64).to_le_bytes());
    hash.update(class);
    let bounds = object.shape.bounds();
    for side in [bounds.min.x, bounds.min.y, bounds.max.x, bounds.max.y] {
        hash.update(side.to_le_bytes());
    }
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

pub(crate) fn geometry(shape: &Shape) -> Value {
    match shape {
        Shape::Point(point) => json!({ "type": "Point", "coordinates": [point.x, point.y] }),
        Shape::Box(bounds) => rings_json(&Polygon::from_box(*bounds)),
        Shape::Polygon(polygon) => rings_json(polygon),
    }
}

/// One polygon with holes, or separate parts each with the holes inside it.
fn rings_json(polygon: &Polygon) -> Value {
    let parts: Vec<Value> =
        polygon.parts().iter().map(|part| part.rings.iter().map(closed).collect()).collect();
    match parts.as_slice() {
        [one] => json!({ "type": "Polygon", "coordinates": one }),
        many => json!({ "type": "MultiPolygon", "coordinates": many }),
    }
}

/// A ring whose last point is its first.
fn closed(ring: &Ring) -> Value {
    ring.iter().chain(ring.first()).map(|point| json!([point.x, point.y])).collect()
}

/// Colours that stay apart for any number of classes: hues a golden angle from
/// each other.
pub(crate) fn colour(class: ClassId) -> [u8; 3] {
    let hue = (f64::from(class.0) * 137.507_764).rem_euclid(360.0) / 60.0;
    [5.0, 3.0, 1.0].map(|offset| {
        let k = (offset + hue).rem_euclid(6.0);
        let level = 1.0 - 0.75 * k.min(4.0 - k).clamp(0.0, 1.0);
        (level * 220.0).round() as u8
    })
}
