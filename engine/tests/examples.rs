//! Each example does what it says, on a painted slide.

#![allow(dead_code, reason = "the examples' own `main`")]

use painted::{PaintSettings, paint_slide};

#[path = "../examples/detect.rs"]
mod detect;
#[path = "../examples/merge.rs"]
mod merge;
#[path = "../examples/open.rs"]
mod open;
#[path = "../examples/plan.rs"]
mod plan;
#[path = "../examples/read_back.rs"]
mod read_back;
#[path = "../examples/write.rs"]
mod write;

#[test]
fn examples_open_plan_detect_merge_write_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    let settings = PaintSettings { seed: 51, width_um: 640.0, height_um: 512.0, ..PaintSettings::default() };
    let truth = paint_slide(&slide, &settings).unwrap();
    open::run(&slide).unwrap();
    assert!(plan::run(&slide).unwrap() > 1);
    let found = detect::run(&slide).unwrap();
    let share = found as f64 / truth.cells.len() as f64;
    assert!((0.8..1.2).contains(&share), "{found} of {}", truth.cells.len());
    assert_eq!(merge::run().unwrap(), 1);
    let out = folder.path().join("out");
    assert!(write::run(&slide, &out).unwrap().is_complete);
    assert_eq!(write::run(&slide, &out).unwrap().totals.skipped, 1);
    assert_eq!(read_back::run(&out).unwrap(), found);
}
