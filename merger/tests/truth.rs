//! The count is right on simulated slides, where the truth is known.

#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "../../benches/sim/mod.rs"]
mod sim;

use std::sync::Arc;

use merger::{Cell, CellMerger, Layout, MergeReport, MergeSettings, PerClass, UnseenCut, WindowOutcome};
use sim::{Settings, Simulation, simulate};
use wsi_types::Mpp;

/// Boxes of the simulation overlap less than a model's, and none is seen in a rim alone.
fn rules() -> MergeSettings {
    MergeSettings {
        iou: PerClass::all(0.45),
        min_score: PerClass::all(0.0),
        rim_px: 0.0,
        ..MergeSettings::default()
    }
}

fn merge(simulation: &Simulation, settings: &MergeSettings) -> (Vec<Cell>, MergeReport) {
    let layout = Layout::new(&simulation.windows, simulation.slide, Mpp::new(0.25).unwrap()).unwrap();
    let mut merger = CellMerger::new(Arc::new(layout), settings.clone());
    let mut cells = Vec::new();
    for (window, detections) in simulation.windows.iter().zip(&simulation.detections) {
        merger.push(window.index, WindowOutcome::found(detections.clone())).unwrap();
        cells.append(&mut merger.take_final());
    }
    let (mut rest, report) = merger.finish();
    cells.append(&mut rest);
    assert!(report.counts.balance(), "{report:?}");
    assert_eq!(report.counts.cells as usize, cells.len());
    (cells, report)
}

/// Relative error of the number of cells.
fn error(simulation: &Simulation, settings: &MergeSettings) -> f64 {
    let (cells, report) = merge(simulation, settings);
    let error = cells.len() as f64 / simulation.found() as f64 - 1.0;
    println!(
        "{} raw, {} true, {} found, {:+.4} %; {:?}",
        simulation.raw(),
        simulation.found(),
        cells.len(),
        100.0 * error,
        report.counts
    );
    error
}

#[test]
fn the_count_is_within_one_in_ten_thousand() {
    for seed in 1..=3 {
        let simulation = simulate(&Settings { slide_px: 9000, seed, ..Settings::default() });
        let off = error(&simulation, &rules());
        assert!(off.abs() < 1e-4, "seed {seed}: {off}");
    }
}

#[test]
fn dropping_what_a_better_view_denies_costs_less_than_one_in_a_thousand() {
    let simulation = simulate(&Settings { slide_px: 9000, ..Settings::default() });
    let settings = MergeSettings { unseen_cut: UnseenCut::Drop, ..rules() };
    let off = error(&simulation, &settings);
    assert!(off < 0.0 && off > -1e-3, "{off}");
}

#[test]
fn a_perfect_model_gives_a_perfect_count_on_any_grid() {
    let perfect = Settings { slide_px: 6000, recall: 1.0, jitter_px: 0.0, flips: 0.0, ..Settings::default() };
    for (window_px, stride_px) in [(2048, 1024), (2048, 1536), (2048, 1920), (1024, 640), (640, 400)] {
        let simulation = simulate(&Settings { window_px, stride_px, ..perfect });
        for unseen_cut in [UnseenCut::Drop, UnseenCut::Keep] {
            let settings = MergeSettings { unseen_cut, ..rules() };
            assert_eq!(merge(&simulation, &settings).0.len(), simulation.found(), "{window_px} {stride_px}");
        }
    }
}

#[test]
fn the_grid_shows_only_where_merging_is_wrong() {
    let settings = Settings { slide_px: 12000, ..Settings::default() };
    let simulation = simulate(&settings);
    let layout = Layout::new(&simulation.windows, simulation.slide, Mpp::new(0.25).unwrap()).unwrap();
    let (cells, _) = merge(&simulation, &rules());
    let clean = merger::audit_seams(&layout, &cells);
    println!("{clean:?}");
    assert!(!clean.grid_shows && (clean.density_ratio - 1.0).abs() < 0.03, "{clean:?}");
    // Without the seam rule, cut boxes stay beside the whole ones.
    let careless = MergeSettings { border_px: 0.0, ..rules() };
    let windows: Vec<_> = simulation.windows.iter().map(|window| grown(window, 40)).collect();
    let layout_without_borders = Layout::new(&windows, simulation.slide, Mpp::new(0.25).unwrap()).unwrap();
    let mut merger = CellMerger::new(Arc::new(layout_without_borders), careless);
    for (window, detections) in windows.iter().zip(&simulation.detections) {
        let mut moved = detections.clone();
        moved.iter_mut().for_each(|found| found.bbox = found.bbox.translate(euclid::vec2(40.0, 40.0)));
        merger.push(window.index, WindowOutcome::found(moved)).unwrap();
    }
    let (mut cells, _) = merger.finish();
    for cell in &mut cells {
        cell.seam_dist_um = distance_to_stride(cell);
    }
    let dirty = merger::audit_seams(&layout, &cells);
    println!("{dirty:?}");
    assert!(dirty.grid_shows && dirty.density_z > 4.0 && dirty.density_ratio > 1.1, "{dirty:?}");
}

/// The same window with a rim of `by` px around it, in which the model found
/// nothing: its cut boxes touch no border.
fn grown(window: &wsi_types::Window, by: i64) -> wsi_types::Window {
    let mut grown = *window;
    grown.rect = window.rect.inflate(by, by);
    grown.placement.tx -= by as f64;
    grown.placement.ty -= by as f64;
    grown
}

/// Distance in µm from the cell to the nearest multiple of the stride: all borders of the simulated plan lie
/// on such multiples.
fn distance_to_stride(cell: &Cell) -> f32 {
    let [x, y] = cell.centroid.to_array().map(|value| (value - (value / 1024.0).round() * 1024.0).abs());
    (x.min(y) * 0.25) as f32
}
