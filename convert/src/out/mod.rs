//! Formats out: each reads the cells of one slide once, part by part.

mod annotation_store;
mod coco;
mod cvat;
mod dicom_ann;
mod dicom_sr;
mod geo_table;
mod geoarrow;
mod label_studio;
mod qupath;
mod spatialdata;
mod text;
mod wkb;
mod zarr;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use merger::{CellRow, RegionRow, RowBatch};
use qupath::Packing;
use rayon::prelude::*;
use wsi_types::ClassId;

use crate::{
    choice::Choice,
    dicom::slide::DicomSlide,
    error::{ConvertError, Result, unwritable},
    ring::{Fate, Grid, GridRing, on_grid, simplified, twice_area},
    source::{CellTable, SlideFacts},
    tally::Tally,
};

/// A format of another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// QuPath objects, a zip of GeoJSON members.
    QuPath,
    /// The same as one GeoJSON file.
    GeoJson,
    /// The same, compressed by gzip.
    GeoJsonGz,
    /// DICOM Microscopy Bulk Simple Annotations.
    DicomAnn,
    /// TIAToolbox's `SQLiteStore`.
    AnnotationStore,
    /// A SpatialData store, a folder.
    SpatialData,
    /// GeoParquet with native geometry.
    GeoArrow,
    /// COCO instances.
    Coco,
    /// Label Studio tasks, on pictures of parts of the slide.
    LabelStudio,
    /// CVAT for images 1.1, on the same pictures.
    Cvat,
    /// A DICOM structured report.
    DicomSr,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::QuPath,
        Self::GeoJson,
        Self::GeoJsonGz,
        Self::DicomAnn,
        Self::AnnotationStore,
        Self::SpatialData,
        Self::GeoArrow,
        Self::Coco,
        Self::LabelStudio,
        Self::Cvat,
        Self::DicomSr,
    ];

    /// What it is called on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QuPath => "qupath",
            Self::GeoJson => "geojson",
            Self::GeoJsonGz => "geojson.gz",
            Self::DicomAnn => "dicom-ann",
            Self::AnnotationStore => "annotation-store",
            Self::SpatialData => "spatialdata",
            Self::GeoArrow => "geoarrow",
            Self::Coco => "coco",
            Self::LabelStudio => "label-studio",
            Self::Cvat => "cvat",
            Self::DicomSr => "dicom-sr",
        }
    }

    /// How its file or folder ends.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::QuPath => ".geojson.zip",
            Self::GeoJson => ".geojson",
            Self::GeoJsonGz => ".geojson.gz",
            Self::DicomAnn => "-ann.dcm",
            Self::AnnotationStore => ".db",
            Self::SpatialData => ".sd.zarr",
            Self::GeoArrow => ".geoarrow.parquet",
            Self::Coco => ".coco.json",
            Self::LabelStudio => ".label-studio.json",
            Self::Cvat => ".cvat.xml",
            Self::DicomSr => "-sr.dcm",
        }
    }

    /// Whether it holds the cells themselves, and not only counts of them.
    #[must_use]
    pub fn holds_cells(self) -> bool {
        self != Self::DicomSr
    }

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Where an export of a slide goes.
    #[must_use]
    pub fn path(self, folder: &Path, facts: &SlideFacts) -> PathBuf {
        folder.join(format!("{}{}", facts.id, self.ending()))
    }
}

/// What is exported.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Of the slide.
    pub facts: &'a SlideFacts,
    /// Its cells.
    pub cells: &'a CellTable,
    /// Its regions.
    pub regions: &'a [RegionRow],
    /// Which cells are taken.
    pub choice: &'a Choice,
}

/// How it is exported.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Centroids instead of outlines.
    pub points: bool,
    /// Outlines may be off by this, level-0 px, and their area by 1 %.
    pub simplify_px: Option<f64>,
    /// The DICOM slide that the cells were found on, where it is one.
    pub dicom_slide: Option<DicomSlide>,
}

impl Settings {
    fn dicom_slide(&self, facts: &SlideFacts) -> DicomSlide {
        self.dicom_slide.clone().unwrap_or_else(|| DicomSlide::invented(facts))
    }
}

