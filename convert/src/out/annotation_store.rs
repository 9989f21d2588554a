//! TIAToolbox's `SQLiteStore`, version 1.0.1: cells as annotations, with an R-tree over their boxes.

use std::{
    io::{self, Write as _},
    path::Path,
};

use flate2::{Compression, write::ZlibEncoder};
use merger::wkb::put_polygon;
use rusqlite::{Connection, params};

use super::{
    request::{Settings, Source},
    stream::{Maker, Outlined, Part, stream},
    text::quoted,
};
use crate::{
    error::{ConvertError, Result, unwritable},
    ids,
    ring::{Grid, twice_area},
    source::{SlideFacts, known_measures},
    tally::Tally,
};

const WHAT: &str = "the annotation store";
/// Cells worked on at a time.
const ROWS: usize = 16_384;
/// Readers take any; TIAToolbox's own 9 costs ten times as much and saves little on outlines of 24 points.
const EFFORT: u32 = 1;

const SCHEMA: &str = "
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -131072;
    CREATE TABLE metadata(key TEXT UNIQUE, value TEXT);
    CREATE VIRTUAL TABLE rtree USING rtree(id, min_x, max_x, min_y, max_y);
    CREATE TABLE annotations(
        id INTEGER PRIMARY KEY, key TEXT UNIQUE, objtype TEXT, cx FLOAT NOT NULL, cy FLOAT NOT NULL,
        geometry BLOB, properties TEXT, area FLOAT NOT NULL
    );
    INSERT INTO metadata VALUES ('version', '\"1.0.1\"'), ('compression', '\"zlib\"'), ('compression_level', '9');
    BEGIN;
";

/// Writes the store of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    let folder = whole_file::folder_of(path);
    let staged = whole_file::stage(folder, path, |_| Ok::<(), io::Error>(())).and_then(|staged| staged);
    let ((), staged) = staged.map_err(unwritable(WHAT, path))?;
    let base = Connection::open(staged.temporary()).map_err(failed(path))?;
    base.execute_batch(SCHEMA).map_err(failed(path))?;
    let maker = Annotations { facts: source.facts, points: settings.points };
    let mut id = 0;
    let tally =
        stream(source, settings, ROWS, &maker, |made| put(&base, &mut id, &made).map_err(failed(path)))?;
    base.execute_batch("COMMIT; ANALYZE;").map_err(failed(path))?;
    base.close().map_err(|(_, error)| failed(path)(error))?;
    whole_file::put_in_place(vec![staged], Vec::new()).map_err(unwritable(WHAT, path))?;
    Ok(tally)
}

fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> ConvertError {
    move |error| unwritable(WHAT, path)(io::Error::other(error))
}

fn put(base: &Connection, id: &mut i64, annotations: &[Annotation]) -> rusqlite::Result<()> {
    let mut row = base.prepare("INSERT INTO annotations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let mut place = base.prepare("INSERT INTO rtree VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for Annotation { key, centre, geometry, properties, area, sides } in annotations {
        *id += 1;
        let kind = if geometry.is_some() { "Polygon" } else { "Point" };
        row.execute(params![*id, key, kind, centre.0, centre.1, geometry, properties, area])?;
        place.execute(params![*id, sides[0], sides[1], sides[2], sides[3]])?;
    }
    Ok(())
}

/// Makes annotations of cells.
struct Annotations<'a> {
    facts: &'a SlideFacts,
    points: bool,
}

/// One annotation, ready to be put in.
struct Annotation {
    key: String,
    centre: (f64, f64),
    /// Compressed; `None` for points, which are their centre.
    geometry: Option<Vec<u8>>,
    properties: String,
    /// In px².
    area: f64,
    /// Left, right, top, bottom.
    sides: [f64; 4],
}

/// Class and measures of a cell as JSON; TIAViz colours by `type`.
fn properties(facts: &SlideFacts, Outlined { row, .. }: &Outlined) -> String {
    let mut text = format!("{{\"type\":{}", quoted(&facts.class_name(row.class_id)));
    for (measure, value) in known_measures(row) {
        text.push_str(&format!(",\"{}\":{value}", measure.column));
    }
    text.push('}');
    text
}

impl Annotations<'_> {
    fn annotation(&self, cell: &Outlined) -> io::Result<Annotation> {
        let Outlined { row, ring } = cell;
        let grid = Grid::DYADIC;
        let key =
            dataset::hex(&ids::uuid_bytes(&[self.facts.id.as_bytes(), b"cell", &row.cell_id.to_le_bytes()]));
        let (centre, properties) = ((row.centroid.x, row.centroid.y), properties(self.facts, cell));
        if self.points {
            let sides = [centre.0, centre.0, centre.1, centre.1];
            return Ok(Annotation { key, centre, geometry: None, properties, area: 0.0, sides });
        }
        let mut bytes = Vec::new();
        put_polygon(&[&grid.points(ring)], &mut bytes);
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(EFFORT));
        packed.write_all(&bytes)?;
        let (mut low, mut high) = (ring[0], ring[0]);
        for place in ring {
            (low.x, low.y) = (low.x.min(place.x), low.y.min(place.y));
            (high.x, high.y) = (high.x.max(place.x), high.y.max(place.y));
        }
        let step = grid.px(1);
        Ok(Annotation {
            key,
            centre,
            geometry: Some(packed.finish()?),
            properties,
            area: twice_area(ring) as f64 / 2.0 * step * step,
            sides: [grid.px(low.x), grid.px(high.x), grid.px(low.y), grid.px(high.y)],
        })
    }
}

impl Maker for Annotations<'_> {
    type Made = Vec<Annotation>;

    fn grid(&self) -> Grid {
        Grid::DYADIC
    }

    fn make(&self, part: &Part<'_>) -> Result<Vec<Annotation>> {
        let made = part.cells.iter().map(|cell| self.annotation(cell));
        // Compressing into memory cannot fail.
        made.collect::<io::Result<_>>().map_err(|error| ConvertError::Refused(error.to_string()))
    }
}
