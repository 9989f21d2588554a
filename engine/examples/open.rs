//! Opens a slide and prints its facts: `cargo run --release --example open -- SLIDE`.

use std::{error::Error, path::Path};

use wsi_reader::Overview;

fn main() -> Result<(), Box<dyn Error>> {
    let slide = std::env::args().nth(1).ok_or("give a slide")?;
    run(Path::new(&slide))
}

/// Prints scale and levels, and reads a small picture of the whole slide.
pub fn run(path: &Path) -> Result<(), Box<dyn Error>> {
    let slide = wsi_reader::open(path)?;
    let info = slide.info();
    match &info.scale {
        Ok(scale) => println!("{} ({})", scale.mpp, scale.source),
        Err(problem) => println!("no scale: {problem}"),
    }
    for level in info.pyramid.levels() {
        println!("{} × {} px, downsample {:.2}", level.width(), level.height(), level.mean_downsample());
    }
    let overview = Overview::whole(slide.as_ref(), 256);
    println!("small: {} × {} px", overview.pixels.width(), overview.pixels.height());
    Ok(())
}