impl Source<'_> {
    /// What tells this export from others of the same slide.
    fn identity(&self, settings: &Settings) -> String {
        let Settings { points, simplify_px, .. } = settings;
        format!("{} {} {points} {simplify_px:?}", self.facts.fingerprint, self.choice.fingerprint())
    }
}

/// Writes one format into `folder`, which must exist. Files appear whole or not at all.
///
/// # Errors
///
/// When a table cannot be read, an output cannot be written, or the format cannot hold what was asked.
pub fn export(format: Format, source: &Source<'_>, settings: &Settings, folder: &Path) -> Result<Tally> {
    let path = format.path(folder, source.facts);
    let mut tally = match format {
        Format::QuPath => qupath::write(source, settings, &path, Packing::Member),
        Format::GeoJson => qupath::write(source, settings, &path, Packing::Plain),
        Format::GeoJsonGz => qupath::write(source, settings, &path, Packing::Gzip),
        Format::DicomAnn => dicom_ann::write(source, settings, &path),
        Format::AnnotationStore => annotation_store::write(source, settings, &path),
        Format::SpatialData => spatialdata::write(source, settings, &path),
        Format::GeoArrow => geoarrow::write(source, settings, &path),
        Format::Coco => coco::write(source, settings, &path),
        Format::LabelStudio => label_studio::write(source, settings, &path),
        Format::Cvat => cvat::write(source, settings, &path),
        Format::DicomSr => dicom_sr::write(source, settings, &path),
    }?;
    if format == Format::QuPath {
        qupath::write_script(folder)?;
        tally.notes.push(format!("drag it onto the slide in QuPath, or run {} there", qupath::SCRIPT_NAME));
    }
    if matches!(format, Format::LabelStudio | Format::Cvat) {
        tally.notes.push(
            "its pictures are parts of level 0, called <slide>_<left>_<top>_<width>_<height>.png: docs/exports.md says \
             how to cut them"
                .to_owned(),
        );
    }
    tally.bytes = size_of(&path).map_err(unwritable("the export", &path))?;
    tally.files.push(path);
    Ok(tally)
}

/// Bytes of a file, or of all files of a folder.
fn size_of(path: &Path) -> std::io::Result<u64> {
    let about = std::fs::metadata(path)?;
    if !about.is_dir() {
        return Ok(about.len());
    }
    std::fs::read_dir(path)?.map(|entry| size_of(&entry?.path())).sum()
}

/// A cell on its way out: its ring lies on the format's grid and is simple.
pub(crate) struct Outlined {
    pub(crate) row: CellRow,
    pub(crate) ring: GridRing,
}

/// Cells that are worked on together.
pub(crate) struct Part<'a> {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// The place of the first among all that are taken.
    pub(crate) first: u64,
    pub(crate) cells: &'a [Outlined],
}

/// Turns cells into what a format holds, on several threads.
pub(crate) trait Maker: Sync {
    /// What becomes of a part.
    type Made: Send;

    /// The grid of the format's coordinates.
    fn grid(&self) -> Grid;

