//! A user's drawing on a slide: a GeoJSON file in level-0 px.

use std::{fs, io, path::Path};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::{Keep, Response};

const GEO_JSON: &str = "application/geo+json";
const NOTHING: &[u8] = br#"{"type":"FeatureCollection","features":[]}"#;

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    features: Vec<Feature<'a>>,
}

#[derive(Deserialize)]
struct Feature<'a> {
    #[serde(borrow)]
    geometry: Geometry<'a>,
}

#[derive(Deserialize)]
struct Geometry<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    coordinates: &'a RawValue,
}

type Position = [f64; 2];

/// Returns the drawing kept before; an empty collection if there is none.
pub(crate) fn kept(path: &Path) -> Response {
    match fs::read(path) {
        Ok(bytes) => Response::ok(GEO_JSON, Keep::No, bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Response::ok(GEO_JSON, Keep::No, NOTHING.to_vec())
        }
        Err(error) => Response::refusal(500, &format!("the drawing cannot be read: {error}")),
    }
}

/// Replaces the kept drawing, if `body` is a drawing.
pub(crate) fn keep(path: &Path, body: &[u8]) -> Response {
    if let Err(reason) = check(body) {
        return Response::refusal(400, &format!("this is no drawing: {reason}"));
    }
    let written =
        fs::create_dir_all(whole_file::folder_of(path)).and_then(|()| whole_file::write_bytes(path, body));
    match written {
        Ok(()) => Response::ok(GEO_JSON, Keep::No, Vec::new()),
        Err(error) => Response::refusal(500, &format!("the drawing cannot be written: {error}")),
    }
}

/// Checks for points, and polygons of one ring: the shapes that the page draws.
fn check(body: &[u8]) -> Result<(), String> {
    let collection: Collection<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if collection.kind != "FeatureCollection" {
        return Err(format!("it is a {:?}, expected a FeatureCollection", collection.kind));
    }
    collection.features.iter().enumerate().try_for_each(|(place, feature)| {
        let Geometry { kind, coordinates } = &feature.geometry;
        let sound = match *kind {
            "Point" => serde_json::from_str::<Position>(coordinates.get()).is_ok(),
            "Polygon" => serde_json::from_str::<[Vec<Position>; 1]>(coordinates.get())
                .is_ok_and(|[ring]| ring.len() > 3 && ring.first() == ring.last()),
            _ => false,
        };
        if sound {
            Ok(())
        } else {
            Err(format!("feature {place} is no point and no polygon of one closed ring"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collection(geometry: &str) -> Vec<u8> {
        let feature = format!(r#"{{"type":"Feature","properties":{{}},"geometry":{geometry}}}"#);
        format!(r#"{{"type":"FeatureCollection","features":[{feature}]}}"#).into_bytes()
    }

    #[test]
    fn drawings_are_kept_whole_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("annotations/s1.geojson");
        assert_eq!(kept(&path).body.as_slice(), NOTHING);
        let good = collection(r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9.5],[0,0]]]}"#);
        assert_eq!(keep(&path, &good).status, 200);
        for bad in [
            &good[..good.len() - 1],
            b"[]",
            &collection(r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9.5]]]}"#),
            &collection(r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,1]]]}"#),
            &collection(r#"{"type":"Point","coordinates":[1e999,0]}"#),
            &collection(r#"{"type":"LineString","coordinates":[[0,0],[1,1]]}"#),
        ] {
            assert_eq!(keep(&path, bad).status, 400, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(kept(&path).body.as_slice(), good, "what was kept before stays");
    }
}
