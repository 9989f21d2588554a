//! Finds the cells of a slide, in memory: `cargo run --release --example detect -- SLIDE`.

use std::{collections::BTreeMap, error::Error, path::Path};

use engine::{Engine, Event, RunOptions, Settings, Watch};

fn main() -> Result<(), Box<dyn Error>> {
    let slide = std::env::args().nth(1).ok_or("give a slide")?;
    run(Path::new(&slide)).map(|_| ())
}

/// Prints the progress.
struct Follow;

impl Watch for Follow {
    fn tell(&mut self, event: &Event) {
        if let Event::Windows { done, windows, cells, .. } = event {
            println!("{done} of {windows} windows, {cells} cells so far");
        }
    }
}

/// Prints the cells of each class of the bundled model; returns their number.
pub fn run(path: &Path) -> Result<usize, Box<dyn Error>> {
    let settings = Settings::new(RunOptions { window: Some(512), ..RunOptions::default() })?;
    let engine = Engine::open(&settings)?;
    let answer = engine.analyse(path, &mut Follow)?;
    let mut counts = BTreeMap::new();
    for cell in &answer.cells {
        *counts.entry(engine.class_names().name(cell.class)).or_insert(0) += 1;
    }
    println!("{counts:?} in {:.3} mm² on {}", answer.coverage.analysed_mm2, engine.device());
    for failure in &answer.failures {
        println!("{} windows: {}", failure.windows.len(), failure.reason);
    }
    Ok(answer.cells.len())
}
