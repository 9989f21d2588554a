//! TIAToolbox's `SQLiteStore`: geometry as WKB, packed or not, properties as JSON.

use std::{borrow::Cow, io::Read as _, path::Path};

use eval::{
    objects::{Object, ObjectSet, Role, Shape},
    polygon::Polygon,
    truth::UNNAMED_CLASS,
};
use flate2::read::ZlibDecoder;
use merger::wkb::{Geometry, Rings, geometry};
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Map, Value};
use wsi_types::Level0Point;

use super::names::{self, image_name};
use crate::error::{ConvertError, Result, malformed};

const WHAT: &str = "the annotation store";

pub(super) fn read(path: &Path) -> Result<ObjectSet> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let base = Connection::open_with_flags(path, flags).map_err(broken(path))?;
    let compression = compression(&base).map_err(|problem| malformed(WHAT, problem, path))?;
    let mut set = ObjectSet::default();
    let image = set.image_named(&image_name(path));
    let mut query = base
        .prepare("SELECT id, cx, cy, geometry, properties FROM annotations ORDER BY id")
        .map_err(broken(path))?;
    let mut rows = query.query([]).map_err(broken(path))?;
    while let Some(row) = rows.next().map_err(broken(path))? {
        let id: i64 = row.get(0).map_err(broken(path))?;
        let (class, score, shape) = annotation(row, compression)
            .map_err(|problem| malformed(WHAT, format!("annotation {id}: {problem}"), path))?;
        let class = set.class_named(&class)?;
        set.objects.push(Object { id: id.unsigned_abs(), image, class, score, shape, role: Role::Object });
    }
    Ok(set)
}

fn broken(path: &Path) -> impl Fn(rusqlite::Error) -> ConvertError {
    move |error| malformed(WHAT, error.to_string(), path)
}

#[derive(Clone, Copy)]
enum Compression {
    None,
    Zlib,
}

/// As the store says; values are JSON.
fn compression(base: &Connection) -> std::result::Result<Compression, String> {
    let value = base
        .query_row("SELECT value FROM metadata WHERE key = 'compression'", [], |row| row.get::<_, String>(0));
    match value {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(Compression::None),
        Err(error) => Err(error.to_string()),
        Ok(text) => match serde_json::from_str(&text) {
            Ok(Value::Null) => Ok(Compression::None),
            Ok(Value::String(name)) if name == "zlib" => Ok(Compression::Zlib),
            _ => Err(format!("its geometry is packed by {text}, expected \"zlib\" or null")),
        },
    }
}

fn annotation(
    row: &Row<'_>,
    compression: Compression,
) -> std::result::Result<(String, Option<f32>, Shape), String> {
    let Stored { centre, geometry, properties } = Stored::from_row(row).map_err(|error| error.to_string())?;
    let shape = match geometry {
        Some(packed) => shape(&unpacked(packed, compression)?)?,
        None => Shape::Point(centre),
    };
    let properties: Map<String, Value> = match properties {
        Some(json) => {
            serde_json::from_str(&json).map_err(|error| format!("its properties are no JSON: {error}"))?
        }
        None => Map::new(),
    };
    let class = names::CLASS.iter().find_map(|name| names::word(properties.get(*name)?));
    let score = names::SCORE.iter().find_map(|name| properties.get(*name)?.as_f64());
    let score = score.map(|score| score as f32).filter(|score| !score.is_nan());
    Ok((class.unwrap_or_else(|| UNNAMED_CLASS.to_owned()), score, shape))
}

/// An annotation as the store has it.
struct Stored<'row> {
    centre: Level0Point,
    /// Packed WKB; `None` for a point, which is its centre.
    geometry: Option<&'row [u8]>,
    /// JSON.
    properties: Option<String>,
}

impl<'row> Stored<'row> {
    fn from_row(row: &'row Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            centre: Level0Point::new(row.get(1)?, row.get(2)?),
            geometry: row.get_ref(3)?.as_blob_or_null()?,
            properties: row.get(4)?,
        })
    }
}

/// As it is: what encloses nothing is no reason to lose a cell here.
fn shape(bytes: &[u8]) -> std::result::Result<Shape, String> {
    match geometry(bytes).map_err(|error| error.to_string())? {
        Geometry::Point(Some(point)) => Ok(Shape::Point(point)),
        Geometry::Polygon(rings) => Ok(polygon(rings)),
        Geometry::MultiPolygon(parts) => Ok(polygon(parts.concat())),
        Geometry::Point(None) => Err("its geometry is an empty point".to_owned()),
        Geometry::Line | Geometry::Collection => {
            Err("its geometry is neither a point nor a polygon".to_owned())
        }
    }
}

fn polygon(rings: Rings) -> Shape {
    Shape::Polygon(Box::new(Polygon { rings }))
}

/// Unpacked, up to what no outline is larger than.
fn unpacked(bytes: &[u8], compression: Compression) -> std::result::Result<Cow<'_, [u8]>, String> {
    const MOST: u64 = 1 << 28;
    match compression {
        Compression::None => Ok(bytes.into()),
        Compression::Zlib => {
            let mut whole = Vec::new();
            let read = ZlibDecoder::new(bytes).take(MOST).read_to_end(&mut whole);
            read.map_err(|error| format!("its geometry cannot be unpacked: {error}"))?;
            Ok(whole.into())
        }
    }
}
