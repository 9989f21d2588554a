//! Merging and writing: time per box, memory, and the error of the count, on simulated slides.
//!
//! `cargo bench --bench merge` runs 10^5 and 10^6 raw boxes. After `--`:
//! `--full` adds 5·10^6 and, as ten slides in one plan, 5·10^7; `--slide-px N`
//! runs one slide of that edge alone, for its memory; `--outlines` runs polygons;
//! `--dump FOLDER` writes the boxes for `merge_peers.py`, which times other tools
//! on them. Times are CPU times of the one thread that works,
//! so that a busy machine changes them little.

#[path = "support/process.rs"]
mod process;
#[allow(unreachable_pub)]
#[path = "sim/mod.rs"]
mod sim;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use merger::{
    Cell, CellMerger, Layout, MergeReport, MergeSettings, Metric, PerClass, TableContext, WindowOutcome,
    write_cells,
};
use process::{cpu_secs, peak_mb};
use sim::{Settings, Simulation, simulate};
use wsi_types::{Detection, Level0Box, Level0Point, Mpp, Placement, Window, WindowIndex};

type Failure = Box<dyn std::error::Error>;

/// Edges of slides that give about 10^5, 10^6 and 5·10^6 raw boxes.
const SLIDES_PX: [u32; 3] = [8_200, 25_600, 56_500];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [dump, alone] = ["--dump", "--slide-px"].map(|flag| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)
    });
    let [is_full, outlines] =
        ["--full", "--outlines"].map(|flag| arguments.iter().any(|argument| argument == flag));
    let dump = dump.map(PathBuf::from);
    let alone = alone.map(|edge| edge.parse::<u32>()).transpose()?;
    println!("      raw |    cells |   off the truth | merge µs/box |  held | peak MB | write M rows/s | MB");
    let slides = match alone {
        Some(edge) => vec![edge],
        None => SLIDES_PX[..if is_full { 3 } else { 2 }].to_vec(),
    };
    for slide_px in slides {
        let simulation = simulate(&Settings { slide_px, outlines, ..Settings::default() });
        if let Some(folder) = &dump {
            write_boxes(&folder.join(format!("{slide_px}.f32")), &simulation)?;
        }
        measure(simulation, outlines)?;
    }
    if is_full {
        stacked(&simulate(&Settings { slide_px: SLIDES_PX[2], ..Settings::default() }), 10)?;
    }
    Ok(())
}

/// The rule that earlier figures were measured with.
fn settings(metric: Metric) -> MergeSettings {
    MergeSettings {
        metric,
        iou: PerClass::all(0.45),
        min_score: PerClass::all(0.0),
        rim_px: 0.0,
        ..MergeSettings::default()
    }
}

fn measure(mut simulation: Simulation, outlines: bool) -> Result<(), Failure> {
    let (raw, truth) = (simulation.raw(), simulation.found());
    let mpp = Mpp::new(0.25)?;
    let layout = Layout::new(&simulation.windows, simulation.slide, mpp)?.with_slide_id("bench");
    let metric = if outlines { Metric::MaskIou } else { Metric::Iou };
    let settings = settings(metric);
    let detections = std::mem::take(&mut simulation.detections);
    let windows = simulation.windows.iter().map(|window| window.index).zip(detections);
    let start = cpu_secs();
    let mut cells = Vec::new();
    let (report, held) = merge(Arc::new(layout), settings, windows, |mut some| cells.append(&mut some))?;
    let merge_us = (cpu_secs() - start) * 1e6 / raw as f64;
    assert_eq!(report.counts.cells, cells.len() as u64);
    let (rows_per_s, megabytes) = write(&mut cells, mpp)?;
    println!(
        "{raw:>9} | {:>8} | {:>+13.4} % | {merge_us:>12.3} | {held:>5} | {:>7.0} | {:>14.2} | {megabytes:.0}",
        cells.len(),
        100.0 * (cells.len() as f64 / truth as f64 - 1.0),
        peak_mb(),
        rows_per_s / 1e6,
    );
    Ok(())
}

