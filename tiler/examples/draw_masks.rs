//! Draws the tissue mask and the plan of some slides, for a person to check.
//!
//! ```sh
//! cargo run --release -p tiler --example draw_masks -- OUT SLIDE…
//! ```

use std::{fs::File, io::BufWriter, path::Path, time::Instant};

use tiler::{Plan, PlanSettings, TissueMask, TissueSettings, draw_plan};
use wsi_types::{Mpp, RgbBuffer};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let out = arguments.next().ok_or("usage: draw_masks OUT SLIDE…")?;
    for (number, slide) in arguments.enumerate() {
        let (slide, out) = (Path::new(&slide), Path::new(&out).join(format!("{number}.png")));
        match draw(slide, &out) {
            Ok(facts) => println!("{number}: {} {facts}", slide.display()),
            Err(error) => println!("{number}: {} {error}", slide.display()),
        }
    }
    Ok(())
}

fn draw(path: &Path, out: &Path) -> Result<String, Failure> {
    let slide = wsi_reader::open(path)?;
    let mpp = slide.info().scale.as_ref().ok().map(|scale| scale.mpp);
    let started = Instant::now();
    let mask = TissueMask::compute(&*slide, mpp, &TissueSettings::default());
    let secs = started.elapsed().as_secs_f64();
    let mpp = mpp.unwrap_or(Mpp::new(0.5)?);
    let settings = PlanSettings { max_enlarge: 4.0, ..PlanSettings::new(Mpp::new(0.5)?) };
    let plan = Plan::new(&slide.info().pyramid, mpp, &mask, &settings)?;
    let overview = wsi_reader::Overview::whole(&*slide, 1200);
    write(&draw_plan(&overview.pixels, &mask, &plan), out)?;
    let cost = plan.cost();
    let share = mask.bits().iter().filter(|tissue| **tissue).count() as f64 / mask.bits().len() as f64;
    Ok(format!(
        "{}x{} mask, {:.1} % tissue, {} of {} windows, {secs:.2} s, {:?}",
        mask.width(),
        mask.height(),
        share * 100.0,
        cost.windows,
        cost.grid_windows_total,
        mask.notes()
    ))
}

fn write(picture: &RgbBuffer, out: &Path) -> Result<(), Failure> {
    let file = BufWriter::new(File::create(out)?);
    let mut encoder = png::Encoder::new(file, picture.width() as u32, picture.height() as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(picture.bytes())?;
    Ok(())
}
