//! QuPath objects: GeoJSON as `PathIO.readObjects` of QuPath 0.6 and later takes it.
//!
//! Coordinates are hundredths of a px from the corner of what was scanned, where QuPath counts from; it rounds to
//! hundredths itself and gives up the whole file for one ring that is not simple then. Members of a zip hold at most
//! 50,000 objects, as each becomes one document in memory; regions come first.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use merger::RegionRow;
use wsi_types::ClassId;
use zip::{
    CompressionMethod, ZipWriter,
    write::{PreparedZipFile, SimpleFileOptions, ZipFileBuilder},
};

use super::{
    files::{Spool, write_file},
    request::{Settings, Source},
    stream::{Maker, Outlined, Part, stream},
    text::{ClassTexts, MeasureTexts, push_area, push_closed_ring, push_point, quoted},
};
use crate::{
    error::{ConvertError, Result, unwritable},
    ids,
    ring::{Grid, Place, area_on_grid},
    source::{SlideFacts, kinds_beyond_classes},
    tally::Tally,
};

const WHAT: &str = "the QuPath objects";
/// Objects in one member: about 35 MB of text for outlines of 24 points.
const OBJECTS_PER_MEMBER: usize = 50_000;
const OPEN: &[u8] = b"{\"type\":\"FeatureCollection\",\"features\":[\n";
const CLOSE: &[u8] = b"\n]}\n";
/// Text of numbers: effort 3 would make it a sixth smaller and take twice as long.
const EFFORT: u32 = 1;

/// A script that QuPath runs to take the objects in.
const IMPORT_SCRIPT: &[u8] = include_bytes!("qupath-import.groovy");
/// Its file name.
pub(crate) const SCRIPT_NAME: &str = "qupath-import.groovy";

/// Puts the script beside the exports in `folder`.
pub(crate) fn write_script(folder: &Path) -> Result<()> {
    let path = folder.join(SCRIPT_NAME);
    whole_file::write_bytes(&path, IMPORT_SCRIPT).map_err(unwritable("QuPath's script", &path))
}

/// Writes the objects of a slide.
pub(crate) fn write(
    source: &Source<'_>,
    settings: &Settings,
    path: &Path,
    packing: Packing,
) -> Result<Tally> {
    write_file(path, WHAT, |out| {
        let mut sink = Sink::begin(out, packing).map_err(unwritable(WHAT, path))?;
        let tally = write_to(&mut sink, packing, source, settings, path)?;
        sink.finish().map_err(unwritable(WHAT, path))?;
        Ok(tally)
    })
}

/// Regions first, then cells.
fn write_to(
    sink: &mut Sink<'_, '_>,
    packing: Packing,
    source: &Source<'_>,
    settings: &Settings,
    path: &Path,
) -> Result<Tally> {
    let features = Features::new(source, packing);
    let regions = features.regions(source.regions);
    if !regions.is_empty() {
        let packed = packing.pack("regions.geojson", &regions);
        packed.and_then(|packed| sink.add(packed)).map_err(unwritable(WHAT, path))?;
    }
    let mut tally = if settings.points {
        write_points(&features, source, settings, sink, path)?
    } else {
        stream(source, settings, OBJECTS_PER_MEMBER, &features, |packed| {
            packed.map_or(Ok(()), |packed| sink.add(packed)).map_err(unwritable(WHAT, path))
        })?
    };
    tally.regions = source.regions.len() as u64;
    Ok(tally)
}

/// The text of objects, without what stands around them.
struct Features<'a> {
    facts: &'a SlideFacts,
    /// Corner from which QuPath counts, in steps.
    corner: Place,
    /// What objects of a class have in common.
    classifications: ClassTexts<'a>,
    measures: MeasureTexts<'a>,
    /// Names and numbers of kinds of regions.
    kinds: BTreeMap<String, usize>,
    packing: Packing,
}

impl<'a> Features<'a> {
    fn new(source: &Source<'a>, packing: Packing) -> Self {
        let &Source { facts, cells, regions, .. } = source;
        let steps = Grid::HUNDREDTHS.steps_per_px();
        let [x, y] = facts.scanned_from;
        Self {
            facts,
            corner: Place { x: x * steps, y: y * steps },
            classifications: ClassTexts::new(facts, classification),
            measures: MeasureTexts::new(cells.measures(), |measure| &measure.qupath),
            kinds: kinds_beyond_classes(facts, regions),
            packing,
        }
    }