    /// What becomes of these cells.
    fn make(&self, part: &Part<'_>) -> Result<Self::Made>;
}

/// How many parts are in memory at once, however many cores there are.
const MOST_PARTS: usize = 4;

/// Hands all chosen cells to `maker`, at most `rows` at a time, and what it makes to `take`, in the order of the table.
pub(crate) fn stream<M: Maker>(
    source: &Source<'_>,
    settings: &Settings,
    rows: usize,
    maker: &M,
    mut take: impl FnMut(M::Made) -> Result<()>,
) -> Result<Tally> {
    let grid = maker.grid();
    let at_once = rayon::current_num_threads().clamp(1, MOST_PARTS);
    let mut batches = source.cells.batches(source.choice, rows)?;
    let mut counts = Counts::default();
    let (mut first, mut index) = (0, 0);
    loop {
        let batch = batches.by_ref().take(at_once).collect::<Result<Vec<_>>>()?;
        if batch.is_empty() {
            return Ok(counts.tally(source.facts));
        }
        let parts: Vec<(Vec<Outlined>, Vec<Fate>)> =
            batch.par_iter().map(|batch| outlined(source, batch, grid, settings)).collect::<Result<_>>()?;
        let mut starts = Vec::with_capacity(parts.len());
        for (cells, fates) in &parts {
            starts.push((index, first));
            (index, first) = (index + 1, first + cells.len() as u64);
            counts.note(cells, fates, grid, settings);
        }
        let made = parts
            .par_iter()
            .zip(&starts)
            .map(|((cells, _), &(index, first))| maker.make(&Part { index, first, cells }))
            .collect::<Result<Vec<_>>>()?;
        drop(parts);
        made.into_iter().try_for_each(&mut take)?;
    }
}

/// The chosen cells of a batch, and what became of their outlines.
fn outlined(
    source: &Source<'_>,
    batch: &RowBatch<CellRow>,
    grid: Grid,
    settings: &Settings,
) -> Result<(Vec<Outlined>, Vec<Fate>)> {
    let rows = source.cells.rows_of(batch, source.choice)?;
    Ok(rows.into_iter().map(|row| outline(row, grid, settings)).unzip())
}

fn outline(mut row: CellRow, grid: Grid, settings: &Settings) -> (Outlined, Fate) {
    // The ring on the grid stands for it from here on.
    let drawn = std::mem::take(&mut row.outline);
    if settings.points {
        return (Outlined { row, ring: GridRing::new() }, Fate::Kept);
    }
    let (ring, fate) = match settings.simplify_px {
        Some(tolerance) => on_grid(&simplified(&drawn, tolerance), &row.bbox, grid),
        None => on_grid(&drawn, &row.bbox, grid),
    };
    (Outlined { row, ring }, fate)
}

/// What is counted on the way.
#[derive(Default)]
struct Counts {
    by_class: BTreeMap<ClassId, u64>,
    /// In px².
    area: f64,
    repaired: u64,
    boxed: u64,
}

impl Counts {
    fn note(&mut self, cells: &[Outlined], fates: &[Fate], grid: Grid, settings: &Settings) {
        for cell in cells {
            *self.by_class.entry(cell.row.class_id).or_default() += 1;
        }
        if settings.points {
            return;
        }
        let step = grid.px(1);
        let twice: f64 = cells.iter().map(|cell| twice_area(&cell.ring) as f64).sum();
        self.area += twice / 2.0 * step * step;
        let count = |wanted: Fate| fates.iter().filter(|&&fate| fate == wanted).count() as u64;
        self.repaired += count(Fate::Repaired);
        self.boxed += count(Fate::Boxed);
    }

    fn tally(self, facts: &SlideFacts) -> Tally {
        let mut by_class = BTreeMap::new();
        for (class, count) in self.by_class {
            *by_class.entry(facts.class_name(class)).or_insert(0) += count;
        }
        let um = facts.mpp.get();
        let (repaired, boxed) = (self.repaired, self.boxed);
        Tally { by_class, area_um2: self.area * um * um, repaired, boxed, ..Tally::default() }
    }
}

/// Writes a whole file, or none.
pub(crate) fn write_file<T>(
    path: &Path,
    what: &'static str,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T>,
) -> Result<T> {
    whole_file::write(path, write).map_err(unwritable(what, path))?
}

/// Bytes that are wanted later than they come, kept on the disk beside the output.
pub(crate) struct Spool {
    file: BufWriter<File>,
    bytes: u64,
    path: PathBuf,
}

impl Spool {
    /// An empty one, on the file system of `path`.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(whole_file::folder_of(path))
            .map_err(unwritable("a temporary file", path))?;
        Ok(Self { file: BufWriter::new(file), bytes: 0, path: path.to_owned() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(unwritable("a temporary file", &self.path))
    }

    /// Copies all of it to `out`.
    pub(crate) fn pour(self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        let mut file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        std::io::copy(&mut file, out).map(drop)
    }
}

/// A refusal of what a format has no place for.
pub(crate) fn refused<T>(why: impl Into<String>) -> Result<T> {
    Err(ConvertError::Refused(why.into()))
}
