//! Several detectors over one slide.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use dataset::{Dataset, StoredCell, read_cells};
use detector::{BatchView, Detector, DetectorError, Manifest, WindowResult};
use painted::{PaintedCell, Truth};
use report::draw::class_colour;
use slidemill::{
    detectors::{Detectors, untagged},
    finish::Collector,
    isolate::Marks,
    job::slides_in,
    lock::Locks,
    pipeline,
    prepare::{Before, Job, plan_settings_for},
    progress::Progress,
    settings::{RunOptions, Settings},
};
use support::{accounts, read_png, run, slidemill, small_slide, stderr, tables};
use tiler::{Plan, TissueMask, TissueSettings};
use wsi_types::{ClassId, Detection, Mpp, Placement, Score, WindowBox, WindowIndex};

/// Answers what was painted, as far as each detector can see it: the first cells
/// up to [`SMALL_UM`], the second larger ones, and both those in between.
struct ByScale {
    manifest: Manifest,
    cells: Arc<Vec<PaintedCell>>,
    /// Per detector: where its windows lie.
    placements: Arc<Vec<BTreeMap<WindowIndex, Placement>>>,
}

/// Longest radius of a cell that only the sharp detector sees, µm…
const SMALL_UM: f64 = 3.3;
/// …and the shortest of one that only the coarse detector sees.
const LARGE_UM: f64 = 4.0;

impl ByScale {
    fn sees(detector: usize, cell: &PaintedCell) -> bool {
        if detector == 0 { cell.radii_um.0 < LARGE_UM } else { cell.radii_um.0 > SMALL_UM }
    }

    fn found(&self, window: WindowIndex, side: f64) -> Vec<Detection> {
        let (detector, place) = untagged(window);
        let placement = self.placements[detector][&place];
        let extent = WindowBox::new(euclid::point2(0.0, 0.0), euclid::point2(side as f32, side as f32));
        let seen = self.cells.iter().filter(|cell| Self::sees(detector, cell));
        let boxed = |cell: &PaintedCell| {
            let bounds = placement.inverse()?.transform_box(&cell.level0_box()).cast::<f32>();
            let bbox = bounds.intersection(&extent)?;
            let score = Score::new(if detector == 0 { 0.8 } else { 0.6 })?;
            Some(Detection { bbox, class: ClassId(0), score, outline: None })
        };
        seen.filter_map(boxed).collect()
    }
}

impl Detector for ByScale {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        batch.check()?;
        let side = batch.width as f64;
        let result = |&window| WindowResult::new(window, Ok(self.found(window, side)));
        Ok(batch.windows.iter().map(result).collect())
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        vec![self]
    }
}

/// Runs the scripted detectors that `mpps` ask for; gives the centroids found.
fn run_scripted(slide: &Path, truth: &Truth, out: &Path, detectors: &[&str], fuse: &[&str]) -> PathBuf {
    let mut options = RunOptions { window: Some(512), threads: Some(2), ..RunOptions::default() };
    options.detector = Some(detectors.iter().map(|spec| spec.parse().unwrap()).collect());
    options.merging.fuse = fuse.first().map(|&rule| rule.to_owned());
    let settings = Settings::new(options.clone()).unwrap();
    let manifest = Manifest::without_model("scripted", &["nucleus"], Mpp::new(0.5).ok());
    let all = Detectors::with(&settings, vec![manifest.clone(); detectors.len()]).unwrap();
    let detector = ByScale {
        placements: Arc::new(all.each.iter().map(|each| placements(slide, &settings, each.mpp)).collect()),
        cells: Arc::new(truth.cells.clone()),
        manifest,
    };
    // A detector that runs alone is the first; which it is, its mpp says.
    let detector: Box<dyn Detector> =
        if all.each[0].mpp.get() < 0.4 { Box::new(detector) } else { Box::new(Coarse(detector)) };
    let dataset = Dataset::at(out);
    let job = Job {
        settings,
        options,
        detectors: all,
        device: "none".into(),
        marks: Marks::of(&dataset),
        locks: Locks::of(&dataset),
        ledgers: dataset.clone(),
        dataset,
        before: Before::Stay,
        stop: Arc::new(AtomicBool::new(false)),
        claimed: Mutex::default(),
    };
    let slides = slides_in(&[slide.to_owned()]).unwrap();
    let mut progress = Progress::new(false, &job.dataset);
    let mut collector = Collector::new(&job, &mut progress).unwrap();
    pipeline::run(&slides, &job, detector, |step| collector.take(step)).unwrap();
    assert!(!collector.finish().unwrap());
    job.dataset.cells(&accounts(out)[0].slide)
}