    fn cell(&self, out: &mut Vec<u8>, Outlined { row, ring }: &Outlined) {
        self.begin(out, b"cell", row.cell_id);
        out.extend_from_slice(b"{\"type\":\"Polygon\",\"coordinates\":[");
        push_closed_ring(out, ring, self.corner);
        out.extend_from_slice(b"]},\"properties\":{\"objectType\":\"detection\",");
        out.extend_from_slice(self.classifications.get(row.class_id).as_bytes());
        out.extend_from_slice(b",\"measurements\":{");
        self.measures.push(out, row);
        out.extend_from_slice(b"}}}");
    }

    /// All regions, as locked annotations.
    fn regions(&self, regions: &[RegionRow]) -> Vec<u8> {
        let mut out = Vec::new();
        for region in regions {
            let parts = area_on_grid(&region.rings, Grid::HUNDREDTHS);
            if parts.is_empty() {
                continue;
            }
            if !out.is_empty() {
                out.extend_from_slice(b",\n");
            }
            self.begin(&mut out, b"region", region.region_id);
            push_area(&mut out, &parts, self.corner);
            out.extend_from_slice(b",\"properties\":{\"objectType\":\"annotation\",\"isLocked\":true,");
            out.extend_from_slice(self.kind(&region.kind).as_bytes());
            out.extend_from_slice(b",\"measurements\":{");
            let measures = [
                ("Area µm^2", Some(region.area_um2)),
                ("Analysed area µm^2", Some(region.analysed_um2)),
                ("Analysed tissue µm^2", region.analysed_tissue_um2),
                ("Coverage", Some(region.coverage)),
                ("Num cells", Some(region.n_cells as f64)),
            ];
            let known = measures.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
            for ((name, value), at) in known.zip(0..) {
                out.extend_from_slice(if at == 0 { b"" } else { b"," });
                out.extend_from_slice(format!("\"{name}\":{value}").as_bytes());
            }
            out.extend_from_slice(b"}}}");
        }
        out
    }

    /// Each class as one object of many points.
    fn points(&self, class: ClassId, points: Spool) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.begin(&mut out, b"points", u64::from(class.0));
        out.extend_from_slice(b"{\"type\":\"MultiPoint\",\"coordinates\":[");
        points.pour(&mut out)?;
        out.extend_from_slice(b"]},\"properties\":{\"objectType\":\"annotation\",\"isLocked\":true,");
        out.extend_from_slice(self.classifications.get(class).as_bytes());
        out.extend_from_slice(b"}}");
        Ok(out)
    }

    fn begin(&self, out: &mut Vec<u8>, what: &[u8], id: u64) {
        out.extend_from_slice(b"{\"type\":\"Feature\",\"id\":\"");
        out.extend_from_slice(ids::uuid(&[self.facts.id.as_bytes(), what, &id.to_le_bytes()]).as_bytes());
        out.extend_from_slice(b"\",\"geometry\":");
    }

    fn kind(&self, kind: &str) -> String {
        match self.facts.class_named(kind) {
            Some(class) => classification(self.facts, class),
            None => {
                const BLUE_GREYS: [[u8; 3]; 4] =
                    [[86, 101, 115], [52, 100, 140], [120, 120, 120], [70, 90, 160]];
                let place = self.kinds.get(kind).copied().unwrap_or_default();
                named(kind, BLUE_GREYS[place % BLUE_GREYS.len()])
            }
        }
    }
}

fn classification(facts: &SlideFacts, class: ClassId) -> String {
    named(&facts.class_name(class), facts.class_colour(class))
}

/// QuPath wants both, a name and a colour.
fn named(name: &str, [r, g, b]: [u8; 3]) -> String {
    format!("\"classification\":{{\"name\":{},\"color\":[{r},{g},{b}]}}", quoted(name))
}

impl Maker for Features<'_> {
    /// Packed text; `None` where a part has no cells.
    type Made = Option<PackedText>;

    fn grid(&self) -> Grid {
        Grid::HUNDREDTHS
    }

    fn make(&self, part: &Part<'_>) -> Result<Option<PackedText>> {
        const BYTES_PER_OBJECT: usize = 800;
        if part.cells.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::with_capacity(part.cells.len() * BYTES_PER_OBJECT);
        for (cell, at) in part.cells.iter().zip(0..) {
            text.extend_from_slice(if at == 0 { b"" } else { b",\n" });
            self.cell(&mut text, cell);
        }
        let packed = self.packing.pack(&format!("part-{:05}.geojson", part.index), &text);
        // Packing into memory cannot fail.
        packed.map(Some).map_err(|error| ConvertError::Refused(error.to_string()))
    }
}

