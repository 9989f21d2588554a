//! Slides into a dataset: `cargo run --release --example write -- SLIDE OUT`.

use std::{error::Error, path::Path};

use dataset::Dataset;
use engine::{Engine, Job, JobEnd, RunOptions, Settings, Stop, slides_in};

fn main() -> Result<(), Box<dyn Error>> {
    let [slides, out] = [1, 2].map(|at| std::env::args().nth(at));
    let (slides, out) =
        slides.zip(out).ok_or("give slides (a file, folder, glob or CSV list) and a folder")?;
    run(Path::new(&slides), Path::new(&out)).map(|_| ())
}

/// Runs the bundled model over the slides; the same call again goes on from where it was.
pub fn run(slides: &Path, out: &Path) -> Result<JobEnd, Box<dyn Error>> {
    let settings = Settings::new(RunOptions { window: Some(512), ..RunOptions::default() })?;
    let engine = Engine::open(&settings)?;
    let slides = slides_in(&[slides.to_owned()])?;
    // A signal handler would keep a clone of it, and ask it to stop.
    let stop = Stop::new();
    let end = Job::new(&engine, Dataset::at(out)).run(&slides, &mut (), &stop)?;
    println!("{} done, {} skipped, {} failed", end.totals.done, end.totals.skipped, end.totals.failed);
    Ok(end)
}
