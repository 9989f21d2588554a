//! A slide's tables, made cell by cell: ellipses of three classes, and rings that no format takes as they are.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it; these are tests")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use convert::{CellTable, Choice, Format, Settings, SlideFacts, Source, Tally, export, read_regions};
use merger::{Cell, Features, Region, RegionRow, TableContext, mask::Polygon, stage_cells, write_regions};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp, Score};

pub(crate) const MPP: f64 = 0.25;
pub(crate) const CLASSES: [&str; 3] = ["nucleus", "lymphocyte \"T\"", "Tumörzelle"];
const SIDE_PX: f64 = 20_000.0;
const SLIDE_ID: &str = "s0123456789abcdef";

/// Tables of one slide in a folder of their own.
pub(crate) struct Painted {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) facts: SlideFacts,
    pub(crate) table: CellTable,
    pub(crate) regions: Vec<RegionRow>,
    pub(crate) cells: Vec<Cell>,
}

/// The tables of a slide in `folder`, its region being [`tissue`].
pub(crate) fn write_tables(folder: &Path, cells: &mut [Cell]) {
    write_tables_with(folder, cells, &Features::default());
}

fn write_tables_with(folder: &Path, cells: &mut [Cell], features: &Features) {
    let context = TableContext {
        slide_id: SLIDE_ID.to_owned(),
        mpp: Mpp::new(MPP).unwrap(),
        class_names: CLASSES.iter().map(|&name| name.to_owned()).collect(),
        provenance: Vec::new(),
    };
    let (_, staged) = stage_cells(folder, &folder.join("cells.parquet"), cells, &context, features).unwrap();
    whole_file::put_in_place(vec![staged], Vec::new()).unwrap();
    write_regions(&folder.join("regions.parquet"), &[tissue()], &context).unwrap();
}

/// Of that slide.
pub(crate) fn facts() -> SlideFacts {
    SlideFacts {
        id: SLIDE_ID.to_owned(),
        size_px: [SIDE_PX as u32; 2],
        mpp: Mpp::new(MPP).unwrap(),
        scanned_from: [0, 0],
        class_names: CLASSES.map(str::to_owned).to_vec(),
        class_colours: vec![[200, 0, 0], [0, 120, 0], [0, 0, 200]],
        model: convert::ModelName { name: "painted".to_owned(), version: "1".to_owned() },
        fingerprint: "f00d".to_owned(),
        made_at: UNIX_EPOCH + Duration::from_secs(1_795_651_199),
    }
}

impl Painted {
    pub(crate) fn new(cells: Vec<Cell>) -> Self {
        Self::with_features(cells, &Features::default())
    }

    /// With columns that only some tables have.
    pub(crate) fn with_features(mut cells: Vec<Cell>, features: &Features) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_tables_with(folder.path(), &mut cells, features);
        let table = CellTable::open(&folder.path().join("cells.parquet")).unwrap();
        let regions = read_regions(&folder.path().join("regions.parquet")).unwrap();
        Self { folder, facts: facts(), table, regions, cells }
    }

    pub(crate) fn export(&self, format: Format, choice: &Choice, settings: &Settings) -> (Tally, PathBuf) {
        let source = Source { facts: &self.facts, cells: &self.table, regions: &self.regions, choice };
        let tally = export(format, &source, settings, self.folder.path()).unwrap();
        let path = tally.files[0].clone();
        (tally, path)
    }

    /// Cells by class name, as painted.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for cell in &self.cells {
            *counts.entry(CLASSES[usize::from(cell.class.0)].to_owned()).or_insert(0) += 1;
        }
        counts
    }
}

