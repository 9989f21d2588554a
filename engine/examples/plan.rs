//! Plans a slide without running a model: `cargo run --release --example plan -- SLIDE`.

use std::{error::Error, path::Path};

use engine::{RunOptions, Settings, plan_settings};
use tiler::Survey;
use wsi_reader::GivenScale;

fn main() -> Result<(), Box<dyn Error>> {
    let slide = std::env::args().nth(1).ok_or("give a slide")?;
    run(Path::new(&slide)).map(|_| ())
}

/// Prints the windows that a run of the bundled model at two scales would look at; returns their number.
pub fn run(path: &Path) -> Result<usize, Box<dyn Error>> {
    let scales = ["mpp=0.5".parse()?, "mpp=1.0".parse()?];
    let options = RunOptions { window: Some(512), detector: Some(scales.into()), ..RunOptions::default() };
    let settings = Settings::new(options)?;
    let models = settings.models()?;
    let survey =
        Survey::new(wsi_reader::open(path)?, &plan_settings(&settings, &models, GivenScale::default()))?;
    println!("{:.3} mm² of tissue at {}", survey.tissue_mm2(), survey.scale.mpp);
    for (model, plan) in models.each.iter().zip(&survey.plans) {
        let cost = plan.cost();
        println!("{} at {}: {} windows", model.terms.facts.name, model.mpp, cost.windows);
    }
    Ok(survey.windows())
}
