//! The viewer's tile file of a slide with many outlined cells: seconds and bytes.
//!
//!     cargo bench --bench view
//!     cargo bench --bench view -- --cells 1000000 --leave OUT [--slide slide.svs]
//!
//! The second leaves a dataset for `slidemill view OUT`, as if a run had written it.

use std::{
    f64::consts::TAU,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use merger::{Cell, ClassNames, TableContext, write_cells};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use viewer::{
    ViewError, table,
    tiles::{TableFacts, TileWriter},
};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp, Score};

const SIZE: [u32; 2] = [40_960, 32_768];
const MPP: f64 = 0.25;
const VERTICES: usize = 24;
const CLASSES: [&str; 3] = ["epithelial", "lymphocyte", "stromal"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, kept, slide] = ["--cells", "--leave", "--slide"].map(|name| {
        let at = arguments.iter().position(|word| word == name)?;
        arguments.get(at + 1)
    });
    let count = count.and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let kept = kept.map(PathBuf::from);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = kept.clone().unwrap_or_else(|| folder.path().to_owned());
    let table = out.join("cells/slide=sbench/part-0.parquet");
    fs::create_dir_all(table.parent().expect("it lies in a folder")).expect("the folder can be made");
    write_table(&table, count);
    if kept.is_some() {
        write_account(&out, &table, count, slide.map(PathBuf::from));
    }
    let tiles = folder.path().join("tiles.smt");
    for round in 1..=3 {
        let started = Instant::now();
        make_tiles(&table, &tiles).expect("the tile file is made");
        let bytes = fs::metadata(&tiles).expect("the tile file").len();
        println!(
            "round {round}: {count} cells of {VERTICES} vertices, {:.2} s, {:.1} MB from a table of {:.1} MB",
            started.elapsed().as_secs_f64(),
            bytes as f64 / 1e6,
            fs::metadata(&table).expect("the table").len() as f64 / 1e6,
        );
    }
}

fn make_tiles(from: &Path, to: &Path) -> Result<(), ViewError> {
    let file = fs::File::create(to).map_err(|source| ViewError::Write { source })?;
    let facts = TableFacts { sha256: String::new(), bytes: 0 };
    let mut writer = TileWriter::new(std::io::BufWriter::new(file), facts, SIZE, &table::class_names(from)?)?;
    table::for_each_cell(from, |cell| writer.push(cell))?;
    writer.finish().map(drop)
}

/// Cells in clusters, as tissue has them; their outlines on a grid of 1/16 px.
fn write_table(path: &Path, count: usize) {
    let mut dice = rand_pcg::Pcg64Mcg::seed_from_u64(1);
    let clusters: Vec<(f64, f64, f64)> = (0..120)
        .map(|_| {
            let [x, y] = SIZE.map(|most| dice.random_range(0.0..f64::from(most)));
            (x, y, dice.random_range(600.0..5000.0))
        })
        .collect();
    let mut cells: Vec<Cell> = (0..count)
        .map(|index| {
            let (x, y, spread) = clusters[dice.random_range(0..clusters.len())];
            let [x, y] = [(x, SIZE[0]), (y, SIZE[1])].map(|(middle, most)| {
                let away: f64 = (0..4).map(|_| dice.random_range(-1.0..1.0)).sum::<f64>() / 2.0;
                (middle + away * spread).rem_euclid(f64::from(most))
            });
            let centroid = Level0Point::new(x, y);
            cell(index as u64, centroid, &mut dice)
        })
        .collect();
    let context = TableContext {
        slide_id: "sbench".into(),
        mpp: Mpp::new(MPP).expect("a pixel size"),
        class_names: ClassNames::new(CLASSES.map(String::from).to_vec()),
        provenance: Vec::new(),
    };
    write_cells(path, &mut cells, &context).expect("the table is written");
}

fn cell(id: u64, centroid: Level0Point, dice: &mut rand_pcg::Pcg64Mcg) -> Cell {
    let (radius, dents): (f64, f64) = (dice.random_range(10.0..20.0), dice.random_range(0.0..0.25));
    let turn: f64 = dice.random_range(0.0..TAU);
    let outline: Vec<Level0Point> = (0..VERTICES)
        .map(|vertex| {
            let angle = TAU * vertex as f64 / VERTICES as f64;
            let radius = radius * (1.0 + dents * (3.0 * angle + turn).sin()) + dice.random_range(-0.5..0.5);
            let (sin, cos) = angle.sin_cos();
            let corner = [centroid.x + radius * cos, centroid.y + radius * sin];
            Level0Point::from(corner.map(|value| (value * 16.0).round() / 16.0))
        })
        .collect();
    let score = Score::new(dice.random_range(0.25..1.0)).expect("a score");
    let (class, bbox) = (ClassId(dice.random_range(0..3)), Level0Box::from_points(&outline));
    let outline = Some(outline.into_boxed_slice());
    Cell { centroid, outline, windows: vec![0], ..Cell::new(id, class, score, bbox) }
}

fn write_account(out: &Path, table: &Path, count: usize, slide: Option<PathBuf>) {
    let (bytes, sha256) = dataset::sha256_of(table).expect("the table");
    let model = json!({"name": "none", "version": "", "sha256": ""});
    let file =
        json!({"path": "cells/slide=sbench/part-0.parquet", "rows": count, "bytes": bytes, "sha256": sha256});
    let analysis = json!({
        "slide_px": SIZE, "mpp": MPP, "mpp_source": "made up", "model_mpp": MPP,
        "windows": {"planned": 1, "done": 1, "failed": 0}, "failures": [],
        "coverage": {"tissue_mm2": 1.0, "analysed_mm2": 1.0, "fraction": 1.0},
        "cells": {}, "dropped": {}, "seam_audit": null,
        "tiles": {"needed": 0, "decoded": 0, "failed": 0}, "files": [file],
    });
    let account = json!({
        "slide": "sbench", "outcome": "done", "slidemill": "", "model": model, "device": "", "fingerprint": "",
        "settings": {}, "analysis": analysis, "warnings": [], "elapsed_secs": 0.0,
    });
    let put = |name: &str, text: String| {
        let path = out.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        fs::write(path, text).expect("the file can be written");
    };
    put("runs/sbench.json", account.to_string());
    if let Some(slide) = slide {
        put(".slidemill/slides.csv", format!("id,path\nsbench,{}\n", slide.display()));
    }
}