/// The second detector of [`ByScale`], alone.
struct Coarse(ByScale);

impl Detector for Coarse {
    fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        let side = batch.width as f64;
        let placement = |window: &WindowIndex| self.0.placements[0][window];
        let result = |window: &WindowIndex| {
            let alone = ByScale {
                manifest: self.0.manifest.clone(),
                cells: Arc::clone(&self.0.cells),
                placements: Arc::new(vec![BTreeMap::new(), BTreeMap::from([(*window, placement(window))])]),
            };
            let found = alone.found(slidemill::detectors::tagged(1, *window), side);
            WindowResult::new(*window, Ok(found))
        };
        Ok(batch.windows.iter().map(result).collect())
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        vec![self]
    }
}

fn placements(path: &Path, settings: &Settings, mpp: Mpp) -> BTreeMap<WindowIndex, Placement> {
    let slide = wsi_reader::open(path).unwrap();
    let scale = wsi_reader::resolve_scale(slide.info(), None).unwrap();
    let mask = TissueMask::compute(slide.as_ref(), Some(scale.mpp), &TissueSettings::default());
    let manifest = Manifest::without_model("scripted", &["nucleus"], Some(mpp));
    let settings = plan_settings_for(settings, &manifest, mpp);
    let plan = Plan::new(&slide.info().pyramid, scale.mpp, &mask, &settings).unwrap();
    plan.windows().iter().map(|window| (window.index, window.placement)).collect()
}

fn f1(truth: &Truth, table: &Path) -> f64 {
    let found: Vec<_> = read_cells(table).unwrap().iter().map(|cell| cell.centroid).collect();
    let all = painted::score(truth, &found).unwrap().all;
    2.0 * all.precision() * all.recall() / (all.precision() + all.recall())
}

#[test]
fn what_each_scale_sees_alone_is_in_the_fused_table_once() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    let truth = small_slide(&slide, 31);
    let at = |name: &str, detectors: &[&str], fuse: &[&str]| {
        run_scripted(&slide, &truth, &folder.path().join(name), detectors, fuse)
    };
    let sharp = f1(&truth, &at("sharp", &["mpp=0.25"], &[]));
    let coarse = f1(&truth, &at("coarse", &["mpp=0.5"], &[]));
    for rule in ["wbf", "noisy-or", "max"] {
        let table = at(rule, &["mpp=0.25", "mpp=0.5"], &[rule]);
        let both = f1(&truth, &table);
        assert!(both > sharp && both > coarse && both > 0.98, "{rule}: {both}, alone {sharp} and {coarse}");
    }
    assert!(sharp < 0.95 && coarse < 0.95, "{sharp} {coarse}");
    let account = &accounts(&folder.path().join("wbf"))[0];
    let analysis = account.analysis.as_ref().unwrap();
    let alone: Vec<u64> = analysis.detectors.iter().map(|detector| detector.cells).collect();
    let twice = analysis.dropped["the same cell of another detector"];
    assert_eq!(alone.iter().sum::<u64>() - twice, account.cells());
    assert_eq!(analysis.tiles.needed, analysis.tiles.decoded);
}

