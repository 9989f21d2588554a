//! Every case of `tests/merge-cases` gives the result it states, in any order of its windows and detections.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use merger::{Cell, CellMerger, Layout, MergeReport, MergeSettings, PerClass, WindowOutcome};
use serde::Deserialize;
use wsi_types::{
    Detection, GridRect, Level0Box, Level0Point, ModelClass, Mpp, Placement, Score, Window, WindowBox,
    WindowIndex, WindowPoint,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "about")]
    _about: String,
    #[serde(rename = "comment", default)]
    _comment: Option<String>,
    slide: [f64; 2],
    grid: Grid,
    #[serde(default = "settings", deserialize_with = "settings_over")]
    settings: MergeSettings,
    #[serde(default)]
    failed: Vec<u32>,
    #[serde(default)]
    counts: BTreeMap<String, u64>,
    detections: Vec<RawDetection>,
    expected: Vec<Expected>,
}

/// Default settings of a case; see the README of the cases.
fn settings() -> MergeSettings {
    MergeSettings {
        iou: PerClass::all(0.45),
        min_score: PerClass::all(0.0),
        rim_px: 0.0,
        ..MergeSettings::default()
    }
}

/// The settings of a case, over the defaults of [`settings`].
fn settings_over<'de, D: serde::Deserializer<'de>>(case: D) -> Result<MergeSettings, D::Error> {
    use serde::de::Error as _;
    let said = serde_json::Map::deserialize(case)?;
    let mut all = serde_json::to_value(settings()).map_err(D::Error::custom)?;
    for (name, value) in said {
        all[name] = value;
    }
    serde_json::from_value(all).map_err(D::Error::custom)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grid {
    columns: u32,
    rows: u32,
    size: i64,
    stride: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDetection {
    window: u32,
    class: u16,
    score: f32,
    #[serde(rename = "box")]
    bbox: [Number; 4],
    #[serde(default)]
    outline: Option<Vec<[f32; 2]>>,
}

/// JSON has no NaN: it is written as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(f32),
    Named(String),
}

impl Number {
    fn get(&self) -> f32 {
        match self {
            Self::Plain(value) => *value,
            Self::Named(name) => name.parse().unwrap(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    class: u16,
    #[serde(rename = "box")]
    bbox: [f64; 4],
    #[serde(default)]
    n_merged: Option<u16>,
    #[serde(default)]
    windows: Option<Vec<u32>>,
    #[serde(default)]
    edge_flag: Option<u8>,
    #[serde(default)]
    runner_up: Option<u16>,
    #[serde(default)]
    score: Option<f32>,
}

fn windows(grid: &Grid) -> Vec<Window> {
    let places = (0..grid.rows).flat_map(|row| (0..grid.columns).map(move |column| (column, row)));
    places
        .zip(0..)
        .map(|((column, row), index)| {
            let (x, y) = (i64::from(column) * grid.stride, i64::from(row) * grid.stride);
            Window {
                index: WindowIndex(index),
                rect: GridRect::new(euclid::point2(x, y), euclid::size2(grid.size, grid.size)),
                placement: Placement::new(1.0, 1.0, x as f64, y as f64),
            }
        })
        .collect()
}

fn detection(raw: &RawDetection) -> Detection {
    let [x0, y0, x1, y1] = [0, 1, 2, 3].map(|side| raw.bbox[side].get());
    Detection {
        bbox: WindowBox::new(WindowPoint::new(x0, y0), WindowPoint::new(x1, y1)),
        class: ModelClass(raw.class),
        score: Score::new(raw.score).unwrap(),
        outline: raw.outline.as_ref().map(|ring| ring.iter().map(|&[x, y]| WindowPoint::new(x, y)).collect()),
    }
}

/// Hands everything in, windows and detections rotated by `turn`, and takes cells out after each window if
/// `stream` is `true`.
fn merge(case: &Case, turn: usize, stream: bool) -> (Vec<Cell>, MergeReport) {
    let slide = Level0Box::new(Level0Point::zero(), Level0Point::new(case.slide[0], case.slide[1]));
    let windows = windows(&case.grid);
    let layout = Layout::new(&windows, slide, Mpp::new(0.25).unwrap()).unwrap();
    case.settings.validate().unwrap();
    let mut merger = CellMerger::new(Arc::new(layout), case.settings.clone());
    let mut cells = Vec::new();
    for index in turned(0..windows.len() as u32, turn) {
        let mine = case.detections.iter().filter(|raw| raw.window == index).map(detection);
        let outcome = if case.failed.contains(&index) {
            WindowOutcome::Failed("unreadable".into())
        } else {
            WindowOutcome::found(turned(mine, turn))
        };
        merger.push(WindowIndex(index), outcome).unwrap();
        if stream {
            cells.append(&mut merger.take_final());
        }
    }
    let (mut rest, report) = merger.finish();
    cells.append(&mut rest);
    cells.sort_by(merger::cell::content_order);
    (cells, report)
}

fn turned<T>(items: impl Iterator<Item = T>, turn: usize) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    if turn % 2 == 1 {
        items.reverse();
    }
    let by = turn / 2;
    if by > 0 && !items.is_empty() {
        let len = items.len();
        items.rotate_left(by % len);
    }
    items
}

fn check(name: &str, case: &Case) {
    let (cells, report) = merge(case, 0, false);
    assert!(report.counts.balance(), "{name}: {:?}", report.counts);
    assert_eq!(cells.len(), case.expected.len(), "{name}: {cells:#?}");
    for expected in &case.expected {
        let found = cells.iter().find(|cell| agrees(cell, expected));
        assert!(found.is_some(), "{name}: class {} {:?} in {cells:#?}", expected.class, expected.bbox);
    }
    let counts = serde_json::to_value(report.counts).unwrap();
    for (what, count) in &case.counts {
        assert_eq!(counts[what], *count, "{name}: {what}");
    }
    for turn in 0..8 {
        for stream in [false, true] {
            assert_eq!(merge(case, turn, stream), (cells.clone(), report.clone()), "{name}: turn {turn}");
        }
    }
}

fn agrees(cell: &Cell, expected: &Expected) -> bool {
    let found = [cell.bbox.min.x, cell.bbox.min.y, cell.bbox.max.x, cell.bbox.max.y];
    let near = found.iter().zip(expected.bbox).all(|(a, b)| (a - b).abs() < 0.01);
    near && cell.class.0 == expected.class
        && expected.n_merged.is_none_or(|count| cell.n_merged == count)
        && expected.windows.as_ref().is_none_or(|windows| &cell.windows == windows)
        && expected.edge_flag.is_none_or(|flag| cell.edge_flag == flag)
        && expected.runner_up.is_none_or(|class| cell.runner_up.map(|(other, _)| other.0) == Some(class))
        && expected.score.is_none_or(|score| (cell.score.get() - score).abs() < 1e-4)
}

#[test]
fn every_case_comes_out_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/merge-cases");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    assert!(paths.len() >= 39, "{} cases", paths.len());
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let case: Case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&name, &case);
    }
}