/// A piece of tissue with a hole.
fn tissue() -> Region {
    let ring = |corners: [(f64, f64); 4]| corners.map(|(x, y)| Level0Point::new(x, y)).to_vec();
    let (outer, hole) = (
        ring([(10.0, 10.0), (19_000.0, 10.0), (19_000.0, 19_000.0), (10.0, 19_000.0)]),
        ring([(500.0, 500.0), (500.0, 900.0), (900.0, 900.0), (900.0, 500.0)]),
    );
    let area_px = 18_990.0 * 18_990.0 - 400.0 * 400.0;
    Region {
        id: 7,
        kind: "tissue".to_owned(),
        name: None,
        class_name: None,
        polygon: Polygon { outer, holes: vec![hole] },
        bbox: bounds(10.0, 10.0, 19_000.0, 19_000.0),
        centroid: Level0Point::new(9_505.0, 9_505.0),
        area_um2: area_px * MPP * MPP,
        perimeter_um: (4.0 * 18_990.0 + 1_600.0) * MPP,
        coverage: 1.0,
        tissue: 1.0,
        score: None,
        cells: BTreeMap::new(),
    }
}

fn bounds(left: f64, top: f64, right: f64, bottom: f64) -> Level0Box {
    Level0Box::new(Level0Point::new(left, top), Level0Point::new(right, bottom))
}

/// A cell with this outline.
pub(crate) fn cell(number: u64, ring: Vec<Level0Point>) -> Cell {
    let bbox = Level0Box::from_points(&ring);
    let score = Score::new(0.5 + (number % 50) as f32 / 100.0).unwrap();
    let outline = Some(ring.into());
    Cell { outline, ..Cell::new(number + 1, ClassId((number % 3) as u16), score, bbox) }
}

/// Cells on a lattice, each an ellipse of 24 points, of another size and turn.
pub(crate) fn ellipses(count: u64) -> Vec<Cell> {
    (0..count).map(|number| cell(number, ellipse(number, 24))).collect()
}

/// The same, drawn with many more points than their shape needs.
pub(crate) fn dense_ellipses(count: u64) -> Vec<Cell> {
    (0..count).map(|number| cell(number, ellipse(number, 120))).collect()
}

/// Place of the lattice that a centroid lies at, to a twentieth of a px.
pub(crate) fn lattice_place(centroid: Level0Point) -> Option<(i64, i64)> {
    let (column, row) = ((centroid.x - FIRST_PX) / STEP_X, (centroid.y - FIRST_PX) / STEP_Y);
    let near = |value: f64, step: f64| (value - value.round()).abs() * step < 0.05;
    (near(column, STEP_X) && near(row, STEP_Y)).then_some((column.round() as i64, row.round() as i64))
}

const FIRST_PX: f64 = 30.0;
const STEP_X: f64 = 31.137;
const STEP_Y: f64 = 31.731;

fn ellipse(number: u64, corners: u32) -> Vec<Level0Point> {
    const PER_ROW: u64 = 600;
    let middle = Level0Point::new(
        FIRST_PX + (number % PER_ROW) as f64 * STEP_X,
        FIRST_PX + (number / PER_ROW % PER_ROW) as f64 * STEP_Y,
    );
    let upright = ellipse_of(middle, 6.0 + (number % 7) as f64, 5.0 + (number % 5) as f64, corners);
    let (sin, cos) = (number as f64).sin_cos();
    let turned = upright.into_iter().map(|corner| {
        let (x, y) = (corner - middle).to_tuple();
        middle + euclid::vec2(x * cos - y * sin, x * sin + y * cos)
    });
    turned.collect()
}

/// An upright ellipse with half axes `a` and `b`.
pub(crate) fn ellipse_of(middle: Level0Point, a: f64, b: f64, corners: u32) -> Vec<Level0Point> {
    let turns = (0..corners).map(|step| f64::from(step) / f64::from(corners) * std::f64::consts::TAU);
    turns.map(f64::sin_cos).map(|(up, along)| middle + euclid::vec2(a * along, b * up)).collect()
}

