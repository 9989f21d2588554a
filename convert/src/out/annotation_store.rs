//! TIAToolbox's `SQLiteStore`, version 1.0.1: cells as annotations, with an R-tree over their boxes.

use std::{io, path::Path};

use flate2::{Compress, Compression, FlushCompress, Status};
use merger::{CellRow, wkb::put_polygon};
use rusqlite::{
    Connection, Statement, params,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    request::{Settings, Source},
    rtree::RTree,
    stream::{Maker, Outlined, Part, stream},
    text::{ClassTexts, MeasureTexts, quoted_class},
};
use crate::{
    error::{ConvertError, Result, unwritable},
    ids,
    ring::{Grid, twice_area},
    source::SlideFacts,
    tally::Tally,
};

const WHAT: &str = "the annotation store";
/// Cells worked on at a time.
const ROWS: usize = 16_384;
/// Readers take any; TIAToolbox's own 9 costs ten times as much and saves little on outlines of 24 points.
const EFFORT: u32 = 1;

/// The file has a temporary name until it is whole, so nothing is kept to take a change back by, and nobody waits for it.
const SCHEMA: &str = "
    PRAGMA page_size = 16384;
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA cache_size = -65536;
    CREATE TABLE metadata(key TEXT UNIQUE, value TEXT);
    CREATE VIRTUAL TABLE rtree USING rtree(id, min_x, max_x, min_y, max_y);
    CREATE TABLE annotations(
        id INTEGER PRIMARY KEY, key TEXT, objtype TEXT, cx FLOAT NOT NULL, cy FLOAT NOT NULL,
        geometry BLOB, properties TEXT, area FLOAT NOT NULL
    );
    INSERT INTO metadata VALUES ('version', '\"1.0.1\"'), ('compression', '\"zlib\"'), ('compression_level', '9');
    BEGIN;
";

/// Keys come in no order: sorted once at the end they are an index whose pages are filled one after the other. The statistics
/// are those of a sample, as TIAToolbox makes them.
const INDEX: &str = "
    COMMIT;
    CREATE UNIQUE INDEX annotations_key ON annotations(key);
    PRAGMA analysis_limit = 1000;
    ANALYZE;
";

/// Writes the store of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    let folder = whole_file::folder_of(path);
    let staged = whole_file::stage(folder, path, |_| Ok::<(), io::Error>(())).and_then(|staged| staged);
    let ((), staged) = staged.map_err(unwritable(WHAT, path))?;
    let base = Connection::open(staged.temporary()).map_err(failed(path))?;
    base.execute_batch(SCHEMA).map_err(failed(path))?;
    let types = ClassTexts::new(source.facts, quoted_class);
    let measures = MeasureTexts::new(source.cells.measures(), |measure| &measure.name);
    let maker = Annotations { facts: source.facts, types, measures, points: settings.points };
    let mut store = Store::new(&base).map_err(failed(path))?;
    let tally = stream(source, settings, ROWS, &maker, |made| store.put(&made).map_err(failed(path)))?;
    store.finish().map_err(failed(path))?;
    base.execute_batch(INDEX).map_err(failed(path))?;
    base.close().map_err(|(_, error)| failed(path)(error))?;
    whole_file::put_in_place(vec![staged], Vec::new()).map_err(unwritable(WHAT, path))?;
    Ok(tally)
}

fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> ConvertError {
    move |error| unwritable(WHAT, path)(io::Error::other(error))
}

/// Tables that are being filled.
struct Store<'a> {
    rows: Statement<'a>,
    places: RTree<'a>,
    /// Of the last annotation.
    id: i64,
}