fn square(left: f32, top: f32, side: f32) -> Detection {
    Detection {
        bbox: WindowBox::new(WindowPoint::new(left, top), WindowPoint::new(left + side, top + side)),
        class: ModelClass(0),
        score: Score::new(0.9).unwrap(),
        outline: None,
    }
}

#[test]
fn detections_are_held_until_the_windows_around_them_are_in() {
    let windows = windows(&Grid { columns: 2, rows: 1, size: 100, stride: 50 });
    let slide = Level0Box::new(Level0Point::zero(), Level0Point::new(150.0, 100.0));
    let layout = Layout::new(&windows, slide, Mpp::new(0.25).unwrap()).unwrap();
    let mut merger = CellMerger::new(Arc::new(layout), settings());
    // The second cell of the first window is the one of the second.
    let first = vec![square(10.0, 10.0, 10.0), square(60.0, 40.0, 20.0)];
    merger.push(WindowIndex(0), WindowOutcome::found(first)).unwrap();
    assert_eq!((merger.held(), merger.take_final().len()), (2, 0));
    merger.push(WindowIndex(1), WindowOutcome::found(vec![square(10.0, 40.0, 20.0)])).unwrap();
    assert_eq!((merger.held(), merger.take_final().len(), merger.held()), (3, 2, 0));
}