#[test]
fn one_model_at_two_scales_runs_resumes_and_merges_again() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 32);
    let [out, again, fresh] = ["out", "again", "fresh"].map(|name| folder.path().join(name));
    let two = ["--window", "512", "--threads", "2", "--detector", "mpp=0.25", "--detector", "mpp=0.5"];
    let output = run(&[&slide], &out, &[&two[..], &["--keep-raw"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let (max, into) = (["--fuse", "max", "--fuse-score", "0.3"], again.to_str().unwrap());
    let merged = slidemill().arg("merge").arg(&out).args(["--into", into]).args(max).output().unwrap();
    assert!(merged.status.success(), "{}", stderr(&merged));
    let output = run(&[&slide], &fresh, &[&two[..], &max[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&again), tables(&fresh));
    let picture = folder.path().join("scales.png");
    let mut command = slidemill();
    command.arg("draw").arg(&fresh).arg(&slide).arg("-o").arg(&picture).args(["--show", "scales"]);
    let drawn = command.output().unwrap();
    assert!(drawn.status.success(), "{}", stderr(&drawn));
    let told = String::from_utf8_lossy(&drawn.stdout).into_owned();
    assert!(told.contains("0.25 µm/px and 0.5 µm/px: "), "{told}");
    let counts = told.lines().filter_map(|line| line.split_once("µm/px")?.1.rsplit_once(": "));
    let counts =
        counts.map(|(_, count)| count.replace(|c: char| !c.is_ascii_digit(), "").parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), accounts(&fresh)[0].cells(), "{told}");
    assert!(read_png(&picture).0.contains(&class_colour(ClassId(0))), "what both saw");
    let verified = slidemill().arg("verify").arg(&again).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// The bundled model under a name of its own, its class an area.
fn gland_model(folder: &Path) -> PathBuf {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nuclei-he/nuclei-he.onnx");
    let model = folder.join("glands.onnx");
    std::fs::copy(bundled, &model).unwrap();
    let about = "name = \"glands\"\nmpp = 1.0\n\n[[classes]]\nname = \"gland\"\n";
    std::fs::write(model.with_extension("toml"), about).unwrap();
    model
}

#[test]
fn regions_of_a_coarse_detector_weigh_and_veto_cells() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 34);
    let coarse = format!("mpp=1.0,model={}", gland_model(folder.path()).display());
    let both = ["--window", "512", "--threads", "2", "--detector", "mpp=0.5", "--detector", &coarse];
    let context = ["--fuse", "context", "--region-class", "gland", "--region-min-um2", "0"];
    let small_parts = ["--region-opening-um", "0", "--region-simplify-um", "0"];
    let at = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let output = run(&[&slide], &out, more);
        assert!(output.status.success(), "{}", stderr(&output));
        let account = accounts(&out).remove(0);
        let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).unwrap();
        (account, cells)
    };
    let (_, alone) = at("alone", &["--window", "512", "--threads", "2", "--detector", "mpp=0.5"]);
    let scores: BTreeMap<u64, f32> = alone.iter().map(|cell| (cell.id, cell.score)).collect();

    let (account, fused) = at("veto", &[&both[..], &context, &small_parts].concat());
    let analysis = account.analysis.as_ref().unwrap();
    let vetoed = analysis.dropped["vetoed by its context"];
    assert!(vetoed > 0 && !fused.is_empty(), "{vetoed} vetoed, {} left", fused.len());
    assert_eq!(fused.len() as u64 + vetoed, alone.len() as u64);
    let glands = analysis.regions.iter().find(|kind| kind.kind == "gland").expect("is there");
    assert_eq!(glands.cells.values().sum::<u64>(), fused.len() as u64, "each cell left lies in a region");
    // Half of the weight by default: no score is above the root of its own.
    assert!(fused.iter().all(|cell| cell.score <= scores[&cell.id].sqrt() + 1e-6));
    assert!(fused.iter().any(|cell| cell.score != scores[&cell.id]));

    let (_, kept) =
        at("weightless", &[&both[..], &context, &small_parts, &["--context-weight", "0"]].concat());
    let same = |cell: &StoredCell| cell.score == scores[&cell.id];
    assert!(kept.len() == alone.len() && kept.iter().all(same), "no weight changes nothing");
}

#[test]
fn wrong_detectors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 33);
    let config = folder.path().join("slidemill.toml");
    std::fs::write(&config, "[[detector]]\nmppp = 0.25\n").unwrap();
    for (more, expected) in [
        (&["--detector", "mp=0.25"][..], "did you mean \"mpp\"?"),
        (&["--detector", "mpp=0"], "--detector"),
        (&["--fuse", "max"], "expected two or more --detector"),
        (&["--detector", "mpp=0.25", "--detector", "mpp=0.5", "--fuse-weights", "1"], "`weights` is [1.0]"),
        (&["--detector", "mpp=0.25", "--detector", "mpp=0.5", "--fuse", "context"], "--region-class"),
        (
            &["--config", config.to_str().unwrap()],
            "unknown setting \"mppp\" of a detector, did you mean \"mpp\"?",
        ),
    ] {
        let output = run(&[&slide], &folder.path().join("out"), more);
        assert_eq!(output.status.code(), Some(64), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
}