impl<'a> Store<'a> {
    fn new(base: &'a Connection) -> rusqlite::Result<Self> {
        let rows = base.prepare("INSERT INTO annotations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        Ok(Self { rows, places: RTree::new(base)?, id: 0 })
    }

    fn put(&mut self, annotations: &[Annotation]) -> rusqlite::Result<()> {
        for Annotation { key, centre, geometry, properties, area, sides } in annotations {
            self.id += 1;
            let kind = if geometry.is_some() { "Polygon" } else { "Point" };
            let properties = ToSqlOutput::Borrowed(ValueRef::Text(properties));
            self.rows.execute(params![self.id, key, kind, centre.0, centre.1, geometry, properties, area])?;
            self.places.push(self.id, *sides)?;
        }
        Ok(())
    }

    fn finish(self) -> rusqlite::Result<()> {
        self.places.finish()
    }
}

/// Makes annotations of cells.
struct Annotations<'a> {
    facts: &'a SlideFacts,
    /// Names of classes in quotes.
    types: ClassTexts<'a>,
    measures: MeasureTexts<'a>,
    points: bool,
}

/// One annotation, ready to be put in.
struct Annotation {
    key: String,
    centre: (f64, f64),
    /// Compressed; `None` for points, which are their centre.
    geometry: Option<Vec<u8>>,
    /// JSON.
    properties: Vec<u8>,
    /// In px².
    area: f64,
    /// Left, right, top, bottom.
    sides: [f64; 4],
}

/// Packs short texts, each by itself. Its tables are hundreds of kB: they are made once for many cells.
struct Packer(Compress);

impl Packer {
    fn new() -> Self {
        const ZLIB_HEADER: bool = true;
        Self(Compress::new(Compression::new(EFFORT), ZLIB_HEADER))
    }

    fn pack(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        /// More than packing ever adds to a short text.
        const ROOM: usize = 64;
        self.0.reset();
        let mut packed = Vec::with_capacity(bytes.len() + ROOM);
        loop {
            let done = self.0.total_in() as usize;
            match self.0.compress_vec(&bytes[done..], &mut packed, FlushCompress::Finish)? {
                Status::StreamEnd => return Ok(packed),
                Status::Ok | Status::BufError => packed.reserve(ROOM),
            }
        }
    }
}

impl Annotations<'_> {
    /// Class and measures of a cell as JSON; TIAViz colours by `type`.
    fn properties(&self, row: &CellRow) -> Vec<u8> {
        let mut text = b"{\"type\":".to_vec();
        text.extend_from_slice(self.types.get(row.class_id).as_bytes());
        self.measures.push(&mut text, row);
        text.push(b'}');
        text
    }

    fn annotation(&self, cell: &Outlined, packer: &mut Packer) -> io::Result<Annotation> {
        let Outlined { row, ring } = cell;
        let grid = Grid::DYADIC;
        let key = ids::cell_key(&self.facts.id, row.cell_id);
        let (centre, properties) = ((row.centroid.x, row.centroid.y), self.properties(row));
        if self.points {
            let sides = [centre.0, centre.0, centre.1, centre.1];
            return Ok(Annotation { key, centre, geometry: None, properties, area: 0.0, sides });
        }
        let mut bytes = Vec::new();
        put_polygon(&[&grid.points(ring)], &mut bytes);
        let (mut low, mut high) = (ring[0], ring[0]);
        for place in ring {
            (low.x, low.y) = (low.x.min(place.x), low.y.min(place.y));
            (high.x, high.y) = (high.x.max(place.x), high.y.max(place.y));
        }
        let step = grid.px(1);
        Ok(Annotation {
            key,
            centre,
            geometry: Some(packer.pack(&bytes)?),
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
        let mut packer = Packer::new();
        let made = part.cells.iter().map(|cell| self.annotation(cell, &mut packer));
        // Compressing into memory cannot fail.
        made.collect::<io::Result<_>>().map_err(|error| ConvertError::Refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::ZlibDecoder;

    use super::*;

    #[test]
    fn each_text_is_packed_by_itself() {
        let mut packer = Packer::new();
        // The third cannot be made smaller.
        let noise = (0..50_000_u32).map(|place| (place.wrapping_mul(0x9e37_79b9) >> 21) as u8).collect();
        for text in [b"outline outline outline".to_vec(), Vec::new(), noise, b"outline".to_vec()] {
            let mut unpacked = Vec::new();
            ZlibDecoder::new(&packer.pack(&text).unwrap()[..]).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, text);
        }
    }
}