/// Merges as a run does, taking final cells after each window. Returns the largest number of detections that
/// were held at a time, in thousands.
fn merge(
    layout: Arc<Layout>,
    settings: MergeSettings,
    windows: impl Iterator<Item = (WindowIndex, Vec<Detection>)>,
    mut take: impl FnMut(Vec<Cell>),
) -> Result<(MergeReport, String), Failure> {
    let mut merger = CellMerger::new(layout, settings);
    let mut held = 0;
    for (window, detections) in windows {
        merger.push(window, WindowOutcome::found(detections))?;
        held = held.max(merger.held());
        take(merger.take_final());
    }
    let (rest, report) = merger.finish();
    take(rest);
    Ok((report, format!("{}k", held / 1000)))
}

fn write(cells: &mut [Cell], mpp: Mpp) -> Result<(f64, f64), Failure> {
    let folder = tempfile::tempdir()?;
    let context = TableContext {
        slide_id: "bench".into(),
        mpp,
        class_names: ["a", "b", "c", "d", "e"].map(String::from).into_iter().collect(),
        provenance: Vec::new(),
    };
    let start = cpu_secs();
    let report = write_cells(&folder.path().join("part-0.parquet"), cells, &context)?;
    Ok((report.rows as f64 / (cpu_secs() - start), report.bytes as f64 / 1e6))
}

/// Merges copies of one slide, one below the other, as one plan; cells are counted and dropped, as a writer
/// would.
fn stacked(simulation: &Simulation, copies: u32) -> Result<(), Failure> {
    let count = simulation.windows.len() as u32;
    let height = simulation.slide.height();
    let windows: Vec<Window> = (0..copies)
        .flat_map(|copy| simulation.windows.iter().map(move |window| (copy, window)))
        .map(|(copy, window)| {
            let Placement { tx, ty, .. } = window.placement;
            Window {
                index: WindowIndex(copy * count + window.index.0),
                rect: window.rect,
                placement: Placement::new(1.0, 1.0, tx, ty + f64::from(copy) * 2.0 * height),
            }
        })
        .collect();
    let bottom = Level0Point::new(simulation.slide.max.x, 2.0 * height * f64::from(copies));
    let layout = Layout::new(&windows, Level0Box::new(Level0Point::zero(), bottom), Mpp::new(0.25)?)?;
    let detections = (0..copies).flat_map(|_| simulation.detections.iter().cloned());
    let mut cells = 0;
    let start = cpu_secs();
    let (_, held) = merge(
        Arc::new(layout),
        settings(Metric::Iou),
        windows.iter().map(|window| window.index).zip(detections),
        |some| cells += some.len(),
    )?;
    let raw = simulation.raw() * copies as usize;
    println!(
        "{raw:>9} | {cells:>8} | {:>+13.4} % | {:>12.3} | {held:>5} | {:>7.0} |",
        100.0 * (cells as f64 / (simulation.found() * copies as usize) as f64 - 1.0),
        (cpu_secs() - start) * 1e6 / raw as f64,
        peak_mb(),
    );
    Ok(())
}

/// Rows of x0, y0, x1, y1 (level-0 px), score and class, as little-endian
/// `f32`; then one row with the true count.
fn write_boxes(path: &Path, simulation: &Simulation) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut put =
        |row: [f64; 6]| row.iter().try_for_each(|value| out.write_all(&(*value as f32).to_le_bytes()));
    for (window, detections) in simulation.windows.iter().zip(&simulation.detections) {
        let (dx, dy) = (window.placement.tx, window.placement.ty);
        for found in detections {
            let b = found.bbox.cast::<f64>();
            let class = f64::from(found.class.0);
            put([b.min.x + dx, b.min.y + dy, b.max.x + dx, b.max.y + dy, found.score.get().into(), class])?;
        }
    }
    put([simulation.found() as f64, 0.0, 0.0, 0.0, 0.0, -1.0])?;
    Ok(())
}
