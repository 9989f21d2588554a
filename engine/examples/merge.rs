//! Detections of one's own, window by window, into cells counted once: `cargo run --release --example merge`.

use std::{error::Error, sync::Arc};

use merger::{CellMerger, Layout, MergeSettings, WindowOutcome};
use tiler::{Overlap, PlanSettings, Survey, SurveySettings};
use wsi_reader::MemorySlide;
use wsi_types::{Detection, ModelClass, Mpp, Score, WindowBox};

fn main() -> Result<(), Box<dyn Error>> {
    run().map(|_| ())
}

/// One square that four windows see becomes one cell; gives the number of cells.
pub fn run() -> Result<usize, Box<dyn Error>> {
    let mpp = Mpp::new(0.5)?;
    let slide = MemorySlide::painted(&[(1536, 1536)], (256, 256), Some(mpp), |_, _, _| [230; 3])?;
    let plan = PlanSettings { window: 1024, overlap: Overlap::Percent(50.0), ..PlanSettings::new(mpp) };
    let wanted = SurveySettings { plans: vec![plan], ..SurveySettings::default() };
    let survey = Survey::new(Arc::new(slide), &wanted)?;

    let windows = survey.plans[0].windows();
    let layout = Layout::new(windows, survey.extent(), mpp)?.with_slide_id("a hash of the slide's content");
    let mut merger = CellMerger::new(Arc::new(layout), MergeSettings::default());
    for window in windows {
        // A model would look at pixels; this one knows where the square is on level 0.
        let to_window = window.placement.inverse().ok_or("a window without size")?;
        let corner = to_window.transform_point(euclid::point2(700.0, 700.0)).cast();
        let bbox = WindowBox::new(corner, corner + euclid::vec2(20.0, 20.0));
        let score = Score::new(0.9).ok_or("no score")?;
        let found = Detection { bbox, class: ModelClass(0), score, outline: None };
        merger.push(window.index, WindowOutcome::found([found]))?;
    }
    let (cells, report) = merger.finish();
    for cell in &cells {
        println!("{:?}, seen by windows {:?}", cell.bbox, cell.windows);
    }
    println!("{} detections, {} cells", report.counts.raw, cells.len());
    Ok(cells.len())
}