/// Twenty rings that are wrong, each in its own way.
const WRONG: [&[(f64, f64)]; 20] = [
    // A figure of eight; the same with unequal halves.
    &[(0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0)],
    &[(0.0, 0.0), (12.0, 9.0), (12.0, 0.0), (0.0, 3.0)],
    // A spike outwards, one inwards, one at the first corner.
    &[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (14.0, 14.0), (10.0, 10.0), (0.0, 10.0)],
    &[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (5.0, 5.0), (10.0, 10.0), (0.0, 10.0)],
    &[(-4.0, 0.0), (0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0), (0.0, 0.0)],
    // Gone round twice; there and back.
    &[(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0), (0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)],
    &[(0.0, 0.0), (5.0, 0.0), (9.0, 0.0), (5.0, 0.0)],
    // No area: all points one, two of three one, all on a line, on a slanted line.
    &[(3.0, 3.0), (3.0, 3.0), (3.0, 3.0), (3.0, 3.0)],
    &[(3.0, 3.0), (3.0, 3.0), (8.0, 3.0)],
    &[(0.0, 5.0), (3.0, 5.0), (9.0, 5.0), (6.0, 5.0)],
    &[(0.0, 0.0), (3.0, 3.0), (9.0, 9.0), (6.0, 6.0)],
    // Touches itself at a corner; at a side; two squares that share a corner.
    &[(0.0, 0.0), (10.0, 0.0), (5.0, 5.0), (10.0, 10.0), (0.0, 10.0), (5.0, 5.0)],
    &[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (5.0, 0.0), (0.0, 10.0)],
    &[(0.0, 0.0), (5.0, 0.0), (5.0, 5.0), (10.0, 5.0), (10.0, 10.0), (5.0, 10.0), (5.0, 5.0), (0.0, 5.0)],
    // A pentagram; a loop inside; a loop outside.
    &[(5.0, 0.0), (8.0, 9.5), (0.0, 3.6), (10.0, 3.6), (2.0, 9.5)],
    &[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (4.0, 10.0), (4.0, 4.0), (7.0, 4.0), (7.0, 12.0), (0.0, 12.0)],
    &[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0), (0.0, 5.0), (-3.0, 5.0), (-3.0, 8.0), (0.001, 8.0)],
    // Thinner than the grid; smaller than a step; a hair beside a square.
    &[(0.0, 0.0), (10.0, 0.0), (10.0, 0.002), (0.0, 0.002)],
    &[(1.0, 1.0), (1.001, 1.0), (1.001, 1.001), (1.0, 1.001)],
    &[(0.0, 0.0), (8.0, 0.0), (8.0, 4.0), (13.0, 4.001), (8.0, 4.002), (8.0, 8.0), (0.0, 8.0)],
];

/// Ten of each of the wrong rings, at other places, sizes and directions: 200.
pub(crate) fn wrong_rings() -> Vec<Vec<Level0Point>> {
    fn placed((number, ring): (usize, &'static [(f64, f64)])) -> impl Iterator<Item = Vec<Level0Point>> {
        (0..10).map(move |copy| {
            let at = Level0Point::new(40.0 + copy as f64 * 37.3, 19_100.0 + number as f64 * 33.7);
            let scale = 0.7 + copy as f64 * 0.173;
            let mut moved: Vec<Level0Point> =
                ring.iter().map(|&(x, y)| at + euclid::vec2(x, y) * scale).collect();
            if copy % 2 == 1 {
                moved.reverse();
            }
            moved.rotate_left(copy % ring.len());
            moved
        })
    }
    WRONG.iter().copied().enumerate().flat_map(placed).collect()
}

/// Every second cell is right.
pub(crate) fn with_wrong_rings() -> Vec<Cell> {
    let wrong = wrong_rings();
    let right = ellipses(wrong.len() as u64);
    let numbered = (right.len() as u64..).zip(wrong).map(|(number, ring)| cell(number, ring));
    right.iter().cloned().zip(numbered).flat_map(|(right, wrong)| [right, wrong]).collect()
}

/// The interpreter of an environment in the checkout; says so where there is none.
pub(crate) fn python(environment: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let known = ["bin/python", "Scripts/python.exe"].map(|name| root.join(environment).join(name));
    let found = known.into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: there is no {environment}; `cargo xtask test` makes it");
    }
    found
}
