//! The whole run against its floor: the bare model on the same windows.
//!
//! ```sh
//! cargo bench --bench pipeline [-- SLIDE [THREADS]]
//! ```
//!
//! Without SLIDE a painted one is used. Both arms run in one process, in turn,
//! and the ratio of their best times is reported: these machines are noisy.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use detector::BatchView;
use engine::{Engine, RunOptions, Settings};
use painted::{PaintSettings, paint_slide};
use slidemill::{
    args::{AllOptions, Run, Within},
    run,
};
use tiler::{Batch, Batcher, StreamSettings, WindowStream};

const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let folder = tempfile::tempdir()?;
    let slide = match arguments.next() {
        Some(path) => PathBuf::from(path),
        None => painted(folder.path())?,
    };
    let threads = arguments.next().map(|text| text.parse()).transpose()?;
    let options = RunOptions { threads, ..RunOptions::default() };
    let settings = Settings::new(options.clone())?;

    let engine = Engine::open(&settings)?;
    let windows = read_all(&engine, &slide)?;
    let count: usize = windows.iter().map(|batch| batch.windows.len()).sum();
    println!("{count} windows of {} px, {} threads", settings.window, settings.threads);
    let (mut floor, mut wall) = (Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        floor = floor.min(bare_model(&engine, &windows)?);
        wall = wall.min(whole_run(&slide, &folder.path().join(format!("out-{round}")), &options)?);
    }
    println!(
        "bare model   {:8.3} s  {:.3} s per window",
        floor.as_secs_f64(),
        floor.as_secs_f64() / count as f64
    );
    println!("whole run    {:8.3} s", wall.as_secs_f64());
    println!("wall / floor {:8.3}", wall.as_secs_f64() / floor.as_secs_f64());
    if let Some(peak) = peak_memory() {
        println!("peak memory  {peak}, the windows held for the floor included");
    }
    Ok(())
}

fn painted(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("painted.tif");
    paint_slide(&path, &PaintSettings { width_um: 2048.0, height_um: 1536.0, ..PaintSettings::default() })?;
    Ok(path)
}

/// All windows of the plan, in memory.
fn read_all(engine: &Engine, path: &Path) -> anyhow::Result<Vec<Batch>> {
    let survey = engine.survey(path)?;
    let plan = Arc::clone(&survey.plans[0]);
    let wanted = plan.windows().iter().map(|window| window.index).collect();
    let mut stream = WindowStream::start(survey.slide, plan, wanted, StreamSettings::default());
    let mut windows = Vec::new();
    loop {
        let mut batch = Batch::default();
        if !Batcher::new(engine.settings().batch).fill(&mut stream, &mut batch, &mut Vec::new()) {
            return Ok(windows);
        }
        windows.push(batch);
    }
}

/// The model alone: no decoding of answers, no merging.
fn bare_model(engine: &Engine, windows: &[Batch]) -> anyhow::Result<Duration> {
    let mut detector = engine.detectors().remove(0);
    let start = Instant::now();
    for Batch { height, width, windows, pixels } in windows {
        detector.infer(BatchView { height: *height, width: *width, windows, pixels, stretch: None })?;
    }
    Ok(start.elapsed())
}

fn whole_run(slide: &Path, out: &Path, options: &RunOptions) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let exit = run::run(Run {
        shard: None,
        slab: None,
        slides: vec![slide.to_owned()],
        out: out.to_owned(),
        config: None,
        redo: false,
        correct_columns: false,
        strict: false,
        json_logs: false,
        measure: None,
        within: Within::default(),
        options: AllOptions(options.clone()),
    })?;
    anyhow::ensure!(exit == slidemill::exit::Exit::Done, "the run ended with {exit:?}");
    Ok(start.elapsed())
}

/// Returns the most memory that this process has used, as Linux reports it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
