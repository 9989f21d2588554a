//! The page in a real browser: what a click on a cell tells, and the veil over what no window saw.
#![allow(clippy::unwrap_used)]

#[path = "browser/browser.rs"]
mod browser;

use std::{fs, path::Path, process::Command, thread};

use merger::{Cell, Features, Ground, MaskFrame, StainOd, TableContext, mask::Mask, stage_cells};
use serde_json::{Value, json};
use viewer::{Lineage, RawDetection, ShownSlide, Site, WindowMap, http::Loopback, tiles::TableFacts};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp, Score};

const SIZE: [u32; 2] = [40_000, 30_000];
const MPP: f64 = 0.25;
const CELL: Level0Point = Level0Point::new(6_000.0, 6_000.0);

/// Four windows that overlap, the last of which failed.
struct Windows;

impl Lineage for Windows {
    fn windows(&self) -> Result<WindowMap, String> {
        let corners = [(4_000.0, 4_000.0), (4_000.0, 10_000.0), (10_000.0, 4_000.0), (10_000.0, 10_000.0)];
        let boxes = corners.map(|(x, y)| [x, y, x + 8_192.0, y + 8_192.0]).to_vec();
        Ok(WindowMap { boxes, failed: vec![3] })
    }

    fn raw(&self, _: &[u32], _: &Level0Box) -> Result<Vec<RawDetection>, String> {
        Ok(Vec::new())
    }
}

/// A diamond of 24 × 16 px.
fn cell(class: u16, centre: Level0Point) -> Cell {
    let half = euclid::vec2(12.0, 8.0);
    let bbox = Level0Box::new(centre - half, centre + half);
    let corners = [(-12.0, 0.0), (0.0, -8.0), (12.0, 0.0), (0.0, 8.0)];
    Cell {
        outline: Some(corners.map(|(x, y)| centre + euclid::vec2(x, y)).into()),
        stains: Some(StainOd::HDab { hematoxylin: 0.5, dab: 0.75, ring: Some(0.125) }),
        distance_um: Some(-12.5),
        windows: vec![0],
        ..Cell::new(u64::from(class) + 1, ClassId(class), Score::new(0.75).unwrap(), bbox)
    }
}

/// Writes the table of a cell and of another one 10 µm beside it.
fn write_table(path: &Path) {
    let mut cells = [cell(0, CELL), cell(1, CELL + euclid::vec2(40.0, 0.0))];
    let context = TableContext {
        slide_id: "s1".into(),
        mpp: Mpp::new(MPP).unwrap(),
        class_names: ["tumour", "stroma"].map(String::from).into_iter().collect(),
        provenance: Vec::new(),
    };
    let frame = MaskFrame {
        origin: Level0Point::zero(),
        level0_per_px: (200.0, 200.0),
        mpp: context.mpp,
        slide_end: Level0Point::new(f64::from(SIZE[0]), f64::from(SIZE[1])),
    };
    let ground = Ground::new(Mask::from_fn(200, 150, |_, _| true), frame);
    let features = Features { neighbours: Some(ground), shape: true, texture: false, dab: true };
    let (_, staged) = stage_cells(path.parent().unwrap(), path, &mut cells, &context, &features).unwrap();
    whole_file::put_in_place(vec![staged], Vec::new()).unwrap();
}

/// The address of a page that shows the cells, without pixels.
fn served(folder: &Path) -> String {
    let path = folder.join("cells.parquet");
    write_table(&path);
    let shown = ShownSlide {
        id: "s1".into(),
        name: None,
        open: Box::new(|| Err("there are none".into())),
        sharpest_mpp: 0.0,
        size: SIZE,
        mpp: MPP,
        table: TableFacts { sha256: "0a".repeat(32), bytes: fs::metadata(&path).unwrap().len() },
        cells: path,
        regions: folder.join("regions.parquet"),
        tiles: folder.join("tiles.smt"),
        overview: folder.join("overview.jpg"),
        coverage: folder.join("coverage.png"),
        drawing: folder.join("drawing.geojson"),
        lineage: Box::new(Windows),
        facts: json!({"windows": {"planned": 4, "failed": 1}}),
    };
    let (site, server) = (Site::new(vec![shown], None), Loopback::listen(0).unwrap());
    let address = format!("http://{}/", server.address());
    // Until the process ends.
    thread::spawn(move || server.serve(&site));
    address
}

#[test]
fn a_click_tells_all_measures_and_a_veil_lies_over_what_no_window_saw() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let Some(browser) = browser::browser(&scripts) else { return };
    let folder = tempfile::tempdir().unwrap();
    let middles = [(6_500.0, 6_500.0), (30_000.0, 20_000.0), (16_000.0, 16_000.0)];
    let job = json!({
        "address": served(folder.path()), "browser": browser, "gpu": "none",
        "click": {"x": CELL.x, "y": CELL.y, "downsample": 0.5},
        "veil": middles.map(|(x, y)| json!({"x": x, "y": y, "downsample": 4.0})),
    });
    let output = Command::new("node").arg(scripts.join("look.mjs")).arg(job.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["problems"], json!([]), "nothing is wrong in the page");

    let told = [
        ("class", "tumour"),
        ("to ROI border", "12.5 µm inside"),
        ("area", "12 µm²"),
        ("elongation", "1.5"),
        ("DAB", "0.75 OD"),
        ("DAB around", "0.13 OD"),
        ("nearest", "10 µm"),
        ("cells in 50 µm", "1"),
        ("stroma there", "1"),
        ("tumour there", "0"),
        ("seen by", "window 0"),
    ];
    for (term, words) in told {
        assert_eq!(seen["click"][term], words, "{term} of {}", seen["click"]);
    }
    let veil: Vec<u64> = serde_json::from_value(seen["veil"].clone()).unwrap();
    let [analysed, beyond, failed] = veil[..] else { panic!("three places: {veil:?}") };
    assert!(analysed == 0 && beyond > 100 && failed > beyond, "{veil:?}");
}