/// Centroids of each class, as text.
struct Points {
    corner: Place,
}

impl Maker for Points {
    type Made = Vec<(ClassId, Vec<u8>)>;

    fn grid(&self) -> Grid {
        Grid::HUNDREDTHS
    }

    fn make(&self, part: &Part<'_>) -> Result<Self::Made> {
        let mut texts: BTreeMap<ClassId, Vec<u8>> = BTreeMap::new();
        for Outlined { row, .. } in part.cells {
            let text = texts.entry(row.class_id).or_default();
            text.extend_from_slice(b",[");
            push_point(text, Grid::HUNDREDTHS.place(row.centroid), self.corner);
            text.push(b']');
        }
        Ok(texts.into_iter().collect())
    }
}

fn write_points(
    features: &Features<'_>,
    source: &Source<'_>,
    settings: &Settings,
    sink: &mut Sink<'_, '_>,
    path: &Path,
) -> Result<Tally> {
    let mut by_class: BTreeMap<ClassId, Spool> = BTreeMap::new();
    let points = Points { corner: features.corner };
    let tally = stream(source, settings, OBJECTS_PER_MEMBER, &points, |made| {
        for (class, text) in made {
            match by_class.get_mut(&class) {
                Some(spool) => spool.push(&text)?,
                None => {
                    let mut spool = Spool::beside(path)?;
                    // Without the comma that divides it from what is not there.
                    spool.push(&text[1..])?;
                    by_class.insert(class, spool);
                }
            }
        }
        Ok(())
    })?;
    for (class, spool) in by_class {
        let name = format!("points-{:05}.geojson", class.0);
        let packed = features.points(class, spool).and_then(|text| features.packing.pack(&name, &text));
        packed.and_then(|packed| sink.add(packed)).map_err(unwritable(WHAT, path))?;
    }
    Ok(tally)
}

/// Packing of text: the expensive part, done on several threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As a document of its own in a zip.
    Member,
    /// Not at all.
    Plain,
    /// By gzip: pieces that follow each other are one file of it.
    Gzip,
}

/// Text as it goes into the file.
enum PackedText {
    Member(PreparedZipFile),
    Bytes(Vec<u8>),
}

impl Packing {
    fn pack(self, name: &str, features: &[u8]) -> io::Result<PackedText> {
        match self {
            Self::Member => member(name, features).map(PackedText::Member),
            Self::Plain | Self::Gzip => self.bytes(features).map(PackedText::Bytes),
        }
    }

    fn bytes(self, text: &[u8]) -> io::Result<Vec<u8>> {
        if self != Self::Gzip {
            return Ok(text.to_vec());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(EFFORT));
        encoder.write_all(text)?;
        encoder.finish()
    }
}

/// A document of its own, compressed. The date is zip's first, so that an export is the same every time.
fn member(name: &str, features: &[u8]) -> io::Result<PreparedZipFile> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(i64::from(EFFORT)));
    let mut member = ZipFileBuilder::new(name, options)?;
    [OPEN, features, CLOSE].iter().try_for_each(|text| member.write_all(text))?;
    Ok(member.finish()?)
}

/// Destination of packed objects, in order.
enum Sink<'a, 'f> {
    /// Members of a zip, each a document of its own.
    Zip(Box<ZipWriter<&'a mut BufWriter<&'f File>>>),
    /// One document.
    Whole { out: &'a mut BufWriter<&'f File>, packing: Packing, is_empty: bool },
}

impl<'a, 'f> Sink<'a, 'f> {
    fn begin(out: &'a mut BufWriter<&'f File>, packing: Packing) -> io::Result<Self> {
        if packing == Packing::Member {
            return Ok(Self::Zip(Box::new(ZipWriter::new(out))));
        }
        out.write_all(&packing.bytes(OPEN)?)?;
        Ok(Self::Whole { out, packing, is_empty: true })
    }

    fn add(&mut self, packed: PackedText) -> io::Result<()> {
        match (self, packed) {
            (Self::Zip(zip), PackedText::Member(member)) => Ok(zip.add_prepared_file(member)?),
            (Self::Whole { out, packing, is_empty }, PackedText::Bytes(bytes)) => {
                if !std::mem::take(is_empty) {
                    out.write_all(&packing.bytes(b",\n")?)?;
                }
                out.write_all(&bytes)
            }
            _ => Err(io::Error::other("text was packed for another file")),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Zip(zip) => Ok(zip.finish().map(drop)?),
            Self::Whole { out, packing, .. } => out.write_all(&packing.bytes(CLOSE)?),
        }
    }
}
